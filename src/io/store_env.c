/* The LMDB environment of the embedding store (lmdb.h, version 0.9). */
#include "io/store_env.h"

#include "base/alloc.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { FORMAT = 1 };
/* Room for about 2,000 readers at a time. */
static const off_t lock_file_bytes = 128 << 10;
static const char format_key[] = "format";

struct cm_store_env {
    char *folder;
    int folder_fd, users_fd;
    size_t first_map;
    pthread_rwlock_t lock; /* read: inside a transaction; write: the map or the environment changes */
    MDB_env *env;          /* NULL after a compaction whose new file could not be opened */
    MDB_dbi meta, encoders, records;
};

const char *cm_store_env_folder(const cm_store_env *env) {
    return env->folder;
}

/* ---- errors ---- */

/* LMDB reports a write that the disk cut short as EIO. */
static bool is_disk_full(const char *folder) {
    struct statvfs info;
    return statvfs(folder, &info) == 0 && info.f_bavail < (1 << 20) / (info.f_frsize ? info.f_frsize : 1);
}

static cm_status fail_lmdb(const cm_store_env *env, const char *action, int code, cm_error *error) {
    switch (code) {
    case ENOMEM:
        return cm_fail_memory(error, 0);
    case EIO:
        return cm_fail_errno(error, env->folder, action, is_disk_full(env->folder) ? ENOSPC : EIO);
    case MDB_INVALID:
    case MDB_VERSION_MISMATCH:
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INCOMPATIBLE:
    case MDB_NOTFOUND:
        return cm_fail(error, CM_DATA, env->folder, "data.mdb", "an embedding store", "%s",
                       mdb_strerror(code));
    default:
        break;
    }
    if (code > 0) return cm_fail_errno(error, env->folder, action, code);
    return cm_fail(error, CM_IO, env->folder, NULL, NULL, "%s: %s", action, mdb_strerror(code));
}

/* ---- the folder ---- */

/* 0 or errno. An open file description lock belongs to the descriptor, so two handles of one process exclude
 * each other too, and changing between shared and exclusive is one step. */
static int lock_users(int fd, short type, bool wait) {
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET};
    while (fcntl(fd, wait ? F_OFD_SETLKW : F_OFD_SETLK, &lock) != 0) {
        if (errno != EINTR) return errno;
    }
    return 0;
}

