/* The section of one record: what was evaluated, its tables, and where its figures stand. */
#include "base/alloc.h"
#include "eval/report_parts.h"
#include "metrics/metrics.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* A row with the name of a model; the headline's is marked. */
static void model_row(cm_report *report, const cm_report_record *r, const char *model) {
    bool headline = strcmp(model, r->headline) == 0;
    cm_buf_text(&report->html, headline ? "<tr class=\"headline\">" : "<tr>");
    cm_buf_text(&report->html, "<th scope=\"row\"><bdi>");
    cm_html_text(&report->html, model);
    cm_buf_text(&report->html, "</bdi></th>");
}

/* ---- facts ---- */

static void fact(cm_report *report, const char *name, const char *value) {
    cm_html_row(&report->html, name);
    cm_html_cell_long(&report->html, value);
    cm_html_row_end(&report->html);
}

static void split_fact(cm_report *report, const json_t *split) {
    char text[256];
    double folds = cm_report_number(split, "folds"), repeats = cm_report_number(split, "repeats");
    const char *column = cm_report_text(split, "column"), *test = cm_report_text(split, "test_fold"),
               *train = cm_report_text(split, "train_fold");
    int at = snprintf(text, sizeof text, "%s", cm_report_text(split, "kind"));
    if (folds > 0) at += snprintf(text + at, sizeof text - (size_t)at, ", %.0f folds", folds);
    if (*column && at < 200) at += snprintf(text + at, sizeof text - (size_t)at, ", column %.30s", column);
    if (*test && at < 200) at += snprintf(text + at, sizeof text - (size_t)at, ", tested %.30s", test);
    if (*train && at < 200) at += snprintf(text + at, sizeof text - (size_t)at, ", trained on %.30s", train);
    if (at < 200)
        snprintf(text + at, sizeof text - (size_t)at, "; %.0f repeat%s, seed %.0f", repeats,
                 repeats > 1.5 ? "s" : "", cm_report_number(split, "seed"));
    fact(report, "Split", text);
}

static void facts(cm_report *report, const cm_report_record *r) {
    static const char *const columns[] = {"What", "|Value"};
    const json_t *data = json_object_get(r->json, "data");
    char text[256];
    cm_html_table(&report->html, NULL, columns, 2);
    fact(report, "File", r->path);
    snprintf(text, sizeof text, "%s (%s)", cm_report_text(r->json, "task"), r->unit);
    fact(report, "Task", text);
    snprintf(text, sizeof text, "%s pairs, %s molecules A, %s molecules B",
             cm_html_count(cm_report_number(data, "pairs")).text,
             cm_html_count(cm_report_number(data, "molecules_a")).text,
             cm_html_count(cm_report_number(data, "molecules_b")).text);
    fact(report, "Data", text);
    fact(report, "Data sha256", cm_report_text(data, "sha256"));
    split_fact(report, json_object_get(r->json, "split"));
    fact(report, "Reference of comparisons", cm_report_text(r->json, "reference"));
    snprintf(text, sizeof text, "%.0f bootstrap draws over molecules",
             cm_report_number(r->json, "bootstrap_draws"));
    fact(report, "Intervals", text);
    fact(report, "Made by", cm_report_text(r->json, "library_version"));
    cm_html_table_end(&report->html);
}

/* ---- metrics ---- */

static void metrics_table(cm_report *report, const cm_report_record *r, const cm_report_view *view) {
    const char *columns[CM_METRICS_MAX + 1] = {"Model"};
    int n = cm_metrics_count(r->affinity);
    for (int m = 0; m < n; m++) columns[m + 1] = cm_metrics_name(r->affinity, m);
    cm_html_table(&report->html, "All tested pairs together, with 95 % intervals", columns, n + 1);
    for (size_t i = 0; i < json_array_size(r->models); i++) {
        const json_t *result = cm_report_result(r, cm_report_model(r, i), view);
        if (!result) continue;
        model_row(report, r, cm_report_model(r, i));
        for (int m = 0; m < n; m++)
            cm_html_cell_interval(&report->html, cm_report_metric(result, columns[m + 1], "pooled"),
                                  cm_report_metric(result, columns[m + 1], "low95"),
                                  cm_report_metric(result, columns[m + 1], "high95"), 3);
        cm_html_row_end(&report->html);
    }
    cm_html_table_end(&report->html);
}

static void difference_cells(cm_report *report, const json_t *result, const char *metric) {
    const json_t *all = json_object_get(json_object_get(result, "metrics"), metric);
    const json_t *d = json_object_get(all, "difference");
    cm_html_cell_interval(&report->html, cm_report_number(d, "value"), cm_report_number(d, "low95"),
                          cm_report_number(d, "high95"), 3);
    cm_html_cell_number(&report->html, cm_html_real(cm_report_number(d, "p"), 3));
}

