/* Every kind of bad input gets its message; what may be skipped is skipped and counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataset_files.h"
#include <stdbool.h>

#define A ">r1\nACGU\n>r2\nGGCC\n"
#define B ">p1\nMKV\n>p2\nAAA\n"
#define M "id\tsmiles\nm1\tCCO\nm2\tc1ccccc1\n"
#define ROWS(text) "id_a\tid_b\tlabel\n" text

#define CASE(name_, a_, b_, pairs_, place_, says_) \
    .name = name_, .a = a_, .b = b_, .pairs = pairs_, .place = place_, .says = says_

typedef struct refusal {
    const char *name, *a, *b, *pairs;
    const char *place, *says; /* parts of the message */
    const char *skipped;      /* part of the warning under CM_BAD_SKIP, NULL: refused then too */
    cm_status status;         /* 0: CM_DATA */
    enum { PROTEIN, MOLECULE, RNA } side_b;
    cm_dataset_options options; /* labels are asked for unless all is all against all */
} refusal;

static const refusal refusals[] = {
    {CASE("label 2", A, B, ROWS("r1\tp1\t1\nr2\tp1\t2\n"), "line 3", "label 0 or 1")},
    {CASE("label -0", A, B, ROWS("r1\tp1\t-0\n"), "line 2", "label 0 or 1")},
    {CASE("label 1.5", A, B, ROWS("r1\tp1\t1.5\n"), "line 2", "1.5")},
    {CASE("label 1.00", A, B, ROWS("r1\tp1\t1.00\n"), "line 2", "1.00")},
    {CASE("empty label", A, B, ROWS("r1\tp1\t\n"), "line 2", "label 0 or 1")},
    {CASE("label nan", A, B, ROWS("r1\tp1\tnan\n"), "line 2", "label 0 or 1")},
    {CASE("affinity nan", A, M, ROWS("r1\tm1\tnan\n"), "line 2", "label"), .side_b = MOLECULE},
    {CASE("affinity empty", A, M, ROWS("r1\tm1\t\n"), "line 2", "label"), .side_b = MOLECULE},
    {CASE("affinity over float", A, M, ROWS("r1\tm1\t1e39\n"), "line 2", "32-bit"), .side_b = MOLECULE},
    {CASE("no label column", A, B, "id_a\tid_b\nr1\tp1\n", "", "label")},
    {CASE("no id column", A, B, "id_a\tlabel\nr1\t1\n", "", "id_b")},
    {CASE("unknown id", A, B, ROWS("r1\tp1\t1\nr1\tp9\t1\n"), "line 3", "id p9: no record with this id in "),
     .skipped = "skipped 1 pairs with an unknown id"},
    {CASE("other case", A, B, ROWS("R1\tp1\t1\nr2\tp1\t0\n"), "line 2", "(it has r1)"),
     .skipped = "unknown id"},
    {CASE("swapped", A, B, ROWS("p1\tr1\t1\nr2\tp1\t0\n"), "line 2", "swapped"), .skipped = "unknown id"},
    {CASE("empty id", A, B, ROWS("\tp1\t1\nr2\tp1\t0\n"), "line 2", "no record"), .skipped = "unknown id"},
    {CASE("protein in RNA", ">r1\nACGU\n>r2\nMKLV\n", B, ROWS("r1\tp1\t1\nr2\tp1\t0\nr2\tp2\t0\n"), "r2",
          "amino acid"),
     .skipped = "skipped 1 bad records and 2 pairs with them (first: "},
    {CASE("empty sequence", ">r1\nACGU\n>r2\n", B, ROWS("r1\tp1\t1\nr2\tp1\t0\n"), "r2", "a sequence"),
     .skipped = "skipped 1 bad records"},
    {CASE("bad SMILES", A, "id\tsmiles\nm1\tCCO\nm2\tC(\n", ROWS("r1\tm1\t1\nr1\tm2\t1\n"), "m2", ""),
     .skipped = "skipped 1 bad records and 1 pairs", .side_b = MOLECULE},
    {CASE("one id, two sequences", A ">r1\nAAAA\n", B, ROWS("r1\tp1\t1\n"), "record 3 (id r1)",
          "another RNA than record 1"),
     .skipped = "record 3 (id r1)"},
    {CASE("one id, a bad second", A ">r1\nLLLL\n", B, ROWS("r1\tp1\t1\n"), "record 3 (id r1)", "record 1"),
     .skipped = "skipped 1 records that give another RNA"},
    {CASE("one id, two molecules", A, M "m1\tCCN\n", ROWS("r1\tm1\t1\n"), "line 4 (id m1)", "line 2"),
     .skipped = "another small molecule", .side_b = MOLECULE},
    {CASE("molecule without id", A, M " \tCCN\n", ROWS("r1\tm1\t1\n"), "line 4", "an id"),
     .side_b = MOLECULE},
    {CASE("no smiles column", A, "id\tSMILES\nm1\tC\n", ROWS("r1\tm1\t1\n"), "", "smiles"),
     .side_b = MOLECULE},
    {CASE("no molecules", A, "id\tsmiles\n", ROWS("r1\tm1\t1\n"), "", "only a header"), .side_b = MOLECULE},
    {CASE("no records", "", B, ROWS("r1\tp1\t1\n"), "", "")},
    {CASE("no pairs", A, B, ROWS(""), "", "only a header")},
    {CASE("no file A", NULL, B, ROWS("r1\tp1\t1\n"), "", ""), .status = CM_IO},
    {CASE("no file B", A, NULL, ROWS("r1\tp1\t1\n"), "", ""), .status = CM_IO},
    {CASE("no molecule file", A, NULL, ROWS("r1\tp1\t1\n"), "", ""), .status = CM_IO, .side_b = MOLECULE},
    {CASE("no fold column", A, B, ROWS("r1\tp1\t1\n"), "", "fold_3"), .options = {.fold_column = "fold_3"}},
    {CASE("empty fold", A, B, "id_a\tid_b\tlabel\tfold\nr1\tp1\t1\t0\nr2\tp1\t0\t \n", "line 3",
          "column fold"),
     .options = {.fold_column = "fold"}},
    {CASE("no subset column", A, B, ROWS("r1\tp1\t1\n"), "", "species"),
     .options = {.subset_column = "species", .subset_value = "ath"}},
    {CASE("empty subset", A, B, ROWS("r1\tp1\t1\n"), "column label", "value 0"),
     .options = {.subset_column = "label", .subset_value = "0"}},
    {CASE("ragged", A, B, ROWS("r1\tp1\n"), "line 2", "")},
    {CASE("labels, no table", A, B, NULL, "", "table of pairs"), .status = CM_USAGE,
     .options = {.labels = 1}},
    {CASE("folds, no table", A, B, NULL, "", "table of pairs"), .status = CM_USAGE,
     .options = {.fold_column = "fold"}},
    {CASE("a bad one of all", ">r1\nLL\n>r2\nAC\n", B, NULL, "r1", "amino"),
     .skipped = "skipped 1 bad records"},
};

