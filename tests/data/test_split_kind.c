/* Kinds of splits: what must not be shared is not shared, the same answer for a seed, splits.json. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "bio/sketches.h"
#include "data/split_file.h"
#include "fail_alloc.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const cm_task rna_protein = {.a = CM_RNA, .b = CM_PROTEIN}, rna_rna = {.a = CM_RNA, .b = CM_RNA},
                     affinity = {.a = CM_RNA, .b = CM_PROTEIN, .affinity = 1};

enum { MOLECULES = 40, FAMILY = 4, PAIRS = 400 };

/* A data set in memory; molecules come in families of FAMILY near copies. */
typedef struct set {
    cm_dataset d;
    cm_entity entity[2][MOLECULES];
    cm_pair pair[PAIRS];
    char text[2][MOLECULES][121];
    char *fold[4];
} set;

static set the_set;

static void write_text(char *text, uint64_t family, uint64_t member, const char *letters) {
    for (int i = 0; i < 120; i++) text[i] = letters[cm_rng_below(family, (uint64_t)i, strlen(letters))];
    text[30 + 20 * member] = letters[0];
    text[31 + 20 * member] = letters[1];
    text[120] = '\0';
}

/* With rna_rna, side B's families 0 to 4 are those of A. */
static const cm_dataset *made(const cm_task *task) {
    static char *names[] = {"one", "two", "three", "four"};
    set *s = &the_set;
    memset(s, 0, sizeof *s);
    for (int side = 0; side < 2; side++)
        for (int i = 0; i < MOLECULES; i++) {
            bool rna = side == 0 || task == &rna_rna;
            uint64_t family = (uint64_t)(i / FAMILY + (side ? (rna ? 5 : 100) : 0));
            write_text(s->text[side][i], family + 1000, (uint64_t)(i % FAMILY),
                       rna ? "ACGU" : "ACDEFGHIKLMNPQRSTVWY");
            s->entity[side][i] = (cm_entity){.text = s->text[side][i], .length = 120};
        }
    for (int i = 0; i < PAIRS; i++) {
        double u = cm_rng_uniform(5, (uint64_t)i);
        s->pair[i] = (cm_pair){.entity = {(int32_t)cm_rng_below(3, (uint64_t)i, MOLECULES),
                                          (int32_t)cm_rng_below(4, (uint64_t)i, MOLECULES)},
                               .fold = i % 4,
                               .label = (float)(task->affinity ? 3 * u : u < 0.4)};
    }
    memcpy(s->fold, names, sizeof names);
    s->d = (cm_dataset){.task = task,
                        .options = {.task = task, .labels = 1},
                        .entities = {s->entity[0], s->entity[1]},
                        .n_entities = {MOLECULES, MOLECULES},
                        .pairs = s->pair,
                        .n_pairs = PAIRS,
                        .folds = s->fold,
                        .n_folds = 4,
                        .hash = "0123456789abcdef"};
    return &s->d;
}

static cm_split_request request_of(const char *kind, int folds) {
    cm_split_request r = {.kind = cm_split_kind_find(kind), .folds = folds, .threshold = {0.8, 0.4, 0.6}};
    assert_non_null(r.kind);
    return r;
}

static const char *text_of(const cm_dataset *d, int64_t pair, int side) {
    return d->entities[side][d->pairs[pair].entity[side]].text;
}

/* Fails when a test pair's molecule on a cold side is, or with near is near to, one of a training pair. */
static void check_apart(const cm_dataset *d, const cm_split *split, const cm_split_kind *kind, bool near) {
    bool alike = d->task->a == d->task->b;
    for (int u = 0; u < split->n_units; u++)
        for (int64_t t = 0; t < PAIRS; t++)
            for (int64_t i = 0; i < PAIRS && split->role[u * PAIRS + t] == CM_TEST; i++) {
                if (split->role[u * PAIRS + i] != CM_TRAIN) continue;
                for (int side = 0; side < 2; side++)
                    for (int on = 0; on < 2 && kind->side[side]; on++) {
                        if (on != side && !alike) continue;
                        const char *a = text_of(d, t, side), *b = text_of(d, i, on);
                        int differ = 0;
                        for (int c = 0; c < 120; c++) differ += a[c] != b[c];
                        if (near ? differ <= 4 : differ == 0)
                            fail_msg("%s unit %d: pairs %d and %d", kind->name, u, (int)t, (int)i);
                    }
            }
}

