/* The tensors of a published checkpoint: model.safetensors, a sharded model.safetensors.index.json, or one
 * .safetensors file. PyTorch files are refused with the command that imports them. */
#ifndef CM_IO_WEIGHTS_H
#define CM_IO_WEIGHTS_H

#include "io/safetensors.h"

typedef struct cm_weights cm_weights;

/* reference: a folder, a .safetensors file, or the name of a repository ("facebook/esm2_t6_8M_UR50D") looked
 * for in $CROSSMAMBA_CHECKPOINTS, the Hugging Face cache ($HF_HUB_CACHE, $HF_HOME/hub,
 * ~/.cache/huggingface/hub; snapshot of refs/main, else the only one) and the import folder
 * (cm_weights_home). Nothing is downloaded. CM_MODEL when it is not there (the places searched are named) or
 * holds only PyTorch files. */
cm_status cm_weights_open(cm_weights **weights, const char *reference, cm_error *error);
void cm_weights_close(cm_weights *weights); /* NULL is allowed */

/* The folder that was found, for config.json and the vocabulary. */
const char *cm_weights_folder(const cm_weights *weights);
/* Text of a file of the folder, NUL-terminated, to be freed with cm_free; *text NULL when there is none.
 * CM_DATA above 64 MB. */
cm_status cm_weights_text(const cm_weights *weights, const char *name, char **text, size_t *length,
                          cm_error *error);
/* sha256 over the tensors: each name, dtype, shape and bytes in the order of the names, so that a repacked
 * file keeps it. Hex, valid until close. */
cm_status cm_weights_sha256(cm_weights *weights, const char **hex, cm_error *error);
size_t cm_weights_bytes(const cm_weights *weights); /* of all tensors */

size_t cm_weights_count(const cm_weights *weights);
const cm_tensor *cm_weights_get(const cm_weights *weights, size_t i);          /* by name */
const cm_tensor *cm_weights_find(const cm_weights *weights, const char *name); /* NULL: none */

/* Rows [first, first + rows) of a tensor of 1 or 2 dimensions (F32, F16, BF16, F64) as f32 into out; then
 * lets the system drop the mapped pages. CM_NUMERIC with name and place when a value is not finite. */
cm_status cm_weights_f32(const cm_weights *weights, const cm_tensor *tensor, int64_t first, int64_t rows,
                         float *out, cm_error *error);

/* The folder of imported checkpoints: $CROSSMAMBA_CHECKPOINTS, else $XDG_DATA_HOME/crossmamba/checkpoints,
 * else
 * ~/.local/share/crossmamba/checkpoints. Into path[size]; not created. */
cm_status cm_weights_home(char *path, size_t size, cm_error *error);

#endif
