/* Weights of the bootstrap over molecules. A private part of metrics/bootstrap.c and metrics/curves.c. */
#ifndef CM_METRICS_RESAMPLE_H
#define CM_METRICS_RESAMPLE_H

#include "base/fail.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct cm_resample {
    const int32_t *entity[2]; /* the caller's; NULL: the side is not resampled */
    int64_t n, n_entities[2];
    uint64_t seed;
    int32_t *times[2]; /* how often a draw takes an entity */
    int32_t *weight;   /* [n] of a pair: the product */
} cm_resample;

cm_status cm_resample_create(cm_resample *resample, const int32_t *const entity[2], int64_t n, uint64_t seed,
                             cm_error *error);
void cm_resample_clear(cm_resample *resample);

/* Makes the weights of a draw; false when it takes no pair. */
bool cm_resample_draw(cm_resample *resample, int draw);

#endif
