/* The kernel model on a data set: pooled metrics over random or given folds, seconds and choices of each fit.
 *   bench_kernel TASK A B PAIRS FOLDS [--cold a|b|both] [--test FOLD] [--repeats-kept] [--inner]
 * FOLDS: a number of random folds, or the name of a column. --test: only that given fold is tested. --inner:
 * only the loss of the inner folds in the first unit's training part, for development. Bad records are
 * skipped. */
#include "base/alloc.h"
#include "data/split.h"
#include "kernel/kernel_model.h"
#include "metrics/metrics.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct bench {
    cm_dataset *dataset;
    cm_kernel_features *features[2];
    int32_t *fold, *column[2];
    double *label, *value, *decision;
    int folds;
    bool inner;
    cm_kernel_cold cold;
} bench;

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void check(cm_status status, const cm_error *error) {
    char line[1024];
    if (status == CM_OK) return;
    fprintf(stderr, "%s\n", cm_error_line(error, line, sizeof line));
    exit(1);
}

static const char *option(int argc, char **argv, const char *name) {
    for (int i = 6; i < argc; i++)
        if (strcmp(argv[i], name) == 0) return i + 1 < argc ? argv[i + 1] : "";
    return NULL;
}

static void open_set(bench *b, int argc, char **argv) {
    cm_error error = {0};
    int folds = atoi(argv[5]);
    cm_dataset_options options = {.task = cm_task_find(argv[1]),
                                  .labels = 1,
                                  .bad_records = CM_BAD_SKIP,
                                  .keep_duplicates = option(argc, argv, "--repeats-kept") != NULL,
                                  .fold_column = folds ? NULL : argv[5]};
    check(cm_dataset_create(&b->dataset, &options, &error), &error);
    check(cm_dataset_add_files(b->dataset, argv[2], argv[3], argv[4], NULL, &error), &error);
    cm_dataset *d = b->dataset;
    size_t n = (size_t)d->n_pairs;
    b->fold = cm_new(n, sizeof *b->fold);
    const char *test = option(argc, argv, "--test");
    b->folds = folds ? folds : test ? 1 : (int)d->n_folds;
    if (folds) check(cm_split_folds(d, NULL, d->n_pairs, folds, 1, b->fold, &error), &error);
    for (size_t i = 0; i < n && !folds; i++)
        b->fold[i] = !test ? d->pairs[i].fold : strcmp(d->folds[d->pairs[i].fold], test) == 0 ? 0 : -1;
    b->inner = option(argc, argv, "--inner") != NULL;
    const char *cold = option(argc, argv, "--cold");
    b->cold = !cold                    ? CM_COLD_NONE
              : *cold == 'a'           ? CM_COLD_A
              : strcmp(cold, "b") == 0 ? CM_COLD_B
                                       : CM_COLD_BOTH;
}

static void make_columns(bench *b) {
    cm_error error = {0};
    cm_dataset *d = b->dataset;
    size_t n = (size_t)d->n_pairs;
    b->label = cm_new(n, sizeof(double));
    b->value = cm_new(n, sizeof(double));
    b->decision = cm_new(n, sizeof(double));
    for (int side = 0; side < 2; side++) {
        int64_t m = d->n_entities[side], *length = cm_new((size_t)m, sizeof *length);
        const char **text = cm_new((size_t)m, sizeof *text);
        for (int64_t i = 0; i < m; i++) {
            text[i] = d->entities[side][i].text;
            length[i] = d->entities[side][i].length;
        }
        double start = seconds();
        check(cm_kernel_features_create(&b->features[side], side ? d->task->b : d->task->a, CM_EVERY_MIX,
                                        text, length, m, &error),
              &error);
        fprintf(stderr, "side %d: %ld molecules, features %.2f s\n", side, (long)m, seconds() - start);
        cm_free(text);
        cm_free(length);
        b->column[side] = cm_new(n, sizeof(int32_t));
        for (size_t i = 0; i < n; i++) b->column[side][i] = d->pairs[i].entity[side];
    }
    for (size_t i = 0; i < n; i++) b->label[i] = (double)d->pairs[i].label;
}

static void say(const cm_kernel_model *m, double took) {
    static const char *const mixes[] = {"all", "coarse", "fine"};
    printf("train %ld: %.2f s, %d shapes, loss %.4f, ridge %g, A %s gamma %g + %g, B %s gamma %g + %g, "
           "threshold %.3f",
           (long)m->n_train, took, m->tried, m->inner_loss, m->ridge, mixes[m->shape[0].mix],
           m->shape[0].gamma, m->shape[0].constant, mixes[m->shape[1].mix], m->shape[1].gamma,
           m->shape[1].constant, m->threshold);
}

