/* Audits of made-up sets with planted faults. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/rng.h"
#include "close.h"
#include "fail_alloc.h"
#include "io/json.h"
#include <crossmamba/crossmamba.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOLECULES = 12, LENGTH = 60 };

/* Files in a folder: RNAs r0..r11 and proteins p0..p11 of unrelated sequences; r11 is r10 with one other
 * residue, and q0 has the sequence of p0 under another name. */
typedef struct set {
    char folder[64], a[96], b[96], pairs[96], json[96];
} set;

static void put_sequence(FILE *file, uint64_t key, const char *letters, int changed) {
    for (int i = 0; i < LENGTH; i++) {
        char c = letters[cm_rng_below(key, (uint64_t)i, strlen(letters))];
        fputc(i == changed ? (c == letters[0] ? letters[1] : letters[0]) : c, file);
    }
    fputc('\n', file);
}

static set set_make(const char *rows) {
    set s;
    strcpy(s.folder, "/tmp/crossmamba-test-XXXXXX");
    assert_non_null(mkdtemp(s.folder));
    snprintf(s.a, sizeof s.a, "%s/a.fasta", s.folder);
    snprintf(s.b, sizeof s.b, "%s/b.fasta", s.folder);
    snprintf(s.pairs, sizeof s.pairs, "%s/pairs.tsv", s.folder);
    snprintf(s.json, sizeof s.json, "%s/audit.json", s.folder);
    FILE *a = fopen(s.a, "w"), *b = fopen(s.b, "w"), *pairs = fopen(s.pairs, "w");
    assert_true(a && b && pairs);
    for (int i = 0; i < MOLECULES; i++) {
        fprintf(a, ">r%d\n", i);
        put_sequence(a, cm_rng_key(5, 1, (uint64_t)(i < 11 ? i : 10)), "ACGU", i < 11 ? -1 : LENGTH / 2);
        fprintf(b, ">p%d\n", i);
        put_sequence(b, cm_rng_key(5, 2, (uint64_t)i), "ACDEFGHIKLMNPQRSTVWY", -1);
    }
    fprintf(b, ">q0\n");
    put_sequence(b, cm_rng_key(5, 2, 0), "ACDEFGHIKLMNPQRSTVWY", -1);
    fprintf(pairs, "id_a\tid_b\tlabel\tfold\n%s", rows);
    assert_true(fclose(a) == 0 && fclose(b) == 0 && fclose(pairs) == 0);
    return s;
}

static void set_remove(const set *s) {
    unlink(s->a);
    unlink(s->b);
    unlink(s->pairs);
    unlink(s->json);
    assert_int_equal(rmdir(s->folder), 0);
}

static cm_dataset *set_open(const set *s, const char *task, const char *fold_column, int keep) {
    cm_dataset_options options = {
        .task = cm_task_find(task), .labels = 1, .keep_duplicates = keep, .fold_column = fold_column};
    cm_dataset *d = NULL;
    assert_int_equal(cm_dataset_create(&d, &options, NULL), CM_OK);
    assert_int_equal(cm_dataset_add_files(d, s->a, s->b, s->pairs, NULL, NULL), CM_OK);
    return d;
}

static cm_audit audit_of(const cm_dataset *d) {
    cm_options options;
    cm_options_default(&options);
    cm_audit audit;
    assert_int_equal(cm_audit_make(&audit, d, &options, NULL, NULL), CM_OK);
    return audit;
}

static double value_of(const cm_audit *audit, const char *gate) {
    cm_audit_gate parsed;
    assert_int_equal(cm_audit_gate_parse(&parsed, gate, NULL), CM_OK);
    return cm_audit_gate_value(audit, &parsed);
}

