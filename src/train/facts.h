/* What learners other than networks note in a model: range of labels, longest molecules, standardisation, and
 * what was chosen on held-out scores, with the figures of the card. */
#ifndef CM_TRAIN_FACTS_H
#define CM_TRAIN_FACTS_H

#include "train/fit.h"
#include "train/inner.h"

/* An empty model of a kind for the request with the plain facts of its pairs. CM_DATA when all labels are
 * equal. */
cm_status cm_fit_begin(cm_model **model, const cm_model_kind *kind, const cm_fit_request *request,
                       cm_error *error);

/* The label of pair i of the request's index. */
double cm_fit_label(const cm_fit_request *request, int64_t i);
/* CM_NUMERIC naming the pair when one of them is no finite number. */
cm_status cm_fit_check_labels(const cm_fit_request *request, cm_error *error);

/* On which sides the model will be asked about new molecules: by most of the asked pairs, or where these are
 * not known by the option inner_split. */
cm_status cm_fit_new_sides(const cm_fit_request *request, bool new_side[2], cm_error *error);

/* Calibration by the options' method, conformal bounds and (binary) threshold from held-out scores [n] and
 * labels [n]; their metrics go to the card. */
cm_status cm_fit_finish(cm_model *model, const double *score, const double *label, int64_t n,
                        cm_error *error);
/* The same with the calibration, and of a binary task the threshold, that the model has. */
cm_status cm_fit_finish_calibrated(cm_model *model, const double *score, const double *label, int64_t n,
                                   cm_error *error);
/* Scores that stand for values as they are: the calibration is the identity, with the spread of affinities
 * around it. */
void cm_fit_keep_scores(cm_model *model, const double *score, const double *label, int64_t n);

/* Names library, task, data, labels and options, with other options in place of the request's, and `what`, so
 * that what an unfinished run has kept is never continued with others. CM_MEMORY. */
cm_status cm_fit_key(const cm_fit_request *request, const cm_options *options, const char *what, char key[65],
                     cm_error *error);

/* Notes training, a new reference, in the card. */
cm_status cm_fit_note(cm_model *model, json_t *training, cm_error *error);

#endif
