/* ROC and precision-recall curves on a grid, with bands. */
#include "base/alloc.h"
#include "metrics/bootstrap.h"
#include "metrics/ranking.h"
#include "metrics/resample.h"
#include <math.h>

/* Where a walk down the distinct values stands. */
typedef struct corner {
    double fpr, tpr, precision;
} corner;

static double place(int point) {
    return (double)point / (CM_CURVE_POINTS - 1);
}

/* Fills the ROC between two corners: linear, and the upper end where the step is vertical. */
static void fill_roc(const corner *from, const corner *to, int *next, double *y) {
    if (to->fpr > from->fpr)
        for (; *next < CM_CURVE_POINTS && place(*next) < to->fpr; (*next)++)
            y[*next] = from->tpr + (to->tpr - from->tpr) * (place(*next) - from->fpr) / (to->fpr - from->fpr);
}

/* One walk down the distinct values; false without both classes. */
static bool curves(const cm_ranking *r, const int32_t *weight, double *roc, double *pr) {
    double all[2] = {0, 0}, above[2] = {0, 0};
    for (int64_t i = 0; i < r->n; i++) all[r->label[i] > 0.5] += weight[i];
    if (all[0] == 0 || all[1] == 0) return false;
    corner from = {0, 0, 1};
    int next_roc = 0, next_pr = 0;
    for (int64_t end = r->n; end > 0;) {
        int64_t group = r->value_group[r->by_value[end - 1]];
        double before = above[0] + above[1];
        for (; end > 0 && r->value_group[r->by_value[end - 1]] == group; end--)
            above[r->label[r->by_value[end - 1]] > 0.5] += weight[r->by_value[end - 1]];
        if (above[0] + above[1] == before) continue;
        corner to = {above[0] / all[0], above[1] / all[1], above[1] / (above[0] + above[1])};
        fill_roc(&from, &to, &next_roc, roc);
        for (; next_pr < CM_CURVE_POINTS && place(next_pr) <= to.tpr; next_pr++) pr[next_pr] = to.precision;
        from = to;
    }
    for (; next_roc < CM_CURVE_POINTS; next_roc++) roc[next_roc] = 1;
    return true;
}

/* roc_draws, pr_draws: [points][draws]. */
static void draw_bands(cm_resample *resample, const cm_ranking *ranking, int draws, double *roc_draws,
                       double *pr_draws, cm_curve *roc, cm_curve *pr) {
    for (int draw = 0; draw < draws; draw++) {
        double y[2][CM_CURVE_POINTS];
        bool valid = cm_resample_draw(resample, draw) && curves(ranking, resample->weight, y[0], y[1]);
        for (int p = 0; p < CM_CURVE_POINTS; p++) {
            roc_draws[(int64_t)p * draws + draw] = valid ? y[0][p] : NAN;
            pr_draws[(int64_t)p * draws + draw] = valid ? y[1][p] : NAN;
        }
    }
    for (int p = 0; p < CM_CURVE_POINTS; p++) {
        cm_draws_limits(roc_draws + (int64_t)p * draws, draws, &roc->low[p], &roc->high[p]);
        cm_draws_limits(pr_draws + (int64_t)p * draws, draws, &pr->low[p], &pr->high[p]);
    }
}

static cm_status make_curves(const cm_ranking *ranking, cm_resample *resample, int draws, cm_curve *roc,
                             cm_curve *pr, cm_error *error) {
    size_t room = (size_t)draws * CM_CURVE_POINTS;
    double *block = cm_new(room, 2 * sizeof *block);
    if (!block) return cm_fail_memory(error, room * 2 * sizeof *block);
    for (int64_t i = 0; i < resample->n; i++) resample->weight[i] = 1;
    if (!curves(ranking, resample->weight, roc->y, pr->y))
        for (int p = 0; p < CM_CURVE_POINTS; p++) roc->y[p] = pr->y[p] = NAN;
    draw_bands(resample, ranking, draws, block, block + room, roc, pr);
    cm_free(block);
    return CM_OK;
}

cm_status cm_sample_curves(const cm_sample *sample, int draws, uint64_t seed, cm_curve *roc, cm_curve *pr,
                           cm_error *error) {
    cm_ranking ranking;
    cm_resample resample;
    CM_TRY(cm_ranking_create(&ranking, false, sample->value, sample->label, sample->n, error));
    cm_status status = cm_resample_create(&resample, sample->entity, sample->n, seed, error);
    if (status == CM_OK) status = make_curves(&ranking, &resample, draws, roc, pr, error);
    cm_resample_clear(&resample);
    cm_ranking_clear(&ranking);
    return status;
}
