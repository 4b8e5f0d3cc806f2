/* Rows for a model on label history: training pairs as if they were tested, and the tested pairs. */
#ifndef CM_EVAL_MEMORY_ROWS_H
#define CM_EVAL_MEMORY_ROWS_H

#include "eval/history.h"
#include "train/inner.h"
#include "trees/forest.h"

/* The first n_train rows are the training pairs in their order, then come further rows of training pairs,
 * then the n_test tested pairs. Columns: the members' scores, then the history. */
typedef struct cm_memory_rows {
    int64_t rows, first_test, width;
    float *value;          /* [width][rows] */
    double *label;         /* [first_test] */
    int64_t *position;     /* [first_test] which training pair */
    cm_forest_table table; /* the same as a forest reads it */
} cm_memory_rows;

/* What goes in beside the history: scores of members, [members][n_train] and [members][n_test]. */
typedef struct cm_memory_base {
    int members;
    const double *held, *test;
} cm_memory_base;

/* The history of a training pair is that of a part of the training pairs from which it is held out together
 * with a tenth of the others (for tests on new molecules: with all pairs of its molecules), as the test holds
 * its pairs out. To leave out the pair alone would give its label away: what is missing from a molecule's sum
 * is the label itself. Small training parts are divided up to three times, each pair with a row for each; a
 * quarter of the pairs get one more row, as if molecule A, B or both were new (entity dropout). labels: false
 * leaves only the columns that say which pairs are listed. Clear also after a failure. */
cm_status cm_memory_rows_make(cm_memory_rows *rows, const cm_predictor_call *call, const cm_memory_base *base,
                              bool labels, cm_error *error);
void cm_memory_rows_clear(cm_memory_rows *rows);

#endif
