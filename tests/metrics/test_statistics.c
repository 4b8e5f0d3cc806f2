/* Isotonic calibration, curves and reliability against golden values; conformal coverage; paired differences.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"
#include "close.h"
#include "fail_alloc.h"
#include "metrics/bootstrap.h"
#include "metrics/calibrate.h"
#include "metrics/conformal.h"
#include "metrics/isotonic.h"
#include "metrics/reliability.h"
#include "metrics/resample.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 6000, FIELD = 256, DRAWS = 400 };
static double score[MOST], value[MOST], other[MOST], label[MOST];
static int32_t a[MOST], b[MOST];

/* ---- golden values ---- */

static double x[FIELD], y[FIELD];
static int64_t n_x, n_y;

static int64_t numbers(char *text, double *out) {
    int64_t n = 0;
    char *end;
    for (double v = strtod(text, &end); end != text; v = strtod(text, &end)) {
        assert_true(n < FIELD);
        out[n++] = v;
        text = end;
    }
    return n;
}

static void same(const char *name, const char *field, const double *want, const double *got, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (!(fabs(want[i] - got[i]) < 1e-12))
            fail_msg("%s %s %d: %.17g, not %.17g", name, field, (int)i, got[i], want[i]);
}

static void check_isotonic(const char *name, const double *query, const double *want, int64_t n) {
    double at[FIELD], to[FIELD], got[FIELD];
    int knots;
    assert_int_equal(cm_isotonic_fit(x, y, n_x, FIELD, at, to, &knots, NULL), CM_OK);
    for (int64_t i = 0; i < n; i++) got[i] = cm_isotonic_value(at, to, knots, query[i]);
    same(name, "isotonic", want, got, n);
}

static void check_reliability(const char *name, const double *want, int64_t n) {
    cm_reliability_bin bins[CM_RELIABILITY_BINS];
    double got[FIELD];
    int64_t filled = 0, count = 0;
    cm_reliability(x, y, n_x, bins);
    for (int i = 0; i < CM_RELIABILITY_BINS; i++) {
        count += bins[i].count;
        if (bins[i].count == 0) continue;
        got[filled++] = bins[i].predicted;
        got[filled++] = bins[i].observed;
    }
    assert_int_equal(count, n_x);
    assert_int_equal(filled, n);
    same(name, "reliability", want, got, n);
}

static int check_field(const char *name, const char *field, const double *number, int64_t n) {
    static double query[FIELD];
    cm_sample sample = {.n = n_x, .value = x, .label = y, .threshold = 0.5};
    cm_curve roc, pr;
    if (strcmp(field, "x") == 0 || strcmp(field, "value") == 0) {
        memcpy(x, number, sizeof x);
        n_x = n;
    } else if (strcmp(field, "y") == 0 || strcmp(field, "label") == 0) {
        memcpy(y, number, sizeof y);
        n_y = n;
        assert_int_equal(n_x, n_y);
    } else if (strcmp(field, "query") == 0) {
        memcpy(query, number, sizeof query);
    } else if (strcmp(field, "isotonic") == 0) {
        check_isotonic(name, query, number, n);
    } else if (strcmp(field, "reliability") == 0) {
        check_reliability(name, number, n);
    } else {
        assert_int_equal(n, CM_CURVE_POINTS);
        assert_int_equal(cm_sample_curves(&sample, 1, 1, &roc, &pr, NULL), CM_OK);
        same(name, field, number, strcmp(field, "roc") == 0 ? roc.y : pr.y, n);
    }
    return 1;
}

static void golden_values(void **state) {
    (void)state;
    char path[512];
    static char line[1 << 16];
    snprintf(path, sizeof path, "%s/tests/fixtures/statistics.tsv", getenv("CROSSMAMBA_SOURCE"));
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    int checked = 0;
    while (fgets(line, sizeof line, file)) {
        char *name = strtok(line, "\t"), *field = strtok(NULL, "\t"), *text = strtok(NULL, "\n");
        double number[FIELD] = {0};
        int64_t n = numbers(text, number);
        checked += check_field(name, field, number, n);
    }
    fclose(file);
    assert_int_equal(checked, 42);
}

/* ---- calibration ---- */