static void nothing_is_shared_across_cold_and_cluster_folds(void **state) {
    (void)state;
    static const char *const names[] = {"cold-a",    "cold-b",       "cold-both",  "cluster-a",
                                        "cluster-b", "cluster-both", "column-cold"};
    const cm_task *tasks[] = {&rna_protein, &rna_rna, &affinity};
    for (int t = 0; t < 3; t++)
        for (int k = 0; k < 7; k++) {
            const cm_dataset *d = made(tasks[t]);
            cm_split_request r = request_of(names[k], 3);
            cm_split split;
            cm_error error = {0};
            cm_status status = cm_split_make(&split, &r, d, 1, &error);
            if (k == 6 && status == CM_DATA)
                continue; /* every molecule is everywhere: nothing left to train */
            assert_int_equal(status, CM_OK);
            check_apart(d, &split, r.kind, r.kind->rule == CM_SPLIT_CLUSTERS);
            int tested[PAIRS] = {0};
            for (int u = 0; u < split.n_units; u++)
                for (int i = 0; i < PAIRS; i++) tested[i] += split.role[u * PAIRS + i] == CM_TEST;
            for (int i = 0; i < PAIRS; i++) assert_int_equal(tested[i], 1);
            bool both = r.kind->side[0] && r.kind->side[1];
            if (k < 6) assert_int_equal(split.n_units, both ? 9 : 3);
            cm_split_clear(&split);
        }
}

static void folds_are_balanced(void **state) {
    (void)state;
    const cm_dataset *d = made(&rna_protein);
    static const char *const names[] = {"random", "stratified", "cold-a", "cluster-b"};
    int positives = 0;
    for (int i = 0; i < PAIRS; i++) positives += d->pairs[i].label == 1;
    for (int k = 0; k < 4; k++) {
        cm_split_request r = request_of(names[k], 4);
        cm_split split;
        assert_int_equal(cm_split_make(&split, &r, d, 2, NULL), CM_OK);
        for (int u = 0; u < 4; u++) {
            int size = 0, positive = 0;
            for (int i = 0; i < PAIRS; i++)
                if (split.role[u * PAIRS + i] == CM_TEST) size++, positive += d->pairs[i].label == 1;
            assert_in_range(size, k == 3 ? 70 : 90, k == 3 ? 130 : 110);
            assert_in_range(positive, positives / 4 - 15, positives / 4 + 15);
        }
        cm_split_clear(&split);
    }
}

static void splits_depend_on_the_seed_and_on_nothing_else(void **state) {
    (void)state;
    cm_table_row row;
    for (int k = 0; cm_split_row(k, &row); k++) {
        const cm_dataset *d = made(&rna_protein);
        cm_split_request r = request_of(row.name, 3);
        if (r.kind->rule == CM_SPLIT_GIVEN) continue;
        cm_split first, again, other;
        assert_int_equal(cm_split_make(&first, &r, d, 11, NULL), CM_OK);
        assert_int_equal(cm_split_make(&other, &r, d, 12, NULL), CM_OK);
        assert_int_equal(cm_split_make(&again, &r, d, 11, NULL), CM_OK);
        assert_memory_equal(first.role, again.role, (size_t)first.n_units * PAIRS);
        assert_memory_not_equal(first.role, other.role, (size_t)first.n_units * PAIRS);
        cm_split_clear(&first);
        cm_split_clear(&again);
        cm_split_clear(&other);
    }
}

