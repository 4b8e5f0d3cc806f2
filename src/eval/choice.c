/* Choosing a hyper-parameter on inner folds. */
#include "eval/choice.h"
#include "base/alloc.h"
#include "base/log.h"
#include <math.h>
#include <string.h>

typedef struct work {
    const cm_choice *choice;
    const cm_predictor_call *call;
    cm_inner inner;
    int64_t *position, *fit, *target; /* [n_train] */
    double *label, *held, *score;     /* [n_train], [candidates, n_train], [candidates, most rows] */
} work;

static void work_clear(work *w) {
    cm_inner_clear(&w->inner);
    cm_free(w->position);
    cm_free(w->fit);
    cm_free(w->target);
    cm_free(w->label);
    cm_free(w->held);
    cm_free(w->score);
}

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
    size_t n = (size_t)call->n_train,
           most = (size_t)(call->n_train > call->n_test ? call->n_train : call->n_test);
    size_t candidates = (size_t)w->choice->candidates;
    w->position = cm_new(n, sizeof *w->position);
    w->fit = cm_new(n, sizeof *w->fit);
    w->target = cm_new(n, sizeof *w->target);
    w->label = cm_choice_labels(call);
    w->held = cm_new(candidates * n, sizeof *w->held);
    w->score = cm_new(candidates * most, sizeof *w->score);
    if (!w->position || !w->fit || !w->target || !w->label || !w->held || !w->score)
        return cm_fail_memory(error, candidates * most * 16);
    return cm_inner_make(&w->inner, call->dataset, call->train, call->n_train, call->test, call->n_test,
                         CM_INNER_FOLDS, (uint64_t)call->options->seed, error);
}

/* Scores what part p holds out with every candidate. */
static cm_status score_part(work *w, int p, cm_error *error) {
    const int64_t *train = w->call->train;
    int64_t n = cm_inner_list(&w->inner, p, false, w->fit);
    int64_t m = cm_inner_list(&w->inner, p, true, w->position);
    for (int64_t i = 0; i < n; i++) w->fit[i] = train[w->fit[i]];
    for (int64_t i = 0; i < m; i++) w->target[i] = train[w->position[i]];
    if (m == 0) return CM_OK;
    if (cm_stopped(w->call->runtime)) return cm_fail(error, CM_INTERRUPTED, NULL, NULL, NULL, "stopped");
    CM_TRY(w->choice->score(w->choice->context, w->fit, n, w->target, m, w->score, error));
    for (int c = 0; c < w->choice->candidates; c++)
        for (int64_t i = 0; i < m; i++) w->held[c * w->call->n_train + w->position[i]] = w->score[c * m + i];
    return CM_OK;
}

static int best_candidate(const work *w) {
    if (w->inner.n_parts == 0) return w->choice->standard;
    int best = 0;
    double least = INFINITY;
    for (int c = 0; c < w->choice->candidates; c++) {
        double loss = cm_inner_loss(w->call->dataset->task->affinity, w->held + c * w->call->n_train,
                                    w->label, w->call->n_train);
        if (loss < least) {
            least = loss;
            best = c;
        }
    }
    return best;
}

static cm_status run(work *w, cm_error *error) {
    const cm_predictor_call *call = w->call;
    CM_TRY(work_make(w, error));
    for (int p = 0; p < w->inner.n_parts; p++) CM_TRY(score_part(w, p, error));
    int best = best_candidate(w);
    CM_TRY(w->choice->score(w->choice->context, call->train, call->n_train, call->test, call->n_test,
                            w->score, error));
    memcpy(call->score, w->score + best * call->n_test, (size_t)call->n_test * sizeof *call->score);
    if (call->dataset->task->affinity && w->choice->as_scored) {
        cm_choice_clip(call);
        return CM_OK;
    }
    return cm_inner_finish(call->dataset->task->affinity, w->held + best * call->n_train, w->label,
                           w->inner.n_parts ? call->n_train : 0, call->score, call->n_test, call->value,
                           call->threshold, error);
}

cm_status cm_choice_run(const cm_choice *choice, const cm_predictor_call *call, cm_error *error) {
    work w = {.choice = choice, .call = call};
    cm_status status = run(&w, error);
    work_clear(&w);
    return status;
}
