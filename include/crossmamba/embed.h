/* Pretrained encoders by themselves: checkpoints, embeddings, the embedding store. */
#ifndef CROSSMAMBA_EMBED_H
#define CROSSMAMBA_EMBED_H

#include <crossmamba/dataset.h>
#include <crossmamba/error.h>
#include <crossmamba/export.h>
#include <crossmamba/runtime.h>
#include <crossmamba/tables.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- embeddings ---- */

/* Zero-initialise, then set what is needed. */
typedef struct cm_embed_options {
    const char *encoder; /* "FAMILY:REFERENCE", see cm_embedder_open */
    cm_precision precision;
    int layer;         /* hidden state counted from the end: 0 the last, 1 the one before, .. */
    int refuse_long;   /* 0: inputs longer than the model by overlapping windows; 1: CM_DATA */
    size_t max_memory; /* bytes of a pass besides the weights; 0: 256 MiB */
    const char *store; /* folder; NULL: no store */
    int raw;           /* 1: text goes to the tokenizer as written; 0: normalised as train and predict do */
} cm_embed_options;

typedef struct cm_embedder cm_embedder;

/* encoder is "FAMILY:REFERENCE", FAMILY a row of cm_encoder_row that needs a checkpoint ("esm2"), REFERENCE a
 * folder, a safetensors file or a repository name in the Hugging Face cache or the import folder. */
CM_API cm_status cm_embedder_open(cm_embedder **embedder, const cm_embed_options *options,
                                  const cm_runtime *runtime, cm_error *error);
CM_API void cm_embedder_close(cm_embedder *embedder);

/* What the embedder is. Texts are valid until close. */
typedef struct cm_embedder_info {
    const char *id; /* the identity of its output: family, sha256, layer, precision */
    const char *family, *licence, *pooling, *sha256;
    long width;
    int layers;
    cm_molecule_type type; /* what it reads */
    cm_precision precision;
} cm_embedder_info;
CM_API void cm_embedder_describe(const cm_embedder *embedder, cm_embedder_info *info);

/* One embedded molecule: tokens [rows, width] without special tokens, pooled [width]. */
typedef struct cm_embedding {
    const char *id, *text;
    long rows, width;
    const float *tokens, *pooled;
    const char *warnings; /* "" or "unknown tokens 3; dropped characters 2" */
} cm_embedding;
typedef int (*cm_embedding_sink)(void *context, const cm_embedding *embedding); /* non-zero stops */

/* Embeds every record of path (FASTA or a table with id and smiles, by the encoder's type) in file order, in
 * bounded memory; equal texts are computed once. */
CM_API cm_status cm_embed_file(cm_embedder *embedder, const char *path, cm_bad_records bad_records,
                               cm_embedding_sink sink, void *context, const cm_runtime *runtime,
                               cm_error *error);

#ifdef __cplusplus
}
#endif
#endif
