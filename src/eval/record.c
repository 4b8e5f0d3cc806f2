/* The record of an evaluation as JSON; docs/record.md describes every key. */
#include "eval/record.h"
#include "base/alloc.h"
#include "base/file.h"
#include "eval/predictor.h"
#include "io/json.h"
#include <math.h>
#include <string.h>

json_t *cm_record_real(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *cm_record_text(const char *text) {
    return text && cm_is_utf8(text) ? json_string(text) : json_null();
}

json_t *cm_record_reals(const double *values, int64_t n, int64_t step) {
    json_t *array = json_array();
    for (int64_t i = 0; array && i < n; i++) json_array_append_new(array, cm_record_real(values[i * step]));
    return array;
}

static json_t *options_of(const cm_options *options) {
    json_t *object = json_object();
    int count;
    const cm_option_row *rows = cm_option_rows(&count);
    char text[256];
    for (int i = 0; object && i < count; i++)
        json_object_set_new(object, rows[i].name,
                            json_string(cm_options_get(options, rows[i].name, text, sizeof text)));
    return object;
}

static json_t *split_of(const cm_evaluation *e) {
    const cm_eval_request *r = e->request;
    const cm_splits *splits = &e->plans[0].splits;
    json_t *split =
        json_pack("{s:s, s:i, s:i, s:I}", "kind", splits->kind->name, "folds", r->folds, "repeats",
                  r->repeats > 1 ? r->repeats : 1, "seed", (json_int_t)r->options.seed);
    if (split && r->test_fold) json_object_set_new(split, "test_fold", json_string(r->test_fold));
    const cm_dataset_options *o = &e->dataset->options;
    if (split && o->fold_column) json_object_set_new(split, "column", json_string(o->fold_column));
    if (split && r->train_fold) json_object_set_new(split, "train_fold", json_string(r->train_fold));
    return split;
}

/* The names of the models, or of those among them that see no more than identity, length and composition. */
static json_t *models_of(const cm_eval_request *r, bool baselines) {
    json_t *models = json_array();
    const cm_predictor *predictor;
    for (int m = 0; models && m < r->n_models; m++)
        if (!baselines || (cm_predictor_find(&predictor, r->models[m], NULL) == CM_OK && predictor->baseline))
            json_array_append_new(models, json_string(r->models[m]));
    return models;
}

static json_t *scramble_metric(const cm_scramble *scramble, bool affinity, int m, double real) {
    cm_scramble_summary s = cm_scramble_of(scramble, affinity, m, real);
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:i, s:o}", "values",
                     cm_record_reals(scramble->values + (int64_t)m * scramble->runs, scramble->runs, 1),
                     "mean", cm_record_real(s.mean), "sd", cm_record_real(s.sd), "min", cm_record_real(s.low),
                     "max", cm_record_real(s.high), "rank", s.as_good + 1, "real", cm_record_real(real));
}

static json_t *scrambles_of(const cm_evaluation *e) {
    json_t *array = json_array();
    for (int k = 0; e->scrambles && k < e->request->n_models; k++) {
        const cm_scramble *scramble = &e->scrambles[k];
        const cm_eval_result *real = cm_scramble_real(e, scramble);
        json_t *metrics = json_object();
        for (int m = 0; real && m < cm_metrics_count(real->affinity); m++)
            json_object_set_new(metrics, cm_metrics_name(real->affinity, m),
                                scramble_metric(scramble, real->affinity, m, real->pooled[m]));
        json_array_append_new(array, json_pack("{s:s, s:i, s:o}", "model", scramble->model, "runs",
                                               scramble->runs, "metrics", metrics));
    }
    return array;
}

static json_t *heading(const cm_evaluation *e) {
    const cm_eval_request *r = e->request;
    const cm_dataset *d = e->dataset;
    cm_options options = r->options;
    cm_features_resolve(&options, d->task);
    return json_pack(
        "{s:s, s:i, s:s, s:s, s:s, s:s, s:b, s:{s:I, s:I, s:I, s:s}, s:o, s:o, s:o, s:o, s:o, s:i, s:s, "
        "s:{s:s, s:s}}",
        "format", "crossmamba evaluation", "format_version", CM_RECORD_VERSION, "library_version",
        CM_LIBRARY_VERSION, "command", r->command ? r->command : "", "task", d->task->name, "unit",
        d->task->unit, "affinity", d->task->affinity, "data", "pairs", (json_int_t)d->n_pairs, "molecules_a",
        (json_int_t)d->n_entities[0], "molecules_b", (json_int_t)d->n_entities[1], "sha256", d->hash, "split",
        split_of(e), "options", options_of(&options), "models", models_of(r, false), "baselines",
        models_of(r, true), "group_column",
        d->options.group_column ? json_string(d->options.group_column) : json_null(), "bootstrap_draws",
        CM_EVAL_DRAWS, "reference", r->reference ? r->reference : r->models[0], "tracks",
        cm_track_name(CM_TRACK_HONEST), "every choice on an inner validation fold of the training part",
        cm_track_name(CM_TRACK_PAPER),
        "biased: best epoch chosen on the test fold, threshold 0.5, no calibration; an affinity's mean over "
        "the "
        "best three tenths of the folds");
}

static cm_status fill(const cm_evaluation *e, json_t *record, cm_error *error) {
    json_t *results = json_array();
    if (json_object_set_new(record, "results", results) != 0 ||
        json_object_set_new(record, "scramble", scrambles_of(e)) != 0)
        return cm_fail_memory(error, 0);
    for (int64_t i = 0; i < e->n_results; i++) {
        json_t *result = NULL;
        CM_TRY(
            cm_record_result(&e->results[i], e->dataset, (uint64_t)e->request->options.seed, &result, error));
        if (json_array_append_new(results, result) != 0) return cm_fail_memory(error, 0);
    }
    return CM_OK;
}

cm_status cm_eval_record(const cm_evaluation *e, cm_error *error) {
    cm_json_watch();
    json_t *record = heading(e);
    if (!record && cm_json_failed()) return cm_fail_memory(error, 0);
    if (!record)
        return cm_fail(error, CM_USAGE, NULL, "record", "names and a command line in UTF-8", "other bytes");
    cm_status status = fill(e, record, error);
    if (status == CM_OK && cm_json_failed()) status = cm_fail_memory(error, 0);
    char *text = status == CM_OK ? cm_json_text(record) : NULL;
    if (status == CM_OK && !text) status = cm_fail_memory(error, 0);
    if (text) {
        cm_file_part parts[2] = {{text, strlen(text)}, {"\n", 1}};
        status = cm_file_replace(e->request->record_path, parts, 2, error);
    }
    cm_free(text);
    json_decref(record);
    return status;
}
