/* Dropout: x [T, d] -> 0 with chance p, else x / (1 - p). Reads attr.probability, p in [0, 1), and
 * attr.rng_key. Whether element (t, c) stays is a function of (rng_key, t, c) alone: the 24 high bits of
 * cm_hash32 of the row's key and c against p 2^24. Backward draws them again, so nothing is saved. */
#include "base/rng.h"
#include "ops/op_util.h"
#include "ops/vmath.h"

static cm_status shape(const cm_op_call *call, cm_op_shape *result, cm_error *error) {
    static const char op[] = "dropout";
    CM_TRY(cm_op_check_count(call, op, 1, 1, error));
    CM_TRY(cm_op_check_input(call, op, 0, "x", -1, -1, error));
    if (!(call->attr->probability >= 0 && call->attr->probability < 1))
        return cm_op_refuse(error, op, "probability", "at least 0 and below 1", "%g",
                            (double)call->attr->probability);
    *result = (cm_op_shape){.rows = call->in[0].rows, .cols = call->in[0].cols};
    return CM_OK;
}

static uint32_t threshold_of(const cm_op_attr *attr) {
    return (uint32_t)(attr->probability * 0x1p24f);
}

static void reference(const cm_op_reference_call *call) {
    uint32_t threshold = threshold_of(call->attr);
    for (int64_t t = 0; t < call->rows; t++)
        for (int64_t c = 0; c < call->cols; c++) {
            uint32_t draw = cm_hash32(cm_rng_bits(call->attr->rng_key, (uint64_t)t), (uint32_t)c) >> 8;
            double x = call->in[0].data[t * call->cols + c];
            call->out[t * call->cols + c] = draw < threshold ? 0 : x / (1 - (double)call->attr->probability);
        }
}

static void generate(cm_op_case *test, uint64_t key, int index) {
    static const float chances[] = {0.1f, 0.0f, 0.5f, 0.9f};
    cm_case_one(test, key, index);
    test->attr.probability = chances[index % 4];
    test->attr.rng_key = key;
}

CM_CLONES static void mask_row(const float *restrict from, float *restrict to, int64_t d, uint64_t row_key,
                               uint32_t threshold, float factor, bool add) {
    if (add)
        for (int64_t i = 0; i < d; i++)
            to[i] += cm_hash32(row_key, (uint32_t)i) >> 8 < threshold ? 0.0f : from[i] * factor;
    else
        for (int64_t i = 0; i < d; i++)
            to[i] = cm_hash32(row_key, (uint32_t)i) >> 8 < threshold ? 0.0f : from[i] * factor;
}

typedef struct mask_job {
    const cm_op_attr *attr;
    cm_mat from, to;
    bool add;
} mask_job;

static void mask_rows(void *context, int64_t begin, int64_t end, int member) {
    (void)member;
    const mask_job *job = context;
    float factor = 1.0f / (1.0f - job->attr->probability);
    for (int64_t t = begin; t < end; t++)
        mask_row(cm_mat_row(job->from, t), cm_mat_row(job->to, t), job->to.cols,
                 cm_rng_bits(job->attr->rng_key, (uint64_t)t), threshold_of(job->attr), factor, job->add);
}

static void forward(const cm_op_call *call) {
    mask_job job = {call->attr, call->in[0], call->out, false};
    cm_team_for(call->team, call->out.rows, cm_op_row_grain(call->out.cols), mask_rows, &job);
}

static void backward(const cm_op_call *call) {
    mask_job job = {call->attr, call->grad_out, call->grad_in[0], call->accumulate[0]};
    if (!job.to.data) return;
    cm_team_for(call->team, job.to.rows, cm_op_row_grain(job.to.cols), mask_rows, &job);
}

const cm_op cm_op_dropout = {.name = "dropout",
                             .formula = "y = 0 with chance p, else x / (1 - p)",
                             .differentiable = 1,
                             .shape = shape,
                             .reference = reference,
                             .generate = generate,
                             .forward_bound = 5e-7,
                             .gradient_bound = 1e-6,
                             .versions = {{"plain", NULL, forward, backward}}};
