/* The bootstrap over the molecules of both sides or one. */
#include "metrics/bootstrap.h"
#include "base/alloc.h"
#include "metrics/ranking.h"
#include "metrics/resample.h"
#include <assert.h>
#include <math.h>
#include <stdlib.h>

enum { FEWEST_DRAWS = 1000 };

static int by_size(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* Linear between order statistics. */
static double quantile(const double *sorted, int64_t n, double share) {
    double at = share * (double)(n - 1);
    int64_t low = (int64_t)at;
    if (low + 1 >= n) return sorted[n - 1];
    return sorted[low] + (at - (double)low) * (sorted[low + 1] - sorted[low]);
}

void cm_draws_limits(double *values, int draws, double *low, double *high) {
    int64_t n = 0;
    for (int i = 0; i < draws; i++)
        if (!isnan(values[i])) values[n++] = values[i];
    *low = *high = NAN;
    if (n == 0) return;
    qsort(values, (size_t)n, sizeof *values, by_size);
    *low = quantile(values, n, 0.025);
    *high = quantile(values, n, 0.975);
}

cm_difference cm_draws_difference(const double *first, const double *second, int draws, double *work) {
    cm_difference d;
    int n = 0, below = 0, above = 0;
    for (int i = 0; i < draws; i++) {
        work[i] = first[i] - second[i];
        n += !isnan(work[i]);
        below += work[i] <= 0;
        above += work[i] >= 0;
    }
    int beyond = below < above ? below : above;
    d.p = n > 0 ? fmin(1, 2.0 * (beyond + 1) / (n + 1)) : NAN;
    cm_draws_limits(work, draws, &d.low, &d.high);
    return d;
}

static void metrics_of(const cm_ranking *ranking, const cm_sample *sample, const int32_t *weight,
                       double *out) {
    if (sample->affinity)
        cm_ranking_affinity(ranking, weight, out);
    else
        cm_ranking_binary(ranking, weight, sample->threshold, out);
}

cm_status cm_sample_metrics(const cm_sample *sample, double *out, cm_error *error) {
    cm_ranking ranking;
    CM_TRY(cm_ranking_create(&ranking, sample->affinity, sample->value, sample->label, sample->n, error));
    ranking.decision = sample->decision;
    int32_t *once = cm_new((size_t)sample->n, sizeof *once);
    cm_status status = once ? CM_OK : cm_fail_memory(error, (size_t)sample->n * sizeof *once);
    for (int64_t i = 0; once && i < sample->n; i++) once[i] = 1;
    if (once) metrics_of(&ranking, sample, once, out);
    cm_free(once);
    cm_ranking_clear(&ranking);
    return status;
}

static void run_draws(cm_resample *r, const cm_ranking *ranking, const cm_sample *sample, int draws, int keep,
                      double *values) {
    const int metrics = cm_metrics_count(sample->affinity);
    double out[CM_METRICS_MAX];
    for (int draw = 0; draw < draws; draw++) {
        bool any = cm_resample_draw(r, draw);
        if (any) metrics_of(ranking, sample, r->weight, out);
        for (int m = 0; m < metrics; m++) {
            double *value = &values[(int64_t)m * draws + draw], now = any ? out[m] : NAN;
            *value = keep > 0 ? *value + (now - *value) / (keep + 1) : now;
        }
    }
}

cm_status cm_sample_draws(const cm_sample *sample, int draws, uint64_t seed, int keep, double *values,
                          cm_error *error) {
    cm_ranking ranking;
    cm_resample resample;
    CM_TRY(cm_ranking_create(&ranking, sample->affinity, sample->value, sample->label, sample->n, error));
    ranking.decision = sample->decision;
    cm_status status = cm_resample_create(&resample, sample->entity, sample->n, seed, error);
    if (status == CM_OK) run_draws(&resample, &ranking, sample, draws, keep, values);
    cm_resample_clear(&resample);
    cm_ranking_clear(&ranking);
    return status;
}

cm_status cm_metrics_intervals(bool affinity, const double *value, const double *label, int64_t n,
                               double threshold, const int32_t *entity_a, const int32_t *entity_b, int draws,
                               uint64_t seed, double *low, double *high, cm_error *error) {
    if (draws < FEWEST_DRAWS)
        return cm_fail(error, CM_USAGE, NULL, NULL, cm_format("%d draws or more", FEWEST_DRAWS).text, "%d",
                       draws);
    cm_sample sample = {.affinity = affinity,
                        .n = n,
                        .value = value,
                        .label = label,
                        .threshold = threshold,
                        .entity = {entity_a, entity_b}};
    const int metrics = cm_metrics_count(affinity);
    double *values = cm_new((size_t)metrics * (size_t)draws, sizeof *values);
    if (!values) return cm_fail_memory(error, (size_t)draws * sizeof *values);
    cm_status status = cm_sample_draws(&sample, draws, seed, 0, values, error);
    for (int m = 0; m < metrics && status == CM_OK; m++)
        cm_draws_limits(values + (int64_t)m * draws, draws, &low[m], &high[m]);
    cm_free(values);
    return status;
}
