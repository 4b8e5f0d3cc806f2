/* Linear attention with a relu feature map (Katharopoulos et al. 2020; the one of MoLFormer, Ross et al.
 * 2022): q, k, v [T, heads * w], features W [w, m] shared by the heads -> [T, heads * w]. For each segment
 * and head, with q' = relu(q W) and k' = relu(k W):
 *   out = q' (k'^T v) / max(q' . sum of k', eps)
 * Reads attr.heads, attr.eps and segments 0. One task is one head of one segment: its rows are taken in
 * tiles of ROWS from the segment's first, in order, so neither the team nor other segments matter. There is
 * no gradient. scratch: k'^T v [m, w] and the sum of k' [m] per segment and head. */
#include "base/rng.h"
#include "ops/gemm.h"
#include "ops/op_util.h"
#include "ops/vmath.h"

enum { Q, K, V, W };
enum { ROWS = 32, MOST_FEATURES = 256 };

static cm_status shape(const cm_op_call *call, cm_op_shape *result, cm_error *error) {
    static const char op[] = "linear_attention";
    CM_TRY(cm_op_check_count(call, op, 4, 4, error));
    CM_TRY(cm_op_check_input(call, op, Q, "q", -1, -1, error));
    int64_t rows = call->in[Q].rows, cols = call->in[Q].cols, heads = call->attr->heads;
    CM_TRY(cm_op_check_input(call, op, K, "k", rows, cols, error));
    CM_TRY(cm_op_check_input(call, op, V, "v", rows, cols, error));
    if (heads < 1 || cols < 1 || cols % heads != 0)
        return cm_op_refuse(error, op, "heads", cm_format("a divisor of %lld columns", (long long)cols).text,
                            "%lld", (long long)heads);
    CM_TRY(cm_op_check_input(call, op, W, "features", cols / heads, -1, error));
    int64_t m = call->in[W].cols;
    if (m < 1 || m > MOST_FEATURES)
        return cm_op_refuse(error, op, "features", "1 to 256 columns", "%lld", (long long)m);
    if (!(call->attr->eps > 0 && isfinite(call->attr->eps)))
        return cm_op_refuse(error, op, "eps", "a finite number > 0", "%g", (double)call->attr->eps);
    CM_TRY(cm_op_check_segments(call, op, 0, rows, true, error));
    *result = (cm_op_shape){.rows = rows, .cols = cols};
    size_t tasks = 0;
    CM_TRY(cm_op_add_floats(op, call->segments[0].count, heads, 1, &tasks, error));
    return cm_op_add_floats(op, (int64_t)tasks, cols / heads + 1, m, &result->scratch_floats, error);
}

/* ---- reference ---- */

/* relu(row . column i of the features) */
static double reference_feature(const cm_op_reference_call *call, const double *row, int64_t i) {
    double sum = 0;
    for (int64_t c = 0; c < call->in[W].rows; c++) sum += row[c] * call->in[W].data[c * call->in[W].cols + i];
    return sum > 0 ? sum : 0;
}

static void reference_head(const cm_op_reference_call *call, int64_t begin, int64_t end, int64_t head) {
    int64_t d = call->cols, w = call->in[W].rows, m = call->in[W].cols;
    const double *q = call->in[Q].data + head * w, *k = call->in[K].data + head * w;
    const double *v = call->in[V].data + head * w;
    double q_features[MOST_FEATURES], k_features[MOST_FEATURES];
    for (int64_t t = begin; t < end; t++) {
        double z = 0, *out = call->out + t * d + head * w;
        for (int64_t c = 0; c < w; c++) out[c] = 0;
        for (int64_t i = 0; i < m; i++) q_features[i] = reference_feature(call, q + t * d, i);
        for (int64_t j = begin; j < end; j++) {
            double weight = 0;
            for (int64_t i = 0; i < m; i++) k_features[i] = reference_feature(call, k + j * d, i);
            for (int64_t i = 0; i < m; i++) weight += q_features[i] * k_features[i];
            z += weight;
            for (int64_t c = 0; c < w; c++) out[c] += weight * v[j * d + c];
        }
        z = z > (double)call->attr->eps ? z : (double)call->attr->eps;
        for (int64_t c = 0; c < w; c++) out[c] /= z;
    }
}

static void reference(const cm_op_reference_call *call) {
    for (int64_t s = 0; s < call->segments[0].count; s++)
        for (int64_t h = 0; h < call->attr->heads; h++)
            reference_head(call, call->segments[0].begin[s], call->segments[0].end[s], h);
}

/* The reference is quadratic in the length; positive features keep z away from a sum of few terms near
 * eps, where the quotient has no digits left. */
