/* Mapping a file, and replacing one as a whole. */
#include "base/file.h"

#include "base/alloc.h"
#include "base/fail.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *kind_of(mode_t mode) {
    if (S_ISDIR(mode)) return "a directory";
    if (S_ISFIFO(mode)) return "a FIFO";
    if (S_ISSOCK(mode)) return "a socket";
    return "a device";
}

static cm_status require_regular(const char *path, mode_t mode, cm_error *error) {
    if (S_ISREG(mode)) return CM_OK;
    return cm_fail(error, CM_IO, path, NULL, "a regular file", "%s", kind_of(mode));
}

cm_status cm_file_size(const char *path, size_t *size, cm_error *error) {
    struct stat info;
    if (stat(path, &info) != 0) return cm_fail_errno(error, path, "cannot open", errno);
    *size = (size_t)info.st_size;
    return require_regular(path, info.st_mode, error);
}

/* Looks before it opens, because to open a device can have effects, and again afterwards, because the name
 * may mean something else by then. */
static cm_status open_regular(const char *path, int *fd, size_t *size, cm_error *error) {
    struct stat info;
    CM_TRY(cm_file_size(path, size, error));
    int opened = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (opened < 0) return cm_fail_errno(error, path, "cannot open", errno);
    cm_status status = CM_OK;
    if (fstat(opened, &info) != 0) status = cm_fail_errno(error, path, "cannot open", errno);
    if (status == CM_OK) status = require_regular(path, info.st_mode, error);
    if (status != CM_OK) {
        close(opened);
        return status;
    }
    *fd = opened;
    *size = (size_t)info.st_size;
    return CM_OK;
}

/* Exactly size bytes of the file. */
static cm_status read_all(int fd, unsigned char *data, size_t size, const char *path, cm_error *error) {
    for (size_t at = 0; at < size;) {
        ssize_t n = read(fd, data + at, size - at);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return cm_fail_errno(error, path, "cannot read", errno);
        if (n == 0)
            return cm_fail(error, CM_IO, path, cm_format("byte %zu", at).text,
                           "a file that stays as it is while it is read",
                           "the end, where it had %zu bytes when it was opened", size);
        at += (size_t)n;
    }
    return CM_OK;
}

static cm_status copy_file(cm_file_map *map, int fd, size_t size, const char *path, cm_error *error) {
    unsigned char *data = cm_new_aligned(size, 1);
    if (!data) return cm_fail_memory(error, size);
    cm_status status = read_all(fd, data, size, path, error);
    if (status != CM_OK) {
        cm_free(data);
        return status;
    }
    *map = (cm_file_map){.data = data, .size = size, .copied = true};
    return CM_OK;
}

static cm_status map_file(cm_file_map *map, int fd, size_t size, const char *path, cm_error *error) {
    void *data = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED) return cm_fail_errno(error, path, "cannot map", errno);
    *map = (cm_file_map){.data = data, .size = size};
    return CM_OK;
}

cm_status cm_file_map_open(cm_file_map *map, const char *path, cm_error *error) {
    int fd = -1;
    size_t size = 0;
    CM_TRY(open_regular(path, &fd, &size, error));
    cm_status status = CM_OK;
    if (size == 0)
        *map = (cm_file_map){0};
    else if (size <= CM_FILE_COPY)
        status = copy_file(map, fd, size, path, error);
    else
        status = map_file(map, fd, size, path, error);
    close(fd);
    return status;
}

void cm_file_map_close(cm_file_map *map) {
    if (map->copied)
        cm_free((void *)(uintptr_t)map->data);
    else if (map->data)
        munmap((void *)(uintptr_t)map->data, map->size);
    *map = (cm_file_map){0};
}

void cm_file_map_drop(const cm_file_map *map, const void *part, size_t size) {
    if (size == 0 || map->copied) return;
    /* with a page the kernel maps its neighbours, of a part that was dropped before too */
    const size_t around = (size_t)1 << 20;
    size_t begin = (size_t)((const unsigned char *)part - map->data), first = begin / around * around;
    madvise((void *)(uintptr_t)(map->data + first), begin + size - first, MADV_DONTNEED);
}

/* 0 or errno. */
static int write_all(int fd, const char *data, size_t size) {
    while (size > 0) {
        /* Linux writes at most 2 GiB - 4 KiB in one call */
        ssize_t n = write(fd, data, size < ((size_t)1 << 30) ? size : (size_t)1 << 30);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return errno;
        data += n;
        size -= (size_t)n;
    }
    return 0;
}

static int write_parts(int fd, const cm_file_part *parts, size_t count) {
    for (size_t i = 0; i < count; i++) {
        int errnum = write_all(fd, parts[i].data, parts[i].size);
        if (errnum) return errnum;
    }
    return 0;
}

/* ---- temporary files ---- */

static const char temporary_mark[] = ".tmp.";

/* "base.tmp.PID.N" */
static bool is_temporary_of(const char *name, const char *base) {
    size_t length = strlen(base), mark = sizeof temporary_mark - 1;
    if (strncmp(name, base, length) != 0 || strncmp(name + length, temporary_mark, mark) != 0) return false;
    const char *at = name + length + mark;
    size_t pid = strspn(at, "0123456789");
    if (pid == 0 || at[pid] != '.') return false;
    at += pid + 1;
    return *at != '\0' && at[strspn(at, "0123456789")] == '\0';
}

