/* The table of molecule kernels. Each maps the text of a molecule to a vector of non-negative features; the
 * kernel of two molecules is the cosine of their vectors, or Tanimoto's ratio x.y / (x.x + y.y - x.y), which
 * is positive definite for such vectors too. Equal molecules have kernel 1. A new kernel is one row in
 * kernels.def. */
#ifndef CM_KERNEL_MOLECULE_KERNEL_H
#define CM_KERNEL_MOLECULE_KERNEL_H

#include "base/fail.h"
#include <crossmamba/tables.h>
#include <stdbool.h>
#include <stdint.h>

/* What features are counted in. */
enum { CM_MORGAN_WIDTH = 4096 };
typedef struct cm_kernel_molecule {
    const char *text; /* in the normalised spelling */
    int64_t length;
    const float *surroundings; /* [CM_MORGAN_WIDTH] counts of a small molecule (bio/chem.h), else NULL */
} cm_kernel_molecule;

/* How closely two molecules have to agree: short words see composition, long ones see kinship. */
typedef enum cm_kernel_grain { CM_KERNEL_COARSE = 1, CM_KERNEL_FINE = 2 } cm_kernel_grain;

typedef struct cm_molecule_kernel {
    const char *name, *help;
    unsigned types; /* bit 1 << cm_molecule_type: what it compares */
    unsigned grain; /* CM_KERNEL_COARSE, CM_KERNEL_FINE or both */
    bool tanimoto;  /* else cosine */
    int64_t width;
    /* Parameters of the spectra: residues in order of their digit with ' ' between groups, the length of a
     * word, and for pairs of residues the largest number of residues between them. */
    const char *groups;
    int length, gap, parts;
    /* Counts features of a molecule into out[width], which is zero. */
    void (*features)(const struct cm_molecule_kernel *kernel, const cm_kernel_molecule *molecule, float *out);
    /* The feature of a count, which is above 0: above 0 too. */
    float (*value)(float count);
} cm_molecule_kernel;

/* Row i of the table, NULL past its end. */
const cm_molecule_kernel *cm_molecule_kernel_at(int i);

#endif
