/* Attention with vectors of 8, 6 queries at once in 12 registers (AVX2 and FMA). */
#include "ops/attention.h"

#if defined(__x86_64__)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif

#include <immintrin.h>

#define LANES 8
#define ROWS 6
typedef __m256 lanes;
typedef __m256i lane_mask;

#define lanes_set _mm256_set1_ps
#define lanes_add _mm256_add_ps
#define lanes_sub _mm256_sub_ps
#define lanes_mul _mm256_mul_ps
#define lanes_max _mm256_max_ps
#define lanes_fma _mm256_fmadd_ps
#define lanes_load _mm256_loadu_ps
#define lanes_store _mm256_storeu_ps
#define lanes_load_part _mm256_maskload_ps
#define lanes_store_part _mm256_maskstore_ps

static inline lane_mask lanes_mask(int count) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

static inline float lanes_top(lanes x) {
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

static inline lanes lanes_shift_exponent(lanes p, lanes n) {
    __m256i k = _mm256_slli_epi32(_mm256_castps_si256(n), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), k));
}

#include "ops/x86/attention_lanes.h"

void cm_attention_avx2_forward(const cm_op_call *call) {
    cm_attention_forward(call, attention_lanes);
}

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC reset_options
#endif

bool cm_attention_avx2_supported(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

#endif
