/* The figures of a report: descriptions that report/charts.js draws. */
#include "eval/report_parts.h"
#include "metrics/metrics.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Curves on one chart, and how many of them keep their band before bands hide each other. */
enum { MOST_SERIES = 8, MOST_BANDS = 3, MOST_GROUPS = 8 };
/* Half the distance of two markers on one row of a chart of intervals. */
static const double APART = 0.17;

json_t *cm_report_real(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *cm_report_axis(const char *title, double low, double high) {
    json_t *axis = json_pack("{s:o}", "title", cm_html_string(title));
    if (isfinite(low)) json_object_set_new(axis, "min", json_real(low));
    if (isfinite(high)) json_object_set_new(axis, "max", json_real(high));
    return axis;
}

static json_t *chart_of(const char *kind, json_t *x, json_t *y, json_t *series) {
    return json_pack("{s:s, s:o, s:o, s:o}", "kind", kind, "x", x, "y", y, "series", series);
}

static json_t *guide_of(const char *name, double x0, double y0, double x1, double y1, bool dashed) {
    return json_pack("{s:s, s:b, s:[[f, f], [f, f]]}", "name", name, "dashed", dashed, "points", x0, y0, x1,
                     y1);
}

void cm_report_figure(cm_report *report, json_t *chart, const char *title, const char *caption,
                      bool full_width) {
    if (!chart) {
        report->html.failed = true;
        return;
    }
    char id[32];
    snprintf(id, sizeof id, "chart-%d", ++report->n_figures);
    json_object_set_new(chart, "id", json_string(id));
    if (json_array_append_new(report->charts, chart) != 0) report->html.failed = true;
    CM_HTML_PART(&report->html, "figure", {"class", full_width ? "full" : "half"}, {"title", title},
                 {"id", id}, {"caption", caption});
}

/* The models in the order in which charts take them: the headline, the best baseline, the others. */
static size_t order_models(const cm_report_record *r, const cm_report_view *view,
                           const char *models[MOST_SERIES]) {
    const char *baseline = cm_report_best_baseline(r, view);
    size_t n = 0;
    models[n++] = r->headline;
    if (baseline && strcmp(baseline, r->headline) != 0) models[n++] = baseline;
    for (size_t i = 0; i < json_array_size(r->models) && n < MOST_SERIES; i++) {
        const char *model = cm_report_model(r, i);
        if (strcmp(model, models[0]) != 0 && (!baseline || strcmp(model, baseline) != 0)) models[n++] = model;
    }
    return n;
}

static json_t *named_series(const cm_report_record *r, const char *model, const char *metric, double value) {
    char name[160];
    snprintf(name, sizeof name, "%.110s, %s %s", model, metric, cm_html_real(value, 3).text);
    return json_pack("{s:o, s:i}", "name", cm_html_string(name), "style", cm_report_style(r, model));
}

/* ---- ROC and precision-recall ---- */

typedef struct curve_kind {
    const char *key, *x, *y, *metric, *title, *x_title, *y_title;
} curve_kind;
static const curve_kind curve_kinds[] = {
    {"roc", "false_positive_rate", "sensitivity", "AUROC", "ROC curve",
     "False-positive rate (share of negatives called positive)", "Sensitivity (share of positives found)"},
    {"precision_recall", "recall", "precision", "AUPRC", "Precision and recall",
     "Recall (share of positives found)", "Precision (share of calls that are right)"},
};

static void curve_figure(cm_report *report, const cm_report_record *r, const cm_report_view *view,
                         const curve_kind *kind) {
    const char *models[MOST_SERIES], *caption;
    size_t n = order_models(r, view, models), all = json_array_size(r->models);
    json_t *series = json_array();
    for (size_t i = 0; i < n; i++) {
        const json_t *result = cm_report_result(r, models[i], view),
                     *curve = json_object_get(result, kind->key);
        if (!curve) continue;
        json_t *one =
            named_series(r, models[i], kind->metric, cm_report_metric(result, kind->metric, "pooled"));
        json_object_set(one, "x", json_object_get(curve, kind->x));
        json_object_set(one, "y", json_object_get(curve, kind->y));
        if (i < 2 || all <= MOST_BANDS) {
            json_object_set(one, "low", json_object_get(curve, "low95"));
            json_object_set(one, "high", json_object_get(curve, "high95"));
        }
        json_array_append_new(series, one);
    }
    caption = all <= MOST_BANDS ? "Bands: pointwise 95 % intervals (bootstrap over molecules)."
              : all <= MOST_SERIES
                  ? "Bands: pointwise 95 % intervals (bootstrap over molecules), for the model and the best "
                    "baseline."
                  : "The first eight models. Bands: pointwise 95 % intervals (bootstrap over molecules), for "
                    "the model and the best baseline.";
    json_t *chart =
        chart_of("lines", cm_report_axis(kind->x_title, 0, 1), cm_report_axis(kind->y_title, 0, 1), series);
    if (strcmp(kind->key, "roc") == 0)
        json_object_set_new(chart, "guides", json_pack("[o]", guide_of("guessing", 0, 0, 1, 1, true)));
    json_object_set_new(chart, "square", json_true());
    cm_report_figure(report, chart, kind->title, caption, false);
}

/* Where the tables read a curve, in percent of its x. */
static const int places[] = {1, 5, 10, 20, 50, 80, 90};
enum { N_PLACES = sizeof places / sizeof *places };

static void curve_table(cm_report *report, const cm_report_record *r, const cm_report_view *view,
                        const curve_kind *kind) {
    char titles[N_PLACES][32];
    const char *columns[N_PLACES + 1] = {"Model"};
    bool roc = strcmp(kind->key, "roc") == 0;
    for (int p = 0; p < N_PLACES; p++) {
        snprintf(titles[p], sizeof titles[p], "at %d %%", places[p]);
        columns[p + 1] = titles[p];
    }
    cm_html_table(&report->html, roc ? "Sensitivity at a false-positive rate" : "Precision at a recall",
                  columns, N_PLACES + 1);
    for (size_t i = 0; i < json_array_size(r->models); i++) {
        const json_t *curve = json_object_get(cm_report_result(r, cm_report_model(r, i), view), kind->key);
        if (!curve) continue;
        cm_html_row(&report->html, cm_report_model(r, i));
        for (int p = 0; p < N_PLACES; p++)
            cm_html_cell_interval(&report->html,
                                  cm_report_element(json_object_get(curve, kind->y), (size_t)places[p]),
                                  cm_report_element(json_object_get(curve, "low95"), (size_t)places[p]),
                                  cm_report_element(json_object_get(curve, "high95"), (size_t)places[p]), 3);
        cm_html_row_end(&report->html);
    }
    cm_html_table_end(&report->html);
}

void cm_report_curves(cm_report *report, const cm_report_record *r, const cm_report_view *view) {
    if (r->affinity) return;
    if (report->charts) {
        CM_HTML_PART(&report->html, "figures", {0});
        for (int k = 0; k < 2; k++) curve_figure(report, r, view, &curve_kinds[k]);
        CM_HTML_PART(&report->html, "figures-end", {0});
    }
    CM_HTML_PART(&report->html, "fold", {"title", "Numbers of these curves"});
    for (int k = 0; k < 2; k++) curve_table(report, r, view, &curve_kinds[k]);
    CM_HTML_PART(&report->html, "fold-end", {0});
}

/* ---- reliability ---- */

/* Wilson's 95 % interval of a share. */
static void wilson(double share, double n, double limits[2]) {
    const double z = 1.959964;
    double middle = (share + z * z / (2 * n)) / (1 + z * z / n);
    double half = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n);
    limits[0] = middle - half;
    limits[1] = middle + half;
}

