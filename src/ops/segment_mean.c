/* Mean over the rows of each segment: x [T, d], segments 0 -> [segments, d]; an empty segment gives 0.
 * Ranges may overlap and leave rows out; a row's gradient adds grad_out[i] / length of the segments that
 * hold it, in their order. Reads no attributes. */
#include "base/rng.h"
#include "ops/op_util.h"
#include "ops/vmath.h"

static cm_status shape(const cm_op_call *call, cm_op_shape *result, cm_error *error) {
    static const char op[] = "segment_mean";
    CM_TRY(cm_op_check_count(call, op, 1, 1, error));
    CM_TRY(cm_op_check_input(call, op, 0, "x", -1, -1, error));
    CM_TRY(cm_op_check_segments(call, op, 0, call->in[0].rows, false, error));
    *result = (cm_op_shape){.rows = call->segments[0].count, .cols = call->in[0].cols};
    return CM_OK;
}

static void reference(const cm_op_reference_call *call) {
    for (int64_t s = 0; s < call->rows; s++)
        for (int64_t c = 0; c < call->cols; c++) {
            int64_t begin = call->segments[0].begin[s], end = call->segments[0].end[s];
            double sum = 0;
            for (int64_t t = begin; t < end; t++) sum += call->in[0].data[t * call->cols + c];
            call->out[s * call->cols + c] = end > begin ? sum / (double)(end - begin) : 0;
        }
}

static void generate(cm_op_case *test, uint64_t key, int index) {
    cm_case_one(test, key, index);
    int64_t rows = test->in[0].rows;
    cm_case_segments(test, 0, rows, key);
    if (index % 2 == 0) return;
    for (int s = 0; s < test->n_segments[0]; s++) { /* any ranges */
        int64_t begin = (int64_t)cm_rng_below(key, 700 + (uint64_t)s, (uint64_t)rows + 1);
        test->begin[0][s] = begin;
        test->end[0][s] = begin + (int64_t)cm_rng_below(key, 800 + (uint64_t)s, (uint64_t)(rows - begin) + 1);
    }
}

/* The mean of rows [begin, end) for up to TILE columns; sums of 128 rows are added one by one, which
 * keeps the rounding error of long segments small. */
enum { TILE = 256, BLOCK = 128 };

CM_CLONES static void mean_tile(const float *restrict x, int64_t stride, int64_t rows, float *restrict out,
                                int64_t cols) {
    float block[TILE];
    for (int64_t c = 0; c < cols; c++) out[c] = 0;
    for (int64_t first = 0; first < rows; first += BLOCK) {
        for (int64_t c = 0; c < cols; c++) block[c] = 0;
        for (int64_t t = first; t < rows && t < first + BLOCK; t++)
            for (int64_t c = 0; c < cols; c++) block[c] += x[t * stride + c];
        for (int64_t c = 0; c < cols; c++) out[c] += block[c];
    }
    float length = (float)(rows > 0 ? rows : 1);
    for (int64_t c = 0; c < cols; c++) out[c] /= length;
}

CM_CLONES static void add_share(float *restrict to, const float *restrict from, int64_t n, float length) {
    for (int64_t i = 0; i < n; i++) to[i] += from[i] / length;
}

static void forward_segments(void *context, int64_t begin, int64_t end, int member) {
    (void)member;
    const cm_op_call *call = context;
    cm_mat x = call->in[0];
    for (int64_t s = begin; s < end; s++) {
        int64_t first = call->segments[0].begin[s], rows = call->segments[0].end[s] - first;
        for (int64_t c = 0; c < x.cols; c += TILE)
            mean_tile(cm_mat_row(x, first) + c, x.stride, rows, cm_mat_row(call->out, s) + c,
                      x.cols - c < TILE ? x.cols - c : TILE);
    }
}

static void backward_rows(void *context, int64_t begin, int64_t end, int member) {
    (void)member;
    const cm_op_call *call = context;
    cm_mat grad = call->grad_in[0];
    const cm_segments *segments = &call->segments[0];
    for (int64_t t = begin; !call->accumulate[0] && t < end; t++)
        memset(cm_mat_row(grad, t), 0, (size_t)grad.cols * sizeof(float));
    for (int64_t s = 0; s < segments->count; s++) {
        int64_t first = segments->begin[s] > begin ? segments->begin[s] : begin;
        int64_t last = segments->end[s] < end ? segments->end[s] : end;
        for (int64_t t = first; t < last; t++)
            add_share(cm_mat_row(grad, t), cm_mat_row(call->grad_out, s), grad.cols,
                      (float)(segments->end[s] - segments->begin[s]));
    }
}

static void forward(const cm_op_call *call) {
    int64_t count = call->segments[0].count;
    int64_t grain = cm_op_row_grain(count > 0 ? call->in[0].rows * call->in[0].cols / count : 1);
    cm_team_for(call->team, count, grain, forward_segments, (void *)call);
}

static void backward(const cm_op_call *call) {
    if (!call->grad_in[0].data) return;
    cm_team_for(call->team, call->in[0].rows, cm_op_row_grain(call->in[0].cols), backward_rows, (void *)call);
}

const cm_op cm_op_segment_mean = {.name = "segment_mean",
                                  .formula = "y[i] = mean of x[begin[i]] .. x[end[i] - 1], 0 when empty",
                                  .differentiable = 1,
                                  .shape = shape,
                                  .reference = reference,
                                  .generate = generate,
                                  .forward_bound = 1e-6,
                                  .gradient_bound = 2e-6,
                                  .versions = {{"plain", NULL, forward, backward}}};
