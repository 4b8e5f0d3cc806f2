/* Groups of molecules that must not be divided: one a distinct text, or the connected components of
 * similarity. When both sides have the same type, equal (or near) texts of the two sides are one group. */
#ifndef CM_DATA_GROUPS_H
#define CM_DATA_GROUPS_H

#include "data/dataset.h"

typedef struct cm_groups {
    int32_t *of[2]; /* [n_entities[side]] */
    int32_t count;
} cm_groups;

/* threshold by molecule type; NULL: distinct texts. */
cm_status cm_groups_make(cm_groups *groups, const cm_dataset *dataset, const double threshold[3],
                         cm_error *error);
void cm_groups_clear(cm_groups *groups);

#endif
