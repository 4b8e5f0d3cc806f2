/* Binary cross-entropy on logits: logit [n, 1], label [n, 1] in [0, 1], weight or absent -> mean of
 * log(1 + e^x) - label x (see op_loss.h for the mean). Reads no attributes. */
#include "ops/op_loss.h"

static double value(const cm_op_attr *attr, double x, double label) {
    (void)attr;
    return (1 - label) * cm_loss_softplus(x) + label * cm_loss_softplus(-x);
}

static double slope(const cm_op_attr *attr, double x, double label) {
    (void)attr;
    return (1 - label) * cm_loss_sigmoid(x) - label * cm_loss_sigmoid(-x);
}

static double exact(const cm_op_attr *attr, double x, double label) {
    (void)attr;
    return fmax(x, 0) - label * x + log1p(exp(-fabs(x)));
}

static cm_status check(const cm_op_attr *attr, cm_error *error) {
    (void)attr;
    (void)error;
    return CM_OK;
}

static void adjust(cm_op_case *test, int index) {
    test->in[1].fill = index % 2 ? CM_FILL_BINARY : CM_FILL_ZERO_ONE;
    if (index % 8 == 7) test->in[0].spread = 1e4;
}

CM_LOSS_OP(bce_loss, "mean of log(1 + exp(x)) - label x", "logit")
