/* Locks between processes. */
#include "base/lock.h"
#include "base/alloc.h"
#include "base/fail.h"
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

struct cm_lock {
    char *path;
    int fd;
};

/* False when the holder before has removed the file between its opening here and its lock. */
static bool has_name(int fd, const char *path) {
    struct stat opened, named;
    return fstat(fd, &opened) == 0 && stat(path, &named) == 0 && opened.st_ino == named.st_ino &&
           opened.st_dev == named.st_dev;
}

/* Opens the file and locks it; -1 with errno, EWOULDBLOCK when somebody holds it. */
static int open_locked(const char *path) {
    for (int i = 0; i < 100; i++) {
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
        if (fd < 0) return -1;
        if (flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
            close(fd);
            errno = EWOULDBLOCK;
            return -1;
        }
        if (has_name(fd, path)) return fd;
        close(fd);
    }
    errno = EWOULDBLOCK;
    return -1;
}

cm_status cm_lock_take(cm_lock **lock, const char *path, const char *held, const char *expected,
                       cm_error *error) {
    *lock = NULL;
    cm_lock *l = cm_new(1, sizeof *l);
    if (l) l->path = cm_copy_text(path, strlen(path));
    if (!l || !l->path) {
        cm_free(l);
        return cm_fail_memory(error, strlen(path));
    }
    l->fd = open_locked(path);
    if (l->fd >= 0) {
        *lock = l;
        return CM_OK;
    }
    int errnum = errno;
    cm_free(l->path);
    cm_free(l);
    if (errnum == EWOULDBLOCK) return cm_fail(error, CM_IO, path, NULL, expected, "%s", held);
    return cm_fail_errno(error, path, "cannot lock", errnum);
}

cm_status cm_lock_release(cm_lock *lock, cm_error *error) {
    if (!lock) return CM_OK;
    /* removed while it is held, so that nobody else's file can be meant */
    bool removed = unlink(lock->path) == 0 || errno == ENOENT;
    cm_status status = removed ? CM_OK : cm_fail_errno(error, lock->path, "cannot remove", errno);
    close(lock->fd);
    cm_free(lock->path);
    cm_free(lock);
    return status;
}
