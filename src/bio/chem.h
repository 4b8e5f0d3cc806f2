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
 * than 5,000 characters, has more than 1,000 atoms (RDKit's cost explodes on giants), is nested deeper than
 * 200, has no atom, an atom that is no element ('*', R groups), or anything behind a blank (a name,
 * CXSMILES), or when the canonical text does not fit. Several fragments (salts) are one molecule. RDKit
 * recurses over the atoms: the calling thread needs a stack of 1 MiB. file and name name the record in
 * messages. NULL out: only checks. */
cm_status cm_chem_canonical(const char *smiles, char *out, size_t size, const char *file, const char *name,
                            cm_error *error);

/* Morgan fingerprint counts, radius 2, folded to width columns, as log(1 + count). smiles must have passed
 * cm_chem_canonical. */
cm_status cm_chem_morgan(const char *smiles, int64_t width, float *out, cm_error *error);

#ifdef __cplusplus
}
#endif
#endif
