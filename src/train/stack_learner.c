/* "stack:A/B/...": the members' scores of held-out pairs choose their weights, the calibration and the
 * threshold. */
#include "base/log.h"
#include "model/model_kind.h"
#include "train/facts.h"
#include "train/join.h"
#include "train/members.h"
#include <string.h>

static cm_status join(cm_model *model, cm_members *members, double *joined, const cm_runtime *runtime,
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
    return cm_fit_finish(model, joined, members->label, n, error);
}

static cm_status fit(cm_model **model, const cm_fit_request *request, cm_team *team,
                     const cm_runtime *runtime, cm_error *error) {
    return cm_members_fit(model, &cm_kind_stack, cm_learner_stack.prefix, join, request, team, runtime,
                          error);
}

const cm_learner cm_learner_stack = {
    .name = "stack:NAME/NAME",
    .help = "non-negative combination of plain predictors, fitted to their scores on inner folds",
    .prefix = "stack:",
    .fit = fit,
};