/* Labels drawn with probability p(score). */
static void draw_labels(uint64_t seed, int n, double (*p)(double)) {
    for (int i = 0; i < n; i++) {
        score[i] = 3 * cm_rng_normal(cm_rng_key(seed, 1, 0), (uint64_t)i);
        label[i] = cm_rng_uniform(cm_rng_key(seed, 2, 0), (uint64_t)i) < p(score[i]);
    }
}
static double shifted(double s) {
    return 1 / (1 + exp(-(0.7 * s - 2)));
}
static double hot(double s) {
    return 1 / (1 + exp(-0.3 * s));
}
static double staircase(double s) {
    return s < -2 ? 0.02 : s < 0 ? 0.45 : s < 3 ? 0.55 : 0.98;
}

static void methods_are_chosen_by_log_loss(void **state) {
    (void)state;
    static double (*const truths[])(double) = {shifted, hot, staircase};
    static const cm_calibration_method want[] = {CM_CALIBRATION_PLATT, CM_CALIBRATION_TEMPERATURE,
                                                 CM_CALIBRATION_ISOTONIC};
    for (int t = 0; t < 3; t++) {
        draw_labels((uint64_t)t + 20, MOST, truths[t]);
        cm_calibration c;
        assert_int_equal(cm_calibrate_by(CM_CALIBRATION_AUTO, score, label, MOST, &c, NULL), CM_OK);
        /* Platt holds temperature as a case; on a hot sigmoid either is right */
        if (t != 1 || c.method != CM_CALIBRATION_PLATT) assert_int_equal(c.method, want[t]);
        double worst = 0;
        for (double s = -4; s < 5; s += 0.5)
            if (t != 2 || (fabs(s + 2) > 0.4 && fabs(s) > 0.4 && fabs(s - 3) > 0.4))
                worst = fmax(worst, fabs(cm_calibrated(&c, false, s) - truths[t](s)));
        assert_true(worst < 0.06);
        assert_true(c.knots <= CM_CALIBRATION_KNOTS &&
                    (c.knots > 0) == (c.method == CM_CALIBRATION_ISOTONIC));
    }
    draw_labels(21, MOST, hot);
    cm_calibration c;
    assert_int_equal(cm_calibrate_by(CM_CALIBRATION_TEMPERATURE, score, label, MOST, &c, NULL), CM_OK);
    assert_close(c.offset, 0, 0);
    assert_close(c.slope, 0.3, 0.02);
}

static void calibrations_never_claim_certainty(void **state) {
    (void)state;
    for (int i = 0; i < 40; i++) score[i] = i < 20 ? -i - 1 : i, label[i] = i >= 20;
    for (int m = 0; m <= CM_CALIBRATION_AUTO; m++) {
        cm_calibration c;
        assert_int_equal(cm_calibrate_by((cm_calibration_method)m, score, label, 40, &c, NULL), CM_OK);
        assert_true(cm_calibrated(&c, false, 30) > 0.9 && cm_calibrated(&c, false, 30) < 1);
        assert_true(cm_calibrated(&c, false, -30) < 0.1 && cm_calibrated(&c, false, -30) > 0);
        cm_calibration_method method;
        assert_int_equal(cm_calibration_parse(&method, cm_calibration_name((cm_calibration_method)m), NULL),
                         CM_OK);
        assert_int_equal(method, m);
        assert_int_equal(cm_calibrate_by((cm_calibration_method)m, score, label, 9, &c, NULL), CM_OK);
        assert_true(c.slope == 1 && c.offset == 0 && c.knots == 0); /* too few */
        for (long k = 0;; k++) {
            fail_alloc_from(k);
            cm_status status = cm_calibrate_by((cm_calibration_method)m, score, label, 40, &c, NULL);
            if (!fail_alloc_stop()) break;
            assert_int_equal(status, CM_MEMORY);
        }
    }
    cm_calibration_method method;
    assert_int_equal(cm_calibration_parse(&method, "histogram", NULL), CM_USAGE);
}

/* ---- conformal prediction ---- */

