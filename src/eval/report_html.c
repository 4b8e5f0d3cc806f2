/* Escaping, parts of the page, numbers and tables. */
#include "eval/report_html.h"
#include "eval/report_page.h"
#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* ---- text ---- */

/* The code point at text and its bytes; 0 bytes: no UTF-8. */
static uint32_t decode(const unsigned char *text, int *bytes) {
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    int more = *text < 0x80 ? 0 : *text >> 5 == 6 ? 1 : *text >> 4 == 14 ? 2 : *text >> 3 == 30 ? 3 : -1;
    *bytes = 0;
    if (more < 0) return 0;
    uint32_t point = more == 0 ? *text : *text & (0x3fu >> more);
    for (int i = 1; i <= more; i++) {
        if (text[i] >> 6 != 2) return 0;
        point = point << 6 | (text[i] & 0x3f);
    }
    if (point < least[more] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) return 0;
    *bytes = more + 1;
    return point;
}

/* Ranges of characters that are not seen themselves. */
static bool is_hidden(uint32_t point) {
    static const uint32_t ranges[][2] = {
        {0x00, 0x08},     {0x0b, 0x1f},     {0x7f, 0x9f},      {0xad, 0xad},     {0x61c, 0x61c},
        {0x180e, 0x180e}, {0x200b, 0x200f}, {0x2028, 0x202e},  {0x2060, 0x206f}, {0xfe00, 0xfe0f},
        {0xfeff, 0xfeff}, {0xfff0, 0xfffb}, {0xe0000, 0xe0fff}};
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (point >= ranges[i][0] && point <= ranges[i][1]) return true;
    return false;
}

static const char *reference_of(uint32_t point) {
    switch (point) {
    case '&':
        return "&amp;";
    case '<':
        return "&lt;";
    case '>':
        return "&gt;";
    case '"':
        return "&quot;";
    case '\'':
        return "&#39;";
    default:
        return NULL;
    }
}

static void add_visible(cm_buf *out, const char *text, bool html) {
    const unsigned char *at = (const unsigned char *)text;
    while (*at) {
        int bytes;
        uint32_t point = decode(at, &bytes);
        const char *reference = html && bytes ? reference_of(point) : NULL;
        if (bytes == 0)
            cm_buf_printf(out, "[0x%02X]", *at++);
        else if (is_hidden(point))
            cm_buf_printf(out, "[U+%04X]", point);
        else if (reference)
            cm_buf_text(out, reference);
        else
            cm_buf_append(out, at, (size_t)bytes);
        at += bytes;
    }
}

void cm_html_text(cm_buf *out, const char *text) {
    add_visible(out, text, true);
}

json_t *cm_html_string(const char *text) {
    cm_buf buf = CM_BUF_EMPTY;
    add_visible(&buf, text, false);
    json_t *string = buf.failed ? NULL : json_string(buf.data ? buf.data : "");
    cm_buf_clear(&buf);
    return string;
}

/* ---- parts ---- */

static const char *value_of(const cm_html_value *values, const char *key, size_t length) {
    for (; values->key; values++)
        if (strlen(values->key) == length && memcmp(values->key, key, length) == 0) return values->text;
    assert(!"a key that has no value");
    return "";
}

/* The text of a part and its length. */
static const char *part_of(const char *name, size_t *length) {
    static const char mark[] = "<!-- part ";
    size_t wanted = strlen(name);
    const char *at = strstr(cm_report_page, mark);
    for (; at; at = strstr(at, mark)) {
        at += sizeof mark - 1;
        if (strncmp(at, name, wanted) != 0 || strncmp(at + wanted, " -->\n", 5) != 0) continue;
        at += wanted + 5;
        const char *end = strstr(at, mark);
        *length = end ? (size_t)(end - at) : strlen(at);
        return at;
    }
    assert(!"a part that there is not");
    *length = 0;
    return "";
}

void cm_html_part(cm_buf *out, const char *name, const cm_html_value *values) {
    size_t length;
    const char *at = part_of(name, &length), *end = at + length;
    while (at < end) {
        const char *open = memchr(at, '{', (size_t)(end - at));
        if (open && (end - open < 4 || open[1] != '{')) {
            cm_buf_append(out, at, (size_t)(open + 1 - at));
            at = open + 1;
            continue;
        }
        cm_buf_append(out, at, (size_t)((open ? open : end) - at));
        if (!open) return;
        bool raw = open[2] == '{';
        const char *key = open + (raw ? 3 : 2), *close = strchr(key, '}');
        const char *text = value_of(values, key, (size_t)(close - key));
        if (raw)
            cm_buf_text(out, text);
        else
            cm_html_text(out, text);
        at = close + (raw ? 3 : 2);
    }
}

