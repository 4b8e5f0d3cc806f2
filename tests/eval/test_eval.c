/* Cross-validation: finds what is there, finds nothing in shuffled labels, keeps folds apart, resumes. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "close.h"
#include "synthetic.h"
#include <math.h>

typedef struct lines {
    cm_eval_line line[256];
    char fold[256][32];
    int n;
} lines;

static int keep(void *context, const cm_eval_line *line) {
    lines *l = context;
    l->line[l->n] = *line;
    snprintf(l->fold[l->n++], sizeof *l->fold, "%s", line->fold);
    return 0;
}

static const cm_eval_line *find(const lines *l, const char *model, const char *metric, const char *fold) {
    for (int i = 0; i < l->n; i++)
        if (strcmp(l->line[i].model, model) == 0 && strcmp(l->line[i].metric, metric) == 0 &&
            strcmp(l->fold[i], fold) == 0)
            return &l->line[i];
    fail_msg("no line %s %s %s", model, metric, fold);
    return NULL;
}

static const char *const both[] = {"crossmamba", "id-only"};

static cm_eval_request request_of(int folds) {
    cm_eval_request r = {.options = synthetic_options(), .models = both, .n_models = 2, .folds = folds};
    r.options.epochs = 8;
    return r;
}

static void test_learns(void **state) {
    (void)state;
    synthetic s = synthetic_make(240, 31, 0);
    cm_dataset *d = synthetic_open(&s, 0, NULL);
    cm_eval_request r = request_of(3);
    lines l = {.n = 0};
    cm_error error = {0};
    assert_int_equal(cm_eval(&r, d, keep, &l, NULL, &error), CM_OK);
    const cm_eval_line *auc = find(&l, "crossmamba", "AUROC", "all");
    assert_true(auc->pooled > 0.95);
    assert_true(auc->low <= auc->pooled && auc->pooled <= auc->high);
    assert_int_equal(auc->units, 3);
    assert_int_equal(auc->pairs, 240);
    assert_true(fabs(auc->mean - auc->pooled) < 0.1 && auc->sd < 0.1);
    assert_true(find(&l, "crossmamba", "MCC", "all")->pooled > 0.8);
    assert_int_equal(find(&l, "id-only", "AUROC", "all")->units, 3);
    cm_dataset_destroy(d);
    synthetic_remove(&s);
}

static void test_shuffled_labels_leave_nothing(void **state) {
    (void)state;
    synthetic s = synthetic_make(1600, 32, 0);
    cm_dataset *d = synthetic_open(&s, 0, NULL);
    cm_eval_request r = request_of(3);
    r.shuffle_labels = 1;
    r.n_models = 1;
    r.repeats = 3;
    r.options.epochs = 4;
    lines l = {.n = 0};
    cm_error error = {0};
    cm_runtime runtime = {.threads = 2};
    assert_int_equal(cm_eval(&r, d, keep, &l, &runtime, &error), CM_OK);
    double auc = find(&l, "crossmamba", "AUROC", "all")->pooled;
    if (fabs(auc - 0.5) > 0.03) print_error("AUROC of shuffled labels %g\n", auc);
    assert_true(fabs(auc - 0.5) <= 0.03);
    cm_dataset_destroy(d);
    synthetic_remove(&s);
}

static void test_given_folds(void **state) {
    (void)state;
    synthetic s = synthetic_make(150, 33, 1);
    cm_dataset *d = synthetic_open(&s, 1, "fold");
    cm_eval_request r = request_of(0);
    lines l = {.n = 0};
    cm_error error = {0};
    assert_int_equal(cm_eval(&r, d, keep, &l, NULL, &error), CM_OK);
    assert_int_equal(find(&l, "crossmamba", "Pearson", "all")->units, 3);
    assert_true(find(&l, "crossmamba", "Pearson", "all")->pooled > 0.8);

    l.n = 0;
    r.test_fold = "2";
    r.repeats = 2;
    assert_int_equal(cm_eval(&r, d, keep, &l, NULL, &error), CM_OK);
    assert_int_equal(find(&l, "crossmamba", "RMSE", "all")->pairs, 50);
    assert_int_equal(find(&l, "crossmamba", "RMSE", "all")->units, 2);

    l.n = 0;
    r.test_fold = NULL;
    r.train_fold = "0";
    r.repeats = 1;
    assert_int_equal(cm_eval(&r, d, keep, &l, NULL, &error), CM_OK);
    assert_int_equal(find(&l, "crossmamba", "CI", "1")->pairs, 50);
    assert_int_equal(find(&l, "crossmamba", "CI", "2")->pairs, 50);
    assert_true(isnan(find(&l, "crossmamba", "CI", "2")->sd));

    r.train_fold = "7";
    assert_int_equal(cm_eval(&r, d, keep, &l, NULL, &error), CM_USAGE);
    assert_string_equal(error.found, "7");
    cm_dataset_destroy(d);
    synthetic_remove(&s);
}

static void test_same_result_for_threads_and_resume(void **state) {
    (void)state;
    synthetic s = synthetic_make(120, 34, 0);
    cm_dataset *d = synthetic_open(&s, 0, NULL);
    cm_eval_request r = request_of(4);
    char folder[96], predictions[96];
    snprintf(folder, sizeof folder, "%s/units", s.folder);
    snprintf(predictions, sizeof predictions, "%s/out-of-fold.tsv", s.folder);
    r.predictions_path = predictions;
    lines l[3] = {{.n = 0}, {.n = 0}, {.n = 0}};
    cm_error error = {0};
    for (int k = 0; k < 3; k++) {
        cm_runtime runtime = {.threads = k == 0 ? 1 : 3};
        r.checkpoint_folder = k == 0 ? NULL : folder;
        assert_int_equal(cm_eval(&r, d, keep, &l[k], &runtime, &error), CM_OK);
        assert_int_equal(l[k].n, l[0].n);
        for (int i = 0; i < l[0].n; i++) {
            assert_true(l[k].line[i].pooled == l[0].line[i].pooled);
            assert_true(l[k].line[i].low == l[0].line[i].low);
        }
        if (k > 0) assert_int_equal(synthetic_files_in(folder), 4);
    }
    FILE *file = fopen(predictions, "r");
    assert_non_null(file);
    int rows = 0;
    for (int c; (c = fgetc(file)) != EOF;) rows += c == '\n';
    fclose(file);
    assert_int_equal(rows, 1 + 2 * 120);
    cm_dataset_destroy(d);
    synthetic_remove(&s);
}

static const cm_eval_line *find_on(const lines *l, const char *track, const char *metric) {
    for (int i = 0; i < l->n; i++)
        if (strcmp(l->line[i].track, track) == 0 && strcmp(l->line[i].metric, metric) == 0)
            return &l->line[i];
    fail_msg("no line %s %s", track, metric);
    return NULL;
}

/* On labels without any sense the published protocol still finds something: the bias that its name says. */
static void test_paper_track_is_biased(void **state) {
    (void)state;
    for (int affinity = 0; affinity < 2; affinity++) {
        synthetic s = synthetic_make(150, 37, affinity);
        cm_dataset *d = synthetic_open(&s, affinity, NULL);
        cm_eval_request r = request_of(10);
        r.n_models = 1;
        r.shuffle_labels = 1;
        r.track = CM_TRACK_BOTH;
        r.options.epochs = 25;
        lines l = {.n = 0};
        cm_error error = {0};
        cm_runtime runtime = {.threads = 2};
        assert_int_equal(cm_eval(&r, d, keep, &l, &runtime, &error), CM_OK);
        const char *metric = affinity ? "Pearson" : "MCC";
        const cm_eval_line *honest = find_on(&l, "honest", metric);
        const cm_eval_line *paper = find_on(&l, "paper (biased)", metric);
        assert_int_equal(honest->units, 10);
        assert_int_equal(paper->units, affinity ? 3 : 10);
        if (!(paper->mean > honest->mean + 0.1)) fail_msg("honest %g, paper %g", honest->mean, paper->mean);
        /* standard error of the honest mean: 0.26 / sqrt(10) */
        assert_true(paper->mean > 0.15 && fabs(honest->mean) < 0.25);
        assert_true(isnan(paper->coverage));
        cm_dataset_destroy(d);
        synthetic_remove(&s);
    }
}

