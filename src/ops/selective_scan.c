/* Selective scan, the recurrence of Mamba (Gu and Dao 2023), per segment and channel c:
 *
 *   delta = softplus(dt + dt_bias),  A = -exp(A_log)
 *   h_t[k] = exp(delta_t A[c, k]) h_{t-1}[k] + delta_t u_t B_t[k],  h = 0 before the first token
 *   y_t = sum over k of C_t[k] h_t[k] + D u_t,  out = y silu(z), or y when z is absent
 *
 * With attr.reverse a segment is run from its last row to its first; with attr.carry the first one begins
 * with the h given there. The gradients, with g the gradient
 * of h and "next" the following token of the segment:
 *
 *   g_t = gy_t C_t + a_next g_next,  a_t = exp(delta_t A)
 *   grad C_t = sum over c of gy_t h_t,  grad B_t = sum over c of g_t delta_t u_t
 *   e_t = g_t a_t h_{t-1},  grad A_log = A sum over t of e_t delta_t
 *   grad delta_t = sum over k of (e_t A + g_t u_t B_t),  grad u_t = delta_t sum over k of g_t B_t + gy_t D
 */
#include "ops/selective_scan.h"
#include "base/rng.h"
#include "ops/op_util.h"
#include "ops/vmath.h"
#include <string.h>

enum { CHUNK = CM_SCAN_CHUNK, GROUP = CM_SCAN_GROUP };
enum { U = CM_SCAN_U, DT = CM_SCAN_DT, A = CM_SCAN_A, B = CM_SCAN_B, C = CM_SCAN_C, D = CM_SCAN_D };
enum { BIAS = CM_SCAN_BIAS, Z = CM_SCAN_Z };

/* ---- shape ---- */

static int64_t pieces(int64_t count, int64_t size) {
    return count / size + (count % size != 0);
}

/* A group's share of scratch; at most CM_SCAN_MAX_STATES states. */
static int64_t work_floats(int64_t n) {
    return n * (2 * CHUNK * CM_SCAN_LANES + 3 * GROUP) + 2 * GROUP;
}

/* Offsets in floats into scratch. */
typedef struct scan_layout {
    size_t work, partial, scratch, saved;
} scan_layout;

static cm_status scan_layout_of(const cm_op_call *call, scan_layout *layout, cm_error *error) {
    int64_t rows = call->in[U].rows, d = call->in[U].cols, n = call->in[A].cols;
    int64_t chunks = pieces(rows, CHUNK), groups = pieces(d, GROUP);
    int64_t starts = pieces(chunks, 8) * 16; /* whole cache lines of 8-byte words */
    size_t floats = 0;
    CM_TRY(cm_op_add_floats("selective_scan", starts, 1, 1, &floats, error));
    layout->work = floats;
    CM_TRY(cm_op_add_floats("selective_scan", groups, work_floats(n), 1, &floats, error));
    layout->partial = floats;
    layout->scratch = floats;
    layout->saved = 0;
    if (call->attr->carry) return CM_OK;
    CM_TRY(cm_op_add_floats("selective_scan", rows, 2 * n, groups, &floats, error));
    layout->scratch = floats;
    if (chunks > 1)
        CM_TRY(cm_op_add_floats("selective_scan", chunks - 1, groups * GROUP, n, &layout->saved, error));
    return CM_OK;
}

