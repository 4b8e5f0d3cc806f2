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

typedef struct cm_boosting cm_boosting;

/* Fits rows index[n] (n >= 1, rows below 2^31) of table; label by row. */
cm_status cm_boosting_fit(cm_boosting **boosting, const cm_forest_table *table, const double *label,
                          const int64_t *index, int64_t n, const cm_boosting_options *options, cm_team *team,
                          cm_error *error);
void cm_boosting_destroy(cm_boosting *boosting); /* NULL is allowed */

/* F of rows index[m] of a table with the same columns, after each of rounds[stages], which ascend:
 * score[stages, m]. */
void cm_boosting_scores(const cm_boosting *boosting, const cm_forest_table *table, const int64_t *index,
                        int64_t m, const int *rounds, int stages, double *score, cm_team *team);

/* Nodes of all trees together. */
int64_t cm_boosting_nodes(const cm_boosting *boosting);

#endif
