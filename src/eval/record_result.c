/* One model on one track in the record of an evaluation. */
#include "eval/record.h"
#include <math.h>
#include <string.h>

/* Most points of a scatter plot that the record keeps: every k-th pair of the pool beyond it. */
enum { SCATTER_POINTS = 2000 };

static json_t *interval_of(const cm_interval *interval) {
    return json_pack("[o, o]", cm_record_real(interval->low), cm_record_real(interval->high));
}

static json_t *metric_of(const cm_eval_result *r, int m) {
    json_t *metric =
        json_pack("{s:o, s:o, s:o, s:o, s:o}", "pooled", cm_record_real(r->pooled[m]), "low95",
                  cm_record_real(r->interval[m].low), "high95", cm_record_real(r->interval[m].high), "mean",
                  cm_record_real(r->mean[m]), "sd", cm_record_real(r->sd[m]));
    json_object_set_new(metric, "interval_a", interval_of(&r->side_interval[0][m]));
    json_object_set_new(metric, "interval_b", interval_of(&r->side_interval[1][m]));
    if (r->reference)
        json_object_set_new(
            metric, "difference",
            json_pack("{s:s, s:o, s:o, s:o, s:o}", "reference", r->reference, "value",
                      cm_record_real(r->difference[m]), "low95", cm_record_real(r->compared[m].low), "high95",
                      cm_record_real(r->compared[m].high), "p", cm_record_real(r->compared[m].p)));
    return metric;
}

static json_t *metrics_of(const cm_eval_result *r) {
    json_t *metrics = json_object();
    for (int m = 0; m < cm_metrics_count(r->affinity); m++)
        json_object_set_new(metrics, cm_metrics_name(r->affinity, m), metric_of(r, m));
    return metrics;
}

/* ---- units ---- */

static json_t *curve_of(const cm_fit_curve *curve) {
    const double *numbers = (const double *)curve->epochs;
    return json_pack("{s:o, s:o, s:o}", "loss", cm_record_reals(numbers, curve->n, CM_EPOCH_NUMBERS),
                     "inner_loss", cm_record_reals(numbers + 1, curve->n, CM_EPOCH_NUMBERS), "test_metric",
                     cm_record_reals(numbers + 2, curve->n, CM_EPOCH_NUMBERS));
}

static json_t *unit_of(const cm_eval_result *r, int64_t u) {
    const cm_eval_unit *unit = &r->group.units[u];
    json_t *metrics = json_object();
    for (int m = 0; m < cm_metrics_count(r->affinity); m++)
        json_object_set_new(metrics, cm_metrics_name(r->affinity, m),
                            cm_record_real(r->unit_metrics[u * CM_METRICS_MAX + m]));
    json_t *object =
        json_pack("{s:i, s:i, s:I, s:b, s:o, s:o}", "repeat", unit->repeat + 1, "fold", unit->fold + 1,
                  "pairs", (json_int_t)r->unit_pairs[u], "counted", r->counts[u], "threshold",
                  cm_record_real(r->affinity ? NAN : unit->threshold), "metrics", metrics);
    if (unit->curve.n > 0) json_object_set_new(object, "learning_curve", curve_of(&unit->curve));
    if (unit->trouble.skipped > 0) {
        json_object_set_new(object, "skipped_steps", json_integer(unit->trouble.skipped));
        json_object_set_new(object, "roll_backs", json_integer(unit->trouble.roll_backs));
    }
    return object;
}

static json_t *units_of(const cm_eval_result *r) {
    json_t *units = json_array();
    for (int64_t u = 0; u < r->group.n_units; u++) json_array_append_new(units, unit_of(r, u));
    return units;
}

/* ---- pictures ---- */

static json_t *coverage_of(const cm_eval_result *r) {
    return json_pack("{s:f, s:I, s:o, s:o, s:o}", "level", 1 - CM_CONFORMAL_MISS, "pairs",
                     (json_int_t)r->coverage.pairs, "coverage", cm_record_real(r->coverage.covered), "width",
                     cm_record_real(r->coverage.width), "single",
                     cm_record_real(r->affinity ? NAN : r->coverage.single));
}

