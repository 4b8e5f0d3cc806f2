/* The choice of a kernel model's hyper-parameters on inner folds of its training pairs. */
#ifndef CM_KERNEL_KERNEL_CHOICE_H
#define CM_KERNEL_KERNEL_CHOICE_H

#include "kernel/kernel_side.h"
#include "kernel/pair_solver.h"

/* Molecules that an inner fold holds out whole, so that the choice suits the question that is asked later. */
typedef enum cm_kernel_cold {
    CM_COLD_NONE = 0,
    CM_COLD_A = 1,
    CM_COLD_B = 2,
    CM_COLD_BOTH = 3
} cm_kernel_cold;

typedef struct cm_kernel_task {
    bool affinity;
    const cm_kernel_side *side; /* [2] */
    cm_pair_list pairs;         /* numbers of training molecules */
    const double *label;        /* [n] 0 or 1, or affinities */
    cm_kernel_cold cold;
    uint64_t seed;
    cm_team *team;
} cm_kernel_task;

typedef struct cm_kernel_choice {
    cm_kernel_shape shape[2];
    double ridge, loss; /* loss: of the inner folds; log loss after calibration, or mean squared error */
    int tried;          /* shapes */
    double *score;      /* [n] score of every pair in the inner fold that held it out; NaN: none did. Owned */
} cm_kernel_choice;

/* Climbs over the grids of the shapes, one parameter at a time; every shape is judged with the whole path of
 * ridges. Clear also after a failure. */
cm_status cm_kernel_choose(cm_kernel_choice *choice, const cm_kernel_task *task, cm_error *error);
void cm_kernel_choice_clear(cm_kernel_choice *choice);

/* What the ridge regresses on: labels -1 and 1 or affinities, less their mean, which comes back. */
double cm_kernel_targets(bool affinity, const double *label, const int64_t *index, int64_t n, double *target);

/* Conjugate gradients to a relative residual that is enough for predictions, for the given ridges. */
cm_ridge_path cm_kernel_path(const double *ridge, int count);

#endif
