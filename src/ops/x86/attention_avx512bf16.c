/* Attention whose two products take bfloat16 pairs (AVX512_BF16): q times the scale, k, v and the
 * probabilities are rounded, sums are made in f32 by vdpbf16ps, that of the probabilities too, maxima as in
 * the others. */
#include "base/cpu.h"
#include "ops/attention.h"

#if defined(__x86_64__)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vbmi,avx512bf16,avx2,fma"))), \
                             apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512vbmi,avx512bf16,avx2,fma")
#endif

#define SCORE_GROUP 2
#define SCORE_UNITS 256.0f
#include "ops/x86/attention_bf16.h"

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

/* The scores are rounded to whole halves of a unit: the error is at most 0.25 of one in the logarithm and 0.5
 * of the last place; 2^0 = 1. */
INLINE lanes powers(lanes a, lanes b) {
    __m512i units = pair_whole(a, b);
    __mmask64 small = 0x5555555555555555u, large = _mm512_movepi8_mask(units) & small;
    __m512i above = _mm512_maskz_permutex2var_epi8(small, _mm512_loadu_si512(excess), units,
                                                   _mm512_loadu_si512(excess + 64));
    __m512i beyond =
        _mm512_permutex2var_epi8(_mm512_loadu_si512(excess + 128), units, _mm512_loadu_si512(excess + 192));
    above = _mm512_mask_mov_epi8(above, large, beyond);
    return _mm512_castsi512_ps(_mm512_sub_epi16(_mm512_srli_epi16(units, 1), above));
}

INLINE lanes lanes_powers(const float *s, lanes most) {
    lanes least = least_score(most);
    return powers(lanes_sub(lanes_load(s), least), lanes_sub(lanes_load(s + LANES), least));
}

INLINE lanes lanes_last_power(const float *s, lanes most) {
    return powers(lanes_sub(lanes_load(s), least_score(most)), lanes_set(0.0f));
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
