/* Every reader and writer of files with a call that fails: the Nth alone, and the Nth with all after it, for
 * every N and several reasons. A job that succeeds all the same must have the right result; one that fails
 * says why. After each fault the job runs again without, and must succeed: what a fault leaves is in nobody's
 * way. Leaks and wild accesses are the sanitizers' to find (make asan). The program's own calls are those of
 * tests/support/fail_call.h. CROSSMAMBA_LONG=1, which `make check` sets, takes every reason; otherwise EIO
 * alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/lock.h"
#include "fail_alloc.h"
#include "fail_call.h"
#include "io/embedding_store.h"
#include "io/fasta.h"
#include "io/npy.h"
#include "io/sealed.h"
#include "io/table.h"
#include "io/torch_file.h"
#include "io/weights.h"
#include "train/checkpoint.h"
#include <ftw.h>
#include <jansson.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static char folder[64];

/* folder/name; valid until the fourth next call. */
static const char *in_folder(const char *name) {
    static char paths[4][512];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof *paths, "%s/%s", folder, name);
    return path;
}

static const char *in_source(const char *name) {
    static char path[512];
    const char *root = getenv("CROSSMAMBA_SOURCE");
    snprintf(path, sizeof path, "%s/%s", root ? root : ".", name);
    return path;
}

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *place) {
    (void)info;
    (void)kind;
    return place->level > 0 ? remove(path) : 0;
}

