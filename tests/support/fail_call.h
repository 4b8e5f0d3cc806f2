/* Calls of the system, of LMDB, htslib and libzip that fail: the linker puts these functions between the
 * library and theirs (-Wl,--wrap=..., tests/faults/meson.build). A program that includes this file counts the
 * calls from fail_call_from on and makes one of them, or all from it on, fail with an errno. */
#ifndef CM_TESTS_FAIL_CALL_H
#define CM_TESTS_FAIL_CALL_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <htslib/bgzf.h>
#include <htslib/hfile.h>
#include <lmdb.h>
#include <locale.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <zip.h>

static struct {
    long left; /* calls that still succeed; below 0: the faulty one was made */
    int code;
    bool on, onwards, failed;
    const char *name; /* of the first call that failed */
} fail_call;

/* The first n calls succeed, the next one (onwards: all others) fail with code. */
static inline void fail_call_from(long n, int code, bool onwards) {
    fail_call.left = n;
    fail_call.code = code;
    fail_call.onwards = onwards;
    fail_call.failed = false;
    fail_call.on = true;
}

/* Calls succeed again. True when one has failed. */
static inline bool fail_call_stop(void) {
    fail_call.on = false;
    return fail_call.failed;
}

static inline bool fail_call_now(const char *name) {
    if (!fail_call.on || fail_call.left-- > 0) return false;
    if (fail_call.failed && !fail_call.onwards) return false;
    if (!fail_call.failed) fail_call.name = name;
    fail_call.failed = true;
    errno = fail_call.code;
    return true;
}

#define FAIL_CALL(type, name, bad, parameters, arguments)            \
    type __real_##name parameters;                                   \
    type __wrap_##name parameters;                                   \
    type __wrap_##name parameters {                                  \
        return fail_call_now(#name) ? bad : __real_##name arguments; \
    }

/* A descriptor is closed whatever close says. */
#define FAIL_CLOSE(type, name, bad, parameters, arguments) \
    type __real_##name parameters;                         \
    type __wrap_##name parameters;                         \
    type __wrap_##name parameters {                        \
        type result = __real_##name arguments;             \
        return fail_call_now(#name) ? bad : result;        \
    }

/* What a disk says of its room, when it is asked. */
static struct statvfs64 fail_call_disk;
static bool fail_call_disk_on;
int __real_statvfs64(const char *path, struct statvfs64 *info);
int __wrap_statvfs64(const char *path, struct statvfs64 *info);
int __wrap_statvfs64(const char *path, struct statvfs64 *info) {
    if (fail_call_now("statvfs")) return -1;
    if (!fail_call_disk_on) return __real_statvfs64(path, info);
    *info = fail_call_disk;
    return 0;
}

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, ...) {
    va_list list;
    va_start(list, flags);
    mode_t mode = flags & O_CREAT ? va_arg(list, mode_t) : 0;
    va_end(list);
    return fail_call_now("open") ? -1 : __real_open64(path, flags, mode);
}

int __real_openat64(int folder, const char *path, int flags, ...);
int __wrap_openat64(int folder, const char *path, int flags, ...);
int __wrap_openat64(int folder, const char *path, int flags, ...) {
    va_list list;
    va_start(list, flags);
    mode_t mode = flags & O_CREAT ? va_arg(list, mode_t) : 0;
    va_end(list);
    return fail_call_now("openat") ? -1 : __real_openat64(folder, path, flags, mode);
}

/* Every use has a pointer or a number behind the command. */
int __real_fcntl64(int fd, int command, ...);
int __wrap_fcntl64(int fd, int command, ...);
int __wrap_fcntl64(int fd, int command, ...) {
    va_list list;
    va_start(list, command);
    void *argument = va_arg(list, void *);
    va_end(list);
    return fail_call_now("fcntl") ? -1 : __real_fcntl64(fd, command, argument);
}

