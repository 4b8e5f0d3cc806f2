/* Penalised linear models of a few columns: logistic regression (binary) and ridge regression (affinity). */
#ifndef CM_METRICS_REGRESSION_H
#define CM_METRICS_REGRESSION_H

#include "base/fail.h"
#include <stdbool.h>
#include <stdint.h>

enum { CM_REGRESSION_WIDTH = 64 }; /* most columns */

/* score = offset + sum of weight[c] * (x[c] - centre[c]) / unit[c] */
typedef struct cm_regression {
    int64_t width;
    double offset, weight[CM_REGRESSION_WIDTH], centre[CM_REGRESSION_WIDTH], unit[CM_REGRESSION_WIDTH];
} cm_regression;

/* Minimises mean loss (log loss of logits, or squared error / 2) + penalty / 2 * |weight|^2 over rows
 * index[n] of x [rows, width], label by row, both addressed by index; width <= CM_REGRESSION_WIDTH, n >= 1.
 * Newton's method; the sums run in the order of index. Columns are standardised on these rows, a constant one
 * gets weight 0. */
cm_status cm_regression_fit(cm_regression *model, bool affinity, const double *x, int64_t width,
                            const double *label, const int64_t *index, int64_t n, double penalty,
                            cm_error *error);

/* The score of one row x [width]: a logit or an affinity. */
double cm_regression_score(const cm_regression *model, const double *x);

#endif
