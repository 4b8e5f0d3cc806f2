/* Linear layer: y = activation(x W^T + bias) + residual, x [T, in], weight [out, in], bias [1, out] or
 * absent, residual [T, out] or absent -> [T, out]. With g = grad * activation'(pre): grad_x = g W,
 * grad_weight = g^T x, grad_bias = the sum of the rows of g, grad_residual = grad. Reads attr.activation and
 * attr.packed, which takes the place of weight. Saves the values before the activation when there is one,
 * nothing with packed; scratch holds g (with an activation) and the sums of g over each block of rows, or
 * what the packed product needs. With packed out may be residual. All sums over products are those of
 * ops/gemm.h, the bias being the value that is added to. */
#include "base/rng.h"
#include "ops/gemm.h"
#include "ops/op_util.h"
#include "ops/packed.h"
#include "ops/vmath.h"

enum { X, WEIGHT, BIAS, RESIDUAL };

static cm_status check_weight(const cm_op_call *call, const char *op, cm_error *error) {
    const cm_packed *packed = call->attr->packed;
    if (!packed) return cm_op_check_input(call, op, WEIGHT, "weight", -1, call->in[X].cols, error);
    if (cm_op_has(call, WEIGHT))
        return cm_op_refuse(error, op, "weight", "none beside packed weights", "one");
    return cm_op_check_input(call, op, X, "x", -1, cm_packed_in(packed), error);
}

static cm_status shape(const cm_op_call *call, cm_op_shape *result, cm_error *error) {
    static const char op[] = "linear";
    const cm_packed *packed = call->attr->packed;
    CM_TRY(cm_op_check_count(call, op, 2, 4, error));
    CM_TRY(cm_op_check_input(call, op, X, "x", -1, -1, error));
    CM_TRY(check_weight(call, op, error));
    int64_t rows = call->in[X].rows, out = packed ? cm_packed_out(packed) : call->in[WEIGHT].rows;
    if (cm_op_has(call, BIAS)) CM_TRY(cm_op_check_input(call, op, BIAS, "bias", 1, out, error));
    if (cm_op_has(call, RESIDUAL))
        CM_TRY(cm_op_check_input(call, op, RESIDUAL, "residual", rows, out, error));
    CM_TRY(cm_op_check_activation(call, op, error));
    *result = (cm_op_shape){.rows = rows, .cols = out};
    if (packed)
        return cm_op_add_floats(op, (int64_t)cm_packed_scratch_floats(packed, rows), 1, 1,
                                &result->scratch_floats, error);
    if (call->attr->activation != CM_ACT_NONE) {
        CM_TRY(cm_op_add_floats(op, rows, out, 1, &result->saved_floats, error));
        CM_TRY(cm_op_add_floats(op, rows, out, 1, &result->scratch_floats, error));
    }
    return cm_op_add_floats(op, cm_op_row_blocks(rows).count, out, 1, &result->scratch_floats, error);
}

static void reference(const cm_op_reference_call *call) {
    int64_t in = call->in[X].cols, out = call->cols;
    const double *bias = call->n_in > BIAS ? call->in[BIAS].data : NULL;
    const double *residual = call->n_in > RESIDUAL ? call->in[RESIDUAL].data : NULL;
    for (int64_t t = 0; t < call->rows; t++)
        for (int64_t o = 0; o < out; o++) {
            double sum = bias ? bias[o] : 0;
            for (int64_t i = 0; i < in; i++)
                sum += call->in[X].data[t * in + i] * call->in[WEIGHT].data[o * in + i];
            sum = cm_activation_reference(call->attr->activation, sum);
            call->out[t * out + o] = residual ? sum + residual[t * out + o] : sum;
        }
}

static void generate(cm_op_case *test, uint64_t key, int index) {
    int64_t in = cm_case_width(key, index, 0), out = index == 4 ? 70 : cm_case_width(key, index, 1);
    test->attr.activation = (cm_activation)(index % (CM_ACT_SOFTPLUS + 1));
    test->n_in = index % 4 == 3 ? 2 : index % 3 == 1 ? 4 : 3;
    test->in[X].rows = cm_case_length(key, index, 0);
    test->in[X].cols = test->in[WEIGHT].cols = in;
    test->in[WEIGHT].rows = out;
    test->in[WEIGHT].spread = in > 1 ? 1 / sqrt((double)in) : 1;
    if (test->n_in >= 3) test->in[BIAS].rows = 1;
    if (test->n_in >= 3) test->in[BIAS].cols = out;
    if (test->n_in == 4) test->in[RESIDUAL].rows = test->in[X].rows;
    if (test->n_in == 4) test->in[RESIDUAL].cols = out;
}

/* The matrix that the product is written to: what the activation will read, or the output itself. */
static cm_mat before_activation(const cm_op_call *call) {
    if (call->attr->activation == CM_ACT_NONE) return call->out;
    return cm_mat_of(call->saved, call->out.rows, call->out.cols);
}

static void fill_with_bias(void *context, int64_t begin, int64_t end, int member) {
    (void)member;
    const cm_op_call *call = context;
    cm_mat pre = before_activation(call);
    for (int64_t t = begin; t < end; t++) cm_op_put(cm_mat_row(pre, t), call->in[BIAS].data, pre.cols, false);
}