static void affinity_coverage(void **state) {
    (void)state;
    double covered = 0, width = 0;
    enum { ROUNDS = 200, HELD = 60, TESTED = 50 };
    for (uint64_t round = 0; round < ROUNDS; round++) {
        for (uint64_t i = 0; i < HELD + TESTED; i++) {
            score[i] = cm_rng_normal(cm_rng_key(1, round, 0), i);
            label[i] = 0.8 * score[i] + 1 + cm_rng_normal(cm_rng_key(2, round, 0), i);
        }
        cm_calibration c = cm_calibrate(true, score, label, HELD);
        for (int i = 0; i < HELD + TESTED; i++) value[i] = cm_calibrated(&c, true, score[i]);
        cm_conformal conformal;
        assert_int_equal(cm_conformal_fit(true, score, value, label, HELD, &conformal, NULL), CM_OK);
        cm_coverage coverage = {0};
        cm_coverage_add(&coverage, &conformal, true, value + HELD, label + HELD, TESTED);
        cm_coverage_finish(&coverage);
        assert_int_equal(coverage.pairs, TESTED);
        covered += coverage.covered / ROUNDS;
        width += coverage.width / ROUNDS;
    }
    assert_close(covered, 0.9, 0.02);
    assert_close(width, 2 * 1.645, 0.25);
}

static void binary_coverage(void **state) {
    (void)state;
    double covered = 0, size = 0;
    enum { ROUNDS = 100, HELD = 200, TESTED = 100 };
    for (uint64_t round = 0; round < ROUNDS; round++) {
        draw_labels(100 + round, HELD + TESTED, shifted);
        for (int i = 0; i < HELD + TESTED; i++) value[i] = shifted(score[i]);
        cm_conformal conformal;
        assert_int_equal(cm_conformal_fit(false, score, value, label, HELD, &conformal, NULL), CM_OK);
        cm_coverage coverage = {0};
        cm_coverage_add(&coverage, &conformal, false, value + HELD, label + HELD, TESTED);
        cm_coverage_finish(&coverage);
        covered += coverage.covered / ROUNDS;
        size += coverage.width / ROUNDS;
        assert_true(coverage.single >= 0 && coverage.single <= 1);
    }
    assert_true(covered > 0.88 && covered < 0.93);
    assert_true(size > 0.9 && size < 1.5);
}

static void one_pair_is_a_mean(void **state) {
    (void)state;
    const double at = 3, truth = 3.25;
    cm_conformal conformal = {0.5, {NAN, NAN}};
    cm_coverage coverage = {0};
    cm_coverage_add(&coverage, &conformal, true, &at, &truth, 1);
    cm_coverage_finish(&coverage);
    assert_int_equal(coverage.pairs, 1);
    assert_close(coverage.covered, 1, 0);
    assert_close(coverage.width, 1, 0);
}

/* Nine residuals are the fewest that promise 90 %: the bound is the largest, whichever pair it is of. */
static void the_largest_of_nine_is_the_bound(void **state) {
    (void)state;
    for (int largest = 0; largest < 9; largest++) {
        cm_conformal conformal;
        cm_coverage coverage = {0};
        const double sure = 0.95, unsure = 0.3, yes = 1;
        for (int i = 0; i < 9; i++) value[i] = i == largest ? 0.25 : 0.9, label[i] = 1;
        assert_int_equal(cm_conformal_fit(false, value, value, label, 9, &conformal, NULL), CM_OK);
        assert_close(conformal.bound[1], 0.75, 0);
        assert_true(isnan(conformal.bound[0])); /* so it is in every set */
        assert_true(cm_conformal_holds(&conformal, unsure, 1) && !cm_conformal_holds(&conformal, 0.2, 1));
        conformal.bound[0] = 0.5;
        cm_coverage_add(&coverage, &conformal, false, &sure, &yes, 1);
        cm_coverage_finish(&coverage);
        assert_close(coverage.single, 1, 0);
    }
}

static void too_few_promise_nothing(void **state) {
    (void)state;
    cm_conformal conformal;
    double nine[9] = {9, 8, 7, 6, 5, 4, 3, 2, 1};
    assert_true(isnan(cm_conformal_quantile(nine, 8, 0.1)));
    assert_true(cm_conformal_quantile(nine, 9, 0.1) == 9);
    for (int i = 0; i < 8; i++) score[i] = value[i] = i, label[i] = i % 2;
    assert_int_equal(cm_conformal_fit(true, score, value, label, 8, &conformal, NULL), CM_OK);
    assert_true(isnan(conformal.half_width));
    cm_coverage coverage = {0};
    cm_coverage_add(&coverage, &conformal, true, value, label, 8);
    cm_coverage_finish(&coverage);
    assert_true(coverage.pairs == 0 && isnan(coverage.covered));
    assert_int_equal(cm_conformal_fit(false, score, value, label, 8, &conformal, NULL), CM_OK);
    assert_true(cm_conformal_holds(&conformal, 0.5, 0) && cm_conformal_holds(&conformal, 0.5, 1));
}

