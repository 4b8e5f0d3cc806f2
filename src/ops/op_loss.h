/* Losses: x [n, 1] (logits or predictions), label [n, 1], weight [n, 1] or absent -> [1, 1], the mean of
 * loss(x, label): over n without weights, else sum(weight * loss) / sum(weight). 0 when n or the sum of
 * the weights is 0. Only x has a gradient. An op file names its loss through CM_LOSS_OP. Values are made
 * and added in float64, in the order of the rows: n is one batch. */
#ifndef CM_OPS_OP_LOSS_H
#define CM_OPS_OP_LOSS_H

#include "ops/op_util.h"
#include <math.h>

typedef struct cm_loss {
    const char *name, *input; /* input: what to call x in messages */
    double (*value)(const cm_op_attr *attr, double x, double label);
    double (*slope)(const cm_op_attr *attr, double x, double label); /* d value / dx */
    /* value written another way, for the parity test */
    double (*reference)(const cm_op_attr *attr, double x, double label);
} cm_loss;

cm_status cm_loss_shape(const cm_loss *loss, const cm_op_call *call, cm_op_shape *shape, cm_error *error);
void cm_loss_reference(const cm_loss *loss, const cm_op_reference_call *call);
/* Sizes and weights; the op's own generator sets the labels' fill and the attributes. */
void cm_loss_generate(cm_op_case *test, uint64_t key, int index);
void cm_loss_forward(const cm_loss *loss, const cm_op_call *call);
void cm_loss_backward(const cm_loss *loss, const cm_op_call *call);

/* log(1 + e^x), stable */
static inline double cm_loss_softplus(double x) {
    return (x > 0 ? x : 0) + log1p(exp(-fabs(x)));
}

/* 1 / (1 + e^-x), stable */
static inline double cm_loss_sigmoid(double x) {
    double e = exp(-fabs(x));
    return (x < 0 ? e : 1) / (1 + e);
}

/* Defines cm_op_<NAME>. The file has static value, slope, exact (the reference), check (refuses bad
 * attributes) and adjust (completes a test case). */
#define CM_LOSS_OP(NAME, FORMULA, INPUT)                                                   \
    static const cm_loss loss = {#NAME, INPUT, value, slope, exact};                       \
    static cm_status shape(const cm_op_call *call, cm_op_shape *result, cm_error *error) { \
        CM_TRY(check(call->attr, error));                                                  \
        return cm_loss_shape(&loss, call, result, error);                                  \
    }                                                                                      \
    static void reference(const cm_op_reference_call *call) {                              \
        cm_loss_reference(&loss, call);                                                    \
    }                                                                                      \
    static void generate(cm_op_case *test, uint64_t key, int index) {                      \
        cm_loss_generate(test, key, index);                                                \
        adjust(test, index);                                                               \
    }                                                                                      \
    static void forward(const cm_op_call *call) {                                          \
        cm_loss_forward(&loss, call);                                                      \
    }                                                                                      \
    static void backward(const cm_op_call *call) {                                         \
        cm_loss_backward(&loss, call);                                                     \
    }                                                                                      \
    const cm_op cm_op_##NAME = {.name = #NAME,                                             \
                                .formula = FORMULA,                                        \
                                .differentiable = 1,                                       \
                                .shape = shape,                                            \
                                .reference = reference,                                    \
                                .generate = generate,                                      \
                                .forward_bound = 1e-6,                                     \
                                .gradient_bound = 2e-6,                                    \
                                .versions = {{"plain", NULL, forward, backward}}};

#endif
