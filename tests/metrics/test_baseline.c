/* Baselines: what they find in made-up labels, and what they score on published sets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"
#include "close.h"
#include "data/split.h"
#include "fail_alloc.h"
#include "metrics/baseline.h"
#include "metrics/metrics.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { MOST = 30100, SIDE = 40 };
static double label[MOST], value[MOST], out[CM_METRICS_MAX];
static int32_t a[MOST], b[MOST], fold[MOST];
static bool train[MOST];

/* Out-of-fold values of n pairs in k folds. */
static void cross(bool affinity, int64_t n, int64_t n_a, int64_t n_b, int k) {
    for (int f = 0; f < k; f++) {
        for (int64_t i = 0; i < n; i++) train[i] = fold[i] != f;
        assert_int_equal(cm_baseline_identity(affinity, a, b, label, train, n, n_a, n_b, value, NULL), CM_OK);
    }
    if (affinity)
        cm_metrics_affinity(value, label, n, out, NULL);
    else
        cm_metrics_binary(value, label, n, 0.5, out, NULL);
}

/* A grid of molecules; truth is the sum of an effect of each side, if there are any. */
static int64_t grid(bool affinity, double strength) {
    uint64_t key = cm_rng_key(8, 0, 0);
    int64_t n = 0;
    for (int i = 0; i < SIDE; i++)
        for (int j = 0; j < SIDE; j++, n++) {
            a[n] = i;
            b[n] = j;
            fold[n] = (int32_t)cm_rng_below(key, 50000 + (uint64_t)n, 5);
            double truth =
                strength * (cm_rng_normal(key, (uint64_t)i) + cm_rng_normal(key, 500 + (uint64_t)j));
            double noise = cm_rng_normal(key, 1000 + (uint64_t)n);
            label[n] = affinity ? 6 + truth + 0.2 * noise : truth + noise > 0;
        }
    return n;
}

static void effects_of_molecules_are_found(void **state) {
    (void)state;
    int64_t n = grid(false, 2);
    cross(false, n, SIDE, SIDE, 5);
    assert_true(out[CM_BINARY_auroc] > 0.9);
    assert_true(out[CM_BINARY_ece] < 0.05);
    n = grid(true, 1);
    cross(true, n, SIDE, SIDE, 5);
    assert_true(out[CM_AFFINITY_pearson] > 0.98);
    assert_true(out[CM_AFFINITY_rmse] < 0.25);
}

static void without_effects_there_is_nothing_to_find(void **state) {
    (void)state;
    int64_t n = grid(false, 0);
    cross(false, n, SIDE, SIDE, 5);
    assert_close(out[CM_BINARY_auroc], 0.5, 0.06);
    n = grid(true, 0);
    cross(true, n, SIDE, SIDE, 5);
    assert_close(out[CM_AFFINITY_pearson], 0, 0.1);
}

static void own_labels_are_not_seen(void **state) {
    (void)state;
    int64_t n = grid(false, 1);
    double before[MOST];
    for (int64_t i = 0; i < n; i++) train[i] = fold[i] != 0;
    cm_baseline_identity(false, a, b, label, train, n, SIDE, SIDE, before, NULL);
    for (int64_t i = 0; i < n; i++)
        if (!train[i]) label[i] = NAN;
    assert_int_equal(cm_baseline_identity(false, a, b, label, train, n, SIDE, SIDE, value, NULL), CM_OK);
    for (int64_t i = 0; i < n; i++)
        if (!train[i]) assert_true(value[i] == before[i]);
}

/* What else is tested says nothing about a pair. */
static void tested_pairs_do_not_see_each_other(void **state) {
    (void)state;
    for (int affinity = 0; affinity < 2; affinity++) {
        int64_t n = grid(affinity, 1), kept = 0;
        double before[MOST];
        for (int64_t i = 0; i < n; i++) train[i] = fold[i] != 0;
        assert_int_equal(cm_baseline_identity(affinity, a, b, label, train, n, SIDE, SIDE, before, NULL),
                         CM_OK);
        for (int64_t i = 0; i < n; i++) /* of the tested pairs every tenth stays */
            if (train[i] || i % 10 == 0) {
                a[kept] = a[i], b[kept] = b[i], label[kept] = label[i], train[kept] = train[i];
                before[kept++] = before[i];
            }
        assert_int_equal(cm_baseline_identity(affinity, a, b, label, train, kept, SIDE, SIDE, value, NULL),
                         CM_OK);
        for (int64_t i = 0; i < kept; i++)
            if (!train[i]) assert_true(value[i] == before[i]);
    }
}

static void new_molecules_get_the_mean(void **state) {
    (void)state;
    for (int i = 0; i < 10; i++) a[i] = b[i] = i, label[i] = i + 1, train[i] = i < 9, value[i] = -7;
    assert_int_equal(cm_baseline_identity(true, a, b, label, train, 10, 10, 10, value, NULL), CM_OK);
    assert_close(value[9], 5, 1e-12);
    assert_close(value[0], -7, 0); /* training pairs are left alone */
    for (int i = 0; i < 10; i++) label[i] = 1;
    assert_int_equal(cm_baseline_identity(false, a, b, label, train, 10, 10, 10, value, NULL), CM_OK);
    assert_close(value[9], 10.0 / 11, 1e-12);
    for (int i = 0; i < 10; i++)
        a[i] = b[i] = 9 - i, train[i] = i > 0, value[i] = -7; /* the first is tested */
    assert_int_equal(cm_baseline_identity(false, a, b, label, train, 10, 10, 10, value, NULL), CM_OK);
    assert_close(value[0], 10.0 / 11, 1e-12);
    for (int i = 0; i < 10; i++) a[i] = b[i] = i, train[i] = i < 9;
    for (int i = 0; i < 10; i++) label[i] = i % 3 == 0;
    assert_int_equal(cm_baseline_identity(false, a, b, label, train, 10, 10, 10, value, NULL), CM_OK);
    assert_close(value[9], 1.0 / 3, 1e-6);
}

