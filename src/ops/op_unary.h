/* Ops that apply one function to every element: x [T, d] -> [T, d]. An op file names its function
 * through CM_UNARY_OP; the loops over strided matrices and the team are here. */
#ifndef CM_OPS_OP_UNARY_H
#define CM_OPS_OP_UNARY_H

#include "ops/op_util.h"
#include "ops/vmath.h"

typedef struct cm_unary {
    const char *name;
    /* y[n] = f(x[n]) */
    void (*map)(const float *restrict x, float *restrict y, int64_t n);
    /* out[n] = grad[n] f'(x[n]) */
    void (*slope)(const float *restrict x, const float *restrict grad, float *restrict out, int64_t n);
    /* out[n] += grad[n] f'(x[n]) */
    void (*add_slope)(const float *restrict x, const float *restrict grad, float *restrict out, int64_t n);
    double (*reference)(double x);
} cm_unary;

extern const cm_unary cm_unary_silu, cm_unary_gelu, cm_unary_relu, cm_unary_softplus, cm_unary_sigmoid;

cm_status cm_unary_shape(const cm_unary *unary, const cm_op_call *call, cm_op_shape *shape, cm_error *error);
void cm_unary_reference(const cm_unary *unary, const cm_op_reference_call *call);
void cm_unary_forward(const cm_unary *unary, const cm_op_call *call);
void cm_unary_backward(const cm_unary *unary, const cm_op_call *call);
/* One matrix with values spread over f's interesting range. */
void cm_unary_generate(cm_op_case *test, uint64_t key, int index);

/* Defines cm_unary_<NAME> and cm_op_<NAME> from float functions F and its derivative SLOPE and the
 * float64 function REFERENCE. FILL: how the test cases fill x; BOUND: the forward bound. */
#define CM_UNARY_OP(NAME, FORMULA, F, SLOPE, REFERENCE, FILL, BOUND)                                      \
    CM_CLONES static void map(const float *restrict x, float *restrict y, int64_t n) {                    \
        for (int64_t i = 0; i < n; i++) y[i] = F(x[i]);                                                   \
    }                                                                                                     \
    CM_CLONES static void slope(const float *restrict x, const float *restrict grad, float *restrict out, \
                                int64_t n) {                                                              \
        for (int64_t i = 0; i < n; i++) out[i] = grad[i] * SLOPE(x[i]);                                   \
    }                                                                                                     \
    CM_CLONES static void add_slope(const float *restrict x, const float *restrict grad,                  \
                                    float *restrict out, int64_t n) {                                     \
        for (int64_t i = 0; i < n; i++) out[i] += grad[i] * SLOPE(x[i]);                                  \
    }                                                                                                     \
    const cm_unary cm_unary_##NAME = {#NAME, map, slope, add_slope, REFERENCE};                           \
    static cm_status shape(const cm_op_call *call, cm_op_shape *result, cm_error *error) {                \
        return cm_unary_shape(&cm_unary_##NAME, call, result, error);                                     \
    }                                                                                                     \
    static void reference(const cm_op_reference_call *call) {                                             \
        cm_unary_reference(&cm_unary_##NAME, call);                                                       \
    }                                                                                                     \
    static void generate(cm_op_case *test, uint64_t key, int index) {                                     \
        cm_unary_generate(test, key, index);                                                              \
        test->in[0].fill = FILL;                                                                          \
    }                                                                                                     \
    static void forward(const cm_op_call *call) {                                                         \
        cm_unary_forward(&cm_unary_##NAME, call);                                                         \
    }                                                                                                     \
    static void backward(const cm_op_call *call) {                                                        \
        cm_unary_backward(&cm_unary_##NAME, call);                                                        \
    }                                                                                                     \
    const cm_op cm_op_##NAME = {.name = #NAME,                                                            \
                                .formula = FORMULA,                                                       \
                                .differentiable = 1,                                                      \
                                .shape = shape,                                                           \
                                .reference = reference,                                                   \
                                .generate = generate,                                                     \
                                .forward_bound = BOUND,                                                   \
                                .gradient_bound = 2e-6,                                                   \
                                .versions = {{"plain", NULL, forward, backward}}};

#endif
