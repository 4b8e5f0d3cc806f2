/* Branch-free float functions that the compiler vectorises inside plain loops, and the 16-lane sums.
 *
 * With -ffp-contract=off a loop gives the same bits in every clone, so results do not depend on the
 * machine's vector width. The polynomials are weighted minimax fits made for this file; the errors
 * named at each function were measured over its range. NaN passes through. */
#ifndef CM_OPS_VMATH_H
#define CM_OPS_VMATH_H

#include <math.h>
#include <stdint.h>
#include <string.h>

/* Marks a static function whose loops are compiled for several x86-64 levels, picked when the program
 * is loaded. Empty where indirect functions are not available or would run before a sanitizer is up. */
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__OPTIMIZE__) && \
    defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define CM_CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#else
#define CM_CLONES
#endif

#define CM_VMATH_INLINE static inline __attribute__((always_inline, unused))

CM_VMATH_INLINE float cm_float_of_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

CM_VMATH_INLINE uint32_t cm_bits_of_float(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* e^x; 1 ulp where the result is normal, gradual underflow, infinity above 88.7.
 * x = n ln 2 + r with |r| <= ln(2) / 2; 2^n is applied in two factors so that neither overflows. */
CM_VMATH_INLINE float cm_expf(float x) {
    const float to_integer = 0x1.8p23f; /* adding it rounds to an integer held in the low bits */
    x = x < -104.0f ? -104.0f : x;
    x = x > 89.0f ? 89.0f : x;
    float shifted = x * 0x1.715476p0f + to_integer;
    float n = shifted - to_integer;
    float r = (x - n * 0x1.62e4p-1f) - n * 0x1.7f7d1cp-20f;
    float p = 1.3950623e-3f;
    p = p * r + 8.368971e-3f;
    p = p * r + 4.1666202e-2f;
    p = p * r + 1.6666518e-1f;
    p = p * r + 0.5f;
    p = (p * r) * r + r + 1.0f;
    int32_t whole = (int32_t)(cm_bits_of_float(shifted) - cm_bits_of_float(to_integer));
    int32_t half = whole >> 1;
    float first = cm_float_of_bits(((uint32_t)half + 127u) << 23);
    float second = cm_float_of_bits(((uint32_t)whole - (uint32_t)half + 127u) << 23);
    return p * first * second;
}

/* log(1 + y) for y in [-0.3, 1], relative error below 2e-7: 2 atanh(s) with s = y / (2 + y). */
CM_VMATH_INLINE float cm_log1p01f(float y) {
    float s = y / (2.0f + y);
    float q = s * s;
    float p = 0.24300952f;
    p = p * q + 0.21427652f;
    p = p * q + 0.28616884f;
    p = p * q + 0.39998877f;
    p = p * q + 0.66666675f;
    return 2.0f * s + s * (q * p);
}

/* log(u) for normal u > 0, relative error below 3e-7: u = 2^e (1 + f) with 1 + f in [sqrt 1/2, sqrt 2). */
CM_VMATH_INLINE float cm_logf(float u) {
    uint32_t bits = cm_bits_of_float(u) + (0x3F800000u - 0x3F3504F3u);
    float e = (float)((int32_t)(bits >> 23) - 127);
    float f = cm_float_of_bits((bits & 0x007FFFFFu) + 0x3F3504F3u) - 1.0f;
    return e * 0.69314718f + cm_log1p01f(f);
}

/* cos(2 pi v) for v in [0, 1), absolute error below 2e-7: sin(2 pi a) with a = 1/4 - |v - 1/2|, negated. */
CM_VMATH_INLINE float cm_cos_turnf(float v) {
    float w = v - 0.5f;
    float x = 6.2831853f * (0.25f - (w < 0.0f ? -w : w));
    float q = x * x;
    float p = -2.5052108e-8f;
    p = p * q + 2.7557319e-6f;
    p = p * q - 1.9841270e-4f;
    p = p * q + 8.3333333e-3f;
    p = p * q - 1.6666667e-1f;
    return -(x + x * (q * p));
}

/* 1 / (1 + e^-x) */
CM_VMATH_INLINE float cm_sigmoidf(float x) {
    float e = cm_expf(-fabsf(x));
    return (x < 0.0f ? e : 1.0f) / (1.0f + e);
}

/* d sigmoid / dx */
CM_VMATH_INLINE float cm_sigmoid_slopef(float x) {
    float e = cm_expf(-fabsf(x));
    float s = 1.0f / (1.0f + e);
    return e * s * s;
}

/* x sigmoid(x) */
CM_VMATH_INLINE float cm_siluf(float x) {
    return x * cm_sigmoidf(x);
}

CM_VMATH_INLINE float cm_silu_slopef(float x) {
    float e = cm_expf(-fabsf(x));
    float d = 1.0f / (1.0f + e);
    float s = (x < 0.0f ? e : 1.0f) * d;
    return s + x * (e * d * d);
}

/* log(1 + e^x) = max(x, 0) + log(1 + e^-|x|); equal to x above 20 */
CM_VMATH_INLINE float cm_softplusf(float x) {
    float positive = x < 0.0f ? 0.0f : x;
    return positive + cm_log1p01f(cm_expf(-fabsf(x)));
}

CM_VMATH_INLINE float cm_softplus_slopef(float x) {
    return cm_sigmoidf(x);
}

CM_VMATH_INLINE float cm_reluf(float x) {
    return x < 0.0f ? 0.0f : x;
}

/* 1 above 0, else 0 */
CM_VMATH_INLINE float cm_relu_slopef(float x) {
    return x > 0.0f ? 1.0f : 0.0f;
}

/* The standard normal distribution function, absolute error below 2e-7; *bell = e^(-x^2/2).
 * With t = 1 / (1 + 0.3 |x|) the lower tail is bell * t * polynomial(t). */
CM_VMATH_INLINE float cm_normal_cdff(float x, float *bell) {
    float ax = fabsf(x);
    float e = cm_expf(-0.5f * (ax * ax));
    float t = 1.0f / (1.0f + 0.3f * ax);
    float p = -0.019401934f;
    p = p * t + 0.10574047f;
    p = p * t - 0.21233729f;
    p = p * t + 0.17045939f;
    p = p * t - 0.061591085f;
    p = p * t + 0.08655736f;
    p = p * t + 0.08170639f;
    p = p * t + 0.109528236f;
    p = p * t + 0.11965603f;
    p = p * t + 0.11968243f;
    float tail = e * (t * p);
    *bell = e;
    return x < 0.0f ? tail : 1.0f - tail;
}

/* x times the standard normal distribution function (the exact GELU, not the tanh one) */
CM_VMATH_INLINE float cm_geluf(float x) {
    float bell;
    return x * cm_normal_cdff(x, &bell);
}

/* The same within 6e-5, for what is rounded to bfloat16 or int8 next, at a third of the cost: the
 * distribution function is 1/2 plus an odd polynomial up to |x| = 4.25, 0 or 1 within 2e-6 beyond. */
CM_VMATH_INLINE float cm_gelu_coarsef(float x) {
    float c = x < -4.25f ? -4.25f : x;
    c = c > 4.25f ? 4.25f : c;
    float u = c * c;
    float p = 4.5526381e-11f;
    p = p * u - 4.5099764e-9f;
    p = p * u + 1.9810358e-7f;
    p = p * u - 5.1321463e-6f;
    p = p * u + 8.8262525e-5f;
    p = p * u - 1.0772783e-3f;
    p = p * u + 9.7112013e-3f;
    p = p * u - 6.6175163e-2f;
    p = p * u + 3.9880887e-1f;
    return x * (0.5f + c * p);
}

CM_VMATH_INLINE float cm_gelu_slopef(float x) {
    float bell;
    float cdf = cm_normal_cdff(x, &bell);
    return cdf + x * (bell * 0.39894228f);
}

/* 32 random bits for item i of the stream row_key (a cm_rng_bits value): two multiply-xorshift rounds,
 * one per half of the key. */
CM_VMATH_INLINE uint32_t cm_hash32(uint64_t row_key, uint32_t i) {
    uint32_t h = (i + 1u) * 0x9E3779B1u ^ (uint32_t)row_key;
    h = (h ^ (h >> 16)) * 0x7FEB352Du;
    h = (h ^ (h >> 15)) * 0x846CA68Bu;
    h = (h ^ (h >> 16)) + (uint32_t)(row_key >> 32);
    h = (h ^ (h >> 16)) * 0x7FEB352Du;
    h = (h ^ (h >> 15)) * 0x846CA68Bu;
    return h ^ (h >> 16);
}

/* Sum of value over i in [0, n), value an expression in the index i: item i goes to lane i % 16, the
 * lanes are added as a tree. The order depends on n alone. lanes is the name of a float[16]. */
enum { CM_LANES = 16 };
#define CM_LANE_SUM(lanes, n, i, value)                                              \
    do {                                                                             \
        int64_t cm_n_ = (n), cm_whole_ = cm_n_ - cm_n_ % CM_LANES;                   \
        memset(lanes, 0, sizeof lanes);                                              \
        for (int64_t cm_i_ = 0; cm_i_ < cm_whole_; cm_i_ += CM_LANES)                \
            for (int cm_l_ = 0; cm_l_ < CM_LANES; cm_l_++) {                         \
                int64_t i = cm_i_ + cm_l_;                                           \
                lanes[cm_l_] += (value);                                             \
            }                                                                        \
        for (int64_t i = cm_whole_; i < cm_n_; i++) lanes[i - cm_whole_] += (value); \
    } while (0)

CM_VMATH_INLINE float cm_lane_total(float lanes[CM_LANES]) {
    for (int half = CM_LANES / 2; half > 0; half /= 2)
        for (int l = 0; l < half; l++) lanes[l] += lanes[l + half];
    return lanes[0];
}

#endif
