/* crossmamba selftest: published outputs and precisions of the checkpoints on this machine. */
#include "cli/command.h"
#include "cli/common.h"
#include <string.h>

static const cm_arg_row rows[] = {
    {"encoder", "FAMILY:REF", false, false, "one encoder [every checkpoint that is found]"},
    CM_RUN_ROWS,
    {0},
};

typedef struct test_run {
    const cm_runtime *runtime;
    cm_status status;
    cm_error *error;
    int tested;
} test_run;

static cm_status test_one(const char *encoder, const cm_runtime *runtime, cm_error *error) {
    cm_checkpoint *checkpoint = NULL;
    cm_checkpoint_report report;
    cm_embed_options options = {.encoder = encoder};
    printf("# %s\n", encoder);
    cm_status status = cm_checkpoint_open(&checkpoint, encoder, error);
    if (status == CM_OK) status = cm_checkpoint_verify(checkpoint, &report, runtime, error);
    cm_checkpoint_close(checkpoint);
    if (status != CM_OK) return status;
    printf("# %zu tensors, all values finite\n", report.tensors);
    if (report.golden > 0)
        printf("# published outputs: %d, largest difference %.2g, allowed %.2g\n", report.golden,
               report.golden_error, report.golden_bound);
    else
        printf("# published outputs: none are known for this checkpoint\n");
    return cm_cli_precisions(&options, stdout, runtime, error);
}

static int test_found(void *context, const cm_checkpoint_line *line) {
    test_run *run = context;
    char encoder[4400];
    if (*line->family == '\0') return 0;
    snprintf(encoder, sizeof encoder, "%s:%s", line->family, line->path);
    run->tested++;
    run->status = test_one(encoder, run->runtime, run->error);
    return run->status != CM_OK;
}

static cm_status run(const cm_args *args, const cm_options *unused, cm_error *error) {
    (void)unused;
    cm_runtime runtime;
    cm_status status = cm_cli_runtime(args, &runtime, error);
    if (status != CM_OK) return status;
    if (cm_args_get(args, "encoder")) return test_one(cm_args_get(args, "encoder"), &runtime, error);
    cm_error found = {0};
    test_run all = {.runtime = &runtime, .error = &found};
    status = cm_checkpoint_list(test_found, &all, error);
    if (all.status != CM_OK) {
        *error = found;
        return all.status;
    }
    if (status == CM_OK && all.tested == 0)
        printf("# no checkpoint was found: crossmamba models list shows where they are looked for\n");
    return status;
}

const cm_command cm_command_selftest = {
    .name = "selftest",
    .summary = "check pretrained encoders on this machine",
    .text =
        "Checks that all tensors of a checkpoint are there and finite, compares with the published output "
        "where one is\nknown, and prints for each precision the least and the mean cosine similarity of a "
        "token to f32 over probe\nmolecules, with the speed.",
    .example = "crossmamba selftest",
    .rows = rows,
    .run = run,
};
