/* Filling the columns that trees see. */
#include "model/molecule_table.h"
#include "base/alloc.h"
#include "model/composition.h"
#include "model/kernel_inputs.h"
#include <math.h>
#include <string.h>

enum { CHAIN_COLUMNS = 2, MOST_COMPOSITION = 64 };

void cm_molecule_table_clear(cm_molecule_table *t) {
    for (int b = 0; b < CM_FOREST_BLOCKS; b++) {
        cm_free(t->value[b]);
        cm_free(t->item[b]);
    }
}

/* A side of a data set, and the plan for it. */
typedef struct filling {
    const cm_column_plan *plan;
    const cm_column_side *side;
    const cm_entity *entities;
    int64_t n;
    const cm_kernel_features *features;
} filling;

/* ---- where columns stand ---- */

static bool has_chains(const cm_column_plan *plan, int side) {
    return plan->extended && plan->side[side].type != CM_MOLECULE;
}

static int64_t spectrum_width(const cm_column_side *side, int k) {
    return cm_column_whole(side->kernel[k]) ? side->kernel[k]->width : side->n_taken[k];
}

static int64_t side_width(const cm_column_plan *plan, int side, cm_column_set set) {
    const cm_column_side *own = &plan->side[side];
    int64_t before = has_chains(plan, side) ? CHAIN_COLUMNS : 0,
            width = before + cm_composition_width(own->type);
    if (set == CM_COLUMNS_LENGTH) return before + 1;
    for (int k = 0; set == CM_COLUMNS_ALL && k < own->n_kernels; k++) width += spectrum_width(own, k);
    return set == CM_COLUMNS_ALL ? width + CM_LANDMARKS : width;
}

int64_t cm_molecule_table_width(const cm_column_plan *plan, cm_column_set set) {
    int64_t pair = plan->extended ? plan->pair_width : 0;
    return side_width(plan, 0, set) + side_width(plan, 1, set) + pair;
}

cm_forest_table cm_molecule_table_columns(const cm_molecule_table *t, cm_column_set set) {
    cm_forest_table part = t->forest;
    for (int b = 0; b < part.n_blocks; b++) part.block[b].width = t->end[set][b];
    return part;
}

/* ---- columns of a molecule ---- */

/* Each filler writes its columns of all molecules behind those that are there, and returns their end. */
static float *fill_composition(float *column, const filling *f) {
    int64_t width = cm_composition_width(f->side->type);
    double x[MOST_COMPOSITION];
    for (int64_t i = 0; i < f->n; i++) {
        cm_composition_describe(f->side->type, &f->entities[i], x);
        for (int64_t c = 0; c < width; c++) column[c * f->n + i] = (float)x[c];
    }
    return column + width * f->n;
}

/* The number of chains ('|' stands between two) and ln(1 + length of the longest). */
static float *fill_chains(float *column, const filling *f) {
    for (int64_t i = 0; i < f->n; i++) {
        const cm_entity *entity = &f->entities[i];
        int64_t chains = 1, length = 0, longest = 0;
        for (int64_t c = 0; c < entity->length; c++) {
            bool end = entity->text[c] == '|';
            chains += end;
            length = end ? 0 : length + 1;
            longest = length > longest ? length : longest;
        }
        column[i] = (float)chains;
        column[f->n + i] = (float)log1p((double)longest);
    }
    return column + CHAIN_COLUMNS * f->n;
}

/* place[feature]: its column among those taken of kernel k, -1: not taken. */
static void place_features(const cm_column_side *side, int k, int32_t *place) {
    bool whole = cm_column_whole(side->kernel[k]);
    for (int64_t c = 0; c < side->kernel[k]->width; c++) place[c] = whole ? (int32_t)c : -1;
    for (int64_t c = 0; c < side->n_taken[k]; c++) place[side->taken[k][c]] = (int32_t)c;
}

static float *fill_spectra(float *column, const filling *f, int32_t *place) {
    for (int k = 0; k < f->side->n_kernels; k++) {
        const cm_kernel_rows *rows = &f->features->rows[k];
        int64_t width = spectrum_width(f->side, k);
        if (width == 0) continue;
        place_features(f->side, k, place);
        for (int64_t i = 0; i < f->n; i++)
            for (int64_t e = rows->start[i]; e < rows->start[i + 1]; e++)
                if (place[rows->column[e]] >= 0) column[place[rows->column[e]] * f->n + i] = rows->value[e];
        column += width * f->n;
    }
    return column;
}

