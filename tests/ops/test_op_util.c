/* The vector math, the fused activations, the fixed-order sums and dropout's random numbers. */
#include "base/rng.h"
#include "ops/op_util.h"
#include "ops/rotary.h"
#include "ops/vmath.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
// cmocka after its needs
#include <cmocka.h>

static double exact_sigmoid(double x) {
    return 1 / (1 + exp(-x));
}

static double exact_softplus(double x) {
    return (x > 0 ? x : 0) + log1p(exp(-fabs(x)));
}

static double exact_cdf(double x) {
    return 0.5 * erfc(-x / sqrt(2));
}

static float fast_cdf(float x) {
    float bell;
    return cm_normal_cdff(x, &bell);
}

static float fast_exp(float x) {
    return cm_expf(x);
}

static float fast_log1p(float x) {
    return cm_log1p01f(x);
}

static float fast_sigmoid(float x) {
    return cm_sigmoidf(x);
}

static float fast_softplus(float x) {
    return cm_softplusf(x);
}

/* Errors over [first, last]: relative (absolute 0) or absolute (relative 0). */
static const struct {
    const char *name;
    float (*fast)(float);
    double (*exact)(double);
    double first, last, relative, absolute;
} functions[] = {{"exp", fast_exp, exp, -87.3, 88.7, 1.2e-7, 0},
                 {"exp, subnormal", fast_exp, exp, -110, -87.3, 0, 2e-45},
                 {"log1p", fast_log1p, log1p, 0, 1, 2e-7, 0},
                 {"sigmoid", fast_sigmoid, exact_sigmoid, -80, 80, 2e-7, 0},
                 {"softplus", fast_softplus, exact_softplus, -80, 100, 2.5e-7, 0},
                 {"cdf", fast_cdf, exact_cdf, -14, 14, 0, 2e-7}};

static void test_vmath_errors(void **state) {
    (void)state;
    for (size_t f = 0; f < sizeof functions / sizeof functions[0]; f++)
        for (int i = 0; i <= 200000; i++) {
            float x = (float)(functions[f].first + (functions[f].last - functions[f].first) * i / 200000);
            double exact = functions[f].exact((double)x), off = fabs((double)functions[f].fast(x) - exact);
            if (!(off <= functions[f].absolute + functions[f].relative * fabs(exact)))
                fail_msg("%s(%.9g) is off by %g", functions[f].name, (double)x, off);
        }
}

static void test_vmath_ends(void **state) {
    (void)state;
    assert_true(isnan(cm_expf(NAN)) && isnan(cm_sigmoidf(NAN)) && isnan(cm_softplusf(NAN)));
    assert_true(isnan(cm_geluf(NAN)) && isnan(cm_reluf(NAN)) && isnan(cm_siluf(NAN)));
    assert_true(cm_expf(INFINITY) == INFINITY && cm_expf(89.0f) == INFINITY);
    assert_true(cm_expf(-INFINITY) == 0.0f && cm_expf(-1000.0f) == 0.0f && cm_expf(0.0f) == 1.0f);
    assert_true(cm_sigmoidf(1000.0f) == 1.0f && cm_sigmoidf(-1000.0f) == 0.0f);
    for (float x = 20; x < 1e6f; x *= 1.1f) assert_true(cm_softplusf(x) == x);
    assert_true(cm_relu_slopef(0.0f) == 0.0f && cm_relu_slopef(1e-30f) == 1.0f);
}

/* Lane sums: exact on integers for every length around the lane count. */
static void test_lane_sum(void **state) {
    (void)state;
    float x[70], lanes[CM_LANES];
    for (int i = 0; i < 70; i++) x[i] = (float)(i * i);
    for (int64_t n = 0; n <= 70; n++) {
        double sum = 0;
        for (int64_t i = 0; i < n; i++) sum += (double)x[i];
        CM_LANE_SUM(lanes, n, i, x[i]);
        assert_true((double)cm_lane_total(lanes) == sum);
    }
}

/* Only gelu differs, and beyond 4.25 it is 0 or x within 2e-6 of x. */
static void test_coarse_activations(void **state) {
    (void)state;
    enum { N = 4001 };
    float x[N], exact[N], coarse[N];
    for (int i = 0; i < N; i++) x[i] = (float)(i - N / 2) * 0.005f;
    for (int a = CM_ACT_NONE; a <= CM_ACT_SOFTPLUS; a++) {
        cm_activation_map((cm_activation)a, x, exact, N);
        cm_activation_coarse((cm_activation)a, x, coarse, N);
        if (a != CM_ACT_GELU) assert_memory_equal(exact, coarse, sizeof exact);
        for (int i = 0; i < N; i++) assert_true(fabsf(exact[i] - coarse[i]) < 6e-5f);
    }
    float ends[4] = {-1000, -4.3f, 4.3f, NAN};
    cm_activation_coarse(CM_ACT_GELU, ends, coarse, 4);
    assert_true(fabsf(coarse[0]) < 2e-3f && fabsf(coarse[1]) < 1e-5f && fabsf(coarse[2] - 4.3f) < 1e-5f);
    assert_true(isnan(coarse[3]));
}

