/* Pairs and probabilities as bfloat16 for the versions of attention that gather pairs with vdpbf16ps.
 * A probability is made as bfloat16 at once, by integers and a table (AVX512_VBMI). Included once by each
 * version, inside its target. */
#ifndef CM_OPS_ATTENTION_BF16_H
#define CM_OPS_ATTENTION_BF16_H

#include "ops/x86/attention_vectors512.h"
#include <float.h>
#include <math.h>
#include <stdint.h>

#define GROUP 2
#define INLINE static inline __attribute__((always_inline))

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

/* A bfloat16's bits are its logarithm to base 2 in units of 1/128, from 2^-127, but for the excess of the
 * fraction over it. Scores have such units, or halves of them, and what lies so far below the maximum becomes
 * 0. */
INLINE lanes least_score(lanes most) {
    return lanes_sub(most, lanes_set(127 * SCORE_UNITS));
}

/* The nearest integers of a and b side by side as 16 bits; 0 for what lies below. */
INLINE __m512i pair_whole(lanes a, lanes b) {
    const __m512i order = _mm512_set_epi16(31, 27, 30, 26, 29, 25, 28, 24, 23, 19, 22, 18, 21, 17, 20, 16, 15,
                                           11, 14, 10, 13, 9, 12, 8, 7, 3, 6, 2, 5, 1, 4, 0);
    return _mm512_permutexvar_epi16(order, _mm512_packus_epi32(_mm512_cvtps_epi32(a), _mm512_cvtps_epi32(b)));
}

INLINE bool lanes_nan(lanes a, lanes b) {
    return _mm512_cmp_ps_mask(a, b, _CMP_UNORD_Q) != 0;
}

INLINE lanes lanes_add_powers(lanes sum, lanes pairs) {
    const __m512i ones = _mm512_set1_epi32(0x3f803f80);
    return _mm512_dpbf16_ps(sum, (__m512bh)ones, (__m512bh)pairs);
}

#endif
