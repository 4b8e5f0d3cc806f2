/* Command lines: a table of options per command, --name value or --name=value, -- ends the options. */
#ifndef CM_CLI_ARGS_H
#define CM_CLI_ARGS_H

#include <crossmamba/crossmamba.h>
#include <stdbool.h>

enum { CM_ARG_MAX_ROWS = 64, CM_ARG_MAX_VALUES = 32, CM_ARG_MAX_WORDS = 32 };

/* One option. rows end with name NULL. */
typedef struct cm_arg_row {
    const char *name;  /* without the dashes */
    const char *value; /* what the help calls its value; NULL: a flag */
    bool required;
    bool repeats; /* may be given several times */
    const char *help;
} cm_arg_row;

typedef struct cm_args {
    const cm_arg_row *rows;
    cm_options *options; /* also accepts every row of options.def; NULL: none of them */
    const char *values[CM_ARG_MAX_ROWS][CM_ARG_MAX_VALUES]; /* by row */
    int counts[CM_ARG_MAX_ROWS];
    const char *words[CM_ARG_MAX_WORDS]; /* what is no option, in order */
    int n_words, max_words;
    int argc;
    char **argv; /* what was parsed */
} cm_args;

/* Fills args from argv[argc] (without program and command name), with at most max_words words that are no
 * options. Values point into argv. CM_USAGE names the option. */
cm_status cm_args_parse(cm_args *args, const cm_arg_row *rows, cm_options *options, int max_words, int argc,
                        char **argv, cm_error *error);

/* The last value of an option, or NULL; the i-th one; how often it was given. name must be a row. */
const char *cm_args_get(const cm_args *args, const char *name);
const char *cm_args_at(const cm_args *args, const char *name, int i);
int cm_args_count(const cm_args *args, const char *name);

/* An integer option in [least, most], standard when it is not given. */
cm_status cm_args_integer(const cm_args *args, const char *name, long least, long most, long standard,
                          long *value, cm_error *error);

/* The command line as a shell would read it back, to be freed with free; NULL when out of memory. */
char *cm_args_line(const cm_args *args, const char *command);

/* Prints the options to stdout. */
void cm_args_help(const cm_arg_row *rows, bool with_options);

#endif
