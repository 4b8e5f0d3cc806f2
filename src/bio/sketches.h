/* How alike molecules are, all against all: sets of k-mers for RNA (k = 8) and protein (k = 4), of Morgan
 * fragments (radius 2, 2,048 columns) for small molecules.
 *
 * Sequences: c = shared k-mers / k-mers of the shorter one (containment: a fragment is like its whole), less
 * what chance gives, c' = (c - e) / (1 - e) with e = k-mers of the longer one / all k-mers there are; the
 * identity is estimated as c'^(1/k), the share of residues that would leave so many k-mers whole if
 * differences fell independently (Ondov et al. 2016 for the model). Fewer than 3 shared k-mers count as none,
 * unless they are all of the shorter one. Beyond MOST_CODES k-mers in all, every set keeps only those whose
 * hash is below a common bound (MinHash with a bound instead of a size, so that containment stays unbiased).
 * Small molecules: Tanimoto coefficient of the sets. Equal texts are 1 in any case. */
#ifndef CM_BIO_SKETCHES_H
#define CM_BIO_SKETCHES_H

#include "base/fail.h"
#include <crossmamba/tables.h>
#include <stdint.h>

typedef struct cm_sketches cm_sketches;

/* Sketches of n normalised texts of one type; the texts must outlive them. */
cm_status cm_sketches_create(cm_sketches **sketches, cm_molecule_type type, const char *const *texts,
                             int64_t n, cm_error *error);
void cm_sketches_destroy(cm_sketches *sketches);

/* similarity[n] of text i to every text, in [0, 1]; 1 for itself. count[n]: work space, zeros before and
 * after. Thread-safe with work spaces of their own. */
void cm_sketches_row(const cm_sketches *sketches, int64_t i, int32_t *count, float *similarity);

/* Connected components of "similarity >= threshold": group[n] numbers them from 0 in order of appearance. */
cm_status cm_sketches_components(const cm_sketches *sketches, double threshold, int32_t *group,
                                 int32_t *n_groups, cm_error *error);

#endif
