/* Layer normalisation over the columns (Ba, Kiros, Hinton 2016): x [T, d], weight [1, d], bias [1, d] ->
 * [T, d]. With r = 1 / sqrt(var(x) + eps) and h = (x - mean(x)) r: y = h weight + bias; var divides by d.
 * Backward, with k = grad * weight: grad_x = r (k - mean(k) - h mean(k h)), grad_weight = sum grad h,
 * grad_bias = sum grad. Reads attr.eps. Saves mean and r of each row; scratch holds per block of rows
 * the sums of both weight gradients. out may be x. */
#include "base/rng.h"
#include "ops/op_util.h"
#include "ops/vmath.h"

static cm_status shape(const cm_op_call *call, cm_op_shape *result, cm_error *error) {
    static const char op[] = "layer_norm";
    CM_TRY(cm_op_check_count(call, op, 3, 3, error));
    CM_TRY(cm_op_check_input(call, op, 0, "x", -1, -1, error));
    cm_mat x = call->in[0];
    if (x.cols < 1) return cm_op_refuse(error, op, "x", "at least 1 column", "none");
    CM_TRY(cm_op_check_input(call, op, 1, "weight", 1, x.cols, error));
    CM_TRY(cm_op_check_input(call, op, 2, "bias", 1, x.cols, error));
    if (!(call->attr->eps >= 0 && isfinite(call->attr->eps)))
        return cm_op_refuse(error, op, "eps", "a finite number >= 0", "%g", (double)call->attr->eps);
    *result = (cm_op_shape){.rows = x.rows, .cols = x.cols};
    CM_TRY(cm_op_add_floats(op, x.rows, 2, 1, &result->saved_floats, error));
    return cm_op_add_floats(op, cm_op_row_blocks(x.rows).count, x.cols, 2, &result->scratch_floats, error);
}

static void reference(const cm_op_reference_call *call) {
    int64_t d = call->cols;
    for (int64_t t = 0; t < call->rows; t++) {
        const double *x = call->in[0].data + t * d;
        double mean = 0, variance = 0;
        for (int64_t c = 0; c < d; c++) mean += x[c] / (double)d;
        for (int64_t c = 0; c < d; c++) variance += (x[c] - mean) * (x[c] - mean) / (double)d;
        double r = 1 / sqrt(variance + (double)call->attr->eps);
        for (int64_t c = 0; c < d; c++)
            call->out[t * d + c] = (x[c] - mean) * r * call->in[1].data[c] + call->in[2].data[c];
    }
}

static void generate(cm_op_case *test, uint64_t key, int index) {
    static const float eps[] = {1e-5f, 1e-2f, 1.0f};
    cm_case_one(test, key, index);
    test->n_in = 3;
    for (int i = 1; i < 3; i++) {
        test->in[i].rows = 1;
        test->in[i].cols = test->in[0].cols;
    }
    test->in[0].spread = index % 2 ? 1 : 4;
    test->attr.eps = test->in[0].cols < 4 ? eps[2] : eps[index % 3]; /* few columns: badly conditioned */
}

/* out may be x. */
CM_CLONES static void normalise(const float *x, const float *restrict weight, const float *restrict bias,
                                float *out, int64_t d, float eps, float *restrict mean_and_r) {
    float lanes[CM_LANES];
    CM_LANE_SUM(lanes, d, i, x[i]);
    float mean = cm_lane_total(lanes) / (float)d;
    CM_LANE_SUM(lanes, d, i, (x[i] - mean) * (x[i] - mean));
    float r = 1.0f / sqrtf(cm_lane_total(lanes) / (float)d + eps);
#pragma GCC ivdep
    for (int64_t i = 0; i < d; i++) out[i] = (x[i] - mean) * r * weight[i] + bias[i];
    mean_and_r[0] = mean;
    mean_and_r[1] = r;
}

CM_CLONES static void grad_row(const float *restrict x, const float *restrict weight,
                               const float *restrict grad, float *restrict out, int64_t d, float mean,
                               float r, bool add) {
    float lanes[CM_LANES];
    CM_LANE_SUM(lanes, d, i, grad[i] * weight[i]);
    float k = cm_lane_total(lanes) / (float)d;
    CM_LANE_SUM(lanes, d, i, grad[i] * weight[i] * ((x[i] - mean) * r));
    float kh = cm_lane_total(lanes) / (float)d;
    if (add)
        for (int64_t i = 0; i < d; i++) out[i] += r * (grad[i] * weight[i] - k - (x[i] - mean) * r * kh);
    else
        for (int64_t i = 0; i < d; i++) out[i] = r * (grad[i] * weight[i] - k - (x[i] - mean) * r * kh);
}

CM_CLONES static void grad_parameters(const float *restrict x, const float *restrict grad,
                                      float *restrict weight_sum, float *restrict bias_sum, int64_t d,
                                      float mean, float r) {
    for (int64_t i = 0; i < d; i++) {
        weight_sum[i] += grad[i] * ((x[i] - mean) * r);
        bias_sum[i] += grad[i];
    }
}

static void forward_rows(void *context, int64_t begin, int64_t end, int member) {
    (void)member;
    const cm_op_call *call = context;
    for (int64_t t = begin; t < end; t++)
        normalise(cm_mat_row(call->in[0], t), call->in[1].data, call->in[2].data, cm_mat_row(call->out, t),
                  call->out.cols, call->attr->eps, call->saved + 2 * t);
}

static void backward_blocks(void *context, int64_t begin, int64_t end, int member) {
    (void)member;
    const cm_op_call *call = context;
    int64_t d = call->grad_out.cols, rows = call->grad_out.rows, size = cm_op_row_blocks(rows).rows;
    bool parameters = call->grad_in[1].data || call->grad_in[2].data;
    for (int64_t b = begin; b < end; b++) {
        float *sums = call->scratch + b * 2 * d;
        memset(sums, 0, 2 * (size_t)d * sizeof(float));
        for (int64_t t = b * size; t < rows && t < (b + 1) * size; t++) {
            const float *x = cm_mat_row(call->in[0], t), *grad = cm_mat_row(call->grad_out, t);
            float mean = call->saved[2 * t], r = call->saved[2 * t + 1];
            if (call->grad_in[0].data)
                grad_row(x, call->in[1].data, grad, cm_mat_row(call->grad_in[0], t), d, mean, r,
                         call->accumulate[0]);
            if (parameters) grad_parameters(x, grad, sums, sums + d, d, mean, r);
        }
    }
}

static void forward(const cm_op_call *call) {
    cm_team_for(call->team, call->out.rows, cm_op_row_grain(call->out.cols), forward_rows, (void *)call);
}

static void backward(const cm_op_call *call) {
    int64_t d = call->grad_out.cols;
    cm_op_blocks blocks = cm_op_row_blocks(call->grad_out.rows);
    cm_team_for(call->team, blocks.count, cm_op_row_grain(d * blocks.rows), backward_blocks, (void *)call);
    for (int i = 1; i < 3; i++)
        if (call->grad_in[i].data)
            cm_op_sum_blocks(blocks, call->scratch + (i - 1) * d, 2 * d, call->grad_in[i],
                             call->accumulate[i]);
}

const cm_op cm_op_layer_norm = {.name = "layer_norm",
                                .formula = "y = (x - mean) / sqrt(var + eps) * weight + bias, per row",
                                .differentiable = 7,
                                .shape = shape,
                                .reference = reference,
                                .generate = generate,
                                .forward_bound = 3e-6,
                                .gradient_bound = 2e-5,
                                .bound_by_largest = true,
                                .versions = {{"plain", NULL, forward, backward}}};
