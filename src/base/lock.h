/* A lock between processes. It is a file that one of them at a time holds (flock); the system takes the lock
 * from a holder that ends, however it ends. The empty file that a killed holder leaves blocks nobody, and the
 * next holder removes it. Where the file system has no locks everybody gets one. */
#ifndef CM_BASE_LOCK_H
#define CM_BASE_LOCK_H

#include <crossmamba/error.h>

typedef struct cm_lock cm_lock;

/* Takes the lock that the file at path is, without waiting; *lock is NULL on failure. held: what is said of
 * one that somebody else has (CM_IO), expected: what should be instead. */
cm_status cm_lock_take(cm_lock **lock, const char *path, const char *held, const char *expected,
                       cm_error *error);

/* Removes the file, gives the lock up and frees it, whatever happens; CM_IO when the file could not be
 * removed. NULL is allowed. */
cm_status cm_lock_release(cm_lock *lock, cm_error *error);

#endif
