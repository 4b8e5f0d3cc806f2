/* crossmamba eval: cross-validation, or a trained model on labelled pairs. */
#include "cli/command.h"
#include "cli/common.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The paper's network, what the results are compared with and its members, the controls, the baselines. */
#define STANDARD                         \
    "crossmamba,mean:crossmamba/kernel/" \
    "boosting,kernel,boosting,mlp,bilinear,gated,neighbour,composition,id-only"

static const cm_arg_row rows[] = {
    {"task", "NAME", false, false, "the task; needed without --model"},
    CM_DATA_ROWS,
    {"model", "FILE|NAME", false, false, "test this trained model instead of cross-validating"},
    {"compare", "LIST", false, false, "predictors, see below [" STANDARD "]"},
    {"memory", NULL, false, false, "also NAME+memory for every NAME of --compare, and presence"},
    {"split", "KIND", false, false,
     "random, stratified, cold-a, cold-b, cold-both, cluster-a, cluster-b, cluster-both, column or "
     "column-cold "
     "(crossmamba models splits) [stratified, or column with --fold-column]"},
    {"folds", "K", false, false, "folds, of each side for the kinds with two [10; 4 for two sides]"},
    {"splits", "FILE", false, false, "read the splits, repeats too, from this JSON file"},
    {"save-splits", "FILE", false, false, "write the splits to this JSON file"},
    {"fold-column", "NAME", false, false, "column of --pairs with given folds; a pair of fold - only trains"},
    {"group-column", "NAME", false, false,
     "column of --pairs whose values the record tells apart; no model sees it"},
    {"test-fold", "VALUE", false, false, "test only this given fold, train on the rest"},
    {"train-fold", "VALUE", false, false, "train only on this given fold, test every other one"},
    {"repeats", "N", false, false, "whole evaluations with seeds seed, seed + 1, ... [1]"},
    {"track", "honest|paper|both", false, false,
     "paper (biased): best epoch chosen on the test fold, as published figures were [honest]"},
    {"reference", "NAME", false, false, "the predictor that the others are compared with [the first]"},
    {"scramble", "N", false, false, "y-scrambling: N evaluations with permuted labels on top"},
    {"record", "FILE", false, false, "write everything as JSON (docs/record.md)"},
    {"report", "FILE", false, false, "with --record: also make an HTML page of it (crossmamba report)"},
    {"shuffle-labels", NULL, false, false, "permute the labels first: nothing should be left"},
    {"predictions", "FILE", false, false, "write the out-of-fold predictions as TSV"},
    {"checkpoint", "FOLDER", false, false, "keep finished trainings there and do not repeat them"},
    CM_OUTPUT_ROWS,
    CM_STORE_ROWS,
    CM_RUN_ROWS,
    {0},
};

static const char *const columns[] = {"model",
                                      "fold",
                                      "metric",
                                      "pooled",
                                      "low95",
                                      "high95",
                                      "mean",
                                      "sd",
                                      "pairs",
                                      "units",
                                      "track",
                                      "reference",
                                      "difference",
                                      "difference_low95",
                                      "difference_high95",
                                      "p",
                                      "coverage90",
                                      "width90"};
enum { N_COLUMNS = sizeof columns / sizeof *columns, MAX_MODELS = 32 };
enum { TEXTS = 3, FIRST_REALS = 5, LAST_REALS = 6, AFTER = TEXTS + FIRST_REALS + 4 };

static const char *real(char text[32], double value) {
    snprintf(text, 32, isnan(value) ? "nan" : "%.4f", value);
    return text;
}

