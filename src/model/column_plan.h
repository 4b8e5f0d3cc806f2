/* Which columns of molecules trees see (model/molecule_table.h): settled on training pairs, then the same for
 * every data set, and kept in the model file. */
#ifndef CM_MODEL_COLUMN_PLAN_H
#define CM_MODEL_COLUMN_PLAN_H

#include "bio/profile.h"
#include "data/dataset.h"
#include "kernel/kernel_features.h"

enum { CM_LANDMARKS = 48 };

typedef struct cm_column_side {
    cm_molecule_type type;
    int n_kernels;
    const cm_molecule_kernel *kernel[CM_KERNELS_MAX]; /* those of the type, in order */
    int64_t n_taken[CM_KERNELS_MAX]; /* features of a kernel that become columns, ascending */
    int32_t *taken[CM_KERNELS_MAX];
    /* of too few molecules fewer than CM_LANDMARKS; their counts lie one after the other */
    int n_landmarks;
    int64_t entries;
    int64_t *start;  /* [n_landmarks + 1] */
    int32_t *column; /* [entries] */
    float *count;
    cm_profile landmark[CM_LANDMARKS]; /* into these; not owned */
} cm_column_side;

typedef struct cm_column_plan {
    bool extended;
    int64_t pair_width; /* columns of the pair encoder; 0: none */
    cm_column_side side[2];
} cm_column_plan;

/* From training pairs index[n] of dataset, with its kernel features. Nothing of other pairs or molecules, and
 * no label, is looked at. Clear also after a failure. */
cm_status cm_column_plan_learn(cm_column_plan *plan, const cm_dataset *dataset,
                               const cm_kernel_features *const features[2], int64_t pair_width, bool extended,
                               const int64_t *index, int64_t n, uint64_t seed, cm_error *error);
/* One without landmarks and taken features. */
void cm_column_plan_begin(cm_column_plan *plan, const cm_task *task, int64_t pair_width, bool extended);
void cm_column_plan_clear(cm_column_plan *plan);

/* For what a file holds: room for landmarks of `entries` counts together and for n_taken[k] features of every
 * kernel, all zero; then, when they are filled, the check (CM_DATA) and the links of landmark. */
cm_status cm_column_side_room(cm_column_side *side, int n_landmarks, int64_t entries,
                              const int64_t n_taken[CM_KERNELS_MAX], cm_error *error);
cm_status cm_column_side_link(cm_column_side *side, cm_error *error);

/* Narrow kernels are taken whole; of some wide ones of small molecules (extended plans) the features that
 * three or more training molecules have; of others none. */
bool cm_column_whole(const cm_molecule_kernel *kernel);
bool cm_column_common(const cm_column_plan *plan, const cm_molecule_kernel *kernel);

#endif
