/* Fitting the members of a model that is made of models, with what each says of pairs it was not fitted to.
 */
#ifndef CM_TRAIN_MEMBERS_H
#define CM_TRAIN_MEMBERS_H

#include "train/inner.h"
#include "train/learner.h"

typedef struct cm_members {
    int n;
    char name[CM_MEMBERS_MAX][CM_MEMBER_NAME];
    cm_inner inner;        /* parts of the request's pairs */
    double *label;         /* [pairs] */
    double *score, *value; /* [n, pairs] of each pair, by the member fitted without its inner part, before and
                              after the member's calibration */
} cm_members;

/* Fits every member named behind prefix to all pairs but one inner part, part after part, and to all pairs
 * into model, which is empty. Members write no checkpoints: an interrupted run begins again. CM_DATA when the
 * pairs are too few to divide. Clear also after a failure. */
cm_status cm_members_fit(cm_members *members, cm_model *model, const char *prefix,
                         const cm_fit_request *request, cm_team *team, const cm_runtime *runtime,
                         cm_error *error);
void cm_members_clear(cm_members *members);

#endif
