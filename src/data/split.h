/* Splits of pairs. Pure functions of their arguments. */
#ifndef CM_DATA_SPLIT_H
#define CM_DATA_SPLIT_H

#include "data/dataset.h"
#include <stdbool.h>

/* Random folds 0..k-1 over pairs index[n] of dataset (NULL: all n = n_pairs), stratified: by label when
 * binary, by label quintile when affinity. fold[n] is written. */
cm_status cm_split_folds(const cm_dataset *dataset, const int64_t *index, int64_t n, int k, uint64_t seed,
                         int32_t *fold, cm_error *error);

/* Holds out share of index[n], stratified as above: held[n] is true for the held-out ones; at least one of
 * each class stays on both sides when there are two or more of it. */
cm_status cm_split_hold_out(const cm_dataset *dataset, const int64_t *index, int64_t n, double share,
                            uint64_t seed, bool *held, cm_error *error);

#endif
