/* GELU with the normal distribution function, not the tanh form (Hendrycks, Gimpel 2016, equation 1):
 * x [T, d] -> x Phi(x). Reads no attributes. */
#include "ops/op_unary.h"

static double exact(double x) {
    return x * 0.5 * erfc(-x * M_SQRT1_2);
}

CM_UNARY_OP(gelu, "y = x (1 + erf(x / sqrt 2)) / 2", cm_geluf, cm_gelu_slopef, exact, CM_FILL_NORMAL, 1e-6)
