/* "NAME+memory": a predictor's score and the label history of both molecules in extremely randomised trees,
 * then weighed against the score alone. Members of a stack keep their own scores, those of a mean give one.
 * "presence": the same trees on what the list of training pairs says without its labels, as the control that
 * memory has to beat. */
#include "base/alloc.h"
#include "base/log.h"
#include "base/rng.h"
#include "eval/choice.h"
#include "eval/memory_rows.h"
#include "eval/stage.h"
#include "model/parts.h"
#include <math.h>

/* Trees of the forest that scores tested pairs, and of those that score held-out training pairs. */
enum { TREES = 300, INNER_TREES = 100, LEAF = 5, COLUMNS_SHARE = 3, KEY_FOREST = 41 };

typedef struct work {
    const cm_predictor_call *call;
    const cm_inner *inner;
    cm_memory_base base;
    cm_memory_rows rows;
    double *label;        /* [n_train] */
    double *held, *test;  /* [2, n_train], [2, n_test]: score of the forest; of the base */
    double *final, *leaf; /* [n_train] held-out scores that are calibrated; [n_train + n_test] of a forest */
    int64_t *index;       /* [rows] */
} work;

static void work_clear(work *w) {
    cm_memory_rows_clear(&w->rows);
    cm_free(w->label);
    cm_free(w->held);
    cm_free(w->test);
    cm_free(w->final);
    cm_free(w->leaf);
    cm_free(w->index);
}

static cm_status work_make(work *w, bool labels, cm_error *error) {
    const cm_predictor_call *call = w->call;
    size_t n = (size_t)call->n_train, m = (size_t)call->n_test;
    CM_TRY(cm_memory_rows_make(&w->rows, call, &w->base, labels, error));
    w->label = cm_choice_labels(call);
    w->held = cm_new(2 * n, sizeof *w->held);
    w->test = cm_new(2 * m, sizeof *w->test);
    w->final = cm_new(n, sizeof *w->final);
    w->leaf = cm_new(n + m, sizeof *w->leaf);
    w->index = cm_new((size_t)w->rows.rows, sizeof *w->index);
    if (!w->label || !w->held || !w->test || !w->final || !w->leaf || !w->index)
        return cm_fail_memory(error, (n + m) * 40);
    return CM_OK;
}

/* Logits, as other scores of a stage are; an affinity stays. */
static double as_score(const work *w, double mean) {
    return w->call->dataset->task->affinity ? mean : log((mean + 0.01) / (1.01 - mean));
}

/* Grows a forest on all rows of pairs outside part p (-1: on all) and scores rows index[m] into w->leaf. */
static cm_status forest_scores(work *w, int p, int trees, const int64_t *index, int64_t m, cm_error *error) {
    const cm_memory_rows *r = &w->rows;
    cm_forest *forest = NULL;
    int64_t n = 0;
    cm_forest_options options = {
        .trees = trees,
        .columns = 1 + r->width / COLUMNS_SHARE,
        .leaf = LEAF,
        .seed = cm_rng_key((uint64_t)w->call->options->seed, KEY_FOREST, (uint64_t)p + 1)};
    if (cm_stopped(w->call->runtime)) return cm_fail(error, CM_INTERRUPTED, NULL, NULL, NULL, "stopped");
    for (int64_t row = 0; row < r->first_test; row++)
        if (p < 0 || w->inner->part[r->position[row]] != p) w->index[n++] = row;
    CM_TRY(cm_forest_fit(&forest, &r->table, r->label, w->index, n, &options, NULL, error));
    cm_forest_scores(forest, &r->table, index, m, w->leaf, NULL);
    cm_forest_destroy(forest);
    return CM_OK;
}

