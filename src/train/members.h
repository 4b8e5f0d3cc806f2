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

/* Makes a model of its fitted members: weights, calibration and threshold, and into joined[pairs] its scores
 * of held-out pairs. */
typedef cm_status cm_members_join(cm_model *model, cm_members *members, double *joined,
                                  const cm_runtime *runtime, cm_error *error);

/* A model of a kind: fits every member named behind prefix to all pairs but one inner part, part after part,
 * and then to all pairs, and joins them. CM_DATA when the pairs are too few to divide.
 *
 * With a checkpoint_path the scores of finished parts are kept there after every part (a sealed file,
 * io/sealed.h), and a network has its own checkpoint beside it (cm_members_part_path): while it is fitted to
 * a part, and to all pairs until the run's end. So a run that resumes loses no network; other members are
 * fitted to all pairs again. CM_DATA when the file is damaged or of other data or options. */
cm_status cm_members_fit(cm_model **model, const cm_model_kind *kind, const char *prefix,
                         cm_members_join *join, const cm_fit_request *request, cm_team *team,
                         const cm_runtime *runtime, cm_error *error);

/* Where member m, a network, keeps its checkpoint; false: out of memory. */
bool cm_members_part_path(cm_buf *path, const char *checkpoint_path, int m);

#endif
