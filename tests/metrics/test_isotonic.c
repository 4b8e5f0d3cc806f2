/* Levels of isotonic regression, and the bins of reliability. What scikit-learn finds is in
 * test_statistics.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "close.h"
#include "metrics/isotonic.h"
#include "metrics/reliability.h"
#include <math.h>

static double score[500], label[500];

static void isotonic_keeps_to_its_room(void **state) {
    (void)state;
    double at[10], to[10];
    int knots;
    for (int i = 0; i < 500; i++) score[i] = i, label[i] = i;
    assert_int_equal(cm_isotonic_fit(score, label, 500, 10, at, to, &knots, NULL), CM_OK);
    assert_true(knots <= 10 && knots > 5);
    for (int i = 1; i < knots; i++) assert_true(at[i] > at[i - 1] && to[i] >= to[i - 1]);
    double error = 0;
    for (int i = 0; i < 500; i++) error += fabs(cm_isotonic_value(at, to, knots, i) - i) / 500;
    assert_true(error < 40); /* five levels of a hundred: 25, were it not for the interpolation */
}

/* Of unions that cost the same the first is made; what fits stays as it is. */
static void isotonic_joins_the_first(void **state) {
    (void)state;
    static const double first[] = {0, 1, 2, 4}, means[] = {0.5, 0.5, 3, 3};
    double at[5], to[5];
    int knots;
    for (int i = 0; i < 5; i++) score[i] = label[i] = i;
    assert_int_equal(cm_isotonic_fit(score, label, 5, 4, at, to, &knots, NULL), CM_OK);
    assert_int_equal(knots, 4);
    for (int i = 0; i < 4; i++) assert_true(at[i] == first[i] && fabs(to[i] - means[i]) < 1e-12);
    assert_int_equal(cm_isotonic_fit(score, label, 5, 5, at, to, &knots, NULL), CM_OK);
    assert_int_equal(knots, 5);
    for (int i = 0; i < 5; i++) assert_true(at[i] == i && to[i] == i);
}

/* One level has two knots, equal levels are one, and where there is no room the union goes by weight: a light
 * level leaves a heavy one alone. */
static void isotonic_weighs_levels(void **state) {
    (void)state;
    enum { HEAVY = 100, N = HEAVY + 4 };
    double at[6], to[6];
    int knots;
    for (int i = 0; i < N; i++) score[i] = i, label[i] = 0;
    assert_int_equal(cm_isotonic_fit(score, label, N, 6, at, to, &knots, NULL), CM_OK);
    assert_true(knots == 2 && at[0] == 0 && at[1] == N - 1);
    for (int i = HEAVY; i < N; i++) label[i] = i < HEAVY + 2 ? 1 : 2.1;
    assert_int_equal(cm_isotonic_fit(score, label, N, 6, at, to, &knots, NULL), CM_OK);
    assert_int_equal(knots, 6);
    assert_int_equal(cm_isotonic_fit(score, label, N, 4, at, to, &knots, NULL), CM_OK);
    assert_int_equal(knots, 4);
    assert_true(at[1] == HEAVY - 1 && at[2] == HEAVY && at[3] == N - 1);
    assert_close(to[0], 0, 0);
    assert_close(to[3], 1.55, 1e-12);
}

static void values_are_clipped_at_the_ends(void **state) {
    (void)state;
    static const double at[] = {1, 2, 4}, to[] = {0.1, 0.5, 0.7};
    static const double asked[] = {-9, 1, 1.5, 2, 3, 4, 5}, wanted[] = {0.1, 0.1, 0.3, 0.5, 0.6, 0.7, 0.7};
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++)
        assert_close(cm_isotonic_value(at, to, 3, asked[i]), wanted[i], 1e-15);
    assert_close(cm_isotonic_value(at, to, 1, 3), 0.1, 0);
}

static void bins_of_probabilities(void **state) {
    (void)state;
    static const struct {
        double value;
        int bin;
    } cases[] = {{0, 0}, {1e-9, 0}, {1.0 / 15, 0}, {0.0667, 1}, {0.5, 7}, {0.9334, 14}, {1, 14}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(cm_reliability_bin_of(cases[i].value), cases[i].bin);
    cm_reliability_bin bins[CM_RELIABILITY_BINS];
    double low[] = {0, 0.02}, none[] = {0, 0};
    assert_close(cm_reliability(low + 1, none, 1, bins), 0.02, 1e-15);
    assert_close(cm_reliability(low, none, 0, bins), 0, 0);
    assert_close(cm_reliability(low, none, 2, bins), 0.01, 1e-15);
    assert_true(bins[0].count == 2 && bins[0].observed == 0 && bins[0].predicted == 0.01);
    assert_true(isnan(bins[1].observed) && isnan(bins[1].predicted));
    for (int b = 0; b < CM_RELIABILITY_BINS; b++) {
        assert_close(bins[b].low, b / 15.0, 1e-15);
        assert_close(bins[b].high, (b + 1) / 15.0, 1e-15);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(isotonic_keeps_to_its_room), cmocka_unit_test(isotonic_joins_the_first),
        cmocka_unit_test(isotonic_weighs_levels),     cmocka_unit_test(values_are_clipped_at_the_ends),
        cmocka_unit_test(bins_of_probabilities),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
