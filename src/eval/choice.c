/* Predictors with one hyper-parameter. */
#include "eval/choice.h"
#include "base/alloc.h"
#include <math.h>
#include <string.h>

typedef struct work {
    const cm_choice *choice;
    const cm_predictor_call *call;
    cm_inner inner;
    double *label, *held, *score; /* [n_train], [n_train], [candidates, n_test] */
} work;

double *cm_choice_labels(const cm_predictor_call *call) {
    double *label = cm_new((size_t)call->n_train, sizeof *label);
    for (int64_t i = 0; label && i < call->n_train; i++) label[i] = (double)call->label[call->train[i]];
    return label;
}

void cm_choice_clip(const cm_predictor_call *call) {
    double least = INFINITY, most = -INFINITY;
    for (int64_t i = 0; i < call->n_train; i++) {
        least = fmin(least, (double)call->label[call->train[i]]);
        most = fmax(most, (double)call->label[call->train[i]]);
    }
    for (int64_t i = 0; i < call->n_test; i++) call->value[i] = fmin(fmax(call->score[i], least), most);
}

static cm_status work_make(work *w, cm_error *error) {
    const cm_predictor_call *call = w->call;
    size_t n = (size_t)call->n_train, cells = (size_t)w->choice->candidates * (size_t)call->n_test;
    w->label = cm_choice_labels(call);
    w->held = cm_new(n, sizeof *w->held);
    w->score = cm_new(cells, sizeof *w->score);
    if (!w->label || !w->held || !w->score) return cm_fail_memory(error, cells * sizeof *w->score);
    return cm_inner_make(&w->inner, call->dataset, call->train, call->n_train, call->test, call->n_test,
                         CM_INNER_FOLDS, (uint64_t)call->options->seed, error);
}

static cm_status run(work *w, cm_error *error) {
    const cm_predictor_call *call = w->call;
    bool affinity = call->dataset->task->affinity;
    int best;
    CM_TRY(work_make(w, error));
    CM_TRY(cm_choice_make(w->choice, &w->inner, affinity, call->train, w->label, call->runtime, &best,
                          w->held, error));
    CM_TRY(w->choice->score(w->choice->context, call->train, call->n_train, call->test, call->n_test,
                            w->score, error));
    memcpy(call->score, w->score + best * call->n_test, (size_t)call->n_test * sizeof *call->score);
    if (affinity && w->choice->as_scored) {
        cm_choice_clip(call);
        return CM_OK;
    }
    return cm_inner_finish(affinity, w->held, w->label, w->inner.n_parts ? call->n_train : 0, call->score,
                           call->n_test, call->value, call->threshold, error);
}

cm_status cm_choice_run(const cm_choice *choice, const cm_predictor_call *call, cm_error *error) {
    work w = {.choice = choice, .call = call};
    cm_status status = run(&w, error);
    cm_inner_clear(&w.inner);
    cm_free(w.label);
    cm_free(w.held);
    cm_free(w.score);
    return status;
}
