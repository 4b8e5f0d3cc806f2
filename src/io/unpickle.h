/* Private to torch_file.c: the pickle of a PyTorch checkpoint, run by an interpreter that builds numbers,
 * texts, containers and descriptions of tensors and nothing else. Globals come from one table
 * (unpickle_globals.c); a name outside it is refused with the name, so no code of the file is ever run.
 *
 * A value is a number into `values`; 0 stands for "not set". Items of containers are chains of cells, so that
 * containers that hold themselves or each other cost nothing. Everything has a ceiling that a checkpoint of
 * tens of thousands of tensors stays far below; together they hold under 48 MB. */
#ifndef CM_IO_UNPICKLE_H
#define CM_IO_UNPICKLE_H

#include "base/map.h"
#include "io/safetensors.h"
#include <stdbool.h>
#include <stdint.h>

typedef enum pickle_kind {
    PICKLE_NONE,
    PICKLE_BOOL,
    PICKLE_INT,
    PICKLE_LONG, /* over 64 bits: little-endian bytes in text[count] */
    PICKLE_TEXT, /* text[count], as it stands in the pickle */
    PICKLE_TUPLE,
    PICKLE_LIST,
    PICKLE_DICT,    /* count is twice the number of entries: key, value, key, value .. */
    PICKLE_GLOBAL,  /* number: row of the table of globals */
    PICKLE_STORAGE, /* number: into storages */
    PICKLE_TENSOR,  /* number: into tensors */
    PICKLE_OTHER    /* built and forgotten: floats, bytes, sets, argparse.Namespace .. */
} pickle_kind;

typedef struct pickle_value {
    uint8_t kind;
    uint32_t count; /* of items or bytes */
    union {
        int64_t number;
        const char *text; /* points into the pickle, not NUL-terminated */
        struct {
            uint32_t head, tail; /* cells, 0 when there is none */
        } items;
    };
} pickle_value;

typedef struct pickle_cell {
    uint32_t value, next;
} pickle_cell;

/* One storage as a persistent identifier names it. */
typedef struct pickle_storage {
    cm_dtype dtype;
    uint64_t numel;
    const unsigned char *data; /* filled by torch_file.c; NULL until then */
} pickle_storage;

/* A strided view of a storage that lies inside it. Offset and strides count elements. */
typedef struct pickle_tensor {
    uint32_t storage;
    int n_dims;
    int64_t offset, numel;
    int64_t dims[CM_TENSOR_MAX_DIMS], strides[CM_TENSOR_MAX_DIMS];
} pickle_tensor;

enum {
    PICKLE_MAX_VALUES = 1 << 19,
    PICKLE_MAX_CELLS = 1 << 20,
    PICKLE_MAX_STACK = 1 << 18,
    PICKLE_MAX_MEMO = 1 << 19,
    PICKLE_MAX_TENSORS = 1 << 16
};

/* A growing array with a ceiling. */
typedef struct pickle_array {
    void *data;
    size_t count, room;
} pickle_array;

typedef struct unpickler {
    const char *path, *entry; /* the file; the entry of the archive, or NULL */
    cm_error *error;
    pickle_array values, cells, tensors, storages; /* of the structs above */
    cm_map *keys;                                  /* key of a storage -> number */
    /* the pickle that runs */
    const unsigned char *data;
    size_t size, at, op;      /* op: where the current instruction began */
    pickle_array stack, memo; /* of uint32_t; on the stack UINT32_MAX is a mark */
} unpickler;

bool unpickler_init(unpickler *u, const char *path, const char *entry, cm_error *error);
void unpickler_clear(unpickler *u);

/* Runs the pickle that begins at data[at]; messages count bytes from data. On success *top is its value and
 * u->at stands behind it. */
cm_status unpickler_run(unpickler *u, const unsigned char *data, size_t size, size_t at, uint32_t *top);

const pickle_value *unpickler_value(const unpickler *u, uint32_t value);
/* The first item of a container and the one after it; 0 at the end. */
uint32_t unpickler_first(const unpickler *u, uint32_t container);
pickle_cell unpickler_cell(const unpickler *u, uint32_t cell);
/* The value under a text key of a dict (the last one set, as in Python); 0 when there is none. */
uint32_t unpickler_member(const unpickler *u, uint32_t dict, const char *key);

/* ---- between unpickle.c and unpickle_globals.c ---- */

/* CM_DATA at the current instruction. */
cm_status unpickler_fail(const unpickler *u, const char *expected, const char *found);
cm_status unpickler_new(unpickler *u, pickle_value value, uint32_t *id);
cm_status unpickler_append(unpickler *u, uint32_t container, uint32_t item);
/* Room for one more element of size bytes at the end of array; CM_DATA over limit. */
cm_status unpickler_grow(const unpickler *u, pickle_array *array, size_t size, size_t limit,
                         const char *what);
/* The items of a tuple or list into items[most]; their number, or -1 when there are more. */
int unpickler_items(const unpickler *u, uint32_t container, uint32_t *items, int most);

/* Finds "module.name" in the table. */
cm_status unpickler_global(unpickler *u, const char *module, size_t module_len, const char *name,
                           size_t name_len, uint32_t *id);
/* What calling a global with a tuple gives. */
cm_status unpickler_call(unpickler *u, uint32_t function, uint32_t arguments, uint32_t *result);
/* The storage that a persistent identifier names. */
cm_status unpickler_persistent(unpickler *u, uint32_t identifier, uint32_t *result);

#endif
