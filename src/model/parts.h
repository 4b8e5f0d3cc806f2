/* Models that are made of whole models in one file, each with its own card: what the kinds "stack" and "mean"
 * share. Tensors of part K are called part.K. and their name. */
#ifndef CM_MODEL_PARTS_H
#define CM_MODEL_PARTS_H

#include "model/model_kind.h"

void cm_parts_clear(cm_model *model);
int64_t cm_parts_size(const cm_model *model);

/* One object a part, new: name, weight (weighted), card; NULL: out of memory. */
json_t *cm_parts_describe(const cm_model *model, bool weighted);

/* The parts listed under key "parts" of about, which stands in the card under the kind's name. CM_DATA where
 * they are none or too many, where one is for another task or itself made of parts. */
cm_status cm_parts_build(cm_model *model, const json_t *about, const cm_model_source *from, bool weighted,
                         cm_error *error);
cm_status cm_parts_list(const cm_model *model, const char *prefix, cm_tensor_list *tensors, cm_error *error);
cm_status cm_parts_finish(cm_model *model, const cm_model_source *from, cm_error *error);

cm_status cm_parts_open(cm_scorer *scorer, cm_error *error);
void cm_parts_close(cm_scorer *scorer);

/* What the parts say of pairs index[n]: score[parts, n] before and value[parts, n] after their calibration,
 * one allocation owned through *score; spread[n] (or NULL) gets the standard deviation of the values. */
cm_status cm_parts_run(cm_scorer *scorer, const int64_t *index, int64_t n, double **score, double **value,
                       double *spread, cm_error *error);

/* What a mean takes from a part: an affinity's score as it is, or the logit of its probability. */
double cm_parts_term(bool affinity, double score, double value);
/* The threshold of a mean of probabilities' logits: where the mean logit of the parts' own ones lies. */
double cm_parts_threshold(const double *threshold, int parts);
/* to[n]: the mean of scores[parts][n]. */
void cm_parts_mean(const double *scores, int parts, int64_t n, double *to);

/* A finite number under a key of the kind's object. */
cm_status cm_parts_real(const json_t *object, const char *key, double *number, const char *path,
                        cm_error *error);

#endif
