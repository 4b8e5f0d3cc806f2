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
    int raw;           /* 1: text goes to the tokenizer as written; 0: normalised as train and predict do */
} cm_embed_options;

typedef struct cm_embedder cm_embedder;

/* encoder is "FAMILY:REFERENCE", FAMILY a row of cm_encoder_row that needs a checkpoint ("esm2"), REFERENCE a
 * folder, a safetensors file or a repository name in the Hugging Face cache or the import folder. Threads and
 * store are runtime's, for all calls. */
CM_API cm_status cm_embedder_open(cm_embedder **embedder, const cm_embed_options *options,
                                  const cm_runtime *runtime, cm_error *error);
CM_API void cm_embedder_close(cm_embedder *embedder);

/* What the embedder is. Texts are valid until close. */
typedef struct cm_embedder_info {
    const char *id; /* the identity of its output: family, sha256, layer, precision */
    const char *family, *title, *licence, *pooling, *sha256;
    long width;
    int layers, layer;     /* of the checkpoint; the hidden state that is read */
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

/* Embeds every record of path (FASTA, "-" for standard input, or a table with id and smiles, by the encoder's
 * type) in file order, in bounded memory: a slice of the file at a time, equal texts of a slice once; with a
 * store a text is never computed twice. A record whose id and text were there before is left out, another
 * text under the same id is a bad record. */
CM_API cm_status cm_embed_file(cm_embedder *embedder, const char *path, cm_bad_records bad_records,
                               cm_embedding_sink sink, void *context, const cm_runtime *runtime,
                               cm_error *error);

/* ---- files of embeddings ---- */

typedef enum cm_embedding_format {
    CM_EMBEDDING_SAFETENSORS, /* a tensor a molecule, named by its id; facts in the metadata */
    CM_EMBEDDING_NPY,         /* pooled only: one matrix [molecules, width], ids in FILE.ids.tsv */
    CM_EMBEDDING_NPZ,         /* an array a molecule, named by its id */
    CM_EMBEDDING_TSV          /* pooled only: comment lines with the facts, then id and width columns */
} cm_embedding_format;

/* What is written of each molecule. With both, the pooled vector is named ID/pooled. */
enum { CM_EMBEDDING_POOLED = 1, CM_EMBEDDING_TOKENS = 2 };

typedef struct cm_embedding_writer cm_embedding_writer;

/* path gets its content when the writer is closed; "-" is standard output (TSV only). */
CM_API cm_status cm_embedding_writer_open(cm_embedding_writer **writer, cm_embedding_format format, int what,
                                          const char *path, const cm_embedder_info *info, cm_error *error);
/* A sink: context is the writer. A failure is reported by close. */
CM_API int cm_embedding_writer_add(void *context, const cm_embedding *embedding);
/* Completes (status CM_OK) or discards the file; returns the status, or that of a failed write. */
CM_API cm_status cm_embedding_writer_close(cm_embedding_writer *writer, cm_status status, cm_error *error);

/* ---- precision ---- */

/* One precision against f32 over the built-in probe molecules. */
typedef struct cm_precision_line {
    cm_precision precision;
    double least, mean; /* cosine similarity of a token */
    long tokens;
    double tokens_per_second;
    int fast; /* this machine has instructions that make it faster than f32 */
} cm_precision_line;
typedef int (*cm_precision_sink)(void *context, const cm_precision_line *line);

/* encoder and layer of options; opens the checkpoint once for f32 and once for every other precision. */
CM_API cm_status cm_embedder_precisions(const cm_embed_options *options, cm_precision_sink sink,
                                        void *context, const cm_runtime *runtime, cm_error *error);

/* ---- checkpoints ---- */

/* Row i of the table of families; 0 when i is past the end. */
typedef struct cm_family_line {
    const char *name, *title, *licence, *pooling;
} cm_family_line;
CM_API int cm_family_describe(int i, cm_family_line *line);

/* A checkpoint as it lies on this machine; what its config.json does not say is 0. */
typedef struct cm_checkpoint_line {
    const char *name;   /* as a reference: "facebook/esm2_t6_8M_UR50D", or a name of the import folder */
    const char *family; /* "": none that this build knows */
    const char *path;   /* its folder */
    long layers, width;
    size_t bytes;        /* of its tensors */
    const char *problem; /* "", or why it cannot be read */
} cm_checkpoint_line;
typedef int (*cm_checkpoint_sink)(void *context, const cm_checkpoint_line *line); /* non-zero stops */

/* The checkpoints in $CROSSMAMBA_CHECKPOINTS or the import folder and in the Hugging Face cache. */
CM_API cm_status cm_checkpoint_list(cm_checkpoint_sink sink, void *context, cm_error *error);

/* A checkpoint in full. Texts are valid until cm_checkpoint_close. */
typedef struct cm_checkpoint cm_checkpoint;
typedef struct cm_checkpoint_info {
    cm_checkpoint_line line;
    const char *title, *licence, *pooling, *sha256;
    size_t tensors;
} cm_checkpoint_info;
CM_API cm_status cm_checkpoint_open(cm_checkpoint **checkpoint, const char *reference, cm_error *error);
CM_API void cm_checkpoint_close(cm_checkpoint *checkpoint);
CM_API cm_status cm_checkpoint_describe(cm_checkpoint *checkpoint, cm_checkpoint_info *info, cm_error *error);

/* What verifying found. */
typedef struct cm_checkpoint_report {
    size_t tensors, values; /* all checked, all finite */
    int golden;             /* published outputs compared; 0: none are known for this checkpoint */
    double golden_error;    /* largest difference to them .. */
    double golden_bound;    /* .. and what is allowed */
} cm_checkpoint_report;
/* Checks that every tensor that the family needs is there with its shape, that all values are finite, and the
 * published output where there is one: CM_MODEL or CM_NUMERIC otherwise. */
CM_API cm_status cm_checkpoint_verify(cm_checkpoint *checkpoint, cm_checkpoint_report *report,
                                      const cm_runtime *runtime, cm_error *error);

/* Converts a PyTorch file to a checkpoint of the import folder, named name (NULL: as the file). */
CM_API cm_status cm_checkpoint_import(const char *path, const char *name, int force, char *folder,
                                      size_t folder_size, cm_error *error);

/* ---- the embedding store ---- */

/* folder in all of these: as cm_runtime.store. */
typedef struct cm_store_line {
    const char *id, *description;
    long width;
    long long records, rows, bytes, damaged;
} cm_store_line;
typedef int (*cm_store_sink)(void *context, const cm_store_line *line); /* non-zero stops */
CM_API cm_status cm_store_list(const char *folder, cm_store_sink sink, void *context, cm_error *error);
/* The folder that it stands for, into path[size]. */
CM_API const char *cm_store_path(const char *folder, char *path, size_t size);

/* Zero-initialise, then set what is needed. */
typedef struct cm_store_import_request {
    const char *embeddings; /* .safetensors or .npz: a tensor [rows, width] (F32 or F16) a molecule, by id */
    const char *molecules;  /* FASTA or table with the texts of those ids */
    cm_molecule_type type;
    const char *name; /* read back as the encoder stored:NAME */
    int truncated;    /* 1: fewer rows than residues are allowed, of inputs that were cut at the end */
} cm_store_import_request;
/* Imports in one pass over the molecules; *imported molecules. CM_DATA when a molecule has no tensor, when
 * rows and residues differ (more rows always; fewer without truncated) or widths differ. Rows of small
 * molecules are not compared: the number of their tokens is the encoder's matter. */
CM_API cm_status cm_store_import(const char *folder, const cm_store_import_request *request, long *imported,
                                 const cm_runtime *runtime, cm_error *error);

/* Writes what the store has under id for the molecules of a file; *missing: not there. */
CM_API cm_status cm_store_export(const char *folder, const char *id, const char *molecules,
                                 cm_molecule_type type, const char *path, long *exported, long *missing,
                                 const cm_runtime *runtime, cm_error *error);

/* Removes the records of id (NULL: damaged ones), compact: gives the disk space back. */
CM_API cm_status cm_store_gc(const char *folder, const char *id, int compact, long *removed, cm_error *error);

#ifdef __cplusplus
}
#endif
#endif
