/* Feature-free baselines: what identity alone predicts. They see which molecule a pair has and the labels of
 * the training pairs, no sequence. */
#ifndef CM_METRICS_BASELINE_H
#define CM_METRICS_BASELINE_H

#include "base/fail.h"
#include <stdbool.h>
#include <stdint.h>

/* Binary: logistic regression on, for each side, the leave-one-out positive rate (smoothed towards the base
 * rate), the log count and the excess of positives over the base rate among the molecule's training labels;
 * with one class only, that class's smoothed share. Affinity: overall mean plus shrunken additive
 * effects of A and B. a, b: molecule numbers below n_a, n_b. Trains on the pairs with train true, writes a
 * probability or affinity for every other pair into value[n]. */
cm_status cm_baseline_identity(bool affinity, const int32_t *a, const int32_t *b, const double *label,
                               const bool *train, int64_t n, int64_t n_a, int64_t n_b, double *value,
                               cm_error *error);

#endif
