/* The table of tasks. */
#include <crossmamba/tables.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_rows(void **state) {
    (void)state;
    int count;
    const cm_task *rows = cm_task_rows(&count);
    assert_int_equal(count, 5);
    for (int i = 0; i < count; i++) {
        assert_ptr_equal(cm_task_find(rows[i].name), &rows[i]);
        assert_int_equal(strcmp(rows[i].unit, "probability") != 0, rows[i].affinity);
        assert_string_equal(rows[i].encoder_a, "kmer");
        assert_string_equal(rows[i].encoder_b, rows[i].b == CM_MOLECULE ? "morgan" : "kmer");
        assert_true(strlen(rows[i].help) > 10);
    }
}

static void test_find(void **state) {
    (void)state;
    const cm_task *task = cm_task_find("rna-molecule");
    assert_true(task->a == CM_RNA && task->b == CM_MOLECULE && task->affinity);
    assert_string_equal(task->unit, "pKd");
    assert_string_equal(cm_task_find("rna-protein-affinity")->unit, "dG kcal/mol");
    assert_null(cm_task_find("rna"));
    assert_null(cm_task_find(""));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_find)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
