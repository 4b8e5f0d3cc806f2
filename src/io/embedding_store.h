/* The embedding store: token matrices of molecules, kept for ever under the key
 * sha256(encoder id, 0 byte, text) in an LMDB environment (a folder). Many processes may read and write at
 * once; a crash at any moment leaves every committed record whole (LMDB's copy on write). Values carry a
 * checksum; a record that fails it is reported as absent (and counted by list), so it is encoded again, and
 * put replaces it.
 *
 * A handle may be used by any number of threads, but not across fork. A process opens a folder once at a time
 * (LMDB's locks belong to the process). The folder must be writable and on a local disk. Everything is in the
 * byte order of the machine; sizes: texts any, ids 1 to 511 bytes, a record below 4 GiB. */
#ifndef CM_IO_EMBEDDING_STORE_H
#define CM_IO_EMBEDDING_STORE_H

#include "base/fail.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct cm_embeddings cm_embeddings;

/* Creates the folder (not its parents) when create. CM_IO when it is not there or cannot be used, CM_DATA
 * when it is no store or a newer version. The map of the file starts at 1 GiB of address space and doubles
 * when the data have filled it. */
cm_status cm_embeddings_open(cm_embeddings **store, const char *folder, bool create, cm_error *error);
/* The same with the first size of the map in bytes (> 0), so that a test can see it grow. */
cm_status cm_embeddings_open_sized(cm_embeddings **store, const char *folder, bool create, size_t first_map,
                                   cm_error *error);
void cm_embeddings_close(cm_embeddings *store); /* NULL is allowed */

/* Names and facts of an encoder in the store: written once, listed by list. id is the identity that keys are
 * made of; width its columns. CM_DATA when the id is known with another width. */
cm_status cm_embeddings_encoder(cm_embeddings *store, const char *id, int64_t width, const char *description,
                                cm_error *error);
/* The width of an encoder id; 0 when the store has none of that id. */
cm_status cm_embeddings_width(cm_embeddings *store, const char *id, int64_t *width, cm_error *error);

/* *rows of the record [rows, width]; -1 when there is none. out NULL: only asks (the checksum is made, so
 * what was there will be there). Else out has room for the *rows * width floats that the caller learnt
 * before; CM_DATA when the record has other rows by now. CM_DATA when id is known with another width. */
cm_status cm_embeddings_get(cm_embeddings *store, const char *id, const char *text, int64_t length,
                            int64_t width, int64_t *rows, float *out, cm_error *error);

/* Adds records in one transaction, which is on the disk when put returns; a record that is there already
 * stays as it is. An id that is not known yet is added without description. LMDB holds the pages of the
 * transaction in memory of its own until then. CM_IO when the disk is full: nothing of the transaction is
 * there then. */
typedef struct cm_embeddings_record {
    const char *text;
    int64_t length;
    int64_t rows;
    const float *data; /* [rows, width] */
} cm_embeddings_record;
cm_status cm_embeddings_put(cm_embeddings *store, const char *id, int64_t width,
                            const cm_embeddings_record *records, int64_t n, cm_error *error);

/* One line of info per encoder id, in the order of the bytes of the ids; texts are valid during the call of
 * sink. Reads and checks every record. records, rows and bytes (of the floats) count whole records. Records
 * that belong to no encoder (an interrupted gc, damage) follow as damaged ones of the id "". */
typedef struct cm_embeddings_info {
    const char *id, *description;
    int64_t width, records, rows, bytes, damaged;
} cm_embeddings_info;
typedef int (*cm_embeddings_info_sink)(void *context, const cm_embeddings_info *info); /* non-zero stops */
cm_status cm_embeddings_list(cm_embeddings *store, cm_embeddings_info_sink sink, void *context,
                             cm_error *error);

/* Removes the records of id and id itself (NULL: damaged records only) and gives the space back to later
 * records. CM_USAGE when the store does not know id. Works in short transactions; records of id that another
 * process adds meanwhile may stay. compact then rewrites the data file so that the disk gets the space back,
 * which needs room for a second copy and the store to itself: CM_IO when another handle, here or in another
 * process, has it open (the records are removed all the same). *removed is filled whatever happens; NULL is
 * allowed. */
cm_status cm_embeddings_gc(cm_embeddings *store, const char *id, bool compact, int64_t *removed,
                           cm_error *error);

#endif
