/* Parameters: layout of the flat block, refusals, initial values. */
#include "base/alloc.h"
#include "fixture.h"

static void test_layout(void **state) {
    (void)state;
    cm_params *p = cm_params_create();
    int bias = cm_params_add(p, "bias", 1, (int64_t[]){5}, false);
    int weight = cm_params_add(p, "weight", 2, (int64_t[]){3, 7}, true);
    int taps = cm_params_add(p, "taps", 3, (int64_t[]){6, 1, 4}, true);
    assert_int_equal(cm_params_seal(p, NULL), CM_OK);
    assert_null(cm_params_grads(p));
    assert_int_equal(cm_params_open_gradients(p, NULL), CM_OK);
    assert_int_equal(cm_params_count(p), 3);
    assert_int_equal(cm_params_find(p, "taps"), taps);
    assert_int_equal(cm_params_find(p, "tap"), -1);
    assert_int_equal(cm_params_get(p, weight)->offset, 16);
    assert_int_equal(cm_params_get(p, taps)->offset, 48);
    assert_int_equal(cm_params_size(p), 80);
    cm_mat b = cm_params_value(p, bias), w = cm_params_value(p, weight), t = cm_params_grad(p, taps);
    assert_true(b.rows == 1 && b.cols == 5 && b.data == cm_params_values(p));
    assert_true(w.rows == 3 && w.cols == 7 && w.stride == 7);
    assert_true(t.rows == 6 && t.cols == 4 && t.data == cm_params_grads(p) + 48);
    assert_true(cm_params_get(p, weight)->decay && !cm_params_get(p, bias)->decay);
    for (int64_t i = 0; i < 80; i++) assert_true(cm_params_values(p)[i] == 0 && cm_params_grads(p)[i] == 0);
    cm_params_init_constant(p, weight, 2);
    for (int64_t i = 0; i < 80; i++) assert_true(cm_params_values(p)[i] == (i >= 16 && i < 37 ? 2 : 0));
    cm_params_destroy(p);
}

static void test_refusals(void **state) {
    (void)state;
    const struct {
        const char *name;
        int n_dims;
        int64_t dims[3];
    } wrong[] = {{"a", 1, {3}},
                 {"b", 0, {1}},
                 {"c", 4, {1, 1, 1}},
                 {"d", 2, {0, 3}},
                 {"e", 2, {-1, 3}},
                 {"f", 3, {INT64_MAX, INT64_MAX, 2}},
                 {"g", 1, {INT64_MAX / 8}}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        cm_params *p = cm_params_create();
        assert_int_equal(cm_params_add(p, "a", 1, (int64_t[]){3}, true), 0);
        assert_int_equal(cm_params_add(p, wrong[i].name, wrong[i].n_dims, wrong[i].dims, true), -1);
        assert_int_equal(cm_params_seal(p, NULL), CM_MEMORY);
        cm_params_destroy(p);
    }
    cm_params *p = cm_params_create();
    cm_params_add(p, "a", 1, (int64_t[]){3}, true);
    assert_int_equal(cm_params_seal(p, NULL), CM_OK);
    assert_int_equal(cm_params_add(p, "b", 1, (int64_t[]){3}, true), -1);
    cm_params_destroy(p);
    cm_params_destroy(NULL);
}

/* Values depend on seed and name alone and fill the range evenly. */
static void test_uniform(void **state) {
    (void)state;
    enum { N = 4000 };
    cm_params *p = cm_params_create(), *q = cm_params_create();
    int a = cm_params_add(p, "a", 1, (int64_t[]){N}, true),
        b = cm_params_add(p, "b", 1, (int64_t[]){N}, true);
    int b2 = cm_params_add(q, "b", 1, (int64_t[]){N}, true);
    cm_params_seal(p, NULL);
    cm_params_seal(q, NULL);
    cm_params_init_uniform(p, a, 7, 0.5);
    cm_params_init_uniform(p, b, 7, 0.5);
    cm_params_init_uniform(q, b2, 7, 0.5);
    const float *x = cm_params_value(p, a).data, *y = cm_params_value(p, b).data;
    assert_memory_equal(y, cm_params_value(q, b2).data, N * sizeof(float));
    assert_memory_not_equal(x, y, N * sizeof(float));
    double sum = 0, squares = 0;
    for (int i = 0; i < N; i++) {
        assert_true(x[i] >= -0.5f && x[i] <= 0.5f);
        sum += x[i];
        squares += (double)x[i] * x[i];
    }
    assert_true(fabs(sum / N) < 0.02);
    assert_true(fabs(squares / N - 1.0 / 12) < 0.005);
    cm_params_init_uniform(q, b2, 8, 0.5);
    assert_memory_not_equal(y, cm_params_value(q, b2).data, N * sizeof(float));
    cm_params_destroy(p);
    cm_params_destroy(q);
}

static bool countdown(size_t bytes, void *context) {
    (void)bytes;
    return --*(int *)context >= 0;
}

static void test_memory(void **state) {
    (void)state;
    int done = 0;
    for (int budget = 0; !done && budget < 1000; budget++) {
        int left = budget;
        cm_alloc_set_hook(countdown, &left);
        cm_params *p = cm_params_create();
        for (int i = 0; p && i < 70; i++) cm_params_add(p, cm_format("p%d", i).text, 1, (int64_t[]){8}, true);
        cm_status status = p ? cm_params_seal(p, NULL) : CM_MEMORY;
        cm_alloc_set_hook(NULL, NULL);
        assert_true(status == CM_OK || status == CM_MEMORY);
        done = status == CM_OK;
        cm_params_destroy(p);
    }
    assert_true(done);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layout),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_uniform),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
