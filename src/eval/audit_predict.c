/* How well labels follow from what no model should have to learn from. */
#include "base/alloc.h"
#include "base/log.h"
#include "base/rng.h"
#include "data/split.h"
#include "eval/audit_parts.h"
#include "metrics/baseline.h"
#include "metrics/metrics.h"
#include "metrics/regression.h"
#include "model/composition.h"
#include <math.h>
#include <stdbool.h>
#include <string.h>

enum { FOLDS = 5, KEY_AUDIT = 0x61756469 };
/* Penalty of the linear models: the middle of what the predictor "composition" chooses from. */
static const double PENALTY = 1e-2;

typedef struct work {
    const cm_dataset *dataset;
    const cm_audit_pairs *pairs;
    int folds;
    bool affinity;
    int32_t *fold, *own;  /* [n]; own: a number for each pair */
    int64_t *index;       /* [n] */
    bool *train;          /* [n] */
    double *value;        /* [n] */
    double *x, *part;     /* [n, width]: all columns, those of a view */
    int64_t width, first; /* columns, of these A's */
} work;

static void work_clear(work *w) {
    cm_free(w->fold);
    cm_free(w->own);
    cm_free(w->index);
    cm_free(w->train);
    cm_free(w->value);
    cm_free(w->x);
    cm_free(w->part);
}

static cm_status work_make(work *w, cm_error *error) {
    const cm_task *task = w->dataset->task;
    size_t n = (size_t)w->pairs->n, cells;
    w->first = cm_composition_width(task->a);
    w->width = w->first + cm_composition_width(task->b);
    if (!cm_size_mul(n, (size_t)w->width, &cells)) return cm_fail_memory(error, SIZE_MAX);
    w->fold = cm_new(n, sizeof *w->fold);
    w->own = cm_new(n, sizeof *w->own);
    w->index = cm_new(n, sizeof *w->index);
    w->train = cm_new(n, sizeof *w->train);
    w->value = cm_new(n, sizeof *w->value);
    w->x = cm_new(cells, sizeof *w->x);
    w->part = cm_new(cells, sizeof *w->part);
    if (!w->fold || !w->own || !w->index || !w->train || !w->value || !w->x || !w->part)
        return cm_fail_memory(error, cells * 16);
    for (int64_t i = 0; i < w->pairs->n; i++) {
        const int32_t a = w->pairs->molecule[0][i], b = w->pairs->molecule[1][i];
        w->own[i] = (int32_t)i;
        cm_composition_describe(task->a, &w->dataset->entities[0][a], w->x + i * w->width);
        cm_composition_describe(task->b, &w->dataset->entities[1][b], w->x + i * w->width + w->first);
    }
    return CM_OK;
}

/* A side that is not looked at has another molecule in every pair, which tells nothing. */
static cm_status identity_fold(work *w, int view, int fold, cm_error *error) {
    const cm_audit_pairs *p = w->pairs;
    const int32_t *molecule[2];
    int64_t count[2];
    for (int side = 0; side < 2; side++) {
        bool seen = view == CM_AUDIT_BOTH || view == side;
        molecule[side] = seen ? p->molecule[side] : w->own;
        count[side] = seen ? w->dataset->n_entities[side] : p->n;
    }
    for (int64_t i = 0; i < p->n; i++) w->train[i] = w->fold[i] != fold;
    return cm_baseline_identity(w->affinity, molecule[0], molecule[1], p->label, w->train, p->n, count[0],
                                count[1], w->value, error);
}

/* The columns of a view into part; their number. */
static int64_t cut_columns(work *w, int view, bool length_only) {
    int64_t width = 0;
    for (int64_t c = 0; c < w->width; c++) {
        int side = c >= w->first;
        bool is_length = c == 0 || c == w->first;
        if ((view != CM_AUDIT_BOTH && view != side) || (length_only && !is_length)) continue;
        for (int64_t i = 0; i < w->pairs->n; i++) w->part[i * w->width + width] = w->x[i * w->width + c];
        width++;
    }
    for (int64_t i = 0; i < w->pairs->n; i++)
        memmove(w->part + i * width, w->part + i * w->width, (size_t)width * sizeof *w->part);
    return width;
}