/* ---- JSON ---- */

static int append_json(const char *text, size_t length, void *buf) {
    for (size_t i = 0; i < length; i++)
        if (strchr("<>&", text[i]) && text[i])
            cm_buf_printf(buf, "\\u%04x", (unsigned)text[i]);
        else
            cm_buf_append(buf, text + i, 1);
    return ((cm_buf *)buf)->failed ? -1 : 0;
}

void cm_html_json(cm_buf *out, const json_t *value) {
    if (json_dump_callback(value, append_json, out, JSON_COMPACT | JSON_SORT_KEYS | JSON_REAL_PRECISION(5)) !=
        0)
        out->failed = true;
}

/* ---- numbers ---- */

#define MINUS "\xe2\x88\x92"
#define DASH "\xe2\x80\x93"

cm_html_number cm_html_real(double value, int digits) {
    cm_html_number number = {DASH};
    if (!isfinite(value)) return number;
    snprintf(number.text, sizeof number.text, "%.*f", digits, fabs(value));
    bool zero = number.text[strspn(number.text, "0.")] == '\0';
    if (value < 0 && !zero) snprintf(number.text, sizeof number.text, MINUS "%.*f", digits, -value);
    return number;
}

cm_html_number cm_html_count(double value) {
    cm_html_number number = {DASH};
    char plain[24];
    if (!(fabs(value) < 1e15)) return number;
    int length = snprintf(plain, sizeof plain, "%.0f", value), at = 0;
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0 && plain[i - 1] != '-') number.text[at++] = ',';
        number.text[at++] = plain[i];
    }
    number.text[at] = '\0';
    return number;
}

cm_html_number cm_html_percent(double part, double all) {
    return cm_html_real(all > 0 ? 100 * part / all : NAN, 1);
}

/* ---- tables ---- */

void cm_html_table(cm_buf *out, const char *caption, const char *const *columns, int n) {
    cm_buf_text(out, "<div class=\"wide\"><table>\n");
    if (caption) {
        cm_buf_text(out, "<caption><span>");
        cm_html_text(out, caption);
        cm_buf_text(out, "</span></caption>\n");
    }
    cm_buf_text(out, "<thead><tr>");
    for (int i = 0; i < n; i++) {
        bool text = columns[i][0] == '|';
        cm_buf_text(out, text ? "<th scope=\"col\" class=\"text\">" : "<th scope=\"col\">");
        cm_html_text(out, columns[i] + text);
        cm_buf_text(out, "</th>");
    }
    cm_buf_text(out, "</tr></thead>\n<tbody>\n");
}

void cm_html_table_end(cm_buf *out) {
    cm_buf_text(out, "</tbody></table></div>\n");
}

void cm_html_row(cm_buf *out, const char *name) {
    cm_buf_text(out, "<tr><th scope=\"row\"><bdi>");
    cm_html_text(out, name);
    cm_buf_text(out, "</bdi></th>");
}

void cm_html_row_end(cm_buf *out) {
    cm_buf_text(out, "</tr>\n");
}

void cm_html_cell(cm_buf *out, const char *text) {
    cm_buf_text(out, "<td class=\"text\"><bdi>");
    cm_html_text(out, text);
    cm_buf_text(out, "</bdi></td>");
}

void cm_html_cell_long(cm_buf *out, const char *text) {
    cm_buf_text(out, "<td class=\"long\"><bdi>");
    cm_html_text(out, text);
    cm_buf_text(out, "</bdi></td>");
}

void cm_html_cell_number(cm_buf *out, cm_html_number number) {
    cm_buf_printf(out, "<td>%s</td>", number.text);
}

void cm_html_cell_interval(cm_buf *out, double value, double low, double high, int digits) {
    if (!isfinite(low) || !isfinite(high)) {
        cm_html_cell_number(out, cm_html_real(value, digits));
        return;
    }
    cm_buf_printf(out, "<td>%s<br><small>%s%s%s</small></td>", cm_html_real(value, digits).text,
                  cm_html_real(low, digits).text, low < 0 ? " to " : DASH, cm_html_real(high, digits).text);
}
