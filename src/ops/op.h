/* The table of ops.
 *
 * An op is one file ops/<name>.c and one row in ops/ops.def. It brings its shape rule, forward,
 * backward, a float64 reference, a generator of random test cases and its error bounds. One harness
 * (tests/ops/test_ops.c) walks the table: parity of every version against the reference, gradients
 * against finite differences of the reference. The tape (nn/tape.h) runs ops; training and inference
 * use the same ones.
 *
 * Kernels take views and sizes, never allocate, never fail: whatever can be wrong is refused by the
 * shape rule. Results do not depend on the team's size, and a row's result does not depend on which
 * other rows or segments are in the batch (only losses and weight gradients sum over rows; they do so
 * in an order fixed by the shapes alone). */
#ifndef CM_OPS_OP_H
#define CM_OPS_OP_H

#include "base/fail.h"
#include "base/team.h"
#include "tensor/mat.h"
#include <crossmamba/tables.h>
#include <stddef.h>

enum { CM_OP_MAX_IN = 8, CM_OP_MAX_SEGMENTS = 2 };

struct cm_packed;

typedef enum cm_activation {
    CM_ACT_NONE,
    CM_ACT_SILU,
    CM_ACT_GELU,
    CM_ACT_RELU,
    CM_ACT_SOFTPLUS
} cm_activation;

/* The parameters of all ops; each op's file says which ones it reads. Zero-initialise. */
typedef struct cm_op_attr {
    float eps;                /* norms, linear attention: least divisor */
    float probability;        /* dropout: chance of a zero */
    float sigma;              /* noise: standard deviation */
    float gamma, alpha;       /* focal loss */
    float delta;              /* Huber */
    float scale;              /* attention: factor on the scores, 0 = 1/sqrt(head width) */
    int heads;                /* attention, linear attention, rotary */
    cm_precision precision;   /* attention, forward only: CM_BF16 and CM_INT8 allow rounded products */
    int reverse;              /* conv1d, selective scan: run from the last row of a segment to the first */
    cm_activation activation; /* fused activation where an op offers it */
    uint64_t rng_key;         /* dropout, noise */
    /* selective scan, forward only: the state [d, n] before the first row in scan order, from which the
     * first segment that is not empty continues instead of from zero; on return the state after the last
     * row. So a stream can be run piece by piece with the bits of the whole. Nothing is saved then and
     * there is no gradient; the reference does not know it. NULL: none. */
    float *carry;
    /* linear, forward only: the weights, in place of the input weight (see ops/packed.h). There is no
     * gradient then; the reference does not know it. NULL: none. */
    const struct cm_packed *packed;
} cm_op_attr;

/* One application of an op. Views with data NULL are absent. */
typedef struct cm_op_call {
    const cm_op_attr *attr;
    cm_segments segments[CM_OP_MAX_SEGMENTS]; /* count 0 where unused */
    const int32_t *ids;                       /* embedding, rotary: a row of the table per output row */
    int64_t n_ids;
    int n_in;
    cm_mat in[CM_OP_MAX_IN];
    cm_mat out;
    float *saved;   /* written by forward, read by backward; saved_floats of the shape rule */
    float *scratch; /* contents lost between calls; scratch_floats of the shape rule */
    cm_team *team;
    /* backward only */
    cm_mat grad_out;
    cm_mat grad_in[CM_OP_MAX_IN];  /* data NULL: not wanted */
    bool accumulate[CM_OP_MAX_IN]; /* true: add to grad_in; false: overwrite it */
} cm_op_call;

/* What the shape rule answers. */
typedef struct cm_op_shape {
    int64_t rows, cols; /* of the output */
    size_t saved_floats, scratch_floats;
} cm_op_shape;

/* The float64 mirror of a call (dense matrices) for the reference version. */
typedef struct cm_op_reference_call {
    const cm_op_attr *attr;
    cm_segments segments[CM_OP_MAX_SEGMENTS];
    const int32_t *ids;
    int n_in;
    struct {
        const double *data; /* NULL: absent */
        int64_t rows, cols;
    } in[CM_OP_MAX_IN];
    double *out; /* [rows, cols] */
    int64_t rows, cols;
} cm_op_reference_call;

/* How the harness fills an input of a test case. */
typedef enum cm_op_fill {
    CM_FILL_NORMAL,   /* N(0, spread^2) */
    CM_FILL_AWAY,     /* as NORMAL but at least 0.05 from 0: for kinks at 0 */
    CM_FILL_POSITIVE, /* 0.1 + |N(0, spread^2)| */
    CM_FILL_BINARY,   /* 0 or 1 */
    CM_FILL_ZERO_ONE  /* uniform in [0, 1) */
} cm_op_fill;

/* A random test case; the generator fills it for case number `index` from `key` (cm_rng_*). Lengths 0,
 * 1, 2, primes and 10,000 belong in where they make sense (small widths beside long lengths: the
 * reference is slow). The harness owns the memory. */
enum { CM_OP_CASE_MAX_SEGMENTS = 64 };
typedef struct cm_op_case {
    cm_op_attr attr;
    int n_in;
    struct {
        int64_t rows, cols; /* rows = 0 and cols = 0: input absent */
        cm_op_fill fill;
        double spread; /* 0: 1 */
    } in[CM_OP_MAX_IN];
    int n_segments[CM_OP_MAX_SEGMENTS];
    int64_t begin[CM_OP_MAX_SEGMENTS][CM_OP_CASE_MAX_SEGMENTS];
    int64_t end[CM_OP_MAX_SEGMENTS][CM_OP_CASE_MAX_SEGMENTS];
    int64_t n_ids, id_limit; /* ids uniform in [0, id_limit) */
} cm_op_case;

typedef struct cm_op_version {
    const char *name;        /* "plain", "avx2", "avx512" */
    bool (*supported)(void); /* NULL: everywhere */
    void (*forward)(const cm_op_call *call);
    void (*backward)(const cm_op_call *call); /* NULL: the op has no gradient */
} cm_op_version;

typedef struct cm_op {
    const char *name;
    const char *formula;     /* one line for people */
    unsigned differentiable; /* bit i: input i has a gradient */
    /* Checks the views, segments, ids count and attributes of call (out and grads are not set yet) and
     * says the output's shape. CM_USAGE with a message naming the op on a mismatch. */
    cm_status (*shape)(const cm_op_call *call, cm_op_shape *shape, cm_error *error);
    void (*reference)(const cm_op_reference_call *call);
    void (*generate)(cm_op_case *test, uint64_t key, int index);
    double forward_bound;  /* |out - ref| <= bound * (1 + |ref|) */
    double gradient_bound; /* the same for each gradient element, against finite differences */
    /* A bound on the case's own scale instead of 1 + |ref|, for sums with cancellation: the harness
     * then uses bound * (1 + max |ref| of that tensor). */
    bool bound_by_largest;
    cm_op_version versions[4]; /* slowest first, the plain one is versions[0]; name NULL ends */
} cm_op;

#define CM_OP_ROW(name) extern const cm_op cm_op_##name;
#include "ops/ops.def"
#undef CM_OP_ROW

/* All ops of ops.def. */
extern const cm_op *const cm_ops[];
extern const int cm_ops_count;

/* The fastest version that this machine supports. */
const cm_op_version *cm_op_best(const cm_op *op);

#endif