/* A writer holds its file's lock; who can take it has found the file of a dead process. */
static void remove_unlocked(int folder, const char *name) {
    int fd = openat(folder, name, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) return;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) unlinkat(folder, name, 0);
    close(fd);
}

static void sweep(int folder, const char *base) {
    int fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = fd >= 0 ? fdopendir(fd) : NULL;
    if (!entries && fd >= 0) close(fd);
    for (struct dirent *entry; entries && (entry = readdir(entries));)
        if (is_temporary_of(entry->d_name, base)) remove_unlocked(folder, entry->d_name);
    if (entries) closedir(entries);
}

/* False when a sweeper has come between the file's creation and this lock. Where files cannot be locked,
 * sweepers cannot either. */
static bool lock_new(int fd) {
    struct stat info;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) return errno != EWOULDBLOCK;
    return fstat(fd, &info) == 0 && info.st_nlink > 0;
}

/* A file of that name, and its lock. 0 or errno: EEXIST for a name that is taken, EBUSY for one that a
 * sweeper has taken away again. */
static int create(cm_file_new *file) {
    file->fd = openat(file->folder, file->name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (file->fd < 0) return errno;
    bool locked = lock_new(file->fd);
    file->lock = locked ? fcntl(file->fd, F_DUPFD_CLOEXEC, 0) : -1;
    if (file->lock >= 0) return 0;
    int errnum = locked ? errno : EBUSY;
    unlinkat(file->folder, file->name, 0);
    close(file->fd);
    return errnum;
}

/* 0 or errno. What killed processes have left of earlier ones is removed: nobody holds its lock. */
static int create_temporary(cm_file_new *file) {
    int errnum = EEXIST;
    sweep(file->folder, file->base);
    for (int i = 0; i < 100 && (errnum == EEXIST || errnum == EBUSY); i++) {
        snprintf(file->name, sizeof file->name, "%s%s%ld.%d", file->base, temporary_mark, (long)getpid(), i);
        errnum = create(file);
    }
    return errnum;
}

/* The folder of path, opened; *base its last part. -1 with errno. */
static int open_folder(const char *path, const char **base) {
    const char *slash = strrchr(path, '/');
    *base = slash ? slash + 1 : path;
    char *name = slash ? cm_copy_text(path, (size_t)(*base - path)) : cm_copy_text(".", 1);
    if (!name) {
        errno = ENOMEM;
        return -1;
    }
    int folder = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC), errnum = errno;
    cm_free(name);
    errno = errnum;
    return folder;
}

void cm_file_sweep(const char *path) {
    const char *base;
    int folder = open_folder(path, &base);
    if (folder < 0) return;
    sweep(folder, base);
    close(folder);
}

/* ---- replacing ---- */

/* Whatever is at the path now must be a file (or a link to one, which is itself replaced) or nothing at all:
 * rename would put a regular file in the place of a device. */
static cm_status check_target(int folder, const char *path, const char *base, cm_error *error) {
    struct stat info;
    if (base[0] == '\0')
        return cm_fail(error, CM_IO, path, NULL, "the name of a file", "the name of a folder");
    if (fstatat(folder, base, &info, 0) != 0) {
        return errno == ENOENT ? CM_OK : cm_fail_errno(error, path, "cannot write", errno);
    }
    return require_regular(path, info.st_mode, error);
}

cm_status cm_file_new_open(cm_file_new *file, const char *path, cm_error *error) {
    *file = (cm_file_new){.path = path, .fd = -1, .lock = -1};
    file->folder = open_folder(path, &file->base);
    if (file->folder < 0)
        return errno == ENOMEM ? cm_fail_memory(error, 0) : cm_fail_errno(error, path, "cannot write", errno);
    cm_status status = check_target(file->folder, path, file->base, error);
    int errnum = 0;
    if (status == CM_OK) errnum = strlen(file->base) > 255 ? ENAMETOOLONG : create_temporary(file);
    if (errnum) status = cm_fail_errno(error, path, "cannot write", errnum);
    if (status != CM_OK) close(file->folder);
    return status;
}

/* Syncs the file and gives it its name. */
static cm_status put_in_place(cm_file_new *file, cm_error *error) {
    int errnum = fsync(file->lock) != 0 ? errno : 0;
    if (file->fd >= 0 && close(file->fd) != 0 && !errnum) errnum = errno;
    file->fd = -1;
    if (!errnum && renameat(file->folder, file->name, file->folder, file->base) != 0) errnum = errno;
    return errnum ? cm_fail_errno(error, file->path, "cannot write", errnum) : CM_OK;
}

cm_status cm_file_new_close(cm_file_new *file, cm_status status, cm_error *error) {
    if (status == CM_OK) status = put_in_place(file, error);
    if (status != CM_OK) unlinkat(file->folder, file->name, 0);
    if (file->fd >= 0) close(file->fd);
    close(file->lock);
    /* file systems that cannot sync a folder say EINVAL */
    if (status == CM_OK && fsync(file->folder) != 0 && errno != EINVAL)
        status = cm_fail_errno(error, file->path, "cannot sync the folder", errno);
    close(file->folder);
    return status;
}

cm_status cm_file_replace(const char *path, const cm_file_part *parts, size_t count, cm_error *error) {
    cm_file_new file;
    CM_TRY(cm_file_new_open(&file, path, error));
    int errnum = write_parts(file.fd, parts, count);
    return cm_file_new_close(&file, errnum ? cm_fail_errno(error, path, "cannot write", errnum) : CM_OK,
                             error);
}
