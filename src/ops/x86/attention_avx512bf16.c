/* Attention whose two products take bfloat16 pairs (AVX512_BF16): q times the scale, k, v and the
 * probabilities are rounded, sums are made in f32 by vdpbf16ps, that of the probabilities too, maxima as in
 * the others. Probabilities are made as bfloat16 at once, by integers and a table (AVX512_VBMI). */
#include "base/cpu.h"
#include "ops/attention.h"

#if defined(__x86_64__)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vbmi,avx512bf16,avx2,fma"))), \
                             apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512vbmi,avx512bf16,avx2,fma")
#endif

#include <float.h>
#include <immintrin.h>

#define LANES 16
#define KEY_STEP 16
#define COLUMNS 24
#define GROUP 2
#define BESIDE true
#define SCORE_UNITS 256.0f
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

/* The pair is spread by the load itself; a compiler's own broadcast would take a unit from the products. */
INLINE lanes lanes_dot(lanes sum, const float *pair, lanes x) {
    __asm__("vdpbf16ps %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(x), "m"(*pair));
    return sum;
}

INLINE lanes lanes_row(lanes a, lanes b) {
    return (lanes)_mm512_cvtne2ps_pbh(b, a);
}

INLINE lanes lanes_pair(lanes a, lanes b) {
    const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23,
                                           7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    return _mm512_castsi512_ps(_mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh(b, a)));
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

/* f / 2, rounded down, - round(128 (2^(f / 256) - 1)): what a fraction of 8 bits lies above the significand
 * of its power. */
static const uint8_t excess[256] = {
    0,  0,  0,  0,  1,  0,  1,  1,  1,  1,  1,  1,  2,  1,  2,  2,  2,  2,  3,  2,  3,  3,  3,  3,  3,  3,
    4,  3,  4,  4,  4,  4,  4,  4,  5,  4,  5,  5,  5,  5,  5,  5,  6,  5,  6,  5,  6,  6,  6,  6,  6,  6,
    7,  6,  7,  6,  7,  7,  7,  7,  7,  7,  8,  7,  8,  7,  8,  8,  8,  8,  8,  8,  8,  8,  9,  8,  9,  8,
    9,  8,  9,  9,  9,  9,  9,  9,  9,  9,  10, 9,  10, 9,  10, 9,  10, 9,  10, 10, 10, 10, 10, 10, 10, 10,
    10, 10, 10, 10, 11, 10, 11, 10, 11, 10, 11, 10, 11, 10, 11, 10, 11, 10, 11, 10, 11, 10, 11, 10, 11, 10,
    11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 10, 11, 10, 11, 10, 11, 10, 11, 10, 11, 10, 11, 10, 11, 10,
    11, 10, 11, 10, 11, 10, 11, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 9,  10, 9,  10, 9,  10, 9,
    9,  9,  9,  9,  9,  9,  9,  8,  9,  8,  9,  8,  9,  8,  8,  8,  8,  8,  8,  7,  8,  7,  8,  7,  7,  7,
    7,  7,  7,  6,  7,  6,  7,  6,  6,  6,  6,  5,  6,  5,  6,  5,  5,  5,  5,  4,  5,  4,  4,  4,  4,  3,
    4,  3,  3,  3,  3,  3,  3,  2,  3,  2,  2,  2,  2,  1,  1,  1,  1,  0,  1,  0,  0,  0,
};

/* Pairs of 2^((a - most) / 256), 2^((b - most) / 256). A bfloat16 is its logarithm in units of 1/128, but for
 * the excess of the fraction, so the scores are rounded to whole halves of those from 2^-127, what lies below
 * is 0, and 2^0 = 1. The error is at most 0.25 of a unit in the logarithm and 0.5 of the last place. */
INLINE lanes powers(lanes a, lanes b, lanes most) {
    const __m512i order = _mm512_set_epi16(31, 27, 30, 26, 29, 25, 28, 24, 23, 19, 22, 18, 21, 17, 20, 16, 15,
                                           11, 14, 10, 13, 9, 12, 8, 7, 3, 6, 2, 5, 1, 4, 0);
    const lanes least = lanes_sub(most, lanes_set(127 * SCORE_UNITS));
    __m512i low = _mm512_cvtps_epi32(lanes_sub(a, least)), high = _mm512_cvtps_epi32(lanes_sub(b, least));
    __m512i units = _mm512_permutexvar_epi16(order, _mm512_packus_epi32(low, high));
    __mmask64 small = 0x5555555555555555u, large = _mm512_movepi8_mask(units) & small;
    __m512i above = _mm512_maskz_permutex2var_epi8(small, _mm512_loadu_si512(excess), units,
                                                   _mm512_loadu_si512(excess + 64));
    __m512i beyond =
        _mm512_permutex2var_epi8(_mm512_loadu_si512(excess + 128), units, _mm512_loadu_si512(excess + 192));
    above = _mm512_mask_mov_epi8(above, large, beyond);
    return _mm512_castsi512_ps(_mm512_sub_epi16(_mm512_srli_epi16(units, 1), above));
}

INLINE lanes lanes_powers(const float *s, lanes most) {
    return powers(lanes_load(s), lanes_load(s + LANES), most);
}

INLINE lanes lanes_last_power(const float *s, lanes most) {
    return powers(lanes_load(s), lanes_set(-FLT_MAX), most);
}

INLINE bool lanes_nan(lanes a, lanes b) {
    return _mm512_cmp_ps_mask(a, b, _CMP_UNORD_Q) != 0;
}

INLINE lanes lanes_add_powers(lanes sum, lanes pairs) {
    const __m512i ones = _mm512_set1_epi32(0x3f803f80);
    return _mm512_dpbf16_ps(sum, (__m512bh)ones, (__m512bh)pairs);
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
           __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx2") &&
           __builtin_cpu_supports("fma");
}

#endif
