/* The files of report/, embedded at build time by tools/embed_text.py. */
#ifndef CM_EVAL_REPORT_PAGE_H
#define CM_EVAL_REPORT_PAGE_H

extern const char cm_report_page[];        /* parts of the page */
extern const char cm_report_style_sheet[]; /* CSS */
extern const char cm_report_script[];      /* draws the charts */

#endif