/* Differences from the reference in the metrics that do not depend on a threshold, and the main one. */
static void differences_table(cm_report *report, const cm_report_record *r, const cm_report_view *view) {
    static const char *const shown[2][3] = {{"MCC", "AUROC", "AUPRC"}, {"Pearson", "Spearman", "RMSE"}};
    const char *columns[7] = {"Model"};
    const char *const *metrics = shown[r->affinity];
    const char *reference = cm_report_text(r->json, "reference");
    if (json_array_size(r->models) < 2) return;
    char caption[160];
    for (int m = 0; m < 3; m++) {
        columns[1 + 2 * m] = metrics[m];
        columns[2 + 2 * m] = "p";
    }
    snprintf(caption, sizeof caption, "Difference from the reference %.80s, paired, with 95 %% intervals",
             reference);
    cm_html_table(&report->html, caption, columns, 7);
    for (size_t i = 0; i < json_array_size(r->models); i++) {
        const json_t *result = cm_report_result(r, cm_report_model(r, i), view);
        if (!result || strcmp(cm_report_model(r, i), reference) == 0) continue;
        model_row(report, r, cm_report_model(r, i));
        for (int m = 0; m < 3; m++) difference_cells(report, result, metrics[m]);
        cm_html_row_end(&report->html);
    }
    cm_html_table_end(&report->html);
}

/* Tested pairs with an interval or a set. */
static double promises(const cm_report_record *r, const char *model, const cm_report_view *view) {
    return cm_report_number(json_object_get(cm_report_result(r, model, view), "conformal"), "pairs");
}

static void promise_table(cm_report *report, const cm_report_record *r, const cm_report_view *view) {
    static const char *const binary[] = {"Model", "Pairs with a set", "Truth in its set, %",
                                         "Classes in a set", "Sets with one class, %"};
    static const char *const affinity[] = {"Model", "Pairs with an interval", "Truth in its interval, %",
                                           "Mean width"};
    bool any = false;
    for (size_t i = 0; i < json_array_size(r->models); i++)
        any |= promises(r, cm_report_model(r, i), view) > 0;
    if (!any) return;
    cm_html_table(&report->html, "Conformal prediction, promised 90 %", r->affinity ? affinity : binary,
                  r->affinity ? 4 : 5);
    for (size_t i = 0; i < json_array_size(r->models); i++) {
        const json_t *c = json_object_get(cm_report_result(r, cm_report_model(r, i), view), "conformal");
        if (!(promises(r, cm_report_model(r, i), view) > 0)) continue;
        model_row(report, r, cm_report_model(r, i));
        cm_html_cell_number(&report->html, cm_html_count(cm_report_number(c, "pairs")));
        cm_html_cell_number(&report->html, cm_html_percent(cm_report_number(c, "coverage"), 1));
        cm_html_cell_number(&report->html, cm_html_real(cm_report_number(c, "width"), 2));
        if (!r->affinity)
            cm_html_cell_number(&report->html, cm_html_percent(cm_report_number(c, "single"), 1));
        cm_html_row_end(&report->html);
    }
    cm_html_table_end(&report->html);
}

/* ---- folds ---- */

/* The rows of the folds of the first model, the cells of all. */
static void folds_table(cm_report *report, const cm_report_record *r, const cm_report_view *view) {
    size_t models = json_array_size(r->models);
    const char **columns = cm_new(models + 2, sizeof *columns);
    const json_t *folds = json_object_get(cm_report_result(r, r->headline, view), "folds");
    if (!columns || json_array_size(folds) == 0) {
        report->html.failed |= !columns;
        cm_free(columns);
        return;
    }
    columns[0] = "Repeat, fold";
    columns[1] = "Pairs";
    for (size_t i = 0; i < models; i++) columns[i + 2] = cm_report_model(r, i);
    CM_HTML_PART(&report->html, "fold", {"title", "Fold by fold"});
    char text[64];
    snprintf(text, sizeof text, "%s of every fold", r->metric);
    cm_html_table(&report->html, text, columns, (int)models + 2);
    for (size_t f = 0; f < json_array_size(folds); f++) {
        const json_t *fold = json_array_get(folds, f);
        snprintf(text, sizeof text, "%.0f, %.0f", cm_report_number(fold, "repeat"),
                 cm_report_number(fold, "fold"));
        cm_html_row(&report->html, text);
        cm_html_cell_number(&report->html, cm_html_count(cm_report_number(fold, "pairs")));
        for (size_t i = 0; i < models; i++) {
            const json_t *of = json_object_get(cm_report_result(r, cm_report_model(r, i), view), "folds");
            cm_html_cell_number(
                &report->html,
                cm_html_real(cm_report_number(json_object_get(json_array_get(of, f), "metrics"), r->metric),
                             3));
        }
        cm_html_row_end(&report->html);
    }
    cm_html_table_end(&report->html);
    CM_HTML_PART(&report->html, "fold-end", {0});
    cm_free(columns);
}

