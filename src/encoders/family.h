/* Families of pretrained encoders. A family is one file and one row in encoders.def; its table says
 * everything that tells it from the others, and the loader, `models`, the parity tests and the help walk that
 * table. */
#ifndef CM_ENCODERS_FAMILY_H
#define CM_ENCODERS_FAMILY_H

#include "bio/tokenizer.h"
#include "io/weights.h"
#include "ops/packed.h"
#include <crossmamba/tables.h>
#include <jansson.h>

/* A tensor that a checkpoint must (or may) hold. */
typedef struct cm_weight_row {
    const char *names[6]; /* alternative names of the generations of a family, tried in this order after each
                             prefix; "{}" stands for the layer number; NULL ends */
    const char *shape;    /* symbols of the family's shape, for example "H,H"; checked */
    bool optional;
} cm_weight_row;

/* The published output for one input, for people who have the weights; selftest runs it. */
typedef struct cm_golden {
    const char *checkpoint; /* "facebook/esm2_t6_8M_UR50D" */
    const char *sha256;     /* of its weights (cm_weights_sha256); NULL: it is known by its name */
    const char *text;       /* input; NULL: ids */
    const int32_t *ids;
    int n_ids;
    int rows, cols;
    const float *values; /* [rows, cols] of the last layer */
    double tolerance;
} cm_golden;

typedef struct cm_family {
    const char *name;    /* "esm2": its row in encoders.def, first word of identities (pretrained.h) */
    const char *title;   /* "ESM-2 (Lin et al. 2023)" */
    const char *licence; /* of the published weights; "unknown" is an answer */
    const char *pooling; /* what the source calls a molecule's vector, for example "mean over residues" */
    bool pool_specials;  /* begin and end tokens count in the pooled vector (MoLFormer) */
    const char *const *model_types;     /* config.json "model_type" values, NULL-terminated */
    const char *const *prefixes;        /* of tensor names, "" included, NULL-terminated */
    const cm_tokenizer_spec *tokenizer; /* NULL: molecule graphs */
    const cm_golden *golden;            /* NULL-terminated by checkpoint NULL; NULL: none published */
    const struct cm_engine *engine;     /* the code that runs it: cm_transformer_engine, cm_graph_engine */
    const void *rules;                  /* the engine's own table for the family */
    const cm_weight_row *weights;       /* every tensor that the engine reads, in the engine's numbering */
    int n_weights;
} cm_family;

/* What runs a family. All sizes come from the checkpoint (tensor shapes first, config.json second). */
typedef struct cm_engine {
    /* Reads and checks everything that is needed from weights, packs it in precision; lists all problems of
     * tensors (missing, misshaped, wrong type) in one error. config is the parsed config.json (NULL: none).
     */
    cm_status (*open)(void **state, const cm_family *family, const cm_weights *weights, const json_t *config,
                      cm_precision precision, cm_error *error);
    void (*close)(void *state);
    int64_t (*width)(const void *state);
    int (*layers)(const void *state);       /* hidden_states has layers + 1 entries, 0 the embedding */
    int64_t (*longest)(const void *state);  /* most tokens, specials included; 0: no limit of its own */
    size_t (*row_bytes)(const void *state); /* temporary memory of a pass for each of its rows */
    /* Tokens of a molecule (specials included) with what was met (report may be NULL); -1 when text cannot be
     * read, run then says why. Thread-safe. */
    int64_t (*tokens)(const void *state, const char *text, int64_t length, cm_token_report *report);
    /* One pass over a ragged batch: hidden state `layer` of every token of text i to out[i], rows of width
     * floats, specials included. The same bits for any batch and team. */
    cm_status (*run)(void *state, cm_team *team, int layer, int64_t n, const char *const *texts,
                     const int64_t *lengths, float *const *out, cm_error *error);
    /* The ids of text as cm_tokenizer_encode gives them, for windows of long inputs; NULL where there are no
     * ids. Thread-safe. */
    int64_t (*ids)(const void *state, const char *text, int64_t length, int32_t *ids, int64_t room);
    /* run for ids instead of texts, one molecule with its specials (golden vectors, windows); NULL where
     * there are no ids. */
    cm_status (*run_ids)(void *state, cm_team *team, int layer, const int32_t *ids, int64_t n, float *out,
                         cm_error *error);
} cm_engine;

/* The families of encoders.def; NULL beyond the last, or when none has that name. */
const cm_family *cm_family_row(int index);
const cm_family *cm_family_find(const char *name);

/* The tensor of row in layer ("{}"); NULL when there is none. *generation (may be NULL) becomes the number of
 * the name that it was found by. */
const cm_tensor *cm_family_tensor(const cm_family *family, const cm_weights *weights,
                                  const cm_weight_row *row, int64_t layer, int *generation);
/* One more than the highest layer number in the names of the family's tensors. */
int64_t cm_family_layers(const cm_family *family, const cm_weights *weights);
/* The index-th tensor that the family does not read (heads, poolers, buffers); NULL beyond the last. */
const cm_tensor *cm_family_extra(const cm_family *family, const cm_weights *weights, size_t index);

#endif
