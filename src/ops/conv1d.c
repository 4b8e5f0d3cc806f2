/* Depthwise convolution along the rows of each segment, causal: every channel has its own taps, and a
 * row sees itself and the taps - 1 rows before it (after it when attr.reverse). Missing rows are zero.
 *
 *   pre[t, c] = bias[c] + sum over b of weight[c, taps - 1 - b] * x[t - b, c],   b = 0 .. taps - 1
 *   out = activation(pre)
 *
 * The tap order is that of torch.nn.Conv1d with left padding: the last tap is on the current row.
 * Reads attr.reverse and attr.activation. Backward computes pre again instead of saving it. */
#include "base/rng.h"
#include "ops/op_util.h"
#include "ops/vmath.h"
#include <string.h>

enum { X, WEIGHT, BIAS };
enum { MAX_TAPS = 64 };

/* Scratch, in floats: the weight as [taps, d]; for backward also the gradient of pre [T, d], the partial
 * sums of each block of rows [blocks, taps + 1, d] (the last row is the bias) and their total. */
typedef struct conv_layout {
    size_t weight, pre_grad, partial, total, floats;
} conv_layout;

static cm_status conv_layout_of(int64_t rows, int64_t d, int64_t taps, conv_layout *layout, cm_error *error) {
    size_t floats = 0;
    layout->weight = floats;
    CM_TRY(cm_op_add_floats("conv1d", taps, d, 1, &floats, error));
    layout->pre_grad = floats;
    CM_TRY(cm_op_add_floats("conv1d", rows, d, 1, &floats, error));
    layout->partial = floats;
    CM_TRY(cm_op_add_floats("conv1d", taps + 1, d, cm_op_row_blocks(rows).count, &floats, error));
    layout->total = floats;
    CM_TRY(cm_op_add_floats("conv1d", taps + 1, d, 1, &floats, error));
    layout->floats = floats;
    return CM_OK;
}

static cm_status conv_shape(const cm_op_call *call, cm_op_shape *shape, cm_error *error) {
    CM_TRY(cm_op_check_count(call, "conv1d", 3, 3, error));
    CM_TRY(cm_op_check_input(call, "conv1d", X, "x", -1, -1, error));
    int64_t rows = call->in[X].rows, d = call->in[X].cols;
    CM_TRY(cm_op_check_input(call, "conv1d", WEIGHT, "weight", d, -1, error));
    CM_TRY(cm_op_check_input(call, "conv1d", BIAS, "bias", 1, d, error));
    int64_t taps = call->in[WEIGHT].cols;
    if (taps < 1 || taps > MAX_TAPS)
        return cm_op_refuse(error, "conv1d", "weight", "1 to 64 taps", "%lld", (long long)taps);
    CM_TRY(cm_op_check_activation(call, "conv1d", error));
    CM_TRY(cm_op_check_segments(call, "conv1d", 0, rows, true, error));
    conv_layout layout;
    CM_TRY(conv_layout_of(rows, d, taps, &layout, error));
    *shape = (cm_op_shape){rows, d, 0, layout.floats};
    return CM_OK;
}

/* What the loops over rows need. step is how far, in rows, the next older input lies. */
typedef struct conv_job {
    const cm_op_call *call;
    const cm_segments *segments;
    int64_t d, taps, step;
    float *weight;   /* [taps, d] */
    float *pre_grad; /* [T, d] */
    float *partial;  /* [blocks, taps + 1, d] */
    cm_op_blocks blocks;
} conv_job;

static conv_job conv_open(const cm_op_call *call) {
    cm_mat x = call->in[X], weight = call->in[WEIGHT];
    conv_layout layout = {0};
    conv_layout_of(x.rows, x.cols, weight.cols, &layout, NULL);
    conv_job job = {.call = call,
                    .segments = &call->segments[0],
                    .d = x.cols,
                    .taps = weight.cols,
                    .step = call->attr->reverse ? 1 : -1,
                    .weight = call->scratch + layout.weight,
                    .pre_grad = call->scratch + layout.pre_grad,
                    .partial = call->scratch + layout.partial,
                    .blocks = cm_op_row_blocks(x.rows)};
    for (int64_t c = 0; c < job.d; c++)
        for (int64_t k = 0; k < job.taps; k++) job.weight[k * job.d + c] = cm_mat_row(weight, c)[k];
    return job;
}

