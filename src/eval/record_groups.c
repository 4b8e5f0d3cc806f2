/* Parts of the record that take the tested pairs apart: residuals by column, molecules known from training.
 */
#include "base/alloc.h"
#include "eval/record.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- residuals ---- */

/* A column of the pair table. */
typedef struct table_column {
    const char *name;
    char *const *values;
    int64_t n;
    bool fold; /* the fold column; else the group column */
} table_column;

/* Room for the pairs of one value. */
typedef struct tested_part {
    cm_pool pool;
    double *residual; /* predicted - measured */
} tested_part;

static void take_part(tested_part *part, const cm_eval_result *r, const cm_dataset *dataset,
                      const table_column *column, int32_t value) {
    const cm_pool *from = &r->pool;
    cm_pool *to = &part->pool;
    to->n = 0;
    for (int64_t i = 0; i < from->n; i++) {
        const cm_pair *pair = &dataset->pairs[from->pair[i]];
        if ((column->fold ? pair->fold : pair->group) != value) continue;
        to->value[to->n] = from->value[i];
        to->decision[to->n] = from->decision[i];
        to->label[to->n] = from->label[i];
        to->entity[0][to->n] = from->entity[0][i];
        to->entity[1][to->n] = from->entity[1][i];
        part->residual[to->n] = from->value[i] - from->label[i];
        to->n++;
    }
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Linear between the order statistics of sorted[n]. */
static double quantile(const double *sorted, int64_t n, double share) {
    double at = share * (double)(n - 1), below = floor(at);
    int64_t i = (int64_t)below;
    return i + 1 < n ? sorted[i] + (at - below) * (sorted[i + 1] - sorted[i]) : sorted[i];
}

/* The metric that stands for all, over these pairs alone. */
static cm_status part_metric(const tested_part *part, bool affinity, uint64_t seed, json_t **metric,
                             cm_error *error) {
    double all[CM_METRICS_MAX], low, high;
    int count = cm_metrics_count(affinity), main = cm_metrics_main(affinity);
    cm_sample sample = cm_pool_sample(&part->pool, affinity);
    double *draws = cm_new((size_t)count * CM_EVAL_DRAWS, sizeof *draws);
    cm_status status = draws ? cm_sample_metrics(&sample, all, error)
                             : cm_fail_memory(error, (size_t)count * CM_EVAL_DRAWS * sizeof *draws);
    if (status == CM_OK) status = cm_sample_draws(&sample, CM_EVAL_DRAWS, seed, 0, draws, error);
    if (status == CM_OK) {
        cm_draws_limits(draws + (int64_t)main * CM_EVAL_DRAWS, CM_EVAL_DRAWS, &low, &high);
        *metric = json_pack("{s:s, s:o, s:o, s:o}", "name", cm_metrics_name(affinity, main), "pooled",
                            cm_record_real(all[main]), "low95", cm_record_real(low), "high95",
                            cm_record_real(high));
    }
    cm_free(draws);
    return status;
}

static json_t *part_residuals(tested_part *part, const table_column *column, int32_t value, json_t *metric) {
    static const double shares[] = {0.05, 0.25, 0.5, 0.75, 0.95};
    double sum = 0, square = 0;
    int64_t n = part->pool.n;
    for (int64_t i = 0; i < n; i++) {
        sum += part->residual[i];
        square += part->residual[i] * part->residual[i];
    }
    qsort(part->residual, (size_t)n, sizeof *part->residual, ascending);
    json_t *quantiles = json_array();
    for (size_t q = 0; q < sizeof shares / sizeof *shares; q++)
        json_array_append_new(quantiles, cm_record_real(quantile(part->residual, n, shares[q])));
    return json_pack("{s:s, s:o, s:I, s:o, s:o, s:o, s:o}", "column", column->name, "value",
                     cm_record_text(column->values[value]), "pairs", (json_int_t)n, "bias",
                     cm_record_real(sum / (double)n), "rmse", cm_record_real(sqrt(square / (double)n)),
                     "quantiles", quantiles, "metric", metric);
}

static cm_status add_column(const cm_eval_result *r, const cm_dataset *dataset, uint64_t seed,
                            tested_part *part, const table_column *column, json_t *array, cm_error *error) {
    for (int32_t v = 0; v < column->n; v++) {
        json_t *metric = NULL;
        take_part(part, r, dataset, column, v);
        if (part->pool.n == 0) continue;
        CM_TRY(part_metric(part, r->affinity, seed, &metric, error));
        if (json_array_append_new(array, part_residuals(part, column, v, metric)) != 0)
            return cm_fail_memory(error, 0);
    }
    return CM_OK;
}

cm_status cm_record_residuals(const cm_eval_result *r, const cm_dataset *dataset, uint64_t seed,
                              json_t *array, cm_error *error) {
    const cm_dataset_options *o = &dataset->options;
    const table_column columns[2] = {{o->fold_column, dataset->folds, dataset->n_folds, true},
                                     {o->group_column, dataset->groups, dataset->n_groups, false}};
    tested_part part = {.residual = cm_new((size_t)r->pool.n + 1, sizeof(double))};
    cm_status status = part.residual ? cm_pool_create(&part.pool, r->pool.n + 1, error)
                                     : cm_fail_memory(error, (size_t)r->pool.n * sizeof(double));
    for (int c = 0; c < 2 && status == CM_OK; c++)
        if (columns[c].name) status = add_column(r, dataset, seed, &part, &columns[c], array, error);
    cm_pool_clear(&part.pool);
    cm_free(part.residual);
    return status;
}

/* ---- molecules known from training ---- */

/* Marks the molecules of the pairs that train a unit. */
static void mark_known(const cm_dataset *dataset, const cm_eval_unit *unit, bool *known[2]) {
    for (int side = 0; side < 2; side++) memset(known[side], 0, (size_t)dataset->n_entities[side]);
    for (int64_t i = 0; i < dataset->n_pairs; i++)
        for (int side = 0; side < 2 && unit->train[i]; side++)
            known[side][dataset->pairs[i].entity[side]] = true;
}

/* count: tested pairs; of these those whose A, B, both are in the training part. */
static void count_known(const cm_eval_result *r, const cm_dataset *dataset, bool *known[2],
                        int64_t count[4]) {
    for (int64_t u = 0; u < r->group.n_units; u++) {
        const cm_eval_unit *unit = &r->group.units[u];
        if (unit->repeat != 0) continue;
        mark_known(dataset, unit, known);
        for (int64_t i = 0; i < unit->n_test; i++) {
            const cm_pair *pair = &dataset->pairs[unit->test[i]];
            if (r->group.given_fold >= 0 && pair->fold != r->group.given_fold) continue;
            bool a = known[0][pair->entity[0]], b = known[1][pair->entity[1]];
            count[0]++;
            count[1] += a;
            count[2] += b;
            count[3] += a && b;
        }
    }
}

cm_status cm_record_overlap(const cm_eval_result *r, const cm_dataset *dataset, json_t **overlap,
                            cm_error *error) {
    int64_t count[4] = {0};
    bool *known[2] = {cm_new((size_t)dataset->n_entities[0], sizeof(bool)),
                      cm_new((size_t)dataset->n_entities[1], sizeof(bool))};
    bool ok = known[0] && known[1];
    if (ok) count_known(r, dataset, known, count);
    cm_free(known[0]);
    cm_free(known[1]);
    *overlap = ok ? json_pack("{s:I, s:I, s:I, s:I}", "pairs", (json_int_t)count[0], "a",
                              (json_int_t)count[1], "b", (json_int_t)count[2], "both", (json_int_t)count[3])
                  : NULL;
    return *overlap ? CM_OK : cm_fail_memory(error, 0);
}