static void test_activations(void **state) {
    (void)state;
    enum { N = 1300 };
    float x[N], y[N], grad[N], out[N];
    for (int a = CM_ACT_NONE; a <= CM_ACT_SOFTPLUS; a++) {
        for (int i = 0; i < N; i++) {
            x[i] = y[i] = (float)(i - N / 2) * 0.0123f + 0.001f;
            grad[i] = (float)cm_rng_normal(5, (uint64_t)i);
        }
        cm_activation_forward((cm_activation)a, y, N);
        cm_activation_backward((cm_activation)a, x, grad, out, N);
        for (int i = 0; i < N; i++) {
            double h = 1e-5, at = (double)x[i];
            double slope = (cm_activation_reference((cm_activation)a, at + h) -
                            cm_activation_reference((cm_activation)a, at - h)) /
                           (2 * h);
            assert_true(fabs((double)y[i] - cm_activation_reference((cm_activation)a, at)) <
                        1e-6 * (1 + fabs(at)));
            assert_true(fabs((double)out[i] - slope * (double)grad[i]) < 2e-6);
        }
        cm_activation_backward((cm_activation)a, x, grad, grad, N); /* in place */
        assert_memory_equal(grad, out, sizeof out);
        cm_activation_backward((cm_activation)a, x, grad, out, 0);
    }
}

static void test_blocks(void **state) {
    (void)state;
    static const int64_t rows[] = {0, 1, 64, 65, 10000, 16384, 16385, 1000000007};
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        cm_op_blocks blocks = cm_op_row_blocks(rows[r]);
        assert_true(blocks.count <= 256 && blocks.rows >= 64 && blocks.count * blocks.rows >= rows[r]);
        assert_true((blocks.count - 1) * blocks.rows < rows[r]);
    }
    float partial[6] = {1, 2, 3, 4, 5, 6}, grad[2] = {NAN, NAN};
    cm_op_sum_blocks((cm_op_blocks){3, 64}, partial, 2, cm_mat_of(grad, 1, 2), false);
    cm_op_sum_blocks((cm_op_blocks){3, 64}, partial, 2, cm_mat_of(grad, 1, 2), true);
    assert_true(grad[0] == 18 && grad[1] == 24);
    assert_true(cm_op_row_grain(0) > 0 && cm_op_row_grain(1 << 20) == 1);
}

/* The share of dropped elements, and no relation between neighbours in a row or in a column. */
static void test_dropout_numbers(void **state) {
    (void)state;
    enum { ROWS = 500, COLS = 400 };
    static float x[ROWS * COLS], y[ROWS * COLS];
    for (int i = 0; i < ROWS * COLS; i++) x[i] = 1;
    cm_op_attr attr = {.probability = 0.25f, .rng_key = 12345};
    cm_op_call call = {.attr = &attr, .n_in = 1};
    call.in[0] = cm_mat_of(x, ROWS, COLS);
    call.out = cm_mat_of(y, ROWS, COLS);
    cm_op_best(&cm_op_dropout)->forward(&call);
    double dropped = 0, right = 0, below = 0, count = ROWS * COLS;
    for (int i = 0; i < ROWS * COLS; i++) {
        assert_true(y[i] == 0.0f || fabsf(y[i] - 4.0f / 3.0f) < 1e-6f);
        dropped += y[i] == 0.0f;
        right += i + 1 < ROWS * COLS && y[i] == 0.0f && y[i + 1] == 0.0f;
        below += i + COLS < ROWS * COLS && y[i] == 0.0f && y[i + COLS] == 0.0f;
    }
    assert_true(fabs(dropped / count - 0.25) < 0.005);
    assert_true(fabs(right / count - 0.0625) < 0.003 && fabs(below / count - 0.0625) < 0.003);
    float first = y[0], same = 0;
    float before[COLS];
    for (int c = 0; c < COLS; c++) before[c] = y[c];
    attr.rng_key++;
    cm_op_best(&cm_op_dropout)->forward(&call);
    for (int c = 0; c < COLS; c++) same += before[c] == y[c];
    assert_true(first >= 0 && same > 0.5f * COLS && same < 0.75f * COLS); /* 0.625 by chance */
}

