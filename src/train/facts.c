/* The common beginning and end of fits that are no training loop. */
#include "train/facts.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "base/sha256.h"
#include "data/split_kind.h"
#include "io/json.h"
#include "metrics/metrics.h"
#include "nn/option_text.h"
#include <math.h>
#include <string.h>

double cm_fit_label(const cm_fit_request *request, int64_t i) {
    int64_t pair = request->index[i];
    return (double)(request->labels ? request->labels[pair] : request->dataset->pairs[pair].label);
}

cm_status cm_fit_check_labels(const cm_fit_request *request, cm_error *error) {
    for (int64_t i = 0; i < request->n; i++) {
        const cm_pair *pair = &request->dataset->pairs[request->index[i]];
        double label = cm_fit_label(request, i);
        if (!isfinite(label))
            return cm_fail(error, CM_NUMERIC, NULL, cm_format("pair %s, %s", pair->id[0], pair->id[1]).text,
                           "a finite label", "%g", label);
    }
    return CM_OK;
}

static cm_status note_labels(cm_model *model, const cm_fit_request *r, cm_error *error) {
    double least = INFINITY, most = -INFINITY;
    for (int64_t i = 0; i < r->n; i++) {
        least = fmin(least, cm_fit_label(r, i));
        most = fmax(most, cm_fit_label(r, i));
    }
    model->label_least = least;
    model->label_most = most;
    if (least < most) return CM_OK;
    return cm_fail(error, CM_DATA, NULL, "labels", "two or more different labels among the training pairs",
                   "%g only", least);
}

static void note_longest(cm_model *model, const cm_fit_request *r) {
    const cm_dataset *d = r->dataset;
    for (int64_t i = 0; i < r->n; i++)
        for (int side = 0; side < 2; side++) {
            int64_t length = d->entities[side][d->pairs[r->index[i]].entity[side]].length;
            if (length > model->longest[side]) model->longest[side] = length;
        }
}

cm_status cm_fit_begin(cm_model **model, const cm_model_kind *kind, const cm_fit_request *request,
                       cm_error *error) {
    const cm_fit_request *r = request;
    cm_model *m = NULL;
    if (r->n < 1) return cm_fail(error, CM_DATA, NULL, NULL, "at least one training pair", "none");
    CM_TRY(cm_fit_check_labels(r, error));
    CM_TRY(cm_model_create(&m, kind, r->dataset->task, r->options, r->features->width, error));
    cm_status status = note_labels(m, r, error);
    for (int side = 0; side < CM_SIDES && status == CM_OK; side++) {
        cm_standard_clear(&m->standard[side]);
        status = cm_standard_fit(&m->standard[side], r->features, r->dataset, side, r->index, r->n, error);
    }
    note_longest(m, r);
    if (status == CM_OK)
        *model = m;
    else
        cm_model_close(m);
    return status;
}

static cm_status note_metrics(cm_model *model, const double *value, const double *label, int64_t n,
                              cm_error *error) {
    bool affinity = model->task->affinity;
    double out[CM_METRICS_MAX];
    CM_TRY(affinity ? cm_metrics_affinity(value, label, n, out, error)
                    : cm_metrics_binary(value, label, n, model->threshold, out, error));
    cm_json_watch();
    json_t *values = json_object();
    for (int i = 0; values && i < cm_metrics_count(affinity); i++)
        if (isfinite(out[i])) json_object_set_new(values, cm_metrics_name(affinity, i), json_real(out[i]));
    json_t *metrics = json_pack(
        "{s:o}", "inner folds (optimistic: hyper-parameters, calibration and threshold were chosen on them)",
        values);
    if (json_object_set_new(model->facts, "metrics", metrics) == 0 && !cm_json_failed()) return CM_OK;
    return cm_fail_memory(error, 0);
}

cm_status cm_fit_finish_calibrated(cm_model *model, const double *score, const double *label, int64_t n,
                                   cm_error *error) {
    double *value = cm_new((size_t)n, sizeof *value);
    if (!value) return cm_fail_memory(error, (size_t)n * sizeof *value);
    for (int64_t i = 0; i < n; i++) value[i] = cm_model_value(model, score[i]);
    cm_status status =
        cm_conformal_fit(model->task->affinity, score, value, label, n, &model->conformal, error);
    if (status == CM_OK && n > 0) status = note_metrics(model, value, label, n, error);
    cm_free(value);
    return status;
}

void cm_fit_keep_scores(cm_model *model, const double *score, const double *label, int64_t n) {
    double squares = 0;
    model->calibration = (cm_calibration){.slope = 1};
    for (int64_t i = 0; i < n; i++) squares += (label[i] - score[i]) * (label[i] - score[i]);
    if (model->task->affinity && n > 0) model->calibration.spread = sqrt(squares / (double)n);
}

cm_status cm_fit_finish(cm_model *model, const double *score, const double *label, int64_t n,
                        cm_error *error) {
    cm_calibration_method method;
    CM_TRY(cm_calibration_parse(&method, model->options.calibration, error));
    if (model->task->affinity)
        model->calibration = cm_calibrate(true, score, label, n);
    else
        CM_TRY(cm_calibrate_by(method, score, label, n, &model->calibration, error));
    if (!model->task->affinity)
        CM_TRY(cm_inner_threshold(&model->calibration, score, label, n, &model->threshold, error));
    return cm_fit_finish_calibrated(model, score, label, n, error);
}

/* ---- which molecules will be new ---- */

static cm_status named_sides(const char *split, bool new_side[2], cm_error *error) {
    static const struct {
        const char *split;
        bool new_side[2];
    } rows[] = {{"cold-a", {true, false}},    {"cold-b", {false, true}},    {"cold-both", {true, true}},
                {"cluster-a", {true, false}}, {"cluster-b", {false, true}}, {"cluster-both", {true, true}}};
    new_side[0] = new_side[1] = false;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (strcmp(rows[i].split, split) == 0) memcpy(new_side, rows[i].new_side, sizeof rows[i].new_side);
    if (strcmp(split, "auto") == 0 || cm_split_kind_find(split)) return CM_OK;
    return cm_fail(error, CM_USAGE, NULL, "option inner-split", "auto or a kind of split", "%s", split);
}

cm_status cm_fit_new_sides(const cm_fit_request *r, bool new_side[2], cm_error *error) {
    if (!r->asked) return named_sides(r->options->inner_split, new_side, error);
    return cm_inner_new_sides(r->dataset, r->index, r->n, r->asked, r->n_asked, new_side, error);
}

cm_status cm_fit_note(cm_model *model, json_t *training, cm_error *error) {
    return json_object_set_new(model->facts, "training", training) == 0 ? CM_OK : cm_fail_memory(error, 0);
}

cm_status cm_fit_key(const cm_fit_request *r, const cm_options *options, const char *what, char key[65],
                     cm_error *error) {
    cm_buf text = CM_BUF_EMPTY;
    cm_buf_printf(&text, "%s\n%s%s\n%s\n", CM_LIBRARY_VERSION, what, r->dataset->task->name,
                  r->dataset->hash);
    cm_options_append(options, &text);
    for (int64_t i = 0; i < r->n; i++) {
        float label = (float)cm_fit_label(r, i);
        cm_buf_append(&text, &r->index[i], sizeof *r->index);
        cm_buf_append(&text, &label, sizeof label);
    }
    bool done = !text.failed && cm_sha256_of(text.data, text.len, key);
    cm_buf_clear(&text);
    return done ? CM_OK : cm_fail_memory(error, 0);
}
