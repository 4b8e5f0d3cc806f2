/* Penalised linear models: find a planted rule, agree with the normal equations, survive one class. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"
#include "close.h"
#include "fail_alloc.h"
#include "metrics/regression.h"
#include <math.h>

enum { N = 400, WIDTH = 3 };
static double x[N * WIDTH], label[N];
static int64_t index_of[N];

static void fill(bool affinity) {
    for (int64_t i = 0; i < N; i++) {
        index_of[i] = N - 1 - i;
        for (int c = 0; c < 2; c++)
            x[i * WIDTH + c] = cm_rng_normal(5, (uint64_t)(i * WIDTH + c)) * (c ? 10 : 1);
        x[i * WIDTH + 2] = 7; /* constant */
        double z = 1 + 2 * x[i * WIDTH] - 0.3 * x[i * WIDTH + 1];
        label[i] = affinity ? z : cm_rng_uniform(6, (uint64_t)i) < 1 / (1 + exp(-z));
    }
}

static void ridge_finds_the_line(void **state) {
    (void)state;
    fill(true);
    cm_regression m;
    assert_int_equal(cm_regression_fit(&m, true, x, WIDTH, label, index_of, N, 1e-9, NULL), CM_OK);
    assert_close(m.weight[0] / m.unit[0], 2, 1e-4);
    assert_close(m.weight[1] / m.unit[1], -0.3, 1e-4);
    const double row[WIDTH] = {0.5, -3, 100}; /* the constant column says nothing */
    assert_close(cm_regression_score(&m, row), 1 + 1 + 0.9, 1e-4);
    assert_int_equal(cm_regression_fit(&m, true, x, WIDTH, label, index_of, N, 1, NULL), CM_OK);
    assert_close(m.weight[0] / m.unit[0], 1, 0.15); /* a penalty of 1 halves standardised weights */
}

static void logistic_finds_the_odds(void **state) {
    (void)state;
    fill(false);
    cm_regression m;
    assert_int_equal(cm_regression_fit(&m, false, x, WIDTH, label, index_of, N, 1e-6, NULL), CM_OK);
    assert_close(m.weight[0] / m.unit[0], 2, 0.6);
    assert_close(m.weight[1] / m.unit[1], -0.3, 0.1);
    double gradient = 0; /* at the optimum the mean residual is 0 */
    for (int64_t i = 0; i < N; i++)
        gradient += 1 / (1 + exp(-cm_regression_score(&m, x + i * WIDTH))) - label[i];
    assert_close(gradient / N, 0, 1e-5);
}

static void one_class_stays_finite(void **state) {
    (void)state;
    fill(false);
    for (int64_t i = 0; i < N; i++) label[i] = 1;
    cm_regression m;
    assert_int_equal(cm_regression_fit(&m, false, x, WIDTH, label, index_of, N, 1e-2, NULL), CM_OK);
    assert_true(isfinite(m.offset) && cm_regression_score(&m, x) > 3);
    fail_alloc_from(0);
    cm_status status = cm_regression_fit(&m, false, x, WIDTH, label, index_of, N, 1e-2, NULL);
    assert_true(fail_alloc_stop());
    assert_int_equal(status, CM_MEMORY);
}

/* Centre and unit are mean and standard deviation of the rows, and at the solution the gradient of the
 * penalised loss is 0, but for the offset's own tiny penalty. */
static void the_solution_is_exact(void **state) {
    (void)state;
    for (int kind = 0; kind < 2; kind++)
        for (int p = 0; p < 3; p++) {
            const double penalty[] = {0.05, 1, 20};
            enum { ROWS = 40 };
            cm_regression m;
            fill(kind == 0);
            assert_int_equal(
                cm_regression_fit(&m, kind == 0, x, WIDTH, label, index_of, ROWS, penalty[p], NULL), CM_OK);
            for (int c = 0; c < 2; c++) {
                double mean = 0, squares = 0, gradient = penalty[p] * m.weight[c];
                for (int i = 0; i < ROWS; i++) mean += x[index_of[i] * WIDTH + c] / ROWS;
                for (int i = 0; i < ROWS; i++)
                    squares +=
                        (x[index_of[i] * WIDTH + c] - mean) * (x[index_of[i] * WIDTH + c] - mean) / ROWS;
                assert_close(m.centre[c], mean, 1e-12);
                assert_close(m.unit[c], sqrt(squares), 1e-12);
                for (int i = 0; i < ROWS; i++) {
                    double z = cm_regression_score(&m, x + index_of[i] * WIDTH);
                    double q = kind == 0 ? z : 1 / (1 + exp(-z));
                    gradient +=
                        (q - label[index_of[i]]) * (x[index_of[i] * WIDTH + c] - mean) / m.unit[c] / ROWS;
                }
                assert_close(gradient, 0, 1e-6);
            }
        }
}

/* What a column says that differs from its twin by a hundredth is found all the same. */
static void twins_are_told_apart(void **state) {
    (void)state;
    cm_regression m;
    for (int64_t i = 0; i < N; i++) {
        double same = cm_rng_normal(7, 2 * (uint64_t)i), own = cm_rng_normal(7, 2 * (uint64_t)i + 1);
        index_of[i] = i;
        x[i * WIDTH] = same;
        x[i * WIDTH + 1] = same + own / 100;
        x[i * WIDTH + 2] = 0;
        label[i] = own;
    }
    assert_int_equal(cm_regression_fit(&m, true, x, WIDTH, label, index_of, N, 1e-9, NULL), CM_OK);
    assert_close(m.weight[0] / m.unit[0], -100, 0.01);
    assert_close(m.weight[1] / m.unit[1], 100, 0.01);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_solution_is_exact),  cmocka_unit_test(ridge_finds_the_line),
        cmocka_unit_test(twins_are_told_apart),   cmocka_unit_test(logistic_finds_the_odds),
        cmocka_unit_test(one_class_stays_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