static cm_status linear_fold(work *w, int64_t width, int fold, cm_error *error) {
    cm_regression model;
    int64_t n = 0;
    for (int64_t i = 0; i < w->pairs->n; i++)
        if (w->fold[i] != fold) w->index[n++] = i;
    CM_TRY(
        cm_regression_fit(&model, w->affinity, w->part, width, w->pairs->label, w->index, n, PENALTY, error));
    for (int64_t i = 0; i < w->pairs->n; i++) {
        if (w->fold[i] != fold) continue;
        double score = cm_regression_score(&model, w->part + i * width);
        w->value[i] = w->affinity ? score : 1 / (1 + exp(-score));
    }
    return CM_OK;
}

static cm_status measure(const work *w, cm_audit_score *score, cm_error *error) {
    double out[CM_METRICS_MAX];
    const cm_audit_pairs *p = w->pairs;
    if (w->affinity) {
        CM_TRY(cm_metrics_affinity(w->value, p->label, p->n, out, error));
        *score = (cm_audit_score){out[CM_AFFINITY_pearson], NAN};
    } else {
        CM_TRY(cm_metrics_binary(w->value, p->label, p->n, 0.5, out, error));
        *score = (cm_audit_score){out[CM_BINARY_mcc], out[CM_BINARY_auroc]};
    }
    return CM_OK;
}

static cm_status score_view(work *w, cm_audit *audit, int view, cm_error *error) {
    for (int f = 0; f < w->folds; f++) CM_TRY(identity_fold(w, view, f, error));
    CM_TRY(measure(w, &audit->identity[view], error));
    for (int only = 0; only < 2; only++) {
        int64_t width = cut_columns(w, view, only != 0);
        for (int f = 0; f < w->folds; f++) CM_TRY(linear_fold(w, width, f, error));
        CM_TRY(measure(w, only ? &audit->length[view] : &audit->composition[view], error));
    }
    return CM_OK;
}

/* Every training part needs two pairs, or both classes. */
static bool enough(const cm_audit_pairs *pairs, bool affinity) {
    int64_t positives = 0;
    for (int64_t i = 0; i < pairs->n; i++) positives += pairs->label[i] > 0.5;
    return affinity ? pairs->n >= 3 : positives >= 2 && pairs->n - positives >= 2;
}

cm_status cm_audit_predict(cm_audit *audit, const cm_dataset *dataset, const cm_audit_pairs *pairs,
                           uint64_t seed, const cm_runtime *runtime, cm_error *error) {
    for (int view = 0; view < CM_AUDIT_VIEWS; view++)
        audit->identity[view] = audit->composition[view] = audit->length[view] = (cm_audit_score){NAN, NAN};
    bool affinity = dataset->task->affinity != 0;
    if (!enough(pairs, affinity)) return CM_OK;
    work w = {.dataset = dataset,
              .pairs = pairs,
              .affinity = affinity,
              .folds = pairs->n < FOLDS ? (int)pairs->n : FOLDS};
    audit->random_folds = w.folds;
    cm_status status = work_make(&w, error);
    if (status == CM_OK)
        status = cm_split_folds(dataset, pairs->row, pairs->n, w.folds, cm_rng_key(seed, KEY_AUDIT, 0),
                                w.fold, error);
    for (int view = 0; view < CM_AUDIT_VIEWS && status == CM_OK; view++) {
        if (cm_stopped(runtime))
            status = cm_fail(error, CM_INTERRUPTED, NULL, NULL, NULL, "stopped");
        else
            status = score_view(&w, audit, view, error);
    }
    work_clear(&w);
    return status;
}