static void test_coverage_comparison_and_scramble(void **state) {
    (void)state;
    synthetic s = synthetic_make(400, 38, 1);
    cm_dataset *d = synthetic_open(&s, 1, NULL);
    cm_eval_request r = request_of(4);
    r.options.epochs = 12;
    r.reference = "id-only";
    r.scramble = 2;
    lines l = {.n = 0};
    cm_error error = {0};
    cm_runtime runtime = {.threads = 2};
    assert_int_equal(cm_eval(&r, d, keep, &l, &runtime, &error), CM_OK);
    const cm_eval_line *line = find(&l, "crossmamba", "Pearson", "all");
    assert_close(line->coverage, 0.9, 0.06);
    assert_true(line->width > 0.2 && line->width < 4);
    assert_string_equal(line->reference, "id-only");
    assert_true(line->difference_low > 0 && line->difference_low < line->difference && line->p < 0.05);
    assert_true(line->difference < line->difference_high);
    const cm_eval_line *reference = find(&l, "id-only", "Pearson", "all");
    assert_string_equal(reference->reference, "");
    assert_true(isnan(reference->difference));
    assert_close(line->pooled - reference->pooled, line->difference, 1e-12);
    const cm_eval_line *scrambled = find_on(&l, "scrambled", "Pearson");
    assert_true(scrambled->units == 2 && scrambled->high < 0.5 && scrambled->low <= scrambled->high);
    assert_close(scrambled->p, 1.0 / 3, 1e-12);
    assert_close(find_on(&l, "scrambled", "RMSE")->p, 1.0 / 3, 1e-12); /* lower is better */
    r.reference = "gated";
    assert_int_equal(cm_eval(&r, d, keep, &l, NULL, &error), CM_USAGE);
    cm_dataset_destroy(d);
    synthetic_remove(&s);
}

