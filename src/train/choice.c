/* Scoring every candidate on every inner fold. */
#include "train/choice.h"
#include "base/alloc.h"
#include "base/log.h"
#include <math.h>
#include <string.h>

typedef struct work {
    const cm_choice *choice;
    const cm_inner *inner;
    const int64_t *train;
    int64_t *position, *fit, *target; /* [n] */
    double *held, *score;             /* [candidates, n] */
} work;

static void work_clear(work *w) {
    cm_free(w->position);
    cm_free(w->fit);
    cm_free(w->target);
    cm_free(w->held);
    cm_free(w->score);
}

static cm_status work_make(work *w, cm_error *error) {
    size_t n = (size_t)w->inner->n, cells = n * (size_t)w->choice->candidates;
    w->position = cm_new(n, sizeof *w->position);
    w->fit = cm_new(n, sizeof *w->fit);
    w->target = cm_new(n, sizeof *w->target);
    w->held = cm_new(cells, sizeof *w->held);
    w->score = cm_new(cells, sizeof *w->score);
    return w->position && w->fit && w->target && w->held && w->score ? CM_OK
                                                                     : cm_fail_memory(error, cells * 16);
}

/* Scores what part p holds out with every candidate. */
static cm_status score_part(work *w, int p, cm_error *error) {
    int64_t n = cm_inner_list(w->inner, p, false, w->fit);
    int64_t m = cm_inner_list(w->inner, p, true, w->position);
    for (int64_t i = 0; i < n; i++) w->fit[i] = w->train[w->fit[i]];
    for (int64_t i = 0; i < m; i++) w->target[i] = w->train[w->position[i]];
    if (m == 0) return CM_OK;
    CM_TRY(w->choice->score(w->choice->context, w->fit, n, w->target, m, w->score, error));
    for (int c = 0; c < w->choice->candidates; c++)
        for (int64_t i = 0; i < m; i++) w->held[c * w->inner->n + w->position[i]] = w->score[c * m + i];
    return CM_OK;
}

static int best_candidate(const work *w, bool affinity, const double *label) {
    int best = 0;
    double least = INFINITY;
    for (int c = 0; c < w->choice->candidates; c++) {
        double loss = cm_inner_loss(affinity, w->held + c * w->inner->n, label, w->inner->n);
        if (loss < least) {
            least = loss;
            best = c;
        }
    }
    return best;
}

cm_status cm_choice_make(const cm_choice *choice, const cm_inner *inner, bool affinity, const int64_t *train,
                         const double *label, const cm_runtime *runtime, int *best, double *held,
                         cm_error *error) {
    work w = {.choice = choice, .inner = inner, .train = train};
    *best = choice->standard;
    if (inner->n_parts == 0) return CM_OK;
    cm_status status = work_make(&w, error);
    for (int p = 0; p < inner->n_parts && status == CM_OK; p++)
        status = cm_stopped(runtime) ? cm_fail(error, CM_INTERRUPTED, NULL, NULL, NULL, "stopped")
                                     : score_part(&w, p, error);
    if (status == CM_OK) {
        *best = best_candidate(&w, affinity, label);
        memcpy(held, w.held + *best * inner->n, (size_t)inner->n * sizeof *held);
    }
    work_clear(&w);
    return status;
}
