/* Metrics against golden values, against their definitions, and at the edges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"
#include "close.h"
#include "fail_alloc.h"
#include "metrics/metrics.h"
#include "metrics/ranking.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 64 };

/* A case of tests/fixtures/metrics.tsv while it is read. */
typedef struct golden {
    char name[64];
    bool affinity;
    double threshold, value[MOST], label[MOST], out[CM_METRICS_MAX];
    int64_t n;
    bool computed;
} golden;

static int64_t numbers(char *text, double *out) {
    int64_t n = 0;
    char *end;
    for (double x = strtod(text, &end); end != text; x = strtod(text, &end)) {
        assert_true(n < MOST);
        out[n++] = x;
        text = end;
    }
    return n;
}

static int metric_of(const golden *g, const char *name) {
    for (int m = 0; m < cm_metrics_count(g->affinity); m++)
        if (strcmp(cm_metrics_name(g->affinity, m), name) == 0) return m;
    fail_msg("no metric %s", name);
    return -1;
}

static void compute(golden *g) {
    cm_status status = g->affinity ? cm_metrics_affinity(g->value, g->label, g->n, g->out, NULL)
                                   : cm_metrics_binary(g->value, g->label, g->n, g->threshold, g->out, NULL);
    assert_int_equal(status, CM_OK);
    g->computed = true;
}

static bool check_line(golden *g, char *name, char *field, char *text) {
    if (strcmp(g->name, name) != 0) *g = (golden){0};
    snprintf(g->name, sizeof g->name, "%.63s", name);
    double number[MOST];
    int64_t n = numbers(text, number);
    if (strcmp(field, "kind") == 0) {
        g->affinity = number[0] == 1;
    } else if (strcmp(field, "threshold") == 0) {
        g->threshold = number[0];
    } else if (strcmp(field, "value") == 0) {
        memcpy(g->value, number, sizeof number);
        g->n = n;
    } else if (strcmp(field, "label") == 0) {
        assert_int_equal(n, g->n);
        memcpy(g->label, number, sizeof number);
    } else {
        if (!g->computed) compute(g);
        double got = g->out[metric_of(g, field)];
        if (!(fabs(got - number[0]) < 1e-12))
            fail_msg("%s %s: %.17g, not %.17g", name, field, got, number[0]);
        return true;
    }
    return false;
}

static void golden_values(void **state) {
    (void)state;
    const char *root = getenv("CROSSMAMBA_SOURCE");
    char path[4096], line[8192];
    snprintf(path, sizeof path, "%s/tests/fixtures/metrics.tsv", root ? root : ".");
    FILE *file = fopen(path, "r");
    if (!file) fail_msg("cannot open %s", path);
    golden g = {0};
    int checked = 0;
    while (fgets(line, sizeof line, file)) {
        char *field = strchr(line, '\t'), *text = field ? strchr(field + 1, '\t') : NULL;
        assert_non_null(text);
        *field++ = *text++ = '\0';
        checked += check_line(&g, line, field, text);
    }
    fclose(file);
    assert_int_equal(checked, 6 * CM_BINARY_COUNT + 4 * CM_AFFINITY_COUNT);
}

static void one_class_and_constants(void **state) {
    (void)state;
    double value[4] = {0.1, 0.6, 0.7, 0.9}, ones[4] = {1, 1, 1, 1}, zeros[4] = {0}, out[CM_METRICS_MAX];
    assert_int_equal(cm_metrics_binary(value, ones, 4, 0.5, out, NULL), CM_OK);
    assert_close(out[CM_BINARY_sensitivity], 0.75, 1e-15);
    assert_close(out[CM_BINARY_specificity], 0, 0);
    assert_close(out[CM_BINARY_mcc], 0, 0);
    assert_true(isnan(out[CM_BINARY_auroc]) && isnan(out[CM_BINARY_auprc]));
    assert_int_equal(cm_metrics_binary(value, zeros, 4, 0.95, out, NULL), CM_OK);
    assert_close(out[CM_BINARY_accuracy], 1, 0);
    assert_close(out[CM_BINARY_precision], 0, 0);
    assert_close(out[CM_BINARY_f1], 0, 0);
    assert_true(isnan(out[CM_BINARY_auroc]) && isnan(out[CM_BINARY_auprc]));
    double one[4] = {0, 0, 1, 0}, rest[4] = {1, 1, 0, 1}; /* one of a class is enough */
    assert_int_equal(cm_metrics_binary(value, one, 4, 0.5, out, NULL), CM_OK);
    assert_close(out[CM_BINARY_auroc], 2.0 / 3, 1e-15);
    assert_close(out[CM_BINARY_auprc], 0.5, 1e-15);
    assert_int_equal(cm_metrics_binary(value, rest, 4, 0.5, out, NULL), CM_OK);
    assert_close(out[CM_BINARY_auroc], 1.0 / 3, 1e-15);
    double tenths[3] = {0.1, 0.1, 0.1}, rising[3] = {1, 2, 3};
    assert_int_equal(cm_metrics_affinity(tenths, rising, 3, out, NULL), CM_OK);
    assert_close(out[CM_AFFINITY_pearson], 0, 0);
    assert_close(out[CM_AFFINITY_spearman], 0, 0);
    assert_close(out[CM_AFFINITY_ci], 0.5, 0);
    assert_int_equal(cm_metrics_affinity(rising, tenths, 3, out, NULL), CM_OK);
    assert_close(out[CM_AFFINITY_pearson], 0, 0);
    assert_close(out[CM_AFFINITY_r2], 0, 0);
    assert_close(out[CM_AFFINITY_ci], 0.5, 0);
}

