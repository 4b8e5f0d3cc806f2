/* What the known labels of a pair's molecules, and of molecules like them, say: label history by sequence. */
#ifndef CM_EVAL_HISTORY_H
#define CM_EVAL_HISTORY_H

#include "eval/predictor.h"
#include "eval/similarity.h"

/* Columns of the history of a pair (a, b), over known pairs (x, y) with labels:
 *   each side, exact:  shrunken mean label less the overall mean, log count, excess of the sum of labels over
 * the overall mean, excess / sqrt(count), tanh(excess), whether there is none; over the known pairs of this
 * molecule each side, alike:  mean, log mass and excess of the other molecules, weighted by similarity^2 and
 * ^8 both: mean and log mass over known pairs weighted by S(a, x)^p S(b, y)^q for four (p, q); product of the
 * two exact means */
enum { CM_HISTORY_EXACT = 6, CM_HISTORY_ALIKE = 7, CM_HISTORY_BOTH = 9 };
enum { CM_HISTORY_WIDTH = 2 * (CM_HISTORY_EXACT + CM_HISTORY_ALIKE) + CM_HISTORY_BOTH };

/* As if the known pairs of the exact molecule of A, of B, or of both were not known. */
enum { CM_HIDE_NONE = 0, CM_HIDE_A = 1, CM_HIDE_B = 2, CM_HIDE_BOTH = 3, CM_HIDES = 4 };

/* Where in a history the column stands that is 1 when side's molecule has no known pair. */
static inline int64_t cm_history_none(int side) {
    return side * (CM_HISTORY_EXACT + CM_HISTORY_ALIKE) + CM_HISTORY_EXACT - 1;
}

typedef struct cm_history cm_history;

/* Over the known pairs known[n]; only their labels are looked at. */
cm_status cm_history_create(cm_history **history, const cm_predictor_call *call, const int64_t *known,
                            int64_t n, cm_error *error);
void cm_history_destroy(cm_history *history);

/* out[CM_HIDES, CM_HISTORY_WIDTH] of a pair that is none of the known ones. */
void cm_history_rows(const cm_history *history, int64_t pair, double *out);

#endif