static json_t *reliability_series(const cm_report_record *r, const char *model, const json_t *reliability,
                                  bool whiskers) {
    json_t *one = named_series(r, model, "ECE", cm_report_number(reliability, "ece"));
    json_t *x = json_array(), *y = json_array(), *limits = json_array();
    const json_t *bins = json_object_get(reliability, "bins");
    for (size_t b = 0; b < json_array_size(bins); b++) {
        const json_t *bin = json_array_get(bins, b);
        double count = cm_report_number(bin, "count"), observed = cm_report_number(bin, "observed"), limit[2];
        if (!(count > 0)) continue;
        wilson(observed, count, limit);
        json_array_append_new(x, cm_report_real(cm_report_number(bin, "predicted")));
        json_array_append_new(y, cm_report_real(observed));
        json_array_append_new(limits,
                              json_pack("[o, o]", cm_report_real(limit[0]), cm_report_real(limit[1])));
    }
    json_object_set_new(one, "x", x);
    json_object_set_new(one, "y", y);
    json_object_set_new(one, "marked", json_true());
    if (whiskers)
        json_object_set_new(one, "whiskers", limits);
    else
        json_decref(limits);
    return one;
}

static void reliability_figure(cm_report *report, const cm_report_record *r, const cm_report_view *view) {
    const char *models[MOST_SERIES];
    size_t n = order_models(r, view, models);
    json_t *series = json_array();
    for (size_t i = 0; i < n && i < 3; i++) {
        const json_t *reliability = json_object_get(cm_report_result(r, models[i], view), "reliability");
        if (reliability) json_array_append_new(series, reliability_series(r, models[i], reliability, i == 0));
    }
    json_t *chart = chart_of("lines", cm_report_axis("Predicted probability (mean of a bin)", 0, 1),
                             cm_report_axis("Observed share of positives", 0, 1), series);
    json_object_set_new(chart, "guides", json_pack("[o]", guide_of("perfect", 0, 0, 1, 1, true)));
    json_object_set_new(chart, "square", json_true());
    cm_report_figure(
        report, chart, "Reliability of the probabilities",
        "A point on the diagonal is an honest probability. Whiskers: 95 % intervals of the model's "
        "bins (Wilson, pairs taken as independent).",
        false);
}

