/* Models made of models. */
#include "model/parts.h"
#include "base/alloc.h"
#include "io/json.h"
#include "model/card.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

void cm_parts_clear(cm_model *model) {
    for (int p = 0; p < model->n_parts; p++) cm_model_close(model->part[p]);
}

int64_t cm_parts_size(const cm_model *model) {
    int64_t sum = 0;
    for (int p = 0; p < model->n_parts; p++) sum += model->part[p]->kind->size(model->part[p]);
    return sum;
}

/* ---- the card ---- */

static json_t *part_json(const cm_model *model, int p, bool weighted) {
    json_t *card = cm_card_part(model->part[p]),
           *part = card ? json_pack("{s:s, s:o}", "name", model->part_name[p], "card", card) : NULL;
    if (part && weighted && json_object_set_new(part, "weight", json_real(model->part_weight[p])) != 0) {
        json_decref(part);
        return NULL;
    }
    return part;
}

json_t *cm_parts_describe(const cm_model *model, bool weighted) {
    json_t *parts = json_array();
    for (int p = 0; parts && p < model->n_parts; p++)
        if (json_array_append_new(parts, part_json(model, p, weighted)) != 0) {
            json_decref(parts);
            return NULL;
        }
    return parts;
}

cm_status cm_parts_real(const json_t *object, const char *key, double *number, const char *path,
                        cm_error *error) {
    json_t *value;
    CM_TRY(cm_json_member(object, key, JSON_REAL, &value, path, error));
    *number = json_number_value(value);
    return isfinite(*number) ? CM_OK
                             : cm_fail(error, CM_DATA, path, cm_format("card, key %s", key).text,
                                       "a finite number", "%g", *number);
}

static cm_model_source part_source(const cm_model_source *from, const json_t *card, int p, cm_text *prefix) {
    *prefix = cm_format("%spart.%d.", from->prefix, p + 1);
    return (cm_model_source){card, from->file, prefix->text, from->path};
}

/* A part is a plain model for the same task: parts of parts would have no end. */
static cm_status build_part(cm_model *model, const json_t *about, const cm_model_source *from, bool weighted,
                            cm_error *error) {
    json_t *name, *card;
    int p = model->n_parts;
    cm_text prefix;
    CM_TRY(cm_json_member(about, "name", JSON_STRING, &name, from->path, error));
    CM_TRY(cm_json_member(about, "card", JSON_OBJECT, &card, from->path, error));
    if (weighted) CM_TRY(cm_parts_real(about, "weight", &model->part_weight[p], from->path, error));
    cm_model_source own = part_source(from, card, p, &prefix);
    const char *kind = json_string_value(json_object_get(card, "predictor"));
    const cm_model_kind *known = kind ? cm_model_kind_find(kind) : NULL;
    if (known && known->open == cm_parts_open)
        return cm_fail(error, CM_DATA, from->path, cm_format("card, part of %s", model->kind->name).text,
                       "a plain model", "a %s", kind);
    CM_TRY(cm_model_build(&model->part[p], &own, error));
    snprintf(model->part_name[p], CM_PART_NAME, "%s", json_string_value(name));
    model->n_parts++;
    if (model->part[p]->task == model->task) return CM_OK;
    return cm_fail(error, CM_DATA, from->path, cm_format("card, part of %s", model->kind->name).text,
                   model->task->name, "a model for %s", model->part[p]->task->name);
}

cm_status cm_parts_build(cm_model *model, const json_t *about, const cm_model_source *from, bool weighted,
                         cm_error *error) {
    json_t *parts;
    CM_TRY(cm_json_member(about, "parts", JSON_ARRAY, &parts, from->path, error));
    size_t n = json_array_size(parts);
    if (n < 1 || n > CM_PARTS_MAX)
        return cm_fail(error, CM_DATA, from->path, cm_format("card, key parts of %s", model->kind->name).text,
                       cm_format("1 to %d models", CM_PARTS_MAX).text, "%zu", n);
    for (size_t p = 0; p < n; p++) CM_TRY(build_part(model, json_array_get(parts, p), from, weighted, error));
    return CM_OK;
}

/* ---- tensors ---- */

cm_status cm_parts_list(const cm_model *model, const char *prefix, cm_tensor_list *tensors, cm_error *error) {
    for (int p = 0; p < model->n_parts; p++)
        CM_TRY(cm_model_list(model->part[p], cm_format("%spart.%d.", prefix, p + 1).text, tensors, error));
    return CM_OK;
}

cm_status cm_parts_finish(cm_model *model, const cm_model_source *from, cm_error *error) {
    const json_t *parts = json_object_get(json_object_get(from->card, model->kind->name), "parts");
    for (int p = 0; p < model->n_parts; p++) {
        cm_text prefix;
        const json_t *card = json_object_get(json_array_get(parts, (size_t)p), "card");
        cm_model_source own = part_source(from, card, p, &prefix);
        CM_TRY(cm_model_finish(model->part[p], &own, error));
    }
    return CM_OK;
}

/* ---- scores ---- */

typedef struct scorers {
    cm_scorer *part[CM_PARTS_MAX];
} scorers;

cm_status cm_parts_open(cm_scorer *scorer, cm_error *error) {
    scorers *s = scorer->state = cm_new(1, sizeof *s);
    if (!s) return cm_fail_memory(error, sizeof *s);
    for (int p = 0; p < scorer->model->n_parts; p++)
        CM_TRY(cm_scorer_open(&s->part[p], scorer->model->part[p], scorer->features, scorer->dataset,
                              scorer->batch, scorer->team, error));
    return CM_OK;
}

void cm_parts_close(cm_scorer *scorer) {
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

cm_status cm_parts_run(cm_scorer *scorer, const int64_t *index, int64_t n, double **score, double **value,
                       double *spread, cm_error *error) {
    const cm_model *model = scorer->model;
    const scorers *s = scorer->state;
    int64_t cells = model->n_parts * n;
    double *own = cm_new(2 * (size_t)cells, sizeof *own), *after = own ? own + cells : NULL;
    if (!own) return cm_fail_memory(error, 2 * (size_t)cells * sizeof *own);
    cm_status status = CM_OK;
    for (int p = 0; p < model->n_parts && status == CM_OK; p++) {
        status = cm_scorer_run(s->part[p], index, n, own + p * n, NULL, error);
        for (int64_t i = 0; i < n && status == CM_OK; i++)
            after[p * n + i] = cm_model_value(model->part[p], own[p * n + i]);
    }
    for (int64_t i = 0; i < n && spread && status == CM_OK; i++)
        spread[i] = deviation(after + i, model->n_parts, n);
    if (status != CM_OK) {
        cm_free(own);
        return status;
    }
    *score = own;
    *value = after;
    return CM_OK;
}

double cm_parts_term(bool affinity, double score, double value) {
    return affinity ? score : cm_model_handed(false, value);
}

double cm_parts_threshold(const double *threshold, int parts) {
    double bar = 0;
    for (int p = 0; p < parts; p++) bar += cm_model_handed(false, threshold[p]) / parts;
    return 1 / (1 + exp(-bar));
}

void cm_parts_mean(const double *scores, int parts, int64_t n, double *to) {
    for (int64_t i = 0; i < n; i++) {
        double sum = 0;
        for (int p = 0; p < parts; p++) sum += scores[p * n + i];
        to[i] = sum / parts;
    }
}
