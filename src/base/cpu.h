/* Which vector instructions the library may use. */
#ifndef CM_BASE_CPU_H
#define CM_BASE_CPU_H

#include <stdbool.h>

typedef enum cm_cpu { CM_CPU_PLAIN, CM_CPU_AVX2, CM_CPU_AVX512 } cm_cpu;

/* False when $CROSSMAMBA_CPU (plain, avx2 or avx512; anything else: no limit) names a narrower set. That the
 * processor has the instructions is for the caller to ask. The variable is read once. Kernels of different
 * widths order their sums differently: results then agree within rounding, not in their bits. */
bool cm_cpu_allows(cm_cpu set);

#endif