static void write_text(const char *name, const char *text) {
    FILE *file = fopen(in_folder(name), "wb");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* ---- jobs: CM_OK only with the right result ---- */

static const float values[] = {1, -2, 3, 4, 5, 6};
static const cm_tensor tensor = {
    .name = "x", .dtype = CM_DTYPE_F32, .n_dims = 2, .dims = {2, 3}, .data = values, .bytes = sizeof values};

static bool is_tensor(const cm_tensor *found) {
    return found && strcmp(found->name, "x") == 0 && found->bytes == sizeof values &&
           memcmp(found->data, values, sizeof values) == 0;
}

static cm_status files(cm_error *error) {
    const cm_file_part parts[] = {{"ab", 2}, {"cde", 3}};
    cm_file_map map;
    CM_TRY(cm_file_replace(in_folder("file"), parts, 2, error));
    CM_TRY(cm_file_map_open(&map, in_folder("file"), error));
    bool right = map.size == 5 && memcmp(map.data, "abcde", 5) == 0;
    cm_file_map_close(&map);
    assert_true(right);
    cm_file_sweep(in_folder("file"));
    return CM_OK;
}

enum { LARGE = CM_FILE_COPY + 4096 };

static void prepare_large(void) {
    write_text("large", "begin");
    assert_int_equal(truncate(in_folder("large"), LARGE), 0);
}

static cm_status large_files(cm_error *error) {
    cm_file_map map;
    CM_TRY(cm_file_map_open(&map, in_folder("large"), error));
    bool right = map.size == LARGE && memcmp(map.data, "begin", 6) == 0;
    cm_file_map_drop(&map, map.data, map.size);
    right = right && map.data[LARGE - 1] == 0;
    cm_file_map_close(&map);
    assert_true(right);
    return CM_OK;
}

static cm_status locks(cm_error *error) {
    cm_lock *lock = NULL;
    CM_TRY(cm_lock_take(&lock, in_folder("lock"), "held", "free", error));
    return cm_lock_release(lock, error);
}

static cm_status archives(cm_error *error) {
    cm_npz_writer *writer = NULL;
    cm_npy *file = NULL;
    CM_TRY(cm_npz_create(&writer, in_folder("x.npz"), error));
    CM_TRY(cm_npz_close(writer, cm_npz_add(writer, &tensor, error), error));
    CM_TRY(cm_npy_open(&file, in_folder("x.npz"), 1000, error));
    bool right = cm_npy_count(file) == 1 && is_tensor(cm_npy_get(file, 0));
    cm_npy_close(file);
    assert_true(right);
    return CM_OK;
}

static cm_status safetensors(cm_error *error) {
    cm_safetensors *file = NULL;
    CM_TRY(cm_safetensors_write(in_folder("x.safetensors"), &tensor, 1, NULL, 0, error));
    CM_TRY(cm_safetensors_open(&file, in_folder("x.safetensors"), error));
    bool right = cm_safetensors_count(file) == 1 && is_tensor(cm_safetensors_get(file, 0));
    cm_safetensors_close(file);
    assert_true(right);
    return CM_OK;
}

static cm_status sealed(cm_error *error) {
    const cm_seal seal = {"test", 1, "key", "mine", "other"};
    cm_safetensors *file = NULL;
    bool foreign;
    CM_TRY(cm_sealed_write(in_folder("sealed"), &seal, &tensor, 1, error));
    CM_TRY(cm_sealed_open(&file, in_folder("sealed"), &seal, &foreign, error));
    bool right = is_tensor(cm_safetensors_get(file, 0));
    cm_safetensors_close(file);
    assert_true(right);
    return CM_OK;
}

static void prepare_texts(void) {
    write_text("a.fasta", ">r1\nACGU\n>r2\nGG\n");
    write_text("a.tsv", "id\tvalue\nr1\t1.5\n");
}

static cm_status fasta(cm_error *error) {
    cm_fasta *file = NULL;
    cm_fasta_record record;
    bool more = true;
    long n = 0;
    CM_TRY(cm_fasta_open(&file, in_folder("a.fasta"), error));
    cm_status status;
    while ((status = cm_fasta_next(file, &record, &more, error)) == CM_OK && more) n++;
    cm_fasta_close(file);
    if (status == CM_OK) assert_int_equal(n, 2);
    return status;
}

static cm_status table(cm_error *error) {
    cm_table *file = NULL;
    bool more = true;
    double value = 0;
    CM_TRY(cm_table_open(&file, in_folder("a.tsv"), error));
    cm_status status = cm_table_next(file, &more, error);
    if (status == CM_OK) status = cm_table_number(file, cm_table_column(file, "value"), &value, error);
    cm_table_close(file);
    if (status == CM_OK) assert_true(value == 1.5);
    return status;
}

static cm_status torch(cm_error *error) {
    static const char *const names[] = {"tests/fixtures/torch_zip.pt", "tests/fixtures/torch_legacy.pt"};
    for (int i = 0; i < 2; i++) {
        cm_torch_file *file = NULL;
        CM_TRY(cm_torch_file_open(&file, in_source(names[i]), error));
        size_t count = cm_torch_file_count(file);
        cm_torch_file_close(file);
        assert_int_equal(count, 21);
    }
    return CM_OK;
}

/* A checkpoint in two shards in the cache of downloads, beside the only snapshot of a repository. */
static void prepare_weights(void) {
    static const char *const folders[] = {"cache", "cache/models--a--b", "cache/models--a--b/snapshots",
                                          "cache/models--a--b/snapshots/1"};
    for (int i = 0; i < 4; i++) assert_int_equal(mkdir(in_folder(folders[i]), 0777), 0);
    write_text("cache/models--a--b/snapshots/1/config.json", "{}");
    write_text("cache/models--a--b/snapshots/1/model.safetensors.index.json",
               "{\"weight_map\":{\"x\":\"s1.safetensors\"}}");
    assert_int_equal(cm_safetensors_write(in_folder("cache/models--a--b/snapshots/1/s1.safetensors"), &tensor,
                                          1, NULL, 0, NULL),
                     CM_OK);
    setenv("HF_HUB_CACHE", in_folder("cache"), 1);
    setenv("CROSSMAMBA_CHECKPOINTS", in_folder("imports"), 1);
}

static cm_status use_weights(cm_weights *weights, const char *name, cm_error *error) {
    const char *hex;
    char *text = NULL;
    size_t length;
    float row[3];
    CM_TRY(cm_weights_text(weights, "config.json", &text, &length, error));
    cm_free(text);
    CM_TRY(cm_weights_sha256(weights, &hex, error));
    const cm_tensor *found = cm_weights_find(weights, name);
    assert_non_null(found);
    CM_TRY(cm_weights_f32(weights, found, 0, 1, row, error));
    assert_true(row[0] == *values);
    return CM_OK;
}

static cm_status weights(cm_error *error) {
    cm_weights *found = NULL;
    CM_TRY(cm_weights_open(&found, "a/b", error));
    cm_status status = use_weights(found, "x", error);
    cm_weights_close(found);
    return status;
}

static cm_status imports(cm_error *error) {
    static cm_weights_imported done;
    cm_weights *found = NULL;
    CM_TRY(cm_weights_import(in_source("tests/fixtures/torch_no_crc.pt"), NULL, true, &done, error));
    CM_TRY(cm_weights_open(&found, done.folder, error));
    size_t count = cm_weights_count(found);
    cm_weights_close(found);
    assert_int_equal(count, 3);
    return CM_OK;
}

static int count_info(void *context, const cm_embeddings_info *info) {
    *(int64_t *)context += info->records;
    return 0;
}

static cm_status use_store(cm_embeddings *store, cm_error *error) {
    const cm_embeddings_record records[] = {{"t", 1, 2, values}, {"u", 1, 1, values}};
    int64_t rows, width, n = 0;
    float out[6];
    CM_TRY(cm_embeddings_encoder(store, "e", 3, "an encoder", error));
    CM_TRY(cm_embeddings_put(store, "e", 3, records, 2, error));
    CM_TRY(cm_embeddings_width(store, "e", &width, error));
    CM_TRY(cm_embeddings_get(store, "e", "t", 1, 3, &rows, NULL, error));
    assert_true(width == 3 && rows == 2);
    CM_TRY(cm_embeddings_get(store, "e", "t", 1, 3, &rows, out, error));
    assert_memory_equal(out, values, sizeof out);
    CM_TRY(cm_embeddings_put(store, "f", 3, records, 1, error));
    CM_TRY(cm_embeddings_gc(store, "f", true, NULL, error));
    CM_TRY(cm_embeddings_list(store, count_info, &n, error));
    assert_int_equal(n, 2);
    return CM_OK;
}

static cm_status store(cm_error *error) {
    cm_embeddings *opened = NULL;
    CM_TRY(cm_embeddings_open_sized(&opened, in_folder("store"), true, 1 << 20, error));
    cm_status status = use_store(opened, error);
    cm_embeddings_close(opened);
    return status;
}

/* ---- checkpoints ---- */

static cm_train_state state_at(int step, float *best) {
    return (cm_train_state){.step = step, .best_loss = INFINITY, .best = best};
}

static cm_status checkpoints(cm_error *error) {
    float best[64] = {0}; /* parameters are padded to whole vectors */
    bool found = false;
    cm_train_checkpoint checkpoint = {in_folder("c"), "key", 100, 10, false};
    cm_params *params = cm_params_create();
    assert_true(params && cm_params_add(params, "w", 1, (int64_t[]){8}, true) >= 0);
    assert_int_equal(cm_params_seal(params, NULL), CM_OK);
    assert_true(cm_params_size(params) <= 64);
    cm_adamw *adamw = cm_adamw_create(params);
    assert_non_null(adamw);
    cm_train_state state = state_at(1, best);
    cm_status status = cm_train_checkpoint_write(&checkpoint, params, adamw, &state, error);
    state.step = 2;
    if (status == CM_OK) status = cm_train_checkpoint_write(&checkpoint, params, adamw, &state, error);
    state.step = 3;
    if (status == CM_OK)
        status = cm_train_checkpoint_read(&checkpoint, params, adamw, &state, &found, NULL, error);
    /* a fault may hide the last one, or say that there is none */
    if (status == CM_OK) assert_true((found && state.step == 2) || (fail_call.failed && state.step != 2));
    if (status == CM_OK) status = cm_train_checkpoint_remove(in_folder("c"), error);
    cm_adamw_destroy(adamw);
    cm_params_destroy(params);
    return status;
}

/* ---- sweeps ---- */

typedef struct job {
    const char *name;
    cm_status (*run)(cm_error *error);
    void (*prepare)(void);
    long least; /* calls that it makes at least */
} job;

static const job jobs[] = {
    {"files", files, NULL, 15},
    {"large files", large_files, prepare_large, 5},
    {"locks", locks, NULL, 6},
    {"archives", archives, NULL, 20},
    {"safetensors", safetensors, NULL, 15},
    {"sealed", sealed, NULL, 15},
    {"fasta", fasta, prepare_texts, 5},
    {"table", table, prepare_texts, 5},
    {"torch", torch, NULL, 15},
    {"weights", weights, prepare_weights, 15},
    {"imports", imports, NULL, 30},
    {"store", store, NULL, 80},
    {"checkpoints", checkpoints, NULL, 30},
};

static void clear(const job *j) {
    assert_int_equal(nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
    if (j->prepare) j->prepare();
}

/* False when the job makes no more than n calls. */
static bool fail_at(const job *j, long n, int code, bool onwards) {
    cm_error error = {.status = CM_OK};
    char line[1024];
    clear(j);
    fail_call_from(n, code, onwards);
    cm_status status = j->run(&error);
    bool failed = fail_call_stop();
    cm_error_line(&error, line, sizeof line);
    if (error.status != status) fail_msg("%s, %s: %d, but %s", j->name, fail_call.name, (int)status, line);
    if (!failed && status != CM_OK) fail_msg("%s without a fault: %s", j->name, line);
    status = j->run(&error);
    if (status != CM_OK)
        fail_msg("%s after call %ld (%s) failed with %d: %s", j->name, n, fail_call.name, code,
                 cm_error_line(&error, line, sizeof line));
    return failed;
}

static void sweep(int code, bool onwards) {
    for (const job *j = jobs; j < jobs + sizeof jobs / sizeof *jobs; j++) {
        long n = 0;
        while (fail_at(j, n, code, onwards)) n++;
        if (n < j->least) fail_msg("%s: %ld calls", j->name, n);
    }
}

/* Without CROSSMAMBA_LONG the first code alone. */
static size_t sampled(size_t n_codes) {
    return getenv("CROSSMAMBA_LONG") ? n_codes : 1;
}

static void test_one_call(void **state) {
    (void)state;
    static const int codes[] = {EIO,    EINTR,  ENOENT, EEXIST, EINVAL,
                                EAGAIN, EMFILE, ENOMEM, EDQUOT, EOPNOTSUPP};
    for (size_t i = 0; i < sampled(sizeof codes / sizeof *codes); i++) sweep(codes[i], false);
}

/* Not EINTR, after which a call is made again for ever. */
static void test_all_calls(void **state) {
    (void)state;
    static const int codes[] = {EIO, ENOENT, EEXIST, EINVAL, EMFILE};
    for (size_t i = 0; i < sampled(sizeof codes / sizeof *codes); i++) sweep(codes[i], true);
}

/* LMDB says EIO for a write that the disk cut short; on a full disk the message says so. */
static void test_full_disk(void **state) {
    (void)state;
    static const struct {
        unsigned long blocks, size;
        const char *says;
    } rows[] = {{0, 4096, "No space left"},
                {255, 4096, "No space left"},
                {256, 4096, "Input/output error"},
                {9, 0, "No space left"},
                {1 << 20, 0, "Input/output error"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const cm_embeddings_record record = {"t", 1, 2, values};
        cm_embeddings *opened = NULL;
        cm_error error;
        clear(&(const job){0});
        assert_int_equal(cm_embeddings_open_sized(&opened, in_folder("store"), true, 1 << 20, &error), CM_OK);
        fail_call_disk.f_bavail = rows[i].blocks;
        fail_call_disk.f_frsize = rows[i].size;
        fail_call_disk_on = true;
        for (long n = 0;; n++) {
            fail_call_from(n, EIO, false);
            cm_status status = cm_embeddings_put(opened, "e", 3, &record, 1, &error);
            if (!fail_call_stop()) break;
            if (status == CM_MEMORY) continue; /* of libcrypto */
            if (status != CM_IO || !strstr(error.found, rows[i].says))
                fail_msg("row %zu: %s", i, error.found);
        }
        fail_call_disk_on = false;
        cm_embeddings_close(opened);
    }
}

/* Another process has made the map larger since LMDB looked: a store is opened all the same. */
static void test_map_that_grows(void **state) {
    (void)state;
    cm_error error = {.status = CM_OK};
    bool failed = true;
    int grown = 0;
    clear(&(const job){0});
    assert_int_equal(store(&error), CM_OK);
    for (long n = 0; failed; n++) {
        cm_embeddings *opened = NULL;
        fail_call_from(n, EEXIST, false); /* LMDB's functions say MDB_MAP_RESIZED */
        cm_status status = cm_embeddings_open_sized(&opened, in_folder("store"), true, 1 << 20, &error);
        failed = fail_call_stop();
        cm_embeddings_close(opened);
        if (!failed || strcmp(fail_call.name, "mdb_txn_begin") != 0) continue;
        if (status != CM_OK) fail_msg("call %ld: %s", n, error.found);
        grown++;
    }
    assert_true(grown > 0);
}

/* ---- memory ---- */

static void *json_memory(size_t bytes) {
    return fail_alloc_hook(bytes, &fail_alloc) ? malloc(bytes) : NULL;
}

/* All allocations of library and jansson from the Nth on. */
static void test_memory(void **state) {
    (void)state;
    for (const job *j = jobs; j < jobs + sizeof jobs / sizeof *jobs; j++) {
        bool failed = j->run != checkpoints; /* whose own test has that */
        for (long n = 0; failed; n++) {
            cm_error error = {.status = CM_OK};
            char line[1024];
            clear(j);
            fail_alloc_from(n);
            cm_status status = j->run(&error);
            failed = fail_alloc_stop();
            fail_alloc.left = LONG_MAX;
            if (status != (failed ? CM_MEMORY : CM_OK) && !(failed && status == CM_OK))
                fail_msg("%s, allocation %ld: status %d, %s", j->name, n, (int)status,
                         cm_error_line(&error, line, sizeof line));
            assert_int_equal(error.status, status);
        }
    }
}

/* jansson's allocator is set before the library puts its own before it (io/json.c). */
static int make_folder(void **state) {
    (void)state;
    fail_alloc.left = LONG_MAX;
    json_set_alloc_funcs(json_memory, free);
    strcpy(folder,
           access("/dev/shm", W_OK) == 0 ? "/dev/shm/test_failing_XXXXXX" : "/tmp/test_failing_XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
    (void)state;
    clear(&(const job){0});
    return rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_one_call), cmocka_unit_test(test_all_calls),
                                       cmocka_unit_test(test_full_disk),
                                       cmocka_unit_test(test_map_that_grows), cmocka_unit_test(test_memory)};
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
