/* Tokens per second of a pretrained encoder over a FASTA sample.
 * Usage: bench_encoder FAMILY CHECKPOINT SAMPLE.fa [--precision f32|bf16|int8] [--threads N] [--repeats N]
 * Prints, tab-separated: checkpoint, precision, threads, tokens (with specials), seconds of the fastest
 * repeat, tokens per second, peak memory of the process in MiB. Loading does not count; no store is used. */
#include "base/alloc.h"
#include "encoders/family.h"
#include "encoders/pretrained.h"
#include "io/fasta.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { MOST_SEQUENCES = 4096 };

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void check(cm_status status, const cm_error *error) {
    char line[600];
    if (status == CM_OK) return;
    fprintf(stderr, "bench_encoder: %s\n", cm_error_line(error, line, sizeof line));
    exit(1);
}

static void *room(size_t count, size_t size) {
    void *memory = cm_new(count, size);
    if (memory == NULL) {
        fprintf(stderr, "bench_encoder: out of memory\n");
        exit(1);
    }
    return memory;
}

/* The sequences of path as items with room for their rows; returns their number. */
static int64_t read_items(const char *path, const cm_pretrained *pretrained, cm_pretrained_item *items) {
    cm_fasta *fasta = NULL;
    cm_fasta_record record;
    cm_error error;
    bool more = true;
    int64_t n = 0;
    check(cm_fasta_open(&fasta, path, &error), &error);
    for (; n < MOST_SEQUENCES; n++) {
        check(cm_fasta_next(fasta, &record, &more, &error), &error);
        if (!more) break;
        char *text = room(record.length + 1, 1);
        memcpy(text, record.sequence, record.length);
        int64_t rows = cm_pretrained_rows(pretrained, text, (int64_t)record.length);
        items[n] = (cm_pretrained_item){.text = text, .length = (int64_t)record.length};
        items[n].out = room((size_t)(rows * cm_pretrained_width(pretrained)), sizeof(float));
    }
    cm_fasta_close(fasta);
    return n;
}

static double measure(cm_pretrained *pretrained, cm_pretrained_item *items, int64_t n, int repeats) {
    double best = 1e30;
    cm_error error;
    for (int i = 0; i <= repeats; i++) { /* the first one warms up */
        double start = seconds();
        check(cm_pretrained_encode(pretrained, items, n, NULL, &error), &error);
        double took = seconds() - start;
        if (i > 0 && took < best) best = took;
    }
    return best;
}

static cm_precision precision_of(const char *name) {
    return strcmp(name, "int8") == 0 ? CM_INT8 : strcmp(name, "bf16") == 0 ? CM_BF16 : CM_F32;
}

int main(int argc, char **argv) {
    const char *precision = "f32";
    int threads = (int)sysconf(_SC_NPROCESSORS_ONLN), repeats = 3;
    for (int i = 4; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--precision") == 0) precision = argv[i + 1];
        if (strcmp(argv[i], "--threads") == 0) threads = atoi(argv[i + 1]);
        if (strcmp(argv[i], "--repeats") == 0) repeats = atoi(argv[i + 1]);
    }
    const cm_family *family = argc > 3 ? cm_family_find(argv[1]) : NULL;
    if (family == NULL) {
        fprintf(stderr,
                "usage: bench_encoder FAMILY CHECKPOINT SAMPLE.fa [--precision f32|bf16|int8] [--threads N] "
                "[--repeats N]\n");
        return 2;
    }
    cm_error error;
    cm_team *team = cm_team_create(threads);
    cm_pretrained *pretrained = NULL;
    cm_pretrained_options options = {.precision = precision_of(precision), .layer = CM_LAST_LAYER};
    check(cm_pretrained_open(&pretrained, family, argv[2], &options, team, &error), &error);
    cm_pretrained_item *items = room(MOST_SEQUENCES, sizeof *items);
    int64_t n = read_items(argv[3], pretrained, items), tokens = 0;
    for (int64_t i = 0; i < n; i++) tokens += items[i].length + 2;
    double best = measure(pretrained, items, n, repeats);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("%s\t%s\t%d\t%lld\t%.3f\t%.0f\t%.0f\n", argv[2], precision, threads, (long long)tokens, best,
           (double)tokens / best, (double)usage.ru_maxrss / 1024);
    for (int64_t i = 0; i < n; i++) {
        cm_free((void *)items[i].text);
        cm_free(items[i].out);
    }
    cm_free(items);
    cm_pretrained_close(pretrained);
    cm_team_destroy(team);
    return 0;
}
