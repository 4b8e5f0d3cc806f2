/* A program outside the project: it includes the installed header alone, links the shared library alone and
 * must compile as C17 and as C++17 (test_public_header.cpp). It trains a model and predicts with it. */
#include <crossmamba/crossmamba.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOLECULES = 8 };

static const char *const rna[2] = {"GGGCCCGGCAUGGGCCCGGGCCAGGC", "AAAUUUAAUGCUAAUUUAAAUUAACA"};
static const char *const protein[2] = {"MKRKRKKRAFGKRKKRCKRKRK", "MDEDEEDEAFGDEDDECEDEDE"};
static char a_path[256], b_path[256], pairs_path[256], model_path[256];

/* Prints the line of a check that does not hold. */
static int check(int holds, int line) {
    if (!holds) fprintf(stderr, "test_public_header: line %d: the check does not hold\n", line);
    return holds;
}
#define CHECK(condition)                             \
    do {                                             \
        if (!check((condition), __LINE__)) return 1; \
    } while (0)

/* RNA i and protein j interact when both are of the same kind. */
static int write_data(void) {
    FILE *a = fopen(a_path, "w"), *b = fopen(b_path, "w"), *pairs = fopen(pairs_path, "w");
    CHECK(a && b && pairs);
    fputs("id_a\tid_b\tlabel\n", pairs);
    for (int i = 0; i < MOLECULES; i++) {
        fprintf(a, ">r%d\n%s%.*s\n", i, rna[i % 2], i + 1, rna[i % 2]);
        fprintf(b, ">p%d\n%s%.*s\n", i, protein[i % 2], i + 1, protein[i % 2]);
        for (int j = 0; j < MOLECULES; j++) fprintf(pairs, "r%d\tp%d\t%d\n", i, j, i % 2 == j % 2);
    }
    CHECK(fclose(a) == 0 && fclose(b) == 0 && fclose(pairs) == 0);
    return 0;
}

static int test_tables(void) {
    int count;
    cm_table_row row;
    CHECK(strlen(cm_version()) >= 5);
    CHECK(strcmp(cm_status_text(CM_DATA), "bad data") == 0);
    CHECK(strcmp(cm_task_find("rna-protein")->name, "rna-protein") == 0);
    CHECK(cm_task_rows(&count) && count >= 3 && cm_option_rows(&count) && count >= 10);
    CHECK(cm_encoder_row(0, &row) && row.name && cm_fusion_row(0, &row) && row.name);
    CHECK(strcmp(cm_molecule_type_name(CM_RNA), "RNA") == 0);
    return 0;
}

static cm_dataset *open_dataset(int labels, cm_error *error) {
    cm_dataset_options options;
    cm_dataset *dataset = NULL;
    memset(&options, 0, sizeof options);
    options.task = cm_task_find("rna-protein");
    options.labels = labels;
    return cm_dataset_create(&dataset, &options, error) == CM_OK ? dataset : NULL;
}

static int test_train(void) {
    cm_error error;
    cm_runtime runtime;
    cm_train_request request;
    cm_dataset *dataset = open_dataset(1, &error);
    memset(&runtime, 0, sizeof runtime);
    memset(&request, 0, sizeof request);
    cm_options_default(&request.options);
    CHECK(cm_options_set(&request.options, "dim", "16", &error) == CM_OK);
    CHECK(cm_options_set(&request.options, "layers", "1", &error) == CM_OK);
    CHECK(cm_options_set(&request.options, "epochs", "10", &error) == CM_OK);
    CHECK(cm_options_set(&request.options, "dim", "-1", &error) == CM_USAGE && error.found[0]);
    request.model_path = model_path;
    CHECK(dataset && cm_dataset_add_files(dataset, a_path, b_path, pairs_path, &runtime, &error) == CM_OK);
    CHECK(cm_dataset_pairs(dataset) == MOLECULES * MOLECULES &&
          cm_dataset_molecules(dataset, 0) == MOLECULES);
    CHECK(cm_train(&request, dataset, &runtime, &error) == CM_OK);
    cm_dataset_destroy(dataset);
    return 0;
}

static int keep(void *context, const cm_prediction *prediction) {
    *(double *)context = prediction->value;
    return 0;
}

static int test_predict(void) {
    cm_error error;
    cm_runtime runtime;
    cm_model *model = NULL;
    cm_dataset *dataset = open_dataset(0, &error);
    double value = -1;
    char line[512];
    memset(&runtime, 0, sizeof runtime);
    CHECK(cm_model_open(&model, "no-such-model", &error) == CM_MODEL && !model);
    CHECK(strlen(cm_error_line(&error, line, sizeof line)) > 0);
    CHECK(cm_model_open(&model, model_path, &error) == CM_OK);
    CHECK(cm_model_task(model) == cm_task_find("rna-protein") && cm_model_options(model)->dim == 16);
    CHECK(cm_model_card(model)[0] == '{');
    CHECK(cm_dataset_add_pair(dataset, "r", rna[0], "p", protein[0], &error) == CM_OK);
    CHECK(cm_predict(model, dataset, 0, keep, &value, &runtime, &error) == CM_OK);
    CHECK(value >= 0 && value <= 1);
    cm_dataset_destroy(dataset);
    cm_model_close(model);
    return 0;
}

int main(void) {
    char folder[] = "crossmamba-test-XXXXXX";
    if (!mkdtemp(folder)) return 1;
    snprintf(a_path, sizeof a_path, "%s/a.fasta", folder);
    snprintf(b_path, sizeof b_path, "%s/b.fasta", folder);
    snprintf(pairs_path, sizeof pairs_path, "%s/pairs.tsv", folder);
    snprintf(model_path, sizeof model_path, "%s/model.safetensors", folder);
    int failed = test_tables() || write_data() || test_train() || test_predict();
    unlink(a_path);
    unlink(b_path);
    unlink(pairs_path);
    unlink(model_path);
    rmdir(folder);
    return failed;
}
