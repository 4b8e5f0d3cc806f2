/* Ops that combine two matrices element by element: a [T, d], b [T, d] -> [T, d]; where the op allows,
 * b may be one row [1, d] used for all rows, and its gradient is then the sum over the rows. */
#ifndef CM_OPS_OP_BINARY_H
#define CM_OPS_OP_BINARY_H

#include "ops/op_util.h"
#include "ops/vmath.h"

/* The gradient kernels: out[n] = grad[n] df/da (or df/db), and += for the add_ ones. */
typedef void cm_binary_slope(const float *restrict a, const float *restrict b, const float *restrict grad,
                             float *restrict out, int64_t n);

typedef struct cm_binary {
    const char *name;
    bool one_row; /* b may be [1, d] */
    void (*map)(const float *restrict a, const float *restrict b, float *restrict out, int64_t n);
    cm_binary_slope *slope[2], *add_slope[2];
    double (*reference)(double a, double b);
} cm_binary;

cm_status cm_binary_shape(const cm_binary *binary, const cm_op_call *call, cm_op_shape *shape,
                          cm_error *error);
void cm_binary_reference(const cm_binary *binary, const cm_op_reference_call *call);
void cm_binary_generate(const cm_binary *binary, cm_op_case *test, uint64_t key, int index);
void cm_binary_forward(const cm_binary *binary, const cm_op_call *call);
void cm_binary_backward(const cm_binary *binary, const cm_op_call *call);

/* Defines one gradient kernel: VALUE in terms of a[i], b[i], grad[i]; ASSIGN is = or +=. */
#define CM_BINARY_SLOPE(NAME, ASSIGN, VALUE)                                                                 \
    CM_CLONES static void NAME(const float *restrict a, const float *restrict b, const float *restrict grad, \
                               float *restrict out, int64_t n) {                                             \
        (void)a;                                                                                             \
        (void)b;                                                                                             \
        for (int64_t i = 0; i < n; i++) out[i] ASSIGN VALUE;                                                 \
    }

/* Defines cm_op_<NAME> from expressions in a[i], b[i] and, for the gradients, grad[i]; REFERENCE is a
 * float64 function; GENERATE is called after the common generator. */
#define CM_BINARY_OP(NAME, FORMULA, ONE_ROW, VALUE, SLOPE_A, SLOPE_B, REFERENCE, GENERATE)                   \
    CM_CLONES static void map(const float *restrict a, const float *restrict b, float *restrict out,         \
                              int64_t n) {                                                                   \
        for (int64_t i = 0; i < n; i++) out[i] = VALUE;                                                      \
    }                                                                                                        \
    CM_BINARY_SLOPE(slope_a, =, SLOPE_A)                                                                     \
    CM_BINARY_SLOPE(slope_b, =, SLOPE_B)                                                                     \
    CM_BINARY_SLOPE(add_slope_a, +=, SLOPE_A)                                                                \
    CM_BINARY_SLOPE(add_slope_b, +=, SLOPE_B)                                                                \
    static const cm_binary binary = {#NAME,    ONE_ROW, map, {slope_a, slope_b}, {add_slope_a, add_slope_b}, \
                                     REFERENCE};                                                             \
    static cm_status shape(const cm_op_call *call, cm_op_shape *result, cm_error *error) {                   \
        return cm_binary_shape(&binary, call, result, error);                                                \
    }                                                                                                        \
    static void reference(const cm_op_reference_call *call) {                                                \
        cm_binary_reference(&binary, call);                                                                  \
    }                                                                                                        \
    static void generate(cm_op_case *test, uint64_t key, int index) {                                        \
        cm_binary_generate(&binary, test, key, index);                                                       \
        GENERATE(test, index);                                                                               \
    }                                                                                                        \
    static void forward(const cm_op_call *call) {                                                            \
        cm_binary_forward(&binary, call);                                                                    \
    }                                                                                                        \
    static void backward(const cm_op_call *call) {                                                           \
        cm_binary_backward(&binary, call);                                                                   \
    }                                                                                                        \
    const cm_op cm_op_##NAME = {.name = #NAME,                                                               \
                                .formula = FORMULA,                                                          \
                                .differentiable = 3,                                                         \
                                .shape = shape,                                                              \
                                .reference = reference,                                                      \
                                .generate = generate,                                                        \
                                .forward_bound = 2e-7,                                                       \
                                .gradient_bound = 5e-6,                                                      \
                                .versions = {{"plain", NULL, forward, backward}}};

#endif
