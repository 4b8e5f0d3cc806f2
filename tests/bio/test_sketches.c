/* Similarity: equal, mutated, contained and unrelated molecules; components. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"
#include "bio/sketches.h"
#include "fail_alloc.h"
#include <string.h>

static void fill(char *text, uint64_t key, int length, const char *letters) {
    for (int i = 0; i < length; i++) text[i] = letters[cm_rng_below(key, (uint64_t)i, strlen(letters))];
    text[length] = '\0';
}

/* Every residue is another letter with probability rate. */
static void mutate(char *out, const char *text, uint64_t key, double rate, const char *letters) {
    strcpy(out, text);
    for (size_t i = 0; out[i]; i++)
        if (cm_rng_uniform(key, 2 * i) < rate) {
            size_t n = strlen(letters), at = (size_t)(strchr(letters, text[i]) - letters);
            out[i] = letters[(at + 1 + cm_rng_below(key, 2 * i + 1, n - 1)) % n];
        }
}

static void identity_is_estimated(void **state) {
    (void)state;
    static const struct {
        cm_molecule_type type;
        const char *letters;
        double unrelated; /* at most */
    } cases[] = {{CM_RNA, "ACGU", 0.7}, {CM_PROTEIN, "ACDEFGHIKLMNPQRSTVWY", 0.35}};
    for (int c = 0; c < 2; c++) {
        static char text[5][2001];
        fill(text[0], 7, 2000, cases[c].letters);
        mutate(text[1], text[0], 8, 0.1, cases[c].letters);
        strcpy(text[2], text[0] + 700);
        text[2][300] = '\0';
        fill(text[3], 9, 2000, cases[c].letters);
        strcpy(text[4], text[0]);
        const char *list[5] = {text[0], text[1], text[2], text[3], text[4]};
        int32_t count[5] = {0};
        float row[5];
        cm_sketches *s;
        assert_int_equal(cm_sketches_create(&s, cases[c].type, list, 5, NULL), CM_OK);
        cm_sketches_row(s, 0, count, row);
        assert_true(row[0] == 1 && row[4] == 1);
        assert_true(row[1] > 0.87 && row[1] < 0.93);
        assert_true(row[2] > 0.99);
        assert_true((double)row[3] < cases[c].unrelated);
        for (int i = 0; i < 5; i++) assert_int_equal(count[i], 0);
        cm_sketches_row(s, 3, count, row + 0);
        assert_true((double)row[0] < cases[c].unrelated);
        cm_sketches_destroy(s);
    }
}

static void short_and_strange_texts(void **state) {
    (void)state;
    const char *rna[] = {"ACG", "ACG", "ACU", "NNNNNNNNNNNN", "ACGUACGUA", "ACGUACGU"};
    int32_t count[6] = {0};
    float row[6];
    cm_sketches *s;
    assert_int_equal(cm_sketches_create(&s, CM_RNA, rna, 6, NULL), CM_OK);
    cm_sketches_row(s, 0, count, row);
    assert_true(row[0] == 1 && row[1] == 1 && row[2] == 0 && row[3] == 0 && row[4] == 0);
    cm_sketches_row(s, 5, count, row);
    assert_true(row[4] > 0.99); /* its only k-mer is shared */
    cm_sketches_destroy(s);
}

static void molecules_by_fragments(void **state) {
    (void)state;
    const char *smiles[] = {"CCO", "CCCO", "c1ccccc1", "CCO"};
    int32_t count[4] = {0}, group[4], n;
    float row[4];
    cm_sketches *s;
    assert_int_equal(cm_sketches_create(&s, CM_MOLECULE, smiles, 4, NULL), CM_OK);
    cm_sketches_row(s, 0, count, row);
    assert_true(row[1] > 0 && row[1] < 1 && row[2] == 0 && row[3] == 1);
    assert_int_equal(cm_sketches_components(s, 1, group, &n, NULL), CM_OK);
    assert_int_equal(n, 3);
    assert_int_equal(group[3], group[0]);
    cm_sketches_destroy(s);
}

static void components_chain(void **state) {
    (void)state;
    /* 0 and 2 share nothing, 1 shares with both */
    static char text[4][201], left[101], right[101];
    fill(left, 1, 100, "ACGU");
    fill(right, 2, 100, "ACGU");
    strcpy(text[0], left);
    strcpy(text[2], right);
    strcat(strcpy(text[1], left), right);
    fill(text[3], 3, 100, "ACGU");
    const char *list[4] = {text[0], text[3], text[2], text[1]};
    int32_t group[4], n;
    cm_sketches *s;
    assert_int_equal(cm_sketches_create(&s, CM_RNA, list, 4, NULL), CM_OK);
    assert_int_equal(cm_sketches_components(s, 0.8, group, &n, NULL), CM_OK);
    assert_int_equal(n, 2);
    assert_int_equal(group[0], 0);
    assert_int_equal(group[1], 1);
    assert_int_equal(group[2], 0);
    assert_int_equal(group[3], 0);
    cm_sketches_destroy(s);
}

static void memory_failures_are_reported(void **state) {
    (void)state;
    const char *list[2] = {"ACGUACGUACGU", "ACGUACGUACGA"};
    int32_t group[2], n;
    for (long k = 0;; k++) {
        cm_sketches *s;
        fail_alloc_from(k);
        cm_status status = cm_sketches_create(&s, CM_RNA, list, 2, NULL);
        if (status == CM_OK) status = cm_sketches_components(s, 0.8, group, &n, NULL);
        bool failed = fail_alloc_stop();
        cm_sketches_destroy(s);
        assert_int_equal(status, failed ? CM_MEMORY : CM_OK);
        if (!failed) break;
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(identity_is_estimated),        cmocka_unit_test(short_and_strange_texts),
        cmocka_unit_test(molecules_by_fragments),       cmocka_unit_test(components_chain),
        cmocka_unit_test(memory_failures_are_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