static void metrics(bool affinity, const double *value, const double *label, int64_t n, double threshold) {
    double out[CM_METRICS_MAX];
    cm_error error = {0};
    check(affinity ? cm_metrics_affinity(value, label, n, out, &error)
                   : cm_metrics_binary(value, label, n, threshold, out, &error),
          &error);
    if (affinity)
        printf(" | Pearson %.4f RMSE %.4f MSE %.4f CI %.4f\n", out[CM_AFFINITY_pearson],
               out[CM_AFFINITY_rmse], out[CM_AFFINITY_rmse] * out[CM_AFFINITY_rmse], out[CM_AFFINITY_ci]);
    else
        printf(" | MCC %.4f AUROC %.4f accuracy %.4f ECE %.3f\n", out[CM_BINARY_mcc], out[CM_BINARY_auroc],
               out[CM_BINARY_accuracy], out[CM_BINARY_ece]);
    fflush(stdout);
}

/* Trains without fold f, tests on it. Tested values are appended at *n. */
static void run_unit(bench *b, int f, double *value, double *decision, double *label, int64_t *n) {
    int64_t all = b->dataset->n_pairs, n_train = 0, n_test = 0, from = *n;
    int32_t *column[4];
    double *train_label = cm_new((size_t)all, sizeof(double)), *score = cm_new((size_t)all, sizeof(double));
    for (int c = 0; c < 4; c++) column[c] = cm_new((size_t)all, sizeof(int32_t));
    for (int64_t i = 0; i < all; i++) {
        bool test = b->fold[i] == f;
        int64_t at = test ? n_test++ : n_train++;
        column[test ? 2 : 0][at] = b->column[0][i];
        column[test ? 3 : 1][at] = b->column[1][i];
        if (test)
            label[(*n)++] = b->label[i];
        else
            train_label[at] = b->label[i];
    }
    cm_error error = {0};
    bool affinity = b->dataset->task->affinity;
    cm_kernel_request r = {.affinity = affinity,
                           .features = {b->features[0], b->features[1]},
                           .train = {.a = column[0], .b = column[1], .n = n_train},
                           .label = train_label,
                           .cold = b->cold,
                           .seed = 1};
    cm_kernel_model *model = NULL;
    double start = seconds();
    check(cm_kernel_fit(&model, &r, &error), &error);
    say(model, seconds() - start);
    if (b->inner) {
        for (int64_t i = 0; i < n_train; i++)
            score[i] = cm_calibrated(&model->calibration, affinity, model->inner_score[i]);
        metrics(affinity, score, train_label, n_train, model->threshold);
        exit(0);
    }
    cm_pair_list test = {.a = column[2], .b = column[3], .n = n_test};
    check(cm_kernel_scores(model, (const cm_kernel_features *const[2]){b->features[0], b->features[1]}, &test,
                           score, NULL, &error),
          &error);
    for (int64_t i = 0; i < n_test; i++) {
        value[from + i] = cm_calibrated(&model->calibration, affinity, score[i]);
        decision[from + i] = value[from + i] >= model->threshold;
    }
    metrics(affinity, value + from, label + from, n_test, model->threshold);
    cm_kernel_model_destroy(model);
    for (int c = 0; c < 4; c++) cm_free(column[c]);
    cm_free(train_label);
    cm_free(score);
}

int main(int argc, char **argv) {
    if (argc < 6) {
        fprintf(stderr, "usage: bench_kernel TASK A B PAIRS FOLDS [options]\n");
        return 2;
    }
    bench b = {0};
    open_set(&b, argc, argv);
    make_columns(&b);
    double *label = cm_new((size_t)b.dataset->n_pairs, sizeof *label), start = seconds();
    int64_t n = 0;
    for (int f = 0; f < b.folds; f++) run_unit(&b, f, b.value, b.decision, label, &n);
    bool affinity = b.dataset->task->affinity;
    printf("pooled, %ld pairs, %.1f s", (long)n, seconds() - start);
    metrics(affinity, b.value, label, n, 0.5);
    if (!affinity) {
        printf("with the fitted thresholds");
        metrics(affinity, b.decision, label, n, 0.5);
    }
    cm_free(label);
    for (int side = 0; side < 2; side++) {
        cm_kernel_features_destroy(b.features[side]);
        cm_free(b.column[side]);
    }
    cm_free(b.fold);
    cm_free(b.label);
    cm_free(b.value);
    cm_free(b.decision);
    cm_dataset_destroy(b.dataset);
    return 0;
}