static void weights_are_repeats(void **state) {
    (void)state;
    enum { N = 40 };
    uint64_t key = cm_rng_key(1, 2, 3);
    double value[N], label[N], repeated_value[5 * N], repeated_label[5 * N];
    for (int affinity = 0; affinity < 2; affinity++) {
        int32_t weight[N];
        int64_t total = 0;
        for (uint64_t i = 0; i < N; i++) {
            value[i] = (double)cm_rng_below(key, 3 * i, 12) / 12;
            label[i] = (double)cm_rng_below(key, 3 * i + 1, affinity ? 9 : 2);
            weight[i] = (int32_t)cm_rng_below(key, 3 * i + 2, 5);
            for (int32_t w = 0; w < weight[i]; w++, total++) {
                repeated_value[total] = value[i];
                repeated_label[total] = label[i];
            }
        }
        double out[CM_METRICS_MAX], expected[CM_METRICS_MAX];
        cm_ranking ranking;
        assert_int_equal(cm_ranking_create(&ranking, affinity, value, label, N, NULL), CM_OK);
        if (affinity) {
            cm_ranking_affinity(&ranking, weight, out);
            cm_metrics_affinity(repeated_value, repeated_label, total, expected, NULL);
        } else {
            cm_ranking_binary(&ranking, weight, 0.4, out);
            cm_metrics_binary(repeated_value, repeated_label, total, 0.4, expected, NULL);
        }
        cm_ranking_clear(&ranking);
        for (int m = 0; m < cm_metrics_count(affinity); m++)
            if (!(fabs(out[m] - expected[m]) < 1e-12))
                fail_msg("%s: %g, not %g", cm_metrics_name(affinity, m), out[m], expected[m]);
    }
}

static void the_order_of_pairs_does_not_matter(void **state) {
    (void)state;
    double value[5] = {0.3, 0.9, 0.3, 0.1, 0.6}, label[5] = {0, 1, 1, 0, 0};
    double back_value[5], back_label[5], out[CM_METRICS_MAX], back[CM_METRICS_MAX];
    for (int i = 0; i < 5; i++) back_value[i] = value[4 - i], back_label[i] = label[4 - i];
    cm_metrics_binary(value, label, 5, 0.5, out, NULL);
    cm_metrics_binary(back_value, back_label, 5, 0.5, back, NULL);
    for (int m = 0; m < CM_BINARY_COUNT; m++) assert_close(out[m], back[m], 1e-15);
    cm_metrics_affinity(value, label, 5, out, NULL);
    cm_metrics_affinity(back_value, back_label, 5, back, NULL);
    for (int m = 0; m < CM_AFFINITY_COUNT; m++) assert_close(out[m], back[m], 1e-15);
}

static void losses_are_better_when_low(void **state) {
    (void)state;
    for (int affinity = 0; affinity < 2; affinity++)
        for (int m = 0; m < cm_metrics_count(affinity); m++) {
            const char *name = cm_metrics_name(affinity, m);
            bool loss = strcmp(name, "RMSE") == 0 || strcmp(name, "MAE") == 0 || strcmp(name, "Brier") == 0 ||
                        strcmp(name, "ECE") == 0;
            assert_int_equal(cm_metrics_direction(affinity, m), loss ? -1 : 1);
        }
}

/* A ranking is made once and judged with many weights: no call leaves anything to the next. */
static void rankings_are_judged_again(void **state) {
    (void)state;
    enum { N = 30 };
    double value[N], label[N], first[CM_AFFINITY_COUNT], again[CM_AFFINITY_COUNT];
    int32_t weight[N];
    for (int i = 0; i < N; i++) {
        value[i] = i % 4;
        label[i] = (i * 7) % 5;
        weight[i] = 1;
    }
    cm_ranking ranking;
    assert_int_equal(cm_ranking_create(&ranking, true, value, label, N, NULL), CM_OK);
    cm_ranking_affinity(&ranking, weight, first);
    for (int round = 0; round < 3; round++) {
        cm_ranking_affinity(&ranking, weight, again);
        assert_memory_equal(first, again, sizeof first);
    }
    cm_ranking_clear(&ranking);
}

