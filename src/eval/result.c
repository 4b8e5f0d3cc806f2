/* From tested pairs to numbers. */
#include "eval/result.h"
#include "base/alloc.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *cm_track_name(cm_track track) {
    return track == CM_TRACK_PAPER ? "paper (biased)" : "honest";
}

void cm_eval_result_clear(cm_eval_result *r) {
    cm_free(r->draws);
    cm_free(r->unit_metrics);
    cm_free(r->counts);
    cm_free(r->unit_pairs);
    cm_pool_clear(&r->pool);
    *r = (cm_eval_result){0};
}

static cm_status make_room(cm_eval_result *r, cm_error *error) {
    size_t units = (size_t)r->group.n_units, metrics = (size_t)cm_metrics_count(r->affinity);
    int64_t room = 1;
    for (int64_t u = 0; u < r->group.n_units; u++) room += r->group.units[u].n_test;
    r->draws = cm_new(metrics * CM_EVAL_DRAWS, sizeof *r->draws);
    r->unit_metrics = cm_new(units * CM_METRICS_MAX, sizeof *r->unit_metrics);
    r->counts = cm_new(units, sizeof *r->counts);
    r->unit_pairs = cm_new(units, sizeof *r->unit_pairs);
    if (!r->draws || !r->unit_metrics || !r->counts || !r->unit_pairs)
        return cm_fail_memory(error, metrics * CM_EVAL_DRAWS * sizeof *r->draws);
    return cm_pool_create(&r->pool, room, error);
}

/* ---- units ---- */

static cm_status unit_numbers(cm_eval_result *r, const cm_dataset *dataset, int64_t u, cm_error *error) {
    const cm_eval_unit *unit = &r->group.units[u];
    double *out = r->unit_metrics + u * CM_METRICS_MAX;
    for (int m = 0; m < CM_METRICS_MAX; m++) out[m] = NAN;
    r->pool.n = 0;
    cm_pool_add(&r->pool, &r->group, unit, dataset);
    r->unit_pairs[u] = r->pool.n;
    r->counts[u] = r->pool.n > 0;
    if (r->pool.n == 0) return CM_OK;
    cm_coverage_add(&r->coverage, &unit->conformal, r->affinity, r->pool.value, r->pool.label, r->pool.n);
    cm_sample sample = cm_pool_sample(&r->pool, r->affinity);
    return cm_sample_metrics(&sample, out, error);
}

/* How many units of the same repeat have a better main metric (of equals: come earlier). */
static int64_t better_units(const cm_eval_result *r, int64_t u) {
    const int main = cm_metrics_main(r->affinity);
    int64_t better = 0;
    double own = r->unit_metrics[u * CM_METRICS_MAX + main];
    for (int64_t v = 0; v < r->group.n_units; v++) {
        if (r->group.units[v].repeat != r->group.units[u].repeat || v == u || r->unit_pairs[v] == 0) continue;
        double other = r->unit_metrics[v * CM_METRICS_MAX + main];
        better += other > own || (other == own && v < u);
    }
    return better;
}

/* The published protocol of affinities: the best three tenths of the folds. */
static void keep_best_units(cm_eval_result *r) {
    int64_t folds = 0;
    for (int64_t u = 0; u < r->group.n_units; u++)
        folds += r->group.units[u].repeat == r->group.units[0].repeat && r->unit_pairs[u] > 0;
    int64_t kept = (3 * folds + 5) / 10;
    for (int64_t u = 0; u < r->group.n_units; u++)
        r->counts[u] = r->counts[u] && better_units(r, u) < (kept > 1 ? kept : 1);
}

static void spread_of_units(cm_eval_result *r, int m) {
    double sum = 0, square = 0;
    int n = 0;
    for (int64_t u = 0; u < r->group.n_units; u++) {
        double v = r->unit_metrics[u * CM_METRICS_MAX + m];
        if (!r->counts[u] || !isfinite(v)) continue;
        sum += v;
        square += v * v;
        n++;
    }
    r->mean[m] = n > 0 ? sum / n : NAN;
    r->sd[m] = n > 1 ? sqrt(fmax(0.0, (square - n * r->mean[m] * r->mean[m]) / (n - 1))) : NAN;
}

static cm_status all_units(cm_eval_result *r, const cm_dataset *dataset, cm_error *error) {
    for (int64_t u = 0; u < r->group.n_units; u++) CM_TRY(unit_numbers(r, dataset, u, error));
    cm_coverage_finish(&r->coverage);
    if (r->affinity && r->group.track == CM_TRACK_PAPER) keep_best_units(r);
    for (int64_t u = 0; u < r->group.n_units; u++) r->n_counted += r->counts[u];
    for (int m = 0; m < cm_metrics_count(r->affinity); m++) spread_of_units(r, m);
    return CM_OK;
}

/* ---- pooled ---- */

static void fill_pool(cm_eval_result *r, const cm_dataset *dataset, int repeat) {
    r->pool.n = 0;
    for (int64_t u = 0; u < r->group.n_units; u++)
        if (r->group.units[u].repeat == repeat) cm_pool_add(&r->pool, &r->group, &r->group.units[u], dataset);
}

static int repeats_of(const cm_eval_group *group) {
    int most = 0;
    for (int64_t u = 0; u < group->n_units; u++)
        if (group->units[u].repeat > most) most = group->units[u].repeat;
    return most + 1;
}

