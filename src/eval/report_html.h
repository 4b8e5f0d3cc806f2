/* HTML from parts: text of strangers is escaped here and nowhere else. A private part of eval/report.c. */
#ifndef CM_EVAL_REPORT_HTML_H
#define CM_EVAL_REPORT_HTML_H

#include "base/buf.h"
#include <jansson.h>

/* Adds text with the characters that HTML, attributes included, gives a meaning written as references.
 * Characters that no one sees but that change what is seen (controls, marks and overrides of the writing
 * direction, zero-width ones) become [U+202E]; bytes that are no UTF-8 become [0xFF]. */
void cm_html_text(cm_buf *out, const char *text);

/* text with the same characters made visible, as a JSON string for a chart. */
json_t *cm_html_string(const char *text);

/* Adds a part of report/page.html: the lines after <!-- part NAME --> to the next such line. {{key}} becomes
 * the escaped text of key, {{{key}}} the text as it is. values ends with key NULL. The part and every key of
 * it must exist. */
typedef struct cm_html_value {
    const char *key, *text;
} cm_html_value;
void cm_html_part(cm_buf *out, const char *name, const cm_html_value *values);
#define CM_HTML_PART(out, name, ...) cm_html_part(out, name, (const cm_html_value[]){__VA_ARGS__, {0}})

/* Adds value as JSON that can stand inside a script element, reals with 5 digits. */
void cm_html_json(cm_buf *out, const json_t *value);

/* A number with a true minus sign; a dash when it is not finite. */
typedef struct cm_html_number {
    char text[40];
} cm_html_number;
cm_html_number cm_html_real(double value, int digits);
cm_html_number cm_html_count(double value); /* a whole number: 12,345 */
cm_html_number cm_html_percent(double part, double all);

/* ---- tables ---- */

/* Columns with names; the first is the name of a row. The others hold numbers, or text when their name begins
 * with | (which is not shown). caption may be NULL. */
void cm_html_table(cm_buf *out, const char *caption, const char *const *columns, int n);
void cm_html_table_end(cm_buf *out);
/* A row begins with its name. */
void cm_html_row(cm_buf *out, const char *name);
void cm_html_row_end(cm_buf *out);
/* A cell of text; of text that may take several lines; of a number; of a number with its interval (left out
 * when it is not finite). */
void cm_html_cell(cm_buf *out, const char *text);
void cm_html_cell_long(cm_buf *out, const char *text);
void cm_html_cell_number(cm_buf *out, cm_html_number number);
void cm_html_cell_interval(cm_buf *out, double value, double low, double high, int digits);

#endif
