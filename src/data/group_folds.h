/* Dealing groups of molecules to folds. A private part of data/split_kind.c. */
#ifndef CM_DATA_GROUP_FOLDS_H
#define CM_DATA_GROUP_FOLDS_H

#include "data/groups.h"

/* Folds 0..k-1 of the groups that the pairs index[n] have on side (fold[groups->count]; -1: none of them):
 * larger groups first, in an order shuffled by seed among those of about one size, each to the fold where
 * pairs and labels stay the most even. *n_dealt: groups dealt. */
cm_status cm_group_folds(const cm_groups *groups, const cm_dataset *dataset, const int64_t *index, int64_t n,
                         int side, int k, uint64_t seed, int32_t *fold, int32_t *n_dealt, cm_error *error);

#endif
