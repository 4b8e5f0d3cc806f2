/* Multi-head self-attention within each segment: q, k, v [T, heads * w] -> [T, heads * w]; for each head
 *   out = softmax(scale q k^T) v
 * over the rows of the segment. Reads attr.heads, attr.scale (0: 1 / sqrt(w)), attr.precision and segments 0.
 *
 * Scores exist only as tiles of QUERIES x KEYS. Forward runs over the key tiles with a running maximum m
 * and sum l per query (online softmax: Milakov, Gimelshein 2018; tiles: Rabe, Staats 2021) and saves
 * m + log l, the log-sum-exp, per row and head. Backward makes the tiles of P = exp(scale q k^T - lse)
 * again, with dP = grad v^T and d = the row sums of P * dP:
 *   dS = scale P * (dP - d),  grad_q = dS k,  grad_k = dS^T q,  grad_v = P^T grad
 * first per block of queries (d, grad_q), then per block of keys (grad_k, grad_v). Tiles begin at the
 * segment's first row, and all sums run in ascending order of the tiles, so neither the team nor other
 * segments matter. The vector versions have a forward pass of their own (ops/x86/attention_lanes.h) and
 * share the backward pass. With CM_BF16 and CM_INT8 the AVX-512 version makes both products in bfloat16 where
 * AVX512_BF16 and VBMI are there (ops/x86/attention_avx512bf16.c), with CM_INT8 and AVX512_VNNI the scores
 * from bytes (attention_avx512int8.c); saved is then as exact. */
#include "ops/attention.h"
#include "base/rng.h"
#include "ops/gemm.h"
#include "ops/op_util.h"
#include "ops/vmath.h"

enum { Q, K, V };
enum { QUERIES = 64, KEYS = 128 };

static cm_status shape(const cm_op_call *call, cm_op_shape *result, cm_error *error) {
    static const char op[] = "attention";
    CM_TRY(cm_op_check_count(call, op, 3, 3, error));
    CM_TRY(cm_op_check_input(call, op, Q, "q", -1, -1, error));
    int64_t rows = call->in[Q].rows, cols = call->in[Q].cols, heads = call->attr->heads;
    CM_TRY(cm_op_check_input(call, op, K, "k", rows, cols, error));
    CM_TRY(cm_op_check_input(call, op, V, "v", rows, cols, error));
    if (heads < 1 || cols < 1 || cols % heads != 0)
        return cm_op_refuse(error, op, "heads", cm_format("a divisor of %lld columns", (long long)cols).text,
                            "%lld", (long long)heads);
    if (!isfinite(call->attr->scale))
        return cm_op_refuse(error, op, "scale", "a finite number", "%g", (double)call->attr->scale);
    CM_TRY(cm_op_check_segments(call, op, 0, rows, true, error));
    *result = (cm_op_shape){.rows = rows, .cols = cols};
    CM_TRY(cm_op_add_floats(op, rows, heads, 1, &result->saved_floats, error));
    return cm_op_add_floats(op, rows, heads, 1, &result->scratch_floats, error);
}

/* ---- reference ---- */

/* One query row of one head: q, out [w]; k, v the segment's first rows, d apart. */
static void reference_row(const double *q, const double *k, const double *v, double *out, int64_t count,
                          int64_t d, int64_t w, double scale) {
    double largest = -INFINITY, sum = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int64_t j = 0; j < count; j++) {
            double score = 0;
            for (int64_t c = 0; c < w; c++) score += scale * q[c] * k[j * d + c];
            if (pass == 0) {
                largest = score > largest ? score : largest;
                continue;
            }
            double p = exp(score - largest);
            sum += p;
            for (int64_t c = 0; c < w; c++) out[c] += p * v[j * d + c];
        }
    for (int64_t c = 0; c < w; c++) out[c] /= sum;
}

