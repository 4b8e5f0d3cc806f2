/* A model made of models, stopped and gone on with: the bits of an undisturbed run, no finished part made
 * twice, nothing left behind; what does not belong to it is refused. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/file.h"
#include "synthetic.h"
#include <crossmamba/train.h>
#include <dirent.h>
#include <unistd.h>

enum { PAIRS = 80 };

typedef struct trial {
    synthetic s;
    char path[128];
    const char *predictor;
    long polls, most; /* asked so far; the run is told to stop at the poll behind `most` */
    int trained;      /* networks that came to their end */
    long seed;
} trial;

static int stop(void *context) {
    trial *t = context;
    return t->polls++ >= t->most;
}

static void count(void *context, cm_log_level level, const char *text) {
    (void)level;
    ((trial *)context)->trained += strstr(text, "best epoch") != NULL;
}

static cm_status train(trial *t, bool resume, long most, cm_error *error) {
    cm_dataset *d = synthetic_open(&t->s, 1, NULL);
    cm_runtime runtime = {.threads = 1, .stop = stop, .log = count, .context = t};
    cm_train_request request = {
        .options = synthetic_options(), .predictor = t->predictor, .model_path = t->path, .resume = resume};
    request.options.epochs = 3;
    request.options.seed = t->seed;
    t->polls = t->trained = 0;
    t->most = most;
    *error = (cm_error){0};
    cm_status status = cm_train(&request, d, &runtime, error);
    cm_dataset_destroy(d);
    return status;
}

static void trial_open(trial *t, const char *predictor) {
    *t = (trial){.s = synthetic_make(PAIRS, 91, 1), .predictor = predictor, .seed = 1};
    snprintf(t->path, sizeof t->path, "%s/m.safetensors", t->s.folder);
}

/* Files in the folder whose name begins with that of the model. */
static int left(const trial *t) {
    int n = 0;
    DIR *folder = opendir(t->s.folder);
    for (const struct dirent *e; (e = readdir(folder));) n += strncmp(e->d_name, "m.safetensors", 13) == 0;
    closedir(folder);
    return n;
}

static void assert_same_file(const cm_file_map *whole, const char *path) {
    cm_file_map own;
    assert_int_equal(cm_file_map_open(&own, path, NULL), CM_OK);
    assert_int_equal(own.size, whole->size);
    assert_memory_equal(own.data, whole->data, own.size);
    cm_file_map_close(&own);
}

/* Stopped at polls all over the run, and once again and again. */
static void goes_on_to_the_same_bits(void **state) {
    (void)state;
    static const char *const predictors[] = {"mean:mlp/boosting/bilinear", "stack:kernel/mlp"};
    for (int k = 0; k < 2; k++) {
        trial t;
        cm_error error;
        char first[160];
        cm_file_map whole;
        trial_open(&t, predictors[k]);
        assert_int_equal(train(&t, false, 1L << 40, &error), CM_OK);
        long polls = t.polls;
        int trained = t.trained;
        assert_int_equal(trained, k ? 6 : 12);
        assert_int_equal(left(&t), 1);
        snprintf(first, sizeof first, "%s/first", t.s.folder);
        assert_int_equal(rename(t.path, first), 0);
        assert_int_equal(cm_file_map_open(&whole, first, NULL), CM_OK);
        for (int tenth = 1; tenth < 10; tenth++) {
            assert_int_equal(train(&t, false, polls * tenth / 10, &error), CM_INTERRUPTED);
            int before = t.trained;
            assert_int_equal(access(t.path, F_OK), -1);
            assert_int_equal(train(&t, true, 1L << 40, &error), CM_OK);
            /* a network that had been fitted to all pairs says so again */
            assert_in_range(before + t.trained, trained, trained + 2);
            assert_same_file(&whole, t.path);
            assert_int_equal(left(&t), 1);
            unlink(t.path);
        }
        int runs = 0;
        for (cm_status status = CM_INTERRUPTED; status != CM_OK; runs++) {
            status = train(&t, runs > 0, polls / 4, &error);
            assert_true(runs < 40 && (status == CM_OK || status == CM_INTERRUPTED));
        }
        assert_true(runs >= 3);
        assert_same_file(&whole, t.path);
        cm_file_map_close(&whole);
        unlink(first);
        synthetic_remove(&t.s);
    }
}

static void refuse(trial *t, const char *found) {
    cm_error error;
    assert_int_equal(train(t, true, 1L << 40, &error), CM_DATA);
    if (!strstr(error.found, found) && !strstr(error.expected, found))
        fail_msg("'%s: %s, expected %s' does not say '%s'", error.place, error.found, error.expected, found);
    assert_int_equal(access(t->path, F_OK), -1);
}

/* Parts of other options or of another predictor, a network's checkpoint, damage. */
static void refuses_what_is_not_its_own(void **state) {
    (void)state;
    trial t;
    cm_error error;
    char checkpoint[160];
    trial_open(&t, "mean:mlp/kernel");
    snprintf(checkpoint, sizeof checkpoint, "%s.checkpoint", t.path);
    assert_int_equal(train(&t, false, 1L << 40, &error), CM_OK);
    unlink(t.path);
    assert_int_equal(train(&t, false, t.polls / 2, &error), CM_INTERRUPTED);
    assert_int_equal(access(checkpoint, F_OK), 0);
    t.seed = 2;
    refuse(&t, "other data or options");
    t.seed = 1;
    t.predictor = "mean:mlp/boosting";
    refuse(&t, "other data or options");
    t.predictor = "network";
    refuse(&t, "another kind of file");
    t.predictor = "mean:mlp/kernel";
    FILE *file = fopen(checkpoint, "r+");
    assert_int_equal(fseek(file, -3, SEEK_END), 0);
    fputc('x', file);
    fclose(file);
    refuse(&t, "");
    assert_int_equal(train(&t, false, 1L << 40, &error), CM_OK);
    assert_int_equal(left(&t), 1);
    synthetic_remove(&t.s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goes_on_to_the_same_bits),
        cmocka_unit_test(refuses_what_is_not_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
