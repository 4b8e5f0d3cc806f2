/* Private to weights.c and weights_import.c: where checkpoints lie. */
#ifndef CM_IO_WEIGHTS_FIND_H
#define CM_IO_WEIGHTS_FIND_H

#include "base/fail.h"
#include <stdbool.h>

typedef struct weights_path {
    char text[4096];
} weights_path;

typedef struct weights_found {
    weights_path folder;
    weights_path file; /* a safetensors file, or the index of shards */
    bool index;
} weights_found;

/* See cm_weights_open. */
cm_status weights_find(const char *reference, weights_found *found, cm_error *error);

/* *path = folder/name; CM_IO when it is too long. */
cm_status weights_join(weights_path *path, const char *folder, const char *name, cm_error *error);
/* The folder part of path, "." when there is none. */
cm_status weights_folder_of(weights_path *folder, const char *path, cm_error *error);
/* The value of an environment variable; NULL when it is not set or empty. */
const char *weights_variable(const char *name);
bool weights_is_folder(const char *path);
bool weights_is_file(const char *path);
/* By the end of the name: .pt, .pth, .bin, .ckpt. */
bool weights_is_torch_name(const char *name);

#endif
