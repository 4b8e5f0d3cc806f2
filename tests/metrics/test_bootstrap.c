/* Bootstrap intervals: they cover, they narrow with more molecules, they are the same every time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"
#include "close.h"
#include "fail_alloc.h"
#include "metrics/bootstrap.h"
#include <math.h>
#include <string.h>

enum { MOST = 2500 };
static double value[MOST], label[MOST], low[CM_METRICS_MAX], high[CM_METRICS_MAX];
static int32_t a[MOST], b[MOST];

/* side x side pairs of molecules with effects of their own, which both label and value share. */
static int64_t grid(int side, bool affinity) {
    uint64_t key = cm_rng_key(5, (uint64_t)side, 0), effects = cm_rng_key(6, 0, 0);
    int64_t n = 0;
    for (int i = 0; i < side; i++)
        for (int j = 0; j < side; j++, n++) {
            double truth = cm_rng_normal(effects, (uint64_t)i) + cm_rng_normal(effects, (uint64_t)(1000 + j));
            double noise = cm_rng_normal(key, 2 * (uint64_t)n),
                   more = cm_rng_normal(key, 2 * (uint64_t)n + 1);
            a[n] = i;
            b[n] = j;
            label[n] = affinity ? truth + noise : truth + noise > 0;
            value[n] = affinity ? truth + more : 1 / (1 + exp(-truth - more));
        }
    return n;
}

static void intervals_cover_and_narrow(void **state) {
    (void)state;
    for (int affinity = 0; affinity < 2; affinity++) {
        double width[2], point[CM_METRICS_MAX];
        const int metric = affinity ? CM_AFFINITY_pearson : CM_BINARY_auroc;
        for (int size = 0; size < 2; size++) {
            int64_t n = grid(size == 0 ? 10 : 50, affinity);
            if (affinity)
                cm_metrics_affinity(value, label, n, point, NULL);
            else
                cm_metrics_binary(value, label, n, 0.5, point, NULL);
            assert_int_equal(
                cm_metrics_intervals(affinity, value, label, n, 0.5, a, b, 1000, 1, low, high, NULL), CM_OK);
            for (int m = 0; m < cm_metrics_count(affinity); m++) {
                assert_true(low[m] < high[m]);
                /* the calibration error of a resample is biased upwards */
                bool biased = !affinity && m == CM_BINARY_ece;
                if (!biased && !(low[m] < point[m] && point[m] < high[m]))
                    fail_msg("%s: %g not in %g..%g", cm_metrics_name(affinity, m), point[m], low[m], high[m]);
            }
            width[size] = high[metric] - low[metric];
        }
        assert_true(width[1] < 0.7 * width[0]);
        /* wider than a bootstrap that takes the pairs for independent */
        int64_t n = grid(50, affinity);
        for (int i = 0; i < n; i++) a[i] = i, b[i] = 0;
        double loose_low[CM_METRICS_MAX], loose_high[CM_METRICS_MAX];
        int32_t alone[MOST];
        for (int i = 0; i < n; i++) alone[i] = i;
        cm_metrics_intervals(affinity, value, label, n, 0.5, alone, alone, 1000, 1, loose_low, loose_high,
                             NULL);
        assert_true(loose_high[metric] - loose_low[metric] < width[1]);
    }
}

/* The standard error of a mean (here 1 - accuracy over 0/1 labels and A alone drawn) is known. */
static void the_width_is_right(void **state) {
    (void)state;
    enum { N = 400 };
    for (int i = 0; i < N; i++) {
        a[i] = i;
        b[i] = i; /* each pair has the weight Poisson x Poisson: mean 1, variance 3 */
        label[i] = i % 2;
        value[i] = i % 4 == 0 ? 1 - label[i] : label[i];
    }
    assert_int_equal(cm_metrics_intervals(false, value, label, N, 0.5, a, b, 4000, 9, low, high, NULL),
                     CM_OK);
    double expected = 2 * 1.96 * sqrt(3 * 0.75 * 0.25 / N);
    assert_close(high[CM_BINARY_accuracy] - low[CM_BINARY_accuracy], expected, 0.1 * expected);
}

