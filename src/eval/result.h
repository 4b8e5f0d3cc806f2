/* The numbers of one model on one track over one set of tested pairs. */
#ifndef CM_EVAL_RESULT_H
#define CM_EVAL_RESULT_H

#include "eval/unit.h"
#include "metrics/bootstrap.h"
#include "metrics/reliability.h"

enum { CM_EVAL_DRAWS = 1000 };

/* Tested pairs laid side by side. */
typedef struct cm_pool {
    double *value, *decision, *label;
    int32_t *entity[2];
    int64_t *pair; /* of the data set */
    int64_t n;
} cm_pool;
cm_status cm_pool_create(cm_pool *pool, int64_t room, cm_error *error);
void cm_pool_clear(cm_pool *pool);

/* What is summarised: units[n] of one model. given_fold: only the pairs with that fold of the data set; -1:
 * all. */
typedef struct cm_eval_group {
    const cm_eval_unit *units;
    int64_t n_units;
    const char *model, *fold_name;
    cm_track track;
    int given_fold;
    const float *label; /* by pair */
} cm_eval_group;

/* Adds the pairs of a unit; the decision of each is made at the unit's threshold. */
void cm_pool_add(cm_pool *pool, const cm_eval_group *group, const cm_eval_unit *unit,
                 const cm_dataset *dataset);
cm_sample cm_pool_sample(const cm_pool *pool, bool affinity);

typedef struct cm_interval {
    double low, high;
} cm_interval;

typedef struct cm_eval_result {
    cm_eval_group group;
    bool affinity;
    double pooled[CM_METRICS_MAX];                   /* mean over repeats */
    double mean[CM_METRICS_MAX], sd[CM_METRICS_MAX]; /* over units; paper track of an affinity: its best */
    cm_interval interval[CM_METRICS_MAX];            /* both sides resampled */
    cm_interval side_interval[2][CM_METRICS_MAX];    /* one side alone: A, B */
    double *draws;                                   /* [metrics][CM_EVAL_DRAWS] of pooled, owned */
    double *unit_metrics;                            /* [n_units][CM_METRICS_MAX], owned */
    bool *counts;                                    /* [n_units] owned: the unit is in mean and sd */
    int64_t *unit_pairs;                             /* [n_units] owned */
    const char *reference;                           /* NULL: this is the reference */
    double difference[CM_METRICS_MAX];               /* pooled - pooled of the reference */
    cm_difference compared[CM_METRICS_MAX];
    cm_coverage coverage;
    cm_pool pool; /* the first repeat's pairs */
    long pairs;
    int n_counted;
} cm_eval_result;

/* sides: also the intervals with one side resampled. Clear also after a failure. */
cm_status cm_eval_result_make(cm_eval_result *result, const cm_eval_group *group, const cm_dataset *dataset,
                              uint64_t seed, bool sides, cm_error *error);
void cm_eval_result_clear(cm_eval_result *result);

/* Fills reference, difference and compared. Both results are over the same pairs. */
cm_status cm_eval_result_compare(cm_eval_result *result, const cm_eval_result *reference, cm_error *error);

/* Sends one line a metric. */
cm_status cm_eval_result_send(const cm_eval_result *result, cm_eval_sink sink, void *context,
                              cm_error *error);

/* Pooled metrics of the first repeat, without anything else. */
cm_status cm_eval_pooled(const cm_eval_group *group, const cm_dataset *dataset, double *out, cm_error *error);

#endif
