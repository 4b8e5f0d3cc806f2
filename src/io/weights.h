/* The tensors of a published checkpoint: model.safetensors, a sharded model.safetensors.index.json, or one
 * .safetensors file. PyTorch files are refused with the command that imports them. */
#ifndef CM_IO_WEIGHTS_H
#define CM_IO_WEIGHTS_H

#include "io/safetensors.h"
#include <stdbool.h>

typedef struct cm_weights cm_weights;

/* reference: a folder, a .safetensors file, or the name of a repository ("facebook/esm2_t6_8M_UR50D") looked
 * for in the import folder (cm_weights_home) and the Hugging Face cache (the first that is set of
 * $HF_HUB_CACHE, $HF_HOME/hub, $XDG_CACHE_HOME/huggingface/hub, ~/.cache/huggingface/hub; snapshot of
 * refs/main, else the only one). A path that exists goes before a name. In a folder model.safetensors goes
 * before model.safetensors.index.json, and that before the only file that ends in .safetensors. Of shards,
 * the tensors that the index names are used. Nothing is downloaded. CM_MODEL when it is not there (the places
 * searched are named) or holds only PyTorch files (the command that imports them is named). */
cm_status cm_weights_open(cm_weights **weights, const char *reference, cm_error *error);
void cm_weights_close(cm_weights *weights); /* NULL is allowed */

/* The folder that was found, for config.json and the vocabulary. */
const char *cm_weights_folder(const cm_weights *weights);
/* Text of a file of the folder, NUL-terminated, to be freed with cm_free; *text NULL when there is none.
 * CM_DATA above 32 MB. */
cm_status cm_weights_text(const cm_weights *weights, const char *name, char **text, size_t *length,
                          cm_error *error);
/* sha256 over the tensors: each name, dtype, shape and bytes in the order of the names, so that a repacked
 * file keeps it. Hex, valid until close. */
cm_status cm_weights_sha256(cm_weights *weights, const char **hex, cm_error *error);
size_t cm_weights_bytes(const cm_weights *weights); /* of all tensors */

size_t cm_weights_count(const cm_weights *weights);
const cm_tensor *cm_weights_get(const cm_weights *weights, size_t i);          /* by name */
const cm_tensor *cm_weights_find(const cm_weights *weights, const char *name); /* NULL: none */

/* Rows [first, first + rows) of a tensor (F32, F16, BF16, F64) as f32 into out[rows x the product of the
 * further dimensions]; a tensor without dimensions has one row. Exact but for F64, which is rounded. Mapped
 * pages are given back to the system on the way: reading rows in order keeps about 1 MB of the file in
 * memory. Threads may read the same weights. CM_DATA for other types, CM_NUMERIC with name and place when a
 * value is not finite as f32. */
cm_status cm_weights_f32(const cm_weights *weights, const cm_tensor *tensor, int64_t first, int64_t rows,
                         float *out, cm_error *error);

/* The folder of imported checkpoints: $CROSSMAMBA_CHECKPOINTS, else $XDG_DATA_HOME/crossmamba/checkpoints,
 * else
 * ~/.local/share/crossmamba/checkpoints. Into path[size]; not created. */
cm_status cm_weights_home(char *path, size_t size, cm_error *error);

/* What an import wrote. */
typedef struct cm_weights_imported {
    char folder[4096];
    size_t tensors, bytes;
    size_t skipped; /* entries of the state dict that are no tensors */
    bool stripped;  /* all names began with "module." */
} cm_weights_imported;

/* Reads a .pt, .pth, .bin or .ckpt file (io/torch_file.h) and writes its tensors as model.safetensors into
 * the folder target, which is created; then cm_weights_open(target) finds it. target NULL: NAME in
 * cm_weights_home, where NAME is the repository for a file of the Hugging Face cache, else the file's name
 * without its end, or its folder's name when that says nothing ("pytorch_model"). config.json, vocab.txt,
 * vocab.json, merges.txt and tokenizer.json beside the source are copied. Every file is replaced as a whole
 * and model.safetensors comes last, so that an import that was cut off is not taken for a checkpoint.
 * CM_USAGE when the folder has a model.safetensors or another version of such a file, unless force; CM_MODEL
 * when source is one of several parts of a checkpoint. */
cm_status cm_weights_import(const char *source, const char *target, bool force, cm_weights_imported *done,
                            cm_error *error);

#endif
