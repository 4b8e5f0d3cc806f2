/* A small made-up RNA-protein set whose label can be learnt from sequence: an RNA is rich in G and C or not,
 * a protein is rich in K and R or not, and a pair binds when both or neither are. */
#ifndef SYNTHETIC_H
#define SYNTHETIC_H

#include "base/rng.h"
#include <crossmamba/crossmamba.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct synthetic {
    char folder[64], a[96], b[96], pairs[96];
} synthetic;

static inline void synthetic_sequence(FILE *file, uint64_t key, const char *rich, const char *poor,
                                      int length) {
    for (int i = 0; i < length; i++) {
        const char *letters = cm_rng_uniform(key, (uint64_t)i * 2) < 0.8 ? rich : poor;
        fputc(letters[cm_rng_below(key, (uint64_t)i * 2 + 1, strlen(letters))], file);
    }
    fputc('\n', file);
}

/* n pairs of n / 4 + 4 RNAs and as many proteins, all pairs distinct; column fold holds 0, 1, 2, 0, ...
 * affinity: labels are 2 + 3 * binds + small noise. */
static inline synthetic synthetic_make(int n, uint64_t seed, int affinity) {
    synthetic s;
    strcpy(s.folder, "/tmp/crossmamba-test-XXXXXX");
    if (!mkdtemp(s.folder)) abort();
    snprintf(s.a, sizeof s.a, "%s/rna.fasta", s.folder);
    snprintf(s.b, sizeof s.b, "%s/protein.fasta", s.folder);
    snprintf(s.pairs, sizeof s.pairs, "%s/pairs.tsv", s.folder);
    FILE *a = fopen(s.a, "w"), *b = fopen(s.b, "w"), *pairs = fopen(s.pairs, "w");
    if (!a || !b || !pairs) abort();
    int molecules = n / 4 + 4;
    for (int i = 0; i < molecules; i++) {
        fprintf(a, ">r%d\n", i);
        synthetic_sequence(a, cm_rng_key(seed, 1, (uint64_t)i), i % 2 ? "GC" : "AU", i % 2 ? "AU" : "GC",
                           30 + i % 17);
        fprintf(b, ">p%d\n", i);
        synthetic_sequence(b, cm_rng_key(seed, 2, (uint64_t)i), i % 2 ? "KR" : "DE", "ACFGHILMNPQSTVWY",
                           40 + i % 23);
    }
    fprintf(pairs, "id_a\tid_b\tlabel\tfold\n");
    for (int i = 0; i < n; i++) {
        int r = i % molecules, p = (i * 7 + i / molecules * 3 + 1) % molecules;
        int binds = r % 2 == p % 2;
        if (affinity)
            fprintf(pairs, "r%d\tp%d\t%.4f\t%d\n", r, p,
                    2 + 3 * binds + 0.1 * cm_rng_normal(seed, (uint64_t)i), i % 3);
        else
            fprintf(pairs, "r%d\tp%d\t%d\t%d\n", r, p, binds, i % 3);
    }
    fclose(a);
    fclose(b);
    fclose(pairs);
    return s;
}

static inline void synthetic_remove(const synthetic *s) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", s->folder);
    if (system(command) != 0) abort();
}

static inline cm_dataset *synthetic_open(const synthetic *s, int affinity, const char *fold_column) {
    cm_dataset_options options = {.task = cm_task_find(affinity ? "rna-protein-affinity" : "rna-protein"),
                                  .labels = 1,
                                  .fold_column = fold_column};
    cm_dataset *dataset = NULL;
    cm_error error = {0};
    if (cm_dataset_create(&dataset, &options, &error) != CM_OK) abort();
    if (cm_dataset_add_files(dataset, s->a, s->b, s->pairs, NULL, &error) != CM_OK) {
        char line[512];
        fprintf(stderr, "%s\n", cm_error_line(&error, line, sizeof line));
        abort();
    }
    return dataset;
}

/* A network that learns these sets in a second. */
static inline cm_options synthetic_options(void) {
    cm_options o;
    cm_options_default(&o);
    o.dim = 16;
    o.layers = 1;
    o.head_dim = 8;
    o.learning_rate = 3e-3;
    o.epochs = 12;
    o.dropout = 0;
    o.head_dropout = 0;
    return o;
}

/* Entries of a folder besides itself and its parent; -2 when it cannot be opened. */
static inline int synthetic_files_in(const char *folder) {
    DIR *dir = opendir(folder);
    int n = -2;
    while (dir && readdir(dir)) n++;
    if (dir) closedir(dir);
    return n;
}

#endif