/* How many pairs of each class got which probability. */
static void probability_figure(cm_report *report, const cm_report_record *r, const cm_report_view *view) {
    const json_t *bins =
        json_object_get(json_object_get(cm_report_result(r, r->headline, view), "reliability"), "bins");
    json_t *labels = json_array(), *positive = json_array(), *negative = json_array();
    for (size_t b = 0; b < json_array_size(bins); b++) {
        const json_t *bin = json_array_get(bins, b);
        double count = cm_report_number(bin, "count"), observed = cm_report_number(bin, "observed");
        double positives = count > 0 ? round(count * observed) : 0;
        char label[32];
        snprintf(label, sizeof label, "%.2f",
                 (cm_report_number(bin, "low") + cm_report_number(bin, "high")) / 2);
        json_array_append_new(labels, json_string(label));
        json_array_append_new(positive, cm_report_real(positives));
        json_array_append_new(negative, cm_report_real(count - positives));
    }
    json_t *series = json_pack("[{s:s, s:i, s:o}, {s:s, s:i, s:o}]", "name", "label 1", "style", 1, "y",
                               positive, "name", "label 0", "style", 0, "y", negative);
    json_t *chart = chart_of("bars", cm_report_axis("Predicted probability (middle of a bin)", NAN, NAN),
                             cm_report_axis("Tested pairs", 0, NAN), series);
    json_object_set_new(chart, "categories", labels);
    json_object_set_new(chart, "square", json_true());
    char title[160];
    snprintf(title, sizeof title, "Probabilities of %.100s", r->headline);
    cm_report_figure(report, chart, title,
                     "The further the classes stand apart, the more single predictions say.", false);
}

