/* Cutting columns into bins. */
#include "trees/bins.h"
#include "base/alloc.h"
#include <stdlib.h>

enum { GRAIN = 16 };

/* A value of a column and the rows that have it. */
typedef struct held {
    float value;
    int64_t rows;
} held;

typedef struct binning {
    cm_bins *bins;
    const cm_forest_table *table;
    int64_t *rows[CM_FOREST_BLOCKS]; /* [items] how many of the n rows read an item */
    int64_t n;
    cm_status *status; /* [width] */
} binning;

static int by_value(const void *a, const void *b) {
    float x = ((const held *)a)->value, y = ((const held *)b)->value;
    return (x > y) - (x < y);
}

/* The distinct values of a column in order; the count. */
static int64_t list_values(const float *value, const int64_t *rows, int64_t items, held *list) {
    int64_t n = 0, distinct = 0;
    for (int64_t i = 0; i < items; i++)
        if (rows[i] > 0) list[n++] = (held){value[i], rows[i]};
    qsort(list, (size_t)n, sizeof *list, by_value);
    for (int64_t i = 0; i < n; i++) {
        if (distinct > 0 && list[distinct - 1].value == list[i].value)
            list[distinct - 1].rows += list[i].rows;
        else
            list[distinct++] = list[i];
    }
    return distinct;
}

/* Half way, but below the upper value. */
static float between(float low, float high) {
    float middle = (float)(((double)low + (double)high) / 2);
    return middle < high ? middle : low;
}

/* Fills cut; the number of bins. */
static int32_t cut_values(const held *list, int64_t distinct, int64_t n, float *cut) {
    int32_t bins = 1;
    int64_t before = 0, last = 0;
    for (int64_t i = 0; i < distinct; i++) {
        int64_t share = distinct <= CM_BINS_MAX ? i : before * CM_BINS_MAX / n;
        if (i > 0 && share != last) cut[bins++ - 1] = between(list[i - 1].value, list[i].value);
        last = share;
        before += list[i].rows;
    }
    return bins;
}

static uint8_t find_bin(const float *cut, int32_t bins, float value) {
    int32_t low = 0, high = bins - 1;
    while (low < high) {
        int32_t middle = (low + high) / 2;
        if (value <= cut[middle])
            high = middle;
        else
            low = middle + 1;
    }
    return (uint8_t)low;
}

/* The first of the fullest bins. */
static int32_t find_common(const uint8_t *of, const int64_t *rows, int64_t items) {
    int64_t count[CM_BINS_MAX] = {0};
    int32_t most = 0;
    for (int64_t i = 0; i < items; i++) count[of[i]] += rows[i];
    for (int32_t b = 1; b < CM_BINS_MAX; b++) most = count[b] > count[most] ? b : most;
    return most;
}

static bool bin_column(const binning *w, int64_t c) {
    cm_bins *bins = w->bins;
    int b = cm_bins_block(bins, c);
    const cm_forest_block *block = &w->table->block[b];
    const float *value = block->value + (c - bins->first[b]) * block->items;
    held *list = cm_new((size_t)block->items, sizeof *list);
    if (!list) return false;
    float *cut = bins->cut + c * CM_BINS_MAX;
    int64_t distinct = list_values(value, w->rows[b], block->items, list);
    bins->count[c] = cut_values(list, distinct, w->n, cut);
    uint8_t *of = bins->of[b] + (c - bins->first[b]) * block->items;
    for (int64_t i = 0; i < block->items; i++) of[i] = find_bin(cut, bins->count[c], value[i]);
    bins->common[c] = find_common(of, w->rows[b], block->items);
    cm_free(list);
    return true;
}

static void bin_columns(void *context, int64_t begin, int64_t end, int member) {
    (void)member;
    binning *w = context;
    for (int64_t c = begin; c < end; c++) w->status[c] = bin_column(w, c) ? CM_OK : CM_MEMORY;
}

static bool make_room(binning *w, const int64_t *index) {
    cm_bins *bins = w->bins;
    size_t width = (size_t)cm_forest_width(w->table);
    bool done = true;
    for (int b = 0; b < w->table->n_blocks; b++) {
        const cm_forest_block *block = &w->table->block[b];
        bins->first[b] = bins->width;
        bins->width += block->width;
        bins->of[b] = cm_new((size_t)block->width * (size_t)block->items, 1);
        w->rows[b] = cm_new((size_t)block->items, sizeof *w->rows[b]);
        done = done && bins->of[b] && w->rows[b];
        for (int64_t i = 0; i < w->n && done; i++)
            w->rows[b][block->item ? block->item[index[i]] : index[i]]++;
    }
    bins->count = cm_new(width, sizeof *bins->count);
    bins->common = cm_new(width, sizeof *bins->common);
    bins->cut = cm_new(width * CM_BINS_MAX, sizeof *bins->cut);
    w->status = cm_new(width, sizeof *w->status);
    return done && bins->count && bins->common && bins->cut && w->status;
}

cm_status cm_bins_make(cm_bins *bins, const cm_forest_table *table, const int64_t *index, int64_t n,
                       cm_team *team, cm_error *error) {
    *bins = (cm_bins){.n_blocks = table->n_blocks};
    binning w = {.bins = bins, .table = table, .n = n};
    bool done = make_room(&w, index);
    if (done) cm_team_for(team, bins->width, GRAIN, bin_columns, &w);
    for (int64_t c = 0; done && c < bins->width; c++) done = w.status[c] == CM_OK;
    for (int b = 0; b < table->n_blocks; b++) cm_free(w.rows[b]);
    cm_free(w.status);
    return done ? CM_OK : cm_fail_memory(error, (size_t)bins->width * CM_BINS_MAX * sizeof(float));
}

void cm_bins_clear(cm_bins *bins) {
    for (int b = 0; b < CM_FOREST_BLOCKS; b++) cm_free(bins->of[b]);
    cm_free(bins->count);
    cm_free(bins->common);
    cm_free(bins->cut);
    *bins = (cm_bins){0};
}
