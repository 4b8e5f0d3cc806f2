/* Rows of a table: table [n, d], ids [T] in [0, n) -> [T, d]. The gradient of the table adds the rows of
 * grad_out in order. Reads no attributes. */
#include "base/rng.h"
#include "ops/op_util.h"
#include <string.h>

static cm_status shape(const cm_op_call *call, cm_op_shape *result, cm_error *error) {
    static const char op[] = "embedding";
    CM_TRY(cm_op_check_count(call, op, 1, 1, error));
    CM_TRY(cm_op_check_input(call, op, 0, "table", -1, -1, error));
    CM_TRY(cm_op_check_ids(call, op, call->in[0].rows, error));
    *result = (cm_op_shape){.rows = call->n_ids, .cols = call->in[0].cols};
    return CM_OK;
}

static void reference(const cm_op_reference_call *call) {
    for (int64_t t = 0; t < call->rows; t++)
        for (int64_t c = 0; c < call->cols; c++)
            call->out[t * call->cols + c] = call->in[0].data[call->ids[t] * call->cols + c];
}

static void generate(cm_op_case *test, uint64_t key, int index) {
    test->n_in = 1;
    test->in[0].rows = 1 + (int64_t)cm_rng_below(key, 502, 40);
    test->in[0].cols = cm_case_width(key, index, 0);
    test->n_ids = cm_case_length(key, index, 0);
    test->id_limit = test->in[0].rows;
}

static void forward_rows(void *context, int64_t begin, int64_t end, int member) {
    (void)member;
    const cm_op_call *call = context;
    for (int64_t t = begin; t < end; t++)
        cm_op_put(cm_mat_row(call->out, t), cm_mat_row(call->in[0], call->ids[t]), call->out.cols, false);
}

/* All rows of the table's gradient, columns [begin, end). */
static void backward_columns(void *context, int64_t begin, int64_t end, int member) {
    (void)member;
    const cm_op_call *call = context;
    cm_mat grad = call->grad_in[0];
    for (int64_t r = 0; !call->accumulate[0] && r < grad.rows; r++)
        memset(cm_mat_row(grad, r) + begin, 0, (size_t)(end - begin) * sizeof(float));
    for (int64_t t = 0; t < call->grad_out.rows; t++)
        cm_op_put(cm_mat_row(grad, call->ids[t]) + begin, cm_mat_row(call->grad_out, t) + begin, end - begin,
                  true);
}

static void forward(const cm_op_call *call) {
    cm_team_for(call->team, call->out.rows, cm_op_row_grain(call->out.cols), forward_rows, (void *)call);
}

static void backward(const cm_op_call *call) {
    if (!call->grad_in[0].data) return;
    int64_t grain = (cm_op_row_grain(call->grad_out.rows) + 15) / 16 * 16; /* whole cache lines */
    cm_team_for(call->team, call->grad_out.cols, grain, backward_columns, (void *)call);
}

const cm_op cm_op_embedding = {.name = "embedding",
                               .formula = "y[t] = table[id[t]]",
                               .differentiable = 1,
                               .shape = shape,
                               .reference = reference,
                               .generate = generate,
                               .forward_bound = 0,
                               .gradient_bound = 1e-5,
                               .versions = {{"plain", NULL, forward, backward}}};
