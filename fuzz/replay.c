/* Runs a fuzz target over files, without libFuzzer: replay FILE|FOLDER ... Every input must come to its end
 * within a second per 100 MB, and at least a second. */
#include "input.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static long inputs;

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* The input in memory of its exact size, so that a sanitizer sees the byte behind it. */
static void run_file(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0) abort();
    size_t size = (size_t)ftell(file);
    uint8_t *data = malloc(size ? size : 1);
    rewind(file);
    if (!data || fread(data, 1, size, file) != size) abort();
    fclose(file);
    double begin = seconds(), allowed = 1 + (double)size / 1e8;
    if (getenv("CROSSMAMBA_SLOW")) allowed *= 100; /* valgrind */
    LLVMFuzzerTestOneInput(data, size);
    double taken = seconds() - begin;
    free(data);
    inputs++;
    if (taken <= allowed) return;
    fprintf(stderr, "%s: %.1f s, at most %.1f s are allowed\n", path, taken, allowed);
    exit(1);
}

static void run_path(const char *path) {
    DIR *folder = opendir(path);
    if (!folder) {
        run_file(path);
        return;
    }
    for (struct dirent *entry; (entry = readdir(folder));) {
        char inner[4096];
        if (entry->d_name[0] == '.') continue;
        snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
        run_path(inner);
    }
    closedir(folder);
}

int main(int count, char **arguments) {
    for (int i = 1; i < count; i++) run_path(arguments[i]);
    printf("%ld inputs\n", inputs);
    return inputs > 0 ? 0 : 1;
}
