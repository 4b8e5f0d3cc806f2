/* Sum: a [T, d] + b [T, d] or [1, d]. Reads no attributes. */
#include "ops/op_binary.h"

static double exact(double a, double b) {
    return a + b;
}

static void adjust(cm_op_case *test, int index) {
    test->in[0].spread = index % 2 ? 1 : 10;
}

CM_BINARY_OP(add, "y = a + b", true, a[i] + b[i], grad[i], grad[i], exact, adjust)
