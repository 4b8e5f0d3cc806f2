/* The training loop: it learns, it learns nothing from shuffled labels, it stops and resumes to the same
 * bits, and neither threads nor batch size of the prediction changes a bit. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/file.h"
#include "synthetic.h"
#include "train/fit.h"
#include <math.h>
#include <unistd.h>

/* Everything a training writes, for comparing runs. */
static char *read_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    if (!file) return NULL;
    char *bytes = malloc(1 << 22);
    *size = fread(bytes, 1, 1 << 22, file);
    fclose(file);
    return bytes;
}

static void assert_same_files(const char *a, const char *b) {
    size_t n, m;
    char *x = read_file(a, &n), *y = read_file(b, &m);
    assert_non_null(x);
    assert_non_null(y);
    assert_int_equal(n, m);
    assert_memory_equal(x, y, n);
    free(x);
    free(y);
}

static cm_status train_to(const synthetic *s, const cm_options *options, const char *path, int threads,
                          int resume, int (*stop)(void *), void *context, double checkpoint_seconds,
                          cm_error *error) {
    cm_dataset *d = synthetic_open(s, 0, NULL);
    cm_runtime runtime = {.threads = threads, .stop = stop, .context = context};
    cm_train_request request = {
        .options = *options, .model_path = path, .resume = resume, .checkpoint_seconds = checkpoint_seconds};
    cm_status status = cm_train(&request, d, &runtime, error);
    cm_dataset_destroy(d);
    return status;
}

/* Fits on all pairs and gives the scores of all pairs. */
static double fit_loss(const synthetic *s, const cm_options *options, double *score, double *label) {
    cm_dataset *d = synthetic_open(s, 0, NULL);
    cm_features *features = NULL;
    cm_model *model = NULL;
    cm_error error = {0};
    int64_t index[1024];
    for (int64_t i = 0; i < d->n_pairs; i++) index[i] = i;
    assert_int_equal(cm_features_create(&features, d, options, NULL, NULL, NULL, &error), CM_OK);
    cm_fit_request request = {
        .options = options, .dataset = d, .features = features, .index = index, .n = d->n_pairs};
    assert_int_equal(cm_fit(&model, &request, NULL, NULL, &error), CM_OK);
    assert_int_equal(cm_model_scores(model, features, d, NULL, d->n_pairs, 0, NULL, score, &error), CM_OK);
    double loss = 0;
    for (int64_t i = 0; i < d->n_pairs; i++) {
        label[i] = (double)d->pairs[i].label;
        loss += log1p(exp(label[i] > 0.5 ? -score[i] : score[i])) / (double)d->n_pairs;
    }
    cm_model_close(model);
    cm_features_destroy(features);
    cm_dataset_destroy(d);
    return loss;
}

static void test_overfits_64_pairs(void **state) {
    (void)state;
    static const char *const networks[] = {"crossmamba", "mlp", "bilinear", "gated", "gated-static"};
    synthetic s = synthetic_make(64, 5, 0);
    double score[1024], label[1024];
    for (size_t i = 0; i < sizeof networks / sizeof *networks; i++) {
        cm_options o = synthetic_options();
        snprintf(o.fusion, sizeof o.fusion, "%s", networks[i]);
        snprintf(o.loss, sizeof o.loss, "bce");
        o.validation = 0;
        o.noise = 0;
        o.batch = 16;
        o.epochs = 60;
        o.learning_rate = 1e-2;
        double loss = fit_loss(&s, &o, score, label);
        if (loss > 0.02) print_error("%s: loss %g\n", networks[i], loss);
        assert_true(loss < 0.02);
    }
    synthetic_remove(&s);
}

static int same_sign(const double *score, const double *label, int64_t n) {
    int right = 0;
    for (int64_t i = 0; i < n; i++) right += (score[i] > 0) == (label[i] > 0.5);
    return right;
}

