/* The table of commands. A new command is one file and one row in commands.def. */
#ifndef CM_CLI_COMMAND_H
#define CM_CLI_COMMAND_H

#include "cli/args.h"
#include <stdio.h>

typedef struct cm_command {
    const char *name;
    const char *summary; /* one line */
    const char *text;    /* what it reads and writes */
    const char *example; /* a command line that runs as printed from the source folder */
    const cm_arg_row *rows;
    int max_words;        /* words that are no options, as in 'models info FILE' */
    bool network_options; /* accepts the options of options.def */
    const char *table;    /* title of a table that the help ends with, or NULL */
    int (*table_row)(int i, cm_table_row *row);
    cm_status (*run)(const cm_args *args, const cm_options *options, cm_error *error);
} cm_command;

#define CM_COMMAND(name) extern const cm_command cm_command_##name;
#include "cli/commands.def"
#undef CM_COMMAND

#endif