/* Fills the first column of held and test. */
static cm_status cross_fit(work *w, cm_error *error) {
    const cm_predictor_call *call = w->call;
    size_t most = (size_t)(call->n_train > call->n_test ? call->n_train : call->n_test);
    int64_t *asked = cm_new(most, sizeof *asked);
    cm_status status = asked ? CM_OK : cm_fail_memory(error, most * sizeof *asked);
    for (int p = 0; p < w->inner->n_parts && status == CM_OK; p++) {
        int64_t m = cm_inner_list(w->inner, p, true, asked);
        status = forest_scores(w, p, INNER_TREES, asked, m, error);
        for (int64_t i = 0; i < m && status == CM_OK; i++) w->held[asked[i]] = as_score(w, w->leaf[i]);
    }
    for (int64_t i = 0; i < call->n_test && status == CM_OK; i++) asked[i] = w->rows.first_test + i;
    if (status == CM_OK) status = forest_scores(w, -1, TREES, asked, call->n_test, error);
    for (int64_t i = 0; i < call->n_test && status == CM_OK; i++) w->test[i] = as_score(w, w->leaf[i]);
    cm_free(asked);
    return status;
}

static cm_status finish(work *w, const double *held, cm_error *error) {
    const cm_predictor_call *call = w->call;
    return cm_inner_finish(call->dataset->task->affinity, held, w->label,
                           w->inner->n_parts ? call->n_train : 0, call->score, call->n_test, call->value,
                           call->threshold, error);
}

/* ---- NAME+memory ---- */

static cm_status run_memory(work *w, cm_error *error) {
    const cm_predictor_call *call = w->call;
    CM_TRY(work_make(w, true, error));
    CM_TRY(cross_fit(w, error));
    cm_stack_scores members = {w->base.members, w->base.held, w->base.test};
    CM_TRY(
        cm_stack_combine(call, w->inner, &members, w->held + call->n_train, w->test + call->n_test, error));
    cm_stack_scores both = {2, w->held, w->test};
    CM_TRY(cm_stack_combine(call, w->inner, &both, w->final, call->score, error));
    return finish(w, w->final, error);
}

/* In place of the members' scores their mean, for whose room *mean is. */
static cm_status take_mean(work *w, const struct cm_stage_input *in, double **mean, cm_error *error) {
    int64_t n = w->call->n_train, m = w->call->n_test;
    *mean = cm_new((size_t)(n + m), sizeof **mean);
    if (!*mean) return cm_fail_memory(error, (size_t)(n + m) * sizeof **mean);
    cm_parts_mean(in->held, in->n_members, n, *mean);
    cm_parts_mean(in->test, in->n_members, m, *mean + n);
    w->base = (cm_memory_base){1, *mean, *mean + n};
    return CM_OK;
}

static cm_status memory(const cm_predictor_call *call, cm_error *error) {
    const struct cm_stage_input *in = call->stage;
    work w = {.call = call, .inner = in->inner, .base = {in->n_members, in->held, in->test}};
    double *mean = NULL;
    cm_status status = cm_stage_is_mean(call->name) ? take_mean(&w, in, &mean, error) : CM_OK;
    if (status == CM_OK) status = run_memory(&w, error);
    work_clear(&w);
    cm_free(mean);
    return status;
}

const cm_predictor cm_predictor_memory = {
    .name = "NAME+memory",
    .help = "the predictor NAME with the known labels of the same and of similar molecules",
    .serves = CM_SERVES_ALL,
    .stage = true,
    .similarity = true,
    .run = memory,
};

/* ---- presence ---- */

static cm_status run_presence(work *w, cm_error *error) {
    const cm_predictor_call *call = w->call;
    CM_TRY(work_make(w, false, error));
    CM_TRY(cross_fit(w, error));
    for (int64_t i = 0; i < call->n_test; i++) call->score[i] = w->test[i];
    return finish(w, w->held, error);
}

static cm_status presence(const cm_predictor_call *call, cm_error *error) {
    cm_inner inner;
    cm_status status = cm_inner_make(&inner, call->dataset, call->train, call->n_train, call->test,
                                     call->n_test, CM_INNER_FOLDS, (uint64_t)call->options->seed, error);
    work w = {.call = call, .inner = &inner};
    if (status == CM_OK) status = run_presence(&w, error);
    work_clear(&w);
    cm_inner_clear(&inner);
    return status;
}

const cm_predictor cm_predictor_presence = {
    .name = "presence",
    .help = "baseline for memory: which molecules and relatives are listed together in training, no label of "
            "theirs",
    .serves = CM_SERVES_ALL,
    .similarity = true,
    .kept = true,
    .run = presence,
};
