/* Compiles the sources of the kernels with simde's functions under the names of the instructions. */
#include "packed_emulated.h"

#if defined(CM_TEST_SIMDE)
#pragma GCC diagnostic ignored "-Wpsabi" /* vectors wider than the target has */
#define SIMDE_ENABLE_NATIVE_ALIASES
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpedantic"
#include <simde/x86/avx2.h>
#include <simde/x86/avx512/dpbf16.h>
#include <simde/x86/avx512/dpbusd.h>
#include <simde/x86/avx512/load.h>
#include <simde/x86/avx512/loadu.h>
#include <simde/x86/avx512/set1.h>
#include <simde/x86/avx512/setzero.h>
#include <simde/x86/avx512/storeu.h>
#pragma GCC diagnostic pop

#define CM_TARGET(isa)
#define CM_BF16_OF(vector) emulated_bf16(vector)
#define _mm256_dpbusd_avx_epi32 simde_mm256_dpbusd_epi32

static inline simde__m512bh emulated_bf16(simde__m512i vector) {
    simde__m512bh same;
    memcpy(&same, &vector, sizeof same);
    return same;
}

/* the names of the library's own */
#define cm_packed_avxvnni_supported emulated_avxvnni_supported
#define cm_packed_avx512vnni_supported emulated_avx512vnni_supported
#define cm_packed_avx512bf16_supported emulated_avx512bf16_supported
#define cm_packed_int8_avxvnni emulated_int8_avxvnni
#define cm_packed_int8_avx512vnni emulated_int8_avx512vnni
#define cm_packed_bf16_avx512 emulated_bf16_avx512
void emulated_int8_avxvnni(const cm_packed_tile *tile);
void emulated_int8_avx512vnni(const cm_packed_tile *tile);
void emulated_bf16_avx512(const cm_packed_tile *tile);
bool emulated_avxvnni_supported(void);
bool emulated_avx512vnni_supported(void);
bool emulated_avx512bf16_supported(void);

#define multiply_block multiply_block_avxvnni
#include "ops/x86/packed_avxvnni.c"
#undef multiply_block
#undef TARGET
#define multiply_block multiply_block_avx512vnni
#include "ops/x86/packed_avx512vnni.c"
#undef multiply_block
#undef TARGET
#define multiply_block multiply_block_avx512bf16
#include "ops/x86/packed_avx512bf16.c"

const cm_packed_kernel packed_emulated_int8[] = {
    {"avxvnni", NULL, CM_PACKED_OFFSET, 4, 1024, emulated_int8_avxvnni},
    {"avx512vnni", NULL, CM_PACKED_OFFSET, 4, 1024, emulated_int8_avx512vnni},
    {NULL, NULL, CM_PACKED_FLOAT, 0, 0, NULL},
};
const cm_packed_kernel packed_emulated_bf16[] = {
    {"avx512bf16", NULL, CM_PACKED_BF16, 2, 512, emulated_bf16_avx512},
    {NULL, NULL, CM_PACKED_FLOAT, 0, 0, NULL},
};
#else
const cm_packed_kernel packed_emulated_int8[] = {{NULL, NULL, CM_PACKED_FLOAT, 0, 0, NULL}};
const cm_packed_kernel packed_emulated_bf16[] = {{NULL, NULL, CM_PACKED_FLOAT, 0, 0, NULL}};
#endif
