/* Rotary position embedding (Su et al. 2021), split halves as in GPT-NeoX: x [T, heads * w],
 * inv_freq [1, w / 2] -> [T, heads * w]. The row that is number p of its segment, from 0, has the angles
 * p inv_freq[i]; for each head and i < w / 2, with h = w / 2:
 *   y[i]     = x[i] cos - x[i + h] sin
 *   y[i + h] = x[i + h] cos + x[i] sin
 * Reads attr.heads, attr.scale (a factor on x before the rotation, 0: none) and segments 0. The angle is a
 * float32 product, and its sine and cosine are those of that float, as the published models compute them;
 * they are made once per call for the longest segment, in scratch: [positions, w], cosines then sines.
 * Backward turns by the negative angle. The positions' frequencies have no gradient. out may be x. */
#include "base/rng.h"
#include "ops/op_util.h"
#include "ops/vmath.h"

enum { X, FREQUENCY };

static float scale_of(const cm_op_attr *attr) {
    return attr->scale != 0 ? attr->scale : 1.0f;
}

static int64_t longest_segment(const cm_segments *segments) {
    int64_t longest = 0;
    for (int64_t s = 0; s < segments->count; s++) {
        int64_t rows = segments->end[s] - segments->begin[s];
        longest = rows > longest ? rows : longest;
    }
    return longest;
}

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
    CM_TRY(cm_op_check_input(call, op, FREQUENCY, "inv_freq", 1, cols / heads / 2, error));
    if (!isfinite(call->attr->scale))
        return cm_op_refuse(error, op, "scale", "a finite number", "%g", (double)call->attr->scale);
    CM_TRY(cm_op_check_segments(call, op, 0, rows, true, error));
    *result = (cm_op_shape){.rows = rows, .cols = cols};
    return cm_op_add_floats(op, longest_segment(&call->segments[0]), cols / heads, 1, &result->scratch_floats,
                            error);
}

/* The angle is rounded as in the op itself: at position 10,000 that rounding moves the sine by 5e-4. */
static void reference(const cm_op_reference_call *call) {
    int64_t d = call->cols, heads = call->attr->heads, w = d / heads, half = w / 2;
    double scale = (double)scale_of(call->attr);
    for (int64_t s = 0; s < call->segments[0].count; s++)
        for (int64_t t = call->segments[0].begin[s]; t < call->segments[0].end[s]; t++)
            for (int64_t c = 0; c < d; c++) {
                int64_t i = c % w % half, first = c - c % w + i;
                float angle = (float)(t - call->segments[0].begin[s]) * (float)call->in[FREQUENCY].data[i];
                double low = scale * call->in[X].data[t * d + first];
                double high = scale * call->in[X].data[t * d + first + half];
                double cosine = cos((double)angle), sine = sin((double)angle);
                call->out[t * d + c] = c % w < half ? low * cosine - high * sine : high * cosine + low * sine;
            }
}

static void generate(cm_op_case *test, uint64_t key, int index) {
    int64_t rows = cm_case_length(key, index, 0), half = cm_case_width(key, index, 0);
    test->attr.heads = index == 0 ? 1 : 1 + (int)cm_rng_below(key, 0, 4);
    if (index % 3 == 2) test->attr.scale = index % 2 ? 0.3f : -0.7f;
    test->n_in = 2;
    test->in[X].rows = rows;
    test->in[X].cols = 2 * half * test->attr.heads;
    test->in[FREQUENCY].rows = 1;
    test->in[FREQUENCY].cols = half;
    test->in[FREQUENCY].fill = CM_FILL_ZERO_ONE;
    if (index % 4 == 0) {
        test->n_segments[0] = 1;
        test->end[0][0] = rows;
        return;
    }
    cm_case_segments(test, 0, rows, key);
}

static void fill_table(void *context, int64_t begin, int64_t end, int member) {
    (void)member;
    const cm_op_call *call = context;
    const float *frequency = call->in[FREQUENCY].data;
    int64_t half = call->in[FREQUENCY].cols;
    for (int64_t p = begin; p < end; p++) {
        float *cosine = call->scratch + p * 2 * half, *sine = cosine + half;
        for (int64_t i = 0; i < half; i++) {
            float angle = (float)p * frequency[i];
            cosine[i] = cosf(angle);
            sine[i] = sinf(angle);
        }
    }
}

/* How a row is turned: the position's cosines and sines [half], a factor on x; turn: 1 forward, -1 backward.
 */
typedef struct rotary_row {
    const float *cosine, *sine;
    float scale, turn;
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
            float low = low_from[i] * row.scale, high = high_from[i] * row.scale, s = row.sine[i] * row.turn;
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

/* Number of the last segment that begins at or before row t and is not empty. */
static int64_t segment_of(const cm_segments *segments, int64_t t) {
    int64_t low = 0, high = segments->count;
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        if (segments->begin[middle] <= t)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static void rotate_rows(void *context, int64_t begin, int64_t end, int member) {
    (void)member;
    const rotary_job *job = context;
    const cm_segments *segments = &job->call->segments[0];
    int64_t half = job->call->in[FREQUENCY].cols, segment = segment_of(segments, begin);
    float scale = scale_of(job->call->attr);
    for (int64_t t = begin; t < end; t++) {
        while (t >= segments->end[segment]) segment++;
        const float *cosine = job->call->scratch + (t - segments->begin[segment]) * 2 * half;
        rotate(cm_mat_row(job->from, t), cm_mat_row(job->to, t), job->from.cols, half,
               (rotary_row){cosine, cosine + half, scale, job->turn, job->add});
    }
}

static void run(rotary_job job) {
    const cm_op_call *call = job.call;
    enum { TABLE_GRAIN = 256 }; /* sines worth a thread */
    int64_t half = call->in[FREQUENCY].cols, positions = longest_segment(&call->segments[0]);
    cm_team_for(call->team, positions, 1 + TABLE_GRAIN / half, fill_table, (void *)call);
    cm_team_for(call->team, job.from.rows, cm_op_row_grain(job.from.cols), rotate_rows, &job);
}

static void forward(const cm_op_call *call) {
    run((rotary_job){call, call->in[X], call->out, 1.0f, false});
}

static void backward(const cm_op_call *call) {
    if (call->grad_in[X].data)
        run((rotary_job){call, call->grad_out, call->grad_in[X], -1.0f, call->accumulate[X]});
}

const cm_op cm_op_rotary = {.name = "rotary",
                            .formula = "halves of each head turned by position * inv_freq",
                            .differentiable = 1,
                            .shape = shape,
                            .reference = reference,
                            .generate = generate,
                            .forward_bound = 1e-6,
                            .gradient_bound = 2e-6,
                            .versions = {{"plain", NULL, forward, backward}}};
