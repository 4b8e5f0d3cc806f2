/* Encoded molecules of a data set, standardisation, and the assembly of batches.
 *
 * Token matrices of built-in encoders are kept as sparse rows (spectra, fingerprints and one-hot columns are
 * mostly zero), so that every distinct molecule is encoded once and windows of thousands of molecules fit in
 * memory; those of pretrained encoders, which have no zeros, as they are. */
#ifndef CM_MODEL_FEATURES_H
#define CM_MODEL_FEATURES_H

#include "data/dataset.h"
#include "encoders/encoder.h"
#include "fusion/net.h"
#include "model/kernel_inputs.h"
#include "model/pair_features.h"

/* The tokens of one molecule: dense, or token t holds entries start[t] .. start[t + 1] of column and value.
 */
typedef struct cm_tokens {
    int64_t tokens;
    float *dense;    /* [tokens, width]; NULL: sparse */
    int32_t *start;  /* [tokens + 1] */
    int32_t *column; /* [entries] */
    float *value;    /* [entries] */
} cm_tokens;

typedef struct cm_features {
    int64_t width[CM_SIDES]; /* of CM_SIDE_PAIR: 0 without a pair encoder */
    int64_t n_entities[2];
    cm_tokens *entities[2]; /* by entity number of the data set */
    char *identity[2];      /* of the checkpoints behind the encoder; "": all parts are built in */
    cm_precision precision[2];
    cm_pair_features pair;
    cm_kernel_inputs *kernels; /* what kernel models need, made at first use */
} cm_features;

/* Encodes every entity of dataset with options->encoder_a, encoder_b, layout and precision ("auto": the
 * task's encoders), and every pair with options->pair_encoder. expected: a model's identities and precisions
 * as they were at training, which must come out again (CM_MODEL naming both; precision then overrides the
 * option), or NULL. CM_INTERRUPTED when runtime asks to stop. */
typedef struct cm_expected_encoder {
    const char *identity; /* NULL: nothing is expected */
    cm_precision precision;
} cm_expected_encoder;
cm_status cm_features_create(cm_features **features, const cm_dataset *dataset, const cm_options *options,
                             const cm_expected_encoder expected[2], cm_team *team, const cm_runtime *runtime,
                             cm_error *error);
void cm_features_destroy(cm_features *features);

/* Replaces "auto" in the encoder names by the task's defaults. */
void cm_features_resolve(cm_options *options, const cm_task *task);

/* Per-column mean and 1 / standard deviation of one side (1 where a column is constant). */
typedef struct cm_standard {
    int64_t width;
    float *mean, *scale; /* [width], one block owned through mean */
} cm_standard;

/* Over all tokens of the distinct molecules that the pairs index[n] name on side; of CM_SIDE_PAIR: over the
 * tokens of those pairs. */
cm_status cm_standard_fit(cm_standard *standard, const cm_features *features, const cm_dataset *dataset,
                          int side, const int64_t *index, int64_t n, cm_error *error);
cm_status cm_standard_create(cm_standard *standard, int64_t width, cm_error *error);
void cm_standard_clear(cm_standard *standard);

/* Takes batches of pairs out of features; owns the batch's memory, which the next gather overwrites. */
typedef struct cm_gather cm_gather;
cm_status cm_gather_create(cm_gather **gather, const cm_features *features,
                           const cm_standard standard[CM_SIDES], double clip, cm_error *error);
void cm_gather_destroy(cm_gather *gather);

/* The standardised, clipped token matrices of pairs index[n]. input stays valid until the next call. */
cm_status cm_gather_pairs(cm_gather *gather, const cm_dataset *dataset, const int64_t *index, int64_t n,
                          cm_net_input *input, cm_error *error);

/* Tokens of both sides of pair i together, for balancing batches. */
int64_t cm_features_tokens(const cm_features *features, const cm_pair *pair);

#endif
