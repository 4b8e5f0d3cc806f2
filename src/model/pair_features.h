/* The tokens of the pair encoder for every pair of a data set. */
#ifndef CM_MODEL_PAIR_FEATURES_H
#define CM_MODEL_PAIR_FEATURES_H

#include "data/dataset.h"
#include "encoders/pair_encoder.h"

typedef struct cm_pair_features {
    int64_t width;   /* 0: no pair encoder */
    int64_t *number; /* [n_pairs] of the distinct pair of molecules */
    int64_t *offset; /* [distinct + 1] its tokens are rows offset[i] .. offset[i + 1] */
    float *rows;     /* [offset[distinct], width] */
} cm_pair_features;

/* Encodes every distinct pair of dataset once with the pair encoder `name` ("auto", "none", ..), over the
 * team; its size changes no bit. CM_INTERRUPTED when runtime asks to stop. Clear also after a failure. */
cm_status cm_pair_features_make(cm_pair_features *features, const cm_dataset *dataset, const char *name,
                                cm_layout layout, cm_team *team, const cm_runtime *runtime, cm_error *error);
void cm_pair_features_clear(cm_pair_features *features);

/* The token rows of pair i, [*tokens, width], as encoded. The first row alone describes the whole pair:
 * float[width]. width > 0. */
const float *cm_pair_features_of(const cm_pair_features *features, int64_t pair, int64_t *tokens);

#endif
