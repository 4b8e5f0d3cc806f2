/* The selective scan with 16 channels a vector (AVX-512 F and DQ). */
#include "base/cpu.h"
#include "ops/selective_scan.h"

#if defined(__x86_64__)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512dq,avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512dq,avx2,fma")
#endif

#include <immintrin.h>

#define LANES 16
#define POWERS_APART 0
typedef __m512 lanes;
typedef __mmask16 lane_mask;

#define lanes_set _mm512_set1_ps
#define lanes_add _mm512_add_ps
#define lanes_sub _mm512_sub_ps
#define lanes_mul _mm512_mul_ps
#define lanes_max _mm512_max_ps
#define lanes_fma _mm512_fmadd_ps
#define lanes_load _mm512_loadu_ps
#define lanes_store _mm512_storeu_ps
#define lanes_load_part(p, mask) _mm512_maskz_loadu_ps(mask, p)
#define lanes_store_part _mm512_mask_storeu_ps

static inline lane_mask lanes_mask(int count) {
    return (lane_mask)((1u << count) - 1u);
}

static inline lanes lanes_pick_negative(lanes x, lanes a, lanes b) {
    return _mm512_mask_blend_ps(_mm512_movepi32_mask(_mm512_castps_si512(x)), b, a);
}

/* 2^floor(x) times a minimax polynomial of degree 5 in x - floor(x), relative error 9.4e-8, 2^0 = 1. The
 * steps of the count chains are interleaved, so that fewer instructions wait in the scheduler. */
static inline void lanes_exp2_each(lanes *x, const int count) {
    lanes f[4], p[4];
    for (int i = 0; i < count; i++) f[i] = _mm512_reduce_ps(x[i], _MM_FROUND_TO_NEG_INF);
    for (int i = 0; i < count; i++)
        p[i] = lanes_fma(f[i], lanes_set(0x1.e974fap-10f), lanes_set(0x1.277856p-7f));
    for (int i = 0; i < count; i++) p[i] = lanes_fma(p[i], f[i], lanes_set(0x1.c91ce6p-5f));
    for (int i = 0; i < count; i++) p[i] = lanes_fma(p[i], f[i], lanes_set(0x1.ebdb56p-3f));
    for (int i = 0; i < count; i++) p[i] = lanes_fma(p[i], f[i], lanes_set(0x1.62e4bap-1f));
    for (int i = 0; i < count; i++) p[i] = lanes_fma(p[i], f[i], lanes_set(1.0f));
    for (int i = 0; i < count; i++) x[i] = _mm512_scalef_ps(p[i], x[i]);
}

static inline lanes lanes_exp2(lanes x) {
    lanes_exp2_each(&x, 1);
    return x;
}

/* The 14-bit estimate and one step of Newton. */
static inline lanes lanes_reciprocal(lanes x) {
    lanes r = _mm512_rcp14_ps(x);
    return lanes_fma(r, _mm512_fnmadd_ps(x, r, lanes_set(1.0f)), r);
}

/* Adds neighbours pairwise: four rounds, each halving the number of vectors. */
static inline lanes lanes_sums(const float *rows) {
    lanes pair[8], four[4], eight[2];
    for (int i = 0; i < 8; i++) {
        lanes a = lanes_load(rows + 32 * i), b = lanes_load(rows + 32 * i + 16);
        pair[i] = lanes_add(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
    }
    for (int i = 0; i < 4; i++) {
        __m512d a = _mm512_castps_pd(pair[2 * i]), b = _mm512_castps_pd(pair[2 * i + 1]);
        four[i] =
            lanes_add(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)), _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
    }
    for (int i = 0; i < 2; i++) {
        lanes a = four[2 * i], b = four[2 * i + 1];
        eight[i] = lanes_add(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xDD));
    }
    return lanes_add(_mm512_shuffle_f32x4(eight[0], eight[1], 0x88),
                     _mm512_shuffle_f32x4(eight[0], eight[1], 0xDD));
}

#include "ops/x86/selective_scan_lanes.h"

void cm_scan_avx512_forward(const cm_op_call *call) {
    cm_scan_forward(call, lane_forward_groups);
}

void cm_scan_avx512_backward(const cm_op_call *call) {
    cm_scan_backward(call, lane_backward_groups);
}

void cm_scan_avx512_exp2(const float *x, float *out, int64_t count) {
    lanes_exp2_all(x, out, count);
}

#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC reset_options
#endif

bool cm_scan_avx512_supported(void) {
    return cm_cpu_allows(CM_CPU_AVX512) && __builtin_cpu_supports("avx512f") &&
           __builtin_cpu_supports("avx512dq");
}

#endif
