/* SiLU: x [T, d] -> x sigmoid(x). Reads no attributes. */
#include "ops/op_unary.h"

static double exact(double x) {
    return x / (1 + exp(-x));
}

CM_UNARY_OP(silu, "y = x / (1 + exp(-x))", cm_siluf, cm_silu_slopef, exact, CM_FILL_NORMAL, 1e-6)