static void reference(const cm_op_reference_call *call) {
    int64_t d = call->cols, heads = call->attr->heads, w = d / heads;
    double scale = call->attr->scale != 0 ? (double)call->attr->scale : 1 / sqrt((double)w);
    for (int64_t i = 0; i < call->rows * d; i++) call->out[i] = 0;
    for (int64_t s = 0; s < call->segments[0].count; s++) {
        int64_t begin = call->segments[0].begin[s], end = call->segments[0].end[s];
        for (int64_t t = begin; t < end; t++)
            for (int64_t h = 0; h < heads; h++)
                reference_row(call->in[Q].data + t * d + h * w, call->in[K].data + begin * d + h * w,
                              call->in[V].data + begin * d + h * w, call->out + t * d + h * w, end - begin, d,
                              w, scale);
    }
}

/* The reference is quadratic in the length: 997 rows stand for the long case, in one segment with head
 * width 4. */
static void generate(cm_op_case *test, uint64_t key, int index) {
    int64_t rows = index == 0 ? 997 : cm_case_length(key, index, 0);
    int64_t w = index == 0 ? 4 : cm_case_width(key, index, 0);
    test->attr.heads = index == 0 ? 1 : 1 + (int)cm_rng_below(key, 0, 4);
    if (index % 3 == 2) test->attr.scale = index % 2 ? 0.3f : -0.7f / (float)sqrt((double)w);
    test->n_in = 3;
    for (int i = 0; i < 3; i++) {
        test->in[i].rows = rows;
        test->in[i].cols = w * test->attr.heads;
    }
    if (index == 0 || index == 16) {
        test->n_segments[0] = 1;
        test->end[0][0] = rows;
        return;
    }
    cm_case_segments(test, 0, rows, key);
}

/* ---- walking over blocks ---- */

/* A block of rows of one head of one segment. */
typedef struct place {
    int64_t segment, head, block;
} place;

typedef struct attention_job attention_job;
struct attention_job {
    const cm_op_call *call;
    int64_t heads, w;
    float scale;
    int64_t block_rows;
    int64_t blocks; /* of one head, all segments */
    void (*block)(const attention_job *job, place at);
    cm_attention_kernel *kernel; /* of the vector versions */
};

static int64_t segment_rows(const attention_job *job, int64_t segment) {
    const cm_segments *segments = &job->call->segments[0];
    return segments->end[segment] - segments->begin[segment];
}

static int64_t blocks_of(const attention_job *job, int64_t segment) {
    return (segment_rows(job, segment) + job->block_rows - 1) / job->block_rows;
}

/* Steps over the ends of segments and heads to the next block that exists. */
static void settle(const attention_job *job, place *at) {
    while (at->block >= blocks_of(job, at->segment)) {
        at->block -= blocks_of(job, at->segment);
        at->segment++;
        if (at->segment < job->call->segments[0].count) continue;
        at->segment = 0;
        at->head++;
    }
}

static void run_blocks(void *context, int64_t begin, int64_t end, int member) {
    (void)member;
    const attention_job *job = context;
    place at = {0, begin / job->blocks, begin % job->blocks};
    for (int64_t i = begin; i < end; i++, at.block++) {
        settle(job, &at);
        job->block(job, at);
    }
}

/* Runs block on all blocks of block_rows rows, head by head: members that get as many heads have as much
 * to do, however unlike the segments are. Small work stays in the caller. */
static void for_blocks(const cm_op_call *call, int64_t block_rows,
                       void (*block)(const attention_job *job, place at), cm_attention_kernel *kernel) {
    const double worth_a_team = 1 << 16; /* elements of scores times head width */
    int64_t heads = call->attr->heads, w = call->in[Q].cols / heads;
    float scale = call->attr->scale != 0 ? call->attr->scale : (float)(1 / sqrt((double)w));
    attention_job job = {call, heads, w, scale, block_rows, 0, block, kernel};
    double work = 0;
    for (int64_t s = 0; s < call->segments[0].count; s++) {
        double rows = (double)segment_rows(&job, s);
        job.blocks += blocks_of(&job, s);
        work += rows * rows * (double)call->in[Q].cols;
    }
    cm_team_for(work < worth_a_team ? NULL : call->team, heads * job.blocks, 1, run_blocks, &job);
}

