/* Splits: sizes, strata, the same answer every time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "data/split.h"
#include "fail_alloc.h"
#include <stdlib.h>
#include <string.h>

static const cm_task binary_task = {.name = "binary"}, affinity_task = {.name = "affinity", .affinity = 1};

enum { MOST = 1000 };
static cm_pair pairs[MOST];

/* n pairs: every rare-th positive, or affinities that ascend from the middle on. */
static cm_dataset made(const cm_task *task, int64_t n, int rare) {
    for (int64_t i = 0; i < n; i++)
        pairs[i] = (cm_pair){.label = task->affinity ? (float)((i * 7 + n / 2) % n) : i % rare == 0};
    return (cm_dataset){.task = task, .options = {.labels = 1}, .pairs = pairs, .n_pairs = n};
}

static void folds_have_equal_sizes_and_shares(void **state) {
    (void)state;
    static const struct {
        int n, k, rare;
    } cases[] = {{1000, 5, 2}, {1000, 10, 25}, {103, 10, 3}, {7, 7, 2}, {10, 3, 4}, {5, 2, 99}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        cm_dataset d = made(&binary_task, cases[c].n, cases[c].rare);
        int32_t fold[MOST];
        int size[10] = {0}, positive[10] = {0}, all = 0;
        assert_int_equal(cm_split_folds(&d, NULL, cases[c].n, cases[c].k, 1, fold, NULL), CM_OK);
        for (int i = 0; i < cases[c].n; i++) {
            assert_in_range(fold[i], 0, cases[c].k - 1);
            size[fold[i]]++;
            positive[fold[i]] += pairs[i].label == 1;
            all += pairs[i].label == 1;
        }
        for (int f = 0; f < cases[c].k; f++) {
            assert_in_range(size[f], cases[c].n / cases[c].k, (cases[c].n - 1) / cases[c].k + 1);
            assert_in_range(positive[f], all / cases[c].k, all / cases[c].k + 1);
        }
    }
}

static void affinities_are_spread_over_folds(void **state) {
    (void)state;
    cm_dataset d = made(&affinity_task, 100, 0);
    int32_t fold[MOST];
    int count[5][5] = {{0}};
    assert_int_equal(cm_split_folds(&d, NULL, 100, 5, 3, fold, NULL), CM_OK);
    for (int i = 0; i < 100; i++) count[fold[i]][(int)pairs[i].label / 20]++;
    for (int f = 0; f < 5; f++)
        for (int q = 0; q < 5; q++) assert_int_equal(count[f][q], 4);
}

static void folds_depend_on_the_seed_and_on_nothing_else(void **state) {
    (void)state;
    cm_dataset d = made(&binary_task, 200, 2);
    int32_t first[MOST], again[MOST], other[MOST];
    assert_int_equal(cm_split_folds(&d, NULL, 200, 5, 11, first, NULL), CM_OK);
    assert_int_equal(cm_split_folds(&d, NULL, 200, 5, 12, other, NULL), CM_OK);
    assert_int_equal(cm_split_folds(&d, NULL, 200, 5, 11, again, NULL), CM_OK);
    assert_memory_equal(first, again, 200 * sizeof *first);
    assert_memory_not_equal(first, other, 200 * sizeof *first);
    /* neighbours of one class are not dealt in turn */
    int in_turn = 0;
    for (int i = 0; i + 2 < 200; i++) in_turn += (first[i] + 1) % 5 == first[i + 2];
    assert_in_range(in_turn, 10, 90);
}

static void an_index_selects_pairs(void **state) {
    (void)state;
    cm_dataset d = made(&binary_task, 200, 2);
    int64_t index[100];
    int32_t fold[MOST], same[MOST];
    bool held[MOST];
    for (int i = 0; i < 100; i++) index[i] = 2 * i + (i % 4 == 0); /* 25 negatives */
    assert_int_equal(cm_split_folds(&d, index, 100, 5, 1, fold, NULL), CM_OK);
    int negatives[5] = {0};
    for (int i = 0; i < 100; i++) negatives[fold[i]] += pairs[index[i]].label == 0;
    for (int f = 0; f < 5; f++) assert_int_equal(negatives[f], 5);
    for (int i = 0; i < 100; i++) index[i] = i;
    cm_split_folds(&d, index, 100, 5, 1, fold, NULL);
    cm_split_folds(&d, NULL, 100, 5, 1, same, NULL);
    assert_memory_equal(fold, same, 100 * sizeof *fold);
    assert_int_equal(cm_split_hold_out(&d, index, 100, 0.1, 1, held, NULL), CM_OK);
}