/* Metrics and draws, averaged over the repeats. Ends with the first repeat in the pool. */
static cm_status all_repeats(cm_eval_result *r, const cm_dataset *dataset, uint64_t seed, cm_error *error) {
    int repeats = repeats_of(&r->group);
    for (int k = repeats - 1; k >= 0; k--) {
        double out[CM_METRICS_MAX];
        fill_pool(r, dataset, k);
        cm_sample sample = cm_pool_sample(&r->pool, r->affinity);
        CM_TRY(cm_sample_metrics(&sample, out, error));
        for (int m = 0; m < cm_metrics_count(r->affinity); m++) r->pooled[m] += out[m] / repeats;
        CM_TRY(cm_sample_draws(&sample, CM_EVAL_DRAWS, seed, repeats - 1 - k, r->draws, error));
    }
    r->pairs = (long)r->pool.n;
    return CM_OK;
}

/* Limits of draws, which are left as they are. */
static cm_status limits(const double *draws, int metrics, cm_interval *interval, cm_error *error) {
    double *work = cm_new(CM_EVAL_DRAWS, sizeof *work);
    if (!work) return cm_fail_memory(error, CM_EVAL_DRAWS * sizeof *work);
    for (int m = 0; m < metrics; m++) {
        memcpy(work, draws + (int64_t)m * CM_EVAL_DRAWS, CM_EVAL_DRAWS * sizeof *work);
        cm_draws_limits(work, CM_EVAL_DRAWS, &interval[m].low, &interval[m].high);
    }
    cm_free(work);
    return CM_OK;
}

static cm_status side_limits(cm_eval_result *r, uint64_t seed, cm_error *error) {
    int metrics = cm_metrics_count(r->affinity);
    double *draws = cm_new((size_t)metrics * CM_EVAL_DRAWS, sizeof *draws);
    cm_status status = draws ? CM_OK : cm_fail_memory(error, (size_t)metrics * CM_EVAL_DRAWS * sizeof *draws);
    for (int side = 0; side < 2 && status == CM_OK; side++) {
        cm_sample sample = cm_pool_sample(&r->pool, r->affinity);
        sample.entity[1 - side] = NULL;
        status = cm_sample_draws(&sample, CM_EVAL_DRAWS, seed, 0, draws, error);
        if (status == CM_OK) status = limits(draws, metrics, r->side_interval[side], error);
    }
    cm_free(draws);
    return status;
}

cm_status cm_eval_result_make(cm_eval_result *r, const cm_eval_group *group, const cm_dataset *dataset,
                              uint64_t seed, bool sides, cm_error *error) {
    *r = (cm_eval_result){.group = *group, .affinity = dataset->task->affinity};
    CM_TRY(make_room(r, error));
    CM_TRY(all_units(r, dataset, error));
    CM_TRY(all_repeats(r, dataset, seed, error));
    CM_TRY(limits(r->draws, cm_metrics_count(r->affinity), r->interval, error));
    return sides ? side_limits(r, seed, error) : CM_OK;
}

cm_status cm_eval_result_compare(cm_eval_result *r, const cm_eval_result *reference, cm_error *error) {
    double *work = cm_new(CM_EVAL_DRAWS, sizeof *work);
    if (!work) return cm_fail_memory(error, CM_EVAL_DRAWS * sizeof *work);
    r->reference = reference->group.model;
    for (int m = 0; m < cm_metrics_count(r->affinity); m++) {
        int64_t at = (int64_t)m * CM_EVAL_DRAWS;
        r->difference[m] = r->pooled[m] - reference->pooled[m];
        r->compared[m] = cm_draws_difference(r->draws + at, reference->draws + at, CM_EVAL_DRAWS, work);
    }
    cm_free(work);
    return CM_OK;
}

cm_status cm_eval_result_send(const cm_eval_result *r, cm_eval_sink sink, void *context, cm_error *error) {
    for (int m = 0; m < cm_metrics_count(r->affinity); m++) {
        bool compared = r->reference != NULL;
        cm_eval_line line = {.model = r->group.model,
                             .fold = r->group.fold_name,
                             .metric = cm_metrics_name(r->affinity, m),
                             .pooled = r->pooled[m],
                             .mean = r->mean[m],
                             .sd = r->sd[m],
                             .low = r->interval[m].low,
                             .high = r->interval[m].high,
                             .pairs = r->pairs,
                             .units = r->n_counted,
                             .track = cm_track_name(r->group.track),
                             .reference = compared ? r->reference : "",
                             .difference = compared ? r->difference[m] : NAN,
                             .difference_low = compared ? r->compared[m].low : NAN,
                             .difference_high = compared ? r->compared[m].high : NAN,
                             .p = compared ? r->compared[m].p : NAN,
                             .coverage = r->coverage.covered,
                             .width = r->coverage.width};
        if (sink(context, &line) != 0)
            return cm_fail(error, CM_INTERRUPTED, NULL, NULL, NULL, "stopped by the receiver of the results");
    }
    return CM_OK;
}

cm_status cm_eval_pooled(const cm_eval_group *group, const cm_dataset *dataset, double *out,
                         cm_error *error) {
    cm_eval_result r = {.group = *group, .affinity = dataset->task->affinity};
    cm_status status = make_room(&r, error);
    if (status == CM_OK) {
        fill_pool(&r, dataset, 0);
        cm_sample sample = cm_pool_sample(&r.pool, r.affinity);
        status = cm_sample_metrics(&sample, out, error);
    }
    cm_eval_result_clear(&r);
    return status;
}
