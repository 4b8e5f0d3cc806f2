/* The kind "stack": whole models in one file, each with its own card, joined by non-negative weights that
 * were fitted to their scores of held-out pairs. Tensors of part K are called part.K. and their name. */
#include "base/alloc.h"
#include "io/json.h"
#include "model/card.h"
#include "model/model_kind.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

static void clear(cm_model *model) {
    for (int p = 0; p < model->n_parts; p++) cm_model_close(model->part[p]);
}

static int64_t size(const cm_model *model) {
    int64_t sum = model->n_parts + 1;
    for (int p = 0; p < model->n_parts; p++) sum += model->part[p]->kind->size(model->part[p]);
    return sum;
}

static cm_status describe(const cm_model *model, json_t *card, cm_error *error) {
    json_t *parts = json_array();
    for (int p = 0; parts && p < model->n_parts; p++) {
        json_t *own = cm_card_part(model->part[p]);
        if (!own ||
            json_array_append_new(parts, json_pack("{s:s, s:f, s:o}", "name", model->part_name[p], "weight",
                                                   model->part_weight[p], "card", own)) != 0) {
            json_decref(parts);
            return cm_fail_memory(error, 0);
        }
    }
    return json_object_set_new(card, "stack",
                               json_pack("{s:f, s:o}", "offset", model->part_offset, "parts", parts)) == 0
               ? CM_OK
               : cm_fail_memory(error, 0);
}

static cm_status real_of(const json_t *object, const char *key, double *number, const char *path,
                         cm_error *error) {
    json_t *value;
    CM_TRY(cm_json_member(object, key, JSON_REAL, &value, path, error));
    *number = json_number_value(value);
    return isfinite(*number) ? CM_OK
                             : cm_fail(error, CM_DATA, path, cm_format("card, key %s of stack", key).text,
                                       "a finite number", "%g", *number);
}

static cm_model_source part_source(const cm_model_source *from, const json_t *card, int p, cm_text *prefix) {
    *prefix = cm_format("%spart.%d.", from->prefix, p + 1);
    return (cm_model_source){card, from->file, prefix->text, from->path};
}

static const json_t *part_json(const cm_model_source *from, int p) {
    return json_array_get(json_object_get(json_object_get(from->card, "stack"), "parts"), (size_t)p);
}

/* A part is a network or a kernel model for the same task; a stack of stacks would have no end. */
static cm_status build_part(cm_model *model, const json_t *about, const cm_model_source *from,
                            cm_error *error) {
    json_t *name, *card;
    int p = model->n_parts;
    cm_text prefix;
    CM_TRY(cm_json_member(about, "name", JSON_STRING, &name, from->path, error));
    CM_TRY(cm_json_member(about, "card", JSON_OBJECT, &card, from->path, error));
    CM_TRY(real_of(about, "weight", &model->part_weight[p], from->path, error));
    cm_model_source own = part_source(from, card, p, &prefix);
    const char *kind = json_string_value(json_object_get(card, "predictor"));
    if (kind && strcmp(kind, cm_kind_stack.name) == 0)
        return cm_fail(error, CM_DATA, from->path, "card, part of stack", "a network or kernel model",
                       "a stack");
    CM_TRY(cm_model_build(&model->part[p], &own, error));
    snprintf(model->part_name[p], CM_PART_NAME, "%s", json_string_value(name));
    model->n_parts++;
    if (model->part[p]->task == model->task) return CM_OK;
    return cm_fail(error, CM_DATA, from->path, "card, part of stack", model->task->name, "a model for %s",
                   model->part[p]->task->name);
}

