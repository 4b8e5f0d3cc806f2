/* Messages and progress on stderr, Ctrl-C, and the data set of a command line. */
#include "cli/common.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Set by the signal handler; nothing else can reach it. */
static volatile sig_atomic_t stop_asked;

static void on_signal(int number) {
    (void)number;
    stop_asked = 1;
}

static int asked_to_stop(void *context) {
    (void)context;
    return stop_asked;
}

/* State of the progress line. */
typedef struct terminal {
    bool bar, quiet;
    char phase[32];
    struct timespec start, last;
} terminal;

static double since(const struct timespec *t) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - t->tv_sec) + 1e-9 * (double)(now.tv_nsec - t->tv_nsec);
}

static void print_log(void *context, cm_log_level level, const char *line) {
    const terminal *t = context;
    if (t->quiet) return;
    fprintf(stderr, "%scrossmamba: %s%s\n", t->bar ? "\r\033[K" : "",
            level == CM_LOG_WARNING ? "warning: " : "", line);
}

static void format_seconds(char *text, size_t size, double seconds) {
    long s = (long)(seconds + 0.5);
    if (s < 60)
        snprintf(text, size, "%ld s", s);
    else if (s < 3600)
        snprintf(text, size, "%ld min %02ld s", s / 60, s % 60);
    else
        snprintf(text, size, "%ld h %02ld min", s / 3600, s % 3600 / 60);
}

/* On a terminal a bar at most ten times a second; elsewhere a line at most every ten seconds. */
static void print_progress(void *context, const cm_progress *p) {
    terminal *t = context;
    if (t->quiet) return;
    if (strcmp(t->phase, p->phase) != 0) {
        snprintf(t->phase, sizeof t->phase, "%s", p->phase);
        clock_gettime(CLOCK_MONOTONIC, &t->start);
        t->last = t->start;
        return;
    }
    bool end = p->done >= p->total;
    if (since(&t->last) < (t->bar ? 0.1 : 10.0) && !(end && t->bar)) return;
    clock_gettime(CLOCK_MONOTONIC, &t->last);
    double share = p->total > 0 ? p->done / p->total : 1, elapsed = since(&t->start);
    char left[48], bar[25];
    format_seconds(left, sizeof left, share > 0 ? elapsed * (1 - share) / share : 0);
    for (int i = 0; i < 24; i++) bar[i] = i < (int)(share * 24) ? '#' : '.';
    bar[24] = '\0';
    fprintf(stderr, "%s%-9s %s %3.0f %% %.0f/%.0f %s, %.3g %s/s, %s left %s%s", t->bar ? "\r\033[K" : "",
            p->phase, bar, 100 * share, p->done, p->total, p->unit, elapsed > 0 ? p->done / elapsed : 0,
            p->unit, left, p->text, t->bar && !end ? "" : "\n");
    fflush(stderr);
}

cm_status cm_cli_runtime(const cm_args *args, cm_runtime *runtime, cm_error *error) {
    static terminal t;
    t = (terminal){.bar = isatty(STDERR_FILENO), .quiet = cm_args_get(args, "quiet") != NULL};
    long cores = sysconf(_SC_NPROCESSORS_ONLN), threads;
    cm_status status = cm_args_integer(args, "threads", 1, 1024, cores > 0 ? cores : 1, &threads, error);
    if (status != CM_OK) return status;
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    *runtime = (cm_runtime){.threads = (int)threads,
                            .log = print_log,
                            .progress = print_progress,
                            .stop = asked_to_stop,
                            .context = &t,
                            .store = cm_args_get(args, "no-store") ? "" : cm_args_get(args, "store")};
    if (cm_args_count(args, "no-store") > 0 && cm_args_count(args, "store") > 0)
        return cm_cli_fail(error, CM_USAGE, NULL, "options --store, --no-store", "one of them", "both");
    return CM_OK;
}

