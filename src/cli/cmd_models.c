/* crossmamba models: the card of a model file, and what this build knows. */
#include "cli/command.h"
#include "cli/common.h"
#include <string.h>

static const cm_arg_row rows[] = {
    {"name", "NAME", false, false, "import: the checkpoint's name [that of the file]"},
    {"json", NULL, false, false, "info: the card of a model as JSON"},
    {"force", NULL, false, false, "import: replace an existing checkpoint"},
    CM_RUN_ROWS,
    {0},
};

static void print_tasks(void) {
    int count;
    const cm_task *tasks = cm_task_rows(&count);
    printf("task\tA\tB\tunit\tencoder_a\tencoder_b\tpredictor\tdescription\n");
    for (int i = 0; i < count; i++)
        printf("%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", tasks[i].name, cm_molecule_type_name(tasks[i].a),
               cm_molecule_type_name(tasks[i].b), tasks[i].unit, tasks[i].encoder_a, tasks[i].encoder_b,
               tasks[i].predictor, tasks[i].help);
}

static void print_table(const char *title, int (*row_of)(int, cm_table_row *)) {
    cm_table_row row;
    printf("%s\tdescription\n", title);
    for (int i = 0; row_of(i, &row); i++) printf("%s\t%s\n", row.name, row.help);
}

/* Every task whose shipped model is found. */
static cm_status print_shipped(cm_error *error) {
    int count;
    const cm_task *tasks = cm_task_rows(&count);
    printf("model\ttask\tunit\tpredictor\tdescription\n");
    for (int i = 0; i < count; i++) {
        cm_model *model = NULL;
        cm_status status = cm_model_open(&model, tasks[i].name, error);
        if (status == CM_MODEL) continue; /* this task has none */
        if (status != CM_OK) return status;
        printf("%s\t%s\t%s\t%s\t%s\n", tasks[i].name, cm_model_task(model)->name, tasks[i].unit,
               cm_model_predictor(model), tasks[i].help);
        cm_model_close(model);
    }
    return CM_OK;
}

static int print_checkpoint_line(void *context, const cm_checkpoint_line *line) {
    (void)context;
    printf("%s\t%s\t%ld\t%ld\t%.1f MB\t%s\n", line->name, *line->family ? line->family : "unknown",
           line->layers, line->width, (double)line->bytes / 1e6, *line->problem ? line->problem : line->path);
    return ferror(stdout);
}

static void print_families(void) {
    cm_family_line line;
    if (!cm_family_describe(0, &line)) return;
    printf("\nfamily\ttitle\tlicence of the published weights\tpooling\n");
    for (int i = 0; cm_family_describe(i, &line); i++)
        printf("%s\t%s\t%s\t%s\n", line.name, line.title, line.licence, line.pooling);
}

static cm_status print_list(cm_error *error) {
    cm_status status = print_shipped(error);
    if (status != CM_OK) return status;
    print_families();
    printf("\ncheckpoint\tfamily\tlayers\twidth\tsize\tfolder\n");
    return cm_checkpoint_list(print_checkpoint_line, NULL, error);
}

static cm_status describe(cm_checkpoint *checkpoint, cm_error *error) {
    cm_checkpoint_info info;
    cm_status status = cm_checkpoint_describe(checkpoint, &info, error);
    if (status == CM_OK)
        printf("family\t%s\ntitle\t%s\nlicence\t%s\npooling\t%s\nlayers\t%ld\nwidth\t%ld\n"
               "tensors\t%zu\nbytes\t%zu\nsha256\t%s\nfolder\t%s\n",
               *info.line.family ? info.line.family : "unknown", info.title, info.licence, info.pooling,
               info.line.layers, info.line.width, info.tensors, info.line.bytes, info.sha256, info.line.path);
    return status;
}

static cm_status print_checkpoint(const char *reference, cm_error *error) {
    cm_checkpoint *checkpoint = NULL;
    cm_status status = cm_checkpoint_open(&checkpoint, reference, error);
    if (status == CM_OK) status = describe(checkpoint, error);
    cm_checkpoint_close(checkpoint);
    return status;
}

