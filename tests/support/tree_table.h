/* A made-up table for the tests of trees: a few columns of the rows themselves, a few of items that rows
 * share, and labels that follow the first column. */
#ifndef CM_TESTS_TREE_TABLE_H
#define CM_TESTS_TREE_TABLE_H

#include "base/rng.h"
#include "trees/table.h"
#include <stdbool.h>

enum { ROWS = 200, ITEMS = 17, OWN = 4, OF_ITEM = 3, WIDTH = OWN + OF_ITEM };

typedef struct fixture {
    float own[OWN][ROWS], of_item[OF_ITEM][ITEMS];
    int32_t item[ROWS];
    double label[ROWS];
    int64_t index[ROWS];
    cm_forest_table table;
} fixture;

/* The first own column has `fine` values, the others `coarse`, all in steps of 1/7; `scale` is what the first
 * one is divided by in the label. */
static void fixture_fill(fixture *f, uint64_t seed, bool binary, uint64_t fine, uint64_t coarse,
                         double scale) {
    for (int64_t i = 0; i < ROWS; i++) {
        for (int c = 0; c < OWN; c++)
            f->own[c][i] = (float)cm_rng_below(seed, (uint64_t)(i * 8 + c), c == 0 ? fine : coarse) / 7;
        f->item[i] = (int32_t)cm_rng_below(seed + 1, (uint64_t)i, ITEMS);
        double y = (double)f->own[0][i] / scale + 0.3 * cm_rng_normal(seed + 2, (uint64_t)i);
        f->label[i] = binary ? y > 0.5 : y;
        f->index[i] = i;
    }
    for (int c = 0; c < OF_ITEM; c++)
        for (int i = 0; i < ITEMS; i++)
            f->of_item[c][i] = (float)cm_rng_normal(seed + 3, (uint64_t)(c * ITEMS + i));
    f->table = (cm_forest_table){
        2, {{OWN, ROWS, &f->own[0][0], NULL}, {OF_ITEM, ITEMS, &f->of_item[0][0], f->item}}};
}

#endif