/* Repeats by sequence and not by name, contradictions, near duplicates, labels of molecules. */
static void rows_and_molecules(void **state) {
    (void)state;
    set s = set_make("r0\tp0\t1\tx\nr0\tq0\t1\ty\nr1\tp0\t1\tx\nr1\tp1\t0\tx\nr1\tp1\t1\ty\nr2\tp1\t0\tx\n"
                     "r2\tp2\t0\ty\nr10\tp2\t1\tx\nr11\tp3\t0\ty\n");
    cm_dataset *d = set_open(&s, "rna-protein", NULL, 1);
    cm_audit a = audit_of(d);
    assert_int_equal(a.rows, 9);
    assert_int_equal(a.positives, 5);
    assert_int_equal(a.repeats, 2);
    assert_int_equal(a.contradictions, 1);
    assert_int_equal(a.pairs, 6);
    assert_int_equal(a.side[0].molecules, 5);
    assert_int_equal(a.side[1].molecules, 4);
    /* left: r0p0 1, r1p0 1, r2p1 0, r2p2 0, r10p2 1, r11p3 0 */
    assert_int_equal(a.side[0].repeated, 1);
    assert_int_equal(a.side[0].one_label, 1);
    assert_int_equal(a.side[1].repeated, 2);
    assert_int_equal(a.side[1].one_label, 1);
    assert_close(a.side[1].one_label_chance, 1, 1e-9);
    assert_int_equal(a.side[0].near, 2);
    assert_int_equal(a.side[0].largest_group, 2);
    assert_int_equal(a.side[1].near, 0);
    assert_int_equal(a.side[1].largest_group, 1);
    assert_int_equal(a.n_folds, 0);
    assert_close(value_of(&a, "repeats"), 2, 0);
    assert_close(value_of(&a, "contradictions:7"), 1, 0);
    assert_close(value_of(&a, "one-label"), 1, 0);
    assert_true(isnan(value_of(&a, "overlap")));
    cm_audit_clear(&a);
    cm_dataset_destroy(d);
    set_remove(&s);
}

static void overlap_of_folds(void **state) {
    (void)state;
    /* r0 and p0 are in both folds; r10 and r11 are near duplicates in one fold each */
    set s = set_make("r0\tp0\t1\tx\nr0\tp1\t0\tx\nr10\tp2\t1\tx\nr3\tp3\t0\tx\n"
                     "r0\tq0\t1\ty\nr11\tp0\t0\ty\nr4\tp4\t1\ty\n");
    cm_dataset *d = set_open(&s, "rna-protein", "fold", 1);
    cm_audit a = audit_of(d);
    assert_int_equal(a.n_folds, 2);
    assert_string_equal(a.folds[0].name, "x");
    const long x[] = {a.folds[0].rows,       a.folds[0].same[0],    a.folds[0].same[1],   a.folds[0].same[2],
                      a.folds[0].similar[0], a.folds[0].similar[1], a.folds[0].similar[2]};
    const long expected_x[] = {4, 2, 1, 1, 3, 1, 1};
    const long y[] = {a.folds[1].rows,       a.folds[1].same[0],    a.folds[1].same[1],   a.folds[1].same[2],
                      a.folds[1].similar[0], a.folds[1].similar[1], a.folds[1].similar[2]};
    const long expected_y[] = {3, 1, 2, 1, 2, 2, 2};
    assert_memory_equal(x, expected_x, sizeof x);
    assert_memory_equal(y, expected_y, sizeof y);
    assert_int_equal(a.all.rows, 7);
    assert_int_equal(a.all.similar[CM_AUDIT_BOTH], 3);
    assert_int_equal(a.side[0].shared, 1);
    assert_int_equal(a.side[1].shared, 1);
    assert_close(value_of(&a, "overlap"), 3.0 / 7, 1e-12);
    /* A of fold x: r0 twice, r10 with most of the k-mers of r11, r3 like nothing */
    const cm_audit_nearest *n = &a.folds[0].nearest[0];
    assert_int_equal(n->bins[9], 3);
    assert_int_equal(n->bins[0], 1);
    assert_close(n->quantiles[4], 1, 0);
    assert_true(n->quantiles[1] > 0.95 && n->quantiles[1] < 1);
    assert_int_equal(a.all.nearest[0].bins[9], 5);
    cm_audit_clear(&a);
    cm_dataset_destroy(d);
    set_remove(&s);
}

/* Pairs of r0..r9 and p0..p11 with labels by rule: all, or some seven of ten. */
static set product(int (*rule)(int r, int p), double noise, int all) {
    char rows[8192];
    size_t used = 0;
    rows[0] = '\0';
    for (int r = 0; r < 10; r++)
        for (int p = 0; p < MOLECULES; p++) {
            if (!all && cm_rng_uniform(29, (uint64_t)(r * MOLECULES + p)) > 0.7) continue;
            used += (size_t)snprintf(rows + used, sizeof rows - used, "r%d\tp%d\t%g\tx\n", r, p,
                                     rule(r, p) + noise * cm_rng_normal(3, (uint64_t)(r * MOLECULES + p)));
        }
    return set_make(rows);
}

static int label_of_protein(int r, int p) {
    (void)r;
    return p % 2;
}

static int label_of_both(int r, int p) {
    return (int)cm_rng_below(17, (uint64_t)(r * MOLECULES + p), 2);
}

