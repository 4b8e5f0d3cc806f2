/* Reading TSV and CSV row by row. */
#include "io/table.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/map.h"
#include "io/stream.h"
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const size_t line_limit = (size_t)16 << 20;
static const size_t column_limit = 10000;

/* Where the parser stands inside a record. CSV alone leaves CELL_PLAIN; a record may end in the others
 * but not in CELL_QUOTED. */
typedef enum cell_state { CELL_START, CELL_PLAIN, CELL_QUOTED, CELL_CLOSED } cell_state;

struct cm_table {
    cm_stream *stream;
    const char *block; /* what is left of the stream's current block */
    size_t block_left;
    bool ended; /* the stream is */
    char separator;
    cm_buf raw;    /* one line as it is in the file */
    cm_buf text;   /* the row's cells, each with a NUL */
    size_t *start; /* [column_limit] where each cell begins in text */
    size_t cells;  /* of the current row; more than column_limit are counted, not kept */
    cm_map *names; /* column name -> column */
    long row_line, last_line;
    locale_t c_locale;
};

static cm_status fail_at(const cm_table *table, long line, const char *expected, const char *found,
                         cm_error *error) {
    return cm_fail(error, CM_DATA, cm_table_path(table), cm_format("line %ld", line).text, expected, "%s",
                   found);
}

/* Appends to raw what the block has up to a line feed; *complete when the line ended there. */
static cm_status take_piece(cm_table *table, bool *complete, cm_error *error) {
    const char *feed = memchr(table->block, '\n', table->block_left);
    size_t length = feed != NULL ? (size_t)(feed - table->block) : table->block_left;
    if (length > line_limit - table->raw.len)
        return fail_at(table, table->last_line, "a line of at most 16 MiB", "a longer line", error);
    if (!cm_buf_append(&table->raw, table->block, length)) return cm_fail_memory(error, length);
    size_t used = length + (feed != NULL);
    table->block += used;
    table->block_left -= used;
    *complete = feed != NULL;
    return CM_OK;
}

static cm_status check_bytes(const cm_table *table, cm_error *error) {
    if (memchr(table->raw.data, '\0', table->raw.len) != NULL)
        return fail_at(table, table->last_line, "text", "a NUL byte (a binary file, or UTF-16)", error);
    if (memchr(table->raw.data, '\r', table->raw.len) != NULL)
        return fail_at(table, table->last_line, "lines that end with LF or CR LF",
                       "a carriage return inside the line", error);
    return CM_OK;
}

/* The next line into raw, without its end; *more false when there is none. */
static cm_status read_line(cm_table *table, bool *more, cm_error *error) {
    bool complete = false, any = false;
    table->raw.len = 0;
    table->last_line++;
    while (!complete) {
        if (table->block_left == 0 && !table->ended) {
            CM_TRY(cm_stream_next(table->stream, &table->block, &table->block_left, error));
            table->ended = table->block_left == 0;
        }
        if (table->ended) break;
        any = true;
        CM_TRY(take_piece(table, &complete, error));
    }
    *more = any;
    if (!any) return CM_OK;
    if (table->raw.len > 0 && table->raw.data[table->raw.len - 1] == '\r') table->raw.len--;
    table->raw.data[table->raw.len] = '\0';
    return check_bytes(table, error);
}

static void begin_cell(cm_table *table) {
    if (table->cells < column_limit) table->start[table->cells] = table->text.len;
    table->cells++;
}

static bool add_bytes(cm_table *table, const char *bytes, size_t length) {
    return cm_buf_append(&table->text, bytes, length);
}

static bool end_cell(cm_table *table) {
    return cm_buf_append(&table->text, "", 1);
}

/* Splits raw at the separator. */
static cm_status split_plain(cm_table *table, cm_error *error) {
    const char *at = table->raw.data, *end = at + table->raw.len;
    for (bool last = false; !last;) {
        const char *stop = memchr(at, table->separator, (size_t)(end - at));
        last = stop == NULL;
        if (last) stop = end;
        begin_cell(table);
        if (!add_bytes(table, at, (size_t)(stop - at)) || !end_cell(table))
            return cm_fail_memory(error, table->raw.len);
        at = stop + 1;
    }
    return CM_OK;
}

