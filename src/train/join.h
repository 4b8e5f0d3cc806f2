/* The non-negative combination of held-out scores (Wolpert 1992, Breiman 1996). */
#ifndef CM_TRAIN_JOIN_H
#define CM_TRAIN_JOIN_H

#include "model/network.h"
#include "train/inner.h"

/* score = offset + sum of weight[m] * x[m], weights not negative */
typedef struct cm_join {
    int members;
    double weight[CM_PARTS_MAX], offset;
} cm_join;

/* held[members, n]: of each training pair by each member that was trained without it; label[n]. The
 * combination fitted to all pairs into *join, and into out[n] what combinations that were fitted without a
 * pair's part give it. */
cm_status cm_join_fit(cm_join *join, bool affinity, const double *held, int members, const double *label,
                      const cm_inner *inner, double *out, cm_error *error);

double cm_join_score(const cm_join *join, const double *x);

#endif
