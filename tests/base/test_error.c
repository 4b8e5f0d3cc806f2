/* The error record: texts are made printable and cut; lines leave out what is empty. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/fail.h"
#include <errno.h>
#include <string.h>

static const char *line_of(const cm_error *error) {
    static char line[1024];
    return cm_error_line(error, line, sizeof line);
}

static void statuses_have_texts(void **state) {
    (void)state;
    assert_string_equal(cm_status_text(CM_OK), "done");
    assert_string_equal(cm_status_text(CM_DATA), "bad data");
    assert_string_equal(cm_status_text(CM_INTERRUPTED), "interrupted");
    assert_string_equal(cm_status_text((cm_status)99), "unknown status");
}

static void lines_leave_out_empty_fields(void **state) {
    (void)state;
    cm_error error;
    assert_int_equal(cm_fail(&error, CM_DATA, "a.tsv", "line 3", "a number", "%s", "x"), CM_DATA);
    assert_int_equal(error.status, CM_DATA);
    assert_string_equal(line_of(&error), "a.tsv: line 3: found x, expected a number");
    cm_fail(&error, CM_DATA, "a.tsv", NULL, NULL, "empty");
    assert_string_equal(line_of(&error), "a.tsv: empty");
    cm_fail(&error, CM_DATA, "a.tsv", "line 1", NULL, "empty");
    assert_string_equal(line_of(&error), "a.tsv: line 1: empty");
    cm_fail(&error, CM_USAGE, NULL, NULL, "one of two", "%s", "");
    assert_string_equal(line_of(&error), "expected one of two");
    error = (cm_error){.status = CM_MODEL};
    assert_string_equal(line_of(&error), "missing or unsuitable model");
}

static void lines_are_cut(void **state) {
    (void)state;
    cm_error error;
    char line[12];
    cm_fail(&error, CM_DATA, "file", "place", "this", "that");
    assert_string_equal(cm_error_line(&error, line, sizeof line), "file: place");
    assert_string_equal(cm_error_line(&error, line, 1), "");
}

static void texts_become_printable(void **state) {
    (void)state;
    cm_error error;
    cm_fail(&error, CM_DATA, "a\nb", "\xff", "\t", "%s", "\x1b[31m \xc3\xa9 ~");
    assert_string_equal(error.file, "a\\x0ab");
    assert_string_equal(error.place, "\\xff");
    assert_string_equal(error.expected, "\\x09");
    assert_string_equal(error.found, "\\x1b[31m \\xc3\\xa9 ~");
    assert_string_equal(cm_format("%c%d", 7, 7).text, "\\x077");
}

/* The cut is at a whole character or escape, and is shown. */
static void long_texts_are_cut(void **state) {
    (void)state;
    char text[2000];
    cm_error error;
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    cm_fail(&error, CM_DATA, text, text, text, "%s", text);
    assert_int_equal(strlen(error.file), sizeof error.file - 1);
    assert_int_equal(strlen(error.place), sizeof error.place - 1);
    assert_int_equal(strlen(error.found), sizeof error.found - 1);
    assert_string_equal(error.found + sizeof error.found - 5, "x...");
    assert_int_equal(strlen(cm_format("%s", text).text), 95);
    text[95] = '\0';
    assert_string_equal(cm_format("%s", text).text, text); /* just fits: not cut */
    memset(text, '\xee', sizeof text - 1);
    cm_fail(&error, CM_DATA, text, NULL, NULL, "x");
    assert_string_equal(error.file + strlen(error.file) - 7, "\\xee...");
}

static void parts_of_the_record_can_be_reused(void **state) {
    (void)state;
    cm_error error;
    cm_fail(&error, CM_DATA, "f", "p", "e", "w");
    cm_fail(&error, CM_DATA, error.expected, error.found, error.file, "%s", error.place);
    assert_string_equal(line_of(&error), "e: w: found p, expected f");
}

static void no_record_is_allowed(void **state) {
    (void)state;
    assert_int_equal(cm_fail(NULL, CM_NUMERIC, "f", NULL, NULL, "%d", 1), CM_NUMERIC);
    assert_int_equal(cm_fail_memory(NULL, 1), CM_MEMORY);
    assert_int_equal(cm_fail_errno(NULL, "f", "cannot", EIO), CM_IO);
}

static void memory_and_errno(void **state) {
    (void)state;
    cm_error error;
    assert_int_equal(cm_fail_memory(&error, 12345), CM_MEMORY);
    assert_string_equal(line_of(&error), "out of memory (12345 bytes)");
    cm_fail_memory(&error, 0);
    assert_string_equal(line_of(&error), "out of memory");
    assert_int_equal(cm_fail_errno(&error, "f", "cannot open", ENOENT), CM_IO);
    assert_string_equal(line_of(&error), "f: cannot open: No such file or directory");
}

static cm_status try_twice(cm_status first, int *reached) {
    CM_TRY(first);
    *reached = 1;
    return CM_OK;
}

static void try_leaves(void **state) {
    (void)state;
    int reached = 0;
    assert_int_equal(try_twice(CM_IO, &reached), CM_IO);
    assert_int_equal(reached, 0);
    assert_int_equal(try_twice(CM_OK, &reached), CM_OK);
    assert_int_equal(reached, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statuses_have_texts),  cmocka_unit_test(lines_leave_out_empty_fields),
        cmocka_unit_test(lines_are_cut),        cmocka_unit_test(texts_become_printable),
        cmocka_unit_test(long_texts_are_cut),   cmocka_unit_test(parts_of_the_record_can_be_reused),
        cmocka_unit_test(no_record_is_allowed), cmocka_unit_test(memory_and_errno),
        cmocka_unit_test(try_leaves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