static cm_status build(cm_model *model, const cm_model_source *from, cm_error *error) {
    json_t *stack, *parts;
    CM_TRY(cm_json_member(from->card, "stack", JSON_OBJECT, &stack, from->path, error));
    CM_TRY(real_of(stack, "offset", &model->part_offset, from->path, error));
    CM_TRY(cm_json_member(stack, "parts", JSON_ARRAY, &parts, from->path, error));
    size_t n = json_array_size(parts);
    if (n < 1 || n > CM_PARTS_MAX)
        return cm_fail(error, CM_DATA, from->path, "card, key parts of stack",
                       cm_format("1 to %d models", CM_PARTS_MAX).text, "%zu", n);
    for (size_t p = 0; p < n; p++) CM_TRY(build_part(model, json_array_get(parts, p), from, error));
    return CM_OK;
}

static cm_status list(const cm_model *model, const char *prefix, cm_tensor_list *tensors, cm_error *error) {
    for (int p = 0; p < model->n_parts; p++)
        CM_TRY(cm_model_list(model->part[p], cm_format("%spart.%d.", prefix, p + 1).text, tensors, error));
    return CM_OK;
}

static cm_status finish(cm_model *model, const cm_model_source *from, cm_error *error) {
    for (int p = 0; p < model->n_parts; p++) {
        cm_text prefix;
        cm_model_source own = part_source(from, json_object_get(part_json(from, p), "card"), p, &prefix);
        CM_TRY(cm_model_finish(model->part[p], &own, error));
    }
    return CM_OK;
}

/* ---- scores ---- */

typedef struct scorers {
    cm_scorer *part[CM_PARTS_MAX];
} scorers;

static cm_status open_parts(cm_scorer *scorer, cm_error *error) {
    scorers *s = scorer->state = cm_new(1, sizeof *s);
    if (!s) return cm_fail_memory(error, sizeof *s);
    for (int p = 0; p < scorer->model->n_parts; p++)
        CM_TRY(cm_scorer_open(&s->part[p], scorer->model->part[p], scorer->features, scorer->dataset,
                              scorer->batch, scorer->team, error));
    return CM_OK;
}

static void close_parts(cm_scorer *scorer) {
    scorers *s = scorer->state;
    for (int p = 0; s && p < CM_PARTS_MAX; p++) cm_scorer_close(s->part[p]);
    cm_free(s);
}

/* The standard deviation of values[n], step apart. */
static double deviation(const double *values, int n, int64_t step) {
    double mean = 0, square = 0;
    for (int p = 0; p < n; p++) mean += values[p * step] / n;
    for (int p = 0; p < n; p++) square += (values[p * step] - mean) * (values[p * step] - mean);
    return n > 1 ? sqrt(square / (n - 1)) : NAN;
}

static cm_status score(cm_scorer *scorer, const int64_t *index, int64_t n, double *out, double *spread,
                       cm_error *error) {
    const cm_model *model = scorer->model;
    const scorers *s = scorer->state;
    double *value = cm_new((size_t)model->n_parts * (size_t)n, sizeof *value);
    if (!value) return cm_fail_memory(error, (size_t)model->n_parts * (size_t)n * sizeof *value);
    cm_status status = CM_OK;
    for (int64_t i = 0; i < n; i++) out[i] = model->part_offset;
    for (int p = 0; p < model->n_parts && status == CM_OK; p++) {
        status = cm_scorer_run(s->part[p], index, n, value + p * n, NULL, error);
        for (int64_t i = 0; i < n && status == CM_OK; i++) {
            value[p * n + i] = cm_model_value(model->part[p], value[p * n + i]);
            out[i] += model->part_weight[p] * cm_model_handed(model->task->affinity, value[p * n + i]);
        }
    }
    for (int64_t i = 0; i < n && spread && status == CM_OK; i++)
        spread[i] = deviation(value + i, model->n_parts, n);
    cm_free(value);
    return status;
}

const cm_model_kind cm_kind_stack = {
    .name = "stack",
    .help = "models joined by non-negative weights",
    .size = size,
    .describe = describe,
    .build = build,
    .list = list,
    .finish = finish,
    .clear = clear,
    .open = open_parts,
    .score = score,
    .close = close_parts,
};
