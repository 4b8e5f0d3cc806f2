/* Rows of numbers as trees see them, kept once where several rows share them. */
#ifndef CM_TREES_TABLE_H
#define CM_TREES_TABLE_H

#include <stdint.h>

/* Columns that belong together: value[width][items], column by column. Row r reads item[r], or r itself when
 * item is NULL. So columns that describe a molecule stand there once a molecule, not once a pair. */
typedef struct cm_forest_block {
    int64_t width, items;
    const float *value;
    const int32_t *item;
} cm_forest_block;

enum { CM_FOREST_BLOCKS = 4 };

/* The blocks' columns side by side; all finite. Not owned. */
typedef struct cm_forest_table {
    int n_blocks;
    cm_forest_block block[CM_FOREST_BLOCKS];
} cm_forest_table;

/* One column, with the block's way from rows to items. */
typedef struct cm_forest_column {
    const float *value;
    const int32_t *item;
    int block;
} cm_forest_column;

static inline int64_t cm_forest_width(const cm_forest_table *table) {
    int64_t width = 0;
    for (int b = 0; b < table->n_blocks; b++) width += table->block[b].width;
    return width;
}

static inline cm_forest_column cm_forest_column_of(const cm_forest_table *table, int64_t c) {
    int b = 0;
    for (; c >= table->block[b].width; b++) c -= table->block[b].width;
    const cm_forest_block *block = &table->block[b];
    return (cm_forest_column){block->value + c * block->items, block->item, b};
}

static inline float cm_forest_cell(cm_forest_column column, int64_t row) {
    return column.value[column.item ? column.item[row] : row];
}

#endif