static void given_folds_test_and_train(void **state) {
    (void)state;
    const cm_dataset *d = made(&rna_protein);
    cm_split_request r = request_of("column", 0);
    cm_split split;
    cm_error error = {0};
    assert_int_equal(cm_split_make(&split, &r, d, 1, NULL), CM_OK);
    assert_int_equal(split.n_units, 4);
    for (int i = 0; i < PAIRS; i++) assert_int_equal(split.role[i % 4 * PAIRS + i], CM_TEST);
    cm_split_clear(&split);
    r.test_fold = "two";
    assert_int_equal(cm_split_make(&split, &r, d, 1, NULL), CM_OK);
    assert_int_equal(split.n_units, 1);
    assert_int_equal(split.role[1], CM_TEST);
    assert_int_equal(split.role[2], CM_TRAIN);
    cm_split_clear(&split);
    r = request_of("column", 0);
    for (int i = 0; i < PAIRS; i += 8) the_set.pair[i].fold = -1;
    assert_int_equal(cm_split_make(&split, &r, d, 1, NULL), CM_OK);
    for (int i = 0; i < PAIRS; i++)
        for (int u = 0; u < split.n_units; u++)
            assert_int_equal(split.role[u * PAIRS + i], i % 8 && u == i % 4 ? CM_TEST : CM_TRAIN);
    cm_split_clear(&split);
    r.train_fold = "two";
    assert_int_equal(cm_split_make(&split, &r, d, 1, NULL), CM_OK);
    assert_int_equal(split.role[0], CM_TRAIN);
    assert_int_equal(split.role[1], CM_TRAIN);
    assert_int_equal(split.role[2], CM_TEST);
    cm_split_clear(&split);
    r = request_of("column", 0);
    r.test_fold = "five";
    assert_int_equal(cm_split_make(&split, &r, d, 1, &error), CM_USAGE);
    assert_string_equal(error.found, "five");
}

static void inner_hold_out_is_of_the_kind(void **state) {
    (void)state;
    static const char *const names[] = {"cold-a", "cold-b", "cluster-a", "cold-both"};
    for (int k = 0; k < 4; k++) {
        const cm_dataset *d = made(&rna_protein);
        cm_split_request r = request_of(names[k], 0);
        int64_t index[300];
        bool held[300], done;
        for (int i = 0; i < 300; i++) index[i] = i + 50;
        assert_int_equal(cm_split_hold_out_groups(&r, d, index, 300, 0.2, 3, held, &done, NULL), CM_OK);
        assert_true(done);
        int count = 0;
        for (int i = 0; i < 300; i++) count += held[i];
        assert_in_range(count, 30, 100);
        for (int i = 0; i < 300; i++)
            for (int j = 0; j < 300; j++) {
                if (!held[i] || held[j]) continue;
                bool a = text_of(d, index[i], 0) == text_of(d, index[j], 0);
                bool b = text_of(d, index[i], 1) == text_of(d, index[j], 1);
                assert_false(r.kind->side[0] && r.kind->side[1] ? a && b : r.kind->side[0] ? a : b);
            }
    }
    const cm_dataset *d = made(&rna_protein);
    for (int i = 0; i < PAIRS; i++) the_set.pair[i].label = the_set.pair[i].entity[0] == 0;
    cm_split_request r = request_of("cold-a", 0);
    int64_t index[PAIRS];
    bool held[PAIRS], done = true;
    for (int i = 0; i < PAIRS; i++) index[i] = i;
    assert_int_equal(cm_split_hold_out_groups(&r, d, index, PAIRS, 0.2, 3, held, &done, NULL), CM_OK);
    assert_false(done); /* all positives have one molecule */
}

/* ---- splits.json ---- */

static void write_file(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    if (!file || fputs(text, file) < 0 || fclose(file) != 0) abort();
}

