/* The Mamba block and the bidirectional layer. */
#include "nn/mamba.h"
#include "base/rng.h"
#include "ops/op_util.h"
#include "ops/vmath.h"
#include <math.h>
#include <string.h>

static int add(cm_params *params, const char *prefix, const char *name, int n_dims, const int64_t *dims,
               bool decay) {
    return cm_params_add(params, cm_format("%s.%s", prefix, name).text, n_dims, dims, decay);
}

cm_mamba cm_mamba_add(cm_params *params, const char *prefix, int64_t d, int64_t states, int64_t taps,
                      int64_t expand) {
    int64_t inner = expand * d, rank = (d + 15) / 16;
    cm_mamba m = {.inner = inner, .states = states, .taps = taps, .rank = rank};
    m.in_proj = cm_linear_add(params, cm_format("%s.in_proj", prefix).text, d, 2 * inner, false);
    m.conv_weight = add(params, prefix, "conv1d.weight", 3, (int64_t[]){inner, 1, taps}, true);
    m.conv_bias = add(params, prefix, "conv1d.bias", 1, &inner, false);
    m.x_proj = cm_linear_add(params, cm_format("%s.x_proj", prefix).text, inner, rank + 2 * states, false);
    m.dt_proj = cm_linear_add(params, cm_format("%s.dt_proj", prefix).text, rank, inner, true);
    m.a_log = add(params, prefix, "A_log", 2, (int64_t[]){inner, states}, false);
    m.skip = add(params, prefix, "D", 1, &inner, false);
    m.out_proj = cm_linear_add(params, cm_format("%s.out_proj", prefix).text, inner, d, false);
    return m;
}

/* Bias such that softplus(bias) is log-uniform in [0.001, 0.1]: softplus^-1(t) = t + log(1 - exp(-t)). */
static void init_dt_bias(cm_params *params, int index, uint64_t seed) {
    uint64_t key = cm_params_key(params, index, seed);
    cm_mat bias = cm_params_value(params, index);
    for (int64_t i = 0; i < bias.cols; i++) {
        double dt = exp(cm_rng_uniform(key, (uint64_t)i) * (log(0.1) - log(0.001)) + log(0.001));
        bias.data[i] = (float)(dt + log(-expm1(-dt)));
    }
}

void cm_mamba_init(cm_params *params, const cm_mamba *mamba, uint64_t seed) {
    double taps_bound = 1 / sqrt((double)mamba->taps);
    cm_linear_init(params, &mamba->in_proj, seed);
    cm_params_init_uniform(params, mamba->conv_weight, seed, taps_bound);
    cm_params_init_uniform(params, mamba->conv_bias, seed, taps_bound);
    cm_linear_init(params, &mamba->x_proj, seed);
    cm_linear_init(params, &mamba->dt_proj, seed);
    init_dt_bias(params, mamba->dt_proj.bias, seed);
    cm_mat a_log = cm_params_value(params, mamba->a_log);
    for (int64_t r = 0; r < a_log.rows; r++)
        for (int64_t c = 0; c < a_log.cols; c++) cm_mat_row(a_log, r)[c] = (float)log((double)(c + 1));
    cm_params_init_constant(params, mamba->skip, 1);
    cm_linear_init(params, &mamba->out_proj, seed);
}

/* Selective scan of u [T, Di] with step widths, input and output vectors read from u itself. */
static cm_var *scan(cm_tape *tape, cm_params *params, const cm_mamba *m, cm_var *u, cm_var *z,
                    const cm_apply *with) {
    cm_var *dbc = cm_linear_apply(tape, params, &m->x_proj, u, CM_ACT_NONE);
    cm_var *dt = cm_tape_linear(tape, cm_tape_columns(tape, dbc, 0, m->rank),
                                cm_tape_param(tape, params, m->dt_proj.weight), NULL, CM_ACT_NONE);
    cm_var *in[] = {u,
                    dt,
                    cm_tape_param(tape, params, m->a_log),
                    cm_tape_columns(tape, dbc, m->rank, m->states),
                    cm_tape_columns(tape, dbc, m->rank + m->states, m->states),
                    cm_tape_param(tape, params, m->skip),
                    cm_tape_param(tape, params, m->dt_proj.bias),
                    z};
    return cm_tape_apply(tape, &cm_op_selective_scan, with, 8, in);
}

static cm_var *convolve(cm_tape *tape, cm_params *params, const cm_mamba *m, cm_var *xz, cm_segments segments,
                        bool reverse) {
    cm_apply with = {.attr = {.reverse = reverse, .activation = CM_ACT_SILU}, .segments = {segments}};
    cm_var *in[] = {cm_tape_columns(tape, xz, 0, m->inner), cm_tape_param(tape, params, m->conv_weight),
                    cm_tape_param(tape, params, m->conv_bias)};
    return cm_tape_apply(tape, &cm_op_conv1d, &with, 3, in);
}

