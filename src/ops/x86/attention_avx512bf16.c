/* Attention whose two products take bfloat16 pairs (AVX512_BF16): q times the scale, k, v and the
 * probabilities are rounded, sums are made in f32 by vdpbf16ps, maxima and the sum of the probabilities as in
 * the others. The exponential has the 13 bits that are left of its use. */
#include "base/cpu.h"
#include "ops/attention.h"

#if defined(__x86_64__)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512bf16,avx2,fma"))), \
                             apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512bf16,avx2,fma")
#endif

#include <immintrin.h>

#define LANES 16
#define KEY_STEP 16
#define COLUMNS 24
#define GROUP 2
typedef __m512 lanes;
typedef __mmask16 lane_mask;

#define lanes_set _mm512_set1_ps
#define lanes_add _mm512_add_ps
#define lanes_sub _mm512_sub_ps
#define lanes_mul _mm512_mul_ps
#define lanes_div _mm512_div_ps
#define lanes_max _mm512_max_ps
#define lanes_load _mm512_loadu_ps
#define lanes_store _mm512_storeu_ps
#define lanes_load_part(p, mask) _mm512_maskz_loadu_ps(mask, p)
#define INLINE static inline __attribute__((always_inline))

INLINE lane_mask lanes_mask(int count) {
    return (lane_mask)((1u << count) - 1u);
}

INLINE lanes lanes_dot(lanes sum, const float *pair, lanes x) {
    return _mm512_dpbf16_ps(sum, (__m512bh)_mm512_set1_ps(*pair), (__m512bh)x);
}

INLINE lanes lanes_row(lanes a, lanes b) {
    return (lanes)_mm512_cvtne2ps_pbh(b, a);
}

INLINE lanes lanes_pair(lanes a, lanes b) {
    const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23,
                                           7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    return _mm512_castsi512_ps(_mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh(b, a)));
}

INLINE lanes lanes_single(lanes a) {
    return lanes_pair(a, lanes_set(0.0f));
}

/* 2^k times a minimax polynomial of degree 3 in x - k, k the nearest integer, relative error 1.1e-4, 2^0 = 1.
 */
INLINE lanes lanes_exp2(lanes x) {
    lanes k = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    x = lanes_sub(x, k);
    lanes p = _mm512_fmadd_ps(x, lanes_set(0.055008937f), lanes_set(0.24221097f));
    p = _mm512_fmadd_ps(p, x, lanes_set(0.69328296f));
    p = _mm512_fmadd_ps(p, x, lanes_set(1.0f));
    return _mm512_scalef_ps(p, k);
}

#include "ops/x86/attention_lanes.h"

void cm_attention_avx512bf16(const cm_attention_block *block) {
    attention_lanes(block);
}

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC reset_options
#endif

bool cm_attention_avx512bf16_supported(void) {
    return cm_cpu_allows(CM_CPU_AVX512) && __builtin_cpu_supports("avx512f") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512bf16") &&
           __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

#endif
