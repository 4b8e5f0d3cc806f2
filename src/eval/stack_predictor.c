/* "stack:A/B/...": a non-negative combination of the members' held-out scores (train/join.h). */
#include "base/alloc.h"
#include "eval/choice.h"
#include "eval/stage.h"
#include "train/join.h"

cm_status cm_stack_combine(const cm_predictor_call *call, const cm_inner *inner,
                           const cm_stack_scores *members, double *held, double *test, cm_error *error) {
    cm_join join;
    double *label = cm_choice_labels(call), row[CM_MEMBERS_MAX];
    if (!label) return cm_fail_memory(error, (size_t)call->n_train * sizeof *label);
    cm_status status = cm_join_fit(&join, call->dataset->task->affinity, members->held, members->members,
                                   label, inner, held, error);
    for (int64_t i = 0; i < call->n_test && status == CM_OK; i++) {
        for (int m = 0; m < members->members; m++) row[m] = members->test[m * call->n_test + i];
        test[i] = cm_join_score(&join, row);
    }
    cm_free(label);
    return status;
}

static cm_status run(const cm_predictor_call *call, cm_error *error) {
    double *held = cm_new((size_t)call->n_train, sizeof *held), *label = cm_choice_labels(call);
    cm_status status = held && label ? CM_OK : cm_fail_memory(error, (size_t)call->n_train * 16);
    cm_stack_scores members = {call->stage->n_members, call->stage->held, call->stage->test};
    if (status == CM_OK)
        status = cm_stack_combine(call, call->stage->inner, &members, held, call->score, error);
    if (status == CM_OK)
        status = cm_inner_finish(call->dataset->task->affinity, held, label, call->n_train, call->score,
                                 call->n_test, call->value, call->threshold, error);
    cm_free(held);
    cm_free(label);
    return status;
}

const cm_predictor cm_predictor_stack = {
    .name = "stack:NAME/NAME",
    .help = "non-negative combination of predictors, fitted to their scores on inner folds",
    .serves = CM_SERVES_ALL,
    .stage = true,
    .run = run,
};
