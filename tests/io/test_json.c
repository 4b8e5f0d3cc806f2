/* JSON: what is refused and how it is said; members; text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "fail_alloc.h"
#include "io/json.h"
#include <stdlib.h>
#include <string.h>

static char line_text[1024];

/* The error line of a text that must be refused. */
static const char *refusal(const char *text, size_t len) {
    cm_error error;
    json_t *value = NULL;
    assert_int_equal(cm_json_parse(&value, text, len, "f", NULL, &error), CM_DATA);
    assert_null(value);
    return cm_error_line(&error, line_text, sizeof line_text);
}

static void good_texts_are_read(void **state) {
    (void)state;
    static const char *const good[] = {"{}", " [1, 2.5, \"\\u00e9\", null, true]\n", "3", "\"[[[{{{\\\"[\"",
                                       "-0"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        json_t *value = NULL;
        assert_int_equal(cm_json_parse(&value, good[i], strlen(good[i]), "f", NULL, NULL), CM_OK);
        assert_non_null(value);
        json_decref(value);
    }
}

static void bad_texts_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"", "f: line 1 column 0: not JSON: "},
        {"{\"a\":1,\"a\":2}", "duplicate object key"},
        {"{\"w\":1,\"\\u0077\":2}", "duplicate object key"},
        {"{\"a\\u0000\":1}", "\\u0000"},
        {"[\"\\u0000\"]", "\\u0000"},
        {"{} x", "end of file expected"},
        {"[1,\n2,]", "f: line 2 column 3: not JSON"},
        {"\xef\xbb\xbf{}", "not JSON"},
        {"[\"\xff\"]", "unable to decode byte 0xff"},
        {"[NaN]", "not JSON"},
        {"[1e999]", "overflow"},
        {"[99999999999999999999]", "too big"},
        {"]]]", "not JSON"},
        {"\"open", "not JSON"},
        {"\"\\", "not JSON"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const char *line = refusal(bad[i].text, strlen(bad[i].text));
        if (!strstr(line, bad[i].says))
            fail_msg("%s: got \"%s\", wanted \"%s\"", bad[i].text, line, bad[i].says);
    }
    assert_non_null(strstr(refusal("[\"a\0b\"]", 7), "not JSON"));
}

static void place_is_named(void **state) {
    (void)state;
    json_t *value;
    cm_error error;
    assert_int_equal(cm_json_parse(&value, "[", 1, "f", "header", &error), CM_DATA);
    assert_string_equal(error.place, "header");
    assert_non_null(strstr(error.found, "line 1 column 1"));
}

static cm_status parse_nested(int depth, char open, char close) {
    char text[4096];
    json_t *value = NULL;
    memset(text, open, (size_t)depth);
    memset(text + depth, close, (size_t)depth);
    cm_status status = cm_json_parse(&value, text, 2 * (size_t)depth, "f", NULL, NULL);
    json_decref(value);
    return status;
}

static void depth_is_limited(void **state) {
    (void)state;
    assert_int_equal(parse_nested(64, '[', ']'), CM_OK);
    assert_int_equal(parse_nested(65, '[', ']'), CM_DATA);
    cm_buf buf = CM_BUF_EMPTY;
    for (int i = 0; i < 100000; i++) cm_buf_text(&buf, "{\"a\":");
    assert_string_equal(refusal(buf.data, buf.len),
                        "f: found deeper nesting in the JSON text at byte 320, expected at most 64 levels");
    cm_buf_clear(&buf);
    for (int i = 0; i < 200; i++) cm_buf_text(&buf, i == 0 ? "[[]" : ",[]"); /* wide is not deep */
    cm_buf_text(&buf, "]");
    json_t *value = NULL;
    assert_int_equal(cm_json_parse(&value, buf.data, buf.len, "f", NULL, NULL), CM_OK);
    json_decref(value);
    cm_buf_clear(&buf);
}

/* Texts that would take far more memory than they are long. */
static void size_is_limited(void **state) {
    (void)state;
    static const struct {
        const char *item, *says;
        size_t count;
    } large[] = {
        {"{},", "found JSON whose values take about 55 MB of memory, expected at most 48 MB", 200000},
        {"[],", "about 70 MB", 400000},
        {"0,", "about 90 MB", 2000000},
        {"\"\",", "about 95 MB", 1000000},
        {"\"\":0,", "about 48 MB", 332000},
        {"\"0123456789012345678901234567890123456789\"", "about 51 MB", 300000}};
    for (int i = 0; i < 6; i++) {
        size_t width = strlen(large[i].item), len = width * large[i].count;
        char *text = cm_new(len, 1);
        assert_non_null(text);
        for (size_t at = 0; at < len; at += width) memcpy(text + at, large[i].item, width);
        assert_non_null(strstr(refusal(text, len), large[i].says));
        cm_free(text);
    }
}

/* ---- one member after the other ---- */

