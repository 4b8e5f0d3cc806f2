/* Mapping a file, and replacing one as a whole. */
#include "base/file.h"

#include "base/alloc.h"
#include "base/fail.h"
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
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

/* Looks before it opens, because to open a device can have effects, and again afterwards, because the name
 * may mean something else by then. */
static cm_status open_regular(const char *path, int *fd, size_t *size, cm_error *error) {
    struct stat info;
    if (stat(path, &info) != 0) return cm_fail_errno(error, path, "cannot open", errno);
    CM_TRY(require_regular(path, info.st_mode, error));
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

cm_status cm_file_map_open(cm_file_map *map, const char *path, cm_error *error) {
    int fd = -1;
    size_t size = 0;
    CM_TRY(open_regular(path, &fd, &size, error));
    void *data = NULL;
    if (size > 0) data = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    int map_errno = errno;
    close(fd);
    if (data == MAP_FAILED) return cm_fail_errno(error, path, "cannot map", map_errno);
    *map = (cm_file_map){.data = data, .size = size};
    return CM_OK;
}

void cm_file_map_close(cm_file_map *map) {
    if (map->data) munmap((void *)(uintptr_t)map->data, map->size);
    *map = (cm_file_map){0};
}

void cm_file_map_drop(const cm_file_map *map, const void *part, size_t size) {
    if (size == 0) return;
    size_t page = (size_t)sysconf(_SC_PAGESIZE), begin = (size_t)((const unsigned char *)part - map->data);
    size_t first = begin / page * page;
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

/* A new file in folder next to base; name[size] gets its name. The descriptor, or -1 with errno. A name that
 * another thread or a dead process has taken is passed over. */
static int create_temporary(int folder, const char *base, char *name, size_t size) {
    for (int i = 0; i < 100; i++) {
        snprintf(name, size, "%s.tmp.%ld.%d", base, (long)getpid(), i);
        int fd = openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0 || errno != EEXIST) return fd;
    }
    return -1;
}

/* Writes the temporary file and puts it in the place of base. */
static cm_status replace_in(int folder, const char *path, const char *base, const cm_file_part *parts,
                            size_t count, cm_error *error) {
    char name[320]; /* over NAME_MAX: a longer name is refused by the system, not cut to another one */
    if (strlen(base) > 255) return cm_fail_errno(error, path, "cannot write", ENAMETOOLONG);
    int fd = create_temporary(folder, base, name, sizeof name);
    if (fd < 0) return cm_fail_errno(error, path, "cannot write", errno);
    int errnum = write_parts(fd, parts, count);
    if (!errnum && fsync(fd) != 0) errnum = errno;
    if (close(fd) != 0 && !errnum) errnum = errno;
    if (!errnum && renameat(folder, name, folder, base) != 0) errnum = errno;
    if (errnum) {
        unlinkat(folder, name, 0);
        return cm_fail_errno(error, path, "cannot write", errnum);
    }
    /* file systems that cannot sync a folder say EINVAL */
    if (fsync(folder) != 0 && errno != EINVAL)
        return cm_fail_errno(error, path, "cannot sync the folder", errno);
    return CM_OK;
}

/* Whatever is at the path now must be a file (or a link, which is itself replaced) or nothing at all: rename
 * would put a regular file in the place of a device. */
static cm_status check_target(int folder, const char *path, const char *base, cm_error *error) {
    struct stat info;
    if (base[0] == '\0')
        return cm_fail(error, CM_IO, path, NULL, "the name of a file", "the name of a folder");
    if (fstatat(folder, base, &info, AT_SYMLINK_NOFOLLOW) != 0) {
        return errno == ENOENT ? CM_OK : cm_fail_errno(error, path, "cannot write", errno);
    }
    return S_ISLNK(info.st_mode) ? CM_OK : require_regular(path, info.st_mode, error);
}

cm_status cm_file_replace(const char *path, const cm_file_part *parts, size_t count, cm_error *error) {
    const char *slash = strrchr(path, '/');
    const char *base = slash ? slash + 1 : path;
    size_t folder_len = (size_t)(base - path);
    char *folder_name = slash ? cm_copy_text(path, folder_len) : cm_copy_text(".", 1);
    if (!folder_name) return cm_fail_memory(error, folder_len);
    int folder = open(folder_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int open_errno = errno;
    cm_free(folder_name);
    if (folder < 0) return cm_fail_errno(error, path, "cannot write", open_errno);
    cm_status status = check_target(folder, path, base, error);
    if (status == CM_OK) status = replace_in(folder, path, base, parts, count, error);
    close(folder);
    return status;
}
