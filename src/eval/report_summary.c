/* The report's first section: what the scores mean, in plain words. */
#include "eval/report_parts.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* Coverage that lies further from its promise is named. */
static const double COVERAGE_SLACK = 0.02;
/* Calibration errors above this are named. */
static const double ECE_SLACK = 0.05;
/* A set where identity alone tells more than this gives labels away. */
static const double IDENTITY_TELLS = 0.3;

cm_report_range cm_report_range_of(double low, double high, int digits) {
    cm_report_range range;
    if (isfinite(low) && isfinite(high))
        snprintf(range.text, sizeof range.text, "%s to %s", cm_html_real(low, digits).text,
                 cm_html_real(high, digits).text);
    else
        snprintf(range.text, sizeof range.text, "not known");
    return range;
}

static const char *class_of(bool warning) {
    return warning ? " class=\"warn\"" : "";
}

static const char *baseline_words(const char *name) {
    if (strcmp(name, "id-only") == 0) return "which molecules a pair has, no sequence";
    if (strcmp(name, "length") == 0) return "lengths alone";
    if (strcmp(name, "composition") == 0) return "lengths and shares of letters alone";
    return "no more than identity, length and composition";
}

/* " in the fold X" for views of one given fold. */
static void where_of(const cm_report_view *view, char text[160]) {
    text[0] = '\0';
    if (strcmp(view->fold, "all") != 0) snprintf(text, 160, " of the fold %s", view->fold);
}

/* ---- tiles ---- */

static void tile(cm_report *report, const char *what, const char *value, const char *detail) {
    CM_HTML_PART(&report->html, "tile", {"what", what}, {"value", value}, {"detail", detail});
}

static void score_tile(cm_report *report, const cm_report_record *r, const cm_report_view *view,
                       const char *model, const char *role) {
    const json_t *result = cm_report_result(r, model, view);
    char what[160], detail[160];
    snprintf(what, sizeof what, "%s: %s", role, model);
    snprintf(detail, sizeof detail, "%s, 95 %% interval %s", r->metric,
             cm_report_range_of(cm_report_metric(result, r->metric, "low95"),
                                cm_report_metric(result, r->metric, "high95"), 2)
                 .text);
    tile(report, what, cm_html_real(cm_report_metric(result, r->metric, "pooled"), 3).text, detail);
}

static void tiles(cm_report *report, const cm_report_record *r, const cm_report_view *view) {
    const json_t *result = cm_report_result(r, r->headline, view);
    const json_t *overlap = json_object_get(result, "overlap");
    double coverage = cm_report_number(json_object_get(result, "conformal"), "coverage");
    const char *baseline = cm_report_best_baseline(r, view);
    char text[64];
    CM_HTML_PART(&report->html, "tiles", {0});
    score_tile(report, r, view, r->headline, "Model");
    if (baseline) score_tile(report, r, view, baseline, "Without features");
    if (overlap) {
        double both = cm_report_number(overlap, "both"), all = cm_report_number(overlap, "pairs");
        snprintf(text, sizeof text, "%s %%", cm_html_percent(both, all).text);
        tile(report, "Tested pairs with two known molecules", text, "both also train, in other pairs");
    }
    if (isfinite(coverage)) {
        snprintf(text, sizeof text, "%s %%", cm_html_percent(coverage, 1).text);
        tile(report, r->affinity ? "Truth inside its 90 % interval" : "Truth inside its 90 % set", text,
             "conformal, promised 90 %");
    }
    CM_HTML_PART(&report->html, "tiles-end", {0});
}

/* ---- sentences ---- */

static void main_sentence(cm_report *report, const cm_report_record *r, const cm_report_view *view) {
    const json_t *result = cm_report_result(r, r->headline, view);
    char where[160];
    where_of(view, where);
    CM_HTML_PART(&report->html, "sum-main", {"model", r->headline}, {"metric", r->metric},
                 {"value", cm_html_real(cm_report_metric(result, r->metric, "pooled"), 3).text},
                 {"interval", cm_report_range_of(cm_report_metric(result, r->metric, "low95"),
                                                 cm_report_metric(result, r->metric, "high95"), 3)
                                  .text},
                 {"pairs", cm_html_count(cm_report_number(result, "pairs")).text}, {"where", where},
                 {"scale", r->affinity ? "Pearson's correlation is 1 for perfect predictions, 0 for none."
                                       : "MCC is 1 for perfect predictions, 0 for guessing."});
}

