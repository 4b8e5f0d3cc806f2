/* Training, evaluation, prediction and embedding with a failing allocation: the Nth alone, and the Nth with
 * all after it, for every N. Memory of the library (base/alloc.h) and of jansson, whose allocator belongs to
 * the program, is counted together. A run that succeeds all the same must have the result of an undisturbed
 * one; a run that fails says so with CM_MEMORY. Leaks and wild accesses are the sanitizers' to find (make
 * asan).
 *
 * CROSSMAMBA_LONG=1 takes every N; otherwise the sweep is thinned to a sample. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/sha256.h"
#include "synthetic.h"
#include <crossmamba/crossmamba.h>
#include <jansson.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- the allocator that fails ---- */

static struct {
    atomic_long seen;
    long number; /* fails the allocation with this number, from 1; 0: none */
    bool onwards;
    atomic_bool failed;
} fault;

static bool allowed(size_t bytes, void *context) {
    long number = ++fault.seen;
    (void)bytes;
    (void)context;
    if (fault.number == 0 || number < fault.number || (number > fault.number && !fault.onwards)) return true;
    fault.failed = true;
    return false;
}

static void *json_malloc(size_t bytes) {
    return allowed(bytes, NULL) ? malloc(bytes) : NULL;
}

static void arm(long number, bool onwards) {
    fault.seen = 0;
    fault.failed = false;
    fault.number = number;
    fault.onwards = onwards;
}

/* ---- the runs ---- */

/* What a run gave, as a hash of its file or of its lines. */
typedef struct outcome {
    cm_status status;
    cm_error error;
    char hash[65];
} outcome;

typedef struct fixture {
    synthetic set;
    char model[128], encoder[4096];
    cm_sha256 *lines;

} fixture;

static fixture f;

/* The test's own memory is not the library's. */
static void hash_file(const char *path, char hex[65]) {
    FILE *file = fopen(path, "rb");
    hex[0] = '\0';
    if (!file) return;
    cm_sha256 *hash = cm_sha256_create();
    char block[4096];
    for (size_t n; (n = fread(block, 1, sizeof block, file)) > 0;) cm_sha256_add(hash, block, n);
    cm_sha256_finish(hash, hex);
    fclose(file);
}

static cm_options small_options(void) {
    cm_options o = synthetic_options();
    o.dim = 8;
    o.epochs = 2;
    strcpy(o.encoder_a, "onehot");
    strcpy(o.encoder_b, "onehot");
    return o;
}

static cm_status open_set(cm_dataset **dataset, cm_error *error) {
    cm_dataset_options options = {.task = cm_task_find("rna-protein"), .labels = 1};
    cm_status status = cm_dataset_create(dataset, &options, error);
    if (status == CM_OK) status = cm_dataset_add_files(*dataset, f.set.a, f.set.b, f.set.pairs, NULL, error);
    return status;
}

static cm_status run_train(const char *path, cm_error *error) {
    cm_dataset *dataset = NULL;
    cm_train_request request = {.options = small_options(), .model_path = path, .notes = "a note"};
    request.options.ensemble = 2;
    cm_status status = open_set(&dataset, error);
    if (status == CM_OK) status = cm_train(&request, dataset, NULL, error);
    cm_dataset_destroy(dataset);
    return status;
}

static int add_line(const void *numbers, size_t size, const char *text) {
    cm_sha256_add(f.lines, numbers, size);
    cm_sha256_add(f.lines, text, strlen(text));
    return 0;
}

static int eval_line(void *context, const cm_eval_line *line) {
    const double numbers[] = {line->pooled, line->mean, line->low, line->high};
    (void)context;
    return add_line(numbers, sizeof numbers, line->metric);
}

static cm_status run_eval(const char *path, cm_error *error) {
    static const char *const models[] = {"mlp", "composition", "kernel", "id-only"};
    cm_dataset *dataset = NULL;
    cm_eval_request request = {.options = small_options(), .models = models, .n_models = 4, .folds = 2};
    char splits[160];
    snprintf(splits, sizeof splits, "%s.splits", path);
    request.options.epochs = 1;
    request.save_splits_path = splits;
    request.record_path = path;
    cm_status status = open_set(&dataset, error);
    if (status == CM_OK) status = cm_eval(&request, dataset, eval_line, NULL, NULL, error);
    cm_dataset_destroy(dataset);
    unlink(splits);
    unlink(path); /* it holds times */
    return status;
}

static int prediction_line(void *context, const cm_prediction *p) {
    const double numbers[] = {p->score, p->value};
    (void)context;
    return add_line(numbers, sizeof numbers, p->warnings);
}