/* ---- paired differences ---- */

/* side * side pairs; value follows the label with noise, other with the same and more. */
static int64_t grid(int side, double more) {
    int64_t n = 0;
    for (int i = 0; i < side; i++)
        for (int j = 0; j < side; j++, n++) {
            uint64_t at = (uint64_t)n;
            a[n] = i;
            b[n] = j;
            double truth =
                cm_rng_normal(7, (uint64_t)i) + cm_rng_normal(8, (uint64_t)j) + cm_rng_normal(9, at);
            label[n] = truth > 0;
            double both = truth + 0.7 * cm_rng_normal(12, at);
            value[n] = 1 / (1 + exp(-both - 0.3 * cm_rng_normal(10, at)));
            other[n] = 1 / (1 + exp(-both - (0.3 + more) * cm_rng_normal(11, at)));
        }
    return n;
}

static cm_difference difference(int64_t n, const double *first, const double *second, int metric) {
    static double draws[2][CM_METRICS_MAX * DRAWS], work[DRAWS];
    for (int k = 0; k < 2; k++) {
        cm_sample sample = {
            .n = n, .value = k == 0 ? first : second, .label = label, .threshold = 0.5, .entity = {a, b}};
        assert_int_equal(cm_sample_draws(&sample, DRAWS, 3, 0, draws[k], NULL), CM_OK);
    }
    return cm_draws_difference(draws[0] + metric * DRAWS, draws[1] + metric * DRAWS, DRAWS, work);
}

static void paired_differences(void **state) {
    (void)state;
    int64_t n = grid(30, 0);
    cm_difference same_model = difference(n, value, value, CM_BINARY_mcc);
    assert_true(same_model.low == 0 && same_model.high == 0 && same_model.p == 1);
    cm_difference equal = difference(n, value, other, CM_BINARY_auroc);
    assert_true(equal.low < 0 && equal.high > 0 && equal.p > 0.05);
    n = grid(30, 4);
    cm_difference better = difference(n, value, other, CM_BINARY_auroc);
    assert_true(better.low > 0 && better.p < 0.01);
    cm_difference worse = difference(n, other, value, CM_BINARY_auroc);
    assert_true(worse.high == -better.low && worse.p == better.p);
    /* the two models share their molecules: the paired interval is narrower than that of one model */
    double low[CM_METRICS_MAX], high[CM_METRICS_MAX];
    grid(30, 0);
    assert_int_equal(cm_metrics_intervals(false, value, label, n, 0.5, a, b, 1000, 3, low, high, NULL),
                     CM_OK);
    assert_true(equal.high - equal.low < high[CM_BINARY_auroc] - low[CM_BINARY_auroc]);
}

static void resampled_sides(void **state) {
    (void)state;
    static double draws[CM_METRICS_MAX * DRAWS];
    double width[4];
    int64_t n = grid(30, 0);
    for (int which = 0; which < 4; which++) { /* none, A, B, both */
        cm_sample sample = {.n = n, .value = value, .label = label, .threshold = 0.5};
        sample.entity[0] = which & 1 ? a : NULL;
        sample.entity[1] = which & 2 ? b : NULL;
        assert_int_equal(cm_sample_draws(&sample, DRAWS, 3, 0, draws, NULL), CM_OK);
        double low, high;
        cm_draws_limits(draws + CM_BINARY_auroc * DRAWS, DRAWS, &low, &high);
        width[which] = high - low;
    }
    assert_true(width[0] == 0 && width[1] > 0 && width[2] > 0);
    assert_true(width[3] > width[1] && width[3] > width[2]);
}

