/* crossmamba models: the card of a model file, and what this build knows. */
#include "cli/command.h"
#include "cli/common.h"
#include <string.h>

static const cm_arg_row rows[] = {{0}};

static void print_tasks(void) {
    int count;
    const cm_task *tasks = cm_task_rows(&count);
    printf("task\tA\tB\tunit\tencoder_a\tencoder_b\tdescription\n");
    for (int i = 0; i < count; i++)
        printf("%s\t%s\t%s\t%s\t%s\t%s\t%s\n", tasks[i].name, cm_molecule_type_name(tasks[i].a),
               cm_molecule_type_name(tasks[i].b), tasks[i].unit, tasks[i].encoder_a, tasks[i].encoder_b,
               tasks[i].help);
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
    printf("model\ttask\tunit\tfusion\tdescription\n");
    for (int i = 0; i < count; i++) {
        cm_model *model = NULL;
        cm_status status = cm_model_open(&model, tasks[i].name, error);
        if (status == CM_MODEL) continue; /* this task has none */
        if (status != CM_OK) return status;
        printf("%s\t%s\t%s\t%s\t%s\n", tasks[i].name, cm_model_task(model)->name, tasks[i].unit,
               cm_model_options(model)->fusion, tasks[i].help);
        cm_model_close(model);
    }
    return CM_OK;
}

static cm_status print_card(const char *path, cm_error *error) {
    cm_model *model = NULL;
    cm_status status = cm_model_open(&model, path, error);
    if (status == CM_OK) printf("%s\n", cm_model_card(model));
    cm_model_close(model);
    return status;
}

static cm_status run(const cm_args *args, const cm_options *unused, cm_error *error) {
    (void)unused;
    static const char expected[] = "list, info FILE, tasks, encoders or fusions";
    const char *what = args->n_words > 0 ? args->words[0] : "";
    if (strcmp(what, "info") == 0 && args->n_words == 2) return print_card(args->words[1], error);
    if (args->n_words != 1)
        return cm_cli_fail(error, CM_USAGE, NULL, NULL, expected, *what ? what : "nothing");
    if (strcmp(what, "list") == 0) return print_shipped(error);
    if (strcmp(what, "tasks") == 0)
        print_tasks();
    else if (strcmp(what, "encoders") == 0)
        print_table("encoder", cm_encoder_row);
    else if (strcmp(what, "fusions") == 0)
        print_table("fusion", cm_fusion_row);
    else
        return cm_cli_fail(error, CM_USAGE, NULL, NULL, expected, what);
    return CM_OK;
}

const cm_command cm_command_models = {
    .name = "models",
    .summary = "print a model card, list models, tasks, encoders and networks",
    .text =
        "models list          the shipped models that are found, with task and parameters (TSV)\n"
        "models info FILE     the card of a model file or shipped model (JSON), after checking every tensor\n"
        "models tasks         the tasks (TSV); so do 'models encoders' and 'models fusions'",
    .example = "crossmamba models info rna-protein",
    .rows = rows,
    .max_words = 2,
    .run = run,
};
