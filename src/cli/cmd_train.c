/* crossmamba train: a model file from pairs with labels. */
#include "cli/command.h"
#include "cli/common.h"
#include <stdlib.h>
#include <string.h>

static const cm_arg_row rows[] = {
    {"task", "NAME", true, false,
     "rna-protein, rna-molecule, rna-rna, protein-molecule or rna-protein-affinity"},
    CM_DATA_ROWS,
    {"model", "FILE", true, false, "the model file to write"},
    {"predictor", "NAME", false, false,
     "network (that of --fusion), a name of the table below, stack:NAME/NAME or mean:NAME/NAME [the task's: "
     "crossmamba models tasks]"},
    {"force", NULL, false, false, "replace an existing model file"},
    {"checkpoint", "FILE", false, false, "state of the unfinished run [model file + .checkpoint]"},
    {"checkpoint-seconds", "N", false, false, "least time between checkpoints [60]"},
    {"resume", NULL, false, false, "continue from the checkpoint, to the same bits as an uninterrupted run"},
    {"notes", "TEXT", false, false, "free text for the model card"},
    {"licence", "TEXT", false, false, "licence of the training data, for the model card"},
    {"evaluation", "FILE", false, false, "a table of crossmamba eval for the model card"},
    CM_STORE_ROWS,
    CM_RUN_ROWS,
    {0},
};

static cm_status check_target(const cm_args *args, cm_error *error) {
    const char *path = cm_args_get(args, "model");
    FILE *file = cm_args_get(args, "force") ? NULL : fopen(path, "r");
    if (!file) return CM_OK;
    fclose(file);
    return cm_cli_fail(error, CM_USAGE, path, NULL, "a new file, or --force to replace it",
                       "the file exists");
}

/* The text of a small file, to be freed with free; NULL stays NULL. */
static cm_status read_text(const char *path, char **text, cm_error *error) {
    enum { MOST = 1 << 20 };
    *text = NULL;
    if (!path) return CM_OK;
    FILE *file = fopen(path, "r");
    if (!file) return cm_cli_fail(error, CM_IO, path, NULL, "a readable file", "cannot open it");
    *text = malloc(MOST);
    size_t length = *text ? fread(*text, 1, MOST - 1, file) : 0;
    bool whole = *text && feof(file) && !ferror(file);
    fclose(file);
    if (!whole) {
        free(*text);
        *text = NULL;
        return cm_cli_fail(error, CM_IO, path, NULL, "a text file under 1 MiB", "a larger or unreadable one");
    }
    (*text)[length] = '\0';
    return CM_OK;
}

static cm_status train(const cm_args *args, const cm_options *options, const cm_task *task, char *evaluation,
                       cm_error *error) {
    cm_runtime runtime;
    cm_dataset *dataset = NULL;
    const char *predictor = cm_args_get(args, "predictor");
    long seconds;
    cm_status status = cm_cli_runtime(args, &runtime, error);
    if (status == CM_OK) status = cm_args_integer(args, "checkpoint-seconds", 0, 86400, 60, &seconds, error);
    if (status == CM_OK) status = cm_cli_dataset(args, task, 1, NULL, &runtime, &dataset, error);
    if (status == CM_OK) {
        cm_train_request request = {.options = *options,
                                    .predictor = predictor ? predictor : task->predictor,
                                    .model_path = cm_args_get(args, "model"),
                                    .checkpoint_path = cm_args_get(args, "checkpoint"),
                                    .checkpoint_seconds = (double)seconds,
                                    .resume = cm_args_get(args, "resume") != NULL,
                                    .notes = cm_args_get(args, "notes"),
                                    .licence = cm_args_get(args, "licence"),
                                    .evaluation = evaluation};
        status = cm_train(&request, dataset, &runtime, error);
    }
    cm_dataset_destroy(dataset);
    return status;
}

static cm_status run(const cm_args *args, const cm_options *options, cm_error *error) {
    const cm_task *task = cm_task_find(cm_args_get(args, "task"));
    if (!task)
        return cm_cli_fail(error, CM_USAGE, NULL, "option --task",
                           "a task (crossmamba models tasks lists them)", cm_args_get(args, "task"));
    char *evaluation = NULL;
    cm_status status = check_target(args, error);
    if (status == CM_OK) status = read_text(cm_args_get(args, "evaluation"), &evaluation, error);
    if (status == CM_OK) status = train(args, options, task, evaluation, error);
    free(evaluation);
    return status;
}

const cm_command cm_command_train = {
    .name = "train",
    .summary = "train a model on pairs with labels",
    .text = "Reads pairs with labels (binary tasks: 0 or 1; affinity tasks: a number) and writes one model "
            "file. The best\n"
            "epoch, the calibration and the threshold are chosen on an inner validation fold. Ctrl-C writes "
            "a checkpoint\n"
            "from which --resume continues (kernel models and boosted trees begin again). The file of a "
            "kernel model holds "
            "the counts\n"
            "of all training molecules, that of boosted trees the counts of some: what they are can be told "
            "from these.",
    .example =
        "crossmamba train --task rna-protein --a examples/rna.fasta --b examples/protein.fasta --pairs "
        "examples/rna-protein.tsv --predictor network --dim 16 --epochs 2 --validation 0 --model "
        "/tmp/example.safetensors "
        "--force",
    .rows = rows,
    .network_options = true,
    .table = "Predictors for --predictor",
    .table_row = cm_learner_row,
    .run = run,
};
