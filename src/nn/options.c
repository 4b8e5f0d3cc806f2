/* The table of options: defaults, reading from text, writing as text. */
#include "base/fail.h"
#include "nn/option_text.h"
#include <crossmamba/options.h>
#include <errno.h>
#include <locale.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What options.def says about an option beyond the public row: where it lies and its range. */
typedef struct option_place {
    size_t offset;
    double least, most;
} option_place;

#define TEXT(x) #x
static const cm_option_row rows[] = {
#define CM_OPTION_TEXT(name, standard, help) {#name, CM_KIND_TEXT, standard, help},
#define CM_OPTION_INT(name, standard, least, most, help) {#name, CM_KIND_INT, TEXT(standard), help},
#define CM_OPTION_REAL(name, standard, least, most, help) {#name, CM_KIND_REAL, TEXT(standard), help},
#define CM_OPTION_FLAG(name, standard, help) {#name, CM_KIND_FLAG, TEXT(standard), help},
#include <crossmamba/options.def>
#undef CM_OPTION_TEXT
#undef CM_OPTION_INT
#undef CM_OPTION_REAL
#undef CM_OPTION_FLAG
};

static const option_place places[] = {
#define CM_OPTION_TEXT(name, standard, help) {offsetof(cm_options, name), 0, 0},
#define CM_OPTION_INT(name, standard, least, most, help) {offsetof(cm_options, name), least, most},
#define CM_OPTION_REAL(name, standard, least, most, help) {offsetof(cm_options, name), least, most},
#define CM_OPTION_FLAG(name, standard, help) {offsetof(cm_options, name), 0, 1},
#include <crossmamba/options.def>
#undef CM_OPTION_TEXT
#undef CM_OPTION_INT
#undef CM_OPTION_REAL
#undef CM_OPTION_FLAG
};

enum { ROW_COUNT = sizeof rows / sizeof *rows, TEXT_SIZE = sizeof((cm_options *)0)->fusion };

const cm_option_row *cm_option_rows(int *count) {
    *count = ROW_COUNT;
    return rows;
}

void cm_options_default(cm_options *options) {
    memset(options, 0, sizeof *options);
#define CM_OPTION_TEXT(name, standard, help) memcpy(options->name, standard, sizeof standard);
#define CM_OPTION_INT(name, standard, least, most, help) options->name = standard;
#define CM_OPTION_REAL(name, standard, least, most, help) options->name = standard;
#define CM_OPTION_FLAG(name, standard, help) options->name = standard;
#include <crossmamba/options.def>
#undef CM_OPTION_TEXT
#undef CM_OPTION_INT
#undef CM_OPTION_REAL
#undef CM_OPTION_FLAG
}

/* Hyphens count as underscores. -1: no such option. */
static int find(const char *name) {
    for (int i = 0; i < ROW_COUNT; i++) {
        const char *a = rows[i].name, *b = name;
        while (*a && (*a == *b || (*a == '_' && *b == '-'))) a++, b++;
        if (!*a && !*b) return i;
    }
    return -1;
}

static const char *skip_digits(const char *text) {
    while (*text >= '0' && *text <= '9') text++;
    return text;
}

/* -?digits within long. */
static bool parse_integer(const char *text, long *value) {
    const char *digits = text + (*text == '-'), *end = skip_digits(digits);
    if (end == digits || *end) return false;
    errno = 0;
    *value = strtol(text, NULL, 10);
    return errno == 0;
}

/* -?digits[.digits][e[+-]digits] or -?.digits[...]; read in the C locale whatever the host's is. */
static bool parse_real(const char *text, double *value) {
    const char *start = text + (*text == '-'), *end = skip_digits(start);
    bool digits = end > start;
    if (*end == '.') {
        start = end + 1;
        end = skip_digits(start);
        digits |= end > start;
    }
    if (!digits) return false;
    if (*end == 'e' || *end == 'E') {
        end += 1 + (end[1] == '+' || end[1] == '-');
        start = end;
        end = skip_digits(start);
        if (end == start) return false;
    }
    if (*end) return false;
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!c) return false;
    *value = strtod_l(text, NULL, c);
    freelocale(c);
    return true;
}

static cm_status refuse(int i, const char *value, cm_error *error) {
    const option_place *place = &places[i];
    cm_text expected;
    switch (rows[i].kind) {
    case CM_KIND_TEXT:
        expected = cm_format("at most %d bytes", TEXT_SIZE - 1);
        break;
    case CM_KIND_INT:
        expected = cm_format("an integer from %ld to %ld", (long)place->least, (long)place->most);
        break;
    case CM_KIND_REAL:
        expected = cm_format("a number from %g to %g", place->least, place->most);
        break;
    default:
        expected = cm_format("0 or 1");
        break;
    }
    return cm_fail(error, CM_USAGE, NULL, rows[i].name, expected.text, "%s", value);
}

cm_status cm_options_set(cm_options *options, const char *name, const char *value, cm_error *error) {
    int i = find(name);
    if (i < 0) return cm_fail(error, CM_USAGE, NULL, name, "the name of an option", "an unknown name");
    const option_place *place = &places[i];
    char *field = (char *)options + place->offset;
    long whole;
    double real;
    if (rows[i].kind == CM_KIND_TEXT) {
        if (strlen(value) >= TEXT_SIZE) return refuse(i, value, error);
        memset(field, 0, TEXT_SIZE);
        memcpy(field, value, strlen(value) + 1);
    } else if (rows[i].kind == CM_KIND_REAL) {
        if (!parse_real(value, &real) || real < place->least || real > place->most)
            return refuse(i, value, error);
        *(double *)(void *)field = real;
    } else {
        if (!parse_integer(value, &whole) || (double)whole < place->least || (double)whole > place->most)
            return refuse(i, value, error);
        if (rows[i].kind == CM_KIND_INT)
            *(long *)(void *)field = whole;
        else
            *(int *)(void *)field = (int)whole;
    }
    return CM_OK;
}

/* The shortest decimal form that reads back to the same number. */
static void print_real(double value, char *text, size_t size) {
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    locale_t old = c ? uselocale(c) : (locale_t)0;
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(text, size, "%.*g", digits, value);
        if (strtod(text, NULL) == value) break;
    }
    if (c) {
        uselocale(old);
        freelocale(c);
    }
}

const char *cm_options_get(const cm_options *options, const char *name, char *text, unsigned long size) {
    int i = find(name);
    if (i < 0) return NULL;
    const char *field = (const char *)options + places[i].offset;
    switch (rows[i].kind) {
    case CM_KIND_TEXT:
        snprintf(text, size, "%s", field);
        break;
    case CM_KIND_INT:
        snprintf(text, size, "%ld", *(const long *)(const void *)field);
        break;
    case CM_KIND_REAL:
        print_real(*(const double *)(const void *)field, text, size);
        break;
    case CM_KIND_FLAG:
        snprintf(text, size, "%d", *(const int *)(const void *)field);
        break;
    }
    return text;
}

void cm_options_append(const cm_options *options, cm_buf *text) {
    char value[TEXT_SIZE];
    for (int i = 0; i < ROW_COUNT; i++)
        cm_buf_printf(text, "%s=%s\n", rows[i].name,
                      cm_options_get(options, rows[i].name, value, sizeof value));
}
