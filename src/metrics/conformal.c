/* Conformal intervals and sets. */
#include "metrics/conformal.h"
#include "base/alloc.h"
#include <math.h>
#include <stdlib.h>

static int by_size(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

double cm_conformal_quantile(double *residual, int64_t n, double miss) {
    int64_t rank = (int64_t)ceil((double)(n + 1) * (1 - miss) - 1e-9);
    if (rank > n) return NAN;
    qsort(residual, (size_t)n, sizeof *residual, by_size);
    return residual[rank < 1 ? 0 : rank - 1];
}

/* Leave-one-out residuals of a least-squares line over score. */
static void line_residuals(const double *score, const double *value, const double *label, int64_t n,
                           double *residual) {
    double mean = 0, spread = 0;
    for (int64_t i = 0; i < n; i++) mean += score[i] / (double)n;
    for (int64_t i = 0; i < n; i++) spread += (score[i] - mean) * (score[i] - mean);
    for (int64_t i = 0; i < n; i++) {
        double d = score[i] - mean, leverage = 1 / (double)n + (spread > 0 ? d * d / spread : 0);
        residual[i] = fabs(label[i] - value[i]) / fmax(1 - leverage, 0.1);
    }
}

static int64_t class_residuals(const double *value, const double *label, int64_t n, int class,
                               double *residual) {
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++)
        if ((label[i] > 0.5) == class) residual[count++] = class ? 1 - value[i] : value[i];
    return count;
}

cm_status cm_conformal_fit(bool affinity, const double *score, const double *value, const double *label,
                           int64_t n, cm_conformal *conformal, cm_error *error) {
    *conformal = (cm_conformal){NAN, {NAN, NAN}};
    double *residual = cm_new((size_t)n, sizeof *residual);
    if (!residual) return cm_fail_memory(error, (size_t)n * sizeof *residual);
    if (affinity && n > 0) {
        line_residuals(score, value, label, n, residual);
        conformal->half_width = cm_conformal_quantile(residual, n, CM_CONFORMAL_MISS);
    }
    for (int class = 0; class < 2 && !affinity; class ++) {
        int64_t count = class_residuals(value, label, n, class, residual);
        conformal->bound[class] = cm_conformal_quantile(residual, count, CM_CONFORMAL_MISS);
    }
    cm_free(residual);
    return CM_OK;
}

bool cm_conformal_holds(const cm_conformal *conformal, double value, int class) {
    double residual = class ? 1 - value : value;
    return isnan(conformal->bound[class]) || residual <= conformal->bound[class];
}

static void add_interval(cm_coverage *sums, double half_width, double value, double label) {
    if (isnan(half_width)) return;
    sums->pairs++;
    sums->covered += fabs(label - value) <= half_width;
    sums->width += 2 * half_width;
}

static void add_set(cm_coverage *sums, const cm_conformal *conformal, double value, double label) {
    if (isnan(conformal->bound[0]) && isnan(conformal->bound[1])) return;
    int size = cm_conformal_holds(conformal, value, 0) + cm_conformal_holds(conformal, value, 1);
    sums->pairs++;
    sums->covered += cm_conformal_holds(conformal, value, label > 0.5);
    sums->width += size;
    sums->single += size == 1;
}

void cm_coverage_add(cm_coverage *sums, const cm_conformal *conformal, bool affinity, const double *value,
                     const double *label, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        if (affinity)
            add_interval(sums, conformal->half_width, value[i], label[i]);
        else
            add_set(sums, conformal, value[i], label[i]);
    }
}

void cm_coverage_finish(cm_coverage *sums) {
    double n = (double)sums->pairs;
    sums->covered = n > 0 ? sums->covered / n : NAN;
    sums->width = n > 0 ? sums->width / n : NAN;
    sums->single = n > 0 ? sums->single / n : NAN;
}
