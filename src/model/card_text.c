/* The model card as text for people. */
#include "base/buf.h"
#include "model/card.h"
#include <string.h>

/* The order of the sections; what a card has besides follows in its own order. */
static const char *const sections[] = {
    "task",  "unit",     "predictor",  "kernel",     "boosting",       "stack",          "mean",  "inputs",
    "data",  "training", "metrics",    "evaluation", "calibration",    "threshold",      "label", "licence",
    "notes", "options",  "parameters", "format",     "format_version", "library_version"};
enum { N_SECTIONS = sizeof sections / sizeof *sections };

static bool listed(const char *key) {
    for (size_t i = 0; i < N_SECTIONS; i++)
        if (strcmp(sections[i], key) == 0) return true;
    return false;
}

/* A file's control characters do not reach the terminal. */
static void append_bytes(cm_buf *text, const char *bytes, size_t length) {
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)bytes[i];
        cm_buf_append(text, (byte < ' ' && byte != '\t') || byte == 0x7F ? "?" : &bytes[i], 1);
    }
}

static void append_line(cm_buf *text, const char *line, size_t length) {
    append_bytes(text, line, length);
    cm_buf_text(text, "\n");
}

/* A text of several lines stands indented below its key. */
static void append_text(cm_buf *text, const char *value, int depth) {
    if (!strchr(value, '\n')) {
        cm_buf_text(text, " ");
        append_line(text, value, strlen(value));
        return;
    }
    cm_buf_text(text, "\n");
    for (const char *line = value; *line;) {
        size_t length = strcspn(line, "\n");
        cm_buf_printf(text, "%*s", 2 * depth + 2, "");
        append_line(text, line, length);
        line += length + (line[length] == '\n');
    }
}

static void append_value(cm_buf *text, const char *key, const json_t *value, int depth);

/* Objects one after the other under their number; words in a row; of numbers only how many. */
static void append_array(cm_buf *text, const json_t *value, int depth) {
    const json_t *first = json_array_get(value, 0), *item;
    size_t i;
    if (!json_is_object(first) && !json_is_string(first)) {
        cm_buf_printf(text, " %zu values\n", json_array_size(value));
        return;
    }
    if (json_is_object(first)) cm_buf_text(text, "\n");
    json_array_foreach(value, i, item) {
        if (json_is_object(item)) {
            append_value(text, cm_format("%zu", i + 1).text, item, depth + 1);
            continue;
        }
        const char *word = json_is_string(item) ? json_string_value(item) : "?";
        cm_buf_text(text, " ");
        append_bytes(text, word, strlen(word));
    }
    if (!json_is_object(first)) cm_buf_text(text, "\n");
}

static void append_value(cm_buf *text, const char *key, const json_t *value, int depth) {
    const char *inner;
    json_t *member;
    cm_buf_printf(text, "%*s%s:", 2 * depth, "", key);
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        cm_buf_text(text, "\n");
        json_object_foreach((json_t *)value, inner, member) append_value(text, inner, member, depth + 1);
        break;
    case JSON_STRING:
        append_text(text, json_string_value(value), depth);
        break;
    case JSON_INTEGER:
        cm_buf_printf(text, " %lld\n", (long long)json_integer_value(value));
        break;
    case JSON_REAL:
        cm_buf_printf(text, " %.6g\n", json_real_value(value));
        break;
    case JSON_ARRAY:
        append_array(text, value, depth);
        break;
    default:
        cm_buf_printf(text, " %s\n", json_is_true(value) ? "yes" : "no");
        break;
    }
}

char *cm_card_text(const json_t *card) {
    cm_buf text = CM_BUF_EMPTY;
    const char *key;
    json_t *value;
    for (size_t i = 0; i < N_SECTIONS; i++)
        if ((value = json_object_get(card, sections[i]))) append_value(&text, sections[i], value, 0);
    json_object_foreach((json_t *)card, key, value) if (!listed(key)) append_value(&text, key, value, 0);
    if (!text.failed) return text.data;
    cm_buf_clear(&text);
    return NULL;
}
