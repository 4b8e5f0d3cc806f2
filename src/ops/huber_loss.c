/* Huber's loss (1964): prediction [n, 1], label [n, 1], weight or absent -> mean of e^2 / 2 for |e| <=
 * delta, else delta (|e| - delta / 2), e = prediction - label (see op_loss.h for the mean). Reads
 * attr.delta > 0. */
#include "ops/op_loss.h"

static double value(const cm_op_attr *attr, double x, double label) {
    double e = fabs(x - label), delta = (double)attr->delta;
    return e <= delta ? 0.5 * e * e : delta * (e - 0.5 * delta);
}

static double slope(const cm_op_attr *attr, double x, double label) {
    return fmin(fmax(x - label, -(double)attr->delta), (double)attr->delta);
}

/* The largest line or parabola below: max over |s| <= delta of s e - s^2 / 2. */
static double exact(const cm_op_attr *attr, double x, double label) {
    double e = x - label, s = copysign(fmin(fabs(e), (double)attr->delta), e);
    return s * e - 0.5 * s * s;
}

static cm_status check(const cm_op_attr *attr, cm_error *error) {
    if (attr->delta > 0 && isfinite(attr->delta)) return CM_OK;
    return cm_op_refuse(error, "huber_loss", "delta", "a finite number above 0", "%g", (double)attr->delta);
}

static void adjust(cm_op_case *test, int index) {
    static const float deltas[] = {1.0f, 0.1f, 5.0f, 1000.0f};
    test->attr.delta = deltas[index % 4];
}

CM_LOSS_OP(huber_loss, "mean of e^2 / 2 for |e| <= delta, else delta (|e| - delta / 2); e = x - label",
           "prediction")
