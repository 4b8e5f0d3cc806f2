/* "composition": length and composition of both molecules in a penalised linear model; no order of residues.
 * "length": the same with the lengths alone. */
#include "base/alloc.h"
#include "eval/choice.h"
#include "metrics/regression.h"
#include "model/composition.h"

static const double penalties[] = {1e-4, 1e-2, 1};
enum { PENALTIES = sizeof penalties / sizeof *penalties };

typedef struct table {
    bool affinity;
    int64_t width;
    double *x, *label; /* [n_pairs, width], [n_pairs] */
} table;

/* Keeps the lengths alone: column 0 of either side. */
static void keep_lengths(table *t, int64_t n, int64_t first) {
    for (int64_t i = 0; i < n; i++) {
        const double a = t->x[i * t->width], b = t->x[i * t->width + first];
        t->x[2 * i] = a;
        t->x[2 * i + 1] = b;
    }
    t->width = 2;
}

static cm_status table_make(table *t, const cm_predictor_call *call, bool lengths, cm_error *error) {
    const cm_dataset *d = call->dataset;
    int64_t first = cm_composition_width(d->task->a);
    t->affinity = d->task->affinity != 0;
    t->width = first + cm_composition_width(d->task->b);
    t->x = cm_new((size_t)d->n_pairs * (size_t)t->width, sizeof *t->x);
    t->label = cm_new((size_t)d->n_pairs, sizeof *t->label);
    if (!t->x || !t->label) return cm_fail_memory(error, (size_t)d->n_pairs * (size_t)t->width * 8);
    for (int64_t i = 0; i < d->n_pairs; i++) {
        double *row = t->x + i * t->width;
        cm_composition_describe(d->task->a, &d->entities[0][d->pairs[i].entity[0]], row);
        cm_composition_describe(d->task->b, &d->entities[1][d->pairs[i].entity[1]], row + first);
        t->label[i] = (double)call->label[i];
    }
    if (lengths) keep_lengths(t, d->n_pairs, first);
    return CM_OK;
}

static cm_status score(const void *context, const int64_t *fit, int64_t n, const int64_t *target, int64_t m,
                       double *out, cm_error *error) {
    const table *t = context;
    cm_regression model;
    for (int c = 0; c < PENALTIES; c++) {
        CM_TRY(cm_regression_fit(&model, t->affinity, t->x, t->width, t->label, fit, n, penalties[c], error));
        for (int64_t i = 0; i < m; i++)
            out[c * m + i] = cm_regression_score(&model, t->x + target[i] * t->width);
    }
    return CM_OK;
}

static cm_status run_table(const cm_predictor_call *call, bool lengths, cm_error *error) {
    table t = {0};
    cm_choice choice = {.candidates = PENALTIES, .standard = 1, .score = score, .context = &t};
    cm_status status = table_make(&t, call, lengths, error);
    if (status == CM_OK) status = cm_choice_run(&choice, call, error);
    cm_free(t.x);
    cm_free(t.label);
    return status;
}

static cm_status run_length(const cm_predictor_call *call, cm_error *error) {
    return run_table(call, true, error);
}

static cm_status run_composition(const cm_predictor_call *call, cm_error *error) {
    return run_table(call, false, error);
}

const cm_predictor cm_predictor_length = {
    .name = "length",
    .help = "baseline: length of both molecules alone, logistic or ridge regression",
    .serves = CM_SERVES_ALL,
    .baseline = true,
    .kept = true,
    .run = run_length,
};

const cm_predictor cm_predictor_composition = {
    .name = "composition",
    .help = "baseline: length and composition of both molecules, logistic or ridge regression",
    .serves = CM_SERVES_ALL,
    .baseline = true,
    .kept = true,
    .run = run_composition,
};