/* The columns of one head in rows [first, first + rows) of the segment. */
static cm_mat head_rows(const attention_job *job, cm_mat m, place at, int64_t first, int64_t rows) {
    cm_mat part = cm_mat_columns(m, at.head * job->w, job->w);
    part.data = cm_mat_row(part, job->call->segments[0].begin[at.segment] + first);
    part.rows = rows;
    return part;
}

/* Row t of the segment in an array [T, heads]. */
static float *per_head(const attention_job *job, float *values, place at, int64_t t) {
    return values + (job->call->segments[0].begin[at.segment] + t) * job->heads + at.head;
}

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* tile [a.rows, KEYS] = a b^T */
static void make_tile(cm_mat a, cm_mat b, float *tile) {
    cm_gemm(NULL, false, true, a.rows, b.rows, a.cols, a.data, a.stride, b.data, b.stride, false, tile, KEYS);
}

/* ---- forward ---- */

/* One query's row of a tile of raw scores s[n] becomes exp(scale s - m); the maximum *m and the sum *l of
 * all tiles so far are brought up to date, and what out[w] has gathered is brought to the new maximum. */
CM_CLONES static void soften_row(float *restrict s, int64_t n, float scale, bool first, float *restrict m,
                                 float *restrict l, float *restrict out, int64_t w) {
    float lanes[CM_LANES], top = first ? -INFINITY : *m;
    for (int i = 0; i < CM_LANES; i++) lanes[i] = top;
    for (int64_t i = 0; i < n; i++) s[i] *= scale;
    int64_t whole = n - n % CM_LANES;
    for (int64_t i = 0; i < whole; i += CM_LANES)
        for (int j = 0; j < CM_LANES; j++) lanes[j] = s[i + j] > lanes[j] ? s[i + j] : lanes[j];
    for (int64_t i = whole; i < n; i++) lanes[i - whole] = s[i] > lanes[i - whole] ? s[i] : lanes[i - whole];
    for (int j = 0; j < CM_LANES; j++) top = lanes[j] > top ? lanes[j] : top;
    for (int64_t i = 0; i < n; i++) s[i] = cm_expf(s[i] - top);
    CM_LANE_SUM(lanes, n, i, s[i]);
    float sum = cm_lane_total(lanes), shrink = first ? 0.0f : cm_expf(*m - top);
    *l = first ? sum : *l * shrink + sum;
    *m = top;
    for (int64_t c = 0; c < w && !first; c++) out[c] *= shrink;
}

CM_CLONES static void divide_row(float *out, int64_t w, float by) {
    float factor = 1.0f / by;
    for (int64_t c = 0; c < w; c++) out[c] *= factor;
}

static void forward_block(const attention_job *job, place at) {
    _Alignas(64) float tile[QUERIES * KEYS];
    float m[QUERIES] = {0}, l[QUERIES] = {0};
    const cm_op_call *call = job->call;
    int64_t length = segment_rows(job, at.segment), begin = at.block * QUERIES;
    int64_t rows = least(QUERIES, length - begin);
    cm_mat q = head_rows(job, call->in[Q], at, begin, rows), out = head_rows(job, call->out, at, begin, rows);
    for (int64_t first = 0; first < length; first += KEYS) {
        int64_t keys = least(KEYS, length - first);
        cm_mat v = head_rows(job, call->in[V], at, first, keys);
        make_tile(q, head_rows(job, call->in[K], at, first, keys), tile);
        for (int64_t t = 0; t < rows; t++)
            soften_row(tile + t * KEYS, keys, job->scale, first == 0, &m[t], &l[t], cm_mat_row(out, t),
                       job->w);
        cm_gemm(NULL, false, false, rows, job->w, keys, tile, KEYS, v.data, v.stride, first > 0, out.data,
                out.stride);
    }
    for (int64_t t = 0; t < rows; t++) {
        divide_row(cm_mat_row(out, t), job->w, l[t]);
        *per_head(job, call->saved, at, begin + t) = m[t] + logf(l[t]);
    }
}

