/* crossmamba store: the embedding store. */
#include "cli/command.h"
#include "cli/common.h"
#include <string.h>

static const cm_arg_row rows[] = {
    {"store", "DIR", false, false,
     "the store [$CROSSMAMBA_STORE, else crossmamba/store in the cache folder]"},
    {"a", "FILE", false, false, "import, export: the molecules, FASTA or a table with id and smiles"},
    {"type", "rna|protein|molecule", false, false, "import, export: what the molecules are"},
    {"name", "NAME", false, false, "import: the name, used as the encoder stored:NAME"},
    {"truncated", NULL, false, false,
     "import: fewer rows than residues are allowed, of inputs cut at their end"},
    {"encoder", "ID", false, false, "export, gc: an id that info lists"},
    {"out", "FILE", false, false, "export: the safetensors file to write"},
    {"compact", NULL, false, false, "gc: give the disk space back"},
    CM_RUN_ROWS,
    {0},
};

static cm_status need(const cm_args *args, const char *name, const char *expected, cm_error *error) {
    char place[64];
    if (cm_args_get(args, name)) return CM_OK;
    snprintf(place, sizeof place, "option --%s", name);
    return cm_cli_fail(error, CM_USAGE, NULL, place, expected, "nothing");
}

static cm_status read_type(const cm_args *args, cm_molecule_type *type, cm_error *error) {
    static const char *const names[] = {
        [CM_RNA] = "rna", [CM_PROTEIN] = "protein", [CM_MOLECULE] = "molecule"};
    const char *text = cm_args_get(args, "type");
    for (int i = 0; text && i < 3; i++)
        if (strcmp(text, names[i]) == 0) {
            *type = (cm_molecule_type)i;
            return CM_OK;
        }
    return cm_cli_fail(error, CM_USAGE, NULL, "option --type", "rna, protein or molecule",
                       text ? text : "nothing");
}

static int print_line(void *context, const cm_store_line *line) {
    long long *damaged = context;
    *damaged += line->damaged;
    printf("%s\t%ld\t%lld\t%lld\t%lld\t%lld\t%s\n", line->id, line->width, line->records, line->rows,
           line->bytes, line->damaged, line->description);
    return 0;
}

/* info and verify: both read every record. */
static cm_status list(const cm_args *args, bool verify, cm_error *error) {
    const char *folder = cm_args_get(args, "store");
    char path[4096], found[64];
    long long damaged = 0;
    printf("# %s\nencoder\twidth\trecords\trows\tbytes\tdamaged\tdescription\n",
           cm_store_path(folder, path, sizeof path));
    cm_status status = cm_store_list(folder, print_line, &damaged, error);
    if (status != CM_OK || !verify || damaged == 0) return status;
    snprintf(found, sizeof found, "%lld damaged records (crossmamba store gc removes them)", damaged);
    return cm_cli_fail(error, CM_DATA, path, NULL, "whole records", found);
}

static cm_status import(const cm_args *args, const char *file, const cm_runtime *runtime, cm_error *error) {
    cm_store_import_request request = {.embeddings = file,
                                       .molecules = cm_args_get(args, "a"),
                                       .name = cm_args_get(args, "name"),
                                       .truncated = cm_args_get(args, "truncated") != NULL};
    long imported;
    cm_status status = need(args, "a", "the molecules of the embeddings", error);
    if (status == CM_OK) status = need(args, "name", "a name for the import", error);
    if (status == CM_OK) status = read_type(args, &request.type, error);
    if (status == CM_OK)
        status = cm_store_import(cm_args_get(args, "store"), &request, &imported, runtime, error);
    if (status == CM_OK) printf("imported %ld molecules as stored:%s\n", imported, request.name);
    return status;
}

static cm_status export(const cm_args *args, const cm_runtime *runtime, cm_error *error) {
    cm_molecule_type type = CM_RNA;
    long exported, missing;
    cm_status status = need(args, "encoder", "an id that crossmamba store info lists", error);
    if (status == CM_OK) status = need(args, "a", "the molecules to export", error);
    if (status == CM_OK) status = need(args, "out", "a file to write", error);
    if (status == CM_OK) status = read_type(args, &type, error);
    if (status == CM_OK)
        status =
            cm_store_export(cm_args_get(args, "store"), cm_args_get(args, "encoder"), cm_args_get(args, "a"),
                            type, cm_args_get(args, "out"), &exported, &missing, runtime, error);
    if (status == CM_OK) printf("exported %ld molecules, %ld are not in the store\n", exported, missing);
    return status;
}

static cm_status collect(const cm_args *args, cm_error *error) {
    long removed;
    cm_status status = cm_store_gc(cm_args_get(args, "store"), cm_args_get(args, "encoder"),
                                   cm_args_get(args, "compact") != NULL, &removed, error);
    if (status == CM_OK) printf("removed %ld records\n", removed);
    return status;
}

static cm_status run(const cm_args *args, const cm_options *unused, cm_error *error) {
    (void)unused;
    static const char expected[] = "info, verify, import FILE, export or gc";
    const char *what = args->n_words > 0 ? args->words[0] : "";
    cm_runtime runtime;
    cm_status status = cm_cli_runtime(args, &runtime, error);
    if (status != CM_OK) return status;
    if (strcmp(what, "import") == 0 && args->n_words == 2)
        return import(args, args->words[1], &runtime, error);
    if (args->n_words == 1) {
        if (strcmp(what, "info") == 0) return list(args, false, error);
        if (strcmp(what, "verify") == 0) return list(args, true, error);
        if (strcmp(what, "export") == 0) return export(args, &runtime, error);
        if (strcmp(what, "gc") == 0) return collect(args, error);
    }
    return cm_cli_fail(error, CM_USAGE, NULL, NULL, expected, *what ? what : "nothing");
}

const cm_command cm_command_store = {
    .name = "store",
    .summary = "look into the embedding store, import, export, tidy",
    .text = "store info          the encoders of the store with their records (TSV), every record checked\n"
            "store verify        the same, with exit code 3 when a record is damaged\n"
            "store import FILE   embeddings made elsewhere: a .safetensors or .npz file with a tensor [rows, "
            "width] a molecule,\n"
            "                    named by its id in --a; rows must be the number of residues, or fewer with "
            "--truncated\n"
            "store export        the records of --encoder for the molecules of --a, to safetensors\n"
            "store gc            removes damaged records, or all of --encoder",
    .example = "crossmamba store import esm.safetensors --a proteins.fasta --type protein --name esm",
    .rows = rows,
    .max_words = 2,
    .run = run,
};
