/* Inner folds of a training part: where everything that is not a plain fit is chosen. */
#ifndef CM_TRAIN_INNER_H
#define CM_TRAIN_INNER_H

#include "data/dataset.h"
#include "metrics/calibrate.h"
#include <stdbool.h>

enum { CM_INNER_FOLDS = 5, CM_INNER_MOST = 10 }; /* folds for choices; most parts */

/* Parts of the training pairs; every pair is held out by exactly one. */
typedef struct cm_inner {
    int64_t n;     /* training pairs */
    int n_parts;   /* 0: too few pairs to divide */
    int32_t *part; /* [n] the part that holds pair i out */
    bool *fits;    /* [n_parts, n] whether pair i trains part p */
} cm_inner;

/* new_side[s]: most of the pairs test[m] name a molecule on side s that no pair of train[n] has. */
cm_status cm_inner_new_sides(const cm_dataset *dataset, const int64_t *train, int64_t n, const int64_t *test,
                             int64_t m, bool new_side[2], cm_error *error);

/* folds: 2 to CM_INNER_MOST. Divides the pairs train[n] for questions with new molecules on these sides: on
 * none at random by label into folds parts; on one by whole molecules of that side (folds parts); on both,
 * both sides by 3, a part for each block, trained on the pairs that share neither fold (9 parts). A division
 * that would leave a part without pairs to fit falls back to random. */
cm_status cm_inner_divide(cm_inner *inner, const cm_dataset *dataset, const int64_t *train, int64_t n,
                          const bool new_side[2], int folds, uint64_t seed, cm_error *error);

/* The same as the pairs test[m] ask for. Their labels are not looked at. */
cm_status cm_inner_make(cm_inner *inner, const cm_dataset *dataset, const int64_t *train, int64_t n,
                        const int64_t *test, int64_t m, int folds, uint64_t seed, cm_error *error);
void cm_inner_clear(cm_inner *inner);

/* Positions (into train) of the pairs that fit part p, or with held those that it holds out; the count. index
 * has room for n. */
int64_t cm_inner_list(const cm_inner *inner, int p, bool held, int64_t *index);

/* The loss of held-out scores after calibration on them: mean log loss, or mean squared error. */
double cm_inner_loss(bool affinity, const double *score, const double *label, int64_t n);

/* The threshold with the highest MCC of calibrated held-out scores, 0.5 when the labels are of one class. */
cm_status cm_inner_threshold(const cm_calibration *calibration, const double *score, const double *label,
                             int64_t n, double *threshold, cm_error *error);

/* From held-out scores[n] of the training pairs: calibration and (binary) threshold; test[m] are turned into
 * values, affinities clipped to the range of the training labels. */
cm_status cm_inner_finish(bool affinity, const double *score, const double *label, int64_t n,
                          const double *test, int64_t m, double *value, double *threshold, cm_error *error);

#endif
