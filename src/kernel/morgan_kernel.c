/* Cosine and Tanimoto kernels on Morgan fingerprints of radius 2. */
#include "bio/chem.h"
#include "kernel/molecule_kernel.h"

enum { MORGAN_WIDTH = 4096 };

static cm_status counts(const cm_molecule_kernel *kernel, const char *text, int64_t length, float *out,
                        cm_error *error) {
    (void)length;
    return cm_chem_morgan(text, kernel->width, out, error);
}

static cm_status bits(const cm_molecule_kernel *kernel, const char *text, int64_t length, float *out,
                      cm_error *error) {
    CM_TRY(counts(kernel, text, length, out, error));
    for (int64_t i = 0; i < kernel->width; i++) out[i] = out[i] > 0;
    return CM_OK;
}

extern const cm_molecule_kernel cm_kernel_morgan, cm_kernel_morgan_ratio, cm_kernel_morgan_bits;

const cm_molecule_kernel cm_kernel_morgan = {
    .name = "morgan",
    .help = "log counts of atom surroundings",
    .types = 1u << CM_MOLECULE,
    .grain = CM_KERNEL_COARSE | CM_KERNEL_FINE,
    .width = MORGAN_WIDTH,
    .features = counts,
};

const cm_molecule_kernel cm_kernel_morgan_ratio = {
    .name = "morgan-ratio",
    .help = "log counts of atom surroundings, by Tanimoto's ratio",
    .types = 1u << CM_MOLECULE,
    .grain = CM_KERNEL_FINE,
    .tanimoto = true,
    .width = MORGAN_WIDTH,
    .features = counts,
};

const cm_molecule_kernel cm_kernel_morgan_bits = {
    .name = "morgan-bits",
    .help = "which atom surroundings occur",
    .types = 1u << CM_MOLECULE,
    .grain = CM_KERNEL_FINE,
    .tanimoto = true,
    .width = MORGAN_WIDTH,
    .features = bits,
};