static void hold_out_keeps_shares(void **state) {
    (void)state;
    static const struct {
        int affinity, n, rare;
        double share;
        int held, positive; /* expected */
    } cases[] = {
        {0, 100, 2, 0.1, 10, 5}, {0, 100, 50, 0.1, 11, 1}, {0, 100, 50, 0.9, 89, 1},
        {0, 3, 2, 0.01, 1, 1},   {0, 2, 2, 0.5, 0, 0},     {1, 100, 0, 0.1, 10, -1},
        {1, 31, 0, 0.1, 3, -1},  {1, 4, 0, 0.01, 1, -1},   {1, 4, 0, 0.99, 3, -1},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        cm_dataset d = made(cases[c].affinity ? &affinity_task : &binary_task, cases[c].n, cases[c].rare);
        bool held[MOST], again[MOST];
        int count = 0, positive = 0;
        assert_int_equal(cm_split_hold_out(&d, NULL, cases[c].n, cases[c].share, 5, held, NULL), CM_OK);
        assert_int_equal(cm_split_hold_out(&d, NULL, cases[c].n, cases[c].share, 5, again, NULL), CM_OK);
        assert_memory_equal(held, again, (size_t)cases[c].n);
        for (int i = 0; i < cases[c].n; i++) {
            count += held[i];
            positive += held[i] && pairs[i].label == 1;
        }
        if (count != cases[c].held || (cases[c].positive >= 0 && positive != cases[c].positive))
            fail_msg("case %zu: %d held, %d positive", c, count, positive);
    }
}

static void unsuitable_requests_are_refused(void **state) {
    (void)state;
    cm_dataset d = made(&binary_task, 4, 2);
    int32_t fold[4];
    bool held[4];
    cm_error error = {0};
    assert_int_equal(cm_split_folds(&d, NULL, 4, 1, 0, fold, &error), CM_USAGE);
    assert_int_equal(cm_split_folds(&d, NULL, 4, 5, 0, fold, &error), CM_DATA);
    assert_non_null(strstr(error.expected, "5 folds"));
    assert_int_equal(cm_split_hold_out(&d, NULL, 4, 0, 0, held, &error), CM_USAGE);
    assert_int_equal(cm_split_hold_out(&d, NULL, 4, 1, 0, held, &error), CM_USAGE);
    assert_int_equal(cm_split_hold_out(&d, NULL, 1, 0.5, 0, held, &error), CM_DATA);
    for (long n = 0; n < 2; n++) {
        fail_alloc_from(n);
        cm_status status = cm_split_folds(&d, NULL, 4, 2, 0, fold, &error);
        cm_status other = cm_split_hold_out(&d, NULL, 4, 0.5, 0, held, &error);
        fail_alloc_stop();
        assert_int_equal(status, CM_MEMORY);
        assert_int_equal(other, CM_MEMORY);
    }
    d.options.labels = 0;
    assert_int_equal(cm_split_folds(&d, NULL, 4, 2, 0, fold, &error), CM_USAGE);
    assert_int_equal(cm_split_hold_out(&d, NULL, 4, 0.5, 0, held, &error), CM_USAGE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folds_have_equal_sizes_and_shares),
        cmocka_unit_test(affinities_are_spread_over_folds),
        cmocka_unit_test(folds_depend_on_the_seed_and_on_nothing_else),
        cmocka_unit_test(an_index_selects_pairs),
        cmocka_unit_test(hold_out_keeps_shares),
        cmocka_unit_test(unsuitable_requests_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
