/* Distance of elements: |a [T, d] - b [T, d]|; the gradient where a = b is 0. Reads no attributes. */
#include "ops/op_binary.h"

/* Values below, at and above zero give -1, 0 and 1. */
CM_VMATH_INLINE float sign_of(float x) {
    return x > 0.0f ? 1.0f : (x < 0.0f ? -1.0f : 0.0f);
}

static double exact(double a, double b) {
    return fabs(a - b);
}

/* The kink at a = b is kept out of the way: one of the two is at least 0.1, the other near 0. */
static void adjust(cm_op_case *test, int index) {
    test->in[index % 2].fill = CM_FILL_POSITIVE;
    test->in[1 - index % 2].spread = 0.01;
}

CM_BINARY_OP(abs_difference, "y = |a - b|", false, fabsf(a[i] - b[i]), grad[i] * sign_of(a[i] - b[i]),
             -grad[i] * sign_of(a[i] - b[i]), exact, adjust)
