/* What becomes of good files: molecules, repeats, labels, folds, hashes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "close.h"
#include "dataset_files.h"
#include "fail_alloc.h"
#include <math.h>

#define A ">r1 first\nacgt\n>r2\nGGCC\n>twin\nACGU\n>unused\nLLLL\n"
#define B ">p1\nMKV\n>p2\nAAX\n"
#define HEAD "id_a\tid_b\tlabel\n"

static cm_dataset *make(cm_dataset_options options) {
    cm_dataset *dataset;
    assert_int_equal(cm_dataset_create(&dataset, &options, NULL), CM_OK);
    return dataset;
}

static void add(void **state, cm_dataset *dataset, const char *a, const char *b, const char *pairs) {
    cm_error error = {0};
    if (files_add(*state, dataset, a, b, pairs, &error) != CM_OK) {
        char line[1024];
        fail_msg("%s", cm_error_line(&error, line, sizeof line));
    }
}

static cm_dataset *binary(int labels) {
    return make((cm_dataset_options){.task = &rna_protein, .labels = labels});
}

static void molecules_are_distinct_texts(void **state) {
    cm_dataset *d = binary(1);
    add(state, d, A, B, HEAD "r1\tp1\t1\n r2 \tp1\t0.0\ntwin\tp2\t1.0\n");
    assert_int_equal(cm_dataset_pairs(d), 3);
    assert_int_equal(cm_dataset_molecules(d, 0), 2); /* r1 and twin are one; unused is not looked at */
    assert_int_equal(cm_dataset_molecules(d, 1), 2);
    assert_string_equal(d->entities[0][0].text, "ACGU");
    assert_int_equal(d->entities[0][0].length, 4);
    assert_int_equal(d->pairs[2].entity[0], 0);
    assert_string_equal(d->pairs[2].id[0], "twin");
    assert_string_equal(d->pairs[1].id[0], "r2");
    assert_string_equal(d->entities[1][1].text, "AAX");
    assert_close(d->entities[1][1].unknown, 1.0 / 3, 1e-12);
    assert_close(d->entities[1][0].unknown, 0, 0);
    assert_close(d->pairs[1].label, 0, 0);
    assert_close(d->pairs[2].label, 1, 0);
    assert_int_equal(d->pairs[0].fold, -1);
    assert_non_null(strstr(((files *)*state)->said, "unknown residues (first: p2)"));
    cm_dataset_destroy(d);
}

static void one_file_serves_both_sides(void **state) {
    files *f = *state;
    cm_dataset *d = make((cm_dataset_options){.task = &rna_rna, .labels = 1});
    files_put(f->a, A ">r1\nACGU\n");
    files_put(f->pairs, "label\tid_b\textra\tid_a\n1\tr2\tx\tr1\n0\tr1\ty\tr2\n");
    cm_runtime runtime = {.log = files_log, .context = f};
    f->said[0] = '\0';
    assert_int_equal(cm_dataset_add_files(d, f->a, f->a, f->pairs, &runtime, NULL), CM_OK);
    assert_int_equal(d->n_pairs, 2);
    assert_string_equal(d->entities[1][0].text, "GGCC");
    /* said once, though the file serves twice */
    const char *first = strstr(f->said, "1 records repeat the id and the RNA of an earlier one");
    assert_non_null(first);
    assert_null(strstr(first + 4, "records repeat"));
    cm_dataset_destroy(d);
}

static void binary_repeats(void **state) {
    files *f = *state;
    const char *pairs =
        HEAD "r1\tp1\t1\nr2\tp1\t0\ntwin\tp1\t1\nr2\tp2\t1\nr2\tp2\t0\nr2\tp2\t0\nr1\tp2\t0\n";
    cm_dataset *d = binary(1);
    add(state, d, A, B, pairs);
    assert_int_equal(d->n_pairs, 3);
    assert_string_equal(d->pairs[0].id[0], "r1");
    assert_string_equal(d->pairs[2].id[0], "r1");
    assert_string_equal(d->pairs[2].id[1], "p2");
    assert_non_null(
        strstr(f->said, "1 pairs have the same two molecules as an earlier one; the first stays"));
    assert_non_null(strstr(f->said, "dropped 3 pairs"));
    /* over files: a contradiction takes the earlier pair away, and its molecules when nothing else has them
     */
    add(state, d, ">other\nGGCC\n", B, HEAD "other\tp1\t1\n");
    assert_int_equal(d->n_pairs, 2);
    assert_int_equal(d->n_entities[0], 1);
    assert_string_equal(d->entities[0][0].text, "ACGU");
    /* and it stays away */
    add(state, d, A, B, HEAD "r2\tp1\t0\nr2\tp2\t1\n");
    assert_int_equal(d->n_pairs, 2);
    cm_dataset_destroy(d);

    d = make((cm_dataset_options){.task = &rna_protein, .labels = 1, .keep_duplicates = 1});
    add(state, d, A, B, pairs);
    assert_int_equal(d->n_pairs, 7);
    assert_close(d->pairs[4].label, 0, 0);
    cm_dataset_destroy(d);

    d = binary(0); /* without labels there is nothing to contradict */
    add(state, d, A, B, pairs);
    assert_int_equal(d->n_pairs, 4);
    assert_true(isnan(d->pairs[0].label));
    cm_dataset_destroy(d);
}

