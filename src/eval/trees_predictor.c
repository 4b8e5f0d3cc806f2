/* "trees": extremely randomised trees on what is known of each molecule by itself: length, composition,
 * spectra of short words, and similarity to training molecules drawn at random (landmarks). */
#include "base/alloc.h"
#include "base/log.h"
#include "base/rng.h"
#include "eval/choice.h"
#include "eval/composition.h"
#include "model/kernel_inputs.h"
#include "trees/forest.h"
#include <math.h>

enum { TREES = 200, LEAF = 2, LANDMARKS = 48, WIDEST_SPECTRUM = 400, KEY_LANDMARK = 51, KEY_FOREST };

typedef struct table {
    const cm_predictor_call *call;
    float *value[2];  /* [columns][molecules] */
    int32_t *item[2]; /* [n_pairs] */
    double *label;    /* [n_pairs] */
    cm_forest_table forest;
} table;

static void table_clear(table *t) {
    for (int side = 0; side < 2; side++) {
        cm_free(t->value[side]);
        cm_free(t->item[side]);
    }
    cm_free(t->label);
}

/* Whether a kernel's vectors are narrow enough to become columns as they are. */
static bool is_narrow(const cm_molecule_kernel *kernel) {
    return kernel->width <= WIDEST_SPECTRUM;
}

static int64_t spectra_width(const cm_kernel_features *features) {
    int64_t width = 0;
    for (int k = 0; k < features->n_kernels; k++)
        width += is_narrow(features->kernel[k]) ? features->kernel[k]->width : 0;
    return width;
}

/* Each filler writes its columns of all molecules behind those that are there, and returns their end. */
static float *fill_composition(float *column, const cm_dataset *d, int side) {
    cm_molecule_type type = side ? d->task->b : d->task->a;
    int64_t n = d->n_entities[side], width = cm_composition_width(type);
    double x[64];
    for (int64_t i = 0; i < n; i++) {
        cm_composition_describe(type, &d->entities[side][i], x);
        for (int64_t c = 0; c < width; c++) column[c * n + i] = (float)x[c];
    }
    return column + width * n;
}

static float *fill_spectra(float *column, const cm_kernel_features *features) {
    int64_t n = features->n;
    for (int k = 0; k < features->n_kernels; k++) {
        const cm_kernel_rows *rows = &features->rows[k];
        if (!is_narrow(features->kernel[k])) continue;
        for (int64_t i = 0; i < n; i++)
            for (int64_t e = rows->start[i]; e < rows->start[i + 1]; e++)
                column[rows->column[e] * n + i] = rows->value[e];
        column += features->kernel[k]->width * n;
    }
    return column;
}

/* The landmarks are those molecules of training pairs that come first in a random order; of too few, columns
 * stay 0. */
static cm_status fill_landmarks(float *column, const cm_predictor_call *call, int side, cm_error *error) {
    int64_t n = call->dataset->n_entities[side], taken = 0;
    int64_t *order = cm_new((size_t)n, sizeof *order);
    bool *trains = cm_new((size_t)n, sizeof *trains);
    for (int64_t i = 0; order && trains && i < n; i++) order[i] = i;
    for (int64_t i = 0; order && trains && i < call->n_train; i++)
        trains[call->dataset->pairs[call->train[i]].entity[side]] = true;
    if (order && trains)
        cm_rng_shuffle(cm_rng_key((uint64_t)call->options->seed, KEY_LANDMARK, (uint64_t)side), order, n);
    for (int64_t i = 0; order && trains && i < n && taken < LANDMARKS; i++) {
        if (!trains[order[i]]) continue;
        const float *row = cm_similarity_row(call->similarity, side, order[i]);
        for (int64_t m = 0; m < n; m++) column[taken * n + m] = row[m];
        taken++;
    }
    bool done = order && trains;
    cm_free(order);
    cm_free(trains);
    return done ? CM_OK : cm_fail_memory(error, (size_t)n * 9);
}

static cm_status fill_side(table *t, int side, const cm_kernel_features *features, cm_error *error) {
    const cm_dataset *d = t->call->dataset;
    int64_t n = d->n_entities[side];
    int64_t width =
        cm_composition_width(side ? d->task->b : d->task->a) + spectra_width(features) + LANDMARKS;
    size_t cells;
    if (!cm_size_mul((size_t)width, (size_t)n, &cells)) return cm_fail_memory(error, 0);
    t->value[side] = cm_new(cells, sizeof(float));
    t->item[side] = cm_new((size_t)d->n_pairs, sizeof(int32_t));
    if (!t->value[side] || !t->item[side]) return cm_fail_memory(error, cells * sizeof(float));
    for (int64_t i = 0; i < d->n_pairs; i++) t->item[side][i] = d->pairs[i].entity[side];
    t->forest.block[side] = (cm_forest_block){width, n, t->value[side], t->item[side]};
    return fill_landmarks(fill_spectra(fill_composition(t->value[side], d, side), features), t->call, side,
                          error);
}

static cm_status table_make(table *t, const cm_predictor_call *call, cm_error *error) {
    const cm_dataset *d = call->dataset;
    *t = (table){.call = call, .label = cm_new((size_t)d->n_pairs, sizeof *t->label)};
    if (!t->label) return cm_fail_memory(error, (size_t)d->n_pairs * sizeof *t->label);
    for (int64_t i = 0; i < d->n_pairs; i++) t->label[i] = (double)call->label[i];
    t->forest.n_blocks = 2;
    const cm_kernel_features *features[2];
    CM_TRY(cm_kernel_inputs_get(call->features->kernels, d, features, error));
    for (int side = 0; side < 2; side++) CM_TRY(fill_side(t, side, features[side], error));
    return CM_OK;
}

static cm_status score(const void *context, const int64_t *fit, int64_t n, const int64_t *target, int64_t m,
                       double *out, cm_error *error) {
    const table *t = context;
    cm_forest *forest = NULL;
    cm_forest_options options = {
        .trees = TREES, .leaf = LEAF, .seed = cm_rng_key((uint64_t)t->call->options->seed, KEY_FOREST, 0)};
    CM_TRY(cm_forest_fit(&forest, &t->forest, t->label, fit, n, &options, NULL, error));
    cm_forest_scores(forest, &t->forest, target, m, out, NULL);
    cm_forest_destroy(forest);
    for (int64_t i = 0; i < m && !t->call->dataset->task->affinity; i++)
        out[i] = log((out[i] + 0.01) / (1.01 - out[i]));
    return CM_OK;
}

static cm_status run(const cm_predictor_call *call, cm_error *error) {
    table t;
    cm_choice choice = {.candidates = 1, .score = score, .context = &t};
    cm_status status = table_make(&t, call, error);
    if (status == CM_OK) status = cm_choice_run(&choice, call, error);
    table_clear(&t);
    return status;
}

const cm_predictor cm_predictor_trees = {
    .name = "trees",
    .help = "extremely randomised trees on composition, short words and similarity to training molecules",
    .serves = CM_SERVES_ALL,
    .kept = true,
    .similarity = true,
    .run = run,
};
