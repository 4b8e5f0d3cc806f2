/* The embedding store: token matrices of molecules, kept for ever under the key
 * sha256(encoder id, 0 byte, text) in an LMDB environment (a folder). Many processes may read and write at
 * once; a crash at any moment leaves every committed record whole (LMDB's copy on write). Values carry a
 * checksum; a record that fails it is reported as absent (and counted), so it is encoded again. */
#ifndef CM_IO_EMBEDDING_STORE_H
#define CM_IO_EMBEDDING_STORE_H

#include "base/fail.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct cm_embeddings cm_embeddings;

/* Creates the folder when create. CM_IO when it is not there or cannot be used, CM_DATA when it is no store
 * or a newer version. The map grows by itself when the data do. */
cm_status cm_embeddings_open(cm_embeddings **store, const char *folder, bool create, cm_error *error);
void cm_embeddings_close(cm_embeddings *store); /* NULL is allowed */

/* Names and facts of an encoder in the store: written once, listed by info. id is the identity that keys are
 * made of; width its columns. CM_DATA when the id is known with another width. */
cm_status cm_embeddings_encoder(cm_embeddings *store, const char *id, int64_t width, const char *description,
                                cm_error *error);
/* The width of an encoder id; 0 when the store has none of that id. */
cm_status cm_embeddings_width(cm_embeddings *store, const char *id, int64_t *width, cm_error *error);

/* *rows of the record [rows, width]; -1 when there is none. out NULL: only asks; else room for rows * width
 * floats of the record as the caller learnt them before. Thread-safe. */
cm_status cm_embeddings_get(cm_embeddings *store, const char *id, const char *text, int64_t length,
                            int64_t width, int64_t *rows, float *out, cm_error *error);

/* Adds records in one transaction; a record that is there already stays as it is. */
typedef struct cm_embeddings_record {
    const char *text;
    int64_t length;
    int64_t rows;
    const float *data; /* [rows, width] */
} cm_embeddings_record;
cm_status cm_embeddings_put(cm_embeddings *store, const char *id, int64_t width,
                            const cm_embeddings_record *records, int64_t n, cm_error *error);

/* One line of info per encoder id, in the order of the ids. */
typedef struct cm_embeddings_info {
    const char *id, *description;
    int64_t width, records, rows, bytes, damaged;
} cm_embeddings_info;
typedef int (*cm_embeddings_info_sink)(void *context, const cm_embeddings_info *info); /* non-zero stops */
cm_status cm_embeddings_list(cm_embeddings *store, cm_embeddings_info_sink sink, void *context,
                             cm_error *error);

/* Removes the records of id (NULL: damaged records only) and gives the space back to later records; compact
 * rewrites the data file so that the disk gets it back. */
cm_status cm_embeddings_gc(cm_embeddings *store, const char *id, bool compact, int64_t *removed,
                           cm_error *error);

#endif
