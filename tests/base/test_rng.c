/* Random numbers: values known from an independent computation in integer arithmetic, and moments. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"
#include <math.h>

static void bits_are_known(void **state) {
    (void)state;
    assert_true(cm_rng_bits(0, 0) == 0x48218226ff3cd4bfu);
    assert_true(cm_rng_bits(0, 1) == 0xcd73fe3de975ac26u);
    assert_true(cm_rng_bits(1, 0) == 0x958bc6556c2172b9u);
    assert_true(cm_rng_bits(0xdeadbeefcafef00du, UINT64_MAX) == 0x96b50da4a3785b1bu);
    assert_true(cm_rng_key(0, 0, 0) == 0x2c9fbd4aafa93509u);
    assert_true(cm_rng_key(1, 2, 3) == 0x9438c4bcb59fc923u);
    assert_true(cm_rng_key(3, 2, 1) == 0xdf7f1054c35d0903u);
}

static void numbers_are_known(void **state) {
    (void)state;
    static const uint64_t digits[] = {7, 8, 3, 4, 9, 2, 5, 1};
    static const int64_t order[] = {0, 2, 6, 5, 4, 7, 3, 1};
    uint64_t key = cm_rng_key(42, 0, 0);
    assert_true(cm_rng_uniform(key, 0) == 0x1.6b3a610d3e6c9p-1);
    assert_true(cm_rng_uniform(key, 1) == 0x1.a72a50221cba4p-1);
    assert_true(fabs(cm_rng_normal(key, 0) - 0.7268891828238705) < 1e-14);
    assert_true(fabs(cm_rng_normal(key, 1) + 0.9511281804119149) < 1e-14);
    int64_t items[] = {0, 1, 2, 3, 4, 5, 6, 7};
    cm_rng_shuffle(key, items, 8);
    for (uint64_t i = 0; i < 8; i++) {
        assert_int_equal(cm_rng_below(key, i, 10), digits[i]);
        assert_int_equal(items[i], order[i]);
    }
    cm_rng_shuffle(key, NULL, 0);
}

/* Bounds of five standard errors. */
static void moments(void **state) {
    (void)state;
    enum { N = 200000 };
    double u1 = 0, u2 = 0, n1 = 0, n2 = 0, n4 = 0, lag = 0, across = 0;
    uint64_t key = cm_rng_key(7, 1, 2), next_key = key + 1;
    for (uint64_t i = 0; i < N; i++) {
        double u = cm_rng_uniform(key, i) - 0.5, z = cm_rng_normal(key, i);
        assert_true(u >= -0.5 && u < 0.5);
        u1 += u;
        u2 += u * u;
        lag += u * (cm_rng_uniform(key, i + 1) - 0.5);
        across += u * (cm_rng_uniform(next_key, i) - 0.5);
        n1 += z;
        n2 += z * z;
        n4 += z * z * z * z;
    }
    double root = sqrt(N);
    assert_true(fabs(u1 / N) < 5 * sqrt(1 / 12.0) / root);
    assert_true(fabs(u2 / N - 1 / 12.0) < 5 * sqrt(1 / 180.0) / root);
    assert_true(fabs(lag / N) < 5 / 12.0 / root);
    assert_true(fabs(across / N) < 5 / 12.0 / root);
    assert_true(fabs(n1 / N) < 5 / root);
    assert_true(fabs(n2 / N - 1) < 5 * sqrt(2) / root);
    assert_true(fabs(n4 / N - 3) < 5 * sqrt(96) / root);
}

/* Chi-square over ten cells, 9 degrees of freedom: 40 is far beyond the 0.9999 quantile (33.7). */
static void below_is_even(void **state) {
    (void)state;
    enum { N = 100000 };
    int cells[10] = {0};
    for (uint64_t i = 0; i < N; i++) cells[cm_rng_below(99, i, 10)]++;
    double chi2 = 0;
    for (int i = 0; i < 10; i++) chi2 += (cells[i] - N / 10.0) * (cells[i] - N / 10.0) / (N / 10.0);
    assert_true(chi2 < 40);
    assert_int_equal(cm_rng_below(1, 1, 1), 0);
    assert_true(cm_rng_below(1, 1, UINT64_MAX) < UINT64_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bits_are_known),
        cmocka_unit_test(numbers_are_known),
        cmocka_unit_test(moments),
        cmocka_unit_test(below_is_even),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
