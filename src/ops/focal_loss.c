/* Focal loss on logits (Lin et al. 2017, equation 5): logit [n, 1], label [n, 1] 0 or 1, weight or absent
 * -> mean of -alpha_t (1 - p_t)^gamma log p_t (see op_loss.h for the mean), where p_t is the probability
 * given to the label; alpha_t is alpha for label 1, 1 - alpha for label 0, and 1 for both when alpha < 0.
 * Reads attr.gamma in [0, 10] and attr.alpha at most 1.
 *
 * With z = x for label 1 and -x for label 0, s(z) = log(1 + e^z) and p = sigmoid: the loss is
 * alpha_t e^(-gamma s(z)) s(-z), which neither overflows nor cancels; its derivative in z is
 * -alpha_t e^(-gamma s(z)) (gamma p(z) s(-z) + p(-z)). */
#include "ops/op_loss.h"

static double class_weight(const cm_op_attr *attr, bool positive) {
    if (attr->alpha < 0) return 1;
    return positive ? (double)attr->alpha : 1 - (double)attr->alpha;
}

static double value(const cm_op_attr *attr, double x, double label) {
    double z = label > 0.5 ? x : -x;
    return class_weight(attr, label > 0.5) * exp(-(double)attr->gamma * cm_loss_softplus(z)) *
           cm_loss_softplus(-z);
}

static double slope(const cm_op_attr *attr, double x, double label) {
    double z = label > 0.5 ? x : -x, gamma = (double)attr->gamma;
    double inner = gamma * cm_loss_sigmoid(z) * cm_loss_softplus(-z) + cm_loss_sigmoid(-z);
    double down = class_weight(attr, label > 0.5) * exp(-gamma * cm_loss_softplus(z)) * inner;
    return label > 0.5 ? -down : down;
}

/* Straight from the equation, with 1 - p_t and log p_t from e^-|z|. */
static double exact(const cm_op_attr *attr, double x, double label) {
    double z = label > 0.5 ? x : -x, e = exp(-fabs(z));
    double miss = (z > 0 ? e : 1) / (1 + e), log_p = fmin(z, 0) - log1p(e);
    return -class_weight(attr, label > 0.5) * pow(miss, (double)attr->gamma) * log_p;
}

static cm_status check(const cm_op_attr *attr, cm_error *error) {
    if (!(attr->gamma >= 0 && attr->gamma <= 10))
        return cm_op_refuse(error, "focal_loss", "gamma", "0 to 10", "%g", (double)attr->gamma);
    if (!(attr->alpha <= 1))
        return cm_op_refuse(error, "focal_loss", "alpha", "at most 1", "%g", (double)attr->alpha);
    return CM_OK;
}

static void adjust(cm_op_case *test, int index) {
    static const float gammas[] = {2.0f, 0.0f, 0.5f, 1.0f, 10.0f}, alphas[] = {0.25f, -1.0f, 0.75f};
    test->attr.gamma = gammas[index % 5];
    test->attr.alpha = alphas[index % 3];
    test->in[1].fill = CM_FILL_BINARY;
    if (index % 8 == 7) test->in[0].spread = 1e4;
}

CM_LOSS_OP(focal_loss, "mean of -alpha_t (1 - p_t)^gamma log p_t", "logit")