static cm_status note_member(void *context, const char *key, json_t *value, cm_error *error) {
    cm_buf *seen = context;
    char *text = cm_json_text(value);
    if (strcmp(key, "stop") == 0) {
        cm_free(text);
        return cm_fail(error, CM_USAGE, NULL, NULL, NULL, "stopped");
    }
    cm_buf_printf(seen, "%s=%s;", key, text);
    cm_free(text);
    return CM_OK;
}

static void members_are_visited(void **state) {
    (void)state;
    static const struct {
        const char *text, *seen; /* NULL: refused */
        size_t count;
    } cases[] = {
        {"{}", "", 0},
        {" { } ", "", 0},
        {"{\"a\":1}", "a=1;", 1},
        {"{ \"a\" : [1, {\"x\":2}] ,\"b\":\"}:,\\\"{\" }", "a=[1,{\"x\":2}];b=\"}:,\\\"{\";", 2},
        {"{\"a\":1,\"\\u0061\":-2.5e1}", "a=1;a=-25.0;", 2},
        {"{\"a\":true}\n", "a=true;", 1},
        {"[]", NULL, 0},
        {"", NULL, 0},
        {"{", NULL, 0},
        {"{\"a\"", NULL, 0},
        {"{\"a\":", NULL, 1},
        {"{\"a\":1", NULL, 1},
        {"{\"a\":1,", NULL, 1},
        {"{\"a\":1,}", NULL, 1},
        {"{\"a\":1}}", NULL, 1},
        {"{\"a\":1 2}", NULL, 1},
        {"{\"a\":[1}]}", NULL, 1},
        {"{\"a\":\"\\\"}", NULL, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cm_buf seen = CM_BUF_EMPTY;
        size_t len = strlen(cases[i].text);
        cm_buf_text(&seen, "");
        cm_status status = cm_json_each_member(cases[i].text, len, "f", "header", note_member, &seen, NULL);
        if (status != (cases[i].seen ? CM_OK : CM_DATA))
            fail_msg("%s: status %d", cases[i].text, (int)status);
        if (cases[i].seen) assert_string_equal(seen.data, cases[i].seen);
        assert_int_equal(cm_json_count_members(cases[i].text, len), cases[i].count);
        cm_buf_clear(&seen);
    }
    cm_error error;
    assert_int_equal(cm_json_each_member("{\"stop\":1}", 10, "f", NULL, note_member, NULL, &error), CM_USAGE);
    assert_string_equal(error.found, "stopped");
    assert_int_equal(cm_json_each_member("{\"b\":tru}", 9, "f", "header", note_member, NULL, NULL), CM_DATA);
}

/* Wherever the member is in the text. */
static void the_byte_is_named(void **state) {
    (void)state;
    for (int spaces = 0; spaces < 3; spaces++) {
        char text[64], wanted[64];
        cm_error error = {0};
        cm_buf seen = CM_BUF_EMPTY;
        cm_buf_text(&seen, "");
        snprintf(text, sizeof text, "{\"a\":1,%*s\"b\":[2,tru]}", spaces, "");
        snprintf(wanted, sizeof wanted, "not JSON: byte %d: ", 17 + spaces);
        assert_int_equal(cm_json_each_member(text, strlen(text), "f", "header", note_member, &seen, &error),
                         CM_DATA);
        if (!strstr(error.found, wanted)) fail_msg("'%s' does not hold '%s'", error.found, wanted);
        cm_buf_clear(&seen);
    }
}

static const char *member_refusal(json_t *object, const char *key, json_type type) {
    cm_error error;
    json_t *value = NULL;
    assert_int_equal(cm_json_member(object, key, type, &value, "f", &error), CM_DATA);
    assert_null(value);
    return cm_error_line(&error, line_text, sizeof line_text);
}

static void members_have_types(void **state) {
    (void)state;
    static const char text[] =
        "{\"i\":1,\"r\":1.5,\"s\":\"x\",\"t\":true,\"f\":false,\"n\":null,\"a\":[],\"o\":{}}";
    json_t *object = NULL, *value = NULL;
    assert_int_equal(cm_json_parse(&object, text, strlen(text), "f", NULL, NULL), CM_OK);
    static const struct {
        const char *key;
        json_type type;
    } good[] = {{"i", JSON_INTEGER}, {"i", JSON_REAL},  {"r", JSON_REAL},  {"s", JSON_STRING},
                {"t", JSON_TRUE},    {"f", JSON_TRUE},  {"f", JSON_FALSE}, {"n", JSON_NULL},
                {"a", JSON_ARRAY},   {"o", JSON_OBJECT}};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_int_equal(cm_json_member(object, good[i].key, good[i].type, &value, "f", NULL), CM_OK);
        assert_ptr_equal(value, json_object_get(object, good[i].key));
    }
    assert_string_equal(member_refusal(object, "none", JSON_STRING),
                        "f: key none: found nothing, expected a string");
    assert_string_equal(member_refusal(object, "r", JSON_INTEGER),
                        "f: key r: found a number, expected an integer");
    assert_string_equal(member_refusal(object, "i", JSON_TRUE),
                        "f: key i: found an integer, expected true or false");
    assert_string_equal(member_refusal(json_object_get(object, "a"), "i", JSON_REAL),
                        "f: key i: found nothing, expected a number");
    json_decref(object);
}