static cm_var *apply_whole(cm_tape *tape, cm_params *params, const cm_mamba *m, cm_var *x,
                           cm_segments segments, bool reverse) {
    cm_apply with = {.attr.reverse = reverse, .segments = {segments}};
    cm_var *xz = cm_linear_apply(tape, params, &m->in_proj, x, CM_ACT_NONE);
    cm_var *z = cm_tape_columns(tape, xz, m->inner, m->inner);
    cm_var *u = convolve(tape, params, m, xz, segments, reverse);
    return cm_linear_apply(tape, params, &m->out_proj, scan(tape, params, m, u, z, &with), CM_ACT_NONE);
}

/* ---- without recording: piece by piece, so that what lies between the ops of a piece stays in the caches
 * and memory does not grow with the rows ---- */

enum { PIECE = 1024 }; /* rows */

/* One block, with the norm and the residual of its layer or without, over rows in pieces. */
typedef struct stream {
    cm_params *params;
    const cm_mamba *mamba;
    const cm_norm *norm; /* NULL: none */
    bool reverse;
    cm_segments segments;
    cm_mat x;     /* [T, D] */
    cm_mat out;   /* [T, D] */
    bool add;     /* out = x + (out + result), else out = result */
    float *carry; /* [Di, n]: the state of the scan before the next piece */
} stream;

/* The parts of the segments in some rows, counted from the first of them. */
typedef struct clipped {
    cm_segments segments;
    int64_t begin[PIECE], end[PIECE];
} clipped;

