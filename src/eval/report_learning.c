/* Learning curves: epoch by epoch over the folds. */
#include "eval/report_parts.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Mean and extremes of one number of the learning curves of all folds. */
typedef struct course {
    json_t *x, *y, *low, *high;
} course;

/* False when no fold has the epoch. */
static bool add_epoch(course *c, const json_t *folds, const char *key, size_t epoch) {
    double sum = 0, low = INFINITY, high = -INFINITY;
    int n = 0, trained = 0;
    for (size_t f = 0; f < json_array_size(folds); f++) {
        const json_t *values =
            json_object_get(json_object_get(json_array_get(folds, f), "learning_curve"), key);
        double v = cm_report_element(values, epoch);
        trained += epoch < json_array_size(values);
        if (!isfinite(v)) continue;
        sum += v;
        low = fmin(low, v);
        high = fmax(high, v);
        n++;
    }
    if (n == 0) return trained > 0;
    json_array_append_new(c->x, json_integer((json_int_t)epoch + 1));
    json_array_append_new(c->y, json_real(sum / n));
    json_array_append_new(c->low, json_real(low));
    json_array_append_new(c->high, json_real(high));
    return true;
}

/* NULL: no fold has such a number. */
static json_t *series_of(const json_t *folds, const char *key, const char *name, int style) {
    course c = {json_array(), json_array(), json_array(), json_array()};
    for (size_t epoch = 0; add_epoch(&c, folds, key, epoch);) epoch++;
    bool any = json_array_size(c.x) > 0;
    json_t *series = json_pack("{s:s, s:i, s:o, s:o, s:o, s:o}", "name", name, "style", style, "x", c.x, "y",
                               c.y, "low", c.low, "high", c.high);
    if (any) return series;
    json_decref(series);
    return NULL;
}

static void learning_figure(cm_report *report, const cm_report_record *r, const cm_report_view *view,
                            const char *model) {
    const json_t *folds = json_object_get(cm_report_result(r, model, view), "folds");
    static const struct {
        const char *key, *name;
    } parts[] = {{"loss", "training loss"}, {"inner_loss", "inner validation loss"}, {"test_metric", ""}};
    json_t *series = json_array();
    for (int p = 0; p < 3; p++) {
        char name[64];
        snprintf(name, sizeof name, "%s", parts[p].name);
        if (p == 2) snprintf(name, sizeof name, "%s on the test fold (biased choice)", r->metric);
        json_t *one = series_of(folds, parts[p].key, name, p);
        if (one) json_array_append_new(series, one);
    }
    if (json_array_size(series) == 0) {
        json_decref(series);
        return;
    }
    json_t *x = cm_report_axis("Epoch", 1, NAN);
    json_object_set_new(x, "integer", json_true());
    char title[160], y[64];
    snprintf(y, sizeof y, cm_report_is_paper(view) ? "Loss, and %s (no unit)" : "Loss (no unit)", r->metric);
    snprintf(title, sizeof title, "Learning curve: %.100s", model);
    cm_report_figure(report,
                     json_pack("{s:s, s:o, s:o, s:o}", "kind", "lines", "x", x, "y",
                               cm_report_axis(y, NAN, NAN), "series", series),
                     title, "Mean over the folds that still train; bands: lowest and highest fold.", false);
}

static bool has_curve(const json_t *folds) {
    return json_object_get(json_array_get(folds, 0), "learning_curve") != NULL;
}

/* Epochs trained, the epoch with the lowest inner loss and that loss, mean over the folds. */
static void learning_row(cm_report *report, const char *model, const json_t *folds) {
    double epochs = 0, best = 0, lowest = 0, n = 0, inner = 0;
    for (size_t f = 0; f < json_array_size(folds); f++) {
        const json_t *values =
            json_object_get(json_object_get(json_array_get(folds, f), "learning_curve"), "inner_loss");
        double least = INFINITY, at = 0;
        for (size_t e = 0; e < json_array_size(values); e++) {
            double v = cm_report_element(values, e);
            if (!(v < least)) continue;
            least = v;
            at = (double)e + 1;
        }
        n++;
        epochs += (double)json_array_size(values);
        if (!isfinite(least)) continue;
        inner++;
        best += at;
        lowest += least;
    }
    cm_html_row(&report->html, model);
    cm_html_cell_number(&report->html, cm_html_real(n, 0));
    cm_html_cell_number(&report->html, cm_html_real(epochs / n, 1));
    cm_html_cell_number(&report->html, cm_html_real(best / inner, 1));
    cm_html_cell_number(&report->html, cm_html_real(lowest / inner, 4));
    cm_html_row_end(&report->html);
}

void cm_report_learning(cm_report *report, const cm_report_record *r, const cm_report_view *view) {
    static const char *const columns[] = {"Model", "Trainings", "Mean epochs",
                                          "Mean epoch of the lowest inner loss", "Mean lowest inner loss"};
    bool any = false;
    for (size_t i = 0; i < json_array_size(r->models); i++) {
        const char *model = cm_report_model(r, i);
        any |= has_curve(json_object_get(cm_report_result(r, model, view), "folds"));
    }
    if (!any) return;
    if (report->charts) {
        CM_HTML_PART(&report->html, "figures", {0});
        for (size_t i = 0; i < json_array_size(r->models); i++) {
            const char *model = cm_report_model(r, i);
            learning_figure(report, r, view, model);
        }
        CM_HTML_PART(&report->html, "figures-end", {0});
    }
    cm_html_table(&report->html, "Training of the networks", columns, 5);
    for (size_t i = 0; i < json_array_size(r->models); i++) {
        const char *model = cm_report_model(r, i);
        const json_t *folds = json_object_get(cm_report_result(r, model, view), "folds");
        if (has_curve(folds)) learning_row(report, model, folds);
    }
    cm_html_table_end(&report->html);
}