static void affinity_repeats_are_averaged(void **state) {
    cm_dataset *d = make((cm_dataset_options){.task = &rna_molecule, .labels = 1});
    const char *molecules = "name,id,smiles\nx,m1, OCC \ny,m2,CCO\nz,m3,c1ccccc1\n";
    add(state, d, A, molecules, HEAD "r1\tm1\t4\nr1\tm3\t5.5\nr1\tm2\t5\n");
    assert_int_equal(d->n_pairs, 2);
    assert_int_equal(d->n_entities[1], 2);
    assert_string_equal(d->entities[1][0].text, "CCO");
    assert_close(d->pairs[0].label, 4.5, 0);
    assert_non_null(strstr(((files *)*state)->said, "with the mean of their labels"));
    add(state, d, A, molecules, HEAD "r1\tm1\t-3e0\n"); /* the mean is of all three */
    assert_int_equal(d->n_pairs, 2);
    assert_close(d->pairs[0].label, 2, 0);
    cm_dataset_destroy(d);
}

static void folds_and_subsets(void **state) {
    const char *pairs = "id_a\tid_b\tlabel\tfold\tset\nr1\tp1\t1\ttest\tx\nr2\tp1\t0\ttrain 0\tx\n"
                        "r9\tp9\t7\t\ty\nr2\tp2\t0\ttest\tx\n";
    cm_dataset *d = make((cm_dataset_options){.task = &rna_protein,
                                              .labels = 1,
                                              .fold_column = "fold",
                                              .subset_column = "set",
                                              .subset_value = "x"});
    add(state, d, A, B, pairs);
    assert_int_equal(d->n_pairs, 3);
    assert_int_equal(d->n_folds, 2);
    assert_string_equal(d->folds[0], "test");
    assert_string_equal(d->folds[1], "train 0");
    assert_int_equal(d->pairs[0].fold, 0);
    assert_int_equal(d->pairs[1].fold, 1);
    assert_int_equal(d->pairs[2].fold, 0);
    add(state, d, A, B, "id_a\tid_b\tlabel\tfold\tset\ntwin\tp1\t1\ttrain 0\tx\nr1\tp1\t1\ttest\tx\n");
    assert_int_equal(d->n_pairs, 3);
    assert_int_equal(d->pairs[0].fold, 0);
    assert_non_null(strstr(((files *)*state)->said, "1 of these have another fold"));
    cm_dataset_destroy(d);
}

static void all_against_all(void **state) {
    files *f = *state;
    const char *a = ">r1\nACGU\n>r2\nGGCC\n>twin\nACGU\n";
    cm_dataset *d = binary(0);
    add(state, d, a, B, NULL);
    assert_int_equal(d->n_pairs, 4);
    assert_non_null(strstr(f->said, "all against all: 2 pairs have the same two molecules"));
    assert_string_equal(d->pairs[1].id[0], "r1");
    assert_string_equal(d->pairs[1].id[1], "p2");
    add(state, d, a, ">p3\nWWW\n>p1\nMKV\n", NULL); /* again: the new ones only */
    assert_int_equal(d->n_pairs, 6);
    assert_int_equal(d->n_entities[1], 3);
    cm_dataset_destroy(d);
    d = make((cm_dataset_options){.task = &rna_protein, .keep_duplicates = 1});
    add(state, d, a, B, NULL);
    assert_int_equal(d->n_pairs, 6);
    assert_int_equal(d->n_entities[0], 2);
    cm_dataset_destroy(d);
}

static void pairs_as_text(void **state) {
    (void)state;
    cm_dataset *d = make((cm_dataset_options){.task = &rna_molecule});
    assert_int_equal(cm_dataset_add_pair(d, "x", " acgt\n", "y", " OCC ", NULL), CM_OK);
    assert_int_equal(cm_dataset_add_pair(d, "x2", "ACGU", "z", "CCN", NULL), CM_OK);
    assert_int_equal(cm_dataset_add_pair(d, "x3", "ACGU", "y3", "CCO", NULL), CM_OK);
    assert_int_equal(cm_dataset_pairs(d), 2);
    assert_int_equal(cm_dataset_molecules(d, 0), 1);
    assert_string_equal(d->entities[1][0].text, "CCO");
    assert_string_equal(d->pairs[1].id[1], "z");
    cm_dataset_destroy(d);
}

/* The hash of a data set made of the texts of files added one after the other. */
static void hash_of(void **state, const char *const *pairs, int n, char hash[65]) {
    cm_dataset *d = make((cm_dataset_options){.task = &rna_protein, .labels = 1, .fold_column = "fold"});
    for (int i = 0; i < n; i++) add(state, d, A, B, pairs[i]);
    memcpy(hash, d->hash, 65);
    assert_int_equal(strlen(hash), 64);
    cm_dataset_destroy(d);
}

