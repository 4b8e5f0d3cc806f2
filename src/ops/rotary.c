/* Rotary position embedding (Su et al. 2021), split halves as in GPT-NeoX: table [P, w], of position p the
 * cosines of its w / 2 angles, then their sines (cm_rotary_table); x [T, heads * w], ids: the position of
 * each row, in [0, P) -> [T, heads * w]. For each head and i < h = w / 2, with the row's angles:
 *
 *   y[i]     = x[i] cos[i] - x[i + h] sin[i]
 *   y[i + h] = x[i + h] cos[i] + x[i] sin[i]
 *
 * Reads attr.heads. Backward turns by the negative angle; the table has no gradient. out may be x. */
#include "ops/rotary.h"
#include "base/rng.h"
#include "ops/op_util.h"
#include "ops/vmath.h"

enum { TABLE, X };

static cm_status shape(const cm_op_call *call, cm_op_shape *result, cm_error *error) {
    static const char op[] = "rotary";
    CM_TRY(cm_op_check_count(call, op, 2, 2, error));
    CM_TRY(cm_op_check_input(call, op, X, "x", -1, -1, error));
    int64_t rows = call->in[X].rows, cols = call->in[X].cols, heads = call->attr->heads;
    if (heads < 1 || cols < 1 || cols % heads != 0 || cols / heads % 2 != 0)
        return cm_op_refuse(
            error, op, "heads",
            cm_format("a divisor of %lld columns that leaves an even width", (long long)cols).text, "%lld",
            (long long)heads);
    CM_TRY(cm_op_check_input(call, op, TABLE, "table", -1, cols / heads, error));
    CM_TRY(cm_op_check_ids(call, op, call->in[TABLE].rows, error));
    if (call->n_ids != rows)
        return cm_op_refuse(error, op, "ids", cm_format("%lld positions", (long long)rows).text, "%lld",
                            (long long)call->n_ids);
    *result = (cm_op_shape){.rows = rows, .cols = cols};
    return CM_OK;
}

static void reference(const cm_op_reference_call *call) {
    int64_t d = call->cols, w = call->in[TABLE].cols, half = w / 2;
    for (int64_t t = 0; t < call->rows; t++)
        for (int64_t c = 0; c < d; c++) {
            int64_t i = c % w % half, first = c - c % w + i;
            double low = call->in[X].data[t * d + first], high = call->in[X].data[t * d + first + half];
            double cosine = call->in[TABLE].data[call->ids[t] * w + i];
            double sine = call->in[TABLE].data[call->ids[t] * w + half + i];
            call->out[t * d + c] = c % w < half ? low * cosine - high * sine : high * cosine + low * sine;
        }
}

static void generate(cm_op_case *test, uint64_t key, int index) {
    int64_t half = cm_case_width(key, index, 0);
    test->attr.heads = index == 0 ? 1 : 1 + (int)cm_rng_below(key, 0, 4);
    test->n_in = 2;
    test->in[TABLE].rows = test->id_limit = 1 + (int64_t)cm_rng_below(key, 502, 40);
    test->in[TABLE].cols = 2 * half;
    test->in[X].rows = test->n_ids = cm_case_length(key, index, 0);
    test->in[X].cols = 2 * half * test->attr.heads;
}

typedef struct table_job {
    const float *frequencies;
    cm_mat table;
} table_job;

static void fill_table(void *context, int64_t begin, int64_t end, int member) {
    (void)member;
    const table_job *job = context;
    int64_t half = job->table.cols / 2;
    for (int64_t p = begin; p < end; p++) {
        float *cosine = cm_mat_row(job->table, p), *sine = cosine + half;
        for (int64_t i = 0; i < half; i++) {
            float angle = (float)p * job->frequencies[i];
            cosine[i] = cosf(angle);
            sine[i] = sinf(angle);
        }
    }
}

void cm_rotary_table(cm_team *team, const float *frequencies, cm_mat table) {
    enum { WORTH_A_THREAD = 512 };
    table_job job = {frequencies, table};
    cm_team_for(team, table.rows, 1 + WORTH_A_THREAD / table.cols, fill_table, &job);
}

/* How a row is turned: the position's cosines and sines [half]; turn: 1 forward, -1 backward. */
typedef struct rotary_row {
    const float *cosine, *sine;
    float turn;
    bool add;
} rotary_row;

/* All heads of a row [cols], from and to; from may be to. half is a constant where the function is used for
 * one of the usual widths, which fills vectors that a loop of unknown length leaves empty. */
CM_VMATH_INLINE void rotate_heads(const float *from, float *to, int64_t cols, int64_t half, rotary_row row) {
    for (int64_t c = 0; c < cols; c += 2 * half) {
        const float *low_from = from + c, *high_from = low_from + half;
        float *low_to = to + c, *high_to = low_to + half;
#pragma GCC ivdep
        for (int64_t i = 0; i < half; i++) {
            float low = low_from[i], high = high_from[i], s = row.sine[i] * row.turn;
            float new_low = low * row.cosine[i] - high * s, new_high = high * row.cosine[i] + low * s;
            low_to[i] = row.add ? low_to[i] + new_low : new_low;
            high_to[i] = row.add ? high_to[i] + new_high : new_high;
        }
    }
}

CM_CLONES static void rotate(const float *from, float *to, int64_t cols, int64_t half, rotary_row row) {
    switch (half) {
    case 8:
        rotate_heads(from, to, cols, 8, row);
        break;
    case 12:
        rotate_heads(from, to, cols, 12, row);
        break;
    case 16:
        rotate_heads(from, to, cols, 16, row);
        break;
    case 32:
        rotate_heads(from, to, cols, 32, row);
        break;
    default:
        rotate_heads(from, to, cols, half, row);
        break;
    }
}

typedef struct rotary_job {
    const cm_op_call *call;
    cm_mat from, to;
    float turn;
    bool add;
} rotary_job;

static void rotate_rows(void *context, int64_t begin, int64_t end, int member) {
    (void)member;
    const rotary_job *job = context;
    int64_t half = job->call->in[TABLE].cols / 2;
    for (int64_t t = begin; t < end; t++) {
        const float *cosine = cm_mat_row(job->call->in[TABLE], job->call->ids[t]);
        rotate(cm_mat_row(job->from, t), cm_mat_row(job->to, t), job->from.cols, half,
               (rotary_row){cosine, cosine + half, job->turn, job->add});
    }
}

static void run(rotary_job job) {
    cm_team_for(job.call->team, job.from.rows, cm_op_row_grain(job.from.cols), rotate_rows, &job);
}

static void forward(const cm_op_call *call) {
    run((rotary_job){call, call->in[X], call->out, 1.0f, false});
}

static void backward(const cm_op_call *call) {
    if (call->grad_in[X].data)
        run((rotary_job){call, call->grad_out, call->grad_in[X], -1.0f, call->accumulate[X]});
}

const cm_op cm_op_rotary = {.name = "rotary",
                            .formula = "halves of each head turned by the angles of the row's position",
                            .differentiable = 2,
                            .shape = shape,
                            .reference = reference,
                            .generate = generate,
                            .forward_bound = 1e-6,
                            .gradient_bound = 2e-6,
                            .versions = {{"plain", NULL, forward, backward}}};