static int write_line(void *context, const cm_eval_line *line) {
    bool number[N_COLUMNS] = {false};
    cm_output *output = context;
    char text[N_COLUMNS][32];
    const double first[FIRST_REALS] = {line->pooled, line->low, line->high, line->mean, line->sd};
    const double last[LAST_REALS] = {line->difference, line->difference_low, line->difference_high,
                                     line->p,          line->coverage,       line->width};
    const char *cells[N_COLUMNS] = {line->model, line->fold, line->metric};
    for (int i = 0; i < FIRST_REALS; i++) cells[TEXTS + i] = real(text[TEXTS + i], first[i]);
    for (int i = 0; i < LAST_REALS; i++) cells[AFTER + i] = real(text[AFTER + i], last[i]);
    snprintf(text[AFTER - 4], 32, "%ld", line->pairs);
    snprintf(text[AFTER - 3], 32, "%d", line->units);
    for (int i = 0; i < N_COLUMNS; i++) number[i] = i >= TEXTS && i != AFTER - 2 && i != AFTER - 1;
    cells[AFTER - 4] = text[AFTER - 4];
    cells[AFTER - 3] = text[AFTER - 3];
    cells[AFTER - 2] = line->track;
    cells[AFTER - 1] = line->reference;
    cm_output_row(output, cells, number);
    return ferror(output->stream);
}

/* Cuts the comma-separated list in text into names. */
static int split_list(char *text, const char **names) {
    int n = 0;
    for (char *at = strtok(text, ","); at && n < MAX_MODELS; at = strtok(NULL, ",")) names[n++] = at;
    return n;
}

static cm_status track_of(const cm_args *args, cm_track *track, cm_error *error) {
    static const char *const names[] = {"honest", "paper", "both"};
    const char *name = cm_args_get(args, "track");
    *track = CM_TRACK_HONEST;
    for (int i = 0; i < 3 && name; i++)
        if (strcmp(name, names[i]) == 0) {
            *track = (cm_track)i;
            return CM_OK;
        }
    return name ? cm_cli_fail(error, CM_USAGE, NULL, "option --track", "honest, paper or both", name) : CM_OK;
}

/* Adds NAME+memory after every name that has none; text has room for size bytes. */
static int add_memory(const char **names, int n, char *text, size_t size) {
    const char *plain[MAX_MODELS];
    int count = 0;
    memcpy(plain, names, (size_t)n * sizeof *plain);
    for (int i = 0; i < n && count < MAX_MODELS; i++) {
        names[count++] = plain[i];
        int length = snprintf(text, size, "%s+memory", plain[i]);
        if (strstr(plain[i], "+memory") || count == MAX_MODELS || (size_t)length >= size) continue;
        names[count++] = text;
        text += length + 1;
        size -= (size_t)length + 1;
    }
    return count;
}

/* No memory without its control beside it. */
static int add_presence(const char **names, int n) {
    bool memory = false, presence = false;
    for (int i = 0; i < n; i++) {
        memory = memory || strstr(names[i], "+memory");
        presence = presence || strcmp(names[i], "presence") == 0;
    }
    if (memory && !presence && n < MAX_MODELS) names[n++] = "presence";
    return n;
}

static cm_status cross_validate(const cm_args *args, const cm_options *options, const cm_dataset *dataset,
                                const cm_runtime *runtime, cm_output *output, cm_error *error) {
    char list[512], memory[1024];
    const char *names[MAX_MODELS], *compare = cm_args_get(args, "compare");
    snprintf(list, sizeof list, "%s", compare ? compare : STANDARD);
    int n_names = split_list(list, names);
    if (cm_args_get(args, "memory")) n_names = add_memory(names, n_names, memory, sizeof memory);
    n_names = add_presence(names, n_names);
    const char *split = cm_args_get(args, "split");
    bool given = cm_args_get(args, "fold-column") != NULL;
    long folds, repeats, scramble;
    cm_track track = CM_TRACK_HONEST;
    cm_status status = cm_args_integer(args, "folds", 2, 1000, given || split ? 0 : 10, &folds, error);
    if (status == CM_OK) status = cm_args_integer(args, "repeats", 1, 1000, 1, &repeats, error);
    if (status == CM_OK) status = cm_args_integer(args, "scramble", 1, 1000, 0, &scramble, error);
    if (status == CM_OK) status = track_of(args, &track, error);
    if (status != CM_OK) return status;
    char *command = cm_args_line(args, "eval");
    cm_eval_request request = {.options = *options,
                               .models = names,
                               .n_models = n_names,
                               .split = split,
                               .folds = (int)folds,
                               .splits_path = cm_args_get(args, "splits"),
                               .save_splits_path = cm_args_get(args, "save-splits"),
                               .test_fold = cm_args_get(args, "test-fold"),
                               .train_fold = cm_args_get(args, "train-fold"),
                               .repeats = (int)repeats,
                               .shuffle_labels = cm_args_get(args, "shuffle-labels") != NULL,
                               .track = track,
                               .scramble = (int)scramble,
                               .reference = cm_args_get(args, "reference"),
                               .record_path = cm_args_get(args, "record"),
                               .command = command,
                               .predictions_path = cm_args_get(args, "predictions"),
                               .checkpoint_folder = cm_args_get(args, "checkpoint")};
    status = cm_eval(&request, dataset, write_line, output, runtime, error);
    free(command);
    return status;
}