static json_t *reliability_of(const cm_eval_result *r) {
    cm_reliability_bin bins[CM_RELIABILITY_BINS];
    double error = cm_reliability(r->pool.value, r->pool.label, r->pool.n, bins);
    json_t *array = json_array();
    for (int b = 0; b < CM_RELIABILITY_BINS; b++)
        json_array_append_new(array, json_pack("{s:f, s:f, s:I, s:o, s:o}", "low", bins[b].low, "high",
                                               bins[b].high, "count", (json_int_t)bins[b].count, "predicted",
                                               cm_record_real(bins[b].predicted), "observed",
                                               cm_record_real(bins[b].observed)));
    return json_pack("{s:f, s:o}", "ece", error, "bins", array);
}

static json_t *grid_curve(const char *x_name, const char *y_name, const cm_curve *curve) {
    json_t *x = json_array();
    for (int p = 0; p < CM_CURVE_POINTS; p++)
        json_array_append_new(x, json_real((double)p / (CM_CURVE_POINTS - 1)));
    return json_pack("{s:o, s:o, s:o, s:o}", x_name, x, y_name, cm_record_reals(curve->y, CM_CURVE_POINTS, 1),
                     "low95", cm_record_reals(curve->low, CM_CURVE_POINTS, 1), "high95",
                     cm_record_reals(curve->high, CM_CURVE_POINTS, 1));
}

static cm_status add_curves(const cm_eval_result *r, uint64_t seed, json_t *record, cm_error *error) {
    cm_curve roc, pr;
    cm_sample sample = cm_pool_sample(&r->pool, false);
    CM_TRY(cm_sample_curves(&sample, CM_EVAL_DRAWS, seed, &roc, &pr, error));
    json_object_set_new(record, "reliability", reliability_of(r));
    json_object_set_new(record, "roc", grid_curve("false_positive_rate", "sensitivity", &roc));
    json_object_set_new(record, "precision_recall", grid_curve("recall", "precision", &pr));
    return CM_OK;
}

/* Predicted against measured, thinned evenly. */
static json_t *scatter_of(const cm_eval_result *r, const cm_dataset *dataset) {
    json_t *predicted = json_array(), *measured = json_array(), *fold = json_array(), *group = json_array();
    int64_t step = (r->pool.n + SCATTER_POINTS - 1) / SCATTER_POINTS;
    for (int64_t i = 0; i < r->pool.n; i += step) {
        const cm_pair *pair = &dataset->pairs[r->pool.pair[i]];
        json_array_append_new(predicted, cm_record_real(r->pool.value[i]));
        json_array_append_new(measured, cm_record_real(r->pool.label[i]));
        json_array_append_new(fold, cm_record_text(pair->fold >= 0 ? dataset->folds[pair->fold] : NULL));
        json_array_append_new(group, cm_record_text(pair->group >= 0 ? dataset->groups[pair->group] : NULL));
    }
    return json_pack("{s:o, s:o, s:o, s:o, s:I}", "predicted", predicted, "measured", measured, "fold", fold,
                     "group", group, "of_pairs", (json_int_t)r->pool.n);
}

/* What needs the pairs themselves. */
static cm_status add_parts(const cm_eval_result *r, const cm_dataset *dataset, uint64_t seed, json_t *record,
                           cm_error *error) {
    json_t *residuals = json_array(), *overlap = NULL;
    if (json_object_set_new(record, "residuals", residuals) != 0) return cm_fail_memory(error, 0);
    CM_TRY(cm_record_residuals(r, dataset, seed, residuals, error));
    CM_TRY(cm_record_overlap(r, dataset, &overlap, error));
    if (json_object_set_new(record, "overlap", overlap) != 0) return cm_fail_memory(error, 0);
    return CM_OK;
}

cm_status cm_record_result(const cm_eval_result *r, const cm_dataset *dataset, uint64_t seed, json_t **record,
                           cm_error *error) {
    json_t *object = json_pack("{s:s, s:s, s:s, s:I, s:i, s:o, s:o, s:o}", "model", r->group.model, "track",
                               cm_track_name(r->group.track), "fold", r->group.fold_name, "pairs",
                               (json_int_t)r->pairs, "units", r->n_counted, "metrics", metrics_of(r), "folds",
                               units_of(r), "conformal", coverage_of(r));
    if (!object) return cm_fail_memory(error, 0);
    cm_status status = add_parts(r, dataset, seed, object, error);
    if (status == CM_OK && !r->affinity) status = add_curves(r, seed, object, error);
    if (status == CM_OK && r->affinity) json_object_set_new(object, "scatter", scatter_of(r, dataset));
    if (status == CM_OK)
        *record = object;
    else
        json_decref(object);
    return status;
}
