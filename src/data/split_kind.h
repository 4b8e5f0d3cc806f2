/* The kinds of splits: which pairs train, which are tested and which are left out, unit by unit. Pure
 * functions of data set, request and seed. */
#ifndef CM_DATA_SPLIT_KIND_H
#define CM_DATA_SPLIT_KIND_H

#include "data/dataset.h"
#include <crossmamba/options.h>
#include <stdbool.h>

typedef enum cm_split_rule {
    CM_SPLIT_PAIRS,
    CM_SPLIT_GIVEN,
    CM_SPLIT_TEXTS,
    CM_SPLIT_CLUSTERS
} cm_split_rule;

/* One row of the table of kinds. */
typedef struct cm_split_kind {
    const char *name, *help;
    cm_split_rule rule;
    bool stratified; /* PAIRS */
    bool side[2];    /* TEXTS, CLUSTERS: sides whose molecules are new in a test; GIVEN: drop shared ones */
    int folds;       /* default */
} cm_split_kind;

/* NULL: there is none of that name. */
const cm_split_kind *cm_split_kind_find(const char *name);

typedef enum cm_role { CM_TRAIN, CM_TEST, CM_UNUSED } cm_role;

/* Trainings of one repeat: role[unit * n_pairs + pair]. Every pair is tested at most once. */
typedef struct cm_split {
    int n_units;
    int64_t n_pairs;
    uint8_t *role;
} cm_split;

typedef struct cm_split_request {
    const cm_split_kind *kind;
    int folds;                          /* per side for kinds with two sides: folds * folds units */
    double threshold[3];                /* by molecule type, CLUSTERS */
    const char *test_fold, *train_fold; /* GIVEN: see crossmamba/eval.h; or NULL */
} cm_split_request;

/* The thresholds that the options name, by molecule type. */
void cm_split_thresholds(const cm_options *options, double threshold[3]);

/* PAIRS: folds over the pairs. TEXTS and CLUSTERS, one side: whole groups (data/groups.h) of that side go to
 * folds; a pair of the training part that has a group of the test part on its other side is left out. Both
 * sides: the groups of A and those of B go to folds independently; unit (i, j) tests the pairs of fold i of A
 * and fold j of B and trains on those of neither; the others are left out, some 2 / folds of all. Groups are
 * dealt greedily, larger ones first, to the fold where pairs and labels (classes or quintiles) become the
 * most even. A block without pairs is no unit. CM_DATA when there are fewer groups than folds or a unit would
 * have nothing to train on. */
cm_status cm_split_make(cm_split *split, const cm_split_request *request, const cm_dataset *dataset,
                        uint64_t seed, cm_error *error);
void cm_split_clear(cm_split *split);

/* Inner hold-out of the pairs index[n], of the same kind as the outer split: share of them in held[n], so
 * that no group of the cold side is on both parts. Both sides: half the share for new molecules of A, half
 * for new ones of B, so that nothing is left out; such a pair may know its other molecule. *done is false and
 * held untouched when no division leaves both classes on both parts, or the kind has no groups. */
cm_status cm_split_hold_out_groups(const cm_split_request *request, const cm_dataset *dataset,
                                   const int64_t *index, int64_t n, double share, uint64_t seed, bool *held,
                                   bool *done, cm_error *error);

#endif
