/* The parts of a report. A private part of eval/report.c.
 *
 * A record is checked when it is read as far as everything depends on it; what else it lacks is left out of
 * the report: texts are then "", numbers NaN. */
#ifndef CM_EVAL_REPORT_PARTS_H
#define CM_EVAL_REPORT_PARTS_H

#include "base/fail.h"
#include "eval/report_html.h"
#include <crossmamba/report.h>
#include <stdbool.h>

/* Results of one track over one set of tested pairs. The texts are the record's. */
typedef struct cm_report_view {
    const char *track, *fold;
} cm_report_view;

enum { CM_REPORT_VIEWS = 16 };
typedef struct cm_report_record {
    const char *path;
    char name[96]; /* of the file */
    json_t *json;  /* owned */
    bool affinity;
    const char *metric; /* the metric that stands for all */
    const char *unit;
    const json_t *results, *models, *baselines;
    const char *headline; /* the model that the summary speaks of */
    cm_report_view views[CM_REPORT_VIEWS];
    int n_views;
} cm_report_record;

typedef struct cm_report {
    const cm_report_request *request;
    cm_buf html;
    cm_report_record *records; /* [n_records] */
    json_t **audits;           /* [n_audits] */
    json_t **cards;            /* [n_models] */
    json_t *charts;            /* descriptions for report/charts.js; NULL: no charts are wanted */
    int n_figures;
} cm_report;

/* ---- reading (report_read.c) ---- */

cm_status cm_report_read_json(json_t **json, const char *path, cm_error *error);
cm_status cm_report_read_record(cm_report_record *record, const char *path, cm_error *error);
cm_status cm_report_check_audit(const json_t *audit, const char *path, cm_error *error);
/* The last part of a path without .json. */
void cm_report_name(char name[96], const char *path);

const char *cm_report_text(const json_t *object, const char *key);
double cm_report_number(const json_t *object, const char *key);
double cm_report_element(const json_t *array, size_t i);

/* The name of model i. */
const char *cm_report_model(const cm_report_record *record, size_t i);
/* NULL: the record has none. */
const json_t *cm_report_result(const cm_report_record *record, const char *model, const cm_report_view *view);
/* key: "pooled", "low95", ... */
double cm_report_metric(const json_t *result, const char *metric, const char *key);
bool cm_report_is_paper(const cm_report_view *view);
bool cm_report_is_baseline(const cm_report_record *record, const char *model);
/* The baseline with the best main metric; NULL: none was evaluated. */
const char *cm_report_best_baseline(const cm_report_record *record, const cm_report_view *view);
/* Number of a model in the record: its style in charts. */
int cm_report_style(const cm_report_record *record, const char *model);

/* value of first minus that of second in the main metric; low and high are NaN without a paired interval. */
typedef struct cm_report_difference {
    double value, low, high;
} cm_report_difference;
cm_report_difference cm_report_compare(const cm_report_record *record, const cm_report_view *view,
                                       const char *first, const char *second);

/* ---- writing ---- */

/* "0.68 to 0.76" */
typedef struct cm_report_range {
    char text[96];
} cm_report_range;
cm_report_range cm_report_range_of(double low, double high, int digits);

void cm_report_section(cm_report *report, const char *id, const char *title);
void cm_report_section_end(cm_report *report);

void cm_report_summary(cm_report *report);
void cm_report_compare_all(cm_report *report);
void cm_report_record_section(cm_report *report, int number);
void cm_report_audits(cm_report *report);
void cm_report_cards(cm_report *report);

/* Figures of one view (report_charts.c); nothing without charts or without the numbers. */
void cm_report_curves(cm_report *report, const cm_report_record *record, const cm_report_view *view);
void cm_report_reliability(cm_report *report, const cm_report_record *record, const cm_report_view *view);
void cm_report_scatters(cm_report *report, const cm_report_record *record, const cm_report_view *view);
void cm_report_residual_figures(cm_report *report, const cm_report_record *record,
                                const cm_report_view *view);
void cm_report_learning(cm_report *report, const cm_report_record *record, const cm_report_view *view);
/* Intervals of the main metric, over all records of a kind. */
void cm_report_overview(cm_report *report, bool affinity);

/* A chart's description (taken) as a figure of the page. */
void cm_report_figure(cm_report *report, json_t *description, const char *title, const char *caption,
                      bool full_width);
json_t *cm_report_axis(const char *title, double low, double high);
/* {"name", "style", "rows", "values", "whiskers"}, empty. */
json_t *cm_report_interval_series(const char *name, int style);
void cm_report_interval_add(json_t *series, double row, double value, double low, double high, double low2,
                            double high2);
json_t *cm_report_real(double value);

#endif