/* The segment that holds row (the first one that ends after it). */
static int64_t segment_of(const cm_segments *segments, int64_t row) {
    int64_t low = 0, high = segments->count - 1;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (segments->end[middle] > row)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* How many of the taps fall into row's segment when tap b lies step * b rows away; *segment is moved on
 * to the segment of row, which must not lie before it. */
static int64_t taps_inside(const conv_job *job, int64_t row, int64_t step, int64_t *segment) {
    while (job->segments->end[*segment] <= row) (*segment)++;
    int64_t room = step < 0 ? row - job->segments->begin[*segment] : job->segments->end[*segment] - 1 - row;
    return room + 1 < job->taps ? room + 1 : job->taps;
}

/* out[d] = start[d] + the sum of four taps: x[stride * b] times the weights that end at w, d apart. */
static inline __attribute__((always_inline)) void four_taps(const float *start, const float *w, int64_t d,
                                                            const float *x, int64_t stride, float *out) {
    const float *x1 = x + stride, *x2 = x + 2 * stride, *x3 = x + 3 * stride;
    const float *w1 = w - d, *w2 = w - 2 * d, *w3 = w - 3 * d;
    for (int64_t c = 0; c < d; c++)
        out[c] = (((start[c] + w[c] * x[c]) + w1[c] * x1[c]) + w2[c] * x2[c]) + w3[c] * x3[c];
}

CM_CLONES static void start_four_taps(const float *bias, const float *w, int64_t d, const float *x,
                                      int64_t stride, float *restrict out) {
    four_taps(bias, w, d, x, stride, out);
}

/* out[d] += sum over b < count of weight[taps - 1 - b] * x[stride * b] */
CM_CLONES static void add_taps(const float *weight, int64_t taps, const float *x, int64_t stride,
                               int64_t count, int64_t d, float *restrict out) {
    const float *w = weight + (taps - 1) * d;
    if (count == 4) {
        four_taps(out, w, d, x, stride, out);
        return;
    }
    for (int64_t b = 0; b < count; b++)
        for (int64_t c = 0; c < d; c++) out[c] += w[c - b * d] * x[b * stride + c];
}

static void pre_row(const conv_job *job, int64_t row, int64_t *segment, float *out) {
    cm_mat x = job->call->in[X];
    const float *bias = job->call->in[BIAS].data;
    int64_t inside = taps_inside(job, row, job->step, segment);
    if (inside == 4) {
        start_four_taps(bias, job->weight + (job->taps - 1) * job->d, job->d, cm_mat_row(x, row),
                        job->step * x.stride, out);
        return;
    }
    memcpy(out, bias, (size_t)job->d * sizeof *out);
    add_taps(job->weight, job->taps, cm_mat_row(x, row), job->step * x.stride, inside, job->d, out);
}

static void forward_rows(void *context, int64_t begin, int64_t end, int member) {
    const conv_job *job = context;
    (void)member;
    int64_t segment = segment_of(job->segments, begin);
    for (int64_t t = begin; t < end; t++) {
        float *out = cm_mat_row(job->call->out, t);
        pre_row(job, t, &segment, out);
        cm_activation_forward(job->call->attr->activation, out, job->d);
    }
}

static void conv_forward(const cm_op_call *call) {
    conv_job job = conv_open(call);
    cm_team_for(call->team, call->in[X].rows, cm_op_row_grain(job.d), forward_rows, &job);
}

/* The parts of one row in the sums [taps + 1, stride] of four taps and the bias, all in one pass. */
CM_CLONES static void add_four_products(const float *grad, const float *x, int64_t x_stride, int64_t stride,
                                        int64_t cols, float *restrict sum) {
    const float *x1 = x + x_stride, *x2 = x + 2 * x_stride, *x3 = x + 3 * x_stride;
    for (int64_t c = 0; c < cols; c++) {
        float g = grad[c];
        sum[c] += g * x3[c];
        sum[stride + c] += g * x2[c];
        sum[2 * stride + c] += g * x1[c];
        sum[3 * stride + c] += g * x[c];
        sum[4 * stride + c] += g;
    }
}

/* sum[d] += grad[d] * x[d] */
CM_CLONES static void add_product(const float *grad, const float *x, int64_t d, float *restrict sum) {
    for (int64_t c = 0; c < d; c++) sum[c] += grad[c] * x[c];
}

CM_CLONES static void add_row(const float *x, int64_t d, float *restrict sum) {
    for (int64_t c = 0; c < d; c++) sum[c] += x[c];
}

/* The gradient of pre. */
static void pre_grad_rows(void *context, int64_t begin, int64_t end, int member) {
    const conv_job *job = context;
    const cm_op_call *call = job->call;
    (void)member;
    int64_t segment = segment_of(job->segments, begin);
    for (int64_t t = begin; t < end; t++) {
        float *grad = job->pre_grad + t * job->d;
        pre_row(job, t, &segment, grad);
        cm_activation_backward(call->attr->activation, grad, cm_mat_row(call->grad_out, t), grad, job->d);
    }
}

/* Columns that one item of sum_parts adds up: the sums of a column do not depend on it. */
enum { PART_COLS = 128 };

static int64_t parts_of(const conv_job *job) {
    return (job->d + PART_COLS - 1) / PART_COLS;
}

/* The parts of the weight and bias gradients of whole blocks of rows; item = block * parts + part. */
static void sum_parts(void *context, int64_t begin, int64_t end, int member) {
    const conv_job *job = context;
    cm_mat x = job->call->in[X];
    int64_t d = job->d, taps = job->taps;
    (void)member;
    for (int64_t item = begin; item < end; item++) {
        int64_t block = item / parts_of(job), col = item % parts_of(job) * PART_COLS;
        int64_t cols = d - col < PART_COLS ? d - col : PART_COLS;
        int64_t first = block * job->blocks.rows, last = first + job->blocks.rows;
        float *sum = job->partial + block * (taps + 1) * d + col;
        for (int64_t k = 0; k <= taps; k++) memset(sum + k * d, 0, (size_t)cols * sizeof *sum);
        int64_t segment = segment_of(job->segments, first);
        for (int64_t t = first; t < last && t < x.rows; t++) {
            const float *grad = job->pre_grad + t * d + col;
            int64_t inside = taps_inside(job, t, job->step, &segment);
            if (inside == 4 && taps == 4) {
                add_four_products(grad, cm_mat_row(x, t) + col, job->step * x.stride, d, cols, sum);
                continue;
            }
            for (int64_t b = 0; b < inside; b++)
                add_product(grad, cm_mat_row(x, t + b * job->step) + col, cols, sum + (taps - 1 - b) * d);
            add_row(grad, cols, sum + taps * d);
        }
    }
}

/* grad x[t] = sum over b of weight[taps - 1 - b] * grad pre[t + b], within the segment. */
static void input_grad_rows(void *context, int64_t begin, int64_t end, int member) {
    const conv_job *job = context;
    const cm_op_call *call = job->call;
    (void)member;
    int64_t segment = segment_of(job->segments, begin);
    for (int64_t t = begin; t < end; t++) {
        float *out = cm_mat_row(call->grad_in[X], t);
        if (!call->accumulate[X]) memset(out, 0, (size_t)job->d * sizeof *out);
        add_taps(job->weight, job->taps, job->pre_grad + t * job->d, -job->step * job->d,
                 taps_inside(job, t, -job->step, &segment), job->d, out);
    }
}

static void conv_backward(const cm_op_call *call) {
    conv_job job = conv_open(call);
    int64_t d = job.d, taps = job.taps;
    cm_team_for(call->team, call->in[X].rows, cm_op_row_grain(d), pre_grad_rows, &job);
    cm_team_for(call->team, job.blocks.count * parts_of(&job), 1, sum_parts, &job);
    if (call->grad_in[X].data)
        cm_team_for(call->team, call->in[X].rows, cm_op_row_grain(d), input_grad_rows, &job);
    float *total = job.partial + job.blocks.count * (taps + 1) * d;
    cm_op_sum_blocks(job.blocks, job.partial, (taps + 1) * d, cm_mat_of(total, 1, (taps + 1) * d), false);
    cm_mat weight = call->grad_in[WEIGHT], bias = call->grad_in[BIAS];
    for (int64_t c = 0; weight.data && c < d; c++)
        for (int64_t k = 0; k < taps; k++) {
            float *out = cm_mat_row(weight, c) + k;
            *out = (call->accumulate[WEIGHT] ? *out : 0.0f) + total[k * d + c];
        }
    for (int64_t c = 0; bias.data && c < d; c++)
        bias.data[c] = (call->accumulate[BIAS] ? bias.data[c] : 0.0f) + total[taps * d + c];
}

static void conv_reference(const cm_op_reference_call *call) {
    const double *x = call->in[X].data, *weight = call->in[WEIGHT].data, *bias = call->in[BIAS].data;
    int64_t d = call->cols, taps = call->in[WEIGHT].cols;
    const cm_segments *segments = &call->segments[0];
    for (int64_t s = 0; s < segments->count; s++)
        for (int64_t t = segments->begin[s]; t < segments->end[s]; t++)
            for (int64_t c = 0; c < d; c++) {
                double sum = bias[c];
                for (int64_t k = 0; k < taps; k++) {
                    int64_t row = call->attr->reverse ? t + (taps - 1 - k) : t - (taps - 1 - k);
                    if (row >= segments->begin[s] && row < segments->end[s])
                        sum += weight[c * taps + k] * x[row * d + c];
                }
                call->out[t * d + c] = cm_activation_reference(call->attr->activation, sum);
            }
}

static void conv_generate(cm_op_case *test, uint64_t key, int index) {
    static const int64_t tap_counts[] = {4, 1, 2, 3, 4, 5, 4, 9};
    static const cm_activation activations[] = {CM_ACT_SILU, CM_ACT_NONE, CM_ACT_SOFTPLUS, CM_ACT_GELU};
    int64_t rows = cm_case_length(key, index, 0), d = cm_case_width(key, index, 0);
    uint64_t draw = cm_rng_key(key, (uint64_t)index, 0xC0);
    int64_t taps = tap_counts[cm_rng_below(draw, 0, sizeof tap_counts / sizeof tap_counts[0])];
    test->attr.activation = activations[cm_rng_below(draw, 1, sizeof activations / sizeof activations[0])];
    test->attr.reverse = (int)cm_rng_below(draw, 2, 2);
    test->n_in = 3;
    test->in[X].rows = rows, test->in[X].cols = d;
    test->in[WEIGHT].rows = d, test->in[WEIGHT].cols = taps;
    test->in[BIAS].rows = 1, test->in[BIAS].cols = d;
    cm_case_segments(test, 0, rows, cm_rng_key(key, (uint64_t)index, 0xC1));
}

const cm_op cm_op_conv1d = {
    .name = "conv1d",
    .formula = "activation(bias + depthwise causal convolution of each segment)",
    .differentiable = 1u << X | 1u << WEIGHT | 1u << BIAS,
    .shape = conv_shape,
    .reference = conv_reference,
    .generate = conv_generate,
    .forward_bound = 1e-6,
    .gradient_bound = 5e-6,
    .bound_by_largest = true,
    .versions = {{"plain", NULL, conv_forward, conv_backward}},
};
