/* The loops of the ops that combine two matrices element by element. */
#include "ops/op_binary.h"
#include "base/rng.h"

cm_status cm_binary_shape(const cm_binary *binary, const cm_op_call *call, cm_op_shape *shape,
                          cm_error *error) {
    CM_TRY(cm_op_check_count(call, binary->name, 2, 2, error));
    CM_TRY(cm_op_check_input(call, binary->name, 0, "a", -1, -1, error));
    cm_mat a = call->in[0];
    bool one_row = binary->one_row && call->in[1].rows == 1;
    CM_TRY(cm_op_check_input(call, binary->name, 1, "b", one_row ? 1 : a.rows, a.cols, error));
    *shape = (cm_op_shape){.rows = a.rows, .cols = a.cols};
    if (!binary->one_row) return CM_OK;
    return cm_op_add_floats(binary->name, cm_op_row_blocks(a.rows).count, a.cols, 1, &shape->scratch_floats,
                            error);
}

void cm_binary_reference(const cm_binary *binary, const cm_op_reference_call *call) {
    for (int64_t t = 0; t < call->rows; t++)
        for (int64_t c = 0; c < call->cols; c++) {
            int64_t i = t * call->cols + c, j = call->in[1].rows == call->rows ? i : c;
            call->out[i] = binary->reference(call->in[0].data[i], call->in[1].data[j]);
        }
}

void cm_binary_generate(const cm_binary *binary, cm_op_case *test, uint64_t key, int index) {
    cm_case_one(test, key, index);
    test->n_in = 2;
    bool one_row = binary->one_row && cm_rng_below(key, 500, 2) == 0;
    test->in[1].rows = one_row ? 1 : test->in[0].rows;
    test->in[1].cols = test->in[0].cols;
}

typedef struct binary_job {
    const cm_binary *binary;
    const cm_op_call *call;
    bool spread; /* b is one row for several (or no) rows of a */
    cm_op_blocks blocks;
} binary_job;

/* Blocks of rows whose sums the gradient of one row is made of; without one, of what is worth a thread. */
static binary_job job_of(const cm_binary *binary, const cm_op_call *call) {
    int64_t rows = call->in[0].rows, each = cm_op_row_grain(call->in[0].cols);
    bool spread = call->in[1].rows != rows;
    cm_op_blocks blocks = spread ? cm_op_row_blocks(rows) : (cm_op_blocks){(rows + each - 1) / each, each};
    return (binary_job){binary, call, spread, blocks};
}

static void forward_rows(void *context, int64_t begin, int64_t end, int member) {
    (void)member;
    const binary_job *job = context;
    cm_mat a = job->call->in[0], b = job->call->in[1], out = job->call->out;
    if (!job->spread && a.stride == a.cols && b.stride == a.cols && out.stride == a.cols) {
        job->binary->map(cm_mat_row(a, begin), cm_mat_row(b, begin), cm_mat_row(out, begin),
                         (end - begin) * a.cols);
        return;
    }
    for (int64_t t = begin; t < end; t++)
        job->binary->map(cm_mat_row(a, t), cm_mat_row(b, job->spread ? 0 : t), cm_mat_row(out, t), a.cols);
}

void cm_binary_forward(const cm_binary *binary, const cm_op_call *call) {
    binary_job job = job_of(binary, call);
    cm_team_for(call->team, call->out.rows, cm_op_row_grain(call->out.cols), forward_rows, &job);
}

static void backward_block(const binary_job *job, int64_t block) {
    const cm_op_call *call = job->call;
    const cm_binary *binary = job->binary;
    int64_t d = call->in[0].cols, end = (block + 1) * job->blocks.rows;
    float *sum = job->spread ? call->scratch + block * d : NULL;
    if (sum) memset(sum, 0, (size_t)d * sizeof(float));
    for (int64_t t = block * job->blocks.rows; t < end && t < call->in[0].rows; t++) {
        const float *a = cm_mat_row(call->in[0], t), *grad = cm_mat_row(call->grad_out, t);
        const float *b = cm_mat_row(call->in[1], job->spread ? 0 : t);
        if (call->grad_in[0].data)
            (call->accumulate[0] ? binary->add_slope : binary->slope)[0](a, b, grad,
                                                                         cm_mat_row(call->grad_in[0], t), d);
        if (!call->grad_in[1].data) continue;
        if (sum)
            binary->add_slope[1](a, b, grad, sum, d);
        else
            (call->accumulate[1] ? binary->add_slope : binary->slope)[1](a, b, grad,
                                                                         cm_mat_row(call->grad_in[1], t), d);
    }
}

static void backward_blocks(void *context, int64_t begin, int64_t end, int member) {
    (void)member;
    for (int64_t b = begin; b < end; b++) backward_block(context, b);
}

void cm_binary_backward(const cm_binary *binary, const cm_op_call *call) {
    binary_job job = job_of(binary, call);
    int64_t grain = cm_op_row_grain(call->in[0].cols * job.blocks.rows);
    cm_team_for(call->team, job.blocks.count, grain, backward_blocks, &job);
    if (job.spread && call->grad_in[1].data)
        cm_op_sum_blocks(job.blocks, call->scratch, call->in[0].cols, call->grad_in[1], call->accumulate[1]);
}
