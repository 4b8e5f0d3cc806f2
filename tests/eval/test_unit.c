/* Finished units on disk: one that is whole is taken, one that is damaged or another's is computed again to
 * the same result. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "io/sealed.h"
#include "synthetic.h"
#include <dirent.h>
#include <math.h>
#include <unistd.h>

enum { MOST = 8192 };

typedef struct bytes {
    unsigned char data[MOST];
    size_t size;
} bytes;

typedef struct units {
    synthetic set;
    cm_dataset *dataset;
    char folder[96], path[2][400]; /* of the units, and of the two */
    bytes whole[2];
    double pooled; /* of an undisturbed run */
} units;

static bytes read_bytes(const char *path) {
    bytes b;
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    b.size = fread(b.data, 1, MOST, file);
    assert_true(b.size < MOST);
    fclose(file);
    return b;
}

static void write_bytes(const char *path, const void *data, size_t size) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static int keep_first(void *context, const cm_eval_line *line) {
    double *pooled = context;
    if (*pooled != *pooled) *pooled = line->pooled;
    return 0;
}

static double evaluate(const units *u) {
    static const char *const models[] = {"mlp"};
    cm_eval_request r = {.options = synthetic_options(), .models = models, .n_models = 1, .folds = 2};
    cm_error error = {0};
    double pooled = NAN;
    r.options.epochs = 1;
    r.checkpoint_folder = u->folder;
    assert_int_equal(cm_eval(&r, u->dataset, keep_first, &pooled, NULL, &error), CM_OK);
    return pooled;
}

static int setup(void **state) {
    static units u;
    int n = 0;
    u.set = synthetic_make(60, 41, 0);
    u.dataset = synthetic_open(&u.set, 0, NULL);
    snprintf(u.folder, sizeof u.folder, "%s/units", u.set.folder);
    u.pooled = evaluate(&u);
    DIR *folder = opendir(u.folder);
    for (struct dirent *entry; folder && (entry = readdir(folder));)
        if (entry->d_name[0] != '.' && n < 2)
            snprintf(u.path[n++], sizeof *u.path, "%s/%s", u.folder, entry->d_name);
    closedir(folder);
    for (int i = 0; i < 2; i++) u.whole[i] = read_bytes(u.path[i]);
    *state = &u;
    return n == 2 ? 0 : -1;
}

static int teardown(void **state) {
    units *u = *state;
    cm_dataset_destroy(u->dataset);
    synthetic_remove(&u->set);
    return 0;
}

/* The result and the file of an undisturbed run, whatever stands in the file before. */
static void assert_mended(const units *u, const char *what) {
    if (evaluate(u) != u->pooled) fail_msg("%s: another result", what);
    bytes now = read_bytes(u->path[0]);
    if (now.size != u->whole[0].size || memcmp(now.data, u->whole[0].data, now.size) != 0)
        fail_msg("%s: the file is another", what);
    assert_int_equal(synthetic_files_in(u->folder), 2);
}

static void test_flipped_bits(void **state) {
    const units *u = *state;
    const bytes *whole = &u->whole[0];
    for (size_t at = 3; at < whole->size; at += whole->size / 24) {
        bytes bad = *whole;
        bad.data[at] ^= (unsigned char)(1 << at % 8);
        write_bytes(u->path[0], bad.data, bad.size);
        assert_mended(u, cm_format("byte %zu", at).text);
    }
}

static void test_cut_or_foreign(void **state) {
    const units *u = *state;
    const size_t lengths[] = {0, 7, 8, 100, u->whole[0].size / 2, u->whole[0].size - 1};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        write_bytes(u->path[0], u->whole[0].data, lengths[i]);
        assert_mended(u, cm_format("length %zu", lengths[i]).text);
    }
    write_bytes(u->path[0], u->whole[1].data, u->whole[1].size);
    assert_mended(u, "the other unit's file");
}

/* The file of unit 0 with all scores and values 0.5; seal NULL: without one. */
static void write_other_scores(const units *u, const cm_seal *seal) {
    cm_safetensors *file = NULL;
    cm_error error;
    cm_tensor tensors[8];
    static double half[256];
    size_t count;
    assert_int_equal(cm_safetensors_read(&file, u->whole[0].data, u->whole[0].size, "unit", &error), CM_OK);
    count = cm_safetensors_count(file);
    assert_true(count <= 8);
    for (int i = 0; i < 256; i++) half[i] = 0.5;
    for (size_t i = 0; i < count; i++) {
        tensors[i] = *cm_safetensors_get(file, i);
        if (strcmp(tensors[i].name, "score") == 0 || strcmp(tensors[i].name, "value") == 0)
            tensors[i].data = half;
    }
    cm_status status = seal ? cm_sealed_write(u->path[0], seal, tensors, count, &error)
                            : cm_safetensors_write(u->path[0], tensors, count, NULL, 0, &error);
    assert_int_equal(status, CM_OK);
    cm_safetensors_close(file);
}

/* Files with this evaluation's key are taken; others, and files without a seal, are not. */
static void test_which_are_taken(void **state) {
    const units *u = *state;
    cm_safetensors *file = NULL;
    cm_error error;
    char key[65];
    assert_int_equal(cm_safetensors_read(&file, u->whole[0].data, u->whole[0].size, "unit", &error), CM_OK);
    snprintf(key, sizeof key, "%s", cm_safetensors_metadata(file, "key"));
    cm_safetensors_close(file);
    const cm_seal seals[] = {{"crossmamba unit", 2, key, "", ""},
                             {"crossmamba unit", 1, key, "", ""},
                             {"crossmamba unit", 2, "0", "", ""},
                             {"crossmamba checkpoint", 2, key, "", ""}};
    write_other_scores(u, NULL);
    assert_mended(u, "no seal");
    write_other_scores(u, &seals[0]);
    assert_true(evaluate(u) != u->pooled);
    for (int i = 1; i < 4; i++) {
        write_other_scores(u, &seals[i]);
        assert_mended(u, seals[i].format);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_flipped_bits),
        cmocka_unit_test(test_cut_or_foreign),
        cmocka_unit_test(test_which_are_taken),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
