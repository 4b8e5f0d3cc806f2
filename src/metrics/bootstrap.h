/* Bootstrap over molecules: draws of the metrics, intervals, paired differences, bands of curves.
 *
 * Each draw takes every molecule of a resampled side with a Poisson(1) weight; the weight of a pair is the
 * product over its resampled sides (both: the pigeonhole bootstrap of Owen 2007; one: the usual cluster
 * bootstrap). The weights are a function of seed, draw and molecule alone, so that two models on the same
 * pairs are drawn together, and the difference of their draws is a paired bootstrap. */
#ifndef CM_METRICS_BOOTSTRAP_H
#define CM_METRICS_BOOTSTRAP_H

#include "metrics/metrics.h"

/* Tested pairs. All arrays [n], the caller's. */
typedef struct cm_sample {
    bool affinity;
    int64_t n;
    const double *value, *label;
    const double
        *decision; /* binary: the class, 0 or 1, that the model decided on; NULL: value >= threshold */
    double threshold;
    const int32_t *entity[2]; /* molecule of each side; NULL: that side is not resampled */
} cm_sample;

cm_status cm_sample_metrics(const cm_sample *sample, double *out, cm_error *error);

/* The metrics of draws resamples into value[metric * draws + draw], NaN where a draw gives none. With keep,
 * the draws are averaged into what values hold after keep earlier calls (repeats of the same evaluation). */
cm_status cm_sample_draws(const cm_sample *sample, int draws, uint64_t seed, int keep, double *values,
                          cm_error *error);

/* 95 % limits of values[draws], NaN left out; values are sorted. NaN when nothing is left. */
void cm_draws_limits(double *values, int draws, double *low, double *high);

/* Of first - second, draw by draw: 95 % limits and the two-sided bootstrap p, twice the smaller share of
 * draws at or beyond 0 on one side, at least 2 / (draws + 1). work[draws]. */
typedef struct cm_difference {
    double low, high, p;
} cm_difference;
cm_difference cm_draws_difference(const double *first, const double *second, int draws, double *work);

/* A curve read at CM_CURVE_POINTS equidistant places from 0 to 1, with its pointwise 95 % band. ROC: the
 * sensitivity at a false-positive rate, linear between the points, the upper end of vertical steps. PR: the
 * precision at the highest threshold that reaches a recall. */
enum { CM_CURVE_POINTS = 101 };
typedef struct cm_curve {
    double y[CM_CURVE_POINTS], low[CM_CURVE_POINTS], high[CM_CURVE_POINTS];
} cm_curve;

/* Both curves of a binary sample with both classes; without them all NaN. */
cm_status cm_sample_curves(const cm_sample *sample, int draws, uint64_t seed, cm_curve *roc, cm_curve *pr,
                           cm_error *error);

#endif