static cm_dataset *make(const refusal *r, cm_bad_records bad) {
    static const cm_task *const tasks[] = {&rna_protein, &rna_molecule, &rna_rna};
    cm_dataset_options options = r->options;
    options.task = tasks[r->side_b];
    options.bad_records = bad;
    if (r->pairs) options.labels = 1;
    cm_dataset *dataset;
    assert_int_equal(cm_dataset_create(&dataset, &options, NULL), CM_OK);
    return dataset;
}

static void bad_input_is_refused(void **state) {
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        const refusal *r = &refusals[i];
        cm_dataset *dataset = make(r, CM_BAD_REFUSE);
        cm_error error = {0};
        char line[1024];
        cm_status status = files_add(*state, dataset, r->a, r->b, r->pairs, &error);
        cm_error_line(&error, line, sizeof line);
        if (status != (r->status ? r->status : CM_DATA) || error.status != status ||
            !strstr(error.place, r->place) || !strstr(line, r->says))
            fail_msg("%s: status %d, %s", r->name, status, line);
        assert_int_equal(cm_dataset_pairs(dataset), 0);
        assert_int_equal(cm_dataset_molecules(dataset, 0) + cm_dataset_molecules(dataset, 1), 0);
        cm_dataset_destroy(dataset);
    }
}

static void bad_records_are_skipped_on_request(void **state) {
    files *f = *state;
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        const refusal *r = &refusals[i];
        cm_dataset *dataset = make(r, CM_BAD_SKIP);
        cm_error error = {0};
        cm_status status = files_add(f, dataset, r->a, r->b, r->pairs, &error);
        bool as_expected =
            r->skipped ? status == CM_OK && strstr(f->said, r->skipped) && cm_dataset_pairs(dataset) > 0
                       : status == (r->status ? r->status : CM_DATA);
        if (!as_expected) fail_msg("%s: status %d, %s, warnings %s", r->name, status, error.found, f->said);
        cm_dataset_destroy(dataset);
    }
}

static void nothing_left_is_refused(void **state) {
    static const refusal cases[] = {
        {CASE("unknown", A, B, ROWS("r9\tp1\t1\n"), "", "no record with this id")},
        {CASE("bad A", ">r1\nLL\n", B, ROWS("r1\tp1\t1\n"), "", "amino")},
        {CASE("bad B", A, ">p1\nM1\xff\n", ROWS("r1\tp1\t1\n"), "", "skipped")},
        {CASE("all bad", A, ">p1\n\n", NULL, "", "all skipped")},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cm_dataset *dataset = make(&cases[i], CM_BAD_SKIP);
        cm_error error = {0};
        cm_status status = files_add(*state, dataset, cases[i].a, cases[i].b, cases[i].pairs, &error);
        if (status != CM_DATA || !strstr(error.found, cases[i].says))
            fail_msg("%s: %d %s", cases[i].name, status, error.found);
        cm_dataset_destroy(dataset);
    }
}

