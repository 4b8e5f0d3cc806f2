/* Running one unit of an evaluation. */
#include "eval/unit.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "base/sha256.h"
#include "io/safetensors.h"
#include "metrics/baseline.h"
#include "nn/option_text.h"
#include "train/fit.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- finished units on disk ---- */

/* Names everything the unit's result depends on. */
static cm_status unit_path(const cm_eval_plan *plan, const cm_eval_unit *unit, cm_buf *path,
                           cm_error *error) {
    cm_buf text = CM_BUF_EMPTY;
    char hex[65];
    cm_buf_printf(&text, "%s %s %s %d\n", CM_LIBRARY_VERSION, plan->dataset->hash, unit->model, unit->repeat);
    cm_options_append(&plan->request->options, &text);
    cm_buf_append(&text, unit->train, (size_t)plan->dataset->n_pairs * sizeof *unit->train);
    cm_buf_append(&text, plan->label, (size_t)plan->dataset->n_pairs * sizeof *plan->label);
    bool done = !text.failed && cm_sha256_of(text.data, text.len, hex) &&
                cm_buf_printf(path, "%s/%s-%d-%d-%.16s.safetensors", plan->request->checkpoint_folder,
                              unit->model, unit->repeat + 1, unit->fold + 1, hex);
    cm_buf_clear(&text);
    return done ? CM_OK : cm_fail_memory(error, 0);
}

static cm_status write_unit(const char *path, const cm_eval_unit *unit, cm_error *error) {
    size_t bytes = (size_t)unit->n_test * sizeof(double);
    cm_tensor tensors[3] = {{.name = "score",
                             .dtype = CM_DTYPE_F64,
                             .n_dims = 1,
                             .dims = {unit->n_test},
                             .data = unit->score,
                             .bytes = bytes},
                            {.name = "threshold",
                             .dtype = CM_DTYPE_F64,
                             .n_dims = 1,
                             .dims = {1},
                             .data = &unit->threshold,
                             .bytes = 8},
                            {.name = "value",
                             .dtype = CM_DTYPE_F64,
                             .n_dims = 1,
                             .dims = {unit->n_test},
                             .data = unit->value,
                             .bytes = bytes}};
    return cm_safetensors_write(path, tensors, 3, NULL, 0, error);
}

static bool copy_tensor(const cm_safetensors *file, const char *name, double *to, int64_t n) {
    const cm_tensor *tensor = cm_safetensors_find(file, name);
    if (!tensor || tensor->dtype != CM_DTYPE_F64 || tensor->bytes != (size_t)n * sizeof *to) return false;
    memcpy(to, tensor->data, tensor->bytes);
    return true;
}

/* A unit file that is not whole is computed again. */
static void read_unit(const char *path, cm_eval_unit *unit) {
    cm_safetensors *file = NULL;
    if (cm_safetensors_open(&file, path, NULL) != CM_OK) return;
    unit->done = copy_tensor(file, "score", unit->score, unit->n_test) &&
                 copy_tensor(file, "value", unit->value, unit->n_test) &&
                 copy_tensor(file, "threshold", &unit->threshold, 1);
    cm_safetensors_close(file);
}

/* ---- the two kinds of model ---- */

/* Arrays of the whole data set that the baseline wants. */
typedef struct columns {
    int32_t *a, *b;
    double *label, *value;
} columns;

static void columns_clear(columns *c) {
    cm_free(c->a);
    cm_free(c->b);
    cm_free(c->label);
    cm_free(c->value);
}

static cm_status run_baseline(const cm_eval_plan *plan, cm_eval_unit *unit, cm_error *error) {
    const cm_dataset *d = plan->dataset;
    size_t n = (size_t)d->n_pairs;
    columns c = {cm_new(n, sizeof *c.a), cm_new(n, sizeof *c.b), cm_new(n, sizeof *c.label),
                 cm_new(n, sizeof *c.value)};
    cm_status status = c.a && c.b && c.label && c.value ? CM_OK : cm_fail_memory(error, n * 24);
    if (status == CM_OK) {
        for (size_t i = 0; i < n; i++) {
            c.a[i] = d->pairs[i].entity[0];
            c.b[i] = d->pairs[i].entity[1];
            c.label[i] = (double)plan->label[i];
        }
        status = cm_baseline_identity(d->task->affinity, c.a, c.b, c.label, unit->train, d->n_pairs,
                                      d->n_entities[0], d->n_entities[1], c.value, error);
    }
    for (int64_t i = 0; status == CM_OK && i < unit->n_test; i++)
        unit->score[i] = unit->value[i] = c.value[unit->test[i]];
    columns_clear(&c);
    return status;
}

static cm_status run_network(const cm_eval_plan *plan, cm_eval_unit *unit, const cm_runtime *runtime,
                             cm_error *error) {
    cm_options options = plan->request->options;
    snprintf(options.fusion, sizeof options.fusion, "%s", unit->model);
    options.seed += unit->repeat;
    int64_t *index = cm_new((size_t)plan->dataset->n_pairs, sizeof *index), n = 0;
    if (!index) return cm_fail_memory(error, (size_t)plan->dataset->n_pairs * sizeof *index);
    for (int64_t i = 0; i < plan->dataset->n_pairs; i++)
        if (unit->train[i]) index[n++] = i;
    cm_fit_request fit = {.options = &options,
                          .dataset = plan->dataset,
                          .features = plan->features,
                          .index = index,
                          .n = n,
                          .labels = plan->label};
    cm_model *model = NULL;
    cm_runtime quiet = {.stop = runtime ? runtime->stop : NULL, .context = runtime ? runtime->context : NULL};
    cm_status status = cm_fit(&model, &fit, NULL, &quiet, error);
    if (status == CM_OK)
        status = cm_model_scores(model, plan->features, plan->dataset, unit->test, unit->n_test, 0, NULL,
                                 unit->score, error);
    for (int64_t i = 0; status == CM_OK && i < unit->n_test; i++)
        unit->value[i] = cm_model_value(model, unit->score[i]);
    if (status == CM_OK) unit->threshold = model->threshold;
    cm_model_close(model);
    cm_free(index);
    return status;
}

cm_status cm_eval_unit_run(const cm_eval_plan *plan, cm_eval_unit *unit, const cm_runtime *runtime,
                           cm_error *error) {
    cm_buf path = CM_BUF_EMPTY;
    cm_status status = CM_OK;
    bool keep = plan->request->checkpoint_folder && strcmp(unit->model, "id-only") != 0;
    if (keep) {
        status = unit_path(plan, unit, &path, error);
        if (status == CM_OK && access(path.data, F_OK) == 0) read_unit(path.data, unit);
    }
    if (status == CM_OK && !unit->done) {
        status = strcmp(unit->model, "id-only") == 0 ? run_baseline(plan, unit, error)
                                                     : run_network(plan, unit, runtime, error);
        if (status == CM_OK && keep) status = write_unit(path.data, unit, error);
        unit->done = status == CM_OK;
    }
    cm_buf_clear(&path);
    return status;
}