static void test_layouts_and_losses(void **state) {
    (void)state;
    synthetic s = synthetic_make(200, 6, 0);
    double score[1024], label[1024];
    static const char *const layouts[] = {"pooled", "windows:3", "residues"};
    for (int i = 0; i < 3; i++) {
        cm_options o = synthetic_options();
        snprintf(o.layout, sizeof o.layout, "%s", layouts[i]);
        snprintf(o.encoder_a, sizeof o.encoder_a, "kmer+onehot");
        o.tied = i == 1;
        o.balance = i == 2;
        if (i == 2) o.epochs = 5;
        fit_loss(&s, &o, score, label);
        assert_true(same_sign(score, label, 200) > 170);
    }
    synthetic_remove(&s);
}

static void test_affinity(void **state) {
    (void)state;
    synthetic s = synthetic_make(200, 7, 1);
    static const char *const losses[] = {"mse", "huber"};
    for (int i = 0; i < 2; i++) {
        cm_options o = synthetic_options();
        snprintf(o.loss, sizeof o.loss, "%s", losses[i]);
        cm_dataset *d = synthetic_open(&s, 1, NULL);
        char path[96];
        snprintf(path, sizeof path, "%s/model.safetensors", s.folder);
        cm_error error = {0};
        cm_train_request request = {
            .options = o, .model_path = path, .notes = "a note", .licence = "made up"};
        assert_int_equal(cm_train(&request, d, NULL, &error), CM_OK);
        cm_model *model = NULL;
        assert_int_equal(cm_model_open(&model, path, &error), CM_OK);
        assert_non_null(strstr(cm_model_card(model), "a note"));
        assert_non_null(strstr(cm_model_card(model), "Pearson"));
        assert_true(model->label_mean > 3 && model->label_mean < 4);
        assert_true(cm_model_value(model, 100) == model->label_most);
        assert_true(cm_model_value(model, -100) == model->label_least);
        cm_model_close(model);
        cm_dataset_destroy(d);
    }
    synthetic_remove(&s);
}

/* Stops after a number of polls. */
static int stop_after(void *context) {
    int *left = context;
    return --*left < 0;
}

static void test_resume_same_bits(void **state) {
    (void)state;
    synthetic s = synthetic_make(150, 8, 0);
    cm_options o = synthetic_options();
    o.dropout = 0.1;
    o.head_dropout = 0.3;
    o.epochs = 4;
    char whole[96], parts[96], checkpoint[128];
    snprintf(whole, sizeof whole, "%s/whole.safetensors", s.folder);
    snprintf(parts, sizeof parts, "%s/parts.safetensors", s.folder);
    snprintf(checkpoint, sizeof checkpoint, "%s.checkpoint", parts);
    cm_error error = {0};
    assert_int_equal(train_to(&s, &o, whole, 1, 0, NULL, NULL, 1e9, &error), CM_OK);
    for (int steps = 3; steps < 14; steps += 5) { /* inside an epoch, at its end, after it */
        int left = steps;
        assert_int_equal(train_to(&s, &o, parts, 2, 0, stop_after, &left, 1e9, &error), CM_INTERRUPTED);
        assert_int_equal(access(parts, F_OK), -1);
        assert_int_equal(access(checkpoint, F_OK), 0);
        left = 4;
        assert_int_equal(train_to(&s, &o, parts, 1, 1, stop_after, &left, 0, &error), CM_INTERRUPTED);
        assert_int_equal(train_to(&s, &o, parts, 4, 1, NULL, NULL, 1e9, &error), CM_OK);
        assert_same_files(whole, parts);
        assert_int_equal(access(checkpoint, F_OK), -1);
        unlink(parts);
    }
    synthetic_remove(&s);
}