static void forward(const cm_op_call *call) {
    for_blocks(call, QUERIES, forward_block, NULL);
}

/* A segment's blocks are made about equally long, in steps of the queries that a kernel takes at once. */
static void kernel_block(const attention_job *job, place at) {
    enum { STEP = 16 };
    const cm_op_call *call = job->call;
    int64_t length = segment_rows(job, at.segment), blocks = blocks_of(job, at.segment);
    int64_t share = ((length + blocks - 1) / blocks + STEP - 1) / STEP * STEP, begin = at.block * share;
    int64_t rows = least(share, length - begin);
    cm_attention_block block = {.q = head_rows(job, call->in[Q], at, begin, rows),
                                .k = head_rows(job, call->in[K], at, 0, length),
                                .v = head_rows(job, call->in[V], at, 0, length),
                                .out = head_rows(job, call->out, at, begin, rows),
                                .scale = job->scale,
                                .lse = per_head(job, call->saved, at, begin),
                                .lse_step = job->heads};
    job->kernel(&block);
}

void cm_attention_forward(const cm_op_call *call, cm_attention_kernel *kernel) {
    if (call->in[Q].cols / call->attr->heads > CM_ATTENTION_MAX_WIDTH)
        forward(call);
    else
        for_blocks(call, CM_ATTENTION_QUERIES, kernel_block, kernel);
}

/* ---- backward ---- */

/* s[n] = exp(scale s - lse) */
CM_CLONES static void probability_row(float *s, int64_t n, float scale, float lse) {
    for (int64_t i = 0; i < n; i++) s[i] = cm_expf(s[i] * scale - lse);
}

/* ds[n], dP on entry, becomes scale p (dP - d) */
CM_CLONES static void score_gradient_row(float *restrict ds, const float *restrict p, int64_t n, float scale,
                                         float d) {
    for (int64_t i = 0; i < n; i++) ds[i] = scale * (p[i] * (ds[i] - d));
}

CM_CLONES static float product_sum(const float *restrict a, const float *restrict b, int64_t n) {
    float lanes[CM_LANES];
    CM_LANE_SUM(lanes, n, i, a[i] * b[i]);
    return cm_lane_total(lanes);
}

/* A tile of queries [q_first, + queries) and keys [k_first, + keys) of a segment's head. */
typedef struct tile_pair {
    _Alignas(64) float p[QUERIES * KEYS];
    _Alignas(64) float dp[QUERIES * KEYS]; /* dP, later dS */
    int64_t q_first, queries, k_first, keys;
} tile_pair;

static void make_pair(const attention_job *job, place at, int64_t q_first, int64_t k_first, tile_pair *pair) {
    const cm_op_call *call = job->call;
    int64_t length = segment_rows(job, at.segment);
    pair->q_first = q_first;
    pair->queries = least(QUERIES, length - q_first);
    pair->k_first = k_first;
    pair->keys = least(KEYS, length - k_first);
    make_tile(head_rows(job, call->in[Q], at, q_first, pair->queries),
              head_rows(job, call->in[K], at, k_first, pair->keys), pair->p);
    make_tile(head_rows(job, call->grad_out, at, q_first, pair->queries),
              head_rows(job, call->in[V], at, k_first, pair->keys), pair->dp);
    for (int64_t t = 0; t < pair->queries; t++)
        probability_row(pair->p + t * KEYS, pair->keys, job->scale,
                        *per_head(job, call->saved, at, q_first + t));
}

/* dP -> dS; scratch holds d. */
static void make_score_gradient(const attention_job *job, place at, tile_pair *pair) {
    for (int64_t t = 0; t < pair->queries; t++)
        score_gradient_row(pair->dp + t * KEYS, pair->p + t * KEYS, pair->keys, job->scale,
                           *per_head(job, job->call->scratch, at, pair->q_first + t));
}

