/* How alike the molecules of a side are, for predictors that look at neighbours. Made once an evaluation. */
#ifndef CM_EVAL_SIMILARITY_H
#define CM_EVAL_SIMILARITY_H

#include "base/team.h"
#include "data/dataset.h"

/* value[side][i * n[side] + j]: how alike molecules i and j are (bio/profile.h); symmetric, 1 on the
 * diagonal, also of chains too short to be like another one. */
typedef struct cm_similarity {
    int64_t n[2];
    float *value[2];
} cm_similarity;

/* CM_INTERRUPTED when runtime asks to stop. */
cm_status cm_similarity_create(cm_similarity **similarity, const cm_dataset *dataset, cm_team *team,
                               const cm_runtime *runtime, cm_error *error);
void cm_similarity_destroy(cm_similarity *similarity);

static inline const float *cm_similarity_row(const cm_similarity *s, int side, int64_t i) {
    return s->value[side] + i * s->n[side];
}

#endif
