/* Where a model has seen molecules: a sketch of its training molecules that tells how near a new one lies.
 *
 * A molecule is the mean of its tokens, standardised and clipped as the network sees it; its sketch holds the
 * signs of 256 random projections (Charikar 2002), so that the share of equal bits gives the angle between
 * two molecules. A model keeps the sketches (32 bytes) of at most 1,024 training molecules of each side,
 * evenly thinned, and the first percentile of their similarity to their nearest neighbour among the others: a
 * molecule below that is further from the training set than nearly all of its members are from each other. */
#ifndef CM_MODEL_DOMAIN_H
#define CM_MODEL_DOMAIN_H

#include "model/features.h"

enum { CM_DOMAIN_WORDS = 4, CM_DOMAIN_MOST = 1024 };

typedef struct cm_domain {
    int64_t n;        /* molecules; 0: not known, nothing is flagged */
    uint64_t *bits;   /* [n, CM_DOMAIN_WORDS], owned */
    double threshold; /* cosine similarity */
} cm_domain;

cm_status cm_domain_create(cm_domain *domain, int64_t n, cm_error *error);
void cm_domain_clear(cm_domain *domain);

/* From the molecules that the pairs index[n] name on side. Fewer than 10 molecules give no domain. */
cm_status cm_domain_fit(cm_domain *domain, const cm_features *features, const cm_standard *standard,
                        double clip, const cm_dataset *dataset, int side, const int64_t *index, int64_t n,
                        cm_error *error);

/* Estimated cosine similarity of every entity of a side to its nearest training molecule:
 * nearest[n_entities]. */
cm_status cm_domain_nearest(const cm_domain *domain, const cm_features *features, const cm_standard *standard,
                            double clip, int side, double *nearest, cm_error *error);

#endif
