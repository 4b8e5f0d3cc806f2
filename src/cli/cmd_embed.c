/* crossmamba embed: embeddings of a file of molecules. */
#include "cli/command.h"
#include "cli/common.h"
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static const cm_arg_row rows[] = {
    {"encoder", "FAMILY:REF", true, false,
     "pretrained encoder and its checkpoint: a folder, a file, or a repository name"},
    {"a", "FILE", false, false,
     "molecules: FASTA (gzip allowed, - for standard input), or a table with id and smiles"},
    {"out", "FILE", false, false, "file to write, - for standard output [-]"},
    {"format", "FORMAT", false, false, "safetensors, npy, npz or tsv [by the end of FILE, else tsv]"},
    {"pooled", NULL, false, false, "one vector a molecule [this]"},
    {"tokens", NULL, false, false, "one vector a residue, atom or SMILES token"},
    {"both", NULL, false, false, "both; the vector is named ID/pooled"},
    {"layer", "N", false, false, "hidden state counted back from the last: 0 the last, 1 the one before [0]"},
    {"precision", "auto|f32|bf16|int8", false, false, "arithmetic [auto]"},
    {"long", "windows|refuse", false, false,
     "inputs longer than the model: overlapping windows, or an error [windows]"},
    {"max-memory", "SIZE", false, false, "memory of a pass besides the weights, as 512M or 2G [256M]"},
    {"raw", NULL, false, false, "texts go to the tokenizer as written, not normalised"},
    {"check-precision", NULL, false, false,
     "compare the precisions on probe molecules first, on standard error"},
    {"bad-records", "refuse|skip", false, false, "what to do with records that cannot be read [refuse]"},
    CM_STORE_ROWS,
    CM_RUN_ROWS,
    {0},
};

typedef struct file_end {
    const char *name, *end;
    cm_embedding_format format;
} file_end;
static const file_end formats[] = {{"safetensors", ".safetensors", CM_EMBEDDING_SAFETENSORS},
                                   {"npy", ".npy", CM_EMBEDDING_NPY},
                                   {"npz", ".npz", CM_EMBEDDING_NPZ},
                                   {"tsv", ".tsv", CM_EMBEDDING_TSV}};
enum { N_FORMATS = sizeof formats / sizeof *formats };

static cm_status choose_format(const cm_args *args, const char *path, cm_embedding_format *format,
                               cm_error *error) {
    const char *name = cm_args_get(args, "format");
    for (int i = 0; i < N_FORMATS; i++) {
        size_t length = strlen(path), end = strlen(formats[i].end);
        bool fits = name ? strcmp(name, formats[i].name) == 0
                         : length > end && strcmp(path + length - end, formats[i].end) == 0;
        if (!fits) continue;
        *format = formats[i].format;
        return CM_OK;
    }
    *format = CM_EMBEDDING_TSV;
    return name ? cm_cli_fail(error, CM_USAGE, NULL, "option --format", "safetensors, npy, npz or tsv", name)
                : CM_OK;
}

static cm_status choose_what(const cm_args *args, int *what, cm_error *error) {
    int tokens = cm_args_count(args, "tokens"), both = cm_args_count(args, "both");
    if (tokens + both + cm_args_count(args, "pooled") > 1)
        return cm_cli_fail(error, CM_USAGE, NULL, "options --pooled, --tokens, --both", "one of them",
                           "more");
    *what = both     ? CM_EMBEDDING_POOLED | CM_EMBEDDING_TOKENS
            : tokens ? CM_EMBEDDING_TOKENS
                     : CM_EMBEDDING_POOLED;
    return CM_OK;
}

/* Digits with K, M or G behind them. */
static cm_status parse_size(const cm_args *args, const char *name, size_t *size, cm_error *error) {
    static const char units[] = "KMG";
    const char *text = cm_args_get(args, name);
    *size = 0;
    if (!text) return CM_OK;
    char *end;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    const char *unit = *end ? strchr(units, *end) : NULL;
    int shift = unit ? 10 * (int)(unit - units + 1) : 0;
    if (*text < '0' || *text > '9' || errno || end[unit != NULL] || value == 0 || value > SIZE_MAX >> shift)
        return cm_cli_fail(error, CM_USAGE, NULL, "option --max-memory", "a size as 512M or 2G", text);
    *size = (size_t)value << shift;
    return CM_OK;
}

