/* TSV and CSV with a header line, plain or gzip. The separator is a tab when the header has one, else a
 * comma. CSV quotes as RFC 4180; in TSV a quote is an ordinary character. CRLF, a UTF-8 byte order mark and
 * blank lines are accepted; NUL bytes, UTF-16, ragged rows, duplicate column names and lines over 16 MiB are
 * refused with the line number. A lone CR, a row over 16 MiB in all and more than 10,000 columns are refused
 * too. Cells are never trimmed. */
#ifndef CM_IO_TABLE_H
#define CM_IO_TABLE_H

#include "base/fail.h"
#include <stdbool.h>

typedef struct cm_table cm_table;

/* path "-" reads standard input. */
cm_status cm_table_open(cm_table **table, const char *path, cm_error *error);
void cm_table_close(cm_table *table);

/* Column number of name, -1 when there is none. */
int cm_table_column(const cm_table *table, const char *name);
/* As above, but a missing column is CM_DATA and the message lists the columns there are. */
cm_status cm_table_require(const cm_table *table, const char *name, int *column, cm_error *error);

/* The next row: *more false at the end. Cells are NUL-terminated and valid until the next call. */
cm_status cm_table_next(cm_table *table, bool *more, cm_error *error);
const char *cm_table_cell(const cm_table *table, int column);
long cm_table_line(const cm_table *table); /* line number of the current row, from 1 */
const char *cm_table_path(const cm_table *table);

/* Strict decimal number in the C locale ("1.5", "-2e-3"); inf, nan, empty, blanks, decimal comma and
 * overflow are CM_DATA with the current line and the column's name. */
cm_status cm_table_number(const cm_table *table, int column, double *value, cm_error *error);

#endif
