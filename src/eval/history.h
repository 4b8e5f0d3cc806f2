/* What the known labels of a pair's molecules, and of molecules like them, say: label history by sequence.
 * The columns are the rows of history_columns.def. */
#ifndef CM_EVAL_HISTORY_H
#define CM_EVAL_HISTORY_H

#include "eval/factors.h"
#include "eval/predictor.h"

/* Similarities are used as S^2 (broad) and S^8 (close relatives). */
enum { CM_HISTORY_POWERS = 2 };

/* As if the known pairs of the exact molecule of A, of B, or of both were not known. */
enum { CM_HIDE_NONE = 0, CM_HIDE_A = 1, CM_HIDE_B = 2, CM_HIDE_BOTH = 3 };

/* What is known of one side's molecules. An excess is a sum of labels less the mean of all known labels. */
typedef struct cm_history_side {
    int64_t n;
    double *count, *excess;                                   /* [n] over the molecule's known pairs */
    double *mass[CM_HISTORY_POWERS], *kin[CM_HISTORY_POWERS]; /* [n] the same over other molecules, by S^p */
    int64_t *start;   /* [n + 1] known pairs of molecule i: start[i] .. start[i + 1] */
    int32_t *partner; /* [known] */
    double *value;    /* [known] excess of the pair */
    double *norm[2];  /* [n] of the row of excesses; of the row of ones */
    double *power[CM_HISTORY_POWERS], *dense[2]; /* work space: [n] each */
} cm_history_side;

typedef struct cm_history {
    const cm_predictor_call *call;
    int64_t n;
    double mean;
    cm_history_side side[2];
    cm_factors factors[2]; /* of the matrix of excesses, A by B; of the matrix of ones */
} cm_history;

/* Sums over some known pairs: how much weight, and the weighted excess. */
typedef struct cm_history_sum {
    double mass, excess;
} cm_history_sum;

/* The greatest weight among some known pairs: 0 those with a label at most the mean, 1 those above; 0: none.
 */
typedef struct cm_history_best {
    double weight[2];
} cm_history_best;

/* One pair (a, b) as the columns see it, some known pairs perhaps hidden. */
typedef struct cm_history_view {
    const cm_history *history;
    int32_t molecule[2];
    int hide;
    /* both[p][q]: over known (x, y), weights S(a, x)^p S(b, y)^q */
    cm_history_sum both[CM_HISTORY_POWERS][CM_HISTORY_POWERS];
    /* shared[0][p]: over the known pairs (x, b) of this very b, weights S(a, x)^p; shared[1][p]: of this a */
    cm_history_sum shared[2][CM_HISTORY_POWERS];
    /* walk[0]: over known (x, b), weight the cosine of the rows of labels (ones) of a and x, mass the sum of
     * its absolute values; walk[1]: over known (a, y) */
    cm_history_sum walk[2], listed[2];
    /* over all known (x, y), weight S(a, x) S(b, y); over known (x, b), S(a, x); over known (a, y), S(b, y)
     */
    cm_history_best nearest, nearest_shared[2];
} cm_history_view;

/* One row of the table: some columns and their formula. */
typedef struct cm_history_columns {
    const char *name, *formula;
    bool labels; /* looks at labels; false: only at which pairs are listed */
    int width;
    void (*fill)(const cm_history_view *view, double *x); /* [width] */
} cm_history_columns;

#define CM_HISTORY_ROW(name) extern const cm_history_columns cm_history_##name;
#include "eval/history_columns.def"
#undef CM_HISTORY_ROW

/* Over the pairs known[n] of a call; only their labels are looked at. Keeps call, not known. */
cm_status cm_history_create(cm_history **history, const cm_predictor_call *call, const int64_t *known,
                            int64_t n, cm_error *error);
void cm_history_destroy(cm_history *history); /* NULL is allowed */

/* Runs the rows of the table over a view: x[cm_history_width(labels)]. */
void cm_history_fill(const cm_history_view *view, bool labels, double *x);

/* Columns of the whole table, or of the rows that see no label. */
int64_t cm_history_width(bool labels);

/* x[cm_history_width(labels)] of a pair that is none of the known ones. Uses the history's work space. */
void cm_history_row(cm_history *history, int64_t pair, int hide, bool labels, double *x);

#endif
