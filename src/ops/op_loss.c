/* What the losses share. */
#include "ops/op_loss.h"
#include "base/rng.h"

cm_status cm_loss_shape(const cm_loss *loss, const cm_op_call *call, cm_op_shape *shape, cm_error *error) {
    CM_TRY(cm_op_check_count(call, loss->name, 2, 3, error));
    CM_TRY(cm_op_check_input(call, loss->name, 0, loss->input, -1, 1, error));
    CM_TRY(cm_op_check_input(call, loss->name, 1, "label", call->in[0].rows, 1, error));
    if (cm_op_has(call, 2))
        CM_TRY(cm_op_check_input(call, loss->name, 2, "weight", call->in[0].rows, 1, error));
    *shape = (cm_op_shape){.rows = 1, .cols = 1};
    return CM_OK;
}

void cm_loss_reference(const cm_loss *loss, const cm_op_reference_call *call) {
    double sum = 0, weights = 0;
    for (int64_t r = 0; r < call->in[0].rows; r++) {
        double weight = call->n_in > 2 && call->in[2].data ? call->in[2].data[r] : 1;
        sum += weight * loss->reference(call->attr, call->in[0].data[r], call->in[1].data[r]);
        weights += weight;
    }
    call->out[0] = weights != 0 ? sum / weights : 0;
}

void cm_loss_generate(cm_op_case *test, uint64_t key, int index) {
    static const double spreads[] = {1, 4, 20};
    int64_t rows = cm_case_length(key, index, 0);
    test->n_in = 2 + (int)cm_rng_below(key, 503, 2);
    for (int i = 0; i < test->n_in; i++) {
        test->in[i].rows = rows;
        test->in[i].cols = 1;
    }
    test->in[0].spread = spreads[index % 3];
    test->in[2].fill = CM_FILL_POSITIVE;
}

static double at(cm_mat m, int64_t row) {
    return (double)cm_mat_row(m, row)[0];
}

static double weight_at(const cm_op_call *call, int64_t row) {
    return cm_op_has(call, 2) ? at(call->in[2], row) : 1;
}

static double total_weight(const cm_op_call *call) {
    double sum = 0;
    for (int64_t r = 0; r < call->in[0].rows; r++) sum += weight_at(call, r);
    return sum;
}

void cm_loss_forward(const cm_loss *loss, const cm_op_call *call) {
    double sum = 0, weights = total_weight(call);
    for (int64_t r = 0; r < call->in[0].rows; r++)
        sum += weight_at(call, r) * loss->value(call->attr, at(call->in[0], r), at(call->in[1], r));
    call->out.data[0] = weights != 0 ? (float)(sum / weights) : 0;
}

void cm_loss_backward(const cm_loss *loss, const cm_op_call *call) {
    if (!call->grad_in[0].data) return;
    double weights = total_weight(call), factor = weights != 0 ? at(call->grad_out, 0) / weights : 0;
    for (int64_t r = 0; r < call->in[0].rows; r++) {
        float *grad = cm_mat_row(call->grad_in[0], r);
        double slope = loss->slope(call->attr, at(call->in[0], r), at(call->in[1], r));
        float part = (float)(factor * weight_at(call, r) * slope);
        grad[0] = call->accumulate[0] ? grad[0] + part : part;
    }
}
