/* Metrics, each as its usual definition (scikit-learn's name in brackets where it differs). */
#ifndef CM_METRICS_METRICS_H
#define CM_METRICS_METRICS_H

#include "base/fail.h"
#include <stdbool.h>
#include <stdint.h>

/* Binary: value is a probability; class 1 when value >= threshold. Every metric is finite: a ratio with a
 * zero denominator is 0, AUROC and AUPRC of one class are NaN. */
#define CM_BINARY_METRICS(X)      \
    X(accuracy, "accuracy")       \
    X(sensitivity, "sensitivity") \
    X(specificity, "specificity") \
    X(precision, "precision")     \
    X(f1, "F1")                   \
    X(mcc, "MCC")                 \
    X(auroc, "AUROC")             \
    X(auprc, "AUPRC") X(balanced_accuracy, "balanced accuracy") X(brier, "Brier") X(ece, "ECE")
/* Regression: Pearson, Spearman, RMSE, MAE, coefficient of determination, concordance index (ties in the
 * label left out, ties in the value count half; 0.5 without two different labels). Correlations and R2 of a
 * constant are 0. */
#define CM_AFFINITY_METRICS(X) \
    X(pearson, "Pearson") X(spearman, "Spearman") X(rmse, "RMSE") X(mae, "MAE") X(r2, "R2") X(ci, "CI")

enum {
#define X(field, name) CM_BINARY_##field,
    CM_BINARY_METRICS(X)
#undef X
        CM_BINARY_COUNT
};
enum {
#define X(field, name) CM_AFFINITY_##field,
    CM_AFFINITY_METRICS(X)
#undef X
        CM_AFFINITY_COUNT
};
enum { CM_METRICS_MAX = 16 };

int cm_metrics_count(bool affinity);
const char *cm_metrics_name(bool affinity, int metric);

/* 1: higher is better; -1: lower is better. */
int cm_metrics_direction(bool affinity, int metric);
/* The metric that stands for all: MCC, Pearson. */
int cm_metrics_main(bool affinity);

/* All metrics of n values against labels into out[cm_metrics_count]. threshold is ignored for affinity. */
cm_status cm_metrics_binary(const double *value, const double *label, int64_t n, double threshold,
                            double out[CM_BINARY_COUNT], cm_error *error);
cm_status cm_metrics_affinity(const double *value, const double *label, int64_t n,
                              double out[CM_AFFINITY_COUNT], cm_error *error);

/* The threshold with the largest MCC (of equals the one nearest 0.5). */
cm_status cm_metrics_best_threshold(const double *value, const double *label, int64_t n, double *threshold,
                                    cm_error *error);

/* 95 % intervals of all metrics by a bootstrap over entities: each draw takes every A and every B molecule
 * with a Poisson(1) weight; a pair's weight is the product (the pigeonhole bootstrap of Owen 2007), rounded
 * to repeats. entity_a/b [n] number the molecules. draws >= 1000. low/high[cm_metrics_count]. */
cm_status cm_metrics_intervals(bool affinity, const double *value, const double *label, int64_t n,
                               double threshold, const int32_t *entity_a, const int32_t *entity_b, int draws,
                               uint64_t seed, double *low, double *high, cm_error *error);

#endif