static cm_status scan_shape(const cm_op_call *call, cm_op_shape *shape, cm_error *error) {
    const char *op = "selective_scan";
    CM_TRY(cm_op_check_count(call, op, 7, 8, error));
    CM_TRY(cm_op_check_input(call, op, U, "u", -1, -1, error));
    int64_t rows = call->in[U].rows, d = call->in[U].cols;
    CM_TRY(cm_op_check_input(call, op, DT, "dt", rows, d, error));
    CM_TRY(cm_op_check_input(call, op, A, "A_log", d, -1, error));
    int64_t n = call->in[A].cols;
    if (n < 1 || n > CM_SCAN_MAX_STATES)
        return cm_op_refuse(error, op, "A_log", "1 to 256 states", "%lld", (long long)n);
    CM_TRY(cm_op_check_input(call, op, B, "B", rows, n, error));
    CM_TRY(cm_op_check_input(call, op, C, "C", rows, n, error));
    CM_TRY(cm_op_check_input(call, op, D, "D", 1, d, error));
    CM_TRY(cm_op_check_input(call, op, BIAS, "dt_bias", 1, d, error));
    if (cm_op_has(call, Z)) CM_TRY(cm_op_check_input(call, op, Z, "z", rows, d, error));
    CM_TRY(cm_op_check_segments(call, op, 0, rows, true, error));
    scan_layout layout;
    CM_TRY(scan_layout_of(call, &layout, error));
    *shape = (cm_op_shape){rows, d, layout.saved, layout.scratch};
    return CM_OK;
}

/* ---- drivers ---- */

/* Sets the bit of each token that begins a segment, in the order of the stream; not of the first token
 * when the state is carried into it. */
static void mark_starts(const cm_op_call *call, int64_t rows, uint64_t *starts) {
    const cm_segments *segments = &call->segments[0];
    memset(starts, 0, (size_t)pieces(rows, CHUNK) * sizeof *starts);
    for (int64_t s = 0; s < segments->count; s++) {
        if (segments->begin[s] == segments->end[s]) continue;
        int64_t position = call->attr->reverse ? rows - segments->end[s] : segments->begin[s];
        if (position > 0 || !call->attr->carry) starts[position / CHUNK] |= (uint64_t)1 << position % CHUNK;
    }
}

static cm_scan scan_open(const cm_op_call *call) {
    int64_t rows = call->in[U].rows, d = call->in[U].cols, n = call->in[A].cols;
    scan_layout layout = {0};
    scan_layout_of(call, &layout, NULL);
    uint64_t *starts = (uint64_t *)(void *)call->scratch;
    mark_starts(call, rows, starts);
    return (cm_scan){.call = call,
                     .rows = rows,
                     .d = d,
                     .n = n,
                     .groups = pieces(d, GROUP),
                     .chunks = pieces(rows, CHUNK),
                     .starts = starts,
                     .work = call->scratch + layout.work,
                     .work_floats = work_floats(n),
                     .partial = call->scratch + layout.partial};
}

typedef struct scan_job {
    cm_scan scan;
    cm_scan_body body;
} scan_job;

static void run_groups(void *context, int64_t begin, int64_t end, int member) {
    const scan_job *job = context;
    (void)member;
    job->body(&job->scan, begin, end);
}

void cm_scan_forward(const cm_op_call *call, cm_scan_body body) {
    scan_job job = {scan_open(call), body};
    cm_team_for(call->team, job.scan.groups, 1, run_groups, &job);
}

/* to[n] (+)= the sum over the groups of part[stride * group]. */
CM_CLONES static void add_groups(const float *part, int64_t stride, int64_t groups, int64_t n,
                                 bool accumulate, float *restrict to) {
    float sum[CM_SCAN_MAX_STATES];
    memcpy(sum, part, (size_t)n * sizeof *sum);
    for (int64_t g = 1; g < groups; g++)
        for (int64_t k = 0; k < n; k++) sum[k] += part[g * stride + k];
    for (int64_t k = 0; k < n; k++) to[k] = (accumulate ? to[k] : 0.0f) + sum[k];
}

static void sum_group_rows(void *context, int64_t begin, int64_t end, int member) {
    const cm_scan *scan = context;
    const cm_op_call *call = scan->call;
    int64_t n = scan->n, stride = scan->rows * 2 * n;
    (void)member;
    for (int64_t t = begin; t < end; t++) {
        const float *part = scan->partial + t * 2 * n;
        if (call->grad_in[B].data)
            add_groups(part, stride, scan->groups, n, call->accumulate[B], cm_mat_row(call->grad_in[B], t));
        if (call->grad_in[C].data)
            add_groups(part + n, stride, scan->groups, n, call->accumulate[C],
                       cm_mat_row(call->grad_in[C], t));
    }
}

