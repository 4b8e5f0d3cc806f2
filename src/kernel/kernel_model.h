/* The model `kernel`: ridge regression on the product of the two sides' molecule kernels,
 *
 *   score(a, b) = offset + sum over training molecules x, y of K_a(a, x) coefficient[x, y] K_b(y, b)
 *
 * The constants in K_a and K_b bring the main effects of each side in. Hyper-parameters, calibration and
 * threshold come from inner folds of the training pairs. The model keeps the feature vectors of its training
 * molecules and plain arrays, nothing of the data set. */
#ifndef CM_KERNEL_KERNEL_MODEL_H
#define CM_KERNEL_KERNEL_MODEL_H

#include "kernel/kernel_choice.h"
#include "metrics/calibrate.h"
#include "metrics/conformal.h"

typedef struct cm_kernel_request {
    bool affinity;
    const cm_kernel_features *features[2]; /* of all molecules that pairs name */
    cm_pair_list train;                    /* numbers of molecules in features, at least one pair */
    const double *label;                   /* [n] 0 or 1, or affinities */
    cm_kernel_cold cold;
    uint64_t seed;
    cm_team *team;
} cm_kernel_request;

typedef struct cm_kernel_model {
    bool affinity;
    cm_kernel_side side[2];
    cm_kernel_shape shape[2];
    double ridge, offset;
    double *coefficient; /* [m, q] */
    cm_calibration calibration;
    double threshold;
    cm_conformal conformal;
    double inner_loss; /* see cm_kernel_choice */
    int tried;
    int64_t n_train;
    double *inner_score; /* [n_train] out-of-fold score of each training pair in the inner folds, or NaN */
} cm_kernel_model;

/* CM_DATA without pairs. */
cm_status cm_kernel_fit(cm_kernel_model **model, const cm_kernel_request *request, cm_error *error);
void cm_kernel_model_destroy(cm_kernel_model *model);

/* score[n] of pairs, numbers of molecules in features. cm_calibrated turns it into a probability or affinity.
 */
cm_status cm_kernel_scores(const cm_kernel_model *model, const cm_kernel_features *const features[2],
                           const cm_pair_list *pairs, double *score, cm_team *team, cm_error *error);

#endif
