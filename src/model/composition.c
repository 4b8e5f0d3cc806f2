/* Length and composition of a molecule. */
#include "model/composition.h"
#include "bio/sequence.h"
#include <math.h>
#include <string.h>

/* Characters whose shares are the composition of a type: residues; of SMILES atoms, bonds, rings, charges. */
static const char *letters_of(cm_molecule_type type) {
    return type == CM_MOLECULE ? "CNOSPFlrIcnos=#(@+-1" : cm_residues(type);
}

int64_t cm_composition_width(cm_molecule_type type) {
    return 2 + (int64_t)strlen(letters_of(type));
}

void cm_composition_describe(cm_molecule_type type, const cm_entity *entity, double *x) {
    const char *letters = letters_of(type);
    memset(x, 0, (size_t)cm_composition_width(type) * sizeof *x);
    x[0] = log1p((double)entity->length);
    for (int64_t i = 0; i < entity->length; i++) {
        const char *at = strchr(letters, entity->text[i]);
        x[at ? 2 + (at - letters) : 1] += 1.0 / (double)entity->length;
    }
}
