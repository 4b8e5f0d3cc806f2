/* crossmamba predict: scores for pairs. */
#include "cli/command.h"
#include "cli/common.h"
#include <math.h>
#include <string.h>

static const cm_arg_row rows[] = {
    {"model", "FILE|NAME", true, false,
     "a model file, or a shipped model: rna-protein, rna-molecule, rna-rna"},
    CM_DATA_ROWS,
    {"a-text", "SEQUENCE", false, false, "a single pair instead of files: the sequence of side A"},
    {"b-text", "SEQUENCE", false, false, "and the sequence or SMILES of side B"},
    {"encoder-a", "REF", false, false, "where the checkpoint of side A's pretrained encoder lies here"},
    {"encoder-b", "REF", false, false, "the same of side B"},
    {"batch", "N", false, false, "pairs per pass; never changes a result [chosen]"},
    CM_OUTPUT_ROWS,
    CM_STORE_ROWS,
    CM_RUN_ROWS,
    {0},
};

static const char *const columns[] = {"id_a",     "id_b", "score", "prediction", "unit",
                                      "warnings", "low",  "high",  "uncertainty"};
enum { N_COLUMNS = sizeof columns / sizeof *columns };

typedef struct sink_state {
    cm_output output;
    const char *unit;
} sink_state;

static const char *real(char text[32], double value) {
    snprintf(text, 32, isnan(value) ? "nan" : "%.6g", value);
    return text;
}

static int write_prediction(void *context, const cm_prediction *p) {
    static const bool number[N_COLUMNS] = {false, false, true, true, false, false, true, true, true};
    sink_state *state = context;
    char score[32], value[32], low[32], high[32], uncertainty[32];
    snprintf(score, sizeof score, "%.6g", p->score);
    snprintf(value, sizeof value, "%.6g", p->value);
    const char *cells[N_COLUMNS] = {p->id_a,
                                    p->id_b,
                                    score,
                                    value,
                                    state->unit,
                                    p->warnings,
                                    real(low, p->low),
                                    real(high, p->high),
                                    real(uncertainty, p->uncertainty)};
    cm_output_row(&state->output, cells, number);
    return ferror(state->output.stream);
}

/* The pairs: from files, or the single one of --a-text and --b-text. */
static cm_status open_pairs(const cm_args *args, const cm_task *task, const cm_runtime *runtime,
                            cm_dataset **dataset, cm_error *error) {
    const char *a = cm_args_get(args, "a-text"), *b = cm_args_get(args, "b-text");
    if (!a && !b) return cm_cli_dataset(args, task, 0, NULL, runtime, dataset, error);
    if (!a || !b || cm_args_count(args, "a") + cm_args_count(args, "b") + cm_args_count(args, "pairs") > 0)
        return cm_cli_fail(error, CM_USAGE, NULL, "options --a-text, --b-text",
                           "both, and no --a, --b, --pairs", "another mixture");
    cm_dataset_options options = {.task = task};
    cm_status status = cm_dataset_create(dataset, &options, error);
    if (status == CM_OK) status = cm_dataset_add_pair(*dataset, "A", a, "B", b, error);
    return status;
}

/* The checkpoints, where they lie elsewhere than at training. */
static cm_status locate_encoders(const cm_args *args, cm_model *model, cm_error *error) {
    cm_status status = CM_OK;
    for (int side = 0; side < 2 && status == CM_OK; side++) {
        const char *reference = cm_args_get(args, side == 0 ? "encoder-a" : "encoder-b");
        if (reference) status = cm_model_locate_encoder(model, side, reference, error);
    }
    return status;
}

static cm_status run(const cm_args *args, const cm_options *unused, cm_error *error) {
    (void)unused;
    cm_runtime runtime;
    cm_model *model = NULL;
    cm_dataset *dataset = NULL;
    long batch;
    cm_status status = cm_cli_runtime(args, &runtime, error);
    if (status == CM_OK) status = cm_args_integer(args, "batch", 1, 1000000, 0, &batch, error);
    if (status == CM_OK) status = cm_model_open(&model, cm_args_get(args, "model"), error);
    if (status == CM_OK) status = locate_encoders(args, model, error);
    if (status == CM_OK) status = open_pairs(args, cm_model_task(model), &runtime, &dataset, error);
    if (status == CM_OK) {
        sink_state state = {.unit = cm_model_task(model)->unit};
        status = cm_output_open(&state.output, args, columns, N_COLUMNS, error);
        if (status == CM_OK) {
            status = cm_predict(model, dataset, batch, write_prediction, &state, &runtime, error);
            status = cm_output_close(&state.output, status, error);
        }
    }
    cm_dataset_destroy(dataset);
    cm_model_close(model);
    return status;
}

const cm_command cm_command_predict = {
    .name = "predict",
    .summary = "score pairs with a model",
    .text =
        "Reads the molecules of both sides and a list of pairs (without --pairs: all against all) and "
        "writes a table\n"
        "with the columns id_a, id_b, score (the model's raw output), prediction (calibrated: "
        "probability of\n"
        "interaction, or affinity), unit, warnings, low and high (90 % conformal interval of an affinity), "
        "uncertainty\n"
        "(disagreement of an ensemble's networks or a stack's or mean's parts). Higher affinities (pKd) mean "
        "tighter "
        "binding.",
    .example = "crossmamba predict --model rna-molecule --a-text GGCAGAUCUGAGCCUGGGAGCUCUCUGCC --b-text "
               "'NC1CC(N)C(O)CC1O'",
    .rows = rows,
    .run = run,
};
