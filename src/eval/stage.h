/* Second stages: predictors over the held-out scores of other predictors, their members. */
#ifndef CM_EVAL_STAGE_H
#define CM_EVAL_STAGE_H

#include "eval/predictor.h"
#include "train/inner.h"
#include "train/learner.h"

/* "stack:A/B/C", "mean:A/B/C": A, B, C. "NAME+memory": NAME. "stack:A/B+memory", "mean:A/B+memory": A, B. The
 * members of a name, or 0 for a plain predictor. */
int cm_stage_members(const char *name, char member[CM_MEMBERS_MAX][CM_MEMBER_NAME]);

/* "mean:A/B/C" or "mean:A/B/C+memory". */
bool cm_stage_is_mean(const char *name);

/* What a stage gets of each member: logits of its calibrated probabilities, or affinities. */
struct cm_stage_input {
    const cm_inner *inner; /* NULL, as held is, for a predictor with `whole` */
    int n_members;
    const double *raw; /* [n_members, n_test] scores before calibration; of an affinity in its units too */
    const double *threshold; /* [n_members] */
    const double
        *held; /* [n_members, n_train] of each training pair, from the inner part that holds it out */
    const double *test; /* [n_members, n_test] from the whole training part */
};

/* Scores of members: [members][n_train] held out by the parts of inner, [members][n_test]. */
typedef struct cm_stack_scores {
    int members; /* at most CM_MEMBERS_MAX */
    const double *held, *test;
} cm_stack_scores;

/* The members' non-negative combination: held[n_train], made without the part that holds a pair out, and
 * test[n_test]. */
cm_status cm_stack_combine(const cm_predictor_call *call, const cm_inner *inner,
                           const cm_stack_scores *members, double *held, double *test, cm_error *error);

#endif