static void thresholds(void **state) {
    (void)state;
    static const struct {
        int n;
        double value[6], label[6], threshold;
    } cases[] = {
        {4, {0.1, 0.2, 0.6, 0.9}, {0, 0, 1, 1}, 0.5},          /* 0.5 lies in the best gap */
        {4, {0.1, 0.2, 0.3, 0.9}, {0, 0, 1, 1}, 0.25},         /* the middle of the gap */
        {4, {0.8, 0.9, 0.7, 0.6}, {1, 1, 0, 0}, 0.75},         /* in any order */
        {4, {0.1, 0.2, 0.8, 0.9}, {1, 1, 0, 0}, 0.5},          /* worse than one class for all */
        {3, {0.7, 0.7, 0.7}, {0, 1, 0}, 0.5},                  /* nothing to cut */
        {3, {0.1, 0.2, 0.3}, {0, 0, 0}, 0.5},                  /* one class */
        {5, {0.1, 0.4, 0.6, 0.7, 0.9}, {0, 1, 0, 1, 1}, 0.65}, /* MCC .667 against .612 at 0.25 */
        {4, {0.1, 0.2, 0.8, 0.9}, {0, 1, 0, 1}, 0.15},         /* equal at 0.15 and 0.85: see below */
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        double threshold = -1, nearest;
        assert_int_equal(
            cm_metrics_best_threshold(cases[c].value, cases[c].label, cases[c].n, &threshold, NULL), CM_OK);
        nearest = fabs(threshold - 0.5);
        if (!(fabs(threshold - cases[c].threshold) <= 1e-12) &&
            !(fabs(nearest - fabs(cases[c].threshold - 0.5)) <= 1e-12))
            fail_msg("case %zu: %g", c, threshold);
    }
    double apart[2] = {0.7, nextafter(0.7, 1)}, label[2] = {0, 1}, threshold;
    assert_int_equal(cm_metrics_best_threshold(apart, label, 2, &threshold, NULL), CM_OK);
    assert_true(threshold == apart[1]); /* no double in between */
}

static void unsuitable_input_is_refused(void **state) {
    (void)state;
    double value[3] = {0.5, NAN, 0.5}, label[3] = {0, 1, 0.5}, fine[3] = {0.1, 0.2, 0.3}, out[CM_METRICS_MAX];
    double endless[3] = {0, 1, INFINITY}, threshold;
    cm_error error = {0};
    assert_int_equal(cm_metrics_binary(value, fine, 0, 0.5, out, &error), CM_DATA);
    assert_int_equal(cm_metrics_affinity(value, fine, 3, out, &error), CM_NUMERIC);
    assert_string_equal(error.place, "pair 2");
    assert_non_null(strstr(error.expected, "value"));
    assert_int_equal(cm_metrics_affinity(fine, endless, 3, out, &error), CM_NUMERIC);
    assert_string_equal(error.place, "pair 3");
    assert_non_null(strstr(error.expected, "label"));
    assert_int_equal(cm_metrics_binary(fine, label, 3, 0.5, out, &error), CM_DATA);
    assert_string_equal(error.place, "pair 3");
    assert_int_equal(cm_metrics_best_threshold(fine, endless, 3, &threshold, &error), CM_NUMERIC);
    assert_int_equal(cm_metrics_affinity(fine, label, 3, out, &error), CM_OK);
    for (long n = 0;; n++) {
        fail_alloc_from(n);
        cm_status status = cm_metrics_affinity(fine, label, 3, out, &error);
        bool failed = fail_alloc_stop();
        assert_int_equal(status, failed ? CM_MEMORY : CM_OK);
        if (!failed) break;
    }
}

/* context: how many more succeed before the one that fails. */
static bool fails_once(size_t bytes, void *context) {
    (void)bytes;
    return (*(long *)context)-- != 0;
}

static void one_allocation_may_fail(void **state) {
    (void)state;
    const double value[] = {1, 2, 3, 5}, measured[] = {1, 3, 2, 4};
    double out[CM_METRICS_MAX];
    for (long n = 0, left = -1; left < 0; n++) {
        left = n;
        cm_alloc_set_hook(fails_once, &left);
        cm_status status = cm_metrics_affinity(value, measured, 4, out, NULL);
        cm_alloc_set_hook(NULL, NULL);
        assert_int_equal(status, left < 0 ? CM_MEMORY : CM_OK);
    }
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    const double value[] = {1, 2, 3, 5}, truth[] = {0, 1, 0, 1}, measured[] = {1, 3, 2, 4};
    double out[CM_METRICS_MAX];
    for (int affinity = 0; affinity < 2; affinity++)
        for (long n = 0;; n++) {
            fail_alloc_from(n);
            cm_status status = affinity ? cm_metrics_affinity(value, measured, 4, out, NULL)
                                        : cm_metrics_binary(value, truth, 4, 2, out, NULL);
            bool failed = fail_alloc_stop();
            assert_int_equal(status, failed ? CM_MEMORY : CM_OK);
            if (!failed) break;
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_allocation_may_fail),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(golden_values),
        cmocka_unit_test(one_class_and_constants),
        cmocka_unit_test(weights_are_repeats),
        cmocka_unit_test(the_order_of_pairs_does_not_matter),
        cmocka_unit_test(thresholds),
        cmocka_unit_test(losses_are_better_when_low),
        cmocka_unit_test(rankings_are_judged_again),
        cmocka_unit_test(unsuitable_input_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
