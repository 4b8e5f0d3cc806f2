/* Parsing command lines and printing their help. */
#include "cli/args.h"
#include "cli/common.h"
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static cm_status usage(cm_error *error, const char *name, const char *expected, const char *found) {
    char place[sizeof error->place];
    snprintf(place, sizeof place, "option --%s", name);
    return cm_cli_fail(error, CM_USAGE, NULL, place, expected, found);
}

static int find_row(const cm_arg_row *rows, const char *name, size_t length) {
    for (int i = 0; rows[i].name; i++)
        if (strlen(rows[i].name) == length && memcmp(rows[i].name, name, length) == 0) return i;
    return -1;
}

/* The row of options.def that a command-line name stands for, or NULL. */
static const cm_option_row *find_option(const char *name, size_t length) {
    int count;
    const cm_option_row *rows = cm_option_rows(&count);
    for (int i = 0; i < count; i++) {
        size_t k = 0;
        while (k < length && rows[i].name[k] && (rows[i].name[k] == '_' ? '-' : rows[i].name[k]) == name[k])
            k++;
        if (k == length && rows[i].name[k] == '\0') return &rows[i];
    }
    return NULL;
}

static cm_status store(cm_args *args, int row, const char *value, cm_error *error) {
    const cm_arg_row *r = &args->rows[row];
    if (args->counts[row] > 0 && !r->repeats) return usage(error, r->name, "the option once", "twice");
    if (args->counts[row] == CM_ARG_MAX_VALUES) return usage(error, r->name, "at most 32 times", "more");
    args->values[row][args->counts[row]++] = value;
    return CM_OK;
}

static cm_status store_word(cm_args *args, const char *word, cm_error *error) {
    if (args->n_words < args->max_words) {
        args->words[args->n_words++] = word;
        return CM_OK;
    }
    char found[sizeof error->found];
    snprintf(found, sizeof found, "'%s'", word);
    return cm_cli_fail(error, CM_USAGE, NULL, NULL, "an option (--name value)", found);
}

/* Takes the option at argv[*at] and its value; *at moves past them. */
static cm_status parse_one(cm_args *args, int argc, char **argv, int *at, cm_error *error) {
    const char *text = argv[(*at)++];
    if (strncmp(text, "--", 2) != 0 || text[2] == '\0') return store_word(args, text, error);
    const char *name = text + 2, *equals = strchr(name, '=');
    size_t length = equals ? (size_t)(equals - name) : strlen(name);
    int row = find_row(args->rows, name, length);
    const cm_option_row *option = row < 0 && args->options ? find_option(name, length) : NULL;
    if (row < 0 && !option)
        return usage(error, name, "an option of this command (see --help)", "no such option");
    bool flag = row >= 0 ? !args->rows[row].value : option->kind == CM_KIND_FLAG;
    const char *value = equals ? equals + 1 : NULL;
    if (flag && row >= 0 && value) return usage(error, args->rows[row].name, "no value", value);
    if (!value && !flag) {
        if (*at >= argc) return usage(error, name, "a value", "the end of the line");
        value = argv[(*at)++];
    }
    if (!value) value = "1";
    return row >= 0 ? store(args, row, value, error)
                    : cm_options_set(args->options, option->name, value, error);
}

cm_status cm_args_parse(cm_args *args, const cm_arg_row *rows, cm_options *options, int max_words, int argc,
                        char **argv, cm_error *error) {
    *args = (cm_args){.rows = rows, .options = options, .max_words = max_words, .argc = argc, .argv = argv};
    if (options) cm_options_default(options);
    for (int at = 0; at < argc;) {
        cm_status status = parse_one(args, argc, argv, &at, error);
        if (status != CM_OK) return status;
    }
    for (int i = 0; rows[i].name; i++)
        if (rows[i].required && args->counts[i] == 0)
            return usage(error, rows[i].name, rows[i].help, "nothing");
    return CM_OK;
}

int cm_args_count(const cm_args *args, const char *name) {
    int row = find_row(args->rows, name, strlen(name));
    return row < 0 ? 0 : args->counts[row];
}

const char *cm_args_at(const cm_args *args, const char *name, int i) {
    int row = find_row(args->rows, name, strlen(name));
    return row < 0 || i < 0 || i >= args->counts[row] ? NULL : args->values[row][i];
}

const char *cm_args_get(const cm_args *args, const char *name) {
    return cm_args_at(args, name, cm_args_count(args, name) - 1);
}

cm_status cm_args_integer(const cm_args *args, const char *name, long least, long most, long standard,
                          long *value, cm_error *error) {
    const char *text = cm_args_get(args, name);
    *value = standard;
    if (!text) return CM_OK;
    char *end, expected[64];
    errno = 0;
    long number = strtol(text, &end, 10);
    if (end == text || *end || errno || number < least || number > most) {
        snprintf(expected, sizeof expected, "an integer from %ld to %ld", least, most);
        return usage(error, name, expected, text);
    }
    *value = number;
    return CM_OK;
}

static void quote(FILE *stream, const char *word) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./=:,+@%";
    if (*word && word[strspn(word, plain)] == '\0') {
        fprintf(stream, " %s", word);
        return;
    }
    fputs(" '", stream);
    for (; *word; word++) fputs(*word == '\'' ? "'\\''" : (char[]){*word, '\0'}, stream);
    fputc('\'', stream);
}

char *cm_args_line(const cm_args *args, const char *command) {
    char *line = NULL;
    size_t size;
    FILE *stream = open_memstream(&line, &size);
    if (!stream) return NULL;
    fprintf(stream, "crossmamba %s", command);
    for (int i = 0; i < args->argc; i++) quote(stream, args->argv[i]);
    fclose(stream);
    return line;
}

void cm_args_help(const cm_arg_row *rows, bool with_options) {
    char left[96];
    for (int i = 0; rows[i].name; i++) {
        snprintf(left, sizeof left, "--%s %s", rows[i].name, rows[i].value ? rows[i].value : "");
        printf("  %-26s %s%s%s\n", left, rows[i].help, rows[i].required ? " (required)" : "",
               rows[i].repeats ? " (may be repeated)" : "");
    }
    if (!with_options) return;
    int count;
    const cm_option_row *options = cm_option_rows(&count);
    printf("\nNetwork and training:\n");
    for (int i = 0; i < count; i++) {
        static const char *const kinds[] = {"TEXT", "N", "X", ""};
        snprintf(left, sizeof left, "--%s %s", options[i].name, kinds[options[i].kind]);
        for (char *c = left; *c; c++)
            if (*c == '_') *c = '-';
        printf("  %-26s %s [%s]\n", left, options[i].help, options[i].standard);
    }
}