static void identity_tells(void **state) {
    (void)state;
    set s = product(label_of_protein, 0, 0);
    cm_dataset *d = set_open(&s, "rna-protein", NULL, 1);
    cm_audit a = audit_of(d);
    assert_int_equal(a.random_folds, 5);
    assert_true(a.identity[CM_AUDIT_B].main > 0.99 && a.identity[CM_AUDIT_B].auroc > 0.99);
    assert_true(a.identity[CM_AUDIT_BOTH].main > 0.99);
    assert_true(a.identity[CM_AUDIT_A].main < a.identity[CM_AUDIT_B].main - 0.4);
    assert_true(a.composition[CM_AUDIT_B].main > 0.8);
    assert_true(a.composition[CM_AUDIT_A].main < 0.4);
    /* all sequences have one length */
    assert_true(fabs(a.length[CM_AUDIT_BOTH].main) < 0.2);
    assert_int_equal(a.side[1].one_label, MOLECULES);
    assert_int_equal(a.side[0].one_label, 0);
    assert_close(value_of(&a, "identity"), fmax(a.identity[1].main, a.identity[2].main), 0);
    cm_audit_clear(&a);
    cm_dataset_destroy(d);
    set_remove(&s);
}

/* Every RNA has as many positives as negatives, so that its other labels tell a held-out one. */
static void balance_tells(void **state) {
    (void)state;
    set s = product(label_of_protein, 0, 1);
    cm_dataset *d = set_open(&s, "rna-protein", NULL, 1);
    cm_audit a = audit_of(d);
    assert_true(a.identity[CM_AUDIT_A].main > 0.35);
    assert_true(a.composition[CM_AUDIT_A].main < 0);
    cm_audit_clear(&a);
    cm_dataset_destroy(d);
    set_remove(&s);
}

/* Labels that are noise are not predicted, and no view sees the label that it predicts. */
static void nothing_tells(void **state) {
    (void)state;
    set s = product(label_of_both, 0, 1);
    cm_dataset *d = set_open(&s, "rna-protein", NULL, 1);
    cm_audit a = audit_of(d);
    for (int view = 0; view < CM_AUDIT_VIEWS; view++) {
        assert_true(fabs(a.identity[view].main) < 0.35);
        assert_true(fabs(a.composition[view].main) < 0.35);
    }
    cm_audit_clear(&a);
    cm_dataset_destroy(d);
    set_remove(&s);
}

static void affinity(void **state) {
    (void)state;
    set s = product(label_of_protein, 0.05, 1);
    FILE *pairs = fopen(s.pairs, "a");
    assert_non_null(pairs);
    fputs("r0\tp0\t2.5\tx\n", pairs);
    assert_int_equal(fclose(pairs), 0);
    cm_dataset *d = set_open(&s, "rna-protein-affinity", NULL, 1);
    cm_audit a = audit_of(d);
    assert_int_equal(a.repeats, 1);
    assert_int_equal(a.contradictions, 1);
    assert_int_equal(a.pairs, 120);
    assert_true(a.spread > 2 && a.spread < 3);
    assert_true(a.identity[CM_AUDIT_B].main > 0.9 && isnan(a.identity[CM_AUDIT_B].auroc));
    assert_true(a.identity[CM_AUDIT_A].main < 0.4);
    assert_true(isnan(value_of(&a, "one-label")));
    cm_audit_clear(&a);
    cm_dataset_destroy(d);
    set_remove(&s);
}

static void too_few_pairs(void **state) {
    (void)state;
    set s = set_make("r0\tp0\t1\tx\nr1\tp1\t0\tx\nr2\tp2\t0\tx\n");
    cm_dataset *d = set_open(&s, "rna-protein", NULL, 1);
    cm_audit a = audit_of(d);
    assert_int_equal(a.random_folds, 0);
    assert_true(isnan(a.identity[CM_AUDIT_BOTH].main) && isnan(value_of(&a, "identity")));
    assert_int_equal(cm_audit_write(&a, s.json, NULL, NULL), CM_OK);
    cm_audit_clear(&a);
    cm_dataset_destroy(d);
    d = set_open(&s, "rna-protein", NULL, 0);
    cm_options options;
    cm_options_default(&options);
    assert_int_equal(cm_audit_make(&a, d, &options, NULL, NULL), CM_USAGE);
    cm_dataset_destroy(d);
    set_remove(&s);
}

