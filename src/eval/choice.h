/* Plain predictors with one hyper-parameter, chosen on inner folds together with calibration and threshold.
 */
#ifndef CM_EVAL_CHOICE_H
#define CM_EVAL_CHOICE_H

#include "eval/predictor.h"
#include "train/inner.h"

enum { CM_CANDIDATES_MAX = 32 };

typedef struct cm_choice {
    int candidates; /* values of the hyper-parameter, at most CM_CANDIDATES_MAX */
    int standard;   /* the one for training parts too small to choose on */
    /* Fits pairs fit[n] and scores pairs target[m] with every candidate: score[candidate * m + i]. */
    cm_status (*score)(const void *context, const int64_t *fit, int64_t n, const int64_t *target, int64_t m,
                       double *score, cm_error *error);
    const void *context;
    bool as_scored; /* affinities are scored in their own units and stay so, without calibration */
} cm_choice;

/* The candidate of the lowest loss of inner folds (of equals the first), fitted to the whole training part.
 */
cm_status cm_choice_run(const cm_choice *choice, const cm_predictor_call *call, cm_error *error);

/* Values of an affinity from the scores as they are, clipped to the range of the training labels. */
void cm_choice_clip(const cm_predictor_call *call);

/* The labels of the training pairs, as doubles by position; NULL when out of memory. */
double *cm_choice_labels(const cm_predictor_call *call);

#endif
