/* crossmamba eval: cross-validation, or a trained model on labelled pairs. */
#include "cli/command.h"
#include "cli/common.h"
#include <math.h>
#include <string.h>

static const cm_arg_row rows[] = {
    {"task", "NAME", false, false, "the task; needed without --model"},
    CM_DATA_ROWS,
    {"model", "FILE|NAME", false, false, "test this trained model instead of cross-validating"},
    {"compare", "LIST", false, false, "predictors, see below [crossmamba,mlp,bilinear,gated,id-only]"},
    {"folds", "K", false, false,
     "random folds, stratified by label [10, or the given folds with --fold-column]"},
    {"fold-column", "NAME", false, false, "column of --pairs with given folds"},
    {"test-fold", "VALUE", false, false, "test only this given fold, train on the rest"},
    {"train-fold", "VALUE", false, false, "train only on this given fold, test every other one"},
    {"repeats", "N", false, false, "whole evaluations with seeds seed, seed + 1, ... [1]"},
    {"shuffle-labels", NULL, false, false, "permute the labels first: nothing should be left"},
    {"predictions", "FILE", false, false, "write the out-of-fold predictions as TSV"},
    {"checkpoint", "FOLDER", false, false, "keep finished trainings there and do not repeat them"},
    CM_OUTPUT_ROWS,
    CM_STORE_ROWS,
    CM_RUN_ROWS,
    {0},
};

static const char *const columns[] = {"model",  "fold", "metric", "pooled", "low95",
                                      "high95", "mean", "sd",     "pairs",  "units"};
enum { N_COLUMNS = sizeof columns / sizeof *columns, MAX_MODELS = 16 };

static int write_line(void *context, const cm_eval_line *line) {
    static const bool number[N_COLUMNS] = {false, false, false, true, true, true, true, true, true, true};
    cm_output *output = context;
    char text[7][32];
    const double values[5] = {line->pooled, line->low, line->high, line->mean, line->sd};
    for (int i = 0; i < 5; i++) {
        if (isnan(values[i]))
            snprintf(text[i], sizeof text[i], "nan");
        else
            snprintf(text[i], sizeof text[i], "%.4f", values[i]);
    }
    snprintf(text[5], sizeof text[5], "%ld", line->pairs);
    snprintf(text[6], sizeof text[6], "%d", line->units);
    const char *cells[N_COLUMNS] = {line->model, line->fold, line->metric};
    for (int i = 0; i < 7; i++) cells[3 + i] = text[i];
    cm_output_row(output, cells, number);
    return ferror(output->stream);
}

/* Cuts the comma-separated list in text into names. */
static int split_list(char *text, const char **names) {
    int n = 0;
    for (char *at = strtok(text, ","); at && n < MAX_MODELS; at = strtok(NULL, ",")) names[n++] = at;
    return n;
}

static cm_status cross_validate(const cm_args *args, const cm_options *options, const cm_dataset *dataset,
                                const cm_runtime *runtime, cm_output *output, cm_error *error) {
    char list[512];
    const char *names[MAX_MODELS], *compare = cm_args_get(args, "compare");
    snprintf(list, sizeof list, "%s", compare ? compare : "crossmamba,mlp,bilinear,gated,id-only");
    bool given = cm_args_get(args, "fold-column") != NULL;
    long folds, repeats;
    cm_status status = cm_args_integer(args, "folds", 2, 1000, given ? 0 : 10, &folds, error);
    if (status == CM_OK) status = cm_args_integer(args, "repeats", 1, 1000, 1, &repeats, error);
    if (status != CM_OK) return status;
    cm_eval_request request = {.options = *options,
                               .models = names,
                               .n_models = split_list(list, names),
                               .folds = (int)folds,
                               .test_fold = cm_args_get(args, "test-fold"),
                               .train_fold = cm_args_get(args, "train-fold"),
                               .repeats = (int)repeats,
                               .shuffle_labels = cm_args_get(args, "shuffle-labels") != NULL,
                               .predictions_path = cm_args_get(args, "predictions"),
                               .checkpoint_folder = cm_args_get(args, "checkpoint")};
    return cm_eval(&request, dataset, write_line, output, runtime, error);
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
    return status;
}

static cm_status run(const cm_args *args, const cm_options *options, cm_error *error) {
    const char *name = cm_args_get(args, "task"), *path = cm_args_get(args, "model");
    cm_runtime runtime;
    cm_model *model = NULL;
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
            "training part. id-only is the baseline that sees which molecule a pair has, but no sequence.",
    .example =
        "crossmamba eval --model rna-protein --a examples/rna.fasta --b examples/protein.fasta --pairs "
        "examples/rna-protein.tsv",
    .rows = rows,
    .network_options = true,
    .table = "Predictors for --compare",
    .table_row = cm_predictor_row,
    .run = run,
};