/* The page of the record that has just been written. */
static cm_status write_report(const cm_args *args, cm_error *error) {
    const char *record = cm_args_get(args, "record"), *page = cm_args_get(args, "report");
    if (!page) return CM_OK;
    cm_report_request request = {.records = &record, .n_records = 1};
    return cm_report_write(&request, page, error);
}

static cm_status evaluate(const cm_args *args, const cm_options *options, const cm_task *task,
                          cm_model *model, const cm_runtime *runtime, cm_error *error) {
    cm_dataset *dataset = NULL;
    cm_output output;
    cm_status status =
        cm_cli_dataset(args, task, 1, cm_args_get(args, "fold-column"), runtime, &dataset, error);
    if (status == CM_OK) {
        status = cm_output_open(&output, args, columns, N_COLUMNS, error);
        if (status == CM_OK) {
            status = model ? cm_eval_model(model, dataset, cm_args_get(args, "predictions"), write_line,
                                           &output, runtime, error)
                           : cross_validate(args, options, dataset, runtime, &output, error);
            status = cm_output_close(&output, status, error);
        }
    }
    cm_dataset_destroy(dataset);
    return status == CM_OK ? write_report(args, error) : status;
}

static cm_status run(const cm_args *args, const cm_options *options, cm_error *error) {
    const char *name = cm_args_get(args, "task"), *path = cm_args_get(args, "model");
    cm_runtime runtime;
    cm_model *model = NULL;
    if (cm_args_get(args, "report") && (path || !cm_args_get(args, "record")))
        return cm_cli_fail(error, CM_USAGE, NULL, "option --report", "--record with it, and no --model",
                           path ? "--model" : "no --record");
    cm_status status = cm_cli_runtime(args, &runtime, error);
    if (status == CM_OK && path) status = cm_model_open(&model, path, error);
    if (status != CM_OK) return status;
    const cm_task *task = model ? cm_model_task(model) : name ? cm_task_find(name) : NULL;
    status = task ? evaluate(args, options, task, model, &runtime, error)
                  : cm_cli_fail(error, CM_USAGE, NULL, "option --task",
                                "a task (crossmamba models tasks lists them)", name ? name : "nothing");
    cm_model_close(model);
    return status;
}

const cm_command cm_command_eval = {
    .name = "eval",
    .summary = "cross-validate networks, or test a trained model",
    .text = "Writes a table: model, fold, metric, pooled value over all tested pairs with its 95 % interval "
            "(bootstrap over\n"
            "molecules), mean and standard deviation over folds. Every choice is made on an inner validation "
            "fold of the\n"
            "training part, unless --track asks for the published, biased protocol. Columns at the end: the "
            "paired\n"
            "difference from the reference with its 95 % interval and p, coverage and width of the 90 % "
            "conformal intervals\n"
            "(binary: classes in the set). id-only is the baseline that sees which molecule a pair has, but "
            "no sequence. NAME+memory adds the known\nlabels of the same and of similar molecules to a "
            "predictor; presence, its control, is then\nadded by itself: it sees which pairs are listed, not "
            "their labels. stack:A/B and mean:A/B combine predictors.",
    .example =
        "crossmamba eval --model rna-protein --a examples/rna.fasta --b examples/protein.fasta --pairs "
        "examples/rna-protein.tsv",
    .rows = rows,
    .network_options = true,
    .table = "Predictors for --compare",
    .table_row = cm_predictor_row,
    .run = run,
};
