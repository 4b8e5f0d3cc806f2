/* From tested pairs to lines of metrics. */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/file.h"
#include "eval/unit.h"
#include "metrics/metrics.h"
#include <math.h>
#include <string.h>

enum { DRAWS = 1000 };

/* Tested pairs laid side by side. */
typedef struct pool {
    double *value, *decision, *label;
    int32_t *entity[2];
    int64_t n;
} pool;

static void pool_clear(pool *p) {
    cm_free(p->value);
    cm_free(p->decision);
    cm_free(p->label);
    cm_free(p->entity[0]);
    cm_free(p->entity[1]);
}

static cm_status pool_make(pool *p, int64_t room, cm_error *error) {
    size_t n = (size_t)room;
    *p = (pool){cm_new(n, sizeof(double)),
                cm_new(n, sizeof(double)),
                cm_new(n, sizeof(double)),
                {cm_new(n, sizeof(int32_t)), cm_new(n, sizeof(int32_t))},
                0};
    if (p->value && p->decision && p->label && p->entity[0] && p->entity[1]) return CM_OK;
    pool_clear(p);
    return cm_fail_memory(error, n * 32);
}

static void pool_add(pool *p, const cm_eval_group *group, const cm_eval_unit *unit,
                     const cm_dataset *dataset) {
    for (int64_t i = 0; i < unit->n_test; i++) {
        const cm_pair *pair = &dataset->pairs[unit->test[i]];
        if (group->given_fold >= 0 && pair->fold != group->given_fold) continue;
        p->value[p->n] = unit->value[i];
        p->decision[p->n] = unit->value[i] >= unit->threshold;
        p->label[p->n] = (double)group->label[unit->test[i]];
        p->entity[0][p->n] = pair->entity[0];
        p->entity[1][p->n++] = pair->entity[1];
    }
}

/* Binary metrics that follow from the class decisions; the others follow from the probabilities. */
static bool of_decision(int metric) {
    return metric != CM_BINARY_auroc && metric != CM_BINARY_auprc && metric != CM_BINARY_brier &&
           metric != CM_BINARY_ece;
}

/* Each unit decides at its own threshold, so decisions are pooled as 0 and 1. */
static cm_status pool_metrics(const pool *p, bool affinity, double *out, cm_error *error) {
    if (affinity) return cm_metrics_affinity(p->value, p->label, p->n, out, error);
    double decided[CM_METRICS_MAX];
    CM_TRY(cm_metrics_binary(p->value, p->label, p->n, 0.5, out, error));
    CM_TRY(cm_metrics_binary(p->decision, p->label, p->n, 0.5, decided, error));
    for (int m = 0; m < CM_BINARY_COUNT; m++)
        if (of_decision(m)) out[m] = decided[m];
    return CM_OK;
}

static cm_status pool_intervals(const pool *p, bool affinity, uint64_t seed, double *low, double *high,
                                cm_error *error) {
    CM_TRY(cm_metrics_intervals(affinity, p->value, p->label, p->n, 0.5, p->entity[0], p->entity[1], DRAWS,
                                seed, low, high, error));
    if (affinity) return CM_OK;
    double l[CM_METRICS_MAX], h[CM_METRICS_MAX];
    CM_TRY(cm_metrics_intervals(affinity, p->decision, p->label, p->n, 0.5, p->entity[0], p->entity[1], DRAWS,
                                seed, l, h, error));
    for (int m = 0; m < CM_BINARY_COUNT; m++)
        if (of_decision(m)) {
            low[m] = l[m];
            high[m] = h[m];
        }
    return CM_OK;
}

/* Running numbers of one group. */
typedef struct tally {
    double pooled[CM_METRICS_MAX], sum[CM_METRICS_MAX], square[CM_METRICS_MAX];
    int valid[CM_METRICS_MAX]; /* units with a finite value */
    double low[CM_METRICS_MAX], high[CM_METRICS_MAX];
    int repeats, units;
    int64_t pairs;
} tally;

static cm_status tally_unit(tally *t, const cm_eval_group *group, const cm_eval_unit *unit,
                            const cm_dataset *dataset, pool *p, cm_error *error) {
    double out[CM_METRICS_MAX];
    bool affinity = dataset->task->affinity;
    p->n = 0;
    pool_add(p, group, unit, dataset);
    if (p->n == 0) return CM_OK;
    CM_TRY(pool_metrics(p, affinity, out, error));
    t->units++;
    for (int m = 0; m < cm_metrics_count(affinity); m++) {
        if (!isfinite(out[m])) continue;
        t->sum[m] += out[m];
        t->square[m] += out[m] * out[m];
        t->valid[m]++;
    }
    return CM_OK;
}

