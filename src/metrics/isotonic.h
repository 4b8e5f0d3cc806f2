/* Isotonic regression: the non-decreasing step function nearest to points in least squares, by pooling
 * adjacent violators (Ayer et al. 1955), read with linear interpolation and clipped at both ends, as
 * scikit-learn's IsotonicRegression(out_of_bounds="clip") does. */
#ifndef CM_METRICS_ISOTONIC_H
#define CM_METRICS_ISOTONIC_H

#include "base/fail.h"
#include <stdint.h>

/* Fits y[n] over x[n] (finite, n >= 1; equal x count as one point with their mean y). Writes *knots <= most
 * points (at ascending, to non-decreasing) into at[most] and to[most]; most >= 2. Where the solution has more
 * levels than that allows, the neighbouring levels whose union costs least are joined. */
cm_status cm_isotonic_fit(const double *x, const double *y, int64_t n, int most, double *at, double *to,
                          int *knots, cm_error *error);

/* The fitted function at x; knots >= 1. */
double cm_isotonic_value(const double *at, const double *to, int knots, double x);

#endif
