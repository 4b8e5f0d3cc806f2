/* The loops of the ops that apply one function to every element. */
#include "ops/op_unary.h"
#include "base/rng.h"

cm_status cm_unary_shape(const cm_unary *unary, const cm_op_call *call, cm_op_shape *shape, cm_error *error) {
    CM_TRY(cm_op_check_count(call, unary->name, 1, 1, error));
    CM_TRY(cm_op_check_input(call, unary->name, 0, "x", -1, -1, error));
    *shape = (cm_op_shape){.rows = call->in[0].rows, .cols = call->in[0].cols};
    return CM_OK;
}

void cm_unary_reference(const cm_unary *unary, const cm_op_reference_call *call) {
    for (int64_t i = 0; i < call->rows * call->cols; i++)
        call->out[i] = unary->reference(call->in[0].data[i]);
}

void cm_unary_generate(cm_op_case *test, uint64_t key, int index) {
    cm_case_one(test, key, index);
    static const double spreads[] = {1, 3, 10, 0.1};
    test->in[0].spread = spreads[index % 4];
}

typedef struct unary_job {
    const cm_unary *unary;
    const cm_op_call *call;
} unary_job;

static void forward_rows(void *context, int64_t begin, int64_t end, int member) {
    (void)member;
    const unary_job *job = context;
    cm_mat x = job->call->in[0], out = job->call->out;
    if (x.stride == x.cols && out.stride == out.cols) {
        job->unary->map(cm_mat_row(x, begin), cm_mat_row(out, begin), (end - begin) * x.cols);
        return;
    }
    for (int64_t t = begin; t < end; t++) job->unary->map(cm_mat_row(x, t), cm_mat_row(out, t), x.cols);
}

static void backward_rows(void *context, int64_t begin, int64_t end, int member) {
    (void)member;
    const unary_job *job = context;
    cm_mat x = job->call->in[0], grad = job->call->grad_out, out = job->call->grad_in[0];
    void (*slope)(const float *restrict, const float *restrict, float *restrict, int64_t) =
        job->call->accumulate[0] ? job->unary->add_slope : job->unary->slope;
    if (x.stride == x.cols && grad.stride == x.cols && out.stride == x.cols) {
        slope(cm_mat_row(x, begin), cm_mat_row(grad, begin), cm_mat_row(out, begin), (end - begin) * x.cols);
        return;
    }
    for (int64_t t = begin; t < end; t++)
        slope(cm_mat_row(x, t), cm_mat_row(grad, t), cm_mat_row(out, t), x.cols);
}

void cm_unary_forward(const cm_unary *unary, const cm_op_call *call) {
    unary_job job = {unary, call};
    cm_team_for(call->team, call->out.rows, cm_op_row_grain(call->out.cols), forward_rows, &job);
}

void cm_unary_backward(const cm_unary *unary, const cm_op_call *call) {
    unary_job job = {unary, call};
    if (!call->grad_in[0].data) return;
    cm_team_for(call->team, call->out.rows, cm_op_row_grain(call->out.cols), backward_rows, &job);
}