static void curves_have_bands(void **state) {
    (void)state;
    int64_t n = grid(25, 0);
    cm_sample sample = {.n = n, .value = value, .label = label, .threshold = 0.5, .entity = {a, b}};
    cm_curve roc, pr;
    assert_int_equal(cm_sample_curves(&sample, 200, 1, &roc, &pr, NULL), CM_OK);
    double area = 0, out[CM_METRICS_MAX];
    for (int p = 1; p < CM_CURVE_POINTS; p++) {
        assert_true(roc.y[p] >= roc.y[p - 1]);
        assert_true(roc.low[p] <= roc.y[p] && roc.y[p] <= roc.high[p]);
        area += (roc.y[p] + roc.y[p - 1]) / 2 / (CM_CURVE_POINTS - 1);
    }
    assert_int_equal(cm_sample_metrics(&sample, out, NULL), CM_OK);
    assert_close(area, out[CM_BINARY_auroc], 0.01);
    double mean = 0;
    for (int i = 0; i < n; i++) mean += label[i] / (double)n;
    assert_true(pr.y[CM_CURVE_POINTS - 1] >= mean && pr.y[0] > 0.8);
    for (int i = 0; i < n; i++) label[i] = 1;
    assert_int_equal(cm_sample_curves(&sample, 10, 1, &roc, &pr, NULL), CM_OK);
    assert_true(isnan(roc.y[3]) && isnan(pr.high[3]));
    grid(25, 0);
    for (long k = 0;; k++) {
        fail_alloc_from(k);
        cm_status status = cm_sample_curves(&sample, 10, 1, &roc, &pr, NULL);
        if (!fail_alloc_stop()) break;
        assert_int_equal(status, CM_MEMORY);
    }
}

/* Decisions made elsewhere count as the classes; averaging repeats is what it says. */
static void decisions_and_repeats(void **state) {
    (void)state;
    static double one[CM_METRICS_MAX * DRAWS], mean[CM_METRICS_MAX * DRAWS], two[CM_METRICS_MAX * DRAWS];
    int64_t n = grid(20, 1);
    static double decision[MOST];
    for (int i = 0; i < n; i++) decision[i] = value[i] >= 0.3;
    double at[CM_METRICS_MAX], decided[CM_METRICS_MAX];
    cm_sample sample = {.n = n, .value = value, .label = label, .threshold = 0.3, .entity = {a, b}};
    assert_int_equal(cm_sample_metrics(&sample, at, NULL), CM_OK);
    sample.threshold = 0.5;
    sample.decision = decision;
    assert_int_equal(cm_sample_metrics(&sample, decided, NULL), CM_OK);
    for (int m = 0; m < CM_BINARY_COUNT; m++) assert_true(at[m] == decided[m]);
    assert_int_equal(cm_sample_draws(&sample, DRAWS, 1, 0, one, NULL), CM_OK);
    memcpy(mean, one, sizeof one);
    sample.value = other;
    assert_int_equal(cm_sample_draws(&sample, DRAWS, 1, 0, two, NULL), CM_OK);
    assert_int_equal(cm_sample_draws(&sample, DRAWS, 1, 1, mean, NULL), CM_OK);
    for (int i = 0; i < DRAWS; i++)
        assert_close(mean[CM_BINARY_auroc * DRAWS + i],
                     (one[CM_BINARY_auroc * DRAWS + i] + two[CM_BINARY_auroc * DRAWS + i]) / 2, 1e-12);
}

static void numbers_that_are_none_calibrate_nothing(void **state) {
    (void)state;
    for (int method = CM_CALIBRATION_PLATT; method <= CM_CALIBRATION_AUTO; method++)
        for (int which = 0; which < 2; which++) {
            cm_calibration c;
            for (int i = 0; i < 40; i++) score[i] = i, label[i] = i % 3 == 0;
            *(which ? &score[30] : &label[30]) = NAN;
            assert_int_equal(cm_calibrate_by((cm_calibration_method)method, score, label, 40, &c, NULL),
                             CM_OK);
            assert_true(c.slope == 1 && c.offset == 0 && c.knots == 0);
        }
}

/* Draws are part of a published interval: the same seed takes the same molecules in every version. */
static void draws_do_not_drift(void **state) {
    (void)state;
    static const int32_t one[] = {0, 1, 2, 3, 4, 5, 6, 7},
                         times[2][8] = {{0, 1, 1, 0, 0, 2, 1, 1}, {0, 3, 0, 1, 2, 4, 1, 0}};
    const int32_t *const entity[2] = {one, one};
    cm_resample r;
    assert_int_equal(cm_resample_create(&r, entity, 8, 5, NULL), CM_OK);
    assert_true(cm_resample_draw(&r, 3));
    for (int i = 0; i < 8; i++) {
        assert_int_equal(r.times[0][i], times[0][i]);
        assert_int_equal(r.times[1][i], times[1][i]);
        assert_int_equal(r.weight[i], times[0][i] * times[1][i]);
    }
    cm_resample_clear(&r);
}