void cm_scan_backward(const cm_op_call *call, cm_scan_body body) {
    scan_job job = {scan_open(call), body};
    cm_team_for(call->team, job.scan.groups, 1, run_groups, &job);
    if (call->grad_in[B].data || call->grad_in[C].data)
        cm_team_for(call->team, job.scan.rows, 256, sum_group_rows, &job.scan);
}

/* ---- the plain version: one channel after another, loops over the states ---- */

/* A channel between chunks; the arrays lie in the group's share of work. */
typedef struct plain_channel {
    int64_t c;        /* channel */
    float *a;         /* A [n] */
    float *h;         /* [n]; forward: the state, backward: the part of its gradient from later tokens */
    float *grad_a;    /* [n], backward: sum over tokens of e_t delta_t */
    float *sums;      /* [2], backward: sums over tokens of the gradients of D and dt_bias */
    float skip, bias; /* D, dt_bias */
} plain_channel;

static plain_channel channel_of(const cm_scan *scan, int64_t c) {
    int64_t i = c % GROUP, n = scan->n;
    float *own = scan->work + c / GROUP * scan->work_floats + i * (3 * n + 2);
    return (plain_channel){
        c, own, own + n, own + 2 * n, own + 3 * n, scan->call->in[D].data[c], scan->call->in[BIAS].data[c]};
}

/* Computes A and zeroes the rest, for the channels of groups [begin, end). */
CM_CLONES static void open_channels(const cm_scan *scan, int64_t begin, int64_t end) {
    for (int64_t c = begin * GROUP; c < end * GROUP && c < scan->d; c++) {
        plain_channel channel = channel_of(scan, c);
        const float *a_log = cm_mat_row(scan->call->in[A], c);
        float *restrict a = channel.a;
        memset(a, 0, (size_t)(3 * scan->n + 2) * sizeof *a);
        for (int64_t k = 0; k < scan->n; k++) a[k] = -cm_expf(a_log[k]);
    }
}

/* One step of the recurrence: decay = a_t, after = h_t; before may be after. Returns C_t . h_t. */
CM_CLONES static float step_states(const plain_channel *channel, float delta, float input, const float *b,
                                   const float *c, int64_t n, const float *before, float *restrict decay,
                                   float *after) {
    float product[CM_SCAN_MAX_STATES], y = 0.0f;
    const float *a = channel->a;
    for (int64_t k = 0; k < n; k++) decay[k] = cm_expf(delta * a[k]);
    for (int64_t k = 0; k < n; k++) {
        after[k] = decay[k] * before[k] + input * b[k];
        product[k] = c[k] * after[k];
    }
    for (int64_t k = 0; k < n; k++) y += product[k];
    return y;
}

static float *plain_saved(const cm_scan *scan, int64_t chunk, const plain_channel *channel) {
    return cm_scan_saved(scan, chunk, channel->c / GROUP) + channel->c % GROUP * scan->n;
}

static void plain_forward_chunk(const cm_scan *scan, int64_t chunk, const plain_channel *channel) {
    const cm_op_call *call = scan->call;
    cm_scan_rows rows = cm_scan_chunk_rows(scan, chunk);
    float decay[CM_SCAN_MAX_STATES], *state = channel->h;
    size_t bytes = (size_t)scan->n * sizeof *state;
    float *carry = cm_scan_carry(scan, channel->c);
    if (chunk == 0 && carry) memcpy(state, carry, bytes);
    if (chunk > 0 && !carry) memcpy(plain_saved(scan, chunk, channel), state, bytes);
    for (int64_t t = 0; t < rows.count; t++) {
        int64_t row = rows.first + t * rows.step, c = channel->c;
        if (scan->starts[chunk] >> t & 1) memset(state, 0, bytes);
        float delta = cm_softplusf(cm_mat_row(call->in[DT], row)[c] + channel->bias);
        float u = cm_mat_row(call->in[U], row)[c];
        float y = step_states(channel, delta, delta * u, cm_mat_row(call->in[B], row),
                              cm_mat_row(call->in[C], row), scan->n, state, decay, state);
        y += channel->skip * u;
        if (cm_op_has(call, Z)) y *= cm_siluf(cm_mat_row(call->in[Z], row)[c]);
        cm_mat_row(call->out, row)[c] = y;
    }
    if (chunk == scan->chunks - 1 && carry) memcpy(carry, state, bytes);
}