/* ---- residuals ---- */

static void residual_row(cm_report *report, const cm_report_record *r, const json_t *one) {
    const json_t *quantiles = json_object_get(one, "quantiles"), *metric = json_object_get(one, "metric");
    cm_html_row(&report->html, cm_report_text(one, "value"));
    cm_html_cell_number(&report->html, cm_html_count(cm_report_number(one, "pairs")));
    cm_html_cell_interval(&report->html, cm_report_number(metric, "pooled"),
                          cm_report_number(metric, "low95"), cm_report_number(metric, "high95"), 3);
    cm_html_cell_number(&report->html, cm_html_real(cm_report_number(one, "bias"), 3));
    cm_html_cell_number(&report->html, cm_html_real(cm_report_number(one, "rmse"), 3));
    if (r->affinity)
        for (size_t q = 0; q < 5; q++)
            cm_html_cell_number(&report->html, cm_html_real(cm_report_element(quantiles, q), 2));
    cm_html_row_end(&report->html);
}

static void residuals_of_model(cm_report *report, const cm_report_record *r, const char *model,
                               const json_t *residuals, const char *column) {
    const char *const columns[] = {column, "Pairs", r->metric, "Bias", "RMSE",
                                   "5 %",  "25 %",  "Median",  "75 %", "95 %"};
    char caption[256];
    snprintf(caption, sizeof caption, "%.80s by %.80s: predicted %s", model, column,
             r->affinity ? "minus measured, with its quantiles" : "probability minus truth");
    cm_html_table(&report->html, caption, columns, r->affinity ? 10 : 5);
    for (size_t i = 0; i < json_array_size(residuals); i++)
        if (strcmp(cm_report_text(json_array_get(residuals, i), "column"), column) == 0)
            residual_row(report, r, json_array_get(residuals, i));
    cm_html_table_end(&report->html);
}

/* Tables of the headline and of the best baseline for every column that the record tells apart. */
static void residual_tables(cm_report *report, const cm_report_record *r, const cm_report_view *view) {
    const char *const models[2] = {r->headline, cm_report_best_baseline(r, view)};
    const json_t *all = json_object_get(cm_report_result(r, r->headline, view), "residuals");
    for (size_t i = 0; i < json_array_size(all); i++) {
        const char *column = cm_report_text(json_array_get(all, i), "column");
        if (i > 0 && strcmp(cm_report_text(json_array_get(all, i - 1), "column"), column) == 0) continue;
        for (int m = 0; m < 2; m++) {
            const json_t *of = json_object_get(cm_report_result(r, models[m], view), "residuals");
            if (of && (m == 0 || strcmp(models[1], models[0]) != 0))
                residuals_of_model(report, r, models[m], of, column);
        }
    }
}

/* ---- scrambled labels ---- */

static void scramble_table(cm_report *report, const cm_report_record *r) {
    static const char *const columns[] = {"Model",
                                          "Runs",
                                          "Mean",
                                          "Standard deviation",
                                          "Lowest",
                                          "Highest",
                                          "With the real labels",
                                          "Rank of the real value"};
    const json_t *all = json_object_get(r->json, "scramble");
    if (json_array_size(all) == 0) return;
    CM_HTML_PART(&report->html, "heading", {"title", "With permuted labels"});
    char caption[120];
    snprintf(caption, sizeof caption, "%s when the labels are permuted: what is left is no knowledge",
             r->metric);
    cm_html_table(&report->html, caption, columns, 8);
    for (size_t i = 0; i < json_array_size(all); i++) {
        static const char *const keys[] = {"mean", "sd", "min", "max", "real"};
        const json_t *one = json_array_get(all, i);
        const json_t *m = json_object_get(json_object_get(one, "metrics"), r->metric);
        model_row(report, r, cm_report_text(one, "model"));
        cm_html_cell_number(&report->html, cm_html_real(cm_report_number(one, "runs"), 0));
        for (int k = 0; k < 5; k++)
            cm_html_cell_number(&report->html, cm_html_real(cm_report_number(m, keys[k]), 3));
        cm_html_cell_number(&report->html, cm_html_real(cm_report_number(m, "rank"), 0));
        cm_html_row_end(&report->html);
    }
    cm_html_table_end(&report->html);
}

