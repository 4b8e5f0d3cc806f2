/* Attention with vectors of 8, up to 12 columns gathered at once (AVX2 and FMA). */
#include "base/cpu.h"
#include "ops/attention.h"

#if defined(__x86_64__)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif

#include <immintrin.h>

#define LANES 8
#define KEY_STEP 8
#define COLUMNS 12
#define GROUP 1
#define SCORE_GROUP 1
#define BESIDE false
typedef __m256 lanes;
typedef __m256i lane_mask;

#define lanes_set _mm256_set1_ps
#define lanes_add _mm256_add_ps
#define lanes_sub _mm256_sub_ps
#define lanes_mul _mm256_mul_ps
#define lanes_max _mm256_max_ps
#define lanes_div _mm256_div_ps
#define lanes_fma _mm256_fmadd_ps
#define lanes_dot(sum, factor, x) _mm256_fmadd_ps(_mm256_set1_ps(*(factor)), x, sum)
#define lanes_row(a, b) ((void)(b), (a))
#define lanes_load _mm256_loadu_ps
#define lanes_store _mm256_storeu_ps
#define lanes_load_part _mm256_maskload_ps

static inline lane_mask lanes_mask(int count) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

static inline lanes lanes_shift_exponent(lanes p, lanes n) {
    __m256i k = _mm256_slli_epi32(_mm256_castps_si256(n), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), k));
}

#include "ops/x86/attention_exp2.h"
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
    return cm_cpu_allows(CM_CPU_AVX2) && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

#endif
