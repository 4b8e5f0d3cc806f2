/* Fitting non-negative weights of members. */
#include "train/join.h"
#include "base/alloc.h"
#include "metrics/regression.h"
#include <math.h>
#include <string.h>

static const double PENALTY = 1e-3;

typedef struct work {
    bool affinity;
    const cm_inner *inner;
    const double *label;
    int64_t n, members;
    double *x,
        *used;    /* [n, members] held-out scores; the same with 0 in the columns of members that have left */
    int64_t *fit; /* [n] positions */
} work;

static void work_clear(work *w) {
    cm_free(w->x);
    cm_free(w->used);
    cm_free(w->fit);
}

static cm_status work_make(work *w, const double *held, cm_error *error) {
    size_t cells = (size_t)(w->n * w->members);
    w->x = cm_new(cells, sizeof *w->x);
    w->used = cm_new(cells, sizeof *w->used);
    w->fit = cm_new((size_t)w->n, sizeof *w->fit);
    if (!w->x || !w->used || !w->fit) return cm_fail_memory(error, cells * 16);
    for (int64_t i = 0; i < w->n; i++)
        for (int64_t m = 0; m < w->members; m++) w->x[i * w->members + m] = held[m * w->n + i];
    return CM_OK;
}

/* The regression's standardisation folded into plain weights; a column that is constant has an infinite unit.
 */
static void set_join(cm_join *join, const cm_regression *model) {
    *join = (cm_join){.members = (int)model->width, .offset = model->offset};
    for (int64_t m = 0; m < model->width; m++) {
        join->weight[m] = isfinite(model->unit[m]) ? model->weight[m] / model->unit[m] : 0;
        join->offset -= join->weight[m] * model->centre[m];
    }
}

/* Fits to pairs fit[n]; the member with the most negative weight leaves, until none has one. */
static cm_status fit_positive(work *w, int64_t n, cm_join *join, cm_error *error) {
    cm_regression model;
    memcpy(w->used, w->x, (size_t)(w->n * w->members) * sizeof *w->used);
    for (;;) {
        CM_TRY(
            cm_regression_fit(&model, w->affinity, w->used, w->members, w->label, w->fit, n, PENALTY, error));
        int64_t worst = 0;
        for (int64_t m = 1; m < w->members; m++)
            if (model.weight[m] < model.weight[worst]) worst = m;
        if (model.weight[worst] >= 0) break;
        for (int64_t i = 0; i < w->n; i++) w->used[i * w->members + worst] = 0;
    }
    set_join(join, &model);
    return CM_OK;
}

static cm_status fit_all(work *w, cm_join *join, double *out, cm_error *error) {
    for (int p = 0; p < w->inner->n_parts; p++) {
        int64_t n = 0;
        for (int64_t i = 0; i < w->n; i++)
            if (w->inner->part[i] != p) w->fit[n++] = i;
        CM_TRY(fit_positive(w, n, join, error));
        for (int64_t i = 0; i < w->n; i++)
            if (w->inner->part[i] == p) out[i] = cm_join_score(join, w->x + i * w->members);
    }
    for (int64_t i = 0; i < w->n; i++) w->fit[i] = i;
    return fit_positive(w, w->n, join, error);
}

cm_status cm_join_fit(cm_join *join, bool affinity, const double *held, int members, const double *label,
                      const cm_inner *inner, double *out, cm_error *error) {
    work w = {.affinity = affinity, .inner = inner, .label = label, .n = inner->n, .members = members};
    cm_status status = work_make(&w, held, error);
    if (status == CM_OK) status = fit_all(&w, join, out, error);
    work_clear(&w);
    return status;
}

double cm_join_score(const cm_join *join, const double *x) {
    double sum = join->offset;
    for (int m = 0; m < join->members; m++) sum += join->weight[m] * x[m];
    return sum;
}