static cm_status verify(const char *reference, const cm_runtime *runtime, cm_error *error) {
    cm_checkpoint *checkpoint = NULL;
    cm_checkpoint_report report;
    cm_status status = cm_checkpoint_open(&checkpoint, reference, error);
    if (status == CM_OK) status = cm_checkpoint_verify(checkpoint, &report, runtime, error);
    if (status == CM_OK) status = describe(checkpoint, error);
    cm_checkpoint_close(checkpoint);
    if (status != CM_OK) return status;
    printf("checked\t%zu tensors, %zu values, all finite\n", report.tensors, report.values);
    if (report.golden > 0)
        printf("published output\tlargest difference %.2g, allowed %.2g\n", report.golden_error,
               report.golden_bound);
    else
        printf("published output\tnone is known for this checkpoint\n");
    return CM_OK;
}

static cm_status import(const cm_args *args, const char *path, cm_error *error) {
    char folder[4096];
    cm_status status = cm_checkpoint_import(path, cm_args_get(args, "name"),
                                            cm_args_get(args, "force") != NULL, folder, sizeof folder, error);
    if (status == CM_OK) printf("imported to %s\n", folder);
    return status;
}

static cm_status print_card(const char *path, bool json, cm_error *error) {
    cm_model *model = NULL;
    cm_status status = cm_model_open(&model, path, error);
    if (status == CM_OK && json) printf("%s\n", cm_model_card(model));
    if (status == CM_OK && !json) fputs(cm_model_card_text(model), stdout);
    cm_model_close(model);
    return status;
}

/* A model file or shipped model, else a checkpoint. */
static cm_status print_info(const char *name, bool json, cm_error *error) {
    cm_error other = {0};
    cm_status status = print_card(name, json, error);
    bool folder = status == CM_MODEL || status == CM_IO;
    return folder && print_checkpoint(name, &other) == CM_OK ? CM_OK : status;
}

static cm_status run_on_file(const cm_args *args, const char *what, const char *file, cm_error *error) {
    cm_runtime runtime;
    cm_status status = cm_cli_runtime(args, &runtime, error);
    if (status != CM_OK) return status;
    if (strcmp(what, "info") == 0) return print_info(file, cm_args_get(args, "json") != NULL, error);
    if (strcmp(what, "verify") == 0) return verify(file, &runtime, error);
    if (strcmp(what, "import") == 0) return import(args, file, error);
    return cm_cli_fail(error, CM_USAGE, NULL, NULL, "info, verify or import with a file", what);
}

static cm_status run(const cm_args *args, const cm_options *unused, cm_error *error) {
    (void)unused;
    static const char expected[] =
        "list, info FILE, verify DIR, import FILE, tasks, encoders, fusions, predictors or splits";
    const char *what = args->n_words > 0 ? args->words[0] : "";
    if (args->n_words == 2) return run_on_file(args, what, args->words[1], error);
    if (args->n_words != 1)
        return cm_cli_fail(error, CM_USAGE, NULL, NULL, expected, *what ? what : "nothing");
    if (strcmp(what, "list") == 0) return print_list(error);
    if (strcmp(what, "tasks") == 0)
        print_tasks();
    else if (strcmp(what, "encoders") == 0) {
        print_table("encoder", cm_encoder_row);
        print_table("pair encoder", cm_pair_encoder_row);
    } else if (strcmp(what, "fusions") == 0)
        print_table("fusion", cm_fusion_row);
    else if (strcmp(what, "predictors") == 0)
        print_table("predictor", cm_predictor_row);
    else if (strcmp(what, "splits") == 0)
        print_table("split", cm_split_row);
    else
        return cm_cli_fail(error, CM_USAGE, NULL, NULL, expected, what);
    return CM_OK;
}

const cm_command cm_command_models = {
    .name = "models",
    .summary = "models and checkpoints: list, describe, verify, import",
    .text =
        "models list          the shipped models that are found, the families of pretrained encoders, "
        "the checkpoints "
        "on this\n                     machine (TSV)\n"
        "models info FILE     the card of a model file or shipped model, after checking every tensor; or of "
        "a\n                     checkpoint: family, sizes, licence, sha256\n"
        "models verify DIR    checks every tensor of a checkpoint, and its published output where one is "
        "known\n"
        "models import FILE   converts a PyTorch checkpoint (.pt, .pth, .bin) into the import folder\n"
        "models tasks         the tasks (TSV); so do 'models encoders', 'models fusions', 'models splits' "
        "and 'models "
        "predictors'\n"
        "                     (what eval compares)",
    .example = "crossmamba models info rna-protein",
    .rows = rows,
    .max_words = 2,
    .run = run,
};