static void test_refuses_foreign_or_damaged_checkpoint(void **state) {
    (void)state;
    synthetic s = synthetic_make(100, 9, 0);
    cm_options o = synthetic_options();
    char model[96], checkpoint[128];
    snprintf(model, sizeof model, "%s/m.safetensors", s.folder);
    snprintf(checkpoint, sizeof checkpoint, "%s.checkpoint", model);
    cm_error error = {0};
    int left = 5;
    assert_int_equal(train_to(&s, &o, model, 1, 0, stop_after, &left, 1e9, &error), CM_INTERRUPTED);
    cm_options other = o;
    other.seed++;
    assert_int_equal(train_to(&s, &other, model, 1, 1, NULL, NULL, 1e9, &error), CM_DATA);
    assert_non_null(strstr(error.found, "other data or options"));
    size_t size = 0;
    char *bytes = read_file(checkpoint, &size);
    for (size_t at = size - 9; at > size / 2; at -= size / 5) {
        bytes[at] ^= 4;
        cm_file_part part = {bytes, size};
        assert_int_equal(cm_file_replace(checkpoint, &part, 1, &error), CM_OK);
        assert_int_equal(train_to(&s, &o, model, 1, 1, NULL, NULL, 1e9, &error), CM_DATA);
        bytes[at] ^= 4;
    }
    for (size_t length = 0; length < size; length += size / 7) {
        cm_file_part part = {bytes, length};
        assert_int_equal(cm_file_replace(checkpoint, &part, 1, &error), CM_OK);
        assert_int_equal(train_to(&s, &o, model, 1, 1, NULL, NULL, 1e9, &error), CM_DATA);
    }
    free(bytes);
    synthetic_remove(&s);
}

static void test_same_bits_for_threads(void **state) {
    (void)state;
    synthetic s = synthetic_make(120, 10, 0);
    cm_options o = synthetic_options();
    snprintf(o.layout, sizeof o.layout, "windows:4");
    o.dim = 32;
    o.epochs = 1;
    char path[2][96];
    cm_error error = {0};
    for (int threads = 1; threads <= 4; threads *= 2) {
        int i = threads > 1;
        snprintf(path[i], sizeof path[i], "%s/m%d.safetensors", s.folder, threads);
        assert_int_equal(train_to(&s, &o, path[i], threads, 0, NULL, NULL, 1e9, &error), CM_OK);
        if (i) assert_same_files(path[0], path[1]);
    }
    synthetic_remove(&s);
}

static void test_refuses_bad_requests(void **state) {
    (void)state;
    synthetic s = synthetic_make(40, 11, 0);
    cm_options o = synthetic_options();
    cm_error error = {0};
    snprintf(o.loss, sizeof o.loss, "mse");
    assert_int_equal(train_to(&s, &o, "/tmp/x", 1, 0, NULL, NULL, 1e9, &error), CM_USAGE);
    assert_string_equal(error.place, "option loss");
    o = synthetic_options();
    snprintf(o.fusion, sizeof o.fusion, "nothing");
    assert_int_equal(train_to(&s, &o, "/tmp/x", 1, 0, NULL, NULL, 1e9, &error), CM_USAGE);
    o = synthetic_options();
    snprintf(o.encoder_b, sizeof o.encoder_b, "morgan");
    assert_int_equal(train_to(&s, &o, "/tmp/x", 1, 0, NULL, NULL, 1e9, &error), CM_USAGE);
    o = synthetic_options();
    assert_int_equal(train_to(&s, &o, "/proc/nowhere/x", 1, 0, NULL, NULL, 1e9, &error), CM_IO);
    assert_string_equal(error.file, "/proc/nowhere/"); /* said before the training, not after it */
    synthetic_remove(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_overfits_64_pairs),
        cmocka_unit_test(test_layouts_and_losses),
        cmocka_unit_test(test_affinity),
        cmocka_unit_test(test_resume_same_bits),
        cmocka_unit_test(test_refuses_foreign_or_damaged_checkpoint),
        cmocka_unit_test(test_same_bits_for_threads),
        cmocka_unit_test(test_refuses_bad_requests),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
