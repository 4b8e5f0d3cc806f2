/* The report from made-up records: what it says, what it escapes, what it refuses. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "eval/report_html.h"
#include "fail_alloc.h"
#include <crossmamba/crossmamba.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A folder with a record, a page and a stand-in of the chart library. */
typedef struct place {
    char folder[64], record[96], audit[96], library[96], page[96];
} place;

static void write_text(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0 && fclose(file) == 0);
}

static place place_make(void) {
    place p;
    strcpy(p.folder, "/tmp/crossmamba-test-XXXXXX");
    assert_non_null(mkdtemp(p.folder));
    snprintf(p.record, sizeof p.record, "%s/record.json", p.folder);
    snprintf(p.audit, sizeof p.audit, "%s/audit.json", p.folder);
    snprintf(p.library, sizeof p.library, "%s/chart.js", p.folder);
    snprintf(p.page, sizeof p.page, "%s/page.html", p.folder);
    write_text(p.library, "/* Chart.js v3 stand-in */\nfunction Chart() {}\n");
    return p;
}

static void place_remove(const place *p) {
    unlink(p->record);
    unlink(p->audit);
    unlink(p->library);
    unlink(p->page);
    assert_int_equal(rmdir(p->folder), 0);
}

/* The page, to be freed. */
static char *read_page(const place *p) {
    FILE *file = fopen(p->page, "r");
    assert_non_null(file);
    char *text = calloc(1, 1 << 20);
    assert_non_null(text);
    size_t length = fread(text, 1, (1 << 20) - 1, file);
    assert_true(length > 0 && fclose(file) == 0);
    return text;
}

/* A binary record of a model and a baseline whose MCC differ by difference, with its interval. */
static char *record_text(const char *model, double difference, double low, double high) {
    char *text = NULL;
    assert_true(
        asprintf(
            &text,
            "{\"format\":\"crossmamba evaluation\",\"format_version\":2,\"library_version\":\"x\","
            "\"command\":\"crossmamba eval --compare '%s'\",\"task\":\"rna-protein\",\"unit\":"
            "\"probability\",\"affinity\":false,\"data\":{\"pairs\":120,\"molecules_a\":24,"
            "\"molecules_b\":24,\"sha256\":\"ab\"},\"split\":{\"kind\":\"stratified\",\"folds\":5,"
            "\"repeats\":1,\"seed\":1},\"options\":{},\"models\":[\"%s\",\"id-only\"],\"baselines\":"
            "[\"id-only\"],\"reference\":\"%s\",\"bootstrap_draws\":1000,\"results\":["
            "{\"model\":\"%s\",\"track\":\"honest\",\"fold\":\"all\",\"pairs\":120,\"metrics\":{\"MCC\":"
            "{\"pooled\":0.5,\"low95\":0.4,\"high95\":0.6}},\"overlap\":{\"pairs\":120,\"a\":60,\"b\":30,"
            "\"both\":12}},"
            "{\"model\":\"id-only\",\"track\":\"honest\",\"fold\":\"all\",\"pairs\":120,\"metrics\":"
            "{\"MCC\":{\"pooled\":%g,\"low95\":0.1,\"high95\":0.3,\"difference\":{\"reference\":\"%s\","
            "\"value\":%g,\"low95\":%g,\"high95\":%g,\"p\":0.01}}}}]}",
            model, model, model, model, 0.5 + difference, model, difference, low, high) > 0);
    return text;
}

static cm_status make(const place *p, const char *library, cm_error *error) {
    const char *records[1] = {p->record};
    cm_report_request request = {
        .records = records, .n_records = 1, .chart_library = library, .command = "crossmamba report <x>"};
    return cm_report_write(&request, p->page, error);
}

static char *page_of(const place *p, const char *record) {
    write_text(p->record, record);
    assert_int_equal(make(p, p->library, NULL), CM_OK);
    return read_page(p);
}

static void says_what_the_difference_means(void **state) {
    (void)state;
    static const struct {
        double difference, low, high;
        const char *words;
    } cases[] = {
        {-0.3, -0.4, -0.2, "The model is better by <b>0.300</b> (95&nbsp;% interval 0.200 to 0.400"},
        {-0.1, -0.3, 0.1,
         "interval \xe2\x88\x92"
         "0.100 to 0.300) can not be told from zero"},
        {0.2, 0.1, 0.3, "is <b>better</b> than the model, by 0.200 (95&nbsp;% interval 0.100 to 0.300)"}};
    place p = place_make();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *record = record_text("net", cases[i].difference, cases[i].low, cases[i].high);
        char *page = page_of(&p, record);
        assert_non_null(strstr(page, cases[i].words));
        assert_non_null(strstr(page, "In 10.0&nbsp;% of the tested pairs both molecules"));
        free(page);
        free(record);
    }
    place_remove(&p);
}

