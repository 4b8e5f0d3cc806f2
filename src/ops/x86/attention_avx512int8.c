/* Attention whose scores are products of bytes (AVX512_VNNI) and whose second product takes bfloat16 pairs,
 * as in attention_avx512bf16.c. q times the scale and k are rounded to whole numbers up to 127 in units of a
 * query and of a few keys; q gets 128 added, because vpdpbusd takes unsigned times signed bytes, and the sums
 * begin that much lower. */
#include "base/cpu.h"
#include "ops/attention.h"

#if defined(__x86_64__)

#if defined(__clang__)
#pragma clang attribute push(                                                              \
    __attribute__((target("avx512f,avx512bw,avx512vbmi,avx512bf16,avx512vnni,avx2,fma"))), \
    apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512vbmi,avx512bf16,avx512vnni,avx2,fma")
#endif

#define SCORE_GROUP 4
#define SCORE_UNITS 128.0f
#include "ops/x86/attention_bf16.h"

/* f - round(128 (2^(f / 128) - 1)): what a fraction of 7 bits lies above the significand of its power. */
static const uint8_t excess[128] = {
    0,  0,  1,  1,  1,  1,  2,  2,  2,  3,  3,  3,  3,  4,  4,  4,  4,  5,  5,  5,  5,  6,  6,  6,  6,  6,
    7,  7,  7,  7,  7,  8,  8,  8,  8,  8,  8,  9,  9,  9,  9,  9,  9,  9,  10, 10, 10, 10, 10, 10, 10, 10,
    10, 10, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11, 11,
    11, 11, 11, 11, 10, 10, 10, 10, 10, 10, 10, 10, 10, 9,  9,  9,  9,  9,  9,  9,  8,  8,  8,  8,  8,  7,
    7,  7,  7,  7,  6,  6,  6,  6,  5,  5,  5,  4,  4,  4,  3,  3,  3,  3,  2,  2,  1,  1,  1,  0,
};

/* The scores are rounded to whole units: the error is at most 0.5 of one in the logarithm and 0.5 of the last
 * place; 2^0 = 1. */
INLINE lanes powers(lanes a, lanes b) {
    const __mmask64 small = 0x5555555555555555u;
    __m512i units = pair_whole(a, b);
    __m512i above = _mm512_maskz_permutex2var_epi8(small, _mm512_loadu_si512(excess), units,
                                                   _mm512_loadu_si512(excess + 64));
    return _mm512_castsi512_ps(_mm512_sub_epi16(units, above));
}

/* The product is rounded before the difference, as where the maximum was found: so its own power is 2^0. */
INLINE lanes above_least(const float *s, lanes most, lanes unit) {
    return lanes_sub(lanes_mul(lanes_load(s), unit), least_score(most));
}

INLINE lanes lanes_powers(const float *s, lanes most, lanes unit) {
    return powers(above_least(s, most, unit), above_least(s + LANES, most, unit));
}

INLINE lanes lanes_last_power(const float *s, lanes most, lanes unit) {
    return powers(above_least(s, most, unit), lanes_set(0.0f));
}

INLINE lanes lanes_unit(const float *x, int64_t across, int64_t w) {
    lanes most = lanes_set(0.0f);
    __mmask16 bad = 0;
    for (int64_t c = 0; c < w; c++) {
        lanes value = lanes_load(x + c * across);
        bad |= _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
        most = lanes_max(_mm512_abs_ps(value), most);
    }
    return _mm512_mask_mov_ps(lanes_mul(most, lanes_set(1.0f / 127)), bad, lanes_set(NAN));
}

INLINE float lanes_common(lanes unit) {
    return _mm512_cmp_ps_mask(unit, unit, _CMP_UNORD_Q) ? NAN : _mm512_reduce_max_ps(unit);
}

/* Units too small for their inverse, and those that are no numbers, give zeros. */
INLINE lanes lanes_bytes(const float *x, int64_t across, int count, lanes unit) {
    __mmask16 usable = _mm512_cmp_ps_mask(unit, lanes_set(1e-30f), _CMP_GE_OQ);
    lanes factor = _mm512_maskz_div_ps(usable, lanes_set(1.0f), unit);
    __m512i bytes = _mm512_setzero_si512();
    for (int i = 0; i < count; i++) {
        __m512i whole = _mm512_maskz_cvtps_epi32(usable, lanes_mul(lanes_load(x + i * across), factor));
        whole = _mm512_and_si512(whole, _mm512_set1_epi32(255));
        bytes = _mm512_or_si512(bytes, _mm512_sll_epi32(whole, _mm_cvtsi32_si128(8 * i)));
    }
    return _mm512_castsi512_ps(bytes);
}

INLINE lanes lanes_above(lanes bytes) {
    return _mm512_castsi512_ps(_mm512_xor_si512(_mm512_castps_si512(bytes), _mm512_set1_epi8(-128)));
}

INLINE lanes lanes_add_bytes(lanes sum, lanes bytes) {
    __m512i times_128 =
        _mm512_dpbusd_epi32(_mm512_setzero_si512(), _mm512_set1_epi8(-128), _mm512_castps_si512(bytes));
    return _mm512_castsi512_ps(_mm512_sub_epi32(_mm512_castps_si512(sum), times_128));
}

INLINE lanes lanes_dot_bytes(lanes sum, const float *four, lanes x) {
    __asm__("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(x), "m"(*four));
    return sum;
}

INLINE lanes lanes_from_whole(lanes sum) {
    return _mm512_cvtepi32_ps(_mm512_castps_si512(sum));
}

#include "ops/x86/attention_lanes.h"

void cm_attention_avx512int8(const cm_attention_block *block) {
    attention_lanes(block);
}

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC reset_options
#endif

bool cm_attention_avx512int8_supported(void) {
    return cm_attention_avx512bf16_supported() && __builtin_cpu_supports("avx512vnni");
}

#endif
