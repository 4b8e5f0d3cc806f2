/* The table of molecule kernels. */
#include "kernel/molecule_kernel.h"

#define CM_KERNEL(symbol) extern const cm_molecule_kernel cm_kernel_##symbol;
#include "kernel/kernels.def"

static const cm_molecule_kernel *const rows[] = {
#define CM_KERNEL(symbol) &cm_kernel_##symbol,
#include "kernel/kernels.def"
};

const cm_molecule_kernel *cm_molecule_kernel_at(int i) {
    return i >= 0 && i < (int)(sizeof rows / sizeof *rows) ? rows[i] : NULL;
}