static void escapes_everything(void **state) {
    (void)state;
    static const char *const name = "</script><script>alert(1)</script> &amp; \\\"q\\\" \\u202egnol\\u2028";
    place p = place_make();
    char *record = record_text(name, -0.3, -0.4, -0.2), *page = page_of(&p, record);
    assert_null(strstr(page, "<script>alert"));
    assert_null(strstr(page, "\xe2\x80\xae"));
    assert_null(strstr(page, "\xe2\x80\xa8"));
    assert_non_null(strstr(page,
                           "&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt; &amp;amp; &quot;q&quot; "
                           "[U+202E]gnol[U+2028]"));
    assert_non_null(strstr(page, "\\u003c/script\\u003e\\u003cscript\\u003ealert(1)"));
    assert_non_null(strstr(page, "crossmamba report &lt;x&gt;"));
    int scripts = 0;
    for (const char *at = page; (at = strstr(at, "</script>")) != NULL; at++) scripts++;
    assert_int_equal(scripts, 3);
    free(page);
    free(record);
    place_remove(&p);
}

static void shows_hidden_bytes(void **state) {
    (void)state;
    cm_buf out = CM_BUF_EMPTY;
    cm_html_text(&out, "a\xff"
                       "b\xc0\xaf\xed\xa0\x80\x01\xe2\x80\x8b'\xc3\xa9\xe2\x82");
    assert_string_equal(out.data,
                        "a[0xFF]b[0xC0][0xAF][0xED][0xA0][0x80][U+0001][U+200B]&#39;\xc3\xa9[0xE2][0x82]");
    cm_buf_clear(&out);
    assert_string_equal(cm_html_real(-0.0004, 3).text, "0.000");
    assert_string_equal(cm_html_real(-1.5, 2).text, "\xe2\x88\x92"
                                                    "1.50");
    assert_string_equal(cm_html_count(-1234567).text, "-1,234,567");
    assert_string_equal(cm_html_percent(1, 0).text, "\xe2\x80\x93");
}

static void needs_a_library_or_none(void **state) {
    (void)state;
    place p = place_make();
    char *record = record_text("net", -0.3, -0.4, -0.2);
    cm_error error = {0};
    write_text(p.record, record);
    assert_int_equal(make(&p, "/nowhere/chart.js", &error), CM_IO);
    assert_non_null(strstr(error.expected, "libjs-chart.js"));
    assert_int_equal(access(p.page, F_OK), -1);
    write_text(p.library, "Chart.js v3 </script>");
    assert_int_equal(make(&p, p.library, &error), CM_DATA);
    write_text(p.library, "something");
    assert_int_equal(make(&p, p.library, &error), CM_DATA);
    assert_int_equal(make(&p, "", &error), CM_OK);
    char *page = read_page(&p);
    assert_null(strstr(page, "<script"));
    assert_null(strstr(page, "<canvas"));
    assert_non_null(strstr(page, "<table>"));
    free(page);
    free(record);
    place_remove(&p);
}

static void refuses_what_is_no_record(void **state) {
    (void)state;
    static const char *const texts[] = {
        "", "[]", "{}", "{\"format\":\"crossmamba evaluation\",\"format_version\":1}",
        "{\"format\":\"crossmamba evaluation\",\"format_version\":2,\"task\":5}"};
    place p = place_make();
    cm_error error;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        write_text(p.record, texts[i]);
        assert_int_equal(make(&p, "", &error), CM_DATA);
        assert_string_equal(error.file, p.record);
    }
    /* every value replaced by one of another type: refused or left out, never a crash */
    static const char *const others[] = {"null", "[[]]", "{\"pooled\":[]}", "-1e308", "\"\\u0001\""};
    char *good = record_text("net", -0.3, -0.4, -0.2);
    for (char *at = good; (at = strchr(at, ':')) != NULL; at++)
        for (size_t o = 0; o < sizeof others / sizeof *others; o++) {
            char *text = NULL;
            size_t skip = strcspn(at + 1, ",}");
            if (strchr("[{", at[1])) continue;
            assert_true(asprintf(&text, "%.*s%s%s", (int)(at + 1 - good), good, others[o], at + 1 + skip) >
                        0);
            write_text(p.record, text);
            cm_status status = make(&p, p.library, &error);
            assert_true(status == CM_OK || status == CM_DATA);
            free(text);
        }
    free(good);
    cm_report_request none = {0};
    assert_int_equal(cm_report_write(&none, p.page, NULL), CM_USAGE);
    place_remove(&p);
}

static void runs_out_of_memory(void **state) {
    (void)state;
    place p = place_make();
    char *record = record_text("net", -0.3, -0.4, -0.2);
    write_text(p.record, record);
    for (long n = 0;; n++) {
        fail_alloc_from(n);
        cm_status status = make(&p, p.library, NULL);
        bool failed = fail_alloc_stop();
        assert_int_equal(status, failed ? CM_MEMORY : CM_OK);
        if (!failed) break;
    }
    free(record);
    place_remove(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_what_the_difference_means),
        cmocka_unit_test(escapes_everything),
        cmocka_unit_test(shows_hidden_bytes),
        cmocka_unit_test(needs_a_library_or_none),
        cmocka_unit_test(refuses_what_is_no_record),
        cmocka_unit_test(runs_out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
