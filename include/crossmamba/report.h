/* The report: one HTML file made from records of evaluations, audits and model cards, for people. It needs no
 * network: style, figures and the chart library are inside, and everything but the charts is there without
 * JavaScript. The same input gives the same bytes. */
#ifndef CROSSMAMBA_REPORT_H
#define CROSSMAMBA_REPORT_H

#include <crossmamba/error.h>
#include <crossmamba/export.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Zero-initialise, then set what is needed. */
typedef struct cm_report_request {
    const char *const *records; /* JSON files of cm_eval (docs/record.md), at least one; side by side */
    int n_records;
    const char *const *audits; /* JSON files of cm_audit_write */
    int n_audits;
    const char *const *models; /* model files or shipped models: their cards */
    int n_models;
    const char *title;   /* NULL: one made from the tasks */
    const char *command; /* the command line, or NULL */
    /* Chart.js 3 as one JavaScript file; NULL: that of Debian's package libjs-chart.js; "": no charts, tables
       alone. */
    const char *chart_library;
} cm_report_request;

/* Writes the report to path, atomically. CM_DATA names the record and the key that is not as it should be;
 * CM_IO says which package has the chart library when it is not there. */
CM_API cm_status cm_report_write(const cm_report_request *request, const char *path, cm_error *error);

#ifdef __cplusplus
}
#endif
#endif
