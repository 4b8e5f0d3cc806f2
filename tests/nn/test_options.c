/* The options: defaults, strict reading, writing that reads back. */
#include "base/fail.h"
#include <crossmamba/options.h>
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_defaults(void **state) {
    (void)state;
    cm_options o, p;
    cm_options_default(&o);
    assert_string_equal(o.fusion, "crossmamba");
    assert_int_equal(o.dim, 256);
    assert_true(o.learning_rate == 1e-4);
    assert_int_equal(o.tied, 0);
    int count;
    const cm_option_row *rows = cm_option_rows(&count);
    assert_true(count > 25);
    cm_options_default(&p);
    memset(&p, 0x55, sizeof p);
    for (int i = 0; i < count; i++) {
        char text[80], back[80];
        assert_int_equal(cm_options_set(&p, rows[i].name, rows[i].standard, NULL), CM_OK);
        assert_string_equal(cm_options_get(&o, rows[i].name, text, sizeof text),
                            cm_options_get(&p, rows[i].name, back, sizeof back));
        assert_true(strlen(rows[i].help) > 5);
    }
}

static void test_accepted(void **state) {
    (void)state;
    const char *const good[][3] = {{"dim", "8", "8"},
                                   {"dim", "4096", "4096"},
                                   {"d-state", "007", "7"},
                                   {"d_state", "1", "1"},
                                   {"head-dropout", ".25", "0.25"},
                                   {"head_dropout", "5e-1", "0.5"},
                                   {"head_dropout", "0.", "0"},
                                   {"head_dropout", "-0", "-0"},
                                   {"learning_rate", "0.1E-2", "0.001"},
                                   {"learning_rate", "0.30000000000000004", "0.30000000000000004"},
                                   {"huber_delta", "1e+6", "1e+06"},
                                   {"tied", "1", "1"},
                                   {"layout", "windows:64", "windows:64"},
                                   {"encoder_a", "", ""}};
    cm_options o;
    char text[80];
    cm_options_default(&o);
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(cm_options_set(&o, good[i][0], good[i][1], NULL), CM_OK);
        assert_string_equal(cm_options_get(&o, good[i][0], text, sizeof text), good[i][2]);
    }
}

static void test_refused(void **state) {
    (void)state;
    const char *const bad[][3] = {{"dim", "7", "an integer from 8 to 4096"},
                                  {"dim", "4097", "an integer from 8 to 4096"},
                                  {"dim", "64x", "an integer from 8 to 4096"},
                                  {"dim", " 64", "an integer from 8 to 4096"},
                                  {"dim", "64.0", "an integer from 8 to 4096"},
                                  {"dim", "", "an integer from 8 to 4096"},
                                  {"dim", "-", "an integer from 8 to 4096"},
                                  {"dim", "99999999999999999999", "an integer from 8 to 4096"},
                                  {"tied", "2", "0 or 1"},
                                  {"tied", "yes", "0 or 1"},
                                  {"dropout", "0.96", "a number from 0 to 0.95"},
                                  {"dropout", "-0.01", "a number from 0 to 0.95"},
                                  {"dropout", "nan", "a number from 0 to 0.95"},
                                  {"dropout", "inf", "a number from 0 to 0.95"},
                                  {"dropout", "0x0p0", "a number from 0 to 0.95"},
                                  {"dropout", "0,5", "a number from 0 to 0.95"},
                                  {"dropout", ".", "a number from 0 to 0.95"},
                                  {"dropout", "1e", "a number from 0 to 0.95"},
                                  {"dropout", "0.1 ", "a number from 0 to 0.95"},
                                  {"clip_norm", "1e999", "a number from 0 to 1e+09"},
                                  {"dims", "8", "the name of an option"},
                                  {"di", "8", "the name of an option"},
                                  {"", "8", "the name of an option"}};
    cm_options before, o;
    cm_options_default(&before);
    cm_options_default(&o);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cm_error e;
        assert_int_equal(cm_options_set(&o, bad[i][0], bad[i][1], &e), CM_USAGE);
        assert_string_equal(e.expected, bad[i][2]);
        assert_string_equal(e.place, bad[i][0]);
        assert_memory_equal(&o, &before, sizeof o);
    }
    char text[257], back[300];
    memset(text, 'x', 256);
    text[256] = 0;
    cm_error e;
    assert_int_equal(cm_options_set(&o, "layout", text, &e), CM_USAGE);
    assert_string_equal(e.expected, "at most 255 bytes");
    text[255] = 0;
    assert_int_equal(cm_options_set(&o, "layout", text, &e), CM_OK);
    assert_string_equal(cm_options_get(&o, "layout", back, sizeof back), text);
    assert_null(cm_options_get(&o, "layouts", back, sizeof back));
}

/* A locale with a decimal comma changes nothing (where one is installed). */
static void test_locale(void **state) {
    (void)state;
    if (!setlocale(LC_NUMERIC, "de_DE.UTF-8") && !setlocale(LC_NUMERIC, "fr_FR.UTF-8")) skip();
    cm_options o;
    char text[80];
    cm_options_default(&o);
    assert_int_equal(cm_options_set(&o, "dropout", "0.5", NULL), CM_OK);
    assert_true(o.dropout == 0.5);
    assert_string_equal(cm_options_get(&o, "dropout", text, sizeof text), "0.5");
    setlocale(LC_NUMERIC, "C");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_accepted),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_locale),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
