/* Messages, progress and the stop question reach the callbacks, or nobody. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/log.h"
#include <stdio.h>
#include <string.h>

typedef struct seen {
    char line[2000];
    cm_log_level level;
    cm_progress report;
    int asked;
} seen;

static void on_log(void *context, cm_log_level level, const char *line) {
    seen *record = context;
    record->level = level;
    snprintf(record->line, sizeof record->line, "%s", line);
}

static void on_progress(void *context, const cm_progress *report) {
    ((seen *)context)->report = *report;
}

static int on_stop(void *context) {
    return ++((seen *)context)->asked > 1;
}

static void callbacks_are_called(void **state) {
    (void)state;
    seen record = {0};
    cm_runtime runtime = {.log = on_log, .progress = on_progress, .stop = on_stop, .context = &record};
    cm_log(&runtime, CM_LOG_WARNING, "%d of %s", 3, "four");
    assert_string_equal(record.line, "3 of four");
    assert_int_equal(record.level, CM_LOG_WARNING);
    cm_report(&runtime, "train", 1, 2, "pairs", NULL);
    assert_string_equal(record.report.phase, "train");
    assert_string_equal(record.report.unit, "pairs");
    assert_string_equal(record.report.text, "");
    assert_true(record.report.done == 1 && record.report.total == 2);
    cm_report(&runtime, "train", 2, 2, "pairs", "loss 1");
    assert_string_equal(record.report.text, "loss 1");
    assert_false(cm_stopped(&runtime));
    assert_true(cm_stopped(&runtime));
}

static void long_lines_are_cut(void **state) {
    (void)state;
    seen record = {0};
    cm_runtime runtime = {.log = on_log, .context = &record};
    cm_log(&runtime, CM_LOG_INFO, "%01500d", 1);
    assert_int_equal(strlen(record.line), 1023);
}

static void silence_is_allowed(void **state) {
    (void)state;
    cm_runtime runtime = {0};
    const cm_runtime *silent[] = {NULL, &runtime};
    for (int i = 0; i < 2; i++) {
        cm_log(silent[i], CM_LOG_INFO, "x");
        cm_report(silent[i], "train", 0, 0, "pairs", NULL);
        assert_false(cm_stopped(silent[i]));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(callbacks_are_called),
        cmocka_unit_test(long_lines_are_cut),
        cmocka_unit_test(silence_is_allowed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
