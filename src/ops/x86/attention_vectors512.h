/* The vectors of 16 that the AVX-512 versions of attention share (see attention_lanes.h). Included once by
 * each, inside its target. */
#ifndef CM_OPS_ATTENTION_VECTORS512_H
#define CM_OPS_ATTENTION_VECTORS512_H

#include <immintrin.h>
#include <stdbool.h>

#define LANES 16
#define KEY_STEP 16
#define COLUMNS 24
#define BESIDE true
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

static inline __attribute__((always_inline)) lane_mask lanes_mask(int count) {
    return (lane_mask)((1u << count) - 1u);
}

#endif
