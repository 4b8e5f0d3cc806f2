/* Extremely randomised trees (Geurts, Ernst, Wehenkel 2006) for means: classification with labels 0 and 1, or
 * regression.
 *
 * A node of n rows becomes a leaf when n < 2 * leaf or all labels are equal. Else up to `columns` columns
 * that are not constant in the node are drawn without replacement; each gets one cut, uniform between its
 * least and greatest value in the node; rows with value <= cut go left. Of the cuts that leave `leaf` rows or
 * more on each side the one with the greatest (sum of labels left)^2 / n left + the same right wins, which is
 * the greatest reduction of the squared error (for labels 0 and 1 also of the Gini impurity); of equals the
 * first drawn. A leaf's value is its mean label, a forest's score the mean over its trees. There is no
 * bootstrap.
 *
 * Every draw is a function of seed, tree and path to the node, and every tree is grown by one thread, so the
 * result does not depend on the team. */
#ifndef CM_TREES_FOREST_H
#define CM_TREES_FOREST_H

#include "base/fail.h"
#include "base/team.h"
#include "trees/table.h"

typedef struct cm_forest_options {
    int trees;
    int64_t columns; /* tried a node; 0: the square root of all, rounded */
    int64_t leaf;    /* fewest rows of a leaf, at least 1 */
    uint64_t seed;
} cm_forest_options;

typedef struct cm_forest cm_forest;

/* Grows a forest on rows index[n] (n >= 1, rows below 2^31) of table; label by row. */
cm_status cm_forest_fit(cm_forest **forest, const cm_forest_table *table, const double *label,
                        const int64_t *index, int64_t n, const cm_forest_options *options, cm_team *team,
                        cm_error *error);
void cm_forest_destroy(cm_forest *forest); /* NULL is allowed */

/* score[m] of rows index[m] of a table with the same columns. */
void cm_forest_scores(const cm_forest *forest, const cm_forest_table *table, const int64_t *index, int64_t m,
                      double *score, cm_team *team);

/* Nodes of all trees together. */
int64_t cm_forest_nodes(const cm_forest *forest);

#endif
