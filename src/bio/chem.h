/* Chemistry by RDKit behind a C face (bio/chem.cpp is the only C++ file). */
#ifndef CM_BIO_CHEM_H
#define CM_BIO_CHEM_H

#include "base/fail.h"
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* RDKit's version, for example "2022.09.3". */
const char *cm_chem_version(void);

/* Canonical SMILES (isomeric) of smiles into out[size]; CM_DATA when RDKit cannot read it, when it is longer
 * than 5,000 characters, is nested deeper than 200, has more than 1,000 atoms or an atom with more than 16
 * neighbours (RDKit's cost explodes on giants), has no atom, an atom that is no element ('*', R groups), or
 * anything behind a blank (a name, CXSMILES), or when the canonical text does not fit. Several fragments
 * (salts) are one molecule. RDKit recurses over the atoms: the calling thread needs a stack of 1 MiB. file
 * and name name the record in messages. NULL out: only checks. */
cm_status cm_chem_canonical(const char *smiles, char *out, size_t size, const char *file, const char *name,
                            cm_error *error);

/* Morgan fingerprint counts, radius 2, folded to width columns, as log(1 + count). smiles must have passed
 * cm_chem_canonical. */
cm_status cm_chem_morgan(const char *smiles, int64_t width, float *out, cm_error *error);

/* Plain counts of the atom surroundings of radius up to 2, hashed to width columns. smiles is checked as by
 * cm_chem_canonical. */
cm_status cm_chem_surroundings(const char *smiles, int64_t width, float *out, cm_error *error);

/* The molecular graph as the pretrain-gnns family sees it. Heavy atoms in RDKit's order; bonds in RDKit's
 * order, each as two edges, from its first atom to its second and back, with the same order and direction. */
typedef struct cm_chem_graph {
    int64_t n_atoms, n_edges;
    int32_t *number; /* [n_atoms] atomic number, 1 .. 118 */
    int32_t
        *chirality; /* [n_atoms] RDKit ChiralType: 0 unspecified, 1 clockwise, 2 counter-clockwise, 3 other */
    int32_t *from, *to; /* [n_edges] */
    int32_t *bond;      /* [n_edges] 0 single, 1 double, 2 triple, 3 aromatic */
    int32_t *direction; /* [n_edges] 0 none, 1 end up-right, 2 end down-right; other RDKit directions are 0 */
} cm_chem_graph;

/* smiles, with the limits of cm_chem_canonical. The arrays are one block, freed by cm_chem_graph_clear.
 * CM_DATA on a SMILES that cm_chem_canonical refuses and on a bond of another order; graph is then empty. */
cm_status cm_chem_graph_make(cm_chem_graph *graph, const char *smiles, cm_error *error);
void cm_chem_graph_clear(cm_chem_graph *graph);

#ifdef __cplusplus
}
#endif
#endif
