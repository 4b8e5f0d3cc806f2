/* Filling the columns that trees see. */
#include "eval/molecule_table.h"
#include "base/alloc.h"
#include "base/rng.h"
#include "eval/composition.h"
#include "model/kernel_inputs.h"
#include <math.h>
#include <string.h>

enum {
    LANDMARKS = 48,
    COMMON = 3,
    WIDEST_SPECTRUM = 400,
    CHAIN_COLUMNS = 2,
    MOST_COMPOSITION = 64,
    KEY_LANDMARK = 51
};

void cm_molecule_table_clear(cm_molecule_table *t) {
    for (int b = 0; b < CM_FOREST_BLOCKS; b++) {
        cm_free(t->value[b]);
        cm_free(t->item[b]);
    }
    cm_free(t->label);
}

static cm_molecule_type type_of(const cm_dataset *d, int side) {
    return side ? d->task->b : d->task->a;
}

/* ---- columns of a molecule ---- */

/* Whether a kernel's vectors are narrow enough to become columns as they are. */
static bool is_narrow(const cm_molecule_kernel *kernel) {
    return kernel->width <= WIDEST_SPECTRUM;
}

/* Wide vectors of small molecules: those of their features that several molecules have. */
static bool is_wide(const cm_molecule_kernel *kernel) {
    return !is_narrow(kernel) && kernel->types == 1U << CM_MOLECULE && !kernel->tanimoto &&
           kernel->width <= CM_MORGAN_WIDTH;
}

/* place[f]: the column of feature f of kernel k among those taken, -1: not taken. The number of columns. */
static int64_t place_features(const cm_kernel_features *features, int k, bool extended, int32_t *place) {
    const cm_molecule_kernel *kernel = features->kernel[k];
    int64_t width = 0, fewest = is_narrow(kernel) ? 0 : extended && is_wide(kernel) ? COMMON : INT64_MAX;
    memset(place, 0, (size_t)kernel->width * sizeof *place);
    for (int64_t e = 0; e < features->rows[k].start[features->n]; e++) place[features->rows[k].column[e]]++;
    for (int64_t f = 0; f < kernel->width; f++) place[f] = place[f] >= fewest ? (int32_t)width++ : -1;
    return width;
}

/* Each filler writes its columns of all molecules behind those that are there, and returns their end. */
static float *fill_composition(float *column, const cm_dataset *d, int side) {
    int64_t n = d->n_entities[side], width = cm_composition_width(type_of(d, side));
    double x[MOST_COMPOSITION];
    for (int64_t i = 0; i < n; i++) {
        cm_composition_describe(type_of(d, side), &d->entities[side][i], x);
        for (int64_t c = 0; c < width; c++) column[c * n + i] = (float)x[c];
    }
    return column + width * n;
}

/* The number of chains ('|' stands between two) and ln(1 + length of the longest). */
static float *fill_chains(float *column, const cm_dataset *d, int side) {
    int64_t n = d->n_entities[side];
    for (int64_t i = 0; i < n; i++) {
        const cm_entity *entity = &d->entities[side][i];
        int64_t chains = 1, length = 0, longest = 0;
        for (int64_t c = 0; c < entity->length; c++) {
            bool end = entity->text[c] == '|';
            chains += end;
            length = end ? 0 : length + 1;
            longest = length > longest ? length : longest;
        }
        column[i] = (float)chains;
        column[n + i] = (float)log1p((double)longest);
    }
    return column + CHAIN_COLUMNS * n;
}

