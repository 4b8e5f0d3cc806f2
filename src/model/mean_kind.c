/* The kind "mean": the plain mean of models, of affinities as they are scored, or of the logits of calibrated
 * probabilities. */
#include "base/alloc.h"
#include "io/json.h"
#include "model/parts.h"

static cm_status describe(const cm_model *model, json_t *card, cm_error *error) {
    json_t *parts = cm_parts_describe(model, false);
    if (!parts) return cm_fail_memory(error, 0);
    return json_object_set_new(card, "mean", json_pack("{s:o}", "parts", parts)) == 0
               ? CM_OK
               : cm_fail_memory(error, 0);
}

static cm_status build(cm_model *model, const cm_model_source *from, cm_error *error) {
    json_t *mean;
    CM_TRY(cm_json_member(from->card, "mean", JSON_OBJECT, &mean, from->path, error));
    return cm_parts_build(model, mean, from, false, error);
}

static cm_status score(cm_scorer *scorer, const int64_t *index, int64_t n, double *out, double *spread,
                       cm_error *error) {
    const cm_model *model = scorer->model;
    double *own, *value;
    CM_TRY(cm_parts_run(scorer, index, n, &own, &value, spread, error));
    for (int64_t i = 0; i < model->n_parts * n; i++)
        value[i] = cm_parts_term(model->task->affinity, own[i], value[i]);
    cm_parts_mean(value, model->n_parts, n, out);
    cm_free(own);
    return CM_OK;
}

const cm_model_kind cm_kind_mean = {
    .name = "mean",
    .help = "plain mean of models",
    .size = cm_parts_size,
    .describe = describe,
    .build = build,
    .list = cm_parts_list,
    .finish = cm_parts_finish,
    .clear = cm_parts_clear,
    .open = cm_parts_open,
    .score = score,
    .close = cm_parts_close,
};
