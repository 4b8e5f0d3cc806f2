/* "stack:A/B/...": members that are fitted to every inner part and to all pairs; their held-out scores choose
 * the weights, the calibration and the threshold. Members write no checkpoints: an interrupted stack begins
 * again. */
#include "base/alloc.h"
#include "base/log.h"
#include "model/model_kind.h"
#include "train/facts.h"
#include "train/inner.h"
#include "train/join.h"
#include "train/learner.h"
#include <stdio.h>
#include <string.h>

typedef struct stack {
    const cm_fit_request *request;
    cm_team *team;
    const cm_runtime *runtime;
    cm_model *model;
    char member[CM_MEMBERS_MAX][CM_MEMBER_NAME];
    int members;
    cm_inner inner;
    int64_t *fit, *target, *position; /* [n] */
    double *label, *score;            /* [n] */
    double *held, *joined;            /* [members, n], [n] */
} stack;

static void stack_clear(stack *s) {
    cm_inner_clear(&s->inner);
    cm_free(s->fit);
    cm_free(s->target);
    cm_free(s->position);
    cm_free(s->label);
    cm_free(s->score);
    cm_free(s->held);
    cm_free(s->joined);
}

static cm_status stack_make(stack *s, cm_error *error) {
    const cm_fit_request *r = s->request;
    size_t n = (size_t)r->n;
    s->fit = cm_new(n, sizeof *s->fit);
    s->target = cm_new(n, sizeof *s->target);
    s->position = cm_new(n, sizeof *s->position);
    s->label = cm_new(n, sizeof *s->label);
    s->score = cm_new(n, sizeof *s->score);
    s->joined = cm_new(n, sizeof *s->joined);
    s->held = cm_new(n * (size_t)s->members, sizeof *s->held);
    if (!s->fit || !s->target || !s->position || !s->label || !s->score || !s->joined || !s->held)
        return cm_fail_memory(error, n * 64);
    for (int64_t i = 0; i < r->n; i++) s->label[i] = cm_fit_label(r, i);
    CM_TRY(cm_inner_make(&s->inner, r->dataset, r->index, r->n, r->asked, r->n_asked, CM_INNER_FOLDS,
                         (uint64_t)r->options->seed, error));
    if (s->inner.n_parts > 0) return CM_OK;
    return cm_fail(error, CM_DATA, NULL, "stack", "10 or more training pairs for inner folds", "%lld",
                   (long long)r->n);
}

static cm_status fit_member(const stack *s, int m, const int64_t *index, int64_t n, cm_model **model,
                            cm_error *error) {
    const cm_learner *learner;
    cm_fit_request own = *s->request;
    own.name = s->member[m];
    own.index = index;
    own.n = n;
    own.checkpoint_path = NULL;
    own.curve = NULL;
    CM_TRY(cm_learner_find(&learner, own.name, error));
    return learner->fit(model, &own, s->team, s->runtime, error);
}

/* What member m, fitted without part p, gives the pairs of that part. */
static cm_status hold_out(stack *s, int m, int p, cm_error *error) {
    const cm_fit_request *r = s->request;
    int64_t n = cm_inner_list(&s->inner, p, false, s->fit),
            count = cm_inner_list(&s->inner, p, true, s->position);
    for (int64_t i = 0; i < n; i++) s->fit[i] = r->index[s->fit[i]];
    for (int64_t i = 0; i < count; i++) s->target[i] = r->index[s->position[i]];
    if (count == 0) return CM_OK;
    cm_model *model = NULL;
    CM_TRY(fit_member(s, m, s->fit, n, &model, error));
    cm_status status =
        cm_model_scores(model, r->features, r->dataset, s->target, count, 0, s->team, s->score, error);
    for (int64_t i = 0; i < count && status == CM_OK; i++)
        s->held[m * r->n + s->position[i]] =
            cm_model_handed(model->task->affinity, cm_model_value(model, s->score[i]));
    cm_model_close(model);
    return status;
}

static cm_status fit_members(stack *s, cm_error *error) {
    const cm_fit_request *r = s->request;
    for (int m = 0; m < s->members; m++) {
        for (int p = 0; p < s->inner.n_parts; p++) CM_TRY(hold_out(s, m, p, error));
        CM_TRY(fit_member(s, m, r->index, r->n, &s->model->part[m], error));
        snprintf(s->model->part_name[m], CM_PART_NAME, "%.31s",
                 strcmp(s->member[m], cm_learner_network.name) == 0 ? r->options->fusion : s->member[m]);
        s->model->n_parts = m + 1;
    }
    return CM_OK;
}

static cm_status join(stack *s, cm_error *error) {
    cm_join own;
    CM_TRY(cm_join_fit(&own, s->model->task->affinity, s->held, s->members, s->label, &s->inner, s->joined,
                       error));
    memcpy(s->model->part_weight, own.weight, sizeof s->model->part_weight);
    s->model->part_offset = own.offset;
    for (int m = 0; m < s->members; m++)
        cm_log(s->runtime, CM_LOG_INFO, "stack: weight %.3f of %s", own.weight[m], s->model->part_name[m]);
    CM_TRY(cm_fit_finish(s->model, s->joined, s->label, s->request->n, error));
    return cm_fit_note(
        s->model,
        json_pack("{s:I, s:i}", "training_pairs", (json_int_t)s->request->n, "inner_parts", s->inner.n_parts),
        error);
}

static cm_status fit(cm_model **model, const cm_fit_request *request, cm_team *team,
                     const cm_runtime *runtime, cm_error *error) {
    stack s = {.request = request, .team = team, .runtime = runtime};
    s.members = cm_stack_names(request->name, NULL, s.member);
    CM_TRY(cm_fit_begin(&s.model, &cm_kind_stack, request, error));
    cm_status status = stack_make(&s, error);
    if (status == CM_OK) status = fit_members(&s, error);
    if (status == CM_OK) status = join(&s, error);
    if (status == CM_OK)
        *model = s.model;
    else
        cm_model_close(s.model);
    stack_clear(&s);
    return status;
}

const cm_learner cm_learner_stack = {
    .name = "stack:NAME/NAME",
    .help = "non-negative combination of networks and kernel, fitted to their scores on inner folds",
    .stack = true,
    .fit = fit,
};