/* p is exact, draws that are no numbers count for nothing, and limits lie between the draws. */
static void differences_of_draws(void **state) {
    (void)state;
    static const struct {
        double difference[6];
        int draws;
        double p;
    } rows[] = {
        {{1, 2, 3, 4, 5}, 5, 2.0 / 6},
        {{-1, -2, -3, -4, -5}, 5, 2.0 / 6},
        {{-1, 2, 3, 4, 5}, 5, 4.0 / 6},
        {{0, 0, 0, 0, 0}, 5, 1},
        {{-1, -2, 3, 4, 5}, 5, 1},
        {{NAN, 2, 3, NAN, 5, 6}, 6, 2.0 / 5},
        {{0, 2, 3, 4, 5}, 5, 4.0 / 6},
        {{NAN, NAN}, 2, NAN},
        {{-7}, 1, 1},
    };
    double none[6] = {0}, work[6];
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        cm_difference d = cm_draws_difference(rows[i].difference, none, rows[i].draws, work);
        if (isnan(rows[i].p) ? !isnan(d.p) : !(fabs(d.p - rows[i].p) <= 1e-12))
            fail_msg("row %zu: p %g", i, d.p);
    }
    double low, high, values[41];
    for (int i = 0; i < 41; i++) values[i] = 40 - i;
    cm_draws_limits(values, 41, &low, &high);
    assert_close(low, 1, 1e-12);
    assert_close(high, 39, 1e-12);
}

/* The half width is the quantile of the residuals of the line through all other pairs. */
static void lines_are_left_one_out(void **state) {
    (void)state;
    enum { PAIRS = 12 };
    double residual[PAIRS], value_of[PAIRS];
    cm_conformal conformal;
    for (uint64_t i = 0; i < PAIRS; i++) {
        score[i] = cm_rng_normal(31, i);
        label[i] = 0.9 * score[i] + 1 + cm_rng_normal(32, i);
    }
    for (int out = -1; out < PAIRS; out++) {
        double n = 0, sx = 0, sy = 0, xx = 0, xy = 0;
        for (int i = 0; i < PAIRS; i++) {
            if (i == out) continue;
            n++, sx += score[i], sy += label[i], xx += score[i] * score[i], xy += score[i] * label[i];
        }
        double slope = (n * xy - sx * sy) / (n * xx - sx * sx), offset = (sy - slope * sx) / n;
        for (int i = 0; i < PAIRS && out < 0; i++) value_of[i] = slope * score[i] + offset;
        if (out >= 0) residual[out] = fabs(label[out] - slope * score[out] - offset);
    }
    assert_int_equal(cm_conformal_fit(true, score, value_of, label, PAIRS, &conformal, NULL), CM_OK);
    assert_close(conformal.half_width, cm_conformal_quantile(residual, PAIRS, CM_CONFORMAL_MISS), 1e-9);
}

/* A bound of one class alone is a promise for that class. */
static void one_bound_is_enough(void **state) {
    (void)state;
    const double probability[] = {0.2, 0.8}, truth[] = {0, 1};
    for (int class = 0; class < 2; class ++) {
        cm_conformal conformal = {NAN, {NAN, NAN}};
        cm_coverage coverage = {0};
        conformal.bound[class] = 0.1;
        cm_coverage_add(&coverage, &conformal, false, probability, truth, 2);
        cm_coverage_finish(&coverage);
        assert_int_equal(coverage.pairs, 2);
        assert_close(coverage.covered, 0.5, 0); /* the other class holds everything */
        assert_close(coverage.width, 1, 0);
        assert_close(coverage.single, 1, 0);
    }
}

/* auto takes the method with the lowest log loss of five folds, made class by class in order; on small sets,
 * where a pair more or less decides. */
