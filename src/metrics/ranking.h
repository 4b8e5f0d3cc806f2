/* Metrics with integer weights on values sorted once: what the points and their bootstrap share. A private
 * part of metrics/metrics.c and metrics/bootstrap.c. */
#ifndef CM_METRICS_RANKING_H
#define CM_METRICS_RANKING_H

#include "metrics/metrics.h"

/* n values and labels (the caller's, kept alive), with their orders. group: number of an element's distinct
 * value in ascending order. by_label, label_group and the work space: affinity only. */
typedef struct cm_ranking {
    int64_t n;
    const double *value, *label;
    const double *decision; /* binary: 1 where the class 1 was decided on; NULL: where value >= threshold */
    int64_t *by_value, *by_label;
    int64_t *value_group, *label_group;
    int64_t n_groups;                /* distinct values */
    double *value_rank, *label_rank; /* work space of Spearman's coefficient [n] */
    int64_t *tree, *weight_of;       /* work space of the concordance index [n_groups + 1] */
} cm_ranking;

/* Checks and sorts. CM_DATA when n < 1 or a binary label is neither 0 nor 1, CM_NUMERIC when a value or a
 * label is not finite. */
cm_status cm_ranking_create(cm_ranking *ranking, bool affinity, const double *value, const double *label,
                            int64_t n, cm_error *error);
void cm_ranking_clear(cm_ranking *ranking);

/* Metrics as if element i were there weight[i] >= 0 times; at least one weight is positive. */
void cm_ranking_binary(const cm_ranking *ranking, const int32_t *weight, double threshold,
                       double out[CM_BINARY_COUNT]);
void cm_ranking_affinity(const cm_ranking *ranking, const int32_t *weight, double out[CM_AFFINITY_COUNT]);

/* Matthews' correlation coefficient, 0 when a margin is empty. */
double cm_metrics_mcc(double tp, double fp, double tn, double fn);

#endif
