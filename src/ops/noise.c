/* Gaussian noise: x [T, d] -> x + sigma * normal(rng_key, t, c); the gradient passes unchanged. Reads
 * attr.sigma >= 0 and attr.rng_key. */
#include "base/rng.h"
#include "ops/op_util.h"
#include "ops/vmath.h"
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

/* The two uniform numbers in (0, 1) of an element, multiples of 2^-24. */
CM_VMATH_INLINE float uniform(uint64_t row_key, uint32_t i) {
    return ((float)(cm_hash32(row_key, i) >> 9) + 0.5f) * 0x1p-23f;
}

/* Box and Muller (1958). */
static void reference(const cm_op_reference_call *call) {
    for (int64_t t = 0; t < call->rows; t++) {
        uint64_t key = cm_rng_bits(call->attr->rng_key, (uint64_t)t);
        for (int64_t c = 0; c < call->cols; c++) {
            double u = (double)uniform(key, 2 * (uint32_t)c), v = (double)uniform(key, 2 * (uint32_t)c + 1);
            int64_t i = t * call->cols + c;
            call->out[i] = call->in[0].data[i] + (double)call->attr->sigma * sqrt(-2 * log(u)) *
                                                     cos(2 * 3.14159265358979323846 * v);
        }
    }
}

static void generate(cm_op_case *test, uint64_t key, int index) {
    static const float sigmas[] = {0.1f, 0.0f, 2.0f};
    cm_case_one(test, key, index);
    test->attr.sigma = sigmas[index % 3];
    test->attr.rng_key = key;
}

CM_CLONES static void noise_row(const float *restrict x, float *restrict out, int64_t d, uint64_t row_key,
                                float sigma) {
    for (int64_t c = 0; c < d; c++) {
        float u = uniform(row_key, 2 * (uint32_t)c), v = uniform(row_key, 2 * (uint32_t)c + 1);
        out[c] = x[c] + sigma * (__builtin_sqrtf(-2.0f * cm_logf(u)) * cm_cos_turnf(v));
    }
}

static void forward_rows(void *context, int64_t begin, int64_t end, int member) {
    (void)member;
    const cm_op_call *call = context;
    for (int64_t t = begin; t < end; t++)
        noise_row(cm_mat_row(call->in[0], t), cm_mat_row(call->out, t), call->out.cols,
                  cm_rng_bits(call->attr->rng_key, (uint64_t)t), call->attr->sigma);
}

static void backward_rows(void *context, int64_t begin, int64_t end, int member) {
    (void)member;
    const cm_op_call *call = context;
    for (int64_t t = begin; t < end; t++)
        cm_op_put(cm_mat_row(call->grad_in[0], t), cm_mat_row(call->grad_out, t), call->grad_out.cols,
                  call->accumulate[0]);
}

static void forward(const cm_op_call *call) {
    /* a draw costs as much as some 4 additions */
    cm_team_for(call->team, call->out.rows, cm_op_row_grain(call->out.cols * 4), forward_rows, (void *)call);
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
                           .forward_bound = 2e-6,
                           .gradient_bound = 1e-6,
                           .versions = {{"plain", NULL, forward, backward}}};