static void reliability_table(cm_report *report, const cm_report_record *r, const cm_report_view *view) {
    static const char *const columns[] = {"Probability", "Pairs", "Mean predicted", "Observed"};
    const json_t *bins =
        json_object_get(json_object_get(cm_report_result(r, r->headline, view), "reliability"), "bins");
    char text[160];
    snprintf(text, sizeof text, "Reliability of %.100s", r->headline);
    CM_HTML_PART(&report->html, "fold", {"title", "Numbers of the reliability diagram"});
    cm_html_table(&report->html, text, columns, 4);
    for (size_t b = 0; b < json_array_size(bins); b++) {
        const json_t *bin = json_array_get(bins, b);
        double count = cm_report_number(bin, "count"), observed = cm_report_number(bin, "observed");
        double limit[2] = {NAN, NAN};
        if (count > 0) wilson(observed, count, limit);
        cm_html_row(&report->html,
                    cm_report_range_of(cm_report_number(bin, "low"), cm_report_number(bin, "high"), 2).text);
        cm_html_cell_number(&report->html, cm_html_count(count));
        cm_html_cell_number(&report->html, cm_html_real(cm_report_number(bin, "predicted"), 3));
        cm_html_cell_interval(&report->html, observed, limit[0], limit[1], 3);
        cm_html_row_end(&report->html);
    }
    cm_html_table_end(&report->html);
    CM_HTML_PART(&report->html, "fold-end", {0});
}

void cm_report_reliability(cm_report *report, const cm_report_record *r, const cm_report_view *view) {
    if (!json_object_get(cm_report_result(r, r->headline, view), "reliability")) return;
    if (report->charts) {
        CM_HTML_PART(&report->html, "figures", {0});
        reliability_figure(report, r, view);
        probability_figure(report, r, view);
        CM_HTML_PART(&report->html, "figures-end", {0});
    }
    reliability_table(report, r, view);
}

/* ---- predicted against measured ---- */

/* Limits of both axes: all values of both models' points, a little wider. */
static void scatter_limits(const json_t *scatter, double limits[2]) {
    static const char *const keys[] = {"predicted", "measured"};
    for (int k = 0; k < 2; k++) {
        const json_t *values = json_object_get(scatter, keys[k]);
        for (size_t i = 0; i < json_array_size(values); i++) {
            double v = cm_report_element(values, i);
            if (!isfinite(v)) continue;
            limits[0] = fmin(limits[0], floor(v));
            limits[1] = fmax(limits[1], ceil(v));
        }
    }
}

/* The points of one group (NULL: of all) as a series. */
static json_t *scatter_series(const json_t *scatter, const char *name, const char *group, int style) {
    const json_t *predicted = json_object_get(scatter, "predicted"),
                 *measured = json_object_get(scatter, "measured"),
                 *groups = json_object_get(scatter, "group");
    json_t *x = json_array(), *y = json_array();
    for (size_t i = 0; i < json_array_size(measured); i++) {
        const char *own = json_string_value(json_array_get(groups, i));
        if (group && (!own || strcmp(own, group) != 0)) continue;
        json_array_append_new(x, cm_report_real(cm_report_element(measured, i)));
        json_array_append_new(y, cm_report_real(cm_report_element(predicted, i)));
    }
    return json_pack("{s:o, s:i, s:o, s:o}", "name", cm_html_string(name), "style", style, "x", x, "y", y);
}

/* The distinct groups of a scatter; 0 when there are none or too many to tell apart by colour. */
static int scatter_groups(const json_t *scatter, const char *names[MOST_GROUPS]) {
    const json_t *groups = json_object_get(scatter, "group");
    int n = 0;
    for (size_t i = 0; i < json_array_size(groups); i++) {
        const char *own = json_string_value(json_array_get(groups, i));
        bool known = own == NULL;
        for (int g = 0; g < n && !known; g++) known = strcmp(names[g], own) == 0;
        if (known) continue;
        if (n == MOST_GROUPS) return 0;
        names[n++] = own;
    }
    return n;
}