/* One byte of a CSV record (RFC 4180). Returns the message when it is out of place. */
static const char *csv_byte(cm_table *table, cell_state *state, const char *byte, bool *stored) {
    if (*state == CELL_QUOTED) {
        if (*byte == '"')
            *state = CELL_CLOSED;
        else
            *stored = add_bytes(table, byte, 1);
    } else if (*byte == table->separator) {
        *stored = end_cell(table);
        begin_cell(table);
        *state = CELL_START;
    } else if (*byte == '"') {
        if (*state == CELL_PLAIN) return "a quote inside a cell that does not begin with one";
        if (*state == CELL_CLOSED) *stored = add_bytes(table, byte, 1);
        *state = CELL_QUOTED;
    } else {
        if (*state == CELL_CLOSED) return "text behind a closing quote";
        *stored = add_bytes(table, byte, 1);
        *state = CELL_PLAIN;
    }
    return NULL;
}

static cm_status csv_line(cm_table *table, cell_state *state, cm_error *error) {
    bool stored = true;
    for (size_t i = 0; i < table->raw.len; i++) {
        const char *wrong = csv_byte(table, state, table->raw.data + i, &stored);
        if (wrong != NULL)
            return fail_at(table, table->last_line, "quotes as in RFC 4180 (\"a \"\"b\"\" c\")", wrong,
                           error);
        if (!stored) return cm_fail_memory(error, table->text.len);
    }
    return CM_OK;
}

/* Splits raw, and while a quoted cell is open the lines that follow. */
static cm_status split_quoted(cm_table *table, cm_error *error) {
    cell_state state = CELL_START;
    begin_cell(table);
    CM_TRY(csv_line(table, &state, error));
    while (state == CELL_QUOTED) {
        bool more = false;
        CM_TRY(read_line(table, &more, error));
        if (!more)
            return fail_at(table, table->row_line, "a closing quote", "a quote that is never closed", error);
        if (table->text.len + table->raw.len > line_limit)
            return fail_at(table, table->row_line, "a row of at most 16 MiB",
                           "a longer row (is a quote left open?)", error);
        if (!add_bytes(table, "\n", 1)) return cm_fail_memory(error, table->text.len);
        CM_TRY(csv_line(table, &state, error));
    }
    return end_cell(table) ? CM_OK : cm_fail_memory(error, table->text.len);
}

/* The next line that is not blank into raw. */
static cm_status next_filled_line(cm_table *table, bool *more, cm_error *error) {
    do {
        CM_TRY(read_line(table, more, error));
    } while (*more && table->raw.len == 0);
    table->row_line = table->last_line;
    return CM_OK;
}

static cm_status split_row(cm_table *table, cm_error *error) {
    table->cells = 0;
    table->text.len = 0;
    return table->separator == '\t' ? split_plain(table, error) : split_quoted(table, error);
}

static cm_status read_header(cm_table *table, cm_error *error) {
    bool more = false;
    CM_TRY(next_filled_line(table, &more, error));
    if (!more)
        return cm_fail(error, CM_DATA, cm_table_path(table), NULL, "a header line with column names",
                       "nothing");
    table->separator = memchr(table->raw.data, '\t', table->raw.len) != NULL ? '\t' : ',';
    CM_TRY(split_row(table, error));
    if (table->cells > column_limit)
        return fail_at(table, table->row_line, "at most 10000 columns", "more columns", error);
    for (size_t i = 0; i < table->cells; i++) {
        const char *name = table->text.data + table->start[i];
        if (cm_map_get(table->names, name, strlen(name), NULL))
            return cm_fail(error, CM_DATA, cm_table_path(table), cm_format("line %ld", table->row_line).text,
                           "each column name once", "a second column '%s'", name);
        if (!cm_map_put(table->names, name, strlen(name), (int64_t)i)) return cm_fail_memory(error, 0);
    }
    table->cells = 0; /* no row yet */
    return CM_OK;
}

static cm_status open_parts(cm_table *table, const char *path, cm_error *error) {
    table->start = cm_new(column_limit, sizeof *table->start);
    table->names = cm_map_create();
    table->c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    table->raw.ceiling = line_limit + 1;
    table->text.ceiling = 4 * line_limit; /* a NUL for each cell comes on top */
    if (table->start == NULL || table->names == NULL || table->c_locale == (locale_t)0)
        return cm_fail_memory(error, column_limit * sizeof *table->start);
    if (!cm_buf_append(&table->raw, "", 0)) return cm_fail_memory(error, 0);
    CM_TRY(cm_stream_open(&table->stream, path, error));
    return read_header(table, error);
}

