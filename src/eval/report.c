/* The report of evaluations: reads what it is made of, puts the parts together, writes the page. */
#include "base/alloc.h"
#include "base/file.h"
#include "eval/report_page.h"
#include "eval/report_parts.h"
#include "io/json.h"
#include <crossmamba/model.h>
#include <stdio.h>
#include <string.h>

/* Where Debian's package puts the library and its licence. */
#define CHART_PACKAGE "libjs-chart.js"
static const char chart_library[] = "/usr/share/javascript/chart.js/chart.min.js";
static const char chart_licence[] = "/usr/share/doc/" CHART_PACKAGE "/copyright";

void cm_report_section(cm_report *report, const char *id, const char *title) {
    CM_HTML_PART(&report->html, "section", {"id", id}, {"title", title});
}

void cm_report_section_end(cm_report *report) {
    CM_HTML_PART(&report->html, "section-end", {0});
}

/* ---- reading ---- */

static cm_status read_card(json_t **card, const char *name, cm_error *error) {
    cm_model *model = NULL;
    CM_TRY(cm_model_open(&model, name, error));
    const char *text = cm_model_card(model);
    cm_status status = cm_json_parse(card, text, strlen(text), name, "card", error);
    cm_model_close(model);
    return status;
}

static cm_status read_all(cm_report *report, cm_error *error) {
    const cm_report_request *r = report->request;
    report->records = cm_new((size_t)r->n_records, sizeof *report->records);
    report->audits = cm_new((size_t)r->n_audits, sizeof *report->audits);
    report->cards = cm_new((size_t)r->n_models, sizeof *report->cards);
    if (!report->records || !report->audits || !report->cards) return cm_fail_memory(error, 0);
    for (int i = 0; i < r->n_records; i++)
        CM_TRY(cm_report_read_record(&report->records[i], r->records[i], error));
    for (int i = 0; i < r->n_audits; i++) {
        CM_TRY(cm_report_read_json(&report->audits[i], r->audits[i], error));
        CM_TRY(cm_report_check_audit(report->audits[i], r->audits[i], error));
    }
    for (int i = 0; i < r->n_models; i++) CM_TRY(read_card(&report->cards[i], r->models[i], error));
    return CM_OK;
}

static void clear(cm_report *report) {
    for (int i = 0; report->records && i < report->request->n_records; i++)
        json_decref(report->records[i].json);
    for (int i = 0; report->audits && i < report->request->n_audits; i++) json_decref(report->audits[i]);
    for (int i = 0; report->cards && i < report->request->n_models; i++) json_decref(report->cards[i]);
    cm_free(report->records);
    cm_free(report->audits);
    cm_free(report->cards);
    json_decref(report->charts);
    cm_buf_clear(&report->html);
}

/* ---- the chart library ---- */

/* A whole file as text with a NUL after it, to be freed with cm_free. */
static cm_status read_text(char **text, const char *path, cm_error *error) {
    cm_file_map map;
    CM_TRY(cm_file_map_open(&map, path, error));
    *text = cm_copy_text(map.data ? (const char *)map.data : "", map.size);
    cm_file_map_close(&map);
    return *text ? CM_OK : cm_fail_memory(error, 0);
}

/* The library as text; it must be able to stand inside a script element. */
static cm_status read_library(char **text, const char *wanted, cm_error *error) {
    const char *path = wanted ? wanted : chart_library;
    cm_error reason = {0};
    cm_status status = read_text(text, path, &reason);
    if (status != CM_OK)
        return cm_fail(error, status, path, "chart library",
                       "Chart.js of the Debian package " CHART_PACKAGE " (apt-get install " CHART_PACKAGE
                       "), or no charts",
                       "%s", reason.found);
    if (strstr(*text, "Chart.js v3") && !strstr(*text, "</script") && !strstr(*text, "<!--")) return CM_OK;
    cm_free(*text);
    *text = NULL;
    return cm_fail(error, CM_DATA, path, "chart library", "Chart.js 3 as one JavaScript file",
                   "something else");
}

/* The licence of Debian's package from its first list of files on (before it stand addresses); of another
 * file the comment that it begins with. */
static cm_status read_licence(char **text, const char *library, const char *wanted, cm_error *error) {
    char *page = NULL;
    if (!wanted && read_text(&page, chart_licence, NULL) == CM_OK) {
        const char *files = strstr(page, "Files: *");
        *text = cm_copy_text(files ? files : page, strlen(files ? files : page));
    } else {
        const char *end = strstr(library, "*/");
        *text = cm_copy_text(library, end ? (size_t)(end + 2 - library) : 0);
    }
    cm_free(page);
    return *text ? CM_OK : cm_fail_memory(error, 0);
}

/* ---- the page ---- */

