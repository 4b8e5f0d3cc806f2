/* Attention with vectors of 16, up to 24 columns gathered at once (AVX-512 F). */
#include "base/cpu.h"
#include "ops/attention.h"

#if defined(__x86_64__)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx2,fma")
#endif

#define GROUP 1
#define SCORE_GROUP 1
#include "ops/x86/attention_vectors512.h"

#define lanes_fma _mm512_fmadd_ps
#define lanes_dot(sum, factor, x) _mm512_fmadd_ps(_mm512_set1_ps(*(factor)), x, sum)
#define lanes_row(a, b) ((void)(b), (a))

static inline lanes lanes_shift_exponent(lanes p, lanes n) {
    __m512i k = _mm512_slli_epi32(_mm512_castps_si512(n), 23);
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(p), k));
}

#include "ops/x86/attention_exp2.h"
#include "ops/x86/attention_lanes.h"

void cm_attention_avx512_forward(const cm_op_call *call) {
    cm_precision precision = call->attr->precision;
    if (precision == CM_INT8 && cm_attention_avx512int8_supported())
        cm_attention_forward(call, cm_attention_avx512int8);
    else if (precision != CM_F32 && cm_attention_avx512bf16_supported())
        cm_attention_forward(call, cm_attention_avx512bf16);
    else
        cm_attention_forward(call, attention_lanes);
}

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC reset_options
#endif

bool cm_attention_avx512_supported(void) {
    return cm_cpu_allows(CM_CPU_AVX512) && __builtin_cpu_supports("avx512f") &&
           __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

#endif