static void unsuitable_input_is_refused(void **state) {
    (void)state;
    cm_error error = {0};
    for (int i = 0; i < 3; i++) a[i] = b[i] = 0, label[i] = i == 1 ? NAN : 1, train[i] = false;
    assert_int_equal(cm_baseline_identity(false, a, b, label, train, 3, 1, 1, value, &error), CM_DATA);
    train[1] = true;
    assert_int_equal(cm_baseline_identity(true, a, b, label, train, 3, 1, 1, value, &error), CM_NUMERIC);
    assert_string_equal(error.place, "pair 2");
    label[1] = 1;
    for (long n = 0;; n++) {
        fail_alloc_from(n);
        cm_status status = cm_baseline_identity(false, a, b, label, train, 3, 1, 1, value, NULL);
        bool failed = fail_alloc_stop();
        assert_int_equal(status, failed ? CM_MEMORY : CM_OK);
        if (!failed) break;
    }
}

static void published(const char *folder, const char *other, const char *table, const cm_task *task,
                      double least, double most) {
    const char *root = getenv("CROSSMAMBA_DATA");
    if (!root) skip();
    cm_dataset_options options = {.task = task, .labels = 1, .bad_records = CM_BAD_SKIP};
    cm_dataset *d;
    char paths[3][4096];
    const char *names[3] = {"rna.fasta", other, table};
    for (int i = 0; i < 3; i++) snprintf(paths[i], sizeof paths[i], "%s/%s/%s", root, folder, names[i]);
    cm_error error = {0};
    assert_int_equal(cm_dataset_create(&d, &options, NULL), CM_OK);
    if (cm_dataset_add_files(d, paths[0], paths[1], paths[2], NULL, &error) != CM_OK)
        fail_msg("%s %s %s", error.file, error.place, error.found);
    int64_t n = d->n_pairs;
    assert_true(n <= MOST);
    for (int64_t i = 0; i < n; i++) {
        a[i] = d->pairs[i].entity[0];
        b[i] = d->pairs[i].entity[1];
        label[i] = d->pairs[i].label;
    }
    assert_int_equal(cm_split_folds(d, NULL, n, 5, 1, fold, NULL), CM_OK);
    cross(task->affinity, n, d->n_entities[0], d->n_entities[1], 5);
    printf("%s %s: %lld pairs of %lld and %lld molecules,", folder, table, (long long)n,
           (long long)d->n_entities[0], (long long)d->n_entities[1]);
    for (int m = 0; m < cm_metrics_count(task->affinity); m++)
        printf(" %s %.3f", cm_metrics_name(task->affinity, m), out[m]);
    printf("\n");
    cm_dataset_destroy(d);
    assert_in_range((long)(1000 * out[task->affinity ? (int)CM_AFFINITY_pearson : (int)CM_BINARY_auroc]),
                    (long)(1000 * least), (long)(1000 * most));
}

static const cm_task rna_protein = {.a = CM_RNA, .b = CM_PROTEIN};
static const cm_task rna_molecule = {.a = CM_RNA, .b = CM_MOLECULE, .affinity = 1};

static void rpi369(void **state) {
    (void)state;
    published("rpi369", "protein.fasta", "pairs.tsv", &rna_protein, 0.90, 0.99);
}
static void rpi1460(void **state) {
    (void)state;
    published("rpi1460", "protein.fasta", "pairs.tsv", &rna_protein, 0.66, 0.78);
}
static void rpi1460_smith_waterman(void **state) {
    (void)state;
    published("rpi1460", "protein.fasta", "pairs_swrandom.tsv", &rna_protein, 0.83, 0.92);
}
static void rpi1807(void **state) {
    (void)state;
    published("rpi1807", "protein.fasta", "pairs.tsv", &rna_protein, 0.91, 0.98);
}
static void rpi2241(void **state) {
    (void)state;
    published("rpi2241", "protein.fasta", "pairs.tsv", &rna_protein, 0.84, 0.91);
}
static void rsim(void **state) {
    (void)state;
    published("rsim", "molecules.tsv", "pairs.tsv", &rna_molecule, 0.60, 0.70);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(effects_of_molecules_are_found),
        cmocka_unit_test(without_effects_there_is_nothing_to_find),
        cmocka_unit_test(own_labels_are_not_seen),
        cmocka_unit_test(tested_pairs_do_not_see_each_other),
        cmocka_unit_test(new_molecules_get_the_mean),
        cmocka_unit_test(unsuitable_input_is_refused),
        cmocka_unit_test(rpi369),
        cmocka_unit_test(rpi1460),
        cmocka_unit_test(rpi1460_smith_waterman),
        cmocka_unit_test(rpi1807),
        cmocka_unit_test(rpi2241),
        cmocka_unit_test(rsim),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