static float *fill_spectra(float *column, const cm_kernel_features *features, bool extended, int32_t *place) {
    int64_t n = features->n;
    for (int k = 0; k < features->n_kernels; k++) {
        const cm_kernel_rows *rows = &features->rows[k];
        int64_t width = place_features(features, k, extended, place);
        for (int64_t i = 0; i < n && width > 0; i++)
            for (int64_t e = rows->start[i]; e < rows->start[i + 1]; e++)
                if (place[rows->column[e]] >= 0) column[place[rows->column[e]] * n + i] = rows->value[e];
        column += width * n;
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

/* ---- blocks ---- */

static cm_status add_block(cm_molecule_table *t, int64_t width, int64_t items, cm_error *error) {
    int b = t->forest.n_blocks;
    size_t cells, n = (size_t)t->call->dataset->n_pairs;
    if (!cm_size_mul((size_t)width, (size_t)items, &cells)) return cm_fail_memory(error, 0);
    t->value[b] = cm_new(cells, sizeof(float));
    t->item[b] = cm_new(n, sizeof(int32_t));
    if (!t->value[b] || !t->item[b]) return cm_fail_memory(error, cells * sizeof(float));
    t->forest.block[b] = (cm_forest_block){width, items, t->value[b], t->item[b]};
    t->forest.n_blocks++;
    return CM_OK;
}

static cm_status fill_side(cm_molecule_table *t, int side, const cm_kernel_features *features, bool extended,
                           int32_t *place, cm_error *error) {
    const cm_dataset *d = t->call->dataset;
    bool chains = extended && type_of(d, side) != CM_MOLECULE;
    int64_t composition = cm_composition_width(type_of(d, side)), before = chains ? CHAIN_COLUMNS : 0;
    t->end[CM_COLUMNS_LENGTH][side] = before + 1;
    t->end[CM_COLUMNS_COMPOSITION][side] = before + composition;
    int64_t width = before + composition + LANDMARKS;
    for (int k = 0; k < features->n_kernels; k++) width += place_features(features, k, extended, place);
    CM_TRY(add_block(t, width, d->n_entities[side], error));
    for (int64_t i = 0; i < d->n_pairs; i++) t->item[side][i] = d->pairs[i].entity[side];
    t->end[CM_COLUMNS_ALL][side] = width;
    float *column = t->value[side];
    if (chains) column = fill_chains(column, d, side);
    column = fill_spectra(fill_composition(column, d, side), features, extended, place);
    return fill_landmarks(column, t->call, side, error);
}

static cm_status add_side(cm_molecule_table *t, int side, const cm_kernel_features *features, bool extended,
                          cm_error *error) {
    int64_t widest = 1;
    for (int k = 0; k < features->n_kernels; k++)
        widest = features->kernel[k]->width > widest ? features->kernel[k]->width : widest;
    int32_t *place = cm_new((size_t)widest, sizeof *place);
    if (!place) return cm_fail_memory(error, (size_t)widest * sizeof *place);
    cm_status status = fill_side(t, side, features, extended, place, error);
    cm_free(place);
    return status;
}

static cm_status add_pairs(cm_molecule_table *t, const cm_pair_features *pair, cm_error *error) {
    const cm_dataset *d = t->call->dataset;
    int b = t->forest.n_blocks;
    int64_t distinct = 0;
    for (int64_t i = 0; i < d->n_pairs; i++)
        if (pair->number[i] >= distinct) distinct = pair->number[i] + 1;
    CM_TRY(add_block(t, pair->width, distinct, error));
    for (int set = 0; set < CM_COLUMN_SETS; set++) t->end[set][b] = pair->width;
    for (int64_t i = 0; i < d->n_pairs; i++) {
        int64_t tokens;
        const float *row = cm_pair_features_of(pair, i, &tokens);
        t->item[b][i] = (int32_t)pair->number[i];
        for (int64_t c = 0; c < pair->width; c++) t->value[b][c * distinct + pair->number[i]] = row[c];
    }
    return CM_OK;
}

cm_forest_table cm_molecule_table_columns(const cm_molecule_table *t, cm_column_set set) {
    cm_forest_table part = t->forest;
    for (int b = 0; b < part.n_blocks; b++) part.block[b].width = t->end[set][b];
    return part;
}

cm_status cm_molecule_table_make(cm_molecule_table *t, const cm_predictor_call *call, bool extended,
                                 cm_error *error) {
    const cm_dataset *d = call->dataset;
    const cm_kernel_features *features[2];
    *t = (cm_molecule_table){.call = call, .label = cm_new((size_t)d->n_pairs, sizeof *t->label)};
    if (!t->label) return cm_fail_memory(error, (size_t)d->n_pairs * sizeof *t->label);
    for (int64_t i = 0; i < d->n_pairs; i++) t->label[i] = (double)call->label[i];
    CM_TRY(cm_kernel_inputs_get(call->features->kernels, d, features, error));
    for (int side = 0; side < 2; side++) CM_TRY(add_side(t, side, features[side], extended, error));
    return extended && call->features->pair.width > 0 ? add_pairs(t, &call->features->pair, error) : CM_OK;
}
