/* Sigmoid: x [T, d] -> 1 / (1 + e^-x). Reads no attributes. */
#include "ops/op_unary.h"

static double exact(double x) {
    return 1 / (1 + exp(-x));
}

CM_UNARY_OP(sigmoid, "y = 1 / (1 + exp(-x))", cm_sigmoidf, cm_sigmoid_slopef, exact, CM_FILL_NORMAL, 1e-6)