cm_status cm_cli_fail(cm_error *error, cm_status status, const char *file, const char *place,
                      const char *expected, const char *found) {
    *error = (cm_error){.status = status};
    snprintf(error->file, sizeof error->file, "%s", file ? file : "");
    snprintf(error->place, sizeof error->place, "%s", place ? place : "");
    snprintf(error->expected, sizeof error->expected, "%s", expected ? expected : "");
    snprintf(error->found, sizeof error->found, "%s", found ? found : "");
    return status;
}

/* --bad-records, --subset and --keep-duplicates. subset gets the split text; it must outlive the data set. */
static cm_status data_options(const cm_args *args, cm_dataset_options *options, char subset[256],
                              cm_error *error) {
    const char *bad = cm_args_get(args, "bad-records"), *only = cm_args_get(args, "subset");
    if (bad && strcmp(bad, "refuse") != 0 && strcmp(bad, "skip") != 0)
        return cm_cli_fail(error, CM_USAGE, NULL, "option --bad-records", "refuse or skip", bad);
    options->bad_records = bad && strcmp(bad, "skip") == 0 ? CM_BAD_SKIP : CM_BAD_REFUSE;
    options->keep_duplicates = cm_args_get(args, "keep-duplicates") != NULL;
    options->group_column = cm_args_get(args, "group-column");
    if (!only) return CM_OK;
    if (strlen(only) >= 256 || !strchr(only, '='))
        return cm_cli_fail(error, CM_USAGE, NULL, "option --subset", "COLUMN=VALUE", only);
    snprintf(subset, 256, "%s", only);
    char *equals = strchr(subset, '=');
    *equals = '\0';
    options->subset_column = subset;
    options->subset_value = equals + 1;
    return CM_OK;
}

static cm_status read_files(const cm_args *args, const cm_dataset_options *options, const cm_runtime *runtime,
                            cm_dataset **dataset, cm_error *error) {
    const cm_task *task = options->task;
    int sets = cm_args_count(args, "a"), b = cm_args_count(args, "b"), pairs = cm_args_count(args, "pairs");
    if (sets == 0) return cm_cli_fail(error, CM_USAGE, NULL, "option --a", "a file of molecules", "nothing");
    if ((b != 0 && b != sets) || (pairs != sets && (pairs != 0 || options->labels)))
        return cm_cli_fail(error, CM_USAGE, NULL, "options --a, --b, --pairs",
                           "as many --b and --pairs as --a", "another number");
    if (b == 0 && task->a != task->b)
        return cm_cli_fail(error, CM_USAGE, NULL, "option --b", "a file of molecules of the other type",
                           "nothing");
    cm_status status = cm_dataset_create(dataset, options, error);
    for (int i = 0; i < sets && status == CM_OK; i++)
        status = cm_dataset_add_files(*dataset, cm_args_at(args, "a", i), cm_args_at(args, b ? "b" : "a", i),
                                      cm_args_at(args, "pairs", i), runtime, error);
    if (status != CM_OK) {
        cm_dataset_destroy(*dataset);
        *dataset = NULL;
    }
    return status;
}

cm_status cm_cli_dataset(const cm_args *args, const cm_task *task, int labels, const char *fold_column,
                         const cm_runtime *runtime, cm_dataset **dataset, cm_error *error) {
    static char subset[256];
    cm_dataset_options options = {.task = task, .labels = labels, .fold_column = fold_column};
    cm_status status = data_options(args, &options, subset, error);
    return status == CM_OK ? read_files(args, &options, runtime, dataset, error) : status;
}

cm_status cm_cli_dataset_rows(const cm_args *args, const cm_task *task, const char *fold_column,
                              const cm_runtime *runtime, cm_dataset **dataset, cm_error *error) {
    static char subset[256];
    cm_dataset_options options = {.task = task, .labels = 1, .fold_column = fold_column};
    cm_status status = data_options(args, &options, subset, error);
    options.keep_duplicates = 1;
    if (!cm_args_get(args, "bad-records")) options.bad_records = CM_BAD_SKIP;
    return status == CM_OK ? read_files(args, &options, runtime, dataset, error) : status;
}