/* Whether the folder holds nothing but what an interrupted creation leaves. */
static cm_status check_empty(const cm_store_env *env, cm_error *error) {
    int fd = openat(env->folder_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    if (!folder) {
        int errnum = errno;
        if (fd >= 0) close(fd);
        return cm_fail_errno(error, env->folder, "cannot read the folder", errnum);
    }
    cm_status status = CM_OK;
    static const char *const known[] = {".", "..", "users", "lock.mdb"};
    for (struct dirent *entry = readdir(folder); entry && status == CM_OK; entry = readdir(folder)) {
        bool ours = false;
        for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
            ours |= strcmp(entry->d_name, known[i]) == 0;
        if (!ours)
            status = cm_fail(error, CM_DATA, env->folder, NULL, "an embedding store or an empty folder",
                             "other files (%s)", entry->d_name);
    }
    closedir(folder);
    return status;
}

/* The folder holds a data file, or may get one. An existing store has a data file of at least one byte. */
static cm_status check_data_file(const cm_store_env *env, bool create, cm_error *error) {
    struct stat info;
    if (fstatat(env->folder_fd, "data.mdb", &info, 0) == 0) {
        if (!S_ISREG(info.st_mode))
            return cm_fail(error, CM_DATA, env->folder, "data.mdb", "a regular file", "something else");
        if (info.st_size > 0 || create) return CM_OK;
        return cm_fail(error, CM_DATA, env->folder, "data.mdb", "an embedding store", "an empty file");
    }
    if (errno != ENOENT) return cm_fail_errno(error, env->folder, "cannot read the folder", errno);
    if (!create)
        return cm_fail(error, CM_DATA, env->folder, NULL, "an embedding store", "a folder without data.mdb");
    return check_empty(env, error);
}

static cm_status open_folder(cm_store_env *env, bool create, cm_error *error) {
    if (create && mkdir(env->folder, 0777) != 0 && errno != EEXIST)
        return cm_fail_errno(error, env->folder, "cannot create the embedding store", errno);
    env->folder_fd = open(env->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (env->folder_fd < 0)
        return cm_fail_errno(error, env->folder, "cannot open the embedding store", errno);
    CM_TRY(check_data_file(env, create, error));
    env->users_fd = openat(env->folder_fd, "users", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (env->users_fd < 0)
        return cm_fail_errno(error, env->folder, "cannot write to the embedding store", errno);
    return CM_OK;
}

/* LMDB maps lock.mdb and writes through the map; on a full disk a hole in the file would be SIGBUS. */
static cm_status reserve_lock_file(const cm_store_env *env, cm_error *error) {
    int fd = openat(env->folder_fd, "lock.mdb", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fd < 0) return cm_fail_errno(error, env->folder, "cannot write to the embedding store", errno);
    int errnum = fallocate(fd, 0, 0, lock_file_bytes) == 0 ? 0 : errno;
    close(fd);
    if (errnum == 0 || errnum == EOPNOTSUPP || errnum == EINTR) return CM_OK;
    return cm_fail_errno(error, env->folder, "cannot write to the embedding store", errnum);
}

/* A data file that was cut (a broken copy) must not end in SIGBUS: the pages that are missing come back as
 * zeros, which LMDB reports as damage in its own pages and the checksum finds in a record. A file may also be
 * a little short by right, because LMDB does not write pages at the end that it freed. */
static cm_status mend_length(const cm_store_env *env, cm_error *error) {
    MDB_envinfo info;
    MDB_stat stat_now;
    struct stat file;
    int fd = -1, errnum = 0, code = mdb_env_info(env->env, &info);
    if (code == 0) code = mdb_env_stat(env->env, &stat_now);
    if (code == 0) code = mdb_env_get_fd(env->env, &fd);
    if (code) return fail_lmdb(env, "cannot open the embedding store", code, error);
    off_t wanted = (off_t)((info.me_last_pgno + 1) * stat_now.ms_psize);
    if (fstat(fd, &file) != 0 || (file.st_size < wanted && ftruncate(fd, wanted) != 0)) errnum = errno;
    return errnum ? cm_fail_errno(error, env->folder, "cannot open the embedding store", errnum) : CM_OK;
}

/* ---- the format ---- */

static int open_tables(cm_store_env *env, MDB_txn *txn, unsigned flags) {
    int code = mdb_dbi_open(txn, "meta", flags, &env->meta);
    if (code == 0) code = mdb_dbi_open(txn, "encoders", flags, &env->encoders);
    if (code == 0) code = mdb_dbi_open(txn, "records", flags, &env->records);
    return code;
}

/* Fills an environment without any table. MDB_NOTFOUND when it has others. */
static int create_tables(cm_store_env *env, MDB_txn *txn) {
    MDB_dbi root;
    MDB_stat info;
    int code = mdb_dbi_open(txn, NULL, 0, &root);
    if (code == 0) code = mdb_stat(txn, root, &info);
    if (code) return code;
    if (info.ms_entries > 0) return MDB_NOTFOUND;
    code = open_tables(env, txn, MDB_CREATE);
    uint32_t format = FORMAT;
    MDB_val key = {sizeof format_key - 1, (void *)(uintptr_t)format_key}, value = {sizeof format, &format};
    return code ? code : mdb_put(txn, env->meta, &key, &value, 0);
}

/* The format version, or an LMDB code. */
static int read_format(cm_store_env *env, MDB_txn *txn, uint32_t *format) {
    MDB_val key = {sizeof format_key - 1, (void *)(uintptr_t)format_key}, value;
    int code = mdb_get(txn, env->meta, &key, &value);
    if (code) return code;
    if (value.mv_size != sizeof *format) return MDB_CORRUPTED;
    memcpy(format, value.mv_data, sizeof *format);
    return 0;
}

/* One transaction on tables that may not be there yet. */
static int try_tables(cm_store_env *env, bool create, uint32_t *format) {
    MDB_txn *txn;
    int code = mdb_txn_begin(env->env, NULL, create ? 0 : MDB_RDONLY, &txn);
    if (code) return code;
    if (create) code = create_tables(env, txn);
    if (code == 0) code = open_tables(env, txn, 0);
    if (code == 0) code = read_format(env, txn, format);
    if (code) {
        mdb_txn_abort(txn);
        return code;
    }
    return mdb_txn_commit(txn);
}

static cm_status check_tables(cm_store_env *env, bool create, cm_error *error) {
    uint32_t format = 0;
    int code;
    do {
        code = try_tables(env, false, &format);
        if (code == MDB_NOTFOUND && create) code = try_tables(env, true, &format);
    } while (code == MDB_MAP_RESIZED && mdb_env_set_mapsize(env->env, 0) == 0);
    if (code) return fail_lmdb(env, "cannot open the embedding store", code, error);
    if (format == FORMAT) return CM_OK;
    return cm_fail(error, CM_DATA, env->folder, "data.mdb", cm_format("at most %d", FORMAT).text,
                   "format version %u of the embedding store", (unsigned)format);
}

/* ---- opening ---- */

/* Under an exclusive or a shared lock of users. No thread-local reader slots: a read transaction then belongs
 * to the call that began it. */
static cm_status open_env(cm_store_env *env, cm_error *error) {
    const char *action = "cannot open the embedding store";
    int code = mdb_env_create(&env->env), dead;
    if (code == 0) code = mdb_env_set_maxdbs(env->env, 3);
    if (code == 0) code = mdb_env_set_mapsize(env->env, env->first_map);
    if (code == 0) code = mdb_env_open(env->env, env->folder, MDB_NOTLS, 0666);
    if (code == 0) code = mdb_reader_check(env->env, &dead);
    return code ? fail_lmdb(env, action, code, error) : CM_OK;
}

/* A disk that was full while LMDB wrote the first pages must not leave a file that is no store to the next
 * run. */
static cm_status open_new_or_old(cm_store_env *env, bool alone, cm_error *error) {
    struct stat info;
    bool begun = fstatat(env->folder_fd, "data.mdb", &info, 0) == 0 ? info.st_size > 0 : errno != ENOENT;
    cm_status status = open_env(env, error);
    if (status != CM_OK && alone && !begun) unlinkat(env->folder_fd, "data.mdb", 0);
    return status;
}

static cm_status open_locked(cm_store_env *env, bool create, bool alone, cm_error *error) {
    if (alone) CM_TRY(reserve_lock_file(env, error));
    CM_TRY(open_new_or_old(env, alone, error));
    if (alone) CM_TRY(mend_length(env, error));
    return check_tables(env, create, error);
}

static cm_status open_all(cm_store_env *env, bool create, cm_error *error) {
    CM_TRY(open_folder(env, create, error));
    int errnum = lock_users(env->users_fd, F_WRLCK, false);
    bool alone = errnum == 0;
    if (errnum == EAGAIN || errnum == EACCES) errnum = lock_users(env->users_fd, F_RDLCK, true);
    if (errnum) return cm_fail_errno(error, env->folder, "cannot lock the embedding store", errnum);
    CM_TRY(open_locked(env, create, alone, error));
    errnum = lock_users(env->users_fd, F_RDLCK, true);
    return errnum ? cm_fail_errno(error, env->folder, "cannot lock the embedding store", errnum) : CM_OK;
}

/* A thread that wants to change the map must not starve behind readers. */
static int init_lock(pthread_rwlock_t *lock) {
    pthread_rwlockattr_t attributes;
    int errnum = pthread_rwlockattr_init(&attributes);
    if (errnum) return errnum;
    pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    errnum = pthread_rwlock_init(lock, &attributes);
    pthread_rwlockattr_destroy(&attributes);
    return errnum;
}

cm_status cm_store_env_open(cm_store_env **env, const char *folder, bool create, size_t first_map,
                            cm_error *error) {
    cm_store_env *opened = cm_new(1, sizeof *opened);
    if (!opened) return cm_fail_memory(error, sizeof *opened);
    *opened = (cm_store_env){.folder_fd = -1, .users_fd = -1, .first_map = first_map};
    if (init_lock(&opened->lock) != 0) {
        cm_free(opened);
        return cm_fail_memory(error, 0);
    }
    opened->folder = cm_copy_text(folder, strlen(folder));
    cm_status status = opened->folder ? open_all(opened, create, error) : cm_fail_memory(error, 0);
    if (status != CM_OK) {
        cm_store_env_close(opened);
        return status;
    }
    *env = opened;
    return CM_OK;
}

void cm_store_env_close(cm_store_env *env) {
    if (!env) return;
    if (env->env) mdb_env_close(env->env);
    if (env->users_fd >= 0) close(env->users_fd);
    if (env->folder_fd >= 0) close(env->folder_fd);
    pthread_rwlock_destroy(&env->lock);
    cm_free(env->folder);
    cm_free(env);
}

/* ---- transactions ---- */

/* One attempt under the read lock; *map gets the size of the map that it saw. */
static int attempt(cm_store_env *env, unsigned flags, cm_store_work work, void *context, cm_store_txn *txn,
                   size_t *map) {
    MDB_envinfo info;
    int code = env->env ? mdb_env_info(env->env, &info) : MDB_PANIC;
    if (code) return code;
    *map = info.me_mapsize;
    code = mdb_txn_begin(env->env, NULL, flags, &txn->txn);
    if (code) return code;
    txn->meta = env->meta;
    txn->encoders = env->encoders;
    txn->records = env->records;
    code = work(txn, context);
    if (code) {
        mdb_txn_abort(txn->txn);
        return code;
    }
    return mdb_txn_commit(txn->txn);
}

/* Doubles the map, or takes the size that another process has given it; unless another thread was here first.
 */
static int change_map(cm_store_env *env, int code, size_t seen) {
    pthread_rwlock_wrlock(&env->lock);
    MDB_envinfo info;
    size_t wanted = 0;
    int result = env->env ? mdb_env_info(env->env, &info) : MDB_PANIC;
    if (result == 0 && info.me_mapsize <= seen) {
        if (code == MDB_MAP_FULL && !cm_size_mul(seen, 2, &wanted)) result = ENOMEM;
        if (result == 0) result = mdb_env_set_mapsize(env->env, wanted);
    }
    pthread_rwlock_unlock(&env->lock);
    return result;
}

static cm_status run(cm_store_env *env, unsigned flags, cm_store_work work, void *context, cm_error *error) {
    cm_store_txn txn = {.folder = env->folder, .error = error, .status = CM_OK};
    int code;
    do {
        size_t map = 0;
        pthread_rwlock_rdlock(&env->lock);
        code = attempt(env, flags, work, context, &txn, &map);
        pthread_rwlock_unlock(&env->lock);
        if (code != MDB_MAP_FULL && code != MDB_MAP_RESIZED) break;
        code = change_map(env, code, map);
    } while (code == 0);
    if (code == 0) return CM_OK;
    if (code == CM_STORE_REFUSED) return txn.status;
    return fail_lmdb(env, flags & MDB_RDONLY ? "cannot read" : "cannot write", code, error);
}

cm_status cm_store_env_read(cm_store_env *env, cm_store_work work, void *context, cm_error *error) {
    return run(env, MDB_RDONLY, work, context, error);
}

cm_status cm_store_env_write(cm_store_env *env, cm_store_work work, void *context, cm_error *error) {
    return run(env, 0, work, context, error);
}

/* ---- compaction ---- */

static const char compact_name[] = "data.mdb.compact";

/* The copy, complete on the disk, under its temporary name. */
static cm_status write_copy(cm_store_env *env, cm_error *error) {
    int fd =
        openat(env->folder_fd, compact_name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fd < 0) return cm_fail_errno(error, env->folder, "cannot compact", errno);
    int code = mdb_env_copyfd2(env->env, fd, MDB_CP_COMPACT);
    if (code == 0 && fsync(fd) != 0) code = errno;
    if (close(fd) != 0 && code == 0) code = errno;
    if (code) unlinkat(env->folder_fd, compact_name, 0);
    return code ? fail_lmdb(env, "cannot compact", code, error) : CM_OK;
}

/* The rename is the moment of change: before it the old file is whole, after it the new one. */
static cm_status replace_data(cm_store_env *env, cm_error *error) {
    mdb_env_close(env->env);
    env->env = NULL;
    int errnum = 0;
    if (renameat(env->folder_fd, compact_name, env->folder_fd, "data.mdb") != 0) errnum = errno;
    if (!errnum && fsync(env->folder_fd) != 0 && errno != EINVAL) errnum = errno;
    cm_status status = open_env(env, error);
    if (status == CM_OK) status = check_tables(env, false, error);
    if (status != CM_OK && env->env) {
        mdb_env_close(env->env);
        env->env = NULL;
    }
    if (status == CM_OK && errnum) {
        unlinkat(env->folder_fd, compact_name, 0);
        status = cm_fail_errno(error, env->folder, "cannot compact", errnum);
    }
    return status;
}

static cm_status compact_alone(cm_store_env *env, cm_error *error) {
    if (!env->env) return fail_lmdb(env, "cannot compact", MDB_PANIC, error);
    int errnum = lock_users(env->users_fd, F_WRLCK, false);
    if (errnum == EAGAIN || errnum == EACCES)
        return cm_fail(error, CM_IO, env->folder, NULL, "a store that nobody else has open to compact it",
                       "another user");
    if (errnum) return cm_fail_errno(error, env->folder, "cannot lock the embedding store", errnum);
    cm_status status = write_copy(env, error);
    if (status == CM_OK) status = replace_data(env, error);
    lock_users(env->users_fd, F_RDLCK, false);
    return status;
}

cm_status cm_store_env_compact(cm_store_env *env, cm_error *error) {
    pthread_rwlock_wrlock(&env->lock);
    cm_status status = compact_alone(env, error);
    pthread_rwlock_unlock(&env->lock);
    return status;
}
