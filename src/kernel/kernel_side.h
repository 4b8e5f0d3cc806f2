/* One side's kernel between molecules: a mean of table kernels, each centred in feature space on the training
 * molecules and brought back to norm 1 (so that it is a correlation: on a set of alike molecules plain
 * cosines are all near 1 and say little), then perhaps a Gaussian of the distance, then a constant:
 *
 *   c(x, y) = k(x, y) - mean k(x, .) - mean k(., y) + mean k(., .)          means over training molecules
 *   g(x, y) = mean over kernels of c(x, y) / sqrt(c(x, x) c(y, y))          (0 where a norm is 0)
 *   K(x, y) = exp(-gamma (g(x, x) + g(y, y) - 2 g(x, y))) + constant        or g(x, y) + constant with gamma
 * 0
 */
#ifndef CM_KERNEL_KERNEL_SIDE_H
#define CM_KERNEL_KERNEL_SIDE_H

#include "kernel/kernel_features.h"

typedef struct cm_kernel_shape {
    cm_kernel_mix mix;
    double gamma, constant;
} cm_kernel_shape;

typedef struct cm_kernel_side {
    cm_kernel_features *features;     /* of the training molecules, owned */
    double *row_mean[CM_KERNELS_MAX]; /* [m] */
    double mean[CM_KERNELS_MAX];
    double *mixed[CM_MIXES]; /* [m, m] g; NULL after cm_kernel_side_drop */
} cm_kernel_side;

/* Owns features from here on, also when it fails. */
cm_status cm_kernel_side_create(cm_kernel_side *side, cm_kernel_features *features, cm_team *team,
                                cm_error *error);
/* As it was after training and cm_kernel_side_drop: features of the training molecules under at least the
 * kernels of mix, and row_mean of those, which were filled by the caller. */
void cm_kernel_side_restore(cm_kernel_side *side, cm_kernel_mix mix);
void cm_kernel_side_clear(cm_kernel_side *side);
/* Frees what only training needs. */
void cm_kernel_side_drop(cm_kernel_side *side);

/* K between the training molecules into out[m, m]. */
void cm_kernel_side_gram(const cm_kernel_side *side, const cm_kernel_shape *shape, double *out);

/* K between molecules row[n] of x and the training molecules into out[n, m]. */
cm_status cm_kernel_side_cross(const cm_kernel_side *side, const cm_kernel_shape *shape,
                               const cm_kernel_features *x, const int32_t *row, int64_t n, double *out,
                               cm_team *team, cm_error *error);

#endif
