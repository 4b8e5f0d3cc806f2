/* Softplus: x [T, d] -> log(1 + e^x), stable for large |x|. Reads no attributes. */
#include "ops/op_unary.h"

static double exact(double x) {
    return (x > 0 ? x : 0) + log1p(exp(-fabs(x)));
}

CM_UNARY_OP(softplus, "y = log(1 + exp(x))", cm_softplusf, cm_softplus_slopef, exact, CM_FILL_NORMAL, 1e-6)