static void test_losses_by_hand(void **state) {
    (void)state;
    float x[2] = {1e4f, -1e4f}, label[2] = {0, 1}, weight[2] = {1, 3}, out = -1, zero[2] = {0, 0}, grad[2];
    cm_op_attr attr = {.alpha = -1, .gamma = 0};
    cm_op_call call = {.attr = &attr, .n_in = 3, .out = cm_mat_of(&out, 1, 1)};
    call.in[0] = cm_mat_of(x, 2, 1);
    call.in[1] = cm_mat_of(label, 2, 1);
    call.in[2] = cm_mat_of(weight, 2, 1);
    cm_op_best(&cm_op_bce_loss)->forward(&call);
    assert_true(out == 1e4f);
    cm_op_best(&cm_op_focal_loss)->forward(&call);
    assert_true(out == 1e4f);
    float one = 1;
    call.grad_out = cm_mat_of(&one, 1, 1);
    call.grad_in[0] = cm_mat_of(grad, 2, 1);
    cm_op_best(&cm_op_focal_loss)->backward(&call);
    assert_true(grad[0] == 0.25f && grad[1] == -0.75f);
    call.in[2] = cm_mat_of(zero, 2, 1);
    cm_op_best(&cm_op_mse_loss)->forward(&call);
    cm_op_best(&cm_op_mse_loss)->backward(&call);
    assert_true(out == 0 && grad[0] == 0 && grad[1] == 0);
}

static void test_refusals(void **state) {
    (void)state;
    cm_error error = {0};
    size_t floats = 0;
    assert_int_equal(cm_op_add_floats("x", INT64_MAX, 8, 2, &floats, &error), CM_USAGE);
    assert_int_equal(cm_op_add_floats("x", -1, 8, 2, &floats, &error), CM_USAGE);
    assert_int_equal(cm_op_add_floats("x", INT64_MAX / 4, 2, 1, &floats, &error), CM_USAGE);
    assert_int_equal(floats, 0);
    float data[4] = {0};
    int64_t begin[2] = {0, 1}, end[2] = {1, 2}, gap[2] = {0, 2};
    cm_op_attr attr = {0};
    cm_op_call call = {.attr = &attr, .n_in = 1};
    call.in[0] = cm_mat_of(data, 0, 3);
    assert_int_equal(cm_op_softmax.shape(&call, &(cm_op_shape){0}, &error), CM_OK);
    call.in[0].cols = 0;
    assert_int_equal(cm_op_softmax.shape(&call, &(cm_op_shape){0}, &error), CM_USAGE);
    call.n_ids = 1;
    assert_int_equal(cm_op_embedding.shape(&call, &(cm_op_shape){0}, &error), CM_USAGE);
    call.segments[0] = (cm_segments){2, begin, end};
    assert_int_equal(cm_op_check_segments(&call, "x", 0, 2, true, &error), CM_OK);
    assert_int_equal(cm_op_check_segments(&call, "x", 0, 3, true, &error), CM_USAGE);
    call.segments[0].begin = gap;
    assert_int_equal(cm_op_check_segments(&call, "x", 0, 3, true, &error), CM_USAGE);
    call.segments[0].count = -1;
    assert_int_equal(cm_op_check_segments(&call, "x", 0, 3, false, &error), CM_USAGE);
}

static bool never(void) {
    return false;
}

static bool always(void) {
    return true;
}

static void test_best_version(void **state) {
    (void)state;
    cm_op op = {
        .versions = {{"plain", NULL, NULL, NULL}, {"a", always, NULL, NULL}, {"b", never, NULL, NULL}}};
    assert_string_equal(cm_op_best(&op)->name, "a");
    op.versions[1].name = NULL;
    assert_string_equal(cm_op_best(&op)->name, "plain");
}

/* Angles of rotary positions up to 10,000: sine and cosine of the float product, in strided rows, for any
 * team. */
static void test_rotary_table(void **state) {
    enum { POSITIONS = 10000, HALF = 3, STRIDE = 2 * HALF + 2 };
    const float frequencies[HALF] = {1, 0.3f, 1e-4f};
    float *alone = malloc(POSITIONS * STRIDE * sizeof *alone),
          *shared = calloc(POSITIONS * STRIDE, sizeof *shared);
    cm_team *team = cm_team_create(3);
    (void)state;
    cm_rotary_table(NULL, frequencies, (cm_mat){alone, POSITIONS, 2 * HALF, STRIDE});
    cm_rotary_table(team, frequencies, (cm_mat){shared, POSITIONS, 2 * HALF, STRIDE});
    for (int p = 0; p < POSITIONS; p++)
        for (int i = 0; i < HALF; i++) {
            const float *row = alone + (ptrdiff_t)p * STRIDE;
            double angle = (double)((float)p * frequencies[i]);
            assert_true(fabs((double)row[i] - cos(angle)) <= 1e-6);
            assert_true(fabs((double)row[HALF + i] - sin(angle)) <= 1e-6);
            assert_memory_equal(row, shared + (ptrdiff_t)p * STRIDE, 2 * HALF * sizeof *row);
        }
    cm_team_destroy(team);
    free(alone);
    free(shared);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vmath_errors),   cmocka_unit_test(test_vmath_ends),
        cmocka_unit_test(test_lane_sum),       cmocka_unit_test(test_activations),
        cmocka_unit_test(test_blocks),         cmocka_unit_test(test_dropout_numbers),
        cmocka_unit_test(test_losses_by_hand), cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_best_version),   cmocka_unit_test(test_coarse_activations),
        cmocka_unit_test(test_rotary_table),
    };
    return cmocka_run_group_tests_name("op helpers", tests, NULL, NULL);
}
