/* "NAME+memory": a predictor's score and the label history of both molecules in a penalised linear model.
 * Training rows come from inner folds: the score of the part that holds the pair out, and the history that
 * part knows, so that they look as tested pairs will. Each stands there four times: as it is, and as if
 * molecule A, B or both were new (entity dropout). */
#include "base/alloc.h"
#include "base/log.h"
#include "eval/choice.h"
#include "eval/history.h"
#include "eval/stage.h"
#include "metrics/regression.h"
#include <string.h>

/* The score, the score where A, B and both are new, whether both are, the history. */
enum { SCORE_COLUMNS = 5, WIDTH = SCORE_COLUMNS + CM_HISTORY_WIDTH };

static const double penalties[] = {1e-3, 1e-2, 1e-1};
enum { PENALTIES = sizeof penalties / sizeof *penalties };

typedef struct work {
    const cm_predictor_call *call;
    const cm_inner *inner;
    double *base_held, *base_test; /* [n_train], [n_test] scores without memory */
    double *x, *row_label;         /* [n_train, CM_HIDES, WIDTH], [n_train, CM_HIDES] */
    double *label, *held;          /* [n_train] */
    double *test_x;                /* [n_test, WIDTH] */
    int64_t *known, *rows;         /* [n_train], [n_train * CM_HIDES] */
} work;

static void work_clear(work *w) {
    cm_free(w->base_held);
    cm_free(w->base_test);
    cm_free(w->x);
    cm_free(w->row_label);
    cm_free(w->label);
    cm_free(w->held);
    cm_free(w->test_x);
    cm_free(w->known);
    cm_free(w->rows);
}

static cm_status work_make(work *w, cm_error *error) {
    size_t n = (size_t)w->call->n_train, m = (size_t)w->call->n_test;
    w->base_held = cm_new(n, sizeof(double));
    w->base_test = cm_new(m, sizeof(double));
    w->x = cm_new(n * CM_HIDES * WIDTH, sizeof(double));
    w->row_label = cm_new(n * CM_HIDES, sizeof(double));
    w->label = cm_choice_labels(w->call);
    w->held = cm_new(n, sizeof(double));
    w->test_x = cm_new(m * WIDTH, sizeof(double));
    w->known = cm_new(n, sizeof *w->known);
    w->rows = cm_new(n * CM_HIDES, sizeof *w->rows);
    if (!w->base_held || !w->base_test || !w->x || !w->row_label || !w->label || !w->held || !w->test_x ||
        !w->known || !w->rows)
        return cm_fail_memory(error, n * CM_HIDES * WIDTH * sizeof(double));
    for (size_t i = 0; i < n * CM_HIDES; i++) w->row_label[i] = w->label[i / CM_HIDES];
    return CM_OK;
}

static void fill_row(double score, const double *history, double *x) {
    double a = history[cm_history_none(0)], b = history[cm_history_none(1)];
    x[0] = score;
    x[1] = score * a;
    x[2] = score * b;
    x[3] = score * a * b;
    x[4] = a * b;
    memcpy(x + SCORE_COLUMNS, history, CM_HISTORY_WIDTH * sizeof *x);
}

/* The rows of the pairs that part p holds out. */
static cm_status fill_part(work *w, int p, cm_error *error) {
    double rows[CM_HIDES * CM_HISTORY_WIDTH];
    cm_history *history = NULL;
    int64_t n = cm_inner_list(w->inner, p, false, w->known);
    for (int64_t i = 0; i < n; i++) w->known[i] = w->call->train[w->known[i]];
    if (cm_stopped(w->call->runtime)) return cm_fail(error, CM_INTERRUPTED, NULL, NULL, NULL, "stopped");
    CM_TRY(cm_history_create(&history, w->call, w->known, n, error));
    for (int64_t i = 0; i < w->call->n_train; i++) {
        if (w->inner->part[i] != p) continue;
        cm_history_rows(history, w->call->train[i], rows);
        for (int hide = 0; hide < CM_HIDES; hide++)
            fill_row(w->base_held[i], rows + hide * CM_HISTORY_WIDTH, w->x + (i * CM_HIDES + hide) * WIDTH);
    }
    cm_history_destroy(history);
    return CM_OK;
}

static cm_status fill_test(work *w, cm_error *error) {
    double rows[CM_HIDES * CM_HISTORY_WIDTH];
    cm_history *history = NULL;
    CM_TRY(cm_history_create(&history, w->call, w->call->train, w->call->n_train, error));
    for (int64_t i = 0; i < w->call->n_test; i++) {
        cm_history_rows(history, w->call->test[i], rows);
        fill_row(w->base_test[i], rows, w->test_x + i * WIDTH);
    }
    cm_history_destroy(history);
    return CM_OK;
}

/* Fits without the pairs of part p (-1: with all). */
static cm_status fit(work *w, int p, double penalty, cm_regression *model, cm_error *error) {
    int64_t n = 0;
    for (int64_t i = 0; i < w->call->n_train; i++)
        for (int hide = 0; hide < CM_HIDES && w->inner->part[i] != p; hide++)
            w->rows[n++] = i * CM_HIDES + hide;
    return cm_regression_fit(model, w->call->dataset->task->affinity, w->x, WIDTH, w->row_label, w->rows, n,
                             penalty, error);
}

/* held[n_train]: scores of pairs by models that were fitted without their part. */
static cm_status cross_fit(work *w, double penalty, cm_error *error) {
    cm_regression model;
    for (int p = 0; p < w->inner->n_parts; p++) {
        CM_TRY(fit(w, p, penalty, &model, error));
        for (int64_t i = 0; i < w->call->n_train; i++)
            if (w->inner->part[i] == p) w->held[i] = cm_regression_score(&model, w->x + i * CM_HIDES * WIDTH);
    }
    return CM_OK;
}

static cm_status choose_penalty(work *w, double *penalty, cm_error *error) {
    double least = 0;
    for (int c = 0; c < PENALTIES; c++) {
        CM_TRY(cross_fit(w, penalties[c], error));
        double loss = cm_inner_loss(w->call->dataset->task->affinity, w->held, w->label, w->call->n_train);
        if (c > 0 && loss >= least) continue;
        least = loss;
        *penalty = penalties[c];
    }
    return cross_fit(w, *penalty, error);
}

static cm_status run_stage(work *w, cm_error *error) {
    const cm_predictor_call *call = w->call;
    double penalty = penalties[0];
    cm_regression model;
    CM_TRY(work_make(w, error));
    CM_TRY(cm_stack_combine(call, w->base_held, w->base_test, error));
    for (int p = 0; p < w->inner->n_parts; p++) CM_TRY(fill_part(w, p, error));
    CM_TRY(fill_test(w, error));
    CM_TRY(choose_penalty(w, &penalty, error));
    CM_TRY(fit(w, -1, penalty, &model, error));
    for (int64_t i = 0; i < call->n_test; i++)
        call->score[i] = cm_regression_score(&model, w->test_x + i * WIDTH);
    return cm_inner_finish(call->dataset->task->affinity, w->held, w->label, call->n_train, call->score,
                           call->n_test, call->value, call->threshold, error);
}

static cm_status run(const cm_predictor_call *call, cm_error *error) {
    work w = {.call = call, .inner = call->stage->inner};
    cm_status status = run_stage(&w, error);
    work_clear(&w);
    return status;
}

const cm_predictor cm_predictor_memory = {
    .name = "NAME+memory",
    .help = "the predictor NAME with the known labels of the same and of similar molecules",
    .serves = CM_SERVES_ALL,
    .stage = true,
    .similarity = true,
    .run = run,
};
