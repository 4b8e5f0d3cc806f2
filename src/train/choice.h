/* Choosing one of a few candidates (values of a hyper-parameter) on inner folds. */
#ifndef CM_TRAIN_CHOICE_H
#define CM_TRAIN_CHOICE_H

#include "train/inner.h"
#include <crossmamba/runtime.h>

typedef struct cm_choice {
    int candidates;
    int standard; /* the one for training parts too small to choose on */
    /* Fits pairs fit[n] and scores pairs target[m] with every candidate: score[candidate * m + i]. */
    cm_status (*score)(const void *context, const int64_t *fit, int64_t n, const int64_t *target, int64_t m,
                       double *score, cm_error *error);
    const void *context;
    bool as_scored; /* affinities are scored in their own units and stay so, without calibration */
} cm_choice;

/* The candidate with the lowest loss of inner folds (of equals the first), and what it gives each pair that
 * inner holds out: held[inner->n], not filled when inner has no parts. train[inner->n] are the pairs by their
 * numbers, label[inner->n] their labels. CM_INTERRUPTED when runtime asks to stop. */
cm_status cm_choice_make(const cm_choice *choice, const cm_inner *inner, bool affinity, const int64_t *train,
                         const double *label, const cm_runtime *runtime, int *best, double *held,
                         cm_error *error);

#endif
