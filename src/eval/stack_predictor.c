/* "stack:A/B/...": a non-negative combination of the members' held-out scores (Wolpert 1992, Breiman 1996).
 */
#include "base/alloc.h"
#include "eval/choice.h"
#include "eval/stage.h"
#include "metrics/regression.h"
#include <math.h>
#include <string.h>

static const double PENALTY = 1e-3;

typedef struct work {
    const cm_predictor_call *call;
    const cm_inner *inner;
    const cm_stack_scores *in;
    double *x, *label; /* [n_train, members] held-out scores; [n_train] */
    double *used;      /* x, with 0 in the columns of members that have left */
    int64_t *fit;      /* [n_train] positions */
} work;

static void work_clear(work *w) {
    cm_free(w->x);
    cm_free(w->label);
    cm_free(w->used);
    cm_free(w->fit);
}

static cm_status work_make(work *w, cm_error *error) {
    size_t n = (size_t)w->call->n_train, members = (size_t)w->in->members;
    w->x = cm_new(n * members, sizeof *w->x);
    w->used = cm_new(n * members, sizeof *w->used);
    w->label = cm_choice_labels(w->call);
    w->fit = cm_new(n, sizeof *w->fit);
    if (!w->x || !w->used || !w->label || !w->fit) return cm_fail_memory(error, n * members * 16);
    for (size_t i = 0; i < n; i++)
        for (size_t m = 0; m < members; m++) w->x[i * members + m] = w->in->held[m * n + i];
    return CM_OK;
}

/* Fits; the member with the most negative weight leaves, until none has one. */
static cm_status fit_positive(work *w, int64_t n, cm_regression *model, cm_error *error) {
    int64_t members = w->in->members;
    memcpy(w->used, w->x, (size_t)(w->call->n_train * members) * sizeof *w->used);
    for (;;) {
        CM_TRY(cm_regression_fit(model, w->call->dataset->task->affinity, w->used, members, w->label, w->fit,
                                 n, PENALTY, error));
        int64_t worst = 0;
        for (int64_t m = 1; m < members; m++)
            if (model->weight[m] < model->weight[worst]) worst = m;
        if (model->weight[worst] >= 0) return CM_OK;
        for (int64_t i = 0; i < w->call->n_train; i++) w->used[i * members + worst] = 0;
    }
}

static cm_status combine(work *w, double *held, double *test, cm_error *error) {
    const cm_stack_scores *in = w->in;
    cm_regression model;
    double row[CM_MEMBERS_MAX];
    CM_TRY(work_make(w, error));
    for (int p = 0; p < w->inner->n_parts; p++) {
        int64_t n = 0;
        for (int64_t i = 0; i < w->call->n_train; i++)
            if (w->inner->part[i] != p) w->fit[n++] = i;
        CM_TRY(fit_positive(w, n, &model, error));
        for (int64_t i = 0; i < w->call->n_train; i++)
            if (w->inner->part[i] == p) held[i] = cm_regression_score(&model, w->x + i * in->members);
    }
    for (int64_t i = 0; i < w->call->n_train; i++) w->fit[i] = i;
    CM_TRY(fit_positive(w, w->call->n_train, &model, error));
    for (int64_t i = 0; i < w->call->n_test; i++) {
        for (int m = 0; m < in->members; m++) row[m] = in->test[m * w->call->n_test + i];
        test[i] = cm_regression_score(&model, row);
    }
    return CM_OK;
}

cm_status cm_stack_combine(const cm_predictor_call *call, const cm_inner *inner,
                           const cm_stack_scores *members, double *held, double *test, cm_error *error) {
    work w = {.call = call, .inner = inner, .in = members};
    cm_status status = combine(&w, held, test, error);
    work_clear(&w);
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
