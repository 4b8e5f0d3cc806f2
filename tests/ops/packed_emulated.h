/* The kernels for instructions that few machines have, compiled a second time on simde's emulation; empty
 * lists where simde is not installed. */
#ifndef TEST_PACKED_EMULATED_H
#define TEST_PACKED_EMULATED_H

#include "ops/packed_kernel.h"

/* A NULL name ends. */
extern const cm_packed_kernel packed_emulated_int8[];
extern const cm_packed_kernel packed_emulated_bf16[];

#endif
