/* One generated test case of one op, laid out in guarded memory, with its float64 reference. */
#ifndef CM_TESTS_OP_TRIAL_H
#define CM_TESTS_OP_TRIAL_H

#include "ops/op.h"

/* A matrix with guards: when strided, a column slice of a wider matrix with a row above and below, all
 * of it outside the view holding one NaN pattern. When dense, exactly the matrix (a sanitizer sees
 * overruns). */
typedef struct guarded {
    float *memory;
    size_t count; /* floats */
    cm_mat view;
} guarded;

typedef struct op_trial {
    const cm_op *op;
    int index;
    uint64_t key;
    cm_op_case test;
    cm_op_shape shape;
    guarded in[CM_OP_MAX_IN], out, grad_out, grad_in[CM_OP_MAX_IN];
    float *in_copy[CM_OP_MAX_IN]; /* the memory of in as it must stay */
    double *exact_in[CM_OP_MAX_IN], *exact_out;
    int32_t *ids;
    float *saved, *scratch;
    cm_op_call call;
} op_trial;

/* Case number index. The shape rule must accept it. With strided all matrices are guarded slices. */
void trial_create(op_trial *trial, const cm_op *op, int index, bool strided);
void trial_clear(op_trial *trial);

/* Runs the reference on exact_in into out[shape.rows * shape.cols]. */
void trial_reference(const op_trial *trial, double *out);

/* Runs forward over garbage; checks guards and that nothing else was written. out: dense copy of the
 * result, or NULL. */
void trial_forward(op_trial *trial, const cm_op_version *version, cm_team *team, float *out);

/* Runs backward after trial_forward. wanted: bit i asks for the gradient of input i. With accumulate
 * the gradients start at start[i] (dense), else at NaN. grads[i]: dense copies of the results. */
void trial_backward(op_trial *trial, const cm_op_version *version, cm_team *team, unsigned wanted,
                    bool accumulate, float *const *start, float *const *grads);

/* Fails the test with the op, version (NULL allowed) and case named. */
void trial_complain(const op_trial *trial, const cm_op_version *version, const char *format, ...)
    __attribute__((format(printf, 3, 4), noreturn));

int64_t trial_elements(cm_mat view);
void *test_memory(size_t count, size_t size); /* as malloc, 64-byte aligned, never NULL */

#endif
