/* Small files in a folder of their own, and what a data set said while it read them. */
#ifndef CM_TESTS_DATASET_FILES_H
#define CM_TESTS_DATASET_FILES_H

#include "data/dataset.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const cm_task rna_protein = {.name = "rna-protein", .a = CM_RNA, .b = CM_PROTEIN};
static const cm_task rna_molecule = {.name = "rna-molecule", .a = CM_RNA, .b = CM_MOLECULE, .affinity = 1};
static const cm_task rna_rna = {.name = "rna-rna", .a = CM_RNA, .b = CM_RNA};

/* Paths in the folder; said collects the warnings, one line each. */
typedef struct files {
    char folder[64], a[96], b[96], pairs[96];
    char said[4096];
} files;

static void files_log(void *context, cm_log_level level, const char *line) {
    files *f = context;
    size_t used = strlen(f->said);
    snprintf(f->said + used, sizeof f->said - used, "%s%s\n", level == CM_LOG_WARNING ? "" : "info: ", line);
}

static inline int files_setup(void **state) {
    files *f = calloc(1, sizeof *f);
    const char *base = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
    snprintf(f->folder, sizeof f->folder, "%.40s/cm-data-XXXXXX", base);
    if (!mkdtemp(f->folder)) return -1;
    snprintf(f->a, sizeof f->a, "%s/a.fasta", f->folder);
    snprintf(f->b, sizeof f->b, "%s/b", f->folder);
    snprintf(f->pairs, sizeof f->pairs, "%s/pairs.tsv", f->folder);
    *state = f;
    return 0;
}

static inline int files_teardown(void **state) {
    files *f = *state;
    unlink(f->a);
    unlink(f->b);
    unlink(f->pairs);
    int rc = rmdir(f->folder);
    free(f);
    return rc;
}

/* NULL: no such file. */
static inline void files_put(const char *path, const char *text) {
    unlink(path);
    if (!text) return;
    FILE *file = fopen(path, "w");
    if (!file || fputs(text, file) < 0 || fclose(file) != 0) abort();
}

static inline cm_status files_add(files *f, cm_dataset *dataset, const char *a, const char *b,
                                  const char *pairs, cm_error *error) {
    files_put(f->a, a);
    files_put(f->b, b);
    files_put(f->pairs, pairs);
    cm_runtime runtime = {.log = files_log, .context = f};
    f->said[0] = '\0';
    return cm_dataset_add_files(dataset, f->a, f->b, pairs ? f->pairs : NULL, &runtime, error);
}

#endif