static void test_trained_model(void **state) {
    (void)state;
    synthetic s = synthetic_make(150, 35, 0);
    cm_dataset *d = synthetic_open(&s, 0, NULL);
    char path[96];
    snprintf(path, sizeof path, "%s/m.safetensors", s.folder);
    cm_error error = {0};
    cm_train_request t = {.options = synthetic_options(), .model_path = path};
    assert_int_equal(cm_train(&t, d, NULL, &error), CM_OK);
    cm_model *model = NULL;
    assert_int_equal(cm_model_open(&model, path, &error), CM_OK);
    lines l = {.n = 0};
    assert_int_equal(cm_eval_model(model, d, NULL, keep, &l, NULL, &error), CM_OK);
    assert_true(find(&l, "model", "AUROC", "all")->pooled > 0.97);
    cm_model_close(model);
    cm_dataset_destroy(d);
    synthetic_remove(&s);
}

static int stop_now(void *context) {
    (void)context;
    return 1;
}

static void test_refusals(void **state) {
    (void)state;
    synthetic s = synthetic_make(60, 36, 0);
    cm_dataset *d = synthetic_open(&s, 0, NULL);
    lines l = {.n = 0};
    cm_error error = {0};
    cm_eval_request r = request_of(0);
    assert_int_equal(cm_eval(&r, d, keep, &l, NULL, &error), CM_USAGE); /* no folds at all */
    r = request_of(3);
    const char *unknown = "transformer";
    r.models = &unknown;
    r.n_models = 1;
    assert_int_equal(cm_eval(&r, d, keep, &l, NULL, &error), CM_USAGE);
    r.n_models = 0;
    assert_int_equal(cm_eval(&r, d, keep, &l, NULL, &error), CM_USAGE);
    r = request_of(3);
    r.checkpoint_folder = "/proc/nowhere/units";
    assert_int_equal(cm_eval(&r, d, keep, &l, NULL, &error), CM_IO);
    r = request_of(3);
    cm_runtime runtime = {.threads = 1, .stop = stop_now};
    assert_int_equal(cm_eval(&r, d, keep, &l, &runtime, &error), CM_INTERRUPTED);
    assert_int_equal(l.n, 0);
    cm_dataset_destroy(d);
    synthetic_remove(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_learns),
        cmocka_unit_test(test_shuffled_labels_leave_nothing),
        cmocka_unit_test(test_given_folds),
        cmocka_unit_test(test_same_result_for_threads_and_resume),
        cmocka_unit_test(test_paper_track_is_biased),
        cmocka_unit_test(test_coverage_comparison_and_scramble),
        cmocka_unit_test(test_trained_model),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
