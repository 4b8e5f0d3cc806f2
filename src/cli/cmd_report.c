/* crossmamba report: one HTML page about evaluations, for people. */
#include "cli/command.h"
#include "cli/common.h"
#include <stdlib.h>

static const cm_arg_row rows[] = {
    {"out", "FILE", true, false, "the HTML file to write"},
    {"audit", "FILE", false, true, "JSON of crossmamba audit --json, for the section on the data set"},
    {"model", "FILE|NAME", false, true, "a model whose card is shown"},
    {"title", "TEXT", false, false, "title of the page [made from the task]"},
    {"chart-library", "FILE", false, false,
     "Chart.js 3 as one file [that of the Debian package libjs-chart.js]"},
    {"no-charts", NULL, false, false, "tables alone; needs no chart library"},
    {0},
};

static cm_status run(const cm_args *args, const cm_options *unused, cm_error *error) {
    (void)unused;
    const char *audits[CM_ARG_MAX_VALUES], *models[CM_ARG_MAX_VALUES];
    const char *library = cm_args_get(args, "chart-library");
    bool plain = cm_args_get(args, "no-charts") != NULL;
    if (args->n_words == 0)
        return cm_cli_fail(error, CM_USAGE, NULL, NULL, "a record of crossmamba eval --record", "nothing");
    if (library && (plain || !*library))
        return cm_cli_fail(error, CM_USAGE, NULL, "option --chart-library", "a file, without --no-charts",
                           *library ? "both" : "an empty name");
    int n_audits = cm_args_count(args, "audit"), n_models = cm_args_count(args, "model");
    for (int i = 0; i < n_audits; i++) audits[i] = cm_args_at(args, "audit", i);
    for (int i = 0; i < n_models; i++) models[i] = cm_args_at(args, "model", i);
    char *command = cm_args_line(args, "report");
    cm_report_request request = {.records = args->words,
                                 .n_records = args->n_words,
                                 .audits = audits,
                                 .n_audits = n_audits,
                                 .models = models,
                                 .n_models = n_models,
                                 .title = cm_args_get(args, "title"),
                                 .command = command,
                                 .chart_library = plain ? "" : library};
    cm_status status = cm_report_write(&request, cm_args_get(args, "out"), error);
    free(command);
    return status;
}

const cm_command cm_command_report = {
    .name = "report",
    .summary = "one HTML page about evaluations, for people",
    .text =
        "crossmamba report RECORD.json ... --out FILE.html\n\n"
        "Makes one self-contained page from the records of crossmamba eval --record: what the scores mean in "
        "plain\nwords, tables, curves with bands, reliability, predicted against measured, residuals, "
        "learning "
        "curves, and the\ncommands. Several records stand side by side. It needs no network, prints well, "
        "and "
        "its tables can be read\nwithout JavaScript.",
    .example =
        "crossmamba eval --task rna-protein --a examples/rna.fasta --b examples/protein.fasta --pairs "
        "examples/rna-protein.tsv --compare id-only,composition --folds 2 --record /tmp/record.json && "
        "crossmamba report /tmp/record.json --out /tmp/report.html",
    .rows = rows,
    .max_words = CM_ARG_MAX_WORDS,
    .run = run,
};
