/* Status texts and the error record. */
#include "base/fail.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* what fail.h defines for analysers */
#undef cm_fail
#undef cm_fail_memory
#undef cm_fail_errno

const char *cm_status_text(cm_status status) {
    switch (status) {
#define X(name, text) \
    case CM_##name:   \
        return text;
        CM_STATUS_LIST(X)
#undef X
    }
    return "unknown status";
}

/* Copies text with bytes outside printable ASCII as \xHH; a text that does not fit ends with "...". */
static void sanitise(char *target, size_t size, const char *text) {
    size_t len = 0, cut = 0;
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        bool plain = *c >= 0x20 && *c < 0x7f;
        size_t width = plain ? 1 : 4;
        if (len + width + 1 > size) {
            memcpy(target + cut, "...", 4);
            return;
        }
        snprintf(target + len, size - len, plain ? "%c" : "\\x%02x", *c);
        len += width;
        if (len + 4 <= size) cut = len;
    }
    target[len] = '\0';
}

cm_text cm_format(const char *format, ...) {
    char raw[512];
    cm_text text;
    va_list args;
    va_start(args, format);
    vsnprintf(raw, sizeof raw, format, args);
    va_end(args);
    sanitise(text.text, sizeof text.text, raw);
    return text;
}

cm_status cm_fail(cm_error *error, cm_status status, const char *file, const char *place,
                  const char *expected, const char *found, ...) {
    if (!error) return status;
    char raw[1024];
    va_list args;
    va_start(args, found);
    vsnprintf(raw, sizeof raw, found, args);
    va_end(args);
    /* built aside, because the texts may lie in *error itself */
    cm_error record = {.status = status};
    sanitise(record.file, sizeof record.file, file ? file : "");
    sanitise(record.place, sizeof record.place, place ? place : "");
    sanitise(record.expected, sizeof record.expected, expected ? expected : "");
    sanitise(record.found, sizeof record.found, raw);
    *error = record;
    return status;
}

cm_status cm_fail_memory(cm_error *error, size_t bytes) {
    if (bytes == 0) return cm_fail(error, CM_MEMORY, NULL, NULL, NULL, "out of memory");
    return cm_fail(error, CM_MEMORY, NULL, NULL, NULL, "out of memory (%zu bytes)", bytes);
}

cm_status cm_fail_errno(cm_error *error, const char *file, const char *action, int errnum) {
    char reason[128];
    const char *text = strerror_r(errnum, reason, sizeof reason);
    return cm_fail(error, CM_IO, file, NULL, NULL, "%s: %s", action, text);
}

/* Appends up to three texts at text[*len], cut at size. */
static void add(char *text, unsigned long size, size_t *len, const char *a, const char *b, const char *c) {
    if (*len + 1 >= size) return;
    int n = snprintf(text + *len, size - *len, "%s%s%s", a, b, c);
    *len += (size_t)n;
    if (*len >= size) *len = size - 1;
}

char *cm_error_line(const cm_error *error, char *text, unsigned long size) {
    size_t len = 0;
    text[0] = '\0';
    if (error->file[0]) add(text, size, &len, error->file, ": ", "");
    if (error->place[0]) add(text, size, &len, error->place, ": ", "");
    bool found = error->found[0], expected = error->expected[0];
    if (found) add(text, size, &len, expected ? "found " : "", error->found, expected ? ", " : "");
    if (expected) add(text, size, &len, "expected ", error->expected, "");
    if (!found && !expected) add(text, size, &len, cm_status_text(error->status), "", "");
    return text;
}