FAIL_CALL(int, fstat64, -1, (int fd, struct stat64 *info), (fd, info))
FAIL_CALL(int, stat64, -1, (const char *path, struct stat64 *info), (path, info))
FAIL_CALL(int, lstat64, -1, (const char *path, struct stat64 *info), (path, info))
FAIL_CALL(int, fstatat64, -1, (int folder, const char *path, struct stat64 *info, int flags),
          (folder, path, info, flags))
FAIL_CALL(ssize_t, read, -1, (int fd, void *bytes, size_t size), (fd, bytes, size))
FAIL_CALL(ssize_t, write, -1, (int fd, const void *bytes, size_t size), (fd, bytes, size))
FAIL_CALL(size_t, fwrite, 0, (const void *bytes, size_t size, size_t n, FILE *file), (bytes, size, n, file))
FAIL_CALL(int, fsync, -1, (int fd), (fd))
FAIL_CALL(int, flock, -1, (int fd, int how), (fd, how))
FAIL_CALL(int, access, -1, (const char *path, int how), (path, how))
FAIL_CALL(int, mkdir, -1, (const char *path, mode_t mode), (path, mode))
FAIL_CALL(int, rename, -1, (const char *from, const char *to), (from, to))
FAIL_CALL(int, renameat, -1, (int folder, const char *from, int other, const char *to),
          (folder, from, other, to))
FAIL_CALL(int, unlink, -1, (const char *path), (path))
FAIL_CALL(int, unlinkat, -1, (int folder, const char *path, int flags), (folder, path, flags))
FAIL_CALL(int, ftruncate64, -1, (int fd, off64_t size), (fd, size))
FAIL_CALL(int, fallocate64, -1, (int fd, int mode, off64_t from, off64_t size), (fd, mode, from, size))
FAIL_CALL(FILE *, fdopen, NULL, (int fd, const char *mode), (fd, mode))
FAIL_CALL(DIR *, fdopendir, NULL, (int fd), (fd))
FAIL_CALL(DIR *, opendir, NULL, (const char *path), (path))
FAIL_CALL(void *, mmap64, MAP_FAILED,
          (void *at, size_t size, int protection, int flags, int fd, off64_t from),
          (at, size, protection, flags, fd, from))
FAIL_CALL(EVP_MD_CTX *, EVP_MD_CTX_new, NULL, (void), ())
FAIL_CLOSE(int, close, -1, (int fd), (fd))
FAIL_CLOSE(int, fclose, EOF, (FILE * file), (file))

/* pthread's functions return their errno. */
FAIL_CALL(int, pthread_rwlockattr_init, fail_call.code, (pthread_rwlockattr_t * attributes), (attributes))
FAIL_CALL(int, pthread_rwlock_init, fail_call.code,
          (pthread_rwlock_t * lock, const pthread_rwlockattr_t *attributes), (lock, attributes))

FAIL_CALL(locale_t, newlocale, (locale_t)0, (int mask, const char *name, locale_t base), (mask, name, base))

/* ---- htslib and libzip ---- */

FAIL_CALL(hFILE *, hdopen, NULL, (int fd, const char *mode), (fd, mode))
FAIL_CALL(BGZF *, bgzf_hopen, NULL, (hFILE * file, const char *mode), (file, mode))
FAIL_CALL(ssize_t, bgzf_read, -1, (BGZF * file, void *bytes, size_t size), (file, bytes, size))

FAIL_CALL(zip_int64_t, zip_get_num_entries, -1, (zip_t * zip, zip_flags_t flags), (zip, flags))
FAIL_CALL(int, zip_stat_index, -1, (zip_t * zip, zip_uint64_t i, zip_flags_t flags, zip_stat_t *info),
          (zip, i, flags, info))
FAIL_CALL(zip_file_t *, zip_fopen_index, NULL, (zip_t * zip, zip_uint64_t i, zip_flags_t flags),
          (zip, i, flags))
FAIL_CALL(zip_int64_t, zip_fread, -1, (zip_file_t * file, void *bytes, zip_uint64_t size),
          (file, bytes, size))

