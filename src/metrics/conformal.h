/* Split conformal prediction (Vovk, Gammerman, Shafer 2005): what held-out pairs say about how far off the
 * next one will be. Where the next pair comes from the same population as the held-out ones, the interval or
 * set holds the truth with the asked probability; new families of molecules break that promise, which is why
 * eval states the coverage of every split.
 *
 * Affinity: the interval value +- half_width, half_width the ceil((n + 1) 0.9)-th smallest absolute residual.
 * Binary: a set of classes; class y belongs to it when 1 - p(y) <= bound[y], bound[y] the same quantile over
 * the held-out pairs of class y (so each class is covered by itself).
 *
 * The held-out pairs are the inner validation fold, which also chose the epoch and the calibration. For the
 * two parameters of an affinity's line this optimism is removed exactly, by the leave-one-out residuals of a
 * least-squares line, e / (1 - leverage). CV+ and jackknife+ would also remove that of the epoch, at the
 * price of training the network once more for each fold: too much for what it mends, since the tables show
 * coverage on random splits within two points without it. */
#ifndef CM_METRICS_CONFORMAL_H
#define CM_METRICS_CONFORMAL_H

#include "base/fail.h"
#include <stdbool.h>
#include <stdint.h>

/* NaN: too few held-out pairs to promise anything. */
typedef struct cm_conformal {
    double half_width; /* affinity */
    double bound[2];   /* binary, by class */
} cm_conformal;

/* The share of pairs that may be missed. */
#define CM_CONFORMAL_MISS 0.1

/* The ceil((n + 1) (1 - miss))-th smallest of residual[n], which is sorted; NaN when there are too few. */
double cm_conformal_quantile(double *residual, int64_t n, double miss);

/* From held-out scores (affinity: to which the line was fitted), calibrated values and labels. */
cm_status cm_conformal_fit(bool affinity, const double *score, const double *value, const double *label,
                           int64_t n, cm_conformal *conformal, cm_error *error);

/* Whether the set of a probability holds class. NaN bounds hold everything. */
bool cm_conformal_holds(const cm_conformal *conformal, double value, int class);

/* How well the promise was kept. */
typedef struct cm_coverage {
    int64_t pairs;  /* with an interval or a set */
    double covered; /* share whose truth lies in the interval or set */
    double width;   /* affinity: mean full width; binary: mean number of classes in the set */
    double single;  /* binary: share of sets with exactly one class */
} cm_coverage;

/* Adds pairs value[n], label[n] to sums; begin with zeros and end with cm_coverage_finish. */
void cm_coverage_add(cm_coverage *sums, const cm_conformal *conformal, bool affinity, const double *value,
                     const double *label, int64_t n);
void cm_coverage_finish(cm_coverage *sums);

#endif
