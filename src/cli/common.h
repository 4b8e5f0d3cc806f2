/* What the commands share: data-set options, terminal runtime, tables on stdout. */
#ifndef CM_CLI_COMMON_H
#define CM_CLI_COMMON_H

#include "cli/args.h"
#include <stdio.h>

/* Rows for reading pairs, for a command's table of options. */
#define CM_DATA_ROWS                                                                                        \
    {"a", "FILE", false, true, "molecules of side A: FASTA (gzip allowed), or a table with id and smiles"}, \
        {"b", "FILE", false, true, "molecules of side B; left out: the same file as --a"},                  \
        {"pairs", "FILE", false, true,                                                                      \
         "table with columns id_a, id_b (and label); repeat --a --b --pairs to join sets"},                 \
        {"bad-records", "refuse|skip", false, false,                                                        \
         "what to do with records that cannot be read [refuse]"},                                           \
        {"keep-duplicates", NULL, false, false, "keep pairs with the same two sequences"}, {                \
        "subset", "COLUMN=VALUE", false, false, "only the rows of --pairs with that value"                  \
    }
#define CM_RUN_ROWS                                                                  \
    {"threads", "N", false, false, "threads [all cores]; never changes a result"}, { \
        "quiet", NULL, false, false, "no progress and no messages"                   \
    }

/* Rows of commands that run pretrained encoders; cm_cli_runtime reads them. */
#define CM_STORE_ROWS                                                                                 \
    {"store", "DIR", false, false,                                                                    \
     "embedding store [$CROSSMAMBA_STORE, else crossmamba/store in the cache folder]"},               \
    {                                                                                                 \
        "no-store", NULL, false, false, "embeddings of pretrained encoders are neither read nor kept" \
    }

/* A runtime that reports to stderr (a bar only on a terminal) and stops on Ctrl-C and SIGTERM. */
cm_status cm_cli_runtime(const cm_args *args, cm_runtime *runtime, cm_error *error);

/* Opens the data set that the options name. labels as in cm_dataset_options. */
cm_status cm_cli_dataset(const cm_args *args, const cm_task *task, int labels, const char *fold_column,
                         const cm_runtime *runtime, cm_dataset **dataset, cm_error *error);

/* The same with labels and with every row, repeated ones too; records that cannot be read are skipped unless
 * --bad-records says otherwise. */
cm_status cm_cli_dataset_rows(const cm_args *args, const cm_task *task, const char *fold_column,
                              const cm_runtime *runtime, cm_dataset **dataset, cm_error *error);

/* Compares the precisions of an encoder, as a table on stream. */
cm_status cm_cli_precisions(const cm_embed_options *options, FILE *stream, const cm_runtime *runtime,
                            cm_error *error);

/* From now on a mapped file that becomes shorter ends the program with a message and exit code 1. */
void cm_cli_watch_maps(void);

/* Fills *error; file or place may be NULL. */
cm_status cm_cli_fail(cm_error *error, cm_status status, const char *file, const char *place,
                      const char *expected, const char *found);

/* ---- tables ---- */

typedef enum cm_format { CM_TSV, CM_CSV, CM_JSONL } cm_format;

/* An output table: to stdout, or to a file that appears under its name only when it is complete. */
typedef struct cm_output {
    FILE *stream;
    cm_format format;
    const char *path;     /* NULL: stdout */
    bool nameless;        /* the file has no name until it is complete */
    char temporary[4096]; /* its name, or the one on the way to its place */
    const char *const *columns;
    int n_columns;
} cm_output;

/* --out FILE and --format tsv|csv|jsonl. columns must stay valid. Prints the header line. */
#define CM_OUTPUT_ROWS                                                       \
    {"out", "FILE", false, false, "write the table to FILE [stdout]"}, {     \
        "format", "tsv|csv|jsonl", false, false, "format of the table [tsv]" \
    }
cm_status cm_output_open(cm_output *output, const cm_args *args, const char *const *columns, int n,
                         cm_error *error);
/* One row; number[i] true writes the cell bare in JSON. */
void cm_output_row(cm_output *output, const char *const *cells, const bool *number);
/* Completes (status CM_OK) or discards the table; the status, or that of a failed write. */
cm_status cm_output_close(cm_output *output, cm_status status, cm_error *error);

#endif
