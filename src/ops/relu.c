/* ReLU: x [T, d] -> max(x, 0); the derivative at 0 is 0. Reads no attributes. */
#include "ops/op_unary.h"

static double exact(double x) {
    return x < 0 ? 0 : x;
}

CM_UNARY_OP(relu, "y = max(x, 0)", cm_reluf, cm_relu_slopef, exact, CM_FILL_AWAY, 1e-7)
