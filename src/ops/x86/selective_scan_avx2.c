/* The selective scan with 8 channels a vector (AVX2 and FMA). */
#include "base/cpu.h"
#include "ops/selective_scan.h"

#if defined(__x86_64__)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif

#include <immintrin.h>

#define LANES 8
#define POWERS_APART 1
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

/* Masked stores are microcode on some machines; nearly all stores are whole. */
static inline void lanes_store_part(float *to, lane_mask mask, lanes x) {
    if (_mm256_movemask_ps(_mm256_castsi256_ps(mask)) == 0xFF)
        lanes_store(to, x);
    else
        _mm256_maskstore_ps(to, mask, x);
}

static inline lane_mask lanes_mask(int count) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

static inline lanes lanes_pick_negative(lanes x, lanes a, lanes b) {
    return _mm256_blendv_ps(b, a, x);
}

/* 2^k times a minimax polynomial of degree 5 in x - k, k the nearest integer, relative error 1.1e-7,
 * 2^0 = 1. Below -126 the smallest normal number. Adding to_integer rounds to k in the low bits. The steps
 * of the count chains are interleaved, so that fewer instructions wait in the scheduler. */
static inline void lanes_exp2_each(lanes *x, const int count) {
    const lanes to_integer = lanes_set(0x1.8p23f), least = lanes_set(-126.0f);
    lanes p[4];
    __m256i k[4];
    for (int i = 0; i < count; i++) {
        x[i] = lanes_max(least, x[i]);
        lanes shifted = lanes_add(x[i], to_integer);
        x[i] = lanes_sub(x[i], lanes_sub(shifted, to_integer));
        k[i] = _mm256_slli_epi32(_mm256_castps_si256(shifted), 23);
    }
    for (int i = 0; i < count; i++)
        p[i] = lanes_fma(x[i], lanes_set(0x1.5bba14p-10f), lanes_set(0x1.3cea88p-7f));
    for (int i = 0; i < count; i++) p[i] = lanes_fma(p[i], x[i], lanes_set(0x1.c6b752p-5f));
    for (int i = 0; i < count; i++) p[i] = lanes_fma(p[i], x[i], lanes_set(0x1.ebf9bcp-3f));
    for (int i = 0; i < count; i++) p[i] = lanes_fma(p[i], x[i], lanes_set(0x1.62e42ap-1f));
    for (int i = 0; i < count; i++) p[i] = lanes_fma(p[i], x[i], lanes_set(1.0f));
    for (int i = 0; i < count; i++)
        x[i] = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p[i]), k[i]));
}

static inline lanes lanes_exp2(lanes x) {
    lanes_exp2_each(&x, 1);
    return x;
}

static inline lanes lanes_reciprocal(lanes x) {
    return _mm256_div_ps(lanes_set(1.0f), x);
}

/* Adds neighbours pairwise: three rounds, each halving the number of vectors. */
static inline lanes lanes_sums(const float *rows) {
    lanes pair[4], four[2];
    for (int i = 0; i < 4; i++)
        pair[i] = _mm256_hadd_ps(lanes_load(rows + 16 * i), lanes_load(rows + 16 * i + 8));
    for (int i = 0; i < 2; i++) four[i] = _mm256_hadd_ps(pair[2 * i], pair[2 * i + 1]);
    return lanes_add(_mm256_permute2f128_ps(four[0], four[1], 0x20),
                     _mm256_permute2f128_ps(four[0], four[1], 0x31));
}

#include "ops/x86/selective_scan_lanes.h"

void cm_scan_avx2_forward(const cm_op_call *call) {
    cm_scan_forward(call, lane_forward_groups);
}

void cm_scan_avx2_backward(const cm_op_call *call) {
    cm_scan_backward(call, lane_backward_groups);
}

void cm_scan_avx2_exp2(const float *x, float *out, int64_t count) {
    lanes_exp2_all(x, out, count);
}

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC reset_options
#endif

bool cm_scan_avx2_supported(void) {
    return cm_cpu_allows(CM_CPU_AVX2) && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

#endif