cm_status cm_table_open(cm_table **table, const char *path, cm_error *error) {
    *table = NULL;
    cm_table *opened = cm_new(1, sizeof *opened);
    if (opened == NULL) return cm_fail_memory(error, sizeof *opened);
    cm_status status = open_parts(opened, path, error);
    if (status != CM_OK) {
        cm_table_close(opened);
        return status;
    }
    *table = opened;
    return CM_OK;
}

void cm_table_close(cm_table *table) {
    if (table == NULL) return;
    if (table->c_locale != (locale_t)0) freelocale(table->c_locale);
    cm_stream_close(table->stream);
    cm_map_destroy(table->names);
    cm_buf_clear(&table->raw);
    cm_buf_clear(&table->text);
    cm_free(table->start);
    cm_free(table);
}

int cm_table_column(const cm_table *table, const char *name) {
    int64_t column = -1;
    return cm_map_get(table->names, name, strlen(name), &column) ? (int)column : -1;
}

static const char *column_name(const cm_table *table, size_t column) {
    size_t length = 0;
    int64_t value = 0;
    return cm_map_key(table->names, column, &length, &value);
}

cm_status cm_table_require(const cm_table *table, const char *name, int *column, cm_error *error) {
    int found = cm_table_column(table, name);
    if (found >= 0) {
        *column = found;
        return CM_OK;
    }
    cm_buf list = {.ceiling = 4096}; /* the error record keeps less */
    for (size_t i = 0; i < cm_map_count(table->names) && !list.failed; i++)
        cm_buf_printf(&list, "%s'%s'", i > 0 ? ", " : "", column_name(table, i));
    cm_status status =
        cm_fail(error, CM_DATA, cm_table_path(table), "header", cm_format("a column '%s'", name).text,
                "the columns %s", list.data != NULL ? list.data : "");
    cm_buf_clear(&list);
    return status;
}

cm_status cm_table_next(cm_table *table, bool *more, cm_error *error) {
    *more = false;
    table->cells = 0;
    CM_TRY(next_filled_line(table, more, error));
    if (!*more) return CM_OK;
    *more = false;
    CM_TRY(split_row(table, error));
    size_t columns = cm_map_count(table->names);
    if (table->cells != columns) {
        size_t cells = table->cells;
        table->cells = 0;
        return cm_fail(error, CM_DATA, cm_table_path(table), cm_format("line %ld", table->row_line).text,
                       cm_format("%zu cells, as the header has", columns).text, "%zu", cells);
    }
    *more = true;
    return CM_OK;
}

const char *cm_table_cell(const cm_table *table, int column) {
    return column >= 0 && (size_t)column < table->cells ? table->text.data + table->start[column] : "";
}

long cm_table_line(const cm_table *table) {
    return table->row_line;
}

const char *cm_table_path(const cm_table *table) {
    return cm_stream_path(table->stream);
}

static const char *skip_digits(const char *at) {
    while (*at >= '0' && *at <= '9') at++;
    return at;
}

/* [+-] digits [. digits] [e [+-] digits], at least one digit before the exponent and in it. */
static bool is_decimal(const char *text) {
    const char *at = text + (*text == '+' || *text == '-');
    const char *end = skip_digits(at);
    size_t digits = (size_t)(end - at);
    if (*end == '.') {
        at = end + 1;
        end = skip_digits(at);
        digits += (size_t)(end - at);
    }
    if (digits == 0) return false;
    if (*end == 'e' || *end == 'E') {
        at = end + 1;
        at += *at == '+' || *at == '-';
        end = skip_digits(at);
        if (end == at) return false;
    }
    return *end == '\0';
}

cm_status cm_table_number(const cm_table *table, int column, double *value, cm_error *error) {
    const char *text = cm_table_cell(table, column);
    bool decimal = is_decimal(text);
    double number = decimal ? strtod_l(text, NULL, table->c_locale) : 0;
    if (decimal && isfinite(number)) {
        *value = number + 0.0; /* "-0" becomes 0 */
        return CM_OK;
    }
    const char *name = column >= 0 ? column_name(table, (size_t)column) : "";
    return cm_fail(
        error, CM_DATA, cm_table_path(table), cm_format("line %ld, column '%s'", table->row_line, name).text,
        decimal ? "a number of at most 1.8e308" : "a decimal number such as 1.5 or -2e-3", "'%s'", text);
}