static void add_to_d(const attention_job *job, place at, const tile_pair *pair) {
    for (int64_t t = 0; t < pair->queries; t++) {
        float *d = per_head(job, job->call->scratch, at, pair->q_first + t);
        float sum = product_sum(pair->p + t * KEYS, pair->dp + t * KEYS, pair->keys);
        *d = pair->k_first == 0 ? sum : *d + sum;
    }
}

/* d and grad_q of a block of queries. */
static void query_block(const attention_job *job, place at) {
    const cm_op_call *call = job->call;
    int64_t length = segment_rows(job, at.segment), begin = at.block * QUERIES;
    tile_pair pair;
    for (int64_t first = 0; first < length; first += KEYS) {
        make_pair(job, at, begin, first, &pair);
        add_to_d(job, at, &pair);
    }
    if (!call->grad_in[Q].data) return;
    for (int64_t first = 0; first < length; first += KEYS) {
        if (length > KEYS) make_pair(job, at, begin, first, &pair); /* else it is still there */
        make_score_gradient(job, at, &pair);
        cm_mat k = head_rows(job, call->in[K], at, first, pair.keys);
        cm_mat grad = head_rows(job, call->grad_in[Q], at, begin, pair.queries);
        cm_gemm(NULL, false, false, pair.queries, job->w, pair.keys, pair.dp, KEYS, k.data, k.stride,
                call->accumulate[Q] || first > 0, grad.data, grad.stride);
    }
}

/* grad (+)= tile^T rows for the keys of the pair; rows [queries, w] */
static void add_to_keys(const attention_job *job, const tile_pair *pair, const float *tile, cm_mat rows,
                        cm_mat grad, bool accumulate) {
    cm_gemm(NULL, true, false, pair->keys, job->w, pair->queries, tile, KEYS, rows.data, rows.stride,
            accumulate || pair->q_first > 0, grad.data, grad.stride);
}

/* grad_k and grad_v of a block of keys. */
static void key_block(const attention_job *job, place at) {
    const cm_op_call *call = job->call;
    int64_t length = segment_rows(job, at.segment), begin = at.block * KEYS;
    tile_pair pair;
    for (int64_t first = 0; first < length; first += QUERIES) {
        make_pair(job, at, first, begin, &pair);
        if (call->grad_in[V].data)
            add_to_keys(job, &pair, pair.p, head_rows(job, call->grad_out, at, first, pair.queries),
                        head_rows(job, call->grad_in[V], at, begin, pair.keys), call->accumulate[V]);
        if (!call->grad_in[K].data) continue;
        make_score_gradient(job, at, &pair);
        add_to_keys(job, &pair, pair.dp, head_rows(job, call->in[Q], at, first, pair.queries),
                    head_rows(job, call->grad_in[K], at, begin, pair.keys), call->accumulate[K]);
    }
}

static void backward(const cm_op_call *call) {
    if (call->grad_in[Q].data || call->grad_in[K].data) for_blocks(call, QUERIES, query_block, NULL);
    if (call->grad_in[K].data || call->grad_in[V].data) for_blocks(call, KEYS, key_block, NULL);
}

const cm_op cm_op_attention = {
    .name = "attention",
    .formula = "out = softmax(scale q k^T) v per segment and head",
    .differentiable = 7,
    .shape = shape,
    .reference = reference,
    .generate = generate,
    .forward_bound = 2e-6,
    .gradient_bound = 1e-5,
    .bound_by_largest = true,
    .versions = {
        {"plain", NULL, forward, backward},
#if defined(__x86_64__)
        {"avx2", cm_attention_avx2_supported, cm_attention_avx2_forward, backward},
        {"avx512", cm_attention_avx512_supported, cm_attention_avx512_forward, backward},
#endif
    }};
