/* Length and composition of a molecule: what is left of a sequence without the order of its residues. */
#ifndef CM_MODEL_COMPOSITION_H
#define CM_MODEL_COMPOSITION_H

#include "data/dataset.h"

/* Columns of a type. Column 0 is log(1 + length), then the share of other characters and the shares of the
 * letters of the type. */
int64_t cm_composition_width(cm_molecule_type type);
void cm_composition_describe(cm_molecule_type type, const cm_entity *entity, double *x);

#endif