static void plain_forward_groups(const cm_scan *scan, int64_t begin, int64_t end) {
    open_channels(scan, begin, end);
    for (int64_t chunk = 0; chunk < scan->chunks; chunk++)
        for (int64_t c = begin * GROUP; c < end * GROUP && c < scan->d; c++) {
            plain_channel channel = channel_of(scan, c);
            plain_forward_chunk(scan, chunk, &channel);
        }
}

/* What backward knows about the tokens of one chunk of one channel. */
typedef struct plain_chunk {
    float u[CHUNK], x[CHUNK], delta[CHUNK], y[CHUNK]; /* x = dt + dt_bias, y before the gate */
    float grad_y[CHUNK];
    float before[CHUNK][CM_SCAN_MAX_STATES]; /* h_{t-1} */
    float decay[CHUNK][CM_SCAN_MAX_STATES];
    float after[CHUNK][CM_SCAN_MAX_STATES]; /* h_t */
} plain_chunk;

/* Runs the chunk again from the saved state. */
static void recompute_chunk(const cm_scan *scan, int64_t chunk, const plain_channel *channel,
                            plain_chunk *work) {
    const cm_op_call *call = scan->call;
    cm_scan_rows rows = cm_scan_chunk_rows(scan, chunk);
    int64_t c = channel->c, n = scan->n;
    /* the first chunk begins with a start: what stands here is not read */
    const float *state = chunk > 0 ? plain_saved(scan, chunk, channel) : work->after[0];
    for (int64_t t = 0; t < rows.count; t++) {
        int64_t row = rows.first + t * rows.step;
        if (scan->starts[chunk] >> t & 1)
            memset(work->before[t], 0, (size_t)n * sizeof(float));
        else
            memcpy(work->before[t], t > 0 ? work->after[t - 1] : state, (size_t)n * sizeof(float));
        work->u[t] = cm_mat_row(call->in[U], row)[c];
        work->x[t] = cm_mat_row(call->in[DT], row)[c] + channel->bias;
        work->delta[t] = cm_softplusf(work->x[t]);
        work->y[t] =
            channel->skip * work->u[t] +
            step_states(channel, work->delta[t], work->delta[t] * work->u[t], cm_mat_row(call->in[B], row),
                        cm_mat_row(call->in[C], row), n, work->before[t], work->decay[t], work->after[t]);
        float grad = cm_mat_row(call->grad_out, row)[c];
        work->grad_y[t] = cm_op_has(call, Z) ? grad * cm_siluf(cm_mat_row(call->in[Z], row)[c]) : grad;
    }
}

/* One step back. Adds to the gradients of B_t and C_t [2 n]; sum_b = g . B, sum_a = e . A. */
CM_CLONES static void step_back(const plain_channel *channel, const plain_chunk *work, int64_t t,
                                const float *b, const float *c, int64_t n, float *restrict grad_bc,
                                float *sum_b, float *sum_a) {
    float with_b[CM_SCAN_MAX_STATES], with_a[CM_SCAN_MAX_STATES];
    float grad_y = work->grad_y[t], delta = work->delta[t], input = delta * work->u[t];
    float *restrict g = channel->h, *restrict grad_a = channel->grad_a;
    for (int64_t k = 0; k < n; k++) {
        float grad = g[k] + grad_y * c[k];
        grad_bc[k] += grad * input;
        grad_bc[n + k] += grad_y * work->after[t][k];
        with_b[k] = grad * b[k];
        g[k] = grad * work->decay[t][k];
        float e = g[k] * work->before[t][k];
        grad_a[k] += e * delta;
        with_a[k] = e * channel->a[k];
    }
    *sum_b = *sum_a = 0.0f;
    for (int64_t k = 0; k < n; k++) {
        *sum_b += with_b[k];
        *sum_a += with_a[k];
    }
}

