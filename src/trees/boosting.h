/* Gradient-boosted regression trees (Friedman 2001) with second-order leaves and splits on histograms, for
 * labels 0 and 1 (logistic loss) or for means (squared loss).
 *
 * F0 is the mean label, or with the logistic loss ln((sum + 0.5) / (n - sum + 0.5)). Round t takes the
 * gradient g and the curvature h of every row's loss at F (squared: F - y and 1; logistic: p - y and p (1 -
 * p), p = 1 / (1 + e^-F)), draws each row and each column by itself, and grows one tree on them, best leaf
 * first: the open leaf and the cut with the greatest
 *
 *   GL^2 / (HL + ridge) + GR^2 / (HR + ridge) - G^2 / (H + ridge),      G, H: sums over drawn rows, left and
 * right
 *
 * are divided while that is above 0, up to `leaves` leaves; a side holds at least `leaf` drawn rows. Cuts lie
 * between bins (trees/bins.h); of equal gains the first leaf, the first column and the lowest cut win. A leaf
 * adds -rate G / (H + ridge) to F of its rows, drawn or not.
 *
 * Every draw is a function of seed, round and row or column, and every sum runs in an order that the rows
 * alone fix, so the result does not depend on the team. */
#ifndef CM_TREES_BOOSTING_H
#define CM_TREES_BOOSTING_H

#include "base/fail.h"
#include "base/team.h"
#include "trees/table.h"
#include <stdbool.h>

typedef struct cm_boosting_options {
    bool logistic;
    int rounds, leaves;   /* at least 1 */
    int64_t leaf;         /* fewest drawn rows of a leaf, at least 1 */
    double rate, ridge;   /* ridge > 0 */
    double columns, rows; /* probability with which each is drawn; 1: all */
    uint64_t seed;
} cm_boosting_options;

/* Grown trees as plain arrays, which can be kept in a model file. The nodes of tree t are start[t] ..
 * start[t + 1], the root first. An inner node sends a row with a value of `column` up to `cut` to node `left`
 * of its tree, others to the next one; a leaf has column CM_LEAF and gives `value`. */
enum { CM_LEAF = -1 };
typedef struct cm_boosting {
    int64_t width; /* columns of a table */
    int rounds;
    int64_t nodes;
    double base;            /* F0 */
    int64_t *start;         /* [rounds + 1], from 0 to nodes */
    int32_t *column, *left; /* [nodes] */
    float *cut;
    double *value;
} cm_boosting;

/* Fits rows index[n] (n >= 1, rows below 2^31) of table; label by row. */
cm_status cm_boosting_fit(cm_boosting **boosting, const cm_forest_table *table, const double *label,
                          const int64_t *index, int64_t n, const cm_boosting_options *options, cm_team *team,
                          cm_error *error);
void cm_boosting_destroy(cm_boosting *boosting); /* NULL is allowed */

/* Room for trees that a file holds, all zero; then the check of what was read: CM_DATA where a tree could
 * lead out of itself, round and round, or to a column that is none. */
cm_status cm_boosting_room(cm_boosting **boosting, int64_t width, int rounds, int64_t nodes, cm_error *error);
cm_status cm_boosting_check(const cm_boosting *boosting, cm_error *error);

/* Leaves the first rounds (1 up to all) of the trees. */
void cm_boosting_keep(cm_boosting *boosting, int rounds);

/* F of rows index[m] of a table with the same columns, after each of rounds[stages], which ascend:
 * score[stages, m]. */
void cm_boosting_scores(const cm_boosting *boosting, const cm_forest_table *table, const int64_t *index,
                        int64_t m, const int *rounds, int stages, double *score, cm_team *team);

#endif
