/* Squared error: prediction [n, 1], label [n, 1], weight or absent -> mean of (prediction - label)^2 (see
 * op_loss.h for the mean). Reads no attributes. */
#include "ops/op_loss.h"

static double value(const cm_op_attr *attr, double x, double label) {
    (void)attr;
    return (x - label) * (x - label);
}

static double slope(const cm_op_attr *attr, double x, double label) {
    (void)attr;
    return 2 * (x - label);
}

static double exact(const cm_op_attr *attr, double x, double label) {
    (void)attr;
    return pow(fabs(label - x), 2);
}

static cm_status check(const cm_op_attr *attr, cm_error *error) {
    (void)attr;
    (void)error;
    return CM_OK;
}

static void adjust(cm_op_case *test, int index) {
    test->in[1].spread = index % 2 ? 1 : 6;
}

CM_LOSS_OP(mse_loss, "mean (x - label)^2", "prediction")
