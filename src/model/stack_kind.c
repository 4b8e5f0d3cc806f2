/* The kind "stack": models joined by non-negative weights that were fitted to their scores of held-out
 * pairs. */
#include "base/alloc.h"
#include "io/json.h"
#include "model/parts.h"

static int64_t size(const cm_model *model) {
    return cm_parts_size(model) + model->n_parts + 1;
}

static cm_status describe(const cm_model *model, json_t *card, cm_error *error) {
    json_t *parts = cm_parts_describe(model, true);
    if (!parts) return cm_fail_memory(error, 0);
    return json_object_set_new(card, "stack",
                               json_pack("{s:f, s:o}", "offset", model->part_offset, "parts", parts)) == 0
               ? CM_OK
               : cm_fail_memory(error, 0);
}

static cm_status build(cm_model *model, const cm_model_source *from, cm_error *error) {
    json_t *stack;
    CM_TRY(cm_json_member(from->card, "stack", JSON_OBJECT, &stack, from->path, error));
    CM_TRY(cm_parts_real(stack, "offset", &model->part_offset, from->path, error));
    return cm_parts_build(model, stack, from, true, error);
}

static cm_status score(cm_scorer *scorer, const int64_t *index, int64_t n, double *out, double *spread,
                       cm_error *error) {
    const cm_model *model = scorer->model;
    double *own, *value;
    CM_TRY(cm_parts_run(scorer, index, n, &own, &value, spread, error));
    for (int64_t i = 0; i < n; i++) {
        out[i] = model->part_offset;
        for (int p = 0; p < model->n_parts; p++)
            out[i] += model->part_weight[p] * cm_model_handed(model->task->affinity, value[p * n + i]);
    }
    cm_free(own);
    return CM_OK;
}

const cm_model_kind cm_kind_stack = {
    .name = "stack",
    .help = "models joined by non-negative weights",
    .size = size,
    .describe = describe,
    .build = build,
    .list = cm_parts_list,
    .finish = cm_parts_finish,
    .clear = cm_parts_clear,
    .open = cm_parts_open,
    .score = score,
    .close = cm_parts_close,
};