static json_t *scatter_guides(const json_t *result, const double limits[2]) {
    double half = cm_report_number(json_object_get(result, "conformal"), "width") / 2;
    json_t *guides = json_pack("[o]", guide_of("", limits[0], limits[0], limits[1], limits[1], false));
    for (int sign = -1; sign <= 1 && isfinite(half); sign += 2)
        json_array_append_new(guides, guide_of("", limits[0], limits[0] + sign * half, limits[1],
                                               limits[1] + sign * half, true));
    return guides;
}

static void scatter_figure(cm_report *report, const cm_report_record *r, const cm_report_view *view,
                           const char *model, const double limits[2]) {
    const json_t *result = cm_report_result(r, model, view), *scatter = json_object_get(result, "scatter");
    const char *groups[MOST_GROUPS];
    int n = scatter_groups(scatter, groups);
    json_t *series = json_array();
    for (int g = 0; g < n; g++)
        json_array_append_new(series, scatter_series(scatter, groups[g], groups[g], g));
    if (n == 0) json_array_append_new(series, scatter_series(scatter, model, NULL, 0));
    char x[80], y[80], title[160], caption[320];
    snprintf(x, sizeof x, "Measured (%.40s)", r->unit);
    snprintf(y, sizeof y, "Predicted (%.40s)", r->unit);
    snprintf(title, sizeof title, "Predicted against measured: %.100s", model);
    snprintf(caption, sizeof caption, "Pearson %s, RMSE %s. %s of %s tested pairs. Line: perfect%s.",
             cm_html_real(cm_report_metric(result, "Pearson", "pooled"), 3).text,
             cm_html_real(cm_report_metric(result, "RMSE", "pooled"), 3).text,
             cm_html_count(json_array_size(json_object_get(scatter, "measured"))).text,
             cm_html_count(cm_report_number(scatter, "of_pairs")).text,
             isfinite(cm_report_number(json_object_get(result, "conformal"), "width"))
                 ? "; dashed: mean 90 % conformal interval"
                 : "");
    json_t *chart = chart_of("points", cm_report_axis(x, limits[0], limits[1]),
                             cm_report_axis(y, limits[0], limits[1]), series);
    json_object_set_new(chart, "guides", scatter_guides(result, limits));
    json_object_set_new(chart, "square", json_true());
    cm_report_figure(report, chart, title, caption, false);
}

void cm_report_scatters(cm_report *report, const cm_report_record *r, const cm_report_view *view) {
    const char *models[MOST_SERIES];
    if (!report->charts || !json_object_get(cm_report_result(r, r->headline, view), "scatter")) return;
    size_t n = order_models(r, view, models);
    double limits[2] = {INFINITY, -INFINITY};
    for (size_t i = 0; i < n && i < 4; i++)
        scatter_limits(json_object_get(cm_report_result(r, models[i], view), "scatter"), limits);
    if (!(limits[0] < limits[1])) return;
    CM_HTML_PART(&report->html, "figures", {0});
    for (size_t i = 0; i < n && i < 4; i++)
        if (json_object_get(cm_report_result(r, models[i], view), "scatter"))
            scatter_figure(report, r, view, models[i], limits);
    CM_HTML_PART(&report->html, "figures-end", {0});
}

/* ---- intervals ---- */

json_t *cm_report_interval_series(const char *name, int style) {
    return json_pack("{s:o, s:i, s:[], s:[], s:[]}", "name", cm_html_string(name), "style", style, "rows",
                     "values", "whiskers");
}

void cm_report_interval_add(json_t *series, double row, double value, double low, double high, double low2,
                            double high2) {
    json_array_append_new(json_object_get(series, "rows"), json_real(row));
    json_array_append_new(json_object_get(series, "values"), cm_report_real(value));
    json_array_append_new(json_object_get(series, "whiskers"),
                          json_pack("[o, o, o, o]", cm_report_real(low), cm_report_real(high),
                                    cm_report_real(low2), cm_report_real(high2)));
}