static void baseline_sentence(cm_report *report, const cm_report_record *r, const cm_report_view *view) {
    const char *baseline = cm_report_best_baseline(r, view);
    if (!baseline) {
        CM_HTML_PART(&report->html, "sum-baseline-none", {0});
        return;
    }
    if (strcmp(baseline, r->headline) == 0) return;
    cm_report_difference d = cm_report_compare(r, view, r->headline, baseline);
    const char *part = !isfinite(d.low) ? "sum-baseline-unpaired"
                       : d.low > 0      ? "sum-baseline-above"
                       : d.high < 0     ? "sum-baseline-below"
                                        : "sum-baseline-equal";
    bool below = isfinite(d.low) && d.high < 0;
    const json_t *result = cm_report_result(r, baseline, view);
    CM_HTML_PART(&report->html, part, {"baseline", baseline}, {"what", baseline_words(baseline)},
                 {"value", cm_html_real(cm_report_metric(result, r->metric, "pooled"), 3).text},
                 {"difference", cm_html_real(below ? -d.value : d.value, 3).text},
                 {"interval", cm_report_range_of(below ? -d.high : d.low, below ? -d.low : d.high, 3).text});
}

static void known_sentence(cm_report *report, const cm_report_record *r, const cm_report_view *view) {
    const json_t *overlap = json_object_get(cm_report_result(r, r->headline, view), "overlap");
    if (!overlap) return;
    double all = cm_report_number(overlap, "pairs"), a = cm_report_number(overlap, "a"),
           b = cm_report_number(overlap, "b"), both = cm_report_number(overlap, "both");
    if (a <= 0 && b <= 0) {
        CM_HTML_PART(&report->html, "sum-new", {0});
        return;
    }
    const char *meaning =
        both <= 0 ? "The score is about pairs with a new molecule."
        : both < all / 2
            ? "The score mixes known and new molecules; eval with --split cold-a, cold-b or cold-both "
              "tells them apart."
            : "The score is mostly about known molecules in new pairs. For a new molecule expect less; "
              "eval with --split cold-a, cold-b or cold-both measures it.";
    CM_HTML_PART(&report->html, "sum-known", {"both", cm_html_percent(both, all).text},
                 {"a", cm_html_percent(a, all).text}, {"b", cm_html_percent(b, all).text},
                 {"meaning", meaning});
}

static void promise_sentence(cm_report *report, const cm_report_record *r, const cm_report_view *view) {
    const json_t *result = cm_report_result(r, r->headline, view);
    const json_t *conformal = json_object_get(result, "conformal");
    double coverage = cm_report_number(conformal, "coverage"), level = cm_report_number(conformal, "level");
    if (isfinite(coverage)) {
        double off = coverage - level;
        const char *judgement =
            off < -COVERAGE_SLACK  ? "That is less than promised: do not rely on them here."
            : off > COVERAGE_SLACK ? "That is more than promised: they are wider than needed."
                                   : "The promise is kept within 2 points.";
        CM_HTML_PART(&report->html, r->affinity ? "sum-interval" : "sum-set",
                     {"class", class_of(off < -COVERAGE_SLACK)},
                     {"coverage", cm_html_percent(coverage, 1).text},
                     {"width", cm_html_real(cm_report_number(conformal, "width"), 2).text}, {"unit", r->unit},
                     {"single", cm_html_percent(cm_report_number(conformal, "single"), 1).text},
                     {"judgement", judgement});
    }
    double ece = cm_report_metric(result, "ECE", "pooled");
    if (isfinite(ece))
        CM_HTML_PART(&report->html, "sum-ece", {"class", class_of(ece > ECE_SLACK)},
                     {"ece", cm_html_real(ece, 3).text});
}

static void paper_sentence(cm_report *report, const cm_report_record *r, const cm_report_view *honest) {
    for (int v = 0; v < r->n_views; v++) {
        const cm_report_view *view = &r->views[v];
        if (!cm_report_is_paper(view) || strcmp(view->fold, honest->fold) != 0) continue;
        double paper = cm_report_metric(cm_report_result(r, r->headline, view), r->metric, "pooled");
        double own = cm_report_metric(cm_report_result(r, r->headline, honest), r->metric, "pooled");
        char difference[48];
        snprintf(difference, sizeof difference, "%s%s", paper >= own ? "+" : "",
                 cm_html_real(paper - own, 3).text);
        CM_HTML_PART(&report->html, "sum-paper", {"value", cm_html_real(paper, 3).text},
                     {"difference", difference});
    }
}

