/* The leading part of the singular value decomposition of a sparse matrix, as a predictor of its entries. */
#ifndef CM_EVAL_FACTORS_H
#define CM_EVAL_FACTORS_H

#include "base/fail.h"
#include <stdint.h>

enum { CM_FACTORS = 16 }; /* most singular vectors */

/* Row i and column k of the matrix meet in sum over f < rank of left[i][f] * right[k][f]; left holds the
 * singular values too. Factors come in falling order of their singular values; those past the matrix's rank
 * are 0. */
typedef struct cm_factors {
    double (*left)[CM_FACTORS];  /* [rows], owned */
    double (*right)[CM_FACTORS]; /* [columns], owned */
} cm_factors;

/* Of the matrix whose entry (row[i], column[i]) is the sum of value[i] over i in [0, n). Subspace iteration
 * (Halko, Martinsson, Tropp 2011, algorithm 4.4) from a fixed random start, then the eigenvectors of the
 * small Gram matrix by Jacobi's method. Sums run in the order of the entries. Clear also after a failure. */
cm_status cm_factors_make(cm_factors *factors, int64_t rows, int64_t columns, const int32_t *row,
                          const int32_t *column, const double *value, int64_t n, cm_error *error);
void cm_factors_clear(cm_factors *factors);

/* The entry at (i, k) of the approximation of the given rank, at most CM_FACTORS. */
double cm_factors_at(const cm_factors *factors, int64_t i, int64_t k, int rank);

#endif