/* A chart of intervals with one row a label (taken). */
static json_t *interval_chart(json_t *labels, json_t *series, const char *x_title, double zero) {
    json_t *chart = chart_of("intervals", cm_report_axis(x_title, NAN, NAN), json_object(), series);
    if (isfinite(zero))
        json_object_set_new(
            chart, "guides",
            json_pack("[o]", guide_of("", zero, -0.6, zero, (double)json_array_size(labels) - 0.4, true)));
    json_object_set_new(chart, "labels", labels);
    return chart;
}

/* The residuals of a model by the values of a column, as rows of a chart. */
static void residual_rows(const cm_report_record *r, const cm_report_view *view, const char *model,
                          bool metric, const char *column, double row, json_t *series, json_t *labels) {
    const json_t *all = json_object_get(cm_report_result(r, model, view), "residuals");
    for (size_t i = 0; i < json_array_size(all); i++) {
        const json_t *one = json_array_get(all, i), *q = json_object_get(one, "quantiles"),
                     *m = json_object_get(one, "metric");
        if (strcmp(cm_report_text(one, "column"), column) != 0) continue;
        if (labels) json_array_append_new(labels, cm_html_string(cm_report_text(one, "value")));
        if (metric)
            cm_report_interval_add(series, row++, cm_report_number(m, "pooled"), cm_report_number(m, "low95"),
                                   cm_report_number(m, "high95"), NAN, NAN);
        else
            cm_report_interval_add(series, row++, cm_report_element(q, 2), cm_report_element(q, 0),
                                   cm_report_element(q, 4), cm_report_element(q, 1), cm_report_element(q, 3));
    }
}

static void metric_by_value(cm_report *report, const cm_report_record *r, const cm_report_view *view,
                            const char *column) {
    const char *models[MOST_SERIES];
    size_t n = order_models(r, view, models);
    json_t *labels = json_array(), *series = json_array();
    for (size_t i = 0; i < n && i < 2; i++) {
        json_t *one = cm_report_interval_series(models[i], cm_report_style(r, models[i]));
        residual_rows(r, view, models[i], true, column, n > 1 ? (i == 0 ? -APART : APART) : 0, one,
                      i == 0 ? labels : NULL);
        json_array_append_new(series, one);
    }
    char title[160];
    snprintf(title, sizeof title, "%s by %.80s", r->metric, column);
    cm_report_figure(report, interval_chart(labels, series, r->metric, 0), title,
                     "Whiskers: 95 % intervals (bootstrap over molecules).", false);
}

static void residuals_by_value(cm_report *report, const cm_report_record *r, const cm_report_view *view,
                               const char *column) {
    json_t *labels = json_array();
    json_t *one = cm_report_interval_series(r->headline, cm_report_style(r, r->headline));
    residual_rows(r, view, r->headline, false, column, 0, one, labels);
    char title[256], x[96];
    snprintf(title, sizeof title, "Residuals of %.80s by %.80s", r->headline, column);
    snprintf(x, sizeof x, "Predicted minus measured (%.40s)", r->unit);
    cm_report_figure(report, interval_chart(labels, json_pack("[o]", one), x, 0), title,
                     "Marker: median; thick: the middle half; thin: from the 5th to the 95th percentile.",
                     false);
}

void cm_report_residual_figures(cm_report *report, const cm_report_record *r, const cm_report_view *view) {
    const json_t *all = json_object_get(cm_report_result(r, r->headline, view), "residuals");
    if (!report->charts) return;
    for (size_t i = 0; i < json_array_size(all); i++) {
        const char *column = cm_report_text(json_array_get(all, i), "column");
        if (i > 0 && strcmp(cm_report_text(json_array_get(all, i - 1), "column"), column) == 0) continue;
        CM_HTML_PART(&report->html, "figures", {0});
        metric_by_value(report, r, view, column);
        if (r->affinity) residuals_by_value(report, r, view, column);
        CM_HTML_PART(&report->html, "figures-end", {0});
    }
}