static void add_to(const cm_op_call *call, int input, int64_t row, int64_t c, float value) {
    if (!call->grad_in[input].data) return;
    float *to = cm_mat_row(call->grad_in[input], row) + c;
    *to = (call->accumulate[input] ? *to : 0.0f) + value;
}

static void plain_backward_chunk(const cm_scan *scan, int64_t chunk, const plain_channel *channel,
                                 plain_chunk *work) {
    const cm_op_call *call = scan->call;
    cm_scan_rows rows = cm_scan_chunk_rows(scan, chunk);
    int64_t c = channel->c, n = scan->n;
    recompute_chunk(scan, chunk, channel, work);
    for (int64_t t = rows.count - 1; t >= 0; t--) {
        int64_t row = rows.first + t * rows.step;
        float *grad_bc = scan->partial + (c / GROUP * scan->rows + row) * 2 * n, sum_b, sum_a;
        if (c % GROUP == 0) memset(grad_bc, 0, (size_t)(2 * n) * sizeof *grad_bc);
        step_back(channel, work, t, cm_mat_row(call->in[B], row), cm_mat_row(call->in[C], row), n, grad_bc,
                  &sum_b, &sum_a);
        if (scan->starts[chunk] >> t & 1) memset(channel->h, 0, (size_t)n * sizeof(float));
        float grad_dt = (work->u[t] * sum_b + sum_a) * cm_sigmoidf(work->x[t]);
        channel->sums[1] += grad_dt;
        channel->sums[0] += work->grad_y[t] * work->u[t];
        add_to(call, DT, row, c, grad_dt);
        add_to(call, U, row, c, work->delta[t] * sum_b + work->grad_y[t] * channel->skip);
        if (cm_op_has(call, Z))
            add_to(call, Z, row, c,
                   cm_mat_row(call->grad_out, row)[c] * work->y[t] *
                       cm_silu_slopef(cm_mat_row(call->in[Z], row)[c]));
    }
}

static void plain_backward_groups(const cm_scan *scan, int64_t begin, int64_t end) {
    plain_chunk work;
    open_channels(scan, begin, end);
    for (int64_t chunk = scan->chunks - 1; chunk >= 0; chunk--)
        for (int64_t c = begin * GROUP; c < end * GROUP && c < scan->d; c++) {
            plain_channel channel = channel_of(scan, c);
            plain_backward_chunk(scan, chunk, &channel, &work);
        }
    for (int64_t c = begin * GROUP; c < end * GROUP && c < scan->d; c++) {
        plain_channel channel = channel_of(scan, c);
        for (int64_t k = 0; k < scan->n; k++) add_to(scan->call, A, c, k, channel.grad_a[k] * channel.a[k]);
        add_to(scan->call, D, 0, c, channel.sums[0]);
        add_to(scan->call, BIAS, 0, c, channel.sums[1]);
    }
}

static void plain_forward(const cm_op_call *call) {
    cm_scan_forward(call, plain_forward_groups);
}

static void plain_backward(const cm_op_call *call) {
    cm_scan_backward(call, plain_backward_groups);
}

/* ---- reference and test cases ---- */

static double reference_softplus(double x) {
    return x > 20.0 ? x : log1p(exp(x));
}

