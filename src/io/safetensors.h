/* The safetensors format (github.com/huggingface/safetensors): u64 little-endian header length, JSON header,
 * then the tensors' bytes without holes. Reading maps the file and checks everything in the header before
 * anything is used; writing gives the same bytes for the same content. */
#ifndef CM_IO_SAFETENSORS_H
#define CM_IO_SAFETENSORS_H

#include "base/fail.h"
#include <stdint.h>

/* Enum order as upstream; the writer sorts by it, highest first. */
#define CM_DTYPE_LIST(X) \
    X(BOOL, 1)           \
    X(U8, 1)             \
    X(I8, 1)             \
    X(F8_E5M2, 1)        \
    X(F8_E4M3, 1)        \
    X(I16, 2) X(U16, 2) X(F16, 2) X(BF16, 2) X(I32, 4) X(U32, 4) X(F32, 4) X(F64, 8) X(I64, 8) X(U64, 8)
typedef enum cm_dtype {
#define X(name, bytes) CM_DTYPE_##name,
    CM_DTYPE_LIST(X)
#undef X
} cm_dtype;

enum { CM_TENSOR_MAX_DIMS = 8 };

typedef struct cm_tensor {
    const char *name;
    cm_dtype dtype;
    int n_dims;
    int64_t dims[CM_TENSOR_MAX_DIMS];
    const void *data; /* may be unaligned; NULL when bytes is 0 */
    size_t bytes;
} cm_tensor;

typedef struct cm_safetensors cm_safetensors;

cm_status cm_safetensors_open(cm_safetensors **file, const char *path, cm_error *error);
/* The same over memory that stays the caller's; name stands for the path in messages. */
cm_status cm_safetensors_read(cm_safetensors **file, const void *data, size_t size, const char *name,
                              cm_error *error);
void cm_safetensors_close(cm_safetensors *file);

size_t cm_safetensors_count(const cm_safetensors *file);
const cm_tensor *cm_safetensors_get(const cm_safetensors *file, size_t i);          /* in file order */
const cm_tensor *cm_safetensors_find(const cm_safetensors *file, const char *name); /* NULL: not there */
const char *cm_safetensors_metadata(const cm_safetensors *file, const char *key);   /* NULL: not there */

/* Lets the system take back the memory of the mapped pages under data[bytes], which lie in the file's
 * tensors; nothing happens when the file was read from memory of the caller. */
void cm_safetensors_drop(const cm_safetensors *file, const void *data, size_t bytes);

const char *cm_dtype_name(cm_dtype dtype);
size_t cm_dtype_bytes(cm_dtype dtype);

typedef struct cm_metadata_entry {
    const char *key, *value;
} cm_metadata_entry;

/* Writes atomically (cm_file_replace). Tensor data are not copied. */
cm_status cm_safetensors_write(const char *path, const cm_tensor *tensors, size_t count,
                               const cm_metadata_entry *metadata, size_t n_metadata, cm_error *error);

#endif
