/* What the table's harness cannot see of attention: a row's bits do not depend on the segments beside its
 * own or on the number of heads, the vector versions agree in every bit in f32, and how near they are in
 * bfloat16. */
#include "base/rng.h"
#include "ops/attention.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
// cmocka after its needs
#include <cmocka.h>

enum { SEGMENTS = 4 };
static const int64_t bounds[SEGMENTS + 1] = {0, 5, 70, 70, 471};
static const int64_t widths[] = {3, 8, 16, 24, 64, 130};
enum { HEADS = 3, WIDTHS = sizeof widths / sizeof widths[0] };

typedef struct sample {
    cm_op_attr attr;
    cm_op_call call;
    float *memory[5];
} sample;

static void sample_create(sample *s, int64_t width, cm_precision precision) {
    int64_t rows = bounds[SEGMENTS], cols = HEADS * width;
    *s = (sample){.attr = {.heads = HEADS, .precision = precision}};
    for (int i = 0; i < 5; i++) {
        s->memory[i] = malloc((size_t)(rows * cols) * sizeof(float));
        assert_non_null(s->memory[i]);
        for (int64_t e = 0; e < rows * cols; e++)
            s->memory[i][e] = (float)(2 * cm_rng_normal((uint64_t)i, (uint64_t)e));
        if (i < 3) s->call.in[i] = cm_mat_of(s->memory[i], rows, cols);
    }
    s->call.attr = &s->attr;
    s->call.n_in = 3;
    s->call.out = cm_mat_of(s->memory[3], rows, cols);
    s->call.saved = s->memory[4];
    s->call.segments[0] = cm_segments_of(bounds, SEGMENTS);
}

static void sample_clear(sample *s) {
    for (int i = 0; i < 5; i++) free(s->memory[i]);
}

/* One head of one segment alone gives the bits that it has among the others. */
static void check_part(const sample *s, const cm_op_version *version, int64_t segment, int64_t head) {
    int64_t rows = bounds[segment + 1] - bounds[segment], w = s->call.out.cols / HEADS;
    float *out = malloc((size_t)(rows * (w + 1) + 1) * sizeof(float));
    const int64_t whole[2] = {0, rows};
    cm_op_attr attr = {.heads = 1, .precision = s->attr.precision};
    cm_op_call call = s->call;
    assert_non_null(out);
    call.attr = &attr;
    call.segments[0] = cm_segments_of(whole, 1);
    for (int i = 0; i < 3; i++)
        call.in[i] = cm_mat_rows(cm_mat_columns(call.in[i], head * w, w), bounds[segment], rows);
    call.out = cm_mat_of(out, rows, w);
    call.saved = out + rows * w;
    version->forward(&call);
    for (int64_t t = 0; t < rows; t++)
        assert_memory_equal(out + t * w, cm_mat_row(s->call.out, bounds[segment] + t) + head * w,
                            (size_t)w * sizeof(float));
    free(out);
}

/* Leaves NaN where a kernel's working memory will lie on the stack: what it reads without writing shows. */
static void __attribute__((noinline)) spoil_stack(void) {
    volatile float junk[1 << 18];
    for (size_t i = 0; i < sizeof junk / sizeof junk[0]; i++) junk[i] = NAN;
}

static void test_parts(void **state) {
    (void)state;
    for (int v = 0; v < 4 && cm_op_attention.versions[v].name; v++) {
        const cm_op_version *version = &cm_op_attention.versions[v];
        if (version->supported && !version->supported()) continue;
        for (int i = 0; i < 3 * WIDTHS; i++) {
            sample s;
            sample_create(&s, widths[i / 3], (cm_precision)(i % 3));
            spoil_stack();
            version->forward(&s.call);
            for (int64_t segment = 0; segment < SEGMENTS; segment++)
                for (int64_t head = 0; head < HEADS; head++) check_part(&s, version, segment, head);
            sample_clear(&s);
        }
    }
}

/* Whether scores of this width are products of bytes here. */
static bool takes_bytes(int64_t w) {
#if defined(__x86_64__)
    return cm_attention_avx512int8_supported() && w <= CM_ATTENTION_MAX_WIDTH;
#else
    (void)w;
    return false;
#endif
}