/* One segment of one channel; h [n] and a [n] (a = A) are the caller's. */
static void reference_channel(const cm_op_reference_call *call, int64_t s, int64_t c, const double *a,
                              double *h) {
    int64_t begin = call->segments[0].begin[s], end = call->segments[0].end[s], d = call->cols;
    int64_t n = call->in[A].cols;
    for (int64_t k = 0; k < n; k++) h[k] = 0.0;
    for (int64_t i = 0; i < end - begin; i++) {
        int64_t t = call->attr->reverse ? end - 1 - i : begin + i;
        double delta = reference_softplus(call->in[DT].data[t * d + c] + call->in[BIAS].data[c]);
        double u = call->in[U].data[t * d + c], y = call->in[D].data[c] * u;
        for (int64_t k = 0; k < n; k++) {
            h[k] = exp(delta * a[k]) * h[k] + delta * u * call->in[B].data[t * n + k];
            y += call->in[C].data[t * n + k] * h[k];
        }
        bool gated = call->n_in > Z && call->in[Z].data;
        double z = gated ? call->in[Z].data[t * d + c] : 0.0;
        call->out[t * d + c] = gated ? y * z / (1.0 + exp(-z)) : y;
    }
}

static void scan_reference(const cm_op_reference_call *call) {
    double a[CM_SCAN_MAX_STATES], h[CM_SCAN_MAX_STATES];
    int64_t n = call->in[A].cols;
    for (int64_t c = 0; c < call->cols; c++) {
        for (int64_t k = 0; k < n; k++) a[k] = -exp(call->in[A].data[c * n + k]);
        for (int64_t s = 0; s < call->segments[0].count; s++) reference_channel(call, s, c, a, h);
    }
}

static void scan_generate(cm_op_case *test, uint64_t key, int index) {
    static const int64_t widths[] = {1, 3, 16, 17, 40, 64, 70, 130}, states[] = {16, 1, 2, 17, 5, 16};
    static const double dt_spreads[] = {1.0, 0.2, 12.0};
    uint64_t draw = cm_rng_key(key, (uint64_t)index, 0x5C);
    int64_t rows = cm_case_length(key, index, 0);
    int64_t d = widths[cm_rng_below(draw, 0, sizeof widths / sizeof widths[0])];
    int64_t n = states[cm_rng_below(draw, 1, sizeof states / sizeof states[0])];
    if (rows > 1000) d = 3, n = 2;
    const int64_t shapes[CM_OP_MAX_IN][2] = {{rows, d}, {rows, d}, {d, n}, {rows, n},
                                             {rows, n}, {1, d},    {1, d}, {rows, d}};
    test->n_in = CM_OP_MAX_IN;
    for (int i = 0; i < CM_OP_MAX_IN; i++) test->in[i].rows = shapes[i][0], test->in[i].cols = shapes[i][1];
    test->in[DT].spread = dt_spreads[cm_rng_below(draw, 2, sizeof dt_spreads / sizeof dt_spreads[0])];
    test->in[A].spread = 0.5;
    test->attr.reverse = (int)cm_rng_below(draw, 3, 2);
    if (cm_rng_below(draw, 4, 3) == 0) test->n_in = Z, test->in[Z].rows = test->in[Z].cols = 0;
    cm_case_segments(test, 0, rows, cm_rng_key(key, (uint64_t)index, 0x5D));
}

const cm_op cm_op_selective_scan = {
    .name = "selective_scan",
    .formula =
        "h = exp(softplus(dt + dt_bias) A) h + softplus(dt + dt_bias) u B; out = (C . h + D u) silu(z)",
    .differentiable = 0xFF,
    .shape = scan_shape,
    .reference = scan_reference,
    .generate = scan_generate,
    .forward_bound = 2e-6,
    .gradient_bound = 1e-5,
    .bound_by_largest = true,
    .versions =
        {
            {"plain", NULL, plain_forward, plain_backward},
#if defined(__x86_64__)
            {"avx2", cm_scan_avx2_supported, cm_scan_avx2_forward, cm_scan_avx2_backward},
            {"avx512", cm_scan_avx512_supported, cm_scan_avx512_forward, cm_scan_avx512_backward},
#endif
        },
};
