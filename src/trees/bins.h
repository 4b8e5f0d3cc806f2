/* The columns of a table cut into a few ordered bins each, so that a split is sought among sums of
 * bins. */
#ifndef CM_TREES_BINS_H
#define CM_TREES_BINS_H

#include "base/fail.h"
#include "base/team.h"
#include "trees/table.h"

enum { CM_BINS_MAX = 64 };

typedef struct cm_bins {
    int64_t width;
    int n_blocks;
    int32_t *count;                /* [width] bins of a column, at least 1 */
    int32_t *common;               /* [width] the bin of a column with the most rows */
    float *cut;                    /* [width, CM_BINS_MAX] bin b holds values above cut[b - 1] up to cut[b] */
    uint8_t *of[CM_FOREST_BLOCKS]; /* [width of the block, items] the bin of an item's value */
    int64_t first[CM_FOREST_BLOCKS]; /* column of the table with which a block begins */
} cm_bins;

/* Bins by what rows index[n] hold: a bin for every distinct value where there are at most CM_BINS_MAX, else
 * bins of about equally many rows. A cut is half way between two values of rows. Clear also after a failure.
 * The team's size changes no bit. */
cm_status cm_bins_make(cm_bins *bins, const cm_forest_table *table, const int64_t *index, int64_t n,
                       cm_team *team, cm_error *error);
void cm_bins_clear(cm_bins *bins);

/* The block of column c of the table. */
static inline int cm_bins_block(const cm_bins *bins, int64_t c) {
    int b = 0;
    while (b + 1 < bins->n_blocks && c >= bins->first[b + 1]) b++;
    return b;
}

#endif
