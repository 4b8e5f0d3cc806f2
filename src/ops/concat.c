/* Matrices side by side: up to 8 of [T, d_i] -> [T, sum d_i]. Reads no attributes. */
#include "base/rng.h"
#include "ops/op_util.h"

static cm_status shape(const cm_op_call *call, cm_op_shape *result, cm_error *error) {
    static const char op[] = "concat";
    CM_TRY(cm_op_check_count(call, op, 1, CM_OP_MAX_IN, error));
    size_t cols = 0;
    for (int i = 0; i < call->n_in; i++) {
        cm_text input = cm_format("input %d", i);
        CM_TRY(cm_op_check_input(call, op, i, input.text, i ? call->in[0].rows : -1, -1, error));
        CM_TRY(cm_op_add_floats(op, 1, call->in[i].cols, 1, &cols, error));
    }
    *result = (cm_op_shape){.rows = call->in[0].rows, .cols = (int64_t)cols};
    return CM_OK;
}

static void reference(const cm_op_reference_call *call) {
    int64_t first = 0;
    for (int i = 0; i < call->n_in; i++) {
        int64_t d = call->in[i].cols;
        for (int64_t t = 0; t < call->rows; t++)
            for (int64_t c = 0; c < d; c++)
                call->out[t * call->cols + first + c] = call->in[i].data[t * d + c];
        first += d;
    }
}

static void generate(cm_op_case *test, uint64_t key, int index) {
    int64_t rows = cm_case_length(key, index, 0);
    test->n_in = 1 + (int)cm_rng_below(key, 501, CM_OP_MAX_IN);
    for (int i = 0; i < test->n_in; i++) {
        test->in[i].rows = rows;
        test->in[i].cols = cm_case_width(key, index, (uint64_t)i);
    }
}

static void forward_rows(void *context, int64_t begin, int64_t end, int member) {
    (void)member;
    const cm_op_call *call = context;
    for (int64_t t = begin; t < end; t++) {
        float *out = cm_mat_row(call->out, t);
        for (int i = 0; i < call->n_in; i++) {
            cm_op_put(out, cm_mat_row(call->in[i], t), call->in[i].cols, false);
            out += call->in[i].cols;
        }
    }
}

static void backward_rows(void *context, int64_t begin, int64_t end, int member) {
    (void)member;
    const cm_op_call *call = context;
    for (int64_t t = begin; t < end; t++) {
        const float *grad = cm_mat_row(call->grad_out, t);
        for (int i = 0; i < call->n_in; i++) {
            if (call->grad_in[i].data)
                cm_op_put(cm_mat_row(call->grad_in[i], t), grad, call->in[i].cols, call->accumulate[i]);
            grad += call->in[i].cols;
        }
    }
}

static void forward(const cm_op_call *call) {
    cm_team_for(call->team, call->out.rows, cm_op_row_grain(call->out.cols), forward_rows, (void *)call);
}

static void backward(const cm_op_call *call) {
    cm_team_for(call->team, call->grad_out.rows, cm_op_row_grain(call->grad_out.cols), backward_rows,
                (void *)call);
}

const cm_op cm_op_concat = {.name = "concat",
                            .formula = "y = [a, b, ...], columns side by side",
                            .differentiable = 255,
                            .shape = shape,
                            .reference = reference,
                            .generate = generate,
                            .forward_bound = 0,
                            .gradient_bound = 1e-6,
                            .versions = {{"plain", NULL, forward, backward}}};
