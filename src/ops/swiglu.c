/* Gate of a SwiGLU layer (Shazeer 2020) with a learned slope: a [T, f], g [T, f], beta [1, 1] -> [T, f]:
 *   y = a sigmoid(beta a) g
 * Reads no attributes. grad_beta is summed per row in 16 lanes, then over blocks of rows in order; scratch
 * holds a sum per block. */
#include "base/rng.h"
#include "ops/op_util.h"
#include "ops/vmath.h"

enum { A, G, BETA };

static cm_status shape(const cm_op_call *call, cm_op_shape *result, cm_error *error) {
    static const char op[] = "swiglu";
    CM_TRY(cm_op_check_count(call, op, 3, 3, error));
    CM_TRY(cm_op_check_input(call, op, A, "a", -1, -1, error));
    int64_t rows = call->in[A].rows, cols = call->in[A].cols;
    CM_TRY(cm_op_check_input(call, op, G, "g", rows, cols, error));
    CM_TRY(cm_op_check_input(call, op, BETA, "beta", 1, 1, error));
    *result = (cm_op_shape){.rows = rows, .cols = cols};
    return cm_op_add_floats(op, cm_op_row_blocks(rows).count, 1, 1, &result->scratch_floats, error);
}

static void reference(const cm_op_reference_call *call) {
    double beta = call->in[BETA].data[0];
    for (int64_t i = 0; i < call->rows * call->cols; i++) {
        double a = call->in[A].data[i];
        call->out[i] = a / (1 + exp(-beta * a)) * call->in[G].data[i];
    }
}

static void generate(cm_op_case *test, uint64_t key, int index) {
    static const double spreads[] = {1, 3, 10, 0.1};
    cm_case_one(test, key, index);
    test->n_in = 3;
    test->in[A].spread = spreads[index % 4];
    test->in[G].rows = test->in[A].rows;
    test->in[G].cols = test->in[A].cols;
    test->in[BETA].rows = test->in[BETA].cols = 1;
}

CM_CLONES static void map(const float *restrict a, const float *restrict g, float beta, float *restrict out,
                          int64_t n) {
    for (int64_t i = 0; i < n; i++) out[i] = a[i] * cm_sigmoidf(beta * a[i]) * g[i];
}

/* out[n] (+)= grad g (s + beta a s'), s and s' sigmoid and its slope at beta a */
CM_CLONES static void slope_a(const float *restrict a, const float *restrict g, float beta,
                              const float *restrict grad, float *restrict out, int64_t n, bool add) {
    for (int64_t i = 0; i < n; i++) {
        float x = beta * a[i];
        float slope = grad[i] * g[i] * (cm_sigmoidf(x) + x * cm_sigmoid_slopef(x));
        out[i] = add ? out[i] + slope : slope;
    }
}

CM_CLONES static void slope_g(const float *restrict a, float beta, const float *restrict grad,
                              float *restrict out, int64_t n, bool add) {
    for (int64_t i = 0; i < n; i++) {
        float slope = grad[i] * (a[i] * cm_sigmoidf(beta * a[i]));
        out[i] = add ? out[i] + slope : slope;
    }
}

/* sum of grad g a^2 s' */
CM_CLONES static float slope_beta(const float *restrict a, const float *restrict g, float beta,
                                  const float *restrict grad, int64_t n) {
    float lanes[CM_LANES];
    CM_LANE_SUM(lanes, n, i, grad[i] * g[i] * (a[i] * a[i] * cm_sigmoid_slopef(beta * a[i])));
    return cm_lane_total(lanes);
}

static void forward_rows(void *context, int64_t begin, int64_t end, int member) {
    (void)member;
    const cm_op_call *call = context;
    for (int64_t t = begin; t < end; t++)
        map(cm_mat_row(call->in[A], t), cm_mat_row(call->in[G], t), call->in[BETA].data[0],
            cm_mat_row(call->out, t), call->out.cols);
}

static void forward(const cm_op_call *call) {
    cm_team_for(call->team, call->out.rows, cm_op_row_grain(call->out.cols), forward_rows, (void *)call);
}

static void backward_blocks(void *context, int64_t begin, int64_t end, int member) {
    (void)member;
    const cm_op_call *call = context;
    int64_t n = call->grad_out.cols, rows = call->grad_out.rows, size = cm_op_row_blocks(rows).rows;
    float beta = call->in[BETA].data[0];
    for (int64_t b = begin; b < end; b++) {
        float sum = 0;
        for (int64_t t = b * size; t < rows && t < (b + 1) * size; t++) {
            const float *a = cm_mat_row(call->in[A], t), *g = cm_mat_row(call->in[G], t);
            const float *grad = cm_mat_row(call->grad_out, t);
            if (call->grad_in[A].data)
                slope_a(a, g, beta, grad, cm_mat_row(call->grad_in[A], t), n, call->accumulate[A]);
            if (call->grad_in[G].data)
                slope_g(a, beta, grad, cm_mat_row(call->grad_in[G], t), n, call->accumulate[G]);
            if (call->grad_in[BETA].data) sum += slope_beta(a, g, beta, grad, n);
        }
        call->scratch[b] = sum;
    }
}

static void backward(const cm_op_call *call) {
    cm_op_blocks blocks = cm_op_row_blocks(call->grad_out.rows);
    int64_t grain = cm_op_row_grain(call->grad_out.cols * blocks.rows);
    cm_team_for(call->team, blocks.count, grain, backward_blocks, (void *)call);
    if (call->grad_in[BETA].data)
        cm_op_sum_blocks(blocks, call->scratch, 1, call->grad_in[BETA], call->accumulate[BETA]);
}

const cm_op cm_op_swiglu = {.name = "swiglu",
                            .formula = "y = a sigmoid(beta a) g",
                            .differentiable = 7,
                            .shape = shape,
                            .reference = reference,
                            .generate = generate,
                            .forward_bound = 1e-6,
                            .gradient_bound = 2e-5,
                            .bound_by_largest = true,
                            .versions = {{"plain", NULL, forward, backward}}};
