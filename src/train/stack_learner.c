/* "stack:A/B/...": the members' scores of held-out pairs choose their weights, the calibration and the
 * threshold. */
#include "base/alloc.h"
#include "base/log.h"
#include "model/model_kind.h"
#include "train/facts.h"
#include "train/join.h"
#include "train/members.h"
#include <string.h>

static cm_status join(cm_model *model, const cm_members *members, double *joined, const cm_runtime *runtime,
                      cm_error *error) {
    cm_join own;
    bool affinity = model->task->affinity;
    int64_t n = members->inner.n;
    for (int64_t i = 0; i < members->n * n; i++)
        members->value[i] = cm_model_handed(affinity, members->value[i]);
    CM_TRY(cm_join_fit(&own, affinity, members->value, members->n, members->label, &members->inner, joined,
                       error));
    memcpy(model->part_weight, own.weight, sizeof model->part_weight);
    model->part_offset = own.offset;
    for (int m = 0; m < members->n; m++)
        cm_log(runtime, CM_LOG_INFO, "stack: weight %.3f of %s", own.weight[m], model->part_name[m]);
    CM_TRY(cm_fit_finish(model, joined, members->label, n, error));
    return cm_fit_note(
        model,
        json_pack("{s:I, s:i}", "training_pairs", (json_int_t)n, "inner_parts", members->inner.n_parts),
        error);
}

static cm_status fit(cm_model **model, const cm_fit_request *request, cm_team *team,
                     const cm_runtime *runtime, cm_error *error) {
    cm_model *m = NULL;
    cm_members members;
    CM_TRY(cm_fit_begin(&m, &cm_kind_stack, request, error));
    double *joined = cm_new((size_t)request->n, sizeof *joined);
    cm_status status = cm_members_fit(&members, m, cm_learner_stack.prefix, request, team, runtime, error);
    if (status == CM_OK && !joined) status = cm_fail_memory(error, (size_t)request->n * sizeof *joined);
    if (status == CM_OK) status = join(m, &members, joined, runtime, error);
    if (status == CM_OK)
        *model = m;
    else
        cm_model_close(m);
    cm_members_clear(&members);
    cm_free(joined);
    return status;
}

const cm_learner cm_learner_stack = {
    .name = "stack:NAME/NAME",
    .help = "non-negative combination of plain predictors, fitted to their scores on inner folds",
    .prefix = "stack:",
    .fit = fit,
};