static cm_status run_predict(const char *path, cm_error *error) {
    cm_dataset_options options = {.task = cm_task_find("rna-protein")};
    cm_dataset *dataset = NULL;
    cm_model *model = NULL;
    (void)path;
    cm_status status = cm_model_open(&model, f.model, error);
    if (status == CM_OK) status = cm_dataset_create(&dataset, &options, error);
    if (status == CM_OK) status = cm_dataset_add_files(dataset, f.set.a, f.set.b, NULL, NULL, error);
    if (status == CM_OK) status = cm_predict(model, dataset, 0, prediction_line, NULL, NULL, error);
    cm_dataset_destroy(dataset);
    cm_model_close(model);
    return status;
}

static cm_status run_embed(const char *path, cm_error *error) {
    char store[160];
    snprintf(store, sizeof store, "%s.store", path);
    cm_runtime runtime = {.store = store};
    cm_embed_options options = {.encoder = f.encoder, .precision = CM_F32};
    cm_embedder *embedder = NULL;
    cm_embedding_writer *writer = NULL;
    cm_embedder_info info;
    cm_status status = cm_embedder_open(&embedder, &options, &runtime, error);
    if (status == CM_OK) {
        cm_embedder_describe(embedder, &info);
        status = cm_embedding_writer_open(&writer, CM_EMBEDDING_SAFETENSORS, CM_EMBEDDING_TOKENS, path, &info,
                                          error);
    }
    if (status == CM_OK) {
        status =
            cm_embed_file(embedder, f.set.b, CM_BAD_REFUSE, cm_embedding_writer_add, writer, &runtime, error);
        status = cm_embedding_writer_close(writer, status, error);
    }
    cm_embedder_close(embedder);
    return status;
}

typedef cm_status (*run)(const char *path, cm_error *error);

static outcome outcome_of(run call, long number, bool onwards) {
    outcome o = {0};
    char path[128], command[480];
    snprintf(path, sizeof path, "%s/result", f.set.folder);
    f.lines = cm_sha256_create();
    arm(number, onwards);
    o.status = call(path, &o.error);
    long seen = fault.seen;
    bool failed = fault.failed;
    arm(0, false);
    hash_file(path, o.hash);
    if (o.hash[0] == '\0')
        cm_sha256_finish(f.lines, o.hash);
    else
        cm_sha256_finish(f.lines, (char[65]){0});
    snprintf(command, sizeof command, "rm -rf '%s' '%s.store' '%s.checkpoint'*", path, path, path);
    if (system(command) != 0) abort();
    fault.seen = seen;
    fault.failed = failed;
    return o;
}

static void check(run call, const outcome *wanted, long number, bool onwards) {
    outcome o = outcome_of(call, number, onwards);
    if (!fault.failed) {
        assert_int_equal(o.status, CM_OK);
        return;
    }
    if (o.status != CM_OK && o.status != CM_MEMORY)
        print_error("allocation %ld%s: %s: %s\n", number, onwards ? " and on" : "", cm_status_text(o.status),
                    o.error.found);
    if (o.status == CM_OK && strcmp(o.hash, wanted->hash) != 0)
        print_error("allocation %ld%s: success with another result\n", number, onwards ? " and on" : "");
    assert_true(o.status == CM_MEMORY || o.status == CM_OK);
    if (o.status == CM_OK) assert_string_equal(o.hash, wanted->hash);
}

/* most: runs of the sample. */
static void sweep(const char *name, run call, long most) {
    outcome wanted = outcome_of(call, 0, false);
    if (wanted.status != CM_OK) print_error("%s: %s\n", name, wanted.error.found);
    assert_int_equal(wanted.status, CM_OK);
    long count = fault.seen, step = getenv("CROSSMAMBA_LONG") ? 1 : 2 * count / most + 1;
    for (long number = 1; number <= count; number += step)
        for (int onwards = 0; onwards < 2; onwards++) check(call, &wanted, number, onwards);
    print_message("%s: %ld allocations, every %ld\n", name, count, step);
}

static void test_train(void **state) {
    (void)state;
    sweep("train", run_train, 120);
}

static void test_eval(void **state) {
    (void)state;
    sweep("eval", run_eval, 80);
}

static void test_predict(void **state) {
    (void)state;
    sweep("predict", run_predict, 200);
}

static void test_embed(void **state) {
    (void)state;
    sweep("embed", run_embed, 120);
}

static int setup(void **state) {
    (void)state;
    cm_error error;
    json_set_alloc_funcs(json_malloc, free);
    cm_alloc_set_hook(allowed, NULL);
    f.set = synthetic_make(24, 5, 0);
    snprintf(f.model, sizeof f.model, "%s/model", f.set.folder);
    snprintf(f.encoder, sizeof f.encoder, "esm2:%s/tests/fixtures/encoders/esm2-formula",
             getenv("CROSSMAMBA_SOURCE"));
    return run_train(f.model, &error) == CM_OK ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    synthetic_remove(&f.set);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_train), cmocka_unit_test(test_eval),
                                       cmocka_unit_test(test_predict), cmocka_unit_test(test_embed)};
    return cmocka_run_group_tests(tests, setup, teardown);
}