/* ---- the section ---- */

static void view_heading(cm_report *report, const cm_report_view *view) {
    char title[320];
    snprintf(title, sizeof title, "Track %.100s%s%.160s", view->track,
             strcmp(view->fold, "all") ? ", tested on " : "", strcmp(view->fold, "all") ? view->fold : "");
    CM_HTML_PART(&report->html, "heading", {"title", title});
}

/* How far single predictions can be trusted: for the honest track alone. */
static void trust_parts(cm_report *report, const cm_report_record *r, const cm_report_view *view) {
    cm_report_reliability(report, r, view);
    cm_report_residual_figures(report, r, view);
    residual_tables(report, r, view);
    promise_table(report, r, view);
}

void cm_report_record_section(cm_report *report, int number) {
    const cm_report_record *r = &report->records[number];
    char id[32], title[200];
    snprintf(id, sizeof id, "record-%d", number + 1);
    snprintf(title, sizeof title, "%d. %s", number + 1, r->name);
    cm_report_section(report, id, title);
    facts(report, r);
    for (int v = 0; v < r->n_views; v++) {
        const cm_report_view *view = &r->views[v];
        view_heading(report, view);
        const char *says = cm_report_text(json_object_get(r->json, "tracks"), view->track);
        if (*says) CM_HTML_PART(&report->html, "paragraph", {"text", says});
        metrics_table(report, r, view);
        differences_table(report, r, view);
        cm_report_curves(report, r, view);
        cm_report_scatters(report, r, view);
        if (!cm_report_is_paper(view)) trust_parts(report, r, view);
        cm_report_learning(report, r, view);
        folds_table(report, r, view);
    }
    scramble_table(report, r);
    cm_report_section_end(report);
}

/* ---- side by side ---- */

static void compare_rows(cm_report *report, int number, const cm_report_view *view) {
    const cm_report_record *r = &report->records[number];
    for (size_t i = 0; i < json_array_size(r->models); i++) {
        const json_t *result = cm_report_result(r, cm_report_model(r, i), view);
        if (!result) continue;
        char where[320] = "", split[200];
        snprintf(split, sizeof split, "%.60s%s%.80s",
                 cm_report_text(json_object_get(r->json, "split"), "kind"),
                 strcmp(view->fold, "all") ? ", " : "", strcmp(view->fold, "all") ? view->fold : "");
        if (report->request->n_records > 1) snprintf(where, sizeof where, "%d. %s: ", number + 1, r->name);
        snprintf(where + strlen(where), sizeof where - strlen(where), "%s", split);
        model_row(report, r, cm_report_model(r, i));
        cm_html_cell_interval(&report->html, cm_report_metric(result, r->metric, "pooled"),
                              cm_report_metric(result, r->metric, "low95"),
                              cm_report_metric(result, r->metric, "high95"), 3);
        cm_html_cell(&report->html, where);
        cm_html_cell(&report->html, view->track);
        cm_html_cell_number(&report->html, cm_html_count(cm_report_number(result, "pairs")));
        cm_html_cell_number(&report->html, cm_html_real(cm_report_metric(result, r->metric, "mean"), 3));
        cm_html_cell_number(&report->html, cm_html_real(cm_report_metric(result, r->metric, "sd"), 3));
        difference_cells(report, result, r->metric);
        cm_html_row_end(&report->html);
    }
}

static void compare_kind(cm_report *report, bool affinity) {
    const char *metric = cm_metrics_name(affinity, cm_metrics_main(affinity));
    bool any = false;
    const char *columns[] = {"Model",  metric,
                             "|Split", "|Track",
                             "Pairs",  "Mean over folds",
                             "sd",     "Difference from the reference",
                             "p"};
    for (int i = 0; i < report->request->n_records; i++) any |= report->records[i].affinity == affinity;
    if (!any) return;
    cm_report_overview(report, affinity);
    char caption[80];
    snprintf(caption, sizeof caption, "%s of every model, with 95 %% intervals", metric);
    cm_html_table(&report->html, caption, columns, 9);
    for (int i = 0; i < report->request->n_records; i++)
        for (int v = 0; v < report->records[i].n_views; v++)
            if (report->records[i].affinity == affinity)
                compare_rows(report, i, &report->records[i].views[v]);
    cm_html_table_end(&report->html);
}

void cm_report_compare_all(cm_report *report) {
    cm_report_section(report, "compare", "Side by side");
    compare_kind(report, false);
    compare_kind(report, true);
    cm_report_section_end(report);
}