static cm_calibration_method lowest_loss(int n) {
    double loss[CM_CALIBRATION_AUTO] = {0}, kept_x[64], kept_y[64];
    for (int m = 0; m < CM_CALIBRATION_AUTO; m++)
        for (int fold = 0; fold < 5; fold++) {
            int seen[2] = {0, 0}, kept = 0;
            bool held[64];
            cm_calibration c;
            for (int i = 0; i < n; i++) {
                held[i] = seen[label[i] > 0.5]++ % 5 == fold;
                if (!held[i]) kept_x[kept] = score[i], kept_y[kept++] = label[i];
            }
            assert_int_equal(cm_calibrate_by((cm_calibration_method)m, kept_x, kept_y, kept, &c, NULL),
                             CM_OK);
            for (int i = 0; i < n; i++) {
                double p = fmin(1 - 1e-12, fmax(1e-12, cm_calibrated(&c, false, score[i])));
                if (held[i]) loss[m] -= label[i] > 0.5 ? log(p) : log1p(-p);
            }
        }
    int best = 0;
    for (int m = 1; m < CM_CALIBRATION_AUTO; m++)
        if (loss[m] < loss[best]) best = m;
    return (cm_calibration_method)best;
}

static void auto_is_cross_validation(void **state) {
    (void)state;
    int chosen[CM_CALIBRATION_AUTO] = {0};
    for (uint64_t set = 0; set < 300; set++) {
        int n = 16 + (int)(set % 45);
        cm_calibration c;
        for (int i = 0; i < n; i++) {
            score[i] = cm_rng_normal(cm_rng_key(41, set, 0), (uint64_t)i);
            label[i] =
                cm_rng_uniform(cm_rng_key(42, set, 0), (uint64_t)i) < 1 / (1 + exp(-2 * score[i] - 0.4));
        }
        label[0] = 0, label[1] = 1; /* both classes */
        assert_int_equal(cm_calibrate_by(CM_CALIBRATION_AUTO, score, label, n, &c, NULL), CM_OK);
        assert_int_equal(c.method, lowest_loss(n));
        chosen[c.method]++;
    }
    assert_true(chosen[0] > 20 && chosen[1] > 20 && chosen[2] > 5);
}

/* One pair of a class is enough, and ten pairs are. */
static void the_least_that_is_calibrated(void **state) {
    (void)state;
    for (int class = 0; class < 2; class ++) {
        cm_calibration c;
        for (int i = 0; i < 10; i++) score[i] = i, label[i] = i == 9 ? 1 - class : class;
        if (class) score[9] = -1;
        assert_int_equal(cm_calibrate_by(CM_CALIBRATION_ISOTONIC, score, label, 10, &c, NULL), CM_OK);
        assert_true(c.knots > 1);
        assert_int_equal(cm_calibrate_by(CM_CALIBRATION_ISOTONIC, score, label, 9, &c, NULL), CM_OK);
        assert_true(c.knots == 0 && c.slope == 1 && c.offset == 0);
    }
    cm_calibration c; /* whatever the scores: as if two pairs more were known, one of each class */
    for (int i = 0; i < 10; i++) score[i] = i, label[i] = i > 4;
    assert_int_equal(cm_calibrate_by(CM_CALIBRATION_ISOTONIC, score, label, 10, &c, NULL), CM_OK);
    assert_close(cm_calibrated(&c, false, -7), 1.0 / 12, 1e-12);
    assert_close(cm_calibrated(&c, false, 70), 11.0 / 12, 1e-12);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_that_are_none_calibrate_nothing),
        cmocka_unit_test(draws_do_not_drift),
        cmocka_unit_test(differences_of_draws),
        cmocka_unit_test(lines_are_left_one_out),
        cmocka_unit_test(one_bound_is_enough),
        cmocka_unit_test(auto_is_cross_validation),
        cmocka_unit_test(the_least_that_is_calibrated),
        cmocka_unit_test(golden_values),
        cmocka_unit_test(methods_are_chosen_by_log_loss),
        cmocka_unit_test(calibrations_never_claim_certainty),
        cmocka_unit_test(affinity_coverage),
        cmocka_unit_test(binary_coverage),
        cmocka_unit_test(one_pair_is_a_mean),
        cmocka_unit_test(the_largest_of_nine_is_the_bound),
        cmocka_unit_test(too_few_promise_nothing),
        cmocka_unit_test(paired_differences),
        cmocka_unit_test(resampled_sides),
        cmocka_unit_test(curves_have_bands),
        cmocka_unit_test(decisions_and_repeats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
