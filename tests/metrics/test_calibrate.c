/* Calibration recovers what distorted the scores, and falls back where it cannot. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"
#include "close.h"
#include "metrics/calibrate.h"
#include <math.h>

enum { MOST = 20000 };
static double score[MOST], label[MOST];

static void binary_is_recovered(void **state) {
    (void)state;
    static const double truth[][2] = {{1, 0}, {0.3, -1}, {4, 2}, {1e-3, 0.5}};
    for (int c = 0; c < 4; c++) {
        uint64_t key = cm_rng_key(3, (uint64_t)c, 0);
        for (uint64_t i = 0; i < MOST; i++) {
            double p = 2 * cm_rng_normal(key, 2 * i);
            score[i] = (p - truth[c][1]) / truth[c][0];
            label[i] = cm_rng_uniform(key, 4 * i + 100001) < 1 / (1 + exp(-p));
        }
        cm_calibration got = cm_calibrate(false, score, label, MOST);
        assert_close(got.slope / truth[c][0], 1, 0.05);
        assert_close(got.offset, truth[c][1], 0.1);
        assert_close(got.spread, 0, 0);
    }
}

/* At the maximum of the likelihood the mean probability is the mean target. */
static void binary_meets_its_optimum(void **state) {
    (void)state;
    enum { N = 50 };
    double sum = 0, moment = 0, positives = 0;
    uint64_t key = cm_rng_key(4, 0, 0);
    for (uint64_t i = 0; i < N; i++) {
        label[i] = i % 5 == 0;
        score[i] = label[i] + cm_rng_normal(key, i);
        positives += label[i];
    }
    cm_calibration got = cm_calibrate(false, score, label, N);
    double target[2] = {1 / (N - positives + 2), (positives + 1) / (positives + 2)};
    for (int i = 0; i < N; i++) {
        double excess = cm_calibrated(&got, false, score[i]) - target[label[i] > 0.5];
        sum += excess;
        moment += excess * score[i];
    }
    assert_close(sum, 0, 1e-6);
    assert_close(moment, 0, 1e-6);
}

static void separable_scores_stay_finite(void **state) {
    (void)state;
    for (int i = 0; i < 20; i++) score[i] = i < 10 ? -500 - i : 500 + i, label[i] = i >= 10;
    cm_calibration got = cm_calibrate(false, score, label, 20);
    assert_true(got.slope > 0 && isfinite(got.slope) && isfinite(got.offset));
    assert_close(cm_calibrated(&got, false, 510), 11.0 / 12, 0.05);
    assert_close(cm_calibrated(&got, false, -510), 1.0 / 12, 0.05);
}

static void useless_scores_give_the_base_rate(void **state) {
    (void)state;
    for (int i = 0; i < 30; i++) score[i] = i, label[i] = i < 10;
    cm_calibration got = cm_calibrate(false, score, label, 30); /* reversed: the slope may not be negative */
    assert_close(got.slope, 0, 0);
    double target = (10 * (11.0 / 12) + 20 * (1.0 / 22)) / 30;
    assert_close(cm_calibrated(&got, false, 5), target, 1e-12);
    for (int i = 0; i < 30; i++) score[i] = 0;
    got = cm_calibrate(false, score, label, 30);
    assert_close(cm_calibrated(&got, false, 0), target, 1e-9);
}

static void affinity_is_a_line(void **state) {
    (void)state;
    static const double truth[][3] = {{1.5, -2, 1.5}, {5, 0, 2}, {-1, 3, 0.5}, {0.1, 1, 0.5}};
    for (int c = 0; c < 4; c++) {
        for (int i = 0; i < 100; i++) {
            score[i] = i - 49.5;
            label[i] = truth[c][0] * score[i] + truth[c][1] + ((i + i / 2) % 2 ? 0.5 : -0.5);
        }
        cm_calibration got = cm_calibrate(true, score, label, 100);
        assert_close(got.slope, truth[c][2], 1e-3);
        assert_close(got.offset, truth[c][1], 1e-9);
        if (c == 0) assert_close(got.spread, 0.5, 1e-3);
        if (c == 1) assert_true(got.spread > 50);
        assert_close(cm_calibrated(&got, true, 2), 2 * got.slope + got.offset, 1e-12);
    }
    for (int i = 0; i < 20; i++) score[i] = i / 1000.0, label[i] = 1.5 * score[i] + 7; /* small units */
    assert_close(cm_calibrate(true, score, label, 20).slope, 1.5, 1e-9);
    for (int i = 0; i < 10; i++) score[i] = 3, label[i] = i;
    cm_calibration got = cm_calibrate(true, score, label, 10);
    assert_close(got.slope, 1, 0);
    assert_close(cm_calibrated(&got, true, 3), 4.5, 1e-12);
}

static void fallbacks(void **state) {
    (void)state;
    for (int i = 0; i < 20; i++) score[i] = i, label[i] = i % 2;
    cm_calibration got[6] = {cm_calibrate(false, score, label, 9), cm_calibrate(true, score, label, 9),
                             cm_calibrate(true, score, label, 0)};
    assert_true(got[1].spread > 0);
    for (int i = 0; i < 20; i++) label[i] = 1;
    got[3] = cm_calibrate(false, score, label, 20);
    score[3] = NAN;
    got[4] = cm_calibrate(true, score, label, 20);
    score[3] = 3;
    label[4] = INFINITY;
    got[5] = cm_calibrate(false, score, label, 20);
    for (int i = 0; i < 6; i++) {
        assert_close(got[i].slope, 1, 0);
        assert_close(got[i].offset, 0, 0);
        assert_true(isfinite(got[i].spread));
    }
    assert_close(cm_calibrated(&got[0], false, -800), 0, 1e-300);
    assert_close(cm_calibrated(&got[0], false, 800), 1, 0);
}

/* The identity's residuals are those of the scores themselves. */
static void few_affinities_keep_their_spread(void **state) {
    (void)state;
    for (int i = 0; i < 9; i++) score[i] = label[i] = i + 4;
    assert_close(cm_calibrate(true, score, label, 9).spread, 0, 0);
    for (int i = 0; i < 9; i++) label[i] = score[i] + (i % 2 ? 1 : -1);
    double spread = cm_calibrate(true, score, label, 9).spread;
    assert_true(spread > 0.9 && spread < 1.2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(binary_is_recovered),
        cmocka_unit_test(binary_meets_its_optimum),
        cmocka_unit_test(separable_scores_stay_finite),
        cmocka_unit_test(useless_scores_give_the_base_rate),
        cmocka_unit_test(affinity_is_a_line),
        cmocka_unit_test(fallbacks),
        cmocka_unit_test(few_affinities_keep_their_spread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