static void the_hash_is_of_texts_labels_and_folds(void **state) {
#define FOLDED "id_a\tid_b\tlabel\tfold\n"
    char hash[10][65];
    hash_of(state, (const char *[]){FOLDED "r1\tp1\t1\ta\nr2\tp2\t0\tb\n"}, 1, hash[0]);
    hash_of(state, (const char *[]){FOLDED "r1\tp1\t1\ta\n", FOLDED "r2\tp2\t0\tb\n"}, 2, hash[1]);
    hash_of(state, (const char *[]){FOLDED "twin\tp1\t1\ta\nr2\tp2\t0\tb\nr1\tp1\t1\tc\n"}, 1, hash[2]);
    /* a pair that comes and goes leaves no trace */
    hash_of(state,
            (const char *[]){FOLDED "r2\tp1\t1\ta\nr1\tp1\t1\ta\n", FOLDED "r2\tp2\t0\tb\nr2\tp1\t0\ta\n"}, 2,
            hash[3]);
    for (int i = 1; i < 4; i++) assert_string_equal(hash[0], hash[i]);
    hash_of(state, (const char *[]){FOLDED "r1\tp1\t0\ta\nr2\tp2\t0\tb\n"}, 1, hash[4]);
    hash_of(state, (const char *[]){FOLDED "r1\tp1\t1\tx\nr2\tp2\t0\tb\n"}, 1, hash[5]);
    hash_of(state, (const char *[]){FOLDED "r2\tp2\t0\tb\nr1\tp1\t1\ta\n"}, 1, hash[6]);
    hash_of(state, (const char *[]){FOLDED "r1\tp2\t1\ta\nr2\tp2\t0\tb\n"}, 1, hash[7]);
    hash_of(state, (const char *[]){FOLDED "r1\tp1\t1\ta\n"}, 1, hash[8]);
    hash_of(state, NULL, 0, hash[9]);
    for (int i = 4; i < 10; i++)
        for (int j = 0; j < i; j++)
            if (j == 0 || j > 3) assert_string_not_equal(hash[i], hash[j]);
}

/* Walks through every allocation; each failure is reported and nothing leaks (address sanitizer). */
static void lack_of_memory_is_reported(void **state) {
    files *f = *state;
    files_put(f->a, A ">r1\nACGT\n>bad\nLL\n");
    files_put(f->b, "id\tsmiles\nm1\tCCO\nm2\tCCN\n");
    files_put(f->pairs, "id_a\tid_b\tlabel\tfold\nr1\tm1\t1\tx\nr2\tm2\t0\ty\nbad\tm1\t1\tx\n"
                        "r1\tm1\t2\tx\nr8\tm1\t2\tx\n");
    cm_dataset_options options = {.task = &rna_molecule, .labels = 1, .fold_column = "fold"};
    options.bad_records = CM_BAD_SKIP;
    for (long n = 0;; n++) {
        assert_true(n < 5000);
        cm_dataset *d = NULL;
        cm_error error = {0};
        fail_alloc_from(n);
        cm_status status = cm_dataset_create(&d, &options, &error);
        if (status == CM_OK) status = cm_dataset_add_files(d, f->a, f->b, f->pairs, NULL, &error);
        bool failed = fail_alloc_stop();
        cm_dataset_destroy(d);
        if (!failed) {
            assert_int_equal(status, CM_OK);
            break;
        }
        if (status != CM_MEMORY) fail_msg("allocation %ld: status %d %s", n, status, error.found);
    }
}

static void lack_of_memory_in_products_and_texts(void **state) {
    files *f = *state;
    files_put(f->a, ">r1\nACGU\n>r2\nGG\n");
    files_put(f->b, B);
    cm_dataset_options options = {.task = &rna_protein};
    for (long n = 0;; n++) {
        assert_true(n < 5000);
        cm_dataset *d = NULL;
        fail_alloc_from(n);
        cm_status status = cm_dataset_create(&d, &options, NULL);
        if (status == CM_OK) status = cm_dataset_add_files(d, f->a, f->b, NULL, NULL, NULL);
        if (status == CM_OK) status = cm_dataset_add_pair(d, "x", "AAAA", "y", "WWW", NULL);
        bool failed = fail_alloc_stop();
        cm_dataset_destroy(d);
        assert_int_equal(status, failed ? CM_MEMORY : CM_OK);
        if (!failed) break;
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(molecules_are_distinct_texts),
        cmocka_unit_test(one_file_serves_both_sides),
        cmocka_unit_test(binary_repeats),
        cmocka_unit_test(affinity_repeats_are_averaged),
        cmocka_unit_test(folds_and_subsets),
        cmocka_unit_test(all_against_all),
        cmocka_unit_test(pairs_as_text),
        cmocka_unit_test(the_hash_is_of_texts_labels_and_folds),
        cmocka_unit_test(lack_of_memory_is_reported),
        cmocka_unit_test(lack_of_memory_in_products_and_texts),
    };
    return cmocka_run_group_tests(tests, files_setup, files_teardown);
}