static void scramble_sentence(cm_report *report, const cm_report_record *r) {
    const json_t *all = json_object_get(r->json, "scramble");
    for (size_t i = 0; i < json_array_size(all); i++) {
        const json_t *one = json_array_get(all, i);
        if (strcmp(cm_report_text(one, "model"), r->headline) != 0) continue;
        const json_t *metric = json_object_get(json_object_get(one, "metrics"), r->metric);
        CM_HTML_PART(&report->html, "sum-scramble",
                     {"runs", cm_html_count(cm_report_number(one, "runs")).text}, {"metric", r->metric},
                     {"mean", cm_html_real(cm_report_number(metric, "mean"), 3).text},
                     {"best", cm_html_real(cm_report_number(metric, "max"), 3).text});
    }
}

static void summarise_view(cm_report *report, const cm_report_record *r, const cm_report_view *view) {
    tiles(report, r, view);
    CM_HTML_PART(&report->html, "list", {0});
    main_sentence(report, r, view);
    baseline_sentence(report, r, view);
    known_sentence(report, r, view);
    if (cm_report_is_paper(view))
        CM_HTML_PART(&report->html, "sum-paper-only", {0});
    else
        paper_sentence(report, r, view);
    promise_sentence(report, r, view);
    scramble_sentence(report, r);
    CM_HTML_PART(&report->html, "list-end", {0});
}

/* The honest views; of a record of the paper track alone, those. */
static void summarise_record(cm_report *report, int number) {
    const cm_report_record *r = &report->records[number];
    bool honest = false;
    for (int v = 0; v < r->n_views; v++) honest |= !cm_report_is_paper(&r->views[v]);
    char title[320];
    snprintf(title, sizeof title, "%d. %s: %s, split %s", number + 1, r->name,
             cm_report_text(r->json, "task"), cm_report_text(json_object_get(r->json, "split"), "kind"));
    if (report->request->n_records > 1) CM_HTML_PART(&report->html, "heading", {"title", title});
    for (int v = 0; v < r->n_views; v++)
        if (!honest || !cm_report_is_paper(&r->views[v])) summarise_view(report, r, &r->views[v]);
}

/* ---- audits ---- */

static double best_score(const json_t *audit, const char *what, const char *metric) {
    static const char *const views[] = {"a", "b", "both"};
    const json_t *scores = json_object_get(json_object_get(audit, "predictability"), what);
    double best = NAN;
    for (int v = 0; v < 3; v++)
        best = fmax(best, cm_report_number(json_object_get(scores, views[v]), metric));
    return best;
}

static void summarise_audit(cm_report *report, int number) {
    const json_t *audit = report->audits[number];
    const char *metric = json_is_true(json_object_get(audit, "affinity")) ? "Pearson" : "MCC";
    const json_t *a = json_object_get(json_object_get(audit, "side_a"), "faults"),
                 *b = json_object_get(json_object_get(audit, "side_b"), "faults");
    double identity = best_score(audit, "identity", metric);
    char name[96], rows[320];
    cm_report_name(name, report->request->audits[number]);
    snprintf(rows, sizeof rows,
             "%s of %s rows repeat an earlier pair, %s pairs have contradictory labels, %s records cannot be "
             "read.",
             cm_html_count(cm_report_number(audit, "repeats")).text,
             cm_html_count(cm_report_number(audit, "rows")).text,
             cm_html_count(cm_report_number(audit, "contradictions")).text,
             cm_html_count(cm_report_number(a, "records") + cm_report_number(b, "records")).text);
    CM_HTML_PART(
        &report->html, "sum-audit", {"name", name}, {"metric", metric},
        {"class", class_of(identity > IDENTITY_TELLS)}, {"identity", cm_html_real(identity, 3).text},
        {"composition",
         cm_html_real(fmax(best_score(audit, "composition", metric), best_score(audit, "length", metric)), 3)
             .text},
        {"rows", rows});
}

void cm_report_summary(cm_report *report) {
    cm_report_section(report, "summary", "In plain words");
    for (int i = 0; i < report->request->n_records; i++) summarise_record(report, i);
    if (report->request->n_audits > 0) {
        CM_HTML_PART(&report->html, "list", {0});
        for (int i = 0; i < report->request->n_audits; i++) summarise_audit(report, i);
        CM_HTML_PART(&report->html, "list-end", {0});
    }
    cm_report_section_end(report);
}