/* Columns of landmarks that are missing stay 0. */
static cm_status fill_landmarks(float *column, const filling *f, float *dense, cm_error *error) {
    cm_molecule_type type = f->side->type;
    for (int64_t i = 0; i < f->n; i++) {
        cm_profile own;
        cm_status status =
            cm_profile_make(&own, type, f->entities[i].text, f->entities[i].length, dense, error);
        if (status == CM_OK) {
            cm_profile_spread(&own, dense);
            for (int l = 0; l < f->side->n_landmarks; l++)
                column[l * f->n + i] = cm_profile_alike(type, dense, own.norm, &f->side->landmark[l]);
            cm_profile_wipe(&own, dense);
        }
        cm_profile_clear(&own);
        CM_TRY(status);
    }
    return CM_OK;
}

/* ---- blocks ---- */

static cm_status add_block(cm_molecule_table *t, int64_t width, int64_t items, int64_t pairs,
                           cm_error *error) {
    int b = t->forest.n_blocks;
    size_t cells;
    if (!cm_size_mul((size_t)width, (size_t)items, &cells)) return cm_fail_memory(error, 0);
    t->value[b] = cm_new(cells, sizeof(float));
    t->item[b] = cm_new((size_t)pairs, sizeof(int32_t));
    if (!t->value[b] || !t->item[b]) return cm_fail_memory(error, cells * sizeof(float));
    t->forest.block[b] = (cm_forest_block){width, items, t->value[b], t->item[b]};
    t->forest.n_blocks++;
    return CM_OK;
}

static cm_status fill_side(float *column, int side, const filling *f, cm_error *error) {
    int64_t widest = 1;
    for (int k = 0; k < f->side->n_kernels; k++)
        widest = f->side->kernel[k]->width > widest ? f->side->kernel[k]->width : widest;
    size_t room = (size_t)cm_profile_width(f->side->type);
    int32_t *place = cm_new((size_t)widest, sizeof *place);
    float *dense = cm_new(room, sizeof *dense);
    cm_status status = place && dense ? CM_OK : cm_fail_memory(error, (size_t)widest * sizeof *place);
    if (status == CM_OK) {
        if (has_chains(f->plan, side)) column = fill_chains(column, f);
        column = fill_spectra(fill_composition(column, f), f, place);
        status = fill_landmarks(column, f, dense, error);
    }
    cm_free(place);
    cm_free(dense);
    return status;
}

static cm_status add_side(cm_molecule_table *t, const cm_column_plan *plan, const cm_dataset *d, int side,
                          const cm_kernel_features *features, cm_error *error) {
    filling f = {plan, &plan->side[side], d->entities[side], d->n_entities[side], features};
    for (int set = 0; set < CM_COLUMN_SETS; set++)
        t->end[set][side] = side_width(plan, side, (cm_column_set)set);
    CM_TRY(add_block(t, t->end[CM_COLUMNS_ALL][side], f.n, d->n_pairs, error));
    for (int64_t i = 0; i < d->n_pairs; i++) t->item[side][i] = d->pairs[i].entity[side];
    return fill_side(t->value[side], side, &f, error);
}

static cm_status add_pairs(cm_molecule_table *t, const cm_dataset *d, const cm_pair_features *pair,
                           cm_error *error) {
    int b = t->forest.n_blocks;
    int64_t distinct = 0;
    for (int64_t i = 0; i < d->n_pairs; i++)
        if (pair->number[i] >= distinct) distinct = pair->number[i] + 1;
    CM_TRY(add_block(t, pair->width, distinct, d->n_pairs, error));
    for (int set = 0; set < CM_COLUMN_SETS; set++) t->end[set][b] = pair->width;
    for (int64_t i = 0; i < d->n_pairs; i++) {
        int64_t tokens;
        const float *row = cm_pair_features_of(pair, i, &tokens);
        t->item[b][i] = (int32_t)pair->number[i];
        for (int64_t c = 0; c < pair->width; c++) t->value[b][c * distinct + pair->number[i]] = row[c];
    }
    return CM_OK;
}

cm_status cm_molecule_table_make(cm_molecule_table *t, const cm_column_plan *plan, const cm_dataset *dataset,
                                 const cm_features *features, cm_error *error) {
    const cm_kernel_features *kernels[2];
    *t = (cm_molecule_table){0};
    CM_TRY(cm_kernel_inputs_get(features->kernels, dataset, kernels, error));
    for (int side = 0; side < 2; side++) CM_TRY(add_side(t, plan, dataset, side, kernels[side], error));
    return plan->extended && plan->pair_width > 0 ? add_pairs(t, dataset, &features->pair, error) : CM_OK;
}
