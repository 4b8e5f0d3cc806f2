/* The feature vectors that kernel models need of the molecules of a data set, made at first use and then
 * shared: the trainings of an evaluation run at the same time over the same molecules. */
#ifndef CM_MODEL_KERNEL_INPUTS_H
#define CM_MODEL_KERNEL_INPUTS_H

#include "data/dataset.h"
#include "kernel/kernel_features.h"

typedef struct cm_kernel_inputs cm_kernel_inputs;

cm_kernel_inputs *cm_kernel_inputs_create(void); /* NULL: out of memory */
void cm_kernel_inputs_destroy(cm_kernel_inputs *inputs);

/* features[side] of the entities of dataset, always the same one; valid until destroy. Thread-safe. */
cm_status cm_kernel_inputs_get(cm_kernel_inputs *inputs, const cm_dataset *dataset,
                               const cm_kernel_features *features[2], cm_error *error);

#endif