static void files_round_trip(void **state) {
    (void)state;
    const cm_dataset *d = made(&rna_protein);
    char path[] = "/tmp/cm-splits-XXXXXX";
    close(mkstemp(path));
    cm_split_request r = request_of("cold-both", 3);
    cm_split made_splits[2];
    for (uint64_t i = 0; i < 2; i++) assert_int_equal(cm_split_make(&made_splits[i], &r, d, i, NULL), CM_OK);
    cm_splits out = {.kind = r.kind, .repeat = made_splits, .n_repeats = 2}, in;
    assert_int_equal(cm_splits_write(path, &out, d, NULL), CM_OK);
    assert_int_equal(cm_splits_read(&in, path, d, NULL), CM_OK);
    assert_ptr_equal(in.kind, r.kind);
    assert_int_equal(in.n_repeats, 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(in.repeat[i].n_units, made_splits[i].n_units);
        assert_memory_equal(in.repeat[i].role, made_splits[i].role, (size_t)in.repeat[i].n_units * PAIRS);
        cm_split_clear(&made_splits[i]);
    }
    cm_splits_clear(&in);
    unlink(path);
}

static void damaged_files_are_refused(void **state) {
    (void)state;
#define HEAD \
    "{\"format\":\"crossmamba splits 1\",\"data\":\"0123456789abcdef\",\"pairs\":400,\"kind\":\"cold-a\","
    static const struct {
        const char *text, *part;
    } cases[] = {
        {"", "not JSON"},
        {"{\"format\":", "not JSON"},
        {"[]", "format"},
        {"[7]", "expected an object"},
        {"7", "not JSON: byte 0"},
        {"{\"format\":7,\"format\":7}", "key format: found it twice"},
        {"{\"repeats\":[],\"repeats\":[]}", "key repeats: found it twice"},
        {"{\"format\":[[]}", "key format: not JSON"},
        {"{}", "format"},
        {"{\"format\":\"x\",\"data\":\"\",\"pairs\":1,\"kind\":\"\"}", "crossmamba splits 1"},
        {"{\"format\":\"crossmamba splits 1\",\"data\":\"77\",\"pairs\":400,\"kind\":\"cold-a\"}", "another"},
        {"{\"format\":\"crossmamba splits 1\",\"data\":\"0123456789abcdef\",\"pairs\":400,\"kind\":\"warm\"}",
         "warm"},
        {HEAD "\"repeats\":[]}", "repeats"},
        {HEAD "\"repeats\":7}", "key repeats: found something else, expected an array"},
        {HEAD "\"repeats\":}", "key repeats: found something else"},
        {HEAD "\"x\":{}}", "key repeats: found nothing, expected an array"},
        {HEAD "\"repeats\":[7]}", "repeat 1: found something else, expected an array of units"},
        {HEAD "\"repeats\":[,]}", "repeat 1: found something else"},
        {HEAD "\"repeats\":[[{\"test\":[1]}", "not JSON"},
        {HEAD "\"repeats\":[[{\"test\":[1]}],[]]}", "repeat 2: found 0, expected 1 to 400 units"},
        {HEAD "\"repeats\":[[{\"test\":[1]}]]}]", "end of the text expected"},
        {HEAD "\"repeats\":[[{\"test\":[1],}]]}", "repeat 1, unit 1: not JSON"},
        {HEAD "\"repeats\":[[7]]}", "unit 1"},
        {HEAD "\"repeats\":[[{}]]}", "test"},
        {HEAD "\"repeats\":[[{\"test\":[]}]]}", "0 to test"},
        {HEAD "\"repeats\":[[{\"test\":[400]}]]}", "400"},
        {HEAD "\"repeats\":[[{\"test\":[\"a\"]}]]}", "integer"},
        {HEAD "\"repeats\":[[{\"test\":[1,1]}]]}", "twice"},
        {HEAD "\"repeats\":[[{\"test\":[1],\"unused\":[1]}]]}", "twice"},
        {HEAD "\"repeats\":[[{\"test\":[1]},{\"test\":[1]}]]}", "repeat 1, unit 2"},
    };
    const cm_dataset *d = made(&rna_protein);
    char path[] = "/tmp/cm-splits-XXXXXX", line[1024];
    close(mkstemp(path));
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        cm_splits in;
        cm_error error = {0};
        write_file(path, cases[c].text);
        assert_int_equal(cm_splits_read(&in, path, d, &error), CM_DATA);
        assert_null(in.repeat);
        if (!strstr(cm_error_line(&error, line, sizeof line), cases[c].part)) fail_msg("%zu: %s", c, line);
        assert_non_null(strstr(line, path));
    }
    unlink(path);
}

