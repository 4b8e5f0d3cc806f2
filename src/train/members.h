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

/* Fits every member named behind prefix to all pairs but one inner part, part after part, and then to all
 * pairs into model, which is empty. CM_DATA when the pairs are too few to divide. Clear also after a failure.
 *
 * With a checkpoint_path the scores of finished parts are kept there after every part (a sealed file,
 * io/sealed.h), and a network has its own checkpoint beside it (cm_members_part_path): while it is fitted to
 * a part, and to all pairs until the run's end. So a run that resumes loses no network; other members are
 * fitted to all pairs again. CM_DATA when the file is damaged or of other data or options. */
cm_status cm_members_fit(cm_members *members, cm_model *model, const char *prefix,
                         const cm_fit_request *request, cm_team *team, const cm_runtime *runtime,
                         cm_error *error);
void cm_members_clear(cm_members *members);

/* Where member m, a network, keeps its checkpoint; false: out of memory. */
bool cm_members_part_path(cm_buf *path, const char *checkpoint_path, int m);

#endif