static bool has_both_tracks(const cm_report *report, bool affinity) {
    bool honest = false, paper = false;
    for (int i = 0; i < report->request->n_records; i++)
        for (int v = 0; v < report->records[i].n_views; v++) {
            bool biased = cm_report_is_paper(&report->records[i].views[v]);
            if (report->records[i].affinity != affinity) continue;
            paper |= biased;
            honest |= !biased;
        }
    return honest && paper;
}

/* "2. model, fold", without what goes without saying. */
static json_t *overview_label(const cm_report *report, int number, const char *model, const char *fold) {
    char label[320], record[16] = "";
    bool all = strcmp(fold, "all") == 0;
    if (report->request->n_records > 1) snprintf(record, sizeof record, "%d. ", number + 1);
    snprintf(label, sizeof label, "%s%.150s%s%.100s", record, model, all ? "" : ", ", all ? "" : fold);
    return cm_html_string(label);
}

/* One row with all tracks of a model over one set of tested pairs. */
static void overview_row(const cm_report_record *r, const char *model, const char *fold, bool both, int row,
                         json_t *const tracks[2]) {
    for (int v = 0; v < r->n_views; v++) {
        const json_t *result = cm_report_result(r, model, &r->views[v]);
        bool paper = cm_report_is_paper(&r->views[v]);
        if (result && strcmp(r->views[v].fold, fold) == 0)
            cm_report_interval_add(tracks[paper], row + (both ? (paper ? APART : -APART) : 0),
                                   cm_report_metric(result, r->metric, "pooled"),
                                   cm_report_metric(result, r->metric, "low95"),
                                   cm_report_metric(result, r->metric, "high95"), NAN, NAN);
    }
}

/* The rows of one record, from *row on; tracks: the series of the honest and of the paper track. */
static void overview_rows(const cm_report *report, int number, bool both, int *row, json_t *labels,
                          json_t *const tracks[2]) {
    const cm_report_record *r = &report->records[number];
    for (int v = 0; v < r->n_views; v++) {
        const char *fold = r->views[v].fold;
        bool seen = false;
        for (int w = 0; w < v; w++) seen |= strcmp(r->views[w].fold, fold) == 0;
        for (size_t m = 0; m < json_array_size(r->models) && !seen; m++, ++*row) {
            json_array_append_new(labels, overview_label(report, number, cm_report_model(r, m), fold));
            overview_row(r, cm_report_model(r, m), fold, both, *row, tracks);
        }
    }
}

/* All models of the records of one kind, track by track. */
void cm_report_overview(cm_report *report, bool affinity) {
    if (!report->charts) return;
    json_t *labels = json_array(), *series = json_array();
    json_t *const tracks[2] = {cm_report_interval_series("honest track", 0),
                               cm_report_interval_series("paper track (biased)", 1)};
    bool both = has_both_tracks(report, affinity);
    int row = 0;
    for (int i = 0; i < report->request->n_records; i++)
        if (report->records[i].affinity == affinity) overview_rows(report, i, both, &row, labels, tracks);
    for (int t = 0; t < 2; t++)
        if (json_array_size(json_object_get(tracks[t], "rows")) > 0)
            json_array_append_new(series, tracks[t]);
        else
            json_decref(tracks[t]);
    const char *metric = cm_metrics_name(affinity, cm_metrics_main(affinity));
    char title[80];
    snprintf(title, sizeof title, "%s of every model", metric);
    CM_HTML_PART(&report->html, "figures", {0});
    cm_report_figure(
        report, interval_chart(labels, series, metric, 0), title,
        both ? "Whiskers: 95 % intervals. The paper track chooses the best epoch on the test fold: "
               "its figures are biased upwards."
             : "Whiskers: 95 % intervals (bootstrap over molecules).",
        true);
    CM_HTML_PART(&report->html, "figures-end", {0});
}
