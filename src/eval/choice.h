/* Plain predictors with one hyper-parameter, chosen on inner folds together with calibration and threshold.
 */
#ifndef CM_EVAL_CHOICE_H
#define CM_EVAL_CHOICE_H

#include "eval/predictor.h"
#include "train/choice.h"

/* The best candidate, fitted to the whole training part. */
cm_status cm_choice_run(const cm_choice *choice, const cm_predictor_call *call, cm_error *error);

/* Values of an affinity from the scores as they are, clipped to the range of the training labels. */
void cm_choice_clip(const cm_predictor_call *call);

/* The labels of the training pairs, as doubles by position; NULL when out of memory. */
double *cm_choice_labels(const cm_predictor_call *call);

#endif
