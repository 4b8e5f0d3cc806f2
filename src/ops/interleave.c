/* Two ragged batches into one: a [Ta, d] with segments 0, b [Tb, d] with segments 1, as many of each ->
 * [Ta + Tb, d]. Output segment i holds a's rows of segment i, then b's; so it begins at row
 * begin0[i] + begin1[i]. Reads no attributes. */
#include "base/rng.h"
#include "ops/op_util.h"

static cm_status shape(const cm_op_call *call, cm_op_shape *result, cm_error *error) {
    static const char op[] = "interleave";
    CM_TRY(cm_op_check_count(call, op, 2, 2, error));
    CM_TRY(cm_op_check_input(call, op, 0, "a", -1, -1, error));
    CM_TRY(cm_op_check_input(call, op, 1, "b", -1, call->in[0].cols, error));
    for (int i = 0; i < 2; i++) CM_TRY(cm_op_check_segments(call, op, i, call->in[i].rows, true, error));
    if (call->segments[0].count != call->segments[1].count)
        return cm_op_refuse(error, op, "segments", "as many of b as of a", "%lld of a, %lld of b",
                            (long long)call->segments[0].count, (long long)call->segments[1].count);
    size_t rows = 0;
    for (int i = 0; i < 2; i++) CM_TRY(cm_op_add_floats(op, call->in[i].rows, 1, 1, &rows, error));
    *result = (cm_op_shape){.rows = (int64_t)rows, .cols = call->in[0].cols};
    return CM_OK;
}

static void reference(const cm_op_reference_call *call) {
    double *out = call->out;
    for (int64_t s = 0; s < call->segments[0].count; s++)
        for (int i = 0; i < 2; i++)
            for (int64_t t = call->segments[i].begin[s]; t < call->segments[i].end[s]; t++)
                for (int64_t c = 0; c < call->cols; c++) *out++ = call->in[i].data[t * call->cols + c];
}

static void generate(cm_op_case *test, uint64_t key, int index) {
    cm_case_one(test, key, index);
    cm_case_segments(test, 0, test->in[0].rows, key);
    test->n_in = 2;
    test->in[1].cols = test->in[0].cols;
    test->n_segments[1] = test->n_segments[0];
    for (int s = 0; s < test->n_segments[1]; s++) {
        test->begin[1][s] = test->in[1].rows;
        test->in[1].rows += (int64_t)cm_rng_below(key, 600 + (uint64_t)s, 9);
        test->end[1][s] = test->in[1].rows;
    }
}

/* The row of the output where segment s of input i begins. */
static int64_t out_row(const cm_op_call *call, int64_t s, int i) {
    return i == 0 ? call->segments[0].begin[s] + call->segments[1].begin[s]
                  : call->segments[0].end[s] + call->segments[1].begin[s];
}

static void forward_segments(void *context, int64_t begin, int64_t end, int member) {
    (void)member;
    const cm_op_call *call = context;
    for (int64_t s = begin; s < end; s++)
        for (int i = 0; i < 2; i++) {
            int64_t first = call->segments[i].begin[s], shift = out_row(call, s, i) - first;
            for (int64_t t = first; t < call->segments[i].end[s]; t++)
                cm_op_put(cm_mat_row(call->out, t + shift), cm_mat_row(call->in[i], t), call->out.cols,
                          false);
        }
}

static void backward_segments(void *context, int64_t begin, int64_t end, int member) {
    (void)member;
    const cm_op_call *call = context;
    for (int64_t s = begin; s < end; s++)
        for (int i = 0; i < 2; i++) {
            int64_t first = call->segments[i].begin[s], shift = out_row(call, s, i) - first;
            for (int64_t t = first; call->grad_in[i].data && t < call->segments[i].end[s]; t++)
                cm_op_put(cm_mat_row(call->grad_in[i], t), cm_mat_row(call->grad_out, t + shift),
                          call->grad_out.cols, call->accumulate[i]);
        }
}

/* Segments per chunk, from their mean size. */
static int64_t grain_of(const cm_op_call *call, cm_mat all) {
    int64_t count = call->segments[0].count;
    return cm_op_row_grain(count > 0 ? all.rows * all.cols / count : 1);
}

static void forward(const cm_op_call *call) {
    cm_team_for(call->team, call->segments[0].count, grain_of(call, call->out), forward_segments,
                (void *)call);
}

static void backward(const cm_op_call *call) {
    cm_team_for(call->team, call->segments[0].count, grain_of(call, call->grad_out), backward_segments,
                (void *)call);
}

const cm_op cm_op_interleave = {.name = "interleave",
                                .formula = "y = per segment the rows of a, then the rows of b",
                                .differentiable = 3,
                                .shape = shape,
                                .reference = reference,
                                .generate = generate,
                                .forward_bound = 0,
                                .gradient_bound = 1e-6,
                                .versions = {{"plain", NULL, forward, backward}}};
