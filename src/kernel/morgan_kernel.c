/* Cosine and Tanimoto kernels on Morgan fingerprints of radius 2. */
#include "kernel/molecule_kernel.h"
#include <math.h>

static void counts(const cm_molecule_kernel *kernel, const cm_kernel_molecule *molecule, float *out) {
    for (int64_t i = 0; i < kernel->width; i++) out[i] = molecule->surroundings[i];
}

static float logarithm(float count) {
    return (float)log1p((double)count);
}

static void bits(const cm_molecule_kernel *kernel, const cm_kernel_molecule *molecule, float *out) {
    for (int64_t i = 0; i < kernel->width; i++) out[i] = molecule->surroundings[i] > 0;
}

extern const cm_molecule_kernel cm_kernel_morgan, cm_kernel_morgan_ratio, cm_kernel_morgan_bits;

const cm_molecule_kernel cm_kernel_morgan = {
    .name = "morgan",
    .help = "log counts of atom surroundings",
    .types = 1u << CM_MOLECULE,
    .grain = CM_KERNEL_COARSE | CM_KERNEL_FINE,
    .width = CM_MORGAN_WIDTH,
    .features = counts,
    .value = logarithm,
};

const cm_molecule_kernel cm_kernel_morgan_ratio = {
    .name = "morgan-ratio",
    .help = "log counts of atom surroundings, by Tanimoto's ratio",
    .types = 1u << CM_MOLECULE,
    .grain = CM_KERNEL_FINE,
    .tanimoto = true,
    .width = CM_MORGAN_WIDTH,
    .features = counts,
    .value = logarithm,
};

const cm_molecule_kernel cm_kernel_morgan_bits = {
    .name = "morgan-bits",
    .help = "which atom surroundings occur",
    .types = 1u << CM_MOLECULE,
    .grain = CM_KERNEL_FINE,
    .tanimoto = true,
    .width = CM_MORGAN_WIDTH,
    .features = bits,
    .value = sqrtf,
};
