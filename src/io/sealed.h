/* Sealed files: our own intermediate results (checkpoints of training, finished units of an evaluation) as
 * safetensors whose metadata carry a SHA-256 of everything that matters in them, so that no damage goes
 * unnoticed. Every version of a kind keeps the metadata "format" and "format_version" and this seal. */
#ifndef CM_IO_SEALED_H
#define CM_IO_SEALED_H

#include "io/safetensors.h"
#include <stdbool.h>

typedef struct cm_seal {
    const char *format;       /* kind of file: "crossmamba checkpoint" */
    int version;              /* of that kind; 1 and up */
    const char *key;          /* names what the contents belong to */
    const char *mine, *other; /* in messages: a file of this key and one of another */
} cm_seal;

/* Writes atomically (cm_file_replace). */
cm_status cm_sealed_write(const char *path, const cm_seal *seal, const cm_tensor *tensors, size_t count,
                          cm_error *error);

/* Opens a file whose seal is whole. CM_DATA for everything else that a file can hold; *foreign then tells a
 * file of another version or key from a damaged one. */
cm_status cm_sealed_open(cm_safetensors **file, const char *path, const cm_seal *seal, bool *foreign,
                         cm_error *error);

/* The hash that belongs into the metadata of file; false when out of memory. */
bool cm_sealed_hash(const cm_safetensors *file, char hex[65]);

#endif
