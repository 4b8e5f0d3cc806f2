/* Functions of one value that the scan needs beside the recurrence: softplus and sigmoid from e^-|x|.
 * Included by selective_scan_lanes.h, which says what a version defines before. "_each" works on count values
 * at once. */
#ifndef CM_OPS_SELECTIVE_SCAN_VALUES_H
#define CM_OPS_SELECTIVE_SCAN_VALUES_H

#define LANES_INLINE static inline __attribute__((always_inline))

/* log(1 + e) for e in [0, 1]: e times a weighted minimax polynomial of degree 8, relative error 8e-8. */
LANES_INLINE void lanes_log1p01_each(const lanes *e, lanes *log, const int count) {
    static const float coefficients[] = {0.005232674f, -0.029505152f, 0.0782258f,   -0.13663232f, 0.19105999f,
                                         -0.2484298f,  0.33319098f,   -0.49999493f, 0.99999994f};
    for (int t = 0; t < count; t++) log[t] = lanes_set(coefficients[0]);
    for (int i = 1; i < 9; i++)
        for (int t = 0; t < count; t++) log[t] = lanes_fma(log[t], e[t], lanes_set(coefficients[i]));
    for (int t = 0; t < count; t++) log[t] = lanes_mul(log[t], e[t]);
}

/* e^-|x| */
LANES_INLINE void lanes_exp_below_each(const lanes *x, lanes *e, const int count) {
    const lanes log2e = lanes_set(0x1.715476p0f), zero = lanes_set(0.0f);
    for (int t = 0; t < count; t++)
        e[t] = lanes_mul(lanes_pick_negative(x[t], x[t], lanes_sub(zero, x[t])), log2e);
    lanes_exp2_each(e, count);
}

/* 1 / (1 + e^-x) from e = e^-|x| */
LANES_INLINE lanes lanes_sigmoid_of(lanes x, lanes e) {
    return lanes_mul(lanes_pick_negative(x, e, lanes_set(1.0f)),
                     lanes_reciprocal(lanes_add(lanes_set(1.0f), e)));
}

/* log(1 + e^x) from e = e^-|x|; equal to x above 20 */
LANES_INLINE void lanes_softplus_of_each(const lanes *x, const lanes *e, lanes *y, const int count) {
    lanes_log1p01_each(e, y, count);
    for (int t = 0; t < count; t++) y[t] = lanes_add(lanes_max(lanes_set(0.0f), x[t]), y[t]);
}

#endif
