/* The LMDB environment under the embedding store: opening, transactions that survive a map that is too small,
 * and compaction. Private to src/io.
 *
 * Files of the folder: data.mdb and lock.mdb are LMDB's. "users" is empty; every open store holds a lock on
 * it (an open file description lock, so that the kernel drops it with the process), shared while in use,
 * exclusive for the moments that need to be alone: a new folder, the repair of a cut file, compaction.
 *
 * LMDB forbids changing the size of the map while this process has a transaction, so every transaction runs
 * under the read side of a lock whose write side changes the map. */
#ifndef CM_IO_STORE_ENV_H
#define CM_IO_STORE_ENV_H

#include "base/fail.h"
#include <lmdb.h>
#include <stdbool.h>

typedef struct cm_store_env cm_store_env;

/* first_map: bytes of the map of a new store, > 0. Errors as cm_embeddings_open. */
cm_status cm_store_env_open(cm_store_env **env, const char *folder, bool create, size_t first_map,
                            cm_error *error);
void cm_store_env_close(cm_store_env *env); /* NULL is allowed */
const char *cm_store_env_folder(const cm_store_env *env);

/* A transaction as the work in it sees it. */
typedef struct cm_store_txn {
    MDB_txn *txn;
    MDB_dbi meta, encoders, records;
    const char *folder;
    cm_error *error;
    cm_status status; /* what work failed with when it returns CM_STORE_REFUSED */
} cm_store_txn;

/* Returns 0, an LMDB code, an errno, or CM_STORE_REFUSED with txn->status. Runs again from its start when the
 * map had to change. */
enum { CM_STORE_REFUSED = -1 };
typedef int (*cm_store_work)(cm_store_txn *txn, void *context);

/* Runs work in a transaction that is committed when it returns 0 and else dropped. Any thread. */
cm_status cm_store_env_read(cm_store_env *env, cm_store_work work, void *context, cm_error *error);
cm_status cm_store_env_write(cm_store_env *env, cm_store_work work, void *context, cm_error *error);

/* Writes the data in use to a new file that takes the place of data.mdb. CM_IO when another handle has the
 * store open: it would go on reading, and worse writing, the old file. */
cm_status cm_store_env_compact(cm_store_env *env, cm_error *error);

#endif
