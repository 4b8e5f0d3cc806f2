/* The parts of an audit. A private part of eval/audit.c. */
#ifndef CM_EVAL_AUDIT_PARTS_H
#define CM_EVAL_AUDIT_PARTS_H

#include "data/dataset.h"
#include <crossmamba/audit.h>

/* Distinct pairs of the rows without contradictory ones, in order of appearance. */
typedef struct cm_audit_pairs {
    int64_t n;
    int64_t *row;         /* [n] the first row of each */
    int32_t *molecule[2]; /* [n] */
    double *label;        /* [n] affinity: the mean */
} cm_audit_pairs;

/* Near duplicates of each side, and the overlap of the given folds. */
cm_status cm_audit_molecules(cm_audit *audit, const cm_dataset *dataset, const double threshold[3],
                             const cm_runtime *runtime, cm_error *error);

/* The scores. */
cm_status cm_audit_predict(cm_audit *audit, const cm_dataset *dataset, const cm_audit_pairs *pairs,
                           uint64_t seed, const cm_runtime *runtime, cm_error *error);

#endif