static void add_nav(cm_report *report) {
    const cm_report_request *r = report->request;
    cm_buf items = CM_BUF_EMPTY;
    CM_HTML_PART(&items, "nav-item", {"id", "summary"}, {"title", "In plain words"});
    CM_HTML_PART(&items, "nav-item", {"id", "compare"}, {"title", "Side by side"});
    for (int i = 0; i < r->n_records; i++) {
        char id[32], title[128];
        snprintf(id, sizeof id, "record-%d", i + 1);
        snprintf(title, sizeof title, "%d. %s", i + 1, report->records[i].name);
        CM_HTML_PART(&items, "nav-item", {"id", id}, {"title", title});
    }
    CM_HTML_PART(&items, "nav-item", {"id", "audit"}, {"title", "Data set"});
    if (r->n_models > 0) CM_HTML_PART(&items, "nav-item", {"id", "model"}, {"title", "Model card"});
    CM_HTML_PART(&items, "nav-item", {"id", "how"}, {"title", "How to read this"});
    CM_HTML_PART(&items, "nav-item", {"id", "commands"}, {"title", "Commands"});
    CM_HTML_PART(&report->html, "nav", {"items", items.data ? items.data : ""});
    report->html.failed |= items.failed;
    cm_buf_clear(&items);
}

static void add_head(cm_report *report) {
    const cm_report_request *r = report->request;
    const cm_report_record *first = &report->records[0];
    char title[160], subtitle[200];
    snprintf(title, sizeof title, "Evaluation: %.100s", cm_report_text(first->json, "task"));
    snprintf(subtitle, sizeof subtitle, "%d record%s, %d audit%s, %d model card%s", r->n_records,
             r->n_records == 1 ? "" : "s", r->n_audits, r->n_audits == 1 ? "" : "s", r->n_models,
             r->n_models == 1 ? "" : "s");
    CM_HTML_PART(&report->html, "head", {"version", CM_LIBRARY_VERSION},
                 {"title", r->title ? r->title : title}, {"subtitle", subtitle},
                 {"style", cm_report_style_sheet});
    add_nav(report);
    CM_HTML_PART(&report->html, report->charts ? "noscript" : "no-charts", {0});
}

static void add_how(cm_report *report) {
    bool kinds[2] = {false, false};
    for (int i = 0; i < report->request->n_records; i++) kinds[report->records[i].affinity] = true;
    cm_report_section(report, "how", "How to read this");
    CM_HTML_PART(&report->html, "how", {0});
    if (kinds[0]) CM_HTML_PART(&report->html, "how-binary", {0});
    if (kinds[1]) CM_HTML_PART(&report->html, "how-affinity", {0});
    cm_report_section_end(report);
}

static void add_command(cm_report *report, const char *command) {
    if (command && *command) CM_HTML_PART(&report->html, "code", {"text", command});
}

static void add_commands(cm_report *report) {
    const cm_report_request *r = report->request;
    cm_report_section(report, "commands", "Commands that made this");
    for (int i = 0; i < r->n_records; i++)
        add_command(report, cm_report_text(report->records[i].json, "command"));
    for (int i = 0; i < r->n_audits; i++) add_command(report, cm_report_text(report->audits[i], "command"));
    add_command(report, r->command);
    cm_report_section_end(report);
}

static void add_body(cm_report *report) {
    add_head(report);
    cm_report_summary(report);
    cm_report_compare_all(report);
    for (int i = 0; i < report->request->n_records; i++) cm_report_record_section(report, i);
    cm_report_audits(report);
    if (report->request->n_models > 0) cm_report_cards(report);
    add_how(report);
    add_commands(report);
}

/* The library, the descriptions of the charts and what draws them; the licence on the page. */
static cm_status add_scripts(cm_report *report, cm_error *error) {
    char *library = NULL, *licence = NULL;
    cm_status status = read_library(&library, report->request->chart_library, error);
    if (status == CM_OK) status = read_licence(&licence, library, report->request->chart_library, error);
    if (status == CM_OK) {
        cm_buf charts = CM_BUF_EMPTY;
        cm_html_json(&charts, report->charts);
        cm_report_section(report, "licence", "Licence of the chart library");
        CM_HTML_PART(&report->html, "licence", {"text", licence});
        cm_report_section_end(report);
        CM_HTML_PART(&report->html, "foot", {"version", CM_LIBRARY_VERSION});
        CM_HTML_PART(&report->html, "scripts", {"charts", charts.data ? charts.data : "[]"},
                     {"library", library}, {"script", cm_report_script});
        report->html.failed |= charts.failed;
        cm_buf_clear(&charts);
    }
    cm_free(library);
    cm_free(licence);
    return status;
}

static cm_status write_page(cm_report *report, const char *path, cm_error *error) {
    const char *library = report->request->chart_library;
    bool wanted = !library || *library;
    cm_json_watch();
    if (wanted && !(report->charts = json_array())) return cm_fail_memory(error, 0);
    add_body(report);
    if (wanted)
        CM_TRY(add_scripts(report, error));
    else
        CM_HTML_PART(&report->html, "foot", {"version", CM_LIBRARY_VERSION});
    CM_HTML_PART(&report->html, "end", {0});
    if (report->html.failed || cm_json_failed()) return cm_fail_memory(error, report->html.len);
    cm_file_part part = {report->html.data, report->html.len};
    return cm_file_replace(path, &part, 1, error);
}

cm_status cm_report_write(const cm_report_request *request, const char *path, cm_error *error) {
    if (request->n_records < 1)
        return cm_fail(error, CM_USAGE, NULL, "records", "at least one record", "none");
    cm_report report = {.request = request};
    cm_status status = read_all(&report, error);
    if (status == CM_OK) status = write_page(&report, path, error);
    clear(&report);
    return status;
}
