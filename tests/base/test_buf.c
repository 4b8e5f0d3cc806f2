/* The growable buffer: growth, ceiling, sticky failure. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "fail_alloc.h"
#include <string.h>

static void appends_grow(void **state) {
    (void)state;
    cm_buf buf = CM_BUF_EMPTY;
    for (int i = 0; i < 1000; i++) {
        assert_true(cm_buf_printf(&buf, "%04d", i));
        assert_int_equal(buf.len, 4 * (i + 1));
        assert_int_equal(buf.data[buf.len], '\0');
    }
    assert_memory_equal(buf.data + 4 * 777, "0777", 4);
    assert_true(cm_buf_text(&buf, "end"));
    assert_string_equal(buf.data + 4000, "end");
    cm_buf_clear(&buf);
    assert_null(buf.data);
    assert_int_equal(buf.len, 0);
}

static void bytes_may_be_nul_and_none(void **state) {
    (void)state;
    cm_buf buf = CM_BUF_EMPTY;
    assert_true(cm_buf_append(&buf, NULL, 0));
    assert_true(cm_buf_append(&buf, "a\0b", 3));
    assert_int_equal(buf.len, 3);
    assert_memory_equal(buf.data, "a\0b", 4);
    cm_buf_clear(&buf);
}

static void ceiling_holds_and_failure_stays(void **state) {
    (void)state;
    cm_buf buf = {.ceiling = 10};
    assert_true(cm_buf_text(&buf, "0123456789"));
    assert_false(cm_buf_text(&buf, "x"));
    assert_true(buf.failed);
    assert_false(cm_buf_append(&buf, "", 0));
    assert_false(cm_buf_printf(&buf, "%d", 1));
    assert_string_equal(buf.data, "0123456789");
    cm_buf_clear(&buf);
    assert_false(buf.failed);
    assert_false(cm_buf_append(&buf, "x", SIZE_MAX));
    cm_buf_clear(&buf);
}

static void out_of_memory_fails(void **state) {
    (void)state;
    cm_buf buf = CM_BUF_EMPTY;
    fail_alloc_from(1);
    bool first = cm_buf_text(&buf, "short");
    bool second = cm_buf_printf(&buf, "%0500d", 1);
    assert_true(fail_alloc_stop());
    assert_true(first);
    assert_false(second);
    assert_true(buf.failed);
    assert_string_equal(buf.data, "short");
    cm_buf_clear(&buf);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends_grow),
        cmocka_unit_test(bytes_may_be_nul_and_none),
        cmocka_unit_test(ceiling_holds_and_failure_stays),
        cmocka_unit_test(out_of_memory_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