static void the_seed_decides(void **state) {
    (void)state;
    double low2[CM_METRICS_MAX], high2[CM_METRICS_MAX];
    int64_t n = grid(12, true);
    cm_metrics_intervals(true, value, label, n, 0, a, b, 1000, 7, low, high, NULL);
    cm_metrics_intervals(true, value, label, n, 0, a, b, 1000, 7, low2, high2, NULL);
    assert_memory_equal(low, low2, CM_AFFINITY_COUNT * sizeof *low);
    assert_memory_equal(high, high2, CM_AFFINITY_COUNT * sizeof *high);
    cm_metrics_intervals(true, value, label, n, 0, a, b, 1000, 8, low2, high2, NULL);
    assert_memory_not_equal(low, low2, CM_AFFINITY_COUNT * sizeof *low);
}

/* The draws of three repeats together are the means of their own. */
static void repeats_are_averaged(void **state) {
    (void)state;
    enum { DRAWS = 40, NUMBERS = CM_AFFINITY_COUNT * DRAWS };
    double together[NUMBERS] = {0}, own[3][NUMBERS];
    for (int repeat = 0; repeat < 3; repeat++) {
        int64_t n = grid(10 + repeat, true);
        cm_sample sample = {.affinity = true, .n = n, .value = value, .label = label, .entity = {a, b}};
        assert_int_equal(cm_sample_draws(&sample, DRAWS, 7, 0, own[repeat], NULL), CM_OK);
        assert_int_equal(cm_sample_draws(&sample, DRAWS, 7, repeat, together, NULL), CM_OK);
    }
    for (int i = 0; i < NUMBERS; i++) {
        double mean = (own[0][i] + own[1][i] + own[2][i]) / 3;
        assert_true(isnan(mean) ? isnan(together[i]) : fabs(together[i] - mean) <= 1e-12 * (1 + fabs(mean)));
    }
}

static void few_molecules(void **state) {
    (void)state;
    /* one pair: draws without it or with one class are left out */
    value[0] = 0.8, label[0] = 1, a[0] = 3, b[0] = 0;
    assert_int_equal(cm_metrics_intervals(false, value, label, 1, 0.5, a, b, 1000, 1, low, high, NULL),
                     CM_OK);
    assert_close(low[CM_BINARY_accuracy], 1, 0);
    assert_close(high[CM_BINARY_accuracy], 1, 0);
    assert_true(isnan(low[CM_BINARY_auroc]) && isnan(high[CM_BINARY_auroc]));
}

static void unsuitable_requests_are_refused(void **state) {
    (void)state;
    cm_error error = {0};
    int64_t n = grid(10, false);
    assert_int_equal(cm_metrics_intervals(false, value, label, n, 0.5, a, b, 999, 1, low, high, &error),
                     CM_USAGE);
    value[7] = NAN;
    assert_int_equal(cm_metrics_intervals(false, value, label, n, 0.5, a, b, 1000, 1, low, high, &error),
                     CM_NUMERIC);
    assert_string_equal(error.place, "pair 8");
    n = grid(2, false);
    for (long i = 0;; i++) {
        fail_alloc_from(i);
        cm_status status = cm_metrics_intervals(false, value, label, n, 0.5, a, b, 1000, 1, low, high, NULL);
        bool failed = fail_alloc_stop();
        assert_int_equal(status, failed ? CM_MEMORY : CM_OK);
        if (!failed) break;
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(intervals_cover_and_narrow),
        cmocka_unit_test(the_width_is_right),
        cmocka_unit_test(the_seed_decides),
        cmocka_unit_test(repeats_are_averaged),
        cmocka_unit_test(few_molecules),
        cmocka_unit_test(unsuitable_requests_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
