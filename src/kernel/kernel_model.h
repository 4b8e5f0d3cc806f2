/* The model `kernel`: ridge regression on the product of the two sides' molecule kernels,
 *
 *   score(a, b) = offset + sum over training pairs j of weight[j] K_a(a, a_j) K_b(b, b_j)
 *
 * The constants in K_a and K_b bring the main effects of each side in. Hyper-parameters, calibration and
 * threshold come from inner folds of the training pairs. The model keeps the feature vectors of its training
 * molecules and plain arrays, nothing of the data set, and so does its file (model/kernel_kind.c). */
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
    int64_t n_train;
    int32_t *place[2]; /* [n_train] molecules of the training pairs by number in side[].features */
    double *weight;    /* [n_train] */
    cm_calibration calibration;
    double threshold;
    cm_conformal conformal;
    double inner_loss; /* see cm_kernel_choice */
    int tried;
    double *inner_score; /* [n_train] out-of-fold score of each training pair in the inner folds, or NaN */
} cm_kernel_model;

/* CM_DATA without pairs. */
cm_status cm_kernel_fit(cm_kernel_model **model, const cm_kernel_request *request, cm_error *error);
void cm_kernel_model_destroy(cm_kernel_model *model);

/* Scores pairs call by call, numbers of molecules in features. Kernel rows of molecules that were met are
 * kept, up to a bound of memory, so that all against all computes each once. cm_calibrated turns a score into
 * a probability or affinity. Neither the team nor the division into calls changes a bit. model and features
 * must outlive it. */
typedef struct cm_kernel_scorer cm_kernel_scorer;
cm_status cm_kernel_scorer_create(cm_kernel_scorer **scorer, const cm_kernel_model *model,
                                  const cm_kernel_features *const features[2], cm_team *team,
                                  cm_error *error);
void cm_kernel_scorer_destroy(cm_kernel_scorer *scorer);
cm_status cm_kernel_scorer_run(cm_kernel_scorer *scorer, const cm_pair_list *pairs, double *score,
                               cm_error *error);

/* The same in one call. */
cm_status cm_kernel_scores(const cm_kernel_model *model, const cm_kernel_features *const features[2],
                           const cm_pair_list *pairs, double *score, cm_team *team, cm_error *error);

#endif