static void text_is_compact_and_sorted(void **state) {
    (void)state;
    static const char text[] = "{ \"b\" : [1, 0.1], \"a\" : \"x\\ny\" }";
    json_t *value = NULL;
    assert_int_equal(cm_json_parse(&value, text, strlen(text), "f", NULL, NULL), CM_OK);
    char *out = cm_json_text(value);
    assert_string_equal(out, "{\"a\":\"x\\ny\",\"b\":[1,0.10000000000000001]}");
    cm_free(out);
    fail_alloc_from(0);
    char *none = cm_json_text(value);
    assert_true(fail_alloc_stop());
    assert_null(none);
    json_decref(value);
    assert_null(cm_json_text(NULL));
}

/* ---- failed allocations of jansson ---- */

static long allocations, failing,
    taken; /* failing: the number of the one that fails, 0: none; taken: by a parse */
static bool onwards;

static void *counted(size_t bytes) {
    long number = ++allocations;
    bool fails = failing > 0 && (number == failing || (onwards && number > failing));
    return fails ? NULL : malloc(bytes);
}

/* The text of a value that is parsed while allocation number `number` fails; NULL: out of memory. */
static char *parse_failing(const char *text, long number, bool from_then_on) {
    json_t *value = NULL;
    allocations = 0;
    failing = number;
    onwards = from_then_on;
    cm_status status = cm_json_parse(&value, text, strlen(text), "f", NULL, NULL);
    failing = 0;
    taken = allocations;
    if (status != CM_OK) assert_int_equal(status, CM_MEMORY);
    char *out = value ? cm_json_text(value) : NULL;
    json_decref(value);
    return out;
}

/* The scanner's room for a string grows at 16, 32, 64 ... characters: whatever stands there. */
static void no_character_is_lost(void **state) {
    (void)state;
    static const char *const parts[] = {"\\n", "\\u00e9", "ab\\\"", "\xc3\xa9", "12345"};
    for (size_t p = 0; p < sizeof parts / sizeof *parts; p++)
        for (int shift = 0; shift < 6; shift++) {
            char text[1024] = "[true, 3, {\"k\": \"";
            for (int i = 0; i < shift; i++) strcat(text, ".");
            for (int i = 0; i < 90; i++) strcat(text, parts[p]);
            strcat(text, "\"}]");
            char *whole = parse_failing(text, 0, false);
            long count = taken;
            assert_non_null(whole);
            for (long n = 1; n <= count; n++)
                for (int kind = 0; kind < 2; kind++) {
                    char *found = parse_failing(text, n, kind == 1);
                    assert_null(found);
                }
            cm_free(whole);
        }
}

/* The same in the middle of a number: one that is cut short is none. */
static void no_digit_is_lost(void **state) {
    (void)state;
    static const char *const ends[] = {",1]", " ]", "]", ".25]", "e1 ]", "E-2,3]"};
    for (size_t e = 0; e < sizeof ends / sizeof *ends; e++)
        for (int digits = 1; digits < 19; digits++) {
            char text[64] = "[";
            for (int i = 0; i < digits; i++) strcat(text, "1");
            strcat(text, ends[e]);
            char *whole = parse_failing(text, 0, false);
            long count = taken;
            assert_non_null(whole);
            for (long n = 1; n <= count; n++)
                for (int kind = 0; kind < 2; kind++) assert_null(parse_failing(text, n, kind == 1));
            cm_free(whole);
        }
}

/* The character behind a number or a word, for which the scanner may have to grow, is put back. */
static void words_end_where_memory_does(void **state) {
    (void)state;
    for (int letters = 1; letters < 70; letters++)
        for (long n = 0; n < 12; n++) {
            char text[80] = "[";
            for (int i = 0; i < letters; i++) strcat(text, "a");
            strcat(text, ",1]");
            json_t *value = NULL;
            allocations = 0;
            failing = n;
            cm_status status = cm_json_parse(&value, text, strlen(text), "f", NULL, NULL);
            failing = 0;
            assert_int_equal(status, n > 0 && allocations >= n ? CM_MEMORY : CM_DATA);
            assert_null(value);
        }
}

int main(void) {
    json_set_alloc_funcs(counted, free); /* before the first parse, as a program would */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_texts_are_read),
        cmocka_unit_test(bad_texts_are_refused),
        cmocka_unit_test(place_is_named),
        cmocka_unit_test(depth_is_limited),
        cmocka_unit_test(size_is_limited),
        cmocka_unit_test(members_are_visited),
        cmocka_unit_test(the_byte_is_named),
        cmocka_unit_test(members_have_types),
        cmocka_unit_test(text_is_compact_and_sorted),
        cmocka_unit_test(no_character_is_lost),
        cmocka_unit_test(no_digit_is_lost),
        cmocka_unit_test(words_end_where_memory_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