/* Rounds `count` rows of w numbers, stride apart, as scores in bytes take them: to whole numbers up to 127 in
 * units of the largest of them; by is a factor that they have meanwhile. */
static void round_rows(float *rows, int64_t count, int64_t stride, int64_t w, float by) {
    float most = 0;
    for (int64_t e = 0; e < count * w; e++) most = fmaxf(most, fabsf(rows[e / w * stride + e % w] * by));
    float unit = most * (1.0f / 127), factor = 1 / unit;
    for (int64_t e = 0; e < count * w; e++) {
        float *x = &rows[e / w * stride + e % w];
        *x = nearbyintf(*x * by * factor) * unit / by;
    }
}

/* Rounds q, each row of a head by itself, and k, sixteen rows at a time. */
static void round_inputs(const sample *s, int64_t w) {
    float by = (float)(1 / sqrt((double)w)) * (0x1.715476p0f * 128);
    for (int64_t segment = 0; segment < SEGMENTS; segment++)
        for (int64_t t = bounds[segment]; t < bounds[segment + 1]; t++)
            for (int64_t c = 0; c < HEADS * w; c += w) {
                int64_t left = bounds[segment + 1] - t, before = t - bounds[segment];
                round_rows(cm_mat_row(s->call.in[0], t) + c, 1, HEADS * w, w, by);
                if (before % 16 == 0)
                    round_rows(cm_mat_row(s->call.in[1], t) + c, left < 16 ? left : 16, HEADS * w, w, 1);
            }
}

/* Row t of a head that begins at column c, in float64, to out[w]. Returns how far bfloat16 may move it:
 * rounding q and k (2^-9 of a number each) moves a score by delta = 2^-8 sum |q k| scale at most, so the
 * quotient of a probability and their sum by a factor of at most exp(2 delta), and rounding probabilities and
 * v adds 2^-8 of the largest |v|; the exponential's own error is below 2^-12. With bytes q and k are rounded
 * already, and the exponential's error is 2^-8 ln 2. */
static double exact_row(const sample *s, int64_t begin, int64_t end, int64_t t, int64_t c, int64_t w,
                        double *out) {
    const float *q = cm_mat_row(s->call.in[0], t) + c;
    double scale = 1 / sqrt((double)w), sum = 0, delta = 0, largest = 0,
           *score = malloc((size_t)end * sizeof *score);
    double top = -INFINITY;
    assert_non_null(score);
    for (int64_t j = begin; j < end; j++) {
        const float *k = cm_mat_row(s->call.in[1], j) + c;
        double moved = 0;
        score[j] = 0;
        for (int64_t i = 0; i < w; i++) {
            score[j] += scale * (double)q[i] * (double)k[i];
            moved += fabs(scale * (double)q[i] * (double)k[i]) * 0x1.02p-8;
        }
        delta = fmax(delta, moved);
        top = fmax(top, score[j]);
    }
    for (int64_t i = 0; i < w; i++) out[i] = 0;
    for (int64_t j = begin; j < end; j++) sum += exp(score[j] - top);
    for (int64_t j = begin; j < end; j++)
        for (int64_t i = 0; i < w; i++) {
            double v = (double)cm_mat_row(s->call.in[2], j)[c + i];
            out[i] += exp(score[j] - top) / sum * v;
            largest = fmax(largest, fabs(v));
        }
    free(score);
    if (s->attr.precision == CM_INT8 && takes_bytes(w)) delta = 0x1p-8;
    return (exp(2 * delta) - 1 + 0x1p-7) * largest;
}

/* In bfloat16 and int8 every number stays within its bound, and where the machine has the instructions some
 * differ. */
