/* The program: finds the command, prints help, turns a status into a line and an exit code. */
#include "cli/command.h"
#include "cli/common.h"
#include <errno.h>
#include <signal.h>
#include <string.h>

static const cm_command *const commands[] = {
#define CM_COMMAND(name) &cm_command_##name,
#include "cli/commands.def"
#undef CM_COMMAND
};
enum { N_COMMANDS = sizeof commands / sizeof *commands };

/* Exit codes are part of the interface (README): 0 done, 1 run failed, 2 usage, 3 bad data, 4 missing model.
 */
static int exit_code(cm_status status) {
    switch (status) {
    case CM_OK:
        return 0;
    case CM_USAGE:
        return 2;
    case CM_DATA:
        return 3;
    case CM_MODEL:
        return 4;
    default:
        return 1;
    }
}

static void print_usage(FILE *stream) {
    fprintf(stream,
            "crossmamba %s: predicts from sequence whether and how strongly an RNA binds a protein, a small\n"
            "molecule or another RNA.\n\nUsage: crossmamba COMMAND [options]\n\n",
            cm_version());
    for (int i = 0; i < N_COMMANDS; i++)
        fprintf(stream, "  %-9s %s\n", commands[i]->name, commands[i]->summary);
    fprintf(stream, "\n'crossmamba COMMAND --help' tells more. Exit codes: 0 done, 1 failed, 2 usage, 3 bad "
                    "data, 4 missing "
                    "model.\n");
}

static void print_help(const cm_command *command) {
    printf("crossmamba %s: %s\n\n%s\n\nOptions:\n", command->name, command->summary, command->text);
    cm_args_help(command->rows, command->network_options);
    if (command->table) {
        cm_table_row row;
        printf("\n%s:\n", command->table);
        for (int i = 0; command->table_row(i, &row); i++) printf("  %-16s %s\n", row.name, row.help);
    }
    printf("\nExample:\n  %s\n", command->example);
}

static int run_command(const cm_command *command, int argc, char **argv) {
    for (int i = 0; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            print_help(command);
            return 0;
        }
    cm_args args;
    cm_options options;
    cm_error error = {0};
    cm_status status = cm_args_parse(&args, command->rows, command->network_options ? &options : NULL,
                                     command->max_words, argc, argv, &error);
    if (status == CM_OK) status = command->run(&args, &options, &error);
    if (status == CM_OK) return 0;
    char line[1024];
    fprintf(stderr, "crossmamba %s: %s: %s\n", command->name, cm_status_text(status),
            cm_error_line(&error, line, sizeof line));
    if (status == CM_USAGE) fprintf(stderr, "Try 'crossmamba %s --help'.\n", command->name);
    return exit_code(status);
}

/* Nothing is done as long as what was printed has not arrived. */
static int close_output(int code) {
    if (code != 0 || (fflush(stdout) == 0 && !ferror(stdout))) return code;
    fprintf(stderr, "crossmamba: standard output: %s\n", strerror(errno));
    return 1;
}

static int run(int argc, char **argv) {
    if (argc < 2) {
        print_usage(stderr);
        return 2;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        print_usage(stdout);
        return 0;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("crossmamba %s\n", cm_version());
        return 0;
    }
    for (int i = 0; i < N_COMMANDS; i++)
        if (strcmp(commands[i]->name, argv[1]) == 0) return run_command(commands[i], argc - 2, argv + 2);
    fprintf(stderr, "crossmamba: no command '%s'\n", argv[1]);
    print_usage(stderr);
    return 2;
}

int main(int argc, char **argv) {
    cm_cli_watch_maps();
    signal(SIGXFSZ, SIG_IGN); /* a write beyond the size limit is then a failed write, not the end */
    return close_output(run(argc, argv));
}
