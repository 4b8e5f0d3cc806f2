/* Learners: the ways to fit a model that can be kept in a file and score new pairs. cm_train writes their
 * models, and an evaluation compares them (eval/trained_predictor.c): both call the same fit. What the model
 * then does (score, file, card) is its kind's business (model/model_kind.h). */
#ifndef CM_TRAIN_LEARNER_H
#define CM_TRAIN_LEARNER_H

#include "train/fit.h"
#include <crossmamba/tables.h>

enum { CM_MEMBERS_MAX = CM_PARTS_MAX, CM_MEMBER_NAME = CM_PART_NAME };

typedef struct cm_learner {
    const char *name, *help;
    const char *prefix; /* of a learner that joins others, whose names follow; name is then a pattern */
    /* Row i of a learner that stands for several names (0 past the end); NULL: it has the one name above. */
    int (*row)(int i, cm_table_row *row);
    /* A pure function of the request: neither team nor resuming changes a bit. */
    cm_status (*fit)(cm_model **model, const cm_fit_request *request, cm_team *team,
                     const cm_runtime *runtime, cm_error *error);
} cm_learner;

#define CM_LEARNER_ROW(name) extern const cm_learner cm_learner_##name;
#include "train/learners.def"

/* cm_learner_row (crossmamba/tables.h) lists the plain ones, cm_learner_join_row the others. */
int cm_learner_join_row(int i, cm_table_row *row);

/* The learner of a name: that of a row, "network" (the network of the options), or one with a prefix and
 * plain names behind it. CM_USAGE lists the names. */
cm_status cm_learner_find(const cm_learner **learner, const char *name, cm_error *error);

/* "stack:A/B/C" with prefix "stack:": A, B, C in member; their number, 0 for a name without the prefix,
 * CM_MEMBERS_MAX + 1 when there are too many. end: where the name stops, NULL: at its NUL. */
int cm_member_names(const char *prefix, const char *name, const char *end,
                    char member[CM_MEMBERS_MAX][CM_MEMBER_NAME]);

#endif
