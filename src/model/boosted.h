/* Boosted trees with the columns that they see: what the kind "boosting" holds. */
#ifndef CM_MODEL_BOOSTED_H
#define CM_MODEL_BOOSTED_H

#include "model/molecule_table.h"
#include "trees/boosting.h"

typedef struct cm_boosted {
    cm_column_plan plan;
    cm_column_set set;
    cm_boosting *trees;
} cm_boosted;

#endif