static void a_failure_leaves_the_data_set_as_it_was(void **state) {
    refusal r = {.pairs = "", .options = {.fold_column = "fold"}};
    cm_dataset *dataset = make(&r, CM_BAD_REFUSE);
    const char *good = "id_a\tid_b\tlabel\tfold\nr1\tp1\t1\tx\n";
    const char *bad = "id_a\tid_b\tlabel\tfold\nr1\tp1\t0\tnew\nr2\tp2\t0\tnew\nr2\tp9\t1\tx\n";
    assert_int_equal(files_add(*state, dataset, A, B, good, NULL), CM_OK);
    char hash[65];
    memcpy(hash, dataset->hash, sizeof hash);
    assert_int_equal(files_add(*state, dataset, A, B, bad, NULL), CM_DATA);
    assert_int_equal(dataset->n_pairs, 1);
    assert_int_equal(dataset->n_folds, 1);
    assert_int_equal(dataset->n_entities[0], 1);
    assert_string_equal(dataset->hash, hash);
    cm_dataset_destroy(dataset);
}

static void too_many_pairs_are_refused(void **state) {
    enum { RECORDS = 7100 };
    char *a = malloc(RECORDS * 16), *end = a;
    for (int i = 0; i < RECORDS; i++) end += sprintf(end, ">x%d\nAC\n", i);
    refusal r = {.side_b = RNA};
    cm_dataset *dataset = make(&r, CM_BAD_REFUSE);
    cm_error error = {0};
    assert_int_equal(files_add(*state, dataset, a, a, NULL, &error), CM_DATA);
    assert_non_null(strstr(error.expected, "50000000"));
    assert_non_null(strstr(error.found, "7100"));
    cm_dataset_destroy(dataset);
    free(a);
}

static void unsuitable_arguments_are_refused(void **state) {
    (void)state;
    cm_dataset *dataset;
    cm_error error = {0};
    cm_dataset_options options = {0};
    assert_int_equal(cm_dataset_create(&dataset, &options, &error), CM_USAGE);
    assert_null(dataset);
    options = (cm_dataset_options){.task = &rna_protein, .subset_column = "species"};
    assert_int_equal(cm_dataset_create(&dataset, &options, &error), CM_USAGE);
    options = (cm_dataset_options){.task = &rna_protein, .labels = 1};
    assert_int_equal(cm_dataset_create(&dataset, &options, &error), CM_OK);
    assert_int_equal(cm_dataset_add_files(dataset, NULL, "b", "c", NULL, &error), CM_USAGE);
    assert_int_equal(cm_dataset_add_files(dataset, "-", "b", "-", NULL, &error), CM_USAGE);
    assert_non_null(strstr(error.expected, "standard input"));
    assert_int_equal(cm_dataset_add_pair(dataset, "r", "ACGU", "p", "MKV", &error), CM_USAGE);
    cm_dataset_destroy(dataset);
    options.labels = 0;
    assert_int_equal(cm_dataset_create(&dataset, &options, &error), CM_OK);
    assert_int_equal(cm_dataset_add_pair(dataset, "r", NULL, "p", "MKV", &error), CM_USAGE);
    assert_int_equal(cm_dataset_add_pair(dataset, "r", "EFL", "p", "MKV", &error), CM_DATA);
    assert_non_null(strstr(error.place, "r"));
    assert_int_equal(cm_dataset_add_pair(dataset, "r", "ACGU", "p", " ", &error), CM_DATA);
    assert_int_equal(cm_dataset_pairs(dataset), 0);
    cm_dataset_destroy(dataset);
}

static int stop_at_once(void *context) {
    (void)context;
    return 1;
}

static void a_stop_is_obeyed(void **state) {
    files *f = *state;
    refusal r = {.pairs = ""};
    cm_dataset *dataset = make(&r, CM_BAD_REFUSE);
    files_put(f->a, A);
    files_put(f->b, B);
    files_put(f->pairs, ROWS("r1\tp1\t1\n"));
    cm_runtime runtime = {.stop = stop_at_once};
    assert_int_equal(cm_dataset_add_files(dataset, f->a, f->b, f->pairs, &runtime, NULL), CM_INTERRUPTED);
    cm_dataset_destroy(dataset);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_input_is_refused),
        cmocka_unit_test(bad_records_are_skipped_on_request),
        cmocka_unit_test(nothing_left_is_refused),
        cmocka_unit_test(a_failure_leaves_the_data_set_as_it_was),
        cmocka_unit_test(too_many_pairs_are_refused),
        cmocka_unit_test(unsuitable_arguments_are_refused),
        cmocka_unit_test(a_stop_is_obeyed),
    };
    return cmocka_run_group_tests(tests, files_setup, files_teardown);
}
