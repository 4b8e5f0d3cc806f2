/* Powers of 2 in f32, for the vector versions of attention; included after their vectors, which have
 * beside those of attention_lanes.h
 *
 *   lanes_shift_exponent(p, n)         p 2^k for n = 1.5 2^23 + k */
#ifndef CM_OPS_ATTENTION_EXP2_H
#define CM_OPS_ATTENTION_EXP2_H

/* 2^k times a minimax polynomial of degree 5 in x - k, k the nearest integer, relative error 1.1e-7,
 * 2^0 = 1. Below -126 the smallest normal number. */
static inline __attribute__((always_inline)) lanes lanes_exp2(lanes x) {
    const lanes to_integer = lanes_set(0x1.8p23f);
    x = lanes_max(lanes_set(-126.0f), x);
    lanes shifted = lanes_add(x, to_integer);
    x = lanes_sub(x, lanes_sub(shifted, to_integer));
    lanes p = lanes_fma(x, lanes_set(0x1.5bba14p-10f), lanes_set(0x1.3cea88p-7f));
    p = lanes_fma(p, x, lanes_set(0x1.c6b752p-5f));
    p = lanes_fma(p, x, lanes_set(0x1.ebf9bcp-3f));
    p = lanes_fma(p, x, lanes_set(0x1.62e42ap-1f));
    p = lanes_fma(p, x, lanes_set(1.0f));
    return lanes_shift_exponent(p, shifted);
}

#define SCORE_UNITS 1.0f
#define lanes_add_powers lanes_add
#define lanes_nan(a, b) ((void)(a), (void)(b), false)

static inline __attribute__((always_inline)) lanes lanes_powers(const float *s, lanes most) {
    return lanes_exp2(lanes_sub(lanes_load(s), most));
}

#endif