static void generate(cm_op_case *test, uint64_t key, int index) {
    static const int64_t widths[] = {1, 2, 7, 8, 16, 17}, features[] = {1, 3, 8, 17, 32};
    int64_t rows = index == 0 ? 313 : cm_case_length(key, index, 0);
    int64_t w = widths[cm_rng_below(key, 1, 6)], m = features[cm_rng_below(key, 2, 5)];
    if (index == 0) w = 2, m = 3;
    test->attr.heads = 1 + (int)cm_rng_below(key, 0, 3);
    test->attr.eps = 1e-6f;
    test->n_in = 4;
    for (int i = 0; i < 3; i++) {
        test->in[i].rows = rows;
        test->in[i].cols = w * test->attr.heads;
    }
    test->in[Q].fill = CM_FILL_POSITIVE;
    test->in[W].rows = w;
    test->in[W].cols = m;
    test->in[W].fill = index % 2 ? CM_FILL_POSITIVE : CM_FILL_AWAY;
    cm_case_segments(test, 0, rows, key);
}

/* ---- forward ---- */

CM_CLONES static void relu_all(float *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) x[i] = cm_reluf(x[i]);
}

CM_CLONES static void add_row(float *restrict sum, const float *restrict row, int64_t n) {
    for (int64_t i = 0; i < n; i++) sum[i] += row[i];
}

/* out[w] /= max(features . sum, eps) */
CM_CLONES static void divide_row(const float *restrict features, const float *restrict sum, int64_t m,
                                 float eps, float *restrict out, int64_t w) {
    float lanes[CM_LANES];
    CM_LANE_SUM(lanes, m, i, features[i] * sum[i]);
    float z = cm_lane_total(lanes);
    float factor = 1.0f / (z < eps ? eps : z);
    for (int64_t c = 0; c < w; c++) out[c] *= factor;
}

/* tile [x.rows, m] = relu(x W) */
static void make_features(cm_mat x, cm_mat w, float *tile) {
    cm_gemm(NULL, false, false, x.rows, w.cols, w.rows, x.data, x.stride, w.data, w.stride, false, tile,
            w.cols);
    relu_all(tile, x.rows * w.cols);
}

static void run_head(const cm_op_call *call, int64_t segment, int64_t head) {
    float tile[ROWS * MOST_FEATURES];
    int64_t begin = call->segments[0].begin[segment], end = call->segments[0].end[segment];
    int64_t w = call->in[W].rows, m = call->in[W].cols, heads = call->attr->heads;
    float *kv = call->scratch + (segment * heads + head) * (w + 1) * m, *sum = kv + w * m;
    memset(sum, 0, (size_t)m * sizeof *sum);
    for (int64_t t = begin; t < end; t += ROWS) {
        int64_t rows = end - t < ROWS ? end - t : ROWS;
        cm_mat k = cm_mat_rows(cm_mat_columns(call->in[K], head * w, w), t, rows);
        cm_mat v = cm_mat_rows(cm_mat_columns(call->in[V], head * w, w), t, rows);
        make_features(k, call->in[W], tile);
        for (int64_t r = 0; r < rows; r++) add_row(sum, tile + r * m, m);
        cm_gemm(NULL, true, false, m, w, rows, tile, m, v.data, v.stride, t > begin, kv, w);
    }
    for (int64_t t = begin; t < end; t += ROWS) {
        int64_t rows = end - t < ROWS ? end - t : ROWS;
        cm_mat q = cm_mat_rows(cm_mat_columns(call->in[Q], head * w, w), t, rows);
        cm_mat out = cm_mat_rows(cm_mat_columns(call->out, head * w, w), t, rows);
        make_features(q, call->in[W], tile);
        cm_gemm(NULL, false, false, rows, w, m, tile, m, kv, w, false, out.data, out.stride);
        for (int64_t r = 0; r < rows; r++)
            divide_row(tile + r * m, sum, m, call->attr->eps, cm_mat_row(out, r), w);
    }
}

/* Head by head, so that members get about equal shares however unlike the segments are. */
static void run_tasks(void *context, int64_t begin, int64_t end, int member) {
    (void)member;
    const cm_op_call *call = context;
    int64_t segments = call->segments[0].count;
    for (int64_t i = begin; i < end; i++) run_head(call, i % segments, i / segments);
}

static void forward(const cm_op_call *call) {
    cm_team_for(call->team, call->segments[0].count * call->attr->heads, 1, run_tasks, (void *)call);
}

const cm_op cm_op_linear_attention = {
    .name = "linear_attention",
    .formula = "out = q' (k'^T v) / max(q' . sum k', eps), x' = relu(x W), per segment and head",
    .shape = shape,
    .reference = reference,
    .generate = generate,
    .forward_bound = 5e-6,
    .gradient_bound = 1e-5,
    .bound_by_largest = true,
    .versions = {{"plain", NULL, forward, NULL}}};