/* The activation and the residual. */
static void finish_rows(void *context, int64_t begin, int64_t end, int member) {
    (void)member;
    const cm_op_call *call = context;
    cm_mat pre = before_activation(call);
    for (int64_t t = begin; t < end; t++) {
        float *row = cm_mat_row(call->out, t);
        if (call->attr->activation != CM_ACT_NONE) {
            cm_op_put(row, cm_mat_row(pre, t), pre.cols, false);
            cm_activation_forward(call->attr->activation, row, pre.cols);
        }
        if (cm_op_has(call, RESIDUAL)) cm_op_put(row, cm_mat_row(call->in[RESIDUAL], t), pre.cols, true);
    }
}

static void forward_packed(const cm_op_call *call) {
    cm_mat x = call->in[X], out = call->out;
    const float *bias = cm_op_has(call, BIAS) ? call->in[BIAS].data : NULL;
    bool residual = cm_op_has(call, RESIDUAL);
    cm_packed_multiply(call->team, call->attr->packed, x.rows, x.data, x.stride, bias, call->attr->activation,
                       residual ? call->in[RESIDUAL].data : NULL, residual ? call->in[RESIDUAL].stride : 0,
                       out.data, out.stride, call->scratch);
}

static void forward(const cm_op_call *call) {
    if (call->attr->packed) {
        forward_packed(call);
        return;
    }
    cm_mat x = call->in[X], weight = call->in[WEIGHT], pre = before_activation(call);
    bool bias = cm_op_has(call, BIAS);
    int64_t grain = cm_op_row_grain(pre.cols);
    if (bias) cm_team_for(call->team, pre.rows, grain, fill_with_bias, (void *)call);
    cm_gemm(call->team, false, true, x.rows, weight.rows, x.cols, x.data, x.stride, weight.data,
            weight.stride, bias, pre.data, pre.stride);
    if (call->attr->activation != CM_ACT_NONE || cm_op_has(call, RESIDUAL))
        cm_team_for(call->team, pre.rows, grain, finish_rows, (void *)call);
}

/* The gradient of the values before the activation: scratch, or the output's gradient itself. */
static cm_mat pre_gradient(const cm_op_call *call) {
    if (call->attr->activation == CM_ACT_NONE) return call->grad_out;
    return cm_mat_of(call->scratch, call->grad_out.rows, call->grad_out.cols);
}

static void undo_activation(void *context, int64_t begin, int64_t end, int member) {
    (void)member;
    const cm_op_call *call = context;
    int64_t cols = call->grad_out.cols;
    for (int64_t t = begin; t < end; t++)
        cm_activation_backward(call->attr->activation, call->saved + t * cols, cm_mat_row(call->grad_out, t),
                               cm_mat_row(pre_gradient(call), t), cols);
}

/* After the gradient before the activation, if scratch holds one. */
static float *block_sums(const cm_op_call *call) {
    bool activation = call->attr->activation != CM_ACT_NONE;
    return call->scratch + (activation ? call->grad_out.rows * call->grad_out.cols : 0);
}

static void sum_blocks(void *context, int64_t begin, int64_t end, int member) {
    (void)member;
    const cm_op_call *call = context;
    cm_mat g = pre_gradient(call);
    int64_t size = cm_op_row_blocks(g.rows).rows;
    for (int64_t b = begin; b < end; b++) {
        float *sum = block_sums(call) + b * g.cols;
        for (int64_t t = b * size; t < g.rows && t < (b + 1) * size; t++)
            cm_op_put(sum, cm_mat_row(g, t), g.cols, t > b * size);
    }
}

static void bias_gradient(const cm_op_call *call) {
    cm_op_blocks blocks = cm_op_row_blocks(call->grad_out.rows);
    int64_t cols = call->grad_out.cols;
    cm_team_for(call->team, blocks.count, cm_op_row_grain(cols * blocks.rows), sum_blocks, (void *)call);
    cm_op_sum_blocks(blocks, block_sums(call), cols, call->grad_in[BIAS], call->accumulate[BIAS]);
}

static void residual_gradient(void *context, int64_t begin, int64_t end, int member) {
    (void)member;
    const cm_op_call *call = context;
    cm_mat grad = call->grad_in[RESIDUAL];
    for (int64_t t = begin; t < end; t++)
        cm_op_put(cm_mat_row(grad, t), cm_mat_row(call->grad_out, t), grad.cols, call->accumulate[RESIDUAL]);
}

static void backward(const cm_op_call *call) {
    cm_mat x = call->in[X], weight = call->in[WEIGHT], g = pre_gradient(call);
    cm_mat grad_x = call->grad_in[X], grad_weight = call->grad_in[WEIGHT];
    if (call->attr->activation != CM_ACT_NONE)
        cm_team_for(call->team, g.rows, cm_op_row_grain(g.cols), undo_activation, (void *)call);
    if (grad_x.data)
        cm_gemm(call->team, false, false, g.rows, x.cols, g.cols, g.data, g.stride, weight.data,
                weight.stride, call->accumulate[X], grad_x.data, grad_x.stride);
    if (grad_weight.data)
        cm_gemm(call->team, true, false, g.cols, x.cols, g.rows, g.data, g.stride, x.data, x.stride,
                call->accumulate[WEIGHT], grad_weight.data, grad_weight.stride);
    if (call->grad_in[BIAS].data) bias_gradient(call);
    if (call->grad_in[RESIDUAL].data)
        cm_team_for(call->team, g.rows, cm_op_row_grain(g.cols), residual_gradient, (void *)call);
}

const cm_op cm_op_linear = {.name = "linear",
                            .formula = "y = activation(x W^T + bias) + residual",
                            .differentiable = 15,
                            .shape = shape,
                            .reference = reference,
                            .generate = generate,
                            .forward_bound = 2e-6,
                            .gradient_bound = 1e-5,
                            .bound_by_largest = true,
                            .versions = {{"plain", NULL, forward, backward}}};