/* The first segment that ends after row; count when there is none. */
static int64_t segment_after(cm_segments segments, int64_t row) {
    int64_t low = 0, high = segments.count;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (segments.end[middle] > row)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* The segments in rows [first, end), at most PIECE, without the empty ones. */
static void clip(cm_segments segments, int64_t first, int64_t end, clipped *part) {
    int64_t n = 0;
    for (int64_t s = segment_after(segments, first); s < segments.count && n < PIECE; s++) {
        if (segments.begin[s] >= end) break;
        if (segments.begin[s] == segments.end[s]) continue;
        part->begin[n] = segments.begin[s] > first ? segments.begin[s] - first : 0;
        part->end[n++] = (segments.end[s] < end ? segments.end[s] : end) - first;
    }
    part->segments = (cm_segments){n, part->begin, part->end};
}

/* The rows before position of the scan order that belong to its segment. */
static int64_t rows_before(const stream *s, int64_t position) {
    int64_t row = s->reverse ? s->x.rows - 1 - position : position, i = segment_after(s->segments, row);
    if (i == s->segments.count) return 0;
    return s->reverse ? s->segments.end[i] - 1 - row : row - s->segments.begin[i];
}

/* The block's result for rows [first, first + count). seen: how many rows before them in the scan order the
 * convolution still sees; they are projected a second time, which costs less than their share of a piece. */
static cm_var *run_piece(cm_tape *tape, const stream *s, int64_t first, int64_t count, int64_t seen) {
    const cm_mamba *m = s->mamba;
    int64_t lead = s->reverse ? 0 : seen, read = first - lead;
    clipped wide, own;
    clip(s->segments, read, read + count + seen, &wide);
    clip(s->segments, first, first + count, &own);
    cm_var *x = cm_tape_input(tape, cm_mat_rows(s->x, read, count + seen));
    if (s->norm) x = cm_norm_apply(tape, s->params, s->norm, x);
    cm_var *xz = cm_linear_apply(tape, s->params, &m->in_proj, x, CM_ACT_NONE);
    cm_var *u = convolve(tape, s->params, m, xz, wide.segments, s->reverse);
    if (!u) return NULL;
    cm_mat z = cm_mat_columns(xz->value, m->inner, m->inner);
    cm_apply with = {.attr = {.reverse = s->reverse, .carry = s->carry}, .segments = {own.segments}};
    cm_var *y = scan(tape, s->params, m, cm_tape_input(tape, cm_mat_rows(u->value, lead, count)),
                     cm_tape_input(tape, cm_mat_rows(z, lead, count)), &with);
    return cm_linear_apply(tape, s->params, &m->out_proj, y, CM_ACT_NONE);
}

typedef struct put_job {
    cm_mat x, y, out; /* [rows, D] */
    bool add;
} put_job;

/* out = x + (out + y): the sums of both directions' layer in its order. */
CM_CLONES static void add_both(const float *x, const float *y, int64_t n, float *restrict out) {
    for (int64_t c = 0; c < n; c++) out[c] = x[c] + (out[c] + y[c]);
}

static void put_rows(void *context, int64_t begin, int64_t end, int member) {
    const put_job *job = context;
    (void)member;
    for (int64_t r = begin; r < end; r++)
        if (job->add)
            add_both(cm_mat_row(job->x, r), cm_mat_row(job->y, r), job->y.cols, cm_mat_row(job->out, r));
        else
            memcpy(cm_mat_row(job->out, r), cm_mat_row(job->y, r), (size_t)job->y.cols * sizeof(float));
}

/* Puts the result y of the rows from first on into out. */
static bool put_piece(cm_tape *tape, const stream *s, int64_t first, cm_var *y) {
    if (!y) return false;
    int64_t rows = y->value.rows;
    put_job job = {cm_mat_rows(s->x, first, rows), y->value, cm_mat_rows(s->out, first, rows), s->add};
    cm_team_for(cm_tape_team(tape), rows, cm_op_row_grain(y->value.cols), put_rows, &job);
    return true;
}

static bool run_stream(cm_tape *tape, stream *s) {
    int64_t rows = s->x.rows, count;
    cm_arena_mark start = cm_tape_begin(tape);
    cm_var *carry = cm_tape_blank(tape, s->mamba->inner, s->mamba->states);
    if (!carry) return false;
    s->carry = carry->value.data;
    cm_arena_mark mark = cm_tape_begin(tape);
    for (int64_t done = 0; done < rows; done += count) {
        int64_t before = rows_before(s, done);
        int64_t seen = before < s->mamba->taps - 1 ? before : s->mamba->taps - 1;
        count = rows - done < PIECE - seen ? rows - done : PIECE - seen;
        int64_t first = s->reverse ? rows - done - count : done;
        if (before == 0) memset(s->carry, 0, (size_t)(s->mamba->inner * s->mamba->states) * sizeof(float));
        if (!put_piece(tape, s, first, run_piece(tape, s, first, count, seen))) return false;
        cm_tape_release(tape, mark);
    }
    cm_tape_release(tape, start);
    return true;
}

cm_var *cm_mamba_apply(cm_tape *tape, cm_params *params, const cm_mamba *mamba, cm_var *x,
                       cm_segments segments, bool reverse) {
    if (cm_tape_records(tape) || !x) return apply_whole(tape, params, mamba, x, segments, reverse);
    cm_var *out = cm_tape_blank(tape, x->value.rows, x->value.cols);
    if (!out) return NULL;
    stream s = {params, mamba, NULL, reverse, segments, x->value, out->value, false, NULL};
    return run_stream(tape, &s) ? out : NULL;
}

cm_bimamba cm_bimamba_add(cm_params *params, const char *prefix, int64_t d, int64_t states, int64_t taps,
                          int64_t expand, bool tied) {
    cm_bimamba layer;
    layer.norm = cm_norm_add(params, cm_format("%s.norm", prefix).text, d);
    layer.forward = cm_mamba_add(params, cm_format("%s.forward", prefix).text, d, states, taps, expand);
    layer.backward = layer.forward;
    if (!tied)
        layer.backward = cm_mamba_add(params, cm_format("%s.backward", prefix).text, d, states, taps, expand);
    return layer;
}

void cm_bimamba_init(cm_params *params, const cm_bimamba *layer, uint64_t seed) {
    cm_norm_init(params, &layer->norm);
    cm_mamba_init(params, &layer->forward, seed);
    cm_mamba_init(params, &layer->backward, seed);
}

static cm_var *stream_layer(cm_tape *tape, cm_params *params, const cm_bimamba *layer, cm_var *x,
                            cm_segments segments) {
    cm_var *out = cm_tape_blank(tape, x->value.rows, x->value.cols);
    if (!out) return NULL;
    stream s = {params, &layer->forward, &layer->norm, false, segments, x->value, out->value, false, NULL};
    if (!run_stream(tape, &s)) return NULL;
    s.mamba = &layer->backward;
    s.reverse = s.add = true;
    return run_stream(tape, &s) ? out : NULL;
}

cm_var *cm_bimamba_apply(cm_tape *tape, cm_params *params, const cm_bimamba *layer, cm_var *x,
                         cm_segments segments) {
    if (!cm_tape_records(tape) && x) return stream_layer(tape, params, layer, x, segments);
    cm_var *n = cm_norm_apply(tape, params, &layer->norm, x);
    cm_var *forward = cm_mamba_apply(tape, params, &layer->forward, n, segments, false);
    cm_var *backward = cm_mamba_apply(tape, params, &layer->backward, n, segments, true);
    cm_var *both = cm_tape_binary(tape, &cm_op_add, forward, backward);
    return cm_tape_binary(tape, &cm_op_add, x, both);
}