static cm_status choose(const cm_args *args, const char *name, const char *first, const char *second,
                        int *is_second, cm_error *error) {
    char place[64], expected[64];
    const char *text = cm_args_get(args, name);
    *is_second = text && strcmp(text, second) == 0;
    if (!text || *is_second || strcmp(text, first) == 0) return CM_OK;
    snprintf(place, sizeof place, "option --%s", name);
    snprintf(expected, sizeof expected, "%s or %s", first, second);
    return cm_cli_fail(error, CM_USAGE, NULL, place, expected, text);
}

static cm_status embed_options(const cm_args *args, cm_embed_options *options, int *skip, cm_error *error) {
    const char *precision = cm_args_get(args, "precision");
    long layer;
    *options = (cm_embed_options){.encoder = cm_args_get(args, "encoder"),
                                  .precision = CM_AUTO,
                                  .raw = cm_args_get(args, "raw") != NULL};
    cm_status status = cm_args_integer(args, "layer", 0, 1000, 0, &layer, error);
    if (status == CM_OK && precision) status = cm_precision_parse(&options->precision, precision, error);
    if (status == CM_OK) status = choose(args, "long", "windows", "refuse", &options->refuse_long, error);
    if (status == CM_OK) status = choose(args, "bad-records", "refuse", "skip", skip, error);
    if (status == CM_OK) status = parse_size(args, "max-memory", &options->max_memory, error);
    if (status == CM_OK) options->layer = (int)layer;
    return status;
}

static cm_status embed(const cm_args *args, cm_embedder *embedder, cm_embedding_format format, int what,
                       const char *path, int skip, const cm_runtime *runtime, cm_error *error) {
    cm_embedder_info info;
    cm_embedding_writer *writer = NULL;
    cm_embedder_describe(embedder, &info);
    cm_status status = cm_embedding_writer_open(&writer, format, what, path, &info, error);
    if (status != CM_OK) return status;
    status = cm_embed_file(embedder, cm_args_get(args, "a"), skip ? CM_BAD_SKIP : CM_BAD_REFUSE,
                           cm_embedding_writer_add, writer, runtime, error);
    return cm_embedding_writer_close(writer, status, error);
}

static cm_status run(const cm_args *args, const cm_options *unused, cm_error *error) {
    (void)unused;
    cm_runtime runtime;
    cm_embed_options options;
    cm_embedder *embedder = NULL;
    cm_embedding_format format = CM_EMBEDDING_TSV;
    int what = 0, skip = 0;
    const char *path = cm_args_get(args, "out") ? cm_args_get(args, "out") : "-";
    bool check = cm_args_get(args, "check-precision") != NULL;
    cm_status status = cm_cli_runtime(args, &runtime, error);
    if (status == CM_OK) status = embed_options(args, &options, &skip, error);
    if (status == CM_OK) status = choose_format(args, path, &format, error);
    if (status == CM_OK) status = choose_what(args, &what, error);
    if (status == CM_OK && !check && !cm_args_get(args, "a"))
        status = cm_cli_fail(error, CM_USAGE, NULL, "option --a", "a file of molecules", "nothing");
    if (status == CM_OK && check) status = cm_cli_precisions(&options, stderr, &runtime, error);
    if (status != CM_OK || !cm_args_get(args, "a")) return status;
    status = cm_embedder_open(&embedder, &options, &runtime, error);
    if (status == CM_OK) status = embed(args, embedder, format, what, path, skip, &runtime, error);
    cm_embedder_close(embedder);
    return status;
}

const cm_command cm_command_embed = {
    .name = "embed",
    .summary = "embeddings of molecules by a pretrained encoder",
    .text =
        "Reads molecules and writes their embeddings: a vector a molecule (--pooled), a row a residue, atom "
        "or\nSMILES token without special tokens (--tokens), or both. The encoder's identity, layer, "
        "precision and the\nname of the pooling stand in the file. What was computed is kept in the "
        "embedding store, so a run that was\nended continues where it was; the file appears when it is "
        "whole. npy writes the ids to FILE.ids.tsv.",
    .example = "crossmamba embed --encoder esm2:facebook/esm2_t6_8M_UR50D --a proteins.fasta --out "
               "proteins.safetensors",
    .rows = rows,
    .run = run,
};
