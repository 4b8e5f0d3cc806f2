/* Softmax over the columns: x [T, d] -> exp(x - max) / sum exp(x - max). Backward, y the output:
 * grad_x = y (grad - sum(grad y)). Reads no attributes. Saves max and 1 / sum of each row, from which
 * backward makes y again. */
#include "base/rng.h"
#include "ops/op_util.h"
#include "ops/vmath.h"

static cm_status shape(const cm_op_call *call, cm_op_shape *result, cm_error *error) {
    static const char op[] = "softmax";
    CM_TRY(cm_op_check_count(call, op, 1, 1, error));
    CM_TRY(cm_op_check_input(call, op, 0, "x", -1, -1, error));
    cm_mat x = call->in[0];
    if (x.cols < 1) return cm_op_refuse(error, op, "x", "at least 1 column", "none");
    *result = (cm_op_shape){.rows = x.rows, .cols = x.cols};
    return cm_op_add_floats(op, x.rows, 2, 1, &result->saved_floats, error);
}

static void reference(const cm_op_reference_call *call) {
    int64_t d = call->cols;
    for (int64_t t = 0; t < call->rows; t++) {
        const double *x = call->in[0].data + t * d;
        double largest = x[0], sum = 0;
        for (int64_t c = 1; c < d; c++) largest = fmax(largest, x[c]);
        for (int64_t c = 0; c < d; c++) sum += exp(x[c] - largest);
        for (int64_t c = 0; c < d; c++) call->out[t * d + c] = exp(x[c] - largest) / sum;
    }
}

static void generate(cm_op_case *test, uint64_t key, int index) {
    static const double spreads[] = {1, 5, 40};
    cm_case_one(test, key, index);
    test->in[0].spread = spreads[index % 3];
}

CM_CLONES static float largest_of(const float *restrict x, int64_t d) {
    float lanes[CM_LANES];
    int64_t whole = d - d % CM_LANES;
    for (int l = 0; l < CM_LANES; l++) lanes[l] = x[0];
    for (int64_t i = 0; i < whole; i += CM_LANES)
        for (int l = 0; l < CM_LANES; l++) lanes[l] = x[i + l] > lanes[l] ? x[i + l] : lanes[l];
    for (int64_t i = whole; i < d; i++) lanes[0] = x[i] > lanes[0] ? x[i] : lanes[0];
    for (int l = 1; l < CM_LANES; l++) lanes[0] = lanes[l] > lanes[0] ? lanes[l] : lanes[0];
    return lanes[0];
}

CM_CLONES static void softmax_row(const float *restrict x, float *restrict out, int64_t d, float largest,
                                  float *restrict saved) {
    float lanes[CM_LANES];
    for (int64_t i = 0; i < d; i++) out[i] = cm_expf(x[i] - largest);
    CM_LANE_SUM(lanes, d, i, out[i]);
    float inverse = 1.0f / cm_lane_total(lanes);
    for (int64_t i = 0; i < d; i++) out[i] *= inverse;
    saved[0] = largest;
    saved[1] = inverse;
}

CM_CLONES static void grad_row(const float *restrict x, const float *restrict grad, float *restrict out,
                               int64_t d, float largest, float inverse, bool add) {
    float lanes[CM_LANES];
    CM_LANE_SUM(lanes, d, i, grad[i] * (cm_expf(x[i] - largest) * inverse));
    float mean = cm_lane_total(lanes);
    if (add)
        for (int64_t i = 0; i < d; i++) out[i] += cm_expf(x[i] - largest) * inverse * (grad[i] - mean);
    else
        for (int64_t i = 0; i < d; i++) out[i] = cm_expf(x[i] - largest) * inverse * (grad[i] - mean);
}

static void forward_rows(void *context, int64_t begin, int64_t end, int member) {
    (void)member;
    const cm_op_call *call = context;
    int64_t d = call->out.cols;
    for (int64_t t = begin; t < end; t++) {
        const float *x = cm_mat_row(call->in[0], t);
        softmax_row(x, cm_mat_row(call->out, t), d, largest_of(x, d), call->saved + 2 * t);
    }
}

static void backward_rows(void *context, int64_t begin, int64_t end, int member) {
    (void)member;
    const cm_op_call *call = context;
    for (int64_t t = begin; t < end; t++)
        grad_row(cm_mat_row(call->in[0], t), cm_mat_row(call->grad_out, t), cm_mat_row(call->grad_in[0], t),
                 call->grad_out.cols, call->saved[2 * t], call->saved[2 * t + 1], call->accumulate[0]);
}

static void forward(const cm_op_call *call) {
    cm_team_for(call->team, call->out.rows, cm_op_row_grain(call->out.cols), forward_rows, (void *)call);
}

static void backward(const cm_op_call *call) {
    if (!call->grad_in[0].data) return;
    cm_team_for(call->team, call->grad_out.rows, cm_op_row_grain(call->grad_out.cols), backward_rows,
                (void *)call);
}

const cm_op cm_op_softmax = {.name = "softmax",
                             .formula = "y = exp(x - max) / sum(exp(x - max)), per row",
                             .differentiable = 1,
                             .shape = shape,
                             .reference = reference,
                             .generate = generate,
                             .forward_bound = 2e-6,
                             .gradient_bound = 5e-6,
                             .versions = {{"plain", NULL, forward, backward}}};