/* A unit more than there are pairs, a repeat and a key more than allowed. */
static void long_files_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *head, *item, *tail, *part;
        int count;
    } cases[] = {
        {HEAD "\"repeats\":[[{}", ",{}", "]]}", "repeat 1: found 401, expected 1 to 400 units", 400},
        {HEAD "\"repeats\":[7", ",7", "]}", "key repeats: found 1001, expected 1 to 1000 repeats", 1000},
        {"{\"0\":0", ",\"%d\":0", "}", "found more, expected at most 100 keys", 100},
        {HEAD "\"repeats\":[[{\"test\":[0", ",0", "]}]]}",
         "repeat 1, unit 1: found JSON whose values take about 54 MB", 1200000},
    };
    const cm_dataset *d = made(&rna_protein);
    char path[] = "/tmp/cm-splits-XXXXXX", line[1024];
    close(mkstemp(path));
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        cm_splits in;
        cm_error error = {0};
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fputs(cases[c].head, file);
        for (int i = 1; i <= cases[c].count; i++) {
            const char *key = strchr(cases[c].item, '%');
            if (key)
                fprintf(file, ",\"%d\":0", i);
            else
                fputs(cases[c].item, file);
        }
        fputs(cases[c].tail, file);
        assert_int_equal(fclose(file), 0);
        assert_int_equal(cm_splits_read(&in, path, d, &error), CM_DATA);
        if (!strstr(cm_error_line(&error, line, sizeof line), cases[c].part)) fail_msg("%zu: %s", c, line);
    }
    unlink(path);
}

static void unsuitable_requests_are_refused(void **state) {
    (void)state;
    cm_dataset *d = (cm_dataset *)made(&rna_protein);
    cm_split_request r = request_of("cold-a", 41);
    cm_split split;
    cm_error error = {0};
    assert_int_equal(cm_split_make(&split, &r, d, 1, &error), CM_DATA);
    assert_non_null(strstr(error.found, "40 groups"));
    r.folds = 1;
    assert_int_equal(cm_split_make(&split, &r, d, 1, &error), CM_USAGE);
    r = request_of("random", 1000);
    assert_int_equal(cm_split_make(&split, &r, d, 1, &error), CM_DATA);
    d->n_folds = 1;
    r = request_of("column", 0);
    assert_int_equal(cm_split_make(&split, &r, d, 1, &error), CM_USAGE);
    d->options.labels = 0;
    assert_int_equal(cm_split_make(&split, &r, d, 1, &error), CM_USAGE);
    assert_null(cm_split_kind_find("warm"));
}

static void memory_failures_are_reported(void **state) {
    (void)state;
    const cm_dataset *d = made(&affinity);
    cm_split_request r = request_of("cluster-both", 2);
    for (long n = 0;; n++) {
        cm_split split;
        fail_alloc_from(n);
        cm_status status = cm_split_make(&split, &r, d, 1, NULL);
        bool failed = fail_alloc_stop();
        assert_int_equal(status, failed ? CM_MEMORY : CM_OK);
        cm_split_clear(&split);
        if (!failed) break;
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_shared_across_cold_and_cluster_folds),
        cmocka_unit_test(folds_are_balanced),
        cmocka_unit_test(splits_depend_on_the_seed_and_on_nothing_else),
        cmocka_unit_test(long_files_are_refused),
        cmocka_unit_test(given_folds_test_and_train),
        cmocka_unit_test(inner_hold_out_is_of_the_kind),
        cmocka_unit_test(files_round_trip),
        cmocka_unit_test(damaged_files_are_refused),
        cmocka_unit_test(unsuitable_requests_are_refused),
        cmocka_unit_test(memory_failures_are_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
