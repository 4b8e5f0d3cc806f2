/* SMILES tokens. */
#include "bio/smiles.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

typedef struct smiles_case {
    const char *smiles, *tokens; /* tokens joined by blanks */
    size_t skipped;
} smiles_case;

static const smiles_case cases[] = {
    {"", "", 0},
    {"CCO", "C C O", 0},
    {"BrC(Cl)=C", "Br C ( Cl ) = C", 0},
    {"CBC", "C B C", 0},
    {"c1ccccc1", "c 1 c c c c c 1", 0},
    {"[nH]1[C@@H](C)1", "[nH] 1 [C@@H] ( C ) 1", 0},
    {"C%12C%1C%", "C %12 C 1 C", 2},
    {"C%(100)", "C ( 1 0 0 )", 1},
    {"F/C=C\\F", "F / C = C \\ F", 0},
    {"[Na+].[Cl-]", "[Na+] . [Cl-]", 0},
    {"a*~@?>$:#-+", "* ~ @ ? > $ : # - +", 1},
    {"[]C", "C", 2},
    {"[C", "C", 1},
    {"[[C]", "[[C]", 0},
    {"[]]", "", 3},
    {"[]C[O-]", "C [O-]", 2},
    {"Cn Sx", "C n S", 2},
    {"\xc3\xa9"
     "C",
     "C", 2},
    {"Clr", "Cl", 1},
    {"B", "B", 0},
};

static void test_tokens(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char joined[128] = "";
        size_t at = 0, start = 0, skipped = 0, token, used = 0, length = strlen(cases[i].smiles);
        while ((token = cm_smiles_next(cases[i].smiles, length, &at, &start, &skipped)) > 0) {
            assert_int_equal(at, start + token);
            used += (size_t)snprintf(joined + used, sizeof joined - used, "%s%.*s", used > 0 ? " " : "",
                                     (int)token, cases[i].smiles + start);
        }
        assert_string_equal(joined, cases[i].tokens);
        assert_int_equal(skipped, cases[i].skipped);
        assert_int_equal(at, length);
        at = 0;
        for (size_t n = 0; cm_smiles_next(cases[i].smiles, length, &at, &start, NULL) > 0; n++)
            assert_true(n < 64);
    }
}

/* A length that cuts the text: nothing behind it is looked at. */
static void test_length(void **state) {
    (void)state;
    size_t at = 0, start = 0;
    assert_int_equal(cm_smiles_next("Cl", 1, &at, &start, NULL), 1);
    at = 0;
    assert_int_equal(cm_smiles_next("[C]", 2, &at, &start, NULL), 1);
    assert_int_equal(start, 1);
    at = 0;
    assert_int_equal(cm_smiles_next("%12", 2, &at, &start, NULL), 1);
    assert_int_equal(start, 1);
}

/* A run of opening brackets costs time in proportion to its length. */
static void test_many_brackets(void **state) {
    (void)state;
    size_t length = 2000000, at = 0, start = 0, skipped = 0;
    char *text = malloc(length);
    assert_non_null(text);
    memset(text, '[', length);
    assert_int_equal(cm_smiles_next(text, length, &at, &start, &skipped), 0);
    assert_int_equal(skipped, length);
    free(text);
}

static int64_t column(const char *token) {
    return cm_smiles_column(token, strlen(token));
}

static void test_columns(void **state) {
    (void)state;
    static const char *const listed[] = {"C",   "Cl",    "c",    "(",    "=",   "1",
                                         "%10", "[C@H]", "[nH]", "[O-]", "[Ru]"};
    int64_t columns = cm_smiles_vocabulary();
    assert_true(columns >= 60 && columns <= 120);
    assert_int_equal(column("C"), 0);
    for (size_t i = 0; i < sizeof listed / sizeof *listed; i++) {
        assert_true(column(listed[i]) >= 0 && column(listed[i]) < columns - 2);
        for (size_t j = 0; j < i; j++) assert_int_not_equal(column(listed[i]), column(listed[j]));
    }
    assert_int_equal(column("[Xe]"), columns - 2);
    assert_int_equal(column("[13C@@H]"), columns - 2);
    assert_int_equal(column("%99"), columns - 1);
    assert_int_equal(column("*"), columns - 1);
    assert_int_equal(cm_smiles_column("Cl", 1), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokens),
        cmocka_unit_test(test_length),
        cmocka_unit_test(test_many_brackets),
        cmocka_unit_test(test_columns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
