/* Rows of label history, part by part. */
#include "eval/memory_rows.h"
#include "base/alloc.h"
#include "base/log.h"
#include "base/rng.h"
#include <string.h>

enum { FOLDS = 10, MOST_DIVISIONS = 3, ENOUGH_ROWS = 12000, KEY_DIVISION = 31, KEY_HIDE };

/* Share of pairs with a row as if a molecule were new. */
static const double DROPOUT = 0.25;

typedef struct filling {
    cm_memory_rows *rows;
    const cm_predictor_call *call;
    const cm_memory_base *base;
    bool labels;
    int divisions;
    int64_t next;   /* the first free row behind those of the first division */
    int64_t *known; /* [n_train] */
    double *x;      /* [history width] */
} filling;

void cm_memory_rows_clear(cm_memory_rows *rows) {
    cm_free(rows->value);
    cm_free(rows->label);
    cm_free(rows->position);
    *rows = (cm_memory_rows){0};
}

/* What is hidden in the further row of training pair i in a division; CM_HIDE_NONE: there is no such row. */
static int hidden(const filling *f, int division, int64_t i) {
    uint64_t key = cm_rng_key((uint64_t)f->call->options->seed, KEY_HIDE, (uint64_t)division);
    if (cm_rng_uniform(key, (uint64_t)(2 * i)) >= DROPOUT) return CM_HIDE_NONE;
    return 1 + (int)cm_rng_below(key, (uint64_t)(2 * i + 1), CM_HIDE_BOTH);
}

static cm_status room(filling *f, cm_error *error) {
    cm_memory_rows *r = f->rows;
    int64_t n = f->call->n_train;
    r->first_test = n * f->divisions;
    for (int d = 0; d < f->divisions; d++)
        for (int64_t i = 0; i < n; i++) r->first_test += hidden(f, d, i) != CM_HIDE_NONE;
    r->rows = r->first_test + f->call->n_test;
    r->width = f->base->members + cm_history_width(f->labels);
    size_t cells;
    if (!cm_size_mul((size_t)r->rows, (size_t)r->width, &cells)) return cm_fail_memory(error, 0);
    r->value = cm_new(cells, sizeof *r->value);
    r->label = cm_new((size_t)r->first_test, sizeof *r->label);
    r->position = cm_new((size_t)r->first_test, sizeof *r->position);
    f->known = cm_new((size_t)n, sizeof *f->known);
    f->x = cm_new((size_t)r->width, sizeof *f->x);
    if (!r->value || !r->label || !r->position || !f->known || !f->x)
        return cm_fail_memory(error, cells * sizeof *r->value);
    r->table = (cm_forest_table){1, {{r->width, r->rows, r->value, NULL}}};
    f->next = n;
    return CM_OK;
}

/* base: the members' scores of this pair, stride apart. */
static void fill_row(filling *f, cm_history *history, int64_t row, int64_t pair, int hide, const double *base,
                     int64_t stride) {
    cm_memory_rows *r = f->rows;
    int64_t members = f->base->members;
    for (int64_t m = 0; m < members; m++) r->value[m * r->rows + row] = (float)base[m * stride];
    cm_history_row(history, pair, hide, f->labels, f->x);
    for (int64_t c = members; c < r->width; c++) r->value[c * r->rows + row] = (float)f->x[c - members];
}

static void fill_pair(filling *f, cm_history *history, int division, int64_t i) {
    cm_memory_rows *r = f->rows;
    const cm_predictor_call *call = f->call;
    int hide[2] = {CM_HIDE_NONE, hidden(f, division, i)};
    for (int k = 0; k < 2; k++) {
        if (k == 1 && hide[k] == CM_HIDE_NONE) continue;
        int64_t row = division == 0 && k == 0 ? i : f->next++;
        fill_row(f, history, row, call->train[i], hide[k], f->base->held + i, call->n_train);
        r->label[row] = (double)call->label[call->train[i]];
        r->position[row] = i;
    }
}

/* The rows of what part p of a division holds out. */
static cm_status fill_part(filling *f, const cm_inner *inner, int division, int p, cm_error *error) {
    cm_history *history = NULL;
    int64_t n = cm_inner_list(inner, p, false, f->known);
    for (int64_t i = 0; i < n; i++) f->known[i] = f->call->train[f->known[i]];
    if (cm_stopped(f->call->runtime)) return cm_fail(error, CM_INTERRUPTED, NULL, NULL, NULL, "stopped");
    CM_TRY(cm_history_create(&history, f->call, f->known, n, error));
    for (int64_t i = 0; i < f->call->n_train; i++)
        if (inner->part[i] == p) fill_pair(f, history, division, i);
    cm_history_destroy(history);
    return CM_OK;
}

static cm_status fill_division(filling *f, int division, cm_error *error) {
    const cm_predictor_call *call = f->call;
    cm_inner inner;
    uint64_t seed = cm_rng_key((uint64_t)call->options->seed, KEY_DIVISION, (uint64_t)division);
    cm_status status = cm_inner_make(&inner, call->dataset, call->train, call->n_train, call->test,
                                     call->n_test, FOLDS, seed, error);
    for (int p = 0; p < inner.n_parts && status == CM_OK; p++)
        status = fill_part(f, &inner, division, p, error);
    cm_inner_clear(&inner);
    return status;
}

static cm_status fill_tests(filling *f, cm_error *error) {
    cm_history *history = NULL;
    const cm_predictor_call *call = f->call;
    CM_TRY(cm_history_create(&history, call, call->train, call->n_train, error));
    for (int64_t i = 0; i < call->n_test; i++)
        fill_row(f, history, f->rows->first_test + i, call->test[i], CM_HIDE_NONE, f->base->test + i,
                 call->n_test);
    cm_history_destroy(history);
    return CM_OK;
}

cm_status cm_memory_rows_make(cm_memory_rows *rows, const cm_predictor_call *call, const cm_memory_base *base,
                              bool labels, cm_error *error) {
    *rows = (cm_memory_rows){0};
    filling f = {.rows = rows, .call = call, .base = base, .labels = labels, .divisions = 1};
    while (f.divisions < MOST_DIVISIONS && (f.divisions + 1) * call->n_train <= ENOUGH_ROWS) f.divisions++;
    cm_status status = room(&f, error);
    for (int d = 0; d < f.divisions && status == CM_OK; d++) status = fill_division(&f, d, error);
    if (status == CM_OK) status = fill_tests(&f, error);
    cm_free(f.known);
    cm_free(f.x);
    return status;
}
