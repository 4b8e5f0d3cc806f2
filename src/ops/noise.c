/* Gaussian noise: x [T, d] -> x + sigma * normal(rng_key, t d + c); the gradient passes unchanged. Reads
 * attr.sigma >= 0 and attr.rng_key. */
#include "base/rng.h"
#include "ops/op_util.h"
#include <math.h>

static cm_status shape(const cm_op_call *call, cm_op_shape *result, cm_error *error) {
    static const char op[] = "noise";
    CM_TRY(cm_op_check_count(call, op, 1, 1, error));
    CM_TRY(cm_op_check_input(call, op, 0, "x", -1, -1, error));
    if (!(call->attr->sigma >= 0 && isfinite(call->attr->sigma)))
        return cm_op_refuse(error, op, "sigma", "a finite number >= 0", "%g", (double)call->attr->sigma);
    *result = (cm_op_shape){.rows = call->in[0].rows, .cols = call->in[0].cols};
    return CM_OK;
}

static void reference(const cm_op_reference_call *call) {
    for (int64_t i = 0; i < call->rows * call->cols; i++)
        call->out[i] =
            call->in[0].data[i] + (double)call->attr->sigma * cm_rng_normal(call->attr->rng_key, (uint64_t)i);
}

static void generate(cm_op_case *test, uint64_t key, int index) {
    static const float sigmas[] = {0.1f, 0.0f, 2.0f};
    cm_case_one(test, key, index);
    test->attr.sigma = sigmas[index % 3];
    test->attr.rng_key = key;
}

static void forward_rows(void *context, int64_t begin, int64_t end, int member) {
    (void)member;
    const cm_op_call *call = context;
    int64_t d = call->out.cols;
    for (int64_t t = begin; t < end; t++) {
        const float *x = cm_mat_row(call->in[0], t);
        float *out = cm_mat_row(call->out, t);
        cm_op_put(out, x, d, false);
        for (int64_t c = 0; c < d && call->attr->sigma > 0; c++)
            out[c] += call->attr->sigma * (float)cm_rng_normal(call->attr->rng_key, (uint64_t)(t * d + c));
    }
}

static void backward_rows(void *context, int64_t begin, int64_t end, int member) {
    (void)member;
    const cm_op_call *call = context;
    for (int64_t t = begin; t < end; t++)
        cm_op_put(cm_mat_row(call->grad_in[0], t), cm_mat_row(call->grad_out, t), call->grad_out.cols,
                  call->accumulate[0]);
}

static void forward(const cm_op_call *call) {
    /* a draw costs as much as some 30 additions */
    cm_team_for(call->team, call->out.rows, cm_op_row_grain(call->out.cols * 32), forward_rows, (void *)call);
}

static void backward(const cm_op_call *call) {
    if (!call->grad_in[0].data) return;
    cm_team_for(call->team, call->grad_out.rows, cm_op_row_grain(call->grad_out.cols), backward_rows,
                (void *)call);
}

const cm_op cm_op_noise = {.name = "noise",
                           .formula = "y = x + sigma * normal",
                           .differentiable = 1,
                           .shape = shape,
                           .reference = reference,
                           .generate = generate,
                           .forward_bound = 5e-7,
                           .gradient_bound = 1e-6,
                           .versions = {{"plain", NULL, forward, backward}}};