static void test_rounded(void **state) {
    (void)state;
    const cm_op_version *version = cm_op_best(&cm_op_attention);
    for (int n = 0; n < 2 * WIDTHS; n++) {
        sample s;
        int64_t w = widths[n / 2], apart = 0;
        double exact[256];
        sample_create(&s, w, n % 2 ? CM_INT8 : CM_BF16);
        version->forward(&s.call);
        if (n % 2 && takes_bytes(w)) round_inputs(&s, w);
        for (int64_t segment = 0; segment < SEGMENTS; segment++)
            for (int64_t t = bounds[segment]; t < bounds[segment + 1]; t += 7)
                for (int64_t c = 0; c < HEADS * w; c += w) {
                    double bound = exact_row(&s, bounds[segment], bounds[segment + 1], t, c, w, exact);
                    for (int64_t i = 0; i < w; i++) {
                        double off = fabs((double)cm_mat_row(s.call.out, t)[c + i] - exact[i]);
                        if (!(off <= bound)) fail_msg("width %d, row %d: off by %g", (int)w, (int)t, off);
                        apart += off > 1e-4;
                    }
                }
#if defined(__x86_64__)
        if (cm_attention_avx512bf16_supported() && w <= CM_ATTENTION_MAX_WIDTH) assert_true(apart > 0);
#endif
        sample_clear(&s);
    }
}

/* One head of width 1 and three rows. */
static void run_three(const cm_op_version *version, cm_precision precision, float *q, float *k, float *out,
                      float *lse) {
    float value[3] = {1, 2, 3};
    const int64_t whole[2] = {0, 3};
    cm_op_attr attr = {.heads = 1, .precision = precision};
    cm_op_call call = {.attr = &attr, .n_in = 3, .segments = {cm_segments_of(whole, 1)}, .saved = lse};
    call.in[0] = cm_mat_of(q, 3, 1);
    call.in[1] = cm_mat_of(k, 3, 1);
    call.in[2] = cm_mat_of(value, 3, 1);
    call.out = cm_mat_of(out, 3, 1);
    version->forward(&call);
}

/* Scores far apart, of one sign, and NaN: neither overflow nor a wrong maximum from the padding. NaN in a
 * query is its own matter, in a key that of all. */
static void test_extremes(void **state) {
    (void)state;
    for (int i = 0; i < 12 && cm_op_attention.versions[i / 3].name; i++) {
        const cm_op_version *version = &cm_op_attention.versions[i / 3];
        cm_precision precision = (cm_precision)(i % 3);
        float q[3] = {-1000, 1000, NAN}, k[3] = {900, 1000, 1100}, out[3], lse[3];
        if (version->supported && !version->supported()) continue;
        run_three(version, precision, q, k, out, lse);
        assert_true(out[0] == 1.0f && out[1] == 3.0f && isnan(out[2]));
        double lowest = i % 3 ? 900000 * 0x1p-7 : 0.25, highest = i % 3 ? 1100000 * 0x1p-7 : 0.25;
        assert_true(fabs((double)lse[0] + 900000) <= lowest);
        assert_true(fabs((double)lse[1] - 1100000) <= highest);
        k[1] = NAN;
        run_three(version, precision, q, k, out, lse);
        assert_true(isnan(out[0]) && isnan(out[1]) && isnan(out[2]) && isnan(lse[0]));
    }
}

static void test_versions_agree(void **state) {
    (void)state;
#if defined(__x86_64__)
    if (!cm_attention_avx2_supported() || !cm_attention_avx512_supported()) skip();
    for (int i = 0; i < WIDTHS; i++) {
        sample s, other;
        sample_create(&s, widths[i], CM_F32);
        sample_create(&other, widths[i], CM_F32);
        cm_attention_avx2_forward(&s.call);
        cm_attention_avx512_forward(&other.call);
        size_t bytes = (size_t)(s.call.out.rows * s.call.out.cols) * sizeof(float);
        assert_memory_equal(s.call.out.data, other.call.out.data, bytes);
        assert_memory_equal(s.call.saved, other.call.saved, (size_t)bounds[SEGMENTS] * HEADS * sizeof(float));
        sample_clear(&s);
        sample_clear(&other);
    }
#else
    skip();
#endif
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_parts), cmocka_unit_test(test_extremes),
                                       cmocka_unit_test(test_versions_agree), cmocka_unit_test(test_rounded)};
    return cmocka_run_group_tests_name("attention", tests, NULL, NULL);
}