static cm_status tally_repeat(tally *t, const cm_eval_group *group, int repeat, const cm_dataset *dataset,
                              pool *p, uint64_t seed, cm_error *error) {
    double out[CM_METRICS_MAX];
    bool affinity = dataset->task->affinity;
    p->n = 0;
    for (int64_t u = 0; u < group->n_units; u++)
        if (group->units[u].repeat == repeat) pool_add(p, group, &group->units[u], dataset);
    CM_TRY(pool_metrics(p, affinity, out, error));
    for (int m = 0; m < cm_metrics_count(affinity); m++) t->pooled[m] += out[m];
    if (t->repeats++ > 0) return CM_OK;
    t->pairs = p->n;
    return pool_intervals(p, affinity, seed, t->low, t->high, error);
}

static cm_status tally_all(tally *t, const cm_eval_group *group, const cm_dataset *dataset, uint64_t seed,
                           cm_error *error) {
    int64_t room = 1;
    for (int64_t u = 0; u < group->n_units; u++) room += group->units[u].n_test;
    pool p;
    CM_TRY(pool_make(&p, room, error));
    cm_status status = CM_OK;
    for (int64_t u = 0; u < group->n_units && status == CM_OK; u++) {
        status = tally_unit(t, group, &group->units[u], dataset, &p, error);
        bool first_of_repeat = u == 0 || group->units[u].repeat != group->units[u - 1].repeat;
        if (status == CM_OK && first_of_repeat)
            status = tally_repeat(t, group, group->units[u].repeat, dataset, &p, seed, error);
    }
    pool_clear(&p);
    return status;
}

cm_status cm_eval_summary(const cm_eval_group *group, const cm_dataset *dataset, uint64_t seed,
                          cm_eval_sink sink, void *context, cm_error *error) {
    tally t = {0};
    CM_TRY(tally_all(&t, group, dataset, seed, error));
    bool affinity = dataset->task->affinity;
    for (int m = 0; m < cm_metrics_count(affinity); m++) {
        double mean = t.valid[m] ? t.sum[m] / t.valid[m] : NAN, sd = NAN;
        if (t.valid[m] > 1) sd = sqrt(fmax(0.0, (t.square[m] - t.valid[m] * mean * mean) / (t.valid[m] - 1)));
        cm_eval_line line = {.model = group->name,
                             .fold = group->fold_name,
                             .metric = cm_metrics_name(affinity, m),
                             .pooled = t.pooled[m] / t.repeats,
                             .mean = mean,
                             .sd = sd,
                             .low = t.low[m],
                             .high = t.high[m],
                             .pairs = (long)t.pairs,
                             .units = t.units};
        if (sink(context, &line) != 0)
            return cm_fail(error, CM_INTERRUPTED, NULL, NULL, NULL, "stopped by the receiver of the results");
    }
    return CM_OK;
}

cm_status cm_eval_predictions(const char *path, const cm_eval_unit *units, int64_t n_units,
                              const cm_dataset *dataset, const float *label, cm_error *error) {
    cm_buf text = CM_BUF_EMPTY;
    cm_buf_text(&text, "model\trepeat\tfold\tid_a\tid_b\tlabel\tscore\tvalue\tthreshold\n");
    for (int64_t u = 0; u < n_units; u++)
        for (int64_t i = 0; i < units[u].n_test; i++) {
            const cm_pair *pair = &dataset->pairs[units[u].test[i]];
            cm_buf_printf(&text, "%s\t%d\t%d\t%s\t%s\t%.9g\t%.9g\t%.9g\t%.9g\n", units[u].model,
                          units[u].repeat + 1, units[u].fold + 1, pair->id[0], pair->id[1],
                          (double)label[units[u].test[i]], units[u].score[i], units[u].value[i],
                          units[u].threshold);
        }
    cm_file_part part = {text.data, text.len};
    cm_status status = text.failed ? cm_fail_memory(error, text.len) : cm_file_replace(path, &part, 1, error);
    cm_buf_clear(&text);
    return status;
}
