/* AdamW against a float64 version of its formulas, clipping, the schedule. */
#include "base/alloc.h"
#include "base/rng.h"
#include "train/adamw.h"
#include "train/schedule.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { WEIGHT = 20011, BIAS = 37, TOTAL = WEIGHT + BIAS };

static cm_params *make_params(void) {
    cm_params *p = cm_params_create();
    cm_params_add(p, "weight", 2, (int64_t[]){1, WEIGHT}, true);
    cm_params_add(p, "bias", 1, (int64_t[]){BIAS}, false);
    assert_int_equal(cm_params_seal(p, NULL), CM_OK);
    assert_int_equal(cm_params_open_gradients(p, NULL), CM_OK);
    for (int i = 0; i < 2; i++) cm_params_init_uniform(p, i, 3, 1);
    return p;
}

static void draw_gradients(cm_params *p, int step) {
    for (int i = 0; i < 2; i++) {
        cm_mat g = cm_params_grad(p, i);
        uint64_t key = cm_rng_key(11, (uint64_t)step, (uint64_t)i);
        for (int64_t j = 0; j < g.cols; j++) g.data[j] = (float)(0.1 * cm_rng_normal(key, (uint64_t)j));
    }
}

/* One step in float64; values as weight then bias. Returns the norm. */
static double reference_step(double *p, double *m, double *v, const double *g, int t, double lr, double decay,
                             double clip_norm) {
    double sum = 0;
    for (int i = 0; i < TOTAL; i++) sum += g[i] * g[i];
    double norm = sqrt(sum), clip = clip_norm > 0 ? fmin(1, clip_norm / (norm + 1e-6)) : 1;
    for (int i = 0; i < TOTAL; i++) {
        if (i < WEIGHT) p[i] *= 1 - lr * decay;
        m[i] = 0.9 * m[i] + 0.1 * clip * g[i];
        v[i] = 0.999 * v[i] + 0.001 * clip * clip * g[i] * g[i];
        double mean = m[i] / (1 - pow(0.9, t)), square = v[i] / (1 - pow(0.999, t));
        p[i] -= lr * mean / (sqrt(square) + 1e-8);
    }
    return norm;
}

static double element(const cm_params *p, bool grad, int i) {
    int which = i >= WEIGHT;
    cm_mat m = grad ? cm_params_grad(p, which) : cm_params_value(p, which);
    return m.data[which ? i - WEIGHT : i];
}

static void check_against_reference(double clip_norm) {
    static double p[TOTAL], m[TOTAL], v[TOTAL], g[TOTAL];
    cm_params *params = make_params();
    cm_adamw *adamw = cm_adamw_create(params);
    for (int i = 0; i < TOTAL; i++) p[i] = element(params, false, i), m[i] = v[i] = 0;
    for (int t = 1; t <= 5; t++) {
        double lr = 0.01 / t;
        draw_gradients(params, t);
        for (int i = 0; i < TOTAL; i++) g[i] = element(params, true, i);
        double expected = reference_step(p, m, v, g, t, lr, 0.3, clip_norm);
        double norm = cm_adamw_step(adamw, params, NULL, lr, 0.3, clip_norm);
        assert_true(fabs(norm - expected) < 1e-9 * expected);
        assert_int_equal(cm_adamw_steps(adamw), t);
        for (int i = 0; i < TOTAL; i++) assert_true(fabs(element(params, false, i) - p[i]) < 3e-6);
    }
    assert_true(fabs((double)cm_adamw_first(adamw)[7] - m[7]) < 1e-6);
    assert_true(fabs((double)cm_adamw_second(adamw)[7] - v[7]) < 1e-7);
    cm_adamw_destroy(adamw);
    cm_params_destroy(params);
}

static void test_reference(void **state) {
    (void)state;
    check_against_reference(0);
    check_against_reference(1);   /* clips: the norm is about 14 */
    check_against_reference(100); /* does not */
}

/* Other team sizes and a restart from the saved state give the same bits. */
static void test_same_bits(void **state) {
    (void)state;
    float *expected = NULL;
    for (int threads = 1; threads <= 4; threads *= 2) {
        cm_team *team = cm_team_create(threads);
        cm_params *params = make_params();
        size_t bytes = (size_t)cm_params_size(params) * sizeof(float);
        cm_adamw *adamw = cm_adamw_create(params);
        for (int t = 0; t < 3; t++) {
            draw_gradients(params, t);
            cm_adamw_step(adamw, params, team, 0.01, 0.1, 1);
            if (threads != 2) continue;
            cm_adamw *other = cm_adamw_create(params);
            memcpy(cm_adamw_first(other), cm_adamw_first(adamw), bytes);
            memcpy(cm_adamw_second(other), cm_adamw_second(adamw), bytes);
            cm_adamw_set_steps(other, cm_adamw_steps(adamw));
            cm_adamw_destroy(adamw);
            adamw = other;
        }
        if (!expected) {
            expected = cm_new(bytes, 1);
            memcpy(expected, cm_params_values(params), bytes);
        }
        assert_memory_equal(expected, cm_params_values(params), bytes);
        cm_adamw_destroy(adamw);
        cm_params_destroy(params);
        cm_team_destroy(team);
    }
    cm_free(expected);
}

static void test_not_finite(void **state) {
    (void)state;
    const float wrong[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < 3; i++) {
        cm_params *params = make_params(), *same = make_params();
        cm_adamw *adamw = cm_adamw_create(params);
        draw_gradients(params, 0);
        cm_params_grad(params, 0).data[12345] = wrong[i];
        assert_false(isfinite(cm_adamw_step(adamw, params, NULL, 0.01, 0.1, 1)));
        assert_int_equal(cm_adamw_steps(adamw), 0);
        assert_memory_equal(cm_params_values(params), cm_params_values(same), TOTAL * sizeof(float));
        assert_true(cm_adamw_first(adamw)[0] == 0);
        cm_adamw_destroy(adamw);
        cm_params_destroy(params);
        cm_params_destroy(same);
    }
}

static bool countdown(size_t bytes, void *context) {
    (void)bytes;
    return --*(int *)context >= 0;
}

static void test_memory(void **state) {
    (void)state;
    cm_params *params = make_params();
    int failures = 0;
    for (int budget = 0; budget < 20; budget++) {
        int left = budget;
        cm_alloc_set_hook(countdown, &left);
        cm_adamw *adamw = cm_adamw_create(params);
        cm_alloc_set_hook(NULL, NULL);
        failures += !adamw;
        cm_adamw_destroy(adamw);
    }
    assert_int_equal(failures, 5);
    cm_params_destroy(params);
}

static void near(double a, double b) {
    assert_true(fabs(a - b) < 1e-12);
}

static void test_schedule(void **state) {
    (void)state;
    near(cm_schedule(2, 0.25, 0, 10), 2.0 / 3); /* W = ceil(2.5) = 3 */
    near(cm_schedule(2, 0.25, 2, 10), 2);
    near(cm_schedule(2, 0.25, 3, 10), 2);
    near(cm_schedule(2, 0.25, 10, 10), 0);
    near(cm_schedule(2, 0, 0, 8), 2);
    near(cm_schedule(2, 0, 4, 8), 1);
    near(cm_schedule(2, 1, 7, 8), 2);
    near(cm_schedule(2, 1, 8, 8), 2);
    near(cm_schedule(2, 0, 0, 1), 2);
    for (int s = 3; s < 10; s++) assert_true(cm_schedule(1, 0.25, s + 1, 10) < cm_schedule(1, 0.25, s, 10));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reference), cmocka_unit_test(test_same_bits), cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_memory),    cmocka_unit_test(test_schedule),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
