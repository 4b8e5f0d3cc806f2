/* Parts of the record of an evaluation. A private part of eval/record.c. */
#ifndef CM_EVAL_RECORD_H
#define CM_EVAL_RECORD_H

#include "eval/evaluation.h"
#include <jansson.h>

/* Of the format that docs/record.md describes. */
enum { CM_RECORD_VERSION = 2 };

/* A number, or null when it is not finite. */
json_t *cm_record_real(double value);
/* A text, or null when it is NULL or no UTF-8. */
json_t *cm_record_text(const char *text);
/* An array of n numbers, every step-th of values. */
json_t *cm_record_reals(const double *values, int64_t n, int64_t step);

/* One result as a new reference, NULL when out of memory; curves are drawn with seed. */
cm_status cm_record_result(const cm_eval_result *result, const cm_dataset *dataset, uint64_t seed,
                           json_t **record, cm_error *error);

/* Adds one object a value of the fold column and of the group column to array. */
cm_status cm_record_residuals(const cm_eval_result *result, const cm_dataset *dataset, uint64_t seed,
                              json_t *array, cm_error *error);
/* How many of the tested pairs of the first repeat have molecules of their training part. */
cm_status cm_record_overlap(const cm_eval_result *result, const cm_dataset *dataset, json_t **overlap,
                            cm_error *error);

#endif
