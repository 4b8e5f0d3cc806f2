/* Profiles: what a molecule is made of, as sparse counts, and how alike two of them are.
 *
 * The alikeness is in [0, 1]: the cosine of the k-mer counts (RNA k = 6 over 4 nucleotides, protein k = 3
 * over 20 amino acids; 0 where a chain is shorter), or for small molecules the Tanimoto coefficient sum min /
 * sum max of Morgan fingerprints of 1,024 columns. It is symmetric to the last bit. */
#ifndef CM_BIO_PROFILE_H
#define CM_BIO_PROFILE_H

#include "base/fail.h"
#include <crossmamba/tables.h>
#include <stdint.h>

/* The non-zero counts of one molecule, columns ascending. */
typedef struct cm_profile {
    int64_t n;
    int32_t *column;
    float *count;
    double norm; /* of the counts (words) or their sum (fingerprints) */
} cm_profile;

/* Columns of a type. */
int64_t cm_profile_width(cm_molecule_type type);

/* Of a molecule in the normalised spelling. dense[width] is zero, and is left so. CM_DATA from chemistry.
 * Clear also after a failure. */
cm_status cm_profile_make(cm_profile *profile, cm_molecule_type type, const char *text, int64_t length,
                          float *dense, cm_error *error);
void cm_profile_clear(cm_profile *profile);

/* Sets norm from the counts. */
void cm_profile_measure(cm_profile *profile, cm_molecule_type type);

/* Writes the counts into dense[width], which is zero, or makes it zero again. */
void cm_profile_spread(const cm_profile *profile, float *dense);
void cm_profile_wipe(const cm_profile *profile, float *dense);

/* How alike another molecule is to the one that dense holds, whose norm is given. */
float cm_profile_alike(cm_molecule_type type, const float *dense, double norm, const cm_profile *other);

#endif