/* Records with letters that they may not have are counted once, with their rows; the others are audited. */
static void faults(void **state) {
    (void)state;
    set s =
        set_make("r0\tp0\t1\tx\nbad\tp1\t0\tx\nbad\tp2\t1\tx\nodd\tp3\t0\ty\nr1\tnone\t1\ty\nr2\tp2\t0\ty\n");
    FILE *a = fopen(s.a, "a");
    assert_non_null(a);
    assert_true(fputs(">bad\nACLLUe\n>unused\nLLLL\n>odd\nAC%GU\n", a) >= 0 && fclose(a) == 0);
    cm_dataset_options options = {
        .task = cm_task_find("rna-protein"), .labels = 1, .keep_duplicates = 1, .bad_records = CM_BAD_SKIP};
    cm_dataset *d = NULL;
    assert_int_equal(cm_dataset_create(&d, &options, NULL), CM_OK);
    assert_int_equal(cm_dataset_add_files(d, s.a, s.b, s.pairs, NULL, NULL), CM_OK);
    cm_audit audit = audit_of(d);
    const cm_audit_faults *f = &audit.side[0].faults;
    assert_int_equal(audit.rows, 2);
    assert_int_equal(audit.unknown_ids, 1);
    assert_int_equal(f->records, 2);
    assert_int_equal(f->rows, 3);
    assert_int_equal(f->amino, 1);
    assert_int_equal(f->letters['L' - 'A'], 2);
    assert_int_equal(f->letters['E' - 'A'], 1);
    assert_int_equal(f->letters['A' - 'A'], 0);
    assert_non_null(strstr(f->examples[0], "(id bad): 'L' at position 3 (an amino acid letter)"));
    assert_non_null(strstr(f->examples[1], "(id odd): '%' at position 3"));
    assert_null(f->examples[2]);
    assert_int_equal(audit.side[1].faults.records, 0);
    assert_close(value_of(&audit, "alphabet"), 2, 0);
    assert_close(value_of(&audit, "unknown-ids"), 1, 0);
    cm_audit_clear(&audit);
    cm_dataset_destroy(d);
    set_remove(&s);
}

static void gates(void **state) {
    (void)state;
    cm_audit_gate gate;
    cm_table_row row;
    assert_int_equal(cm_audit_gate_parse(&gate, "identity:0.25", NULL), CM_OK);
    assert_string_equal(gate.name, "identity");
    assert_close(gate.limit, 0.25, 0);
    const char *const bad[] = {"identit", "identity:", "identity:x", "identity:1x", "identity:nan", ""};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(cm_audit_gate_parse(&gate, bad[i], NULL), CM_USAGE);
    int n = 0;
    for (; cm_audit_gate_row(n, &row); n++)
        assert_int_equal(cm_audit_gate_parse(&gate, row.name, NULL), CM_OK);
    assert_int_equal(n, 8);
}

static void json_and_memory(void **state) {
    (void)state;
    set s = set_make("r0\tp0\t1\tx\nr0\tp1\t0\tx\nr10\tp2\t1\tx\nr3\tp3\t0\ty\nr0\tq0\t1\ty\n");
    cm_dataset *d = set_open(&s, "rna-protein", "fold", 1);
    cm_audit a = audit_of(d);
    assert_int_equal(cm_audit_write(&a, s.json, "audit --x", NULL), CM_OK);
    json_t *read = json_load_file(s.json, 0, NULL);
    assert_non_null(read);
    assert_int_equal(json_integer_value(json_object_get(read, "rows")), 5);
    json_t *all = json_object_get(json_object_get(read, "overlap"), "all");
    assert_int_equal(json_integer_value(json_object_get(all, "rows")), 5);
    json_t *both = json_object_get(json_object_get(read, "identity"), "both");
    assert_null(both);
    both = json_object_get(json_object_get(json_object_get(read, "predictability"), "identity"), "both");
    assert_true(json_is_number(json_object_get(both, "MCC")));
    json_decref(read);
    cm_audit_clear(&a);
    cm_options options;
    cm_options_default(&options);
    for (long n = 0;; n++) {
        fail_alloc_from(n);
        cm_status status = cm_audit_make(&a, d, &options, NULL, NULL);
        bool failed = fail_alloc_stop();
        assert_int_equal(status, failed ? CM_MEMORY : CM_OK);
        cm_audit_clear(&a);
        if (!failed) break;
    }
    cm_dataset_destroy(d);
    set_remove(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_and_molecules),
        cmocka_unit_test(overlap_of_folds),
        cmocka_unit_test(identity_tells),
        cmocka_unit_test(balance_tells),
        cmocka_unit_test(nothing_tells),
        cmocka_unit_test(affinity),
        cmocka_unit_test(too_few_pairs),
        cmocka_unit_test(gates),
        cmocka_unit_test(faults),
        cmocka_unit_test(json_and_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