/* ---- LMDB: codes of its own beside those of the system ---- */

static inline int fail_call_lmdb(void) {
    return fail_call.code == EINVAL   ? MDB_CORRUPTED
           : fail_call.code == EEXIST ? MDB_MAP_RESIZED
                                      : fail_call.code;
}

FAIL_CALL(int, mdb_env_create, fail_call_lmdb(), (MDB_env * *env), (env))
FAIL_CALL(int, mdb_env_set_maxdbs, fail_call_lmdb(), (MDB_env * env, MDB_dbi n), (env, n))
FAIL_CALL(int, mdb_env_set_mapsize, fail_call_lmdb(), (MDB_env * env, size_t size), (env, size))
FAIL_CALL(int, mdb_env_open, fail_call_lmdb(),
          (MDB_env * env, const char *path, unsigned flags, mdb_mode_t mode), (env, path, flags, mode))
FAIL_CALL(int, mdb_env_info, fail_call_lmdb(), (MDB_env * env, MDB_envinfo *info), (env, info))
FAIL_CALL(int, mdb_env_stat, fail_call_lmdb(), (MDB_env * env, MDB_stat *info), (env, info))
FAIL_CALL(int, mdb_env_get_fd, fail_call_lmdb(), (MDB_env * env, mdb_filehandle_t *fd), (env, fd))
FAIL_CALL(int, mdb_env_copyfd2, fail_call_lmdb(), (MDB_env * env, mdb_filehandle_t fd, unsigned flags),
          (env, fd, flags))
FAIL_CALL(int, mdb_reader_check, fail_call_lmdb(), (MDB_env * env, int *dead), (env, dead))
FAIL_CALL(int, mdb_txn_begin, fail_call_lmdb(),
          (MDB_env * env, MDB_txn *parent, unsigned flags, MDB_txn **txn), (env, parent, flags, txn))
FAIL_CALL(int, mdb_dbi_open, fail_call_lmdb(),
          (MDB_txn * txn, const char *name, unsigned flags, MDB_dbi *dbi), (txn, name, flags, dbi))
FAIL_CALL(int, mdb_stat, fail_call_lmdb(), (MDB_txn * txn, MDB_dbi dbi, MDB_stat *info), (txn, dbi, info))
FAIL_CALL(int, mdb_get, fail_call_lmdb(), (MDB_txn * txn, MDB_dbi dbi, MDB_val *key, MDB_val *value),
          (txn, dbi, key, value))
FAIL_CALL(int, mdb_put, fail_call_lmdb(),
          (MDB_txn * txn, MDB_dbi dbi, MDB_val *key, MDB_val *value, unsigned flags),
          (txn, dbi, key, value, flags))
FAIL_CALL(int, mdb_del, fail_call_lmdb(), (MDB_txn * txn, MDB_dbi dbi, MDB_val *key, MDB_val *value),
          (txn, dbi, key, value))
FAIL_CALL(int, mdb_cursor_open, fail_call_lmdb(), (MDB_txn * txn, MDB_dbi dbi, MDB_cursor **cursor),
          (txn, dbi, cursor))
FAIL_CALL(int, mdb_cursor_get, fail_call_lmdb(),
          (MDB_cursor * cursor, MDB_val *key, MDB_val *value, MDB_cursor_op how), (cursor, key, value, how))
FAIL_CALL(int, mdb_cursor_del, fail_call_lmdb(), (MDB_cursor * cursor, unsigned flags), (cursor, flags))

int __real_mdb_txn_commit(MDB_txn *txn);
int __wrap_mdb_txn_commit(MDB_txn *txn);
int __wrap_mdb_txn_commit(MDB_txn *txn) {
    if (!fail_call_now("mdb_txn_commit")) return __real_mdb_txn_commit(txn);
    mdb_txn_abort(txn);
    return fail_call_lmdb();
}

#endif
