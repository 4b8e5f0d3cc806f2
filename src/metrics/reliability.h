/* Reliability of probabilities: what was predicted against what was observed, in equal-width bins. */
#ifndef CM_METRICS_RELIABILITY_H
#define CM_METRICS_RELIABILITY_H

#include <stdint.h>

enum { CM_RELIABILITY_BINS = 15 };

/* Bin b holds the probabilities in (b / 15, (b + 1) / 15], the first also 0. predicted and observed are the
 * mean probability and the share of positives, NaN in an empty bin. */
typedef struct cm_reliability_bin {
    double low, high;
    int64_t count;
    double predicted, observed;
} cm_reliability_bin;

/* Fills the bins; returns the expected calibration error, the mean of |predicted - observed| weighted by the
 * counts (0 for n = 0). */
double cm_reliability(const double *value, const double *label, int64_t n,
                      cm_reliability_bin bins[CM_RELIABILITY_BINS]);

/* The bin of a probability. */
int cm_reliability_bin_of(double value);

#endif
