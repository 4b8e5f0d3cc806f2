/* Sealed files: what is taken, which are another's and which are damaged, and failed allocations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fail_alloc.h"
#include "io/sealed.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const cm_seal own = {"test file", 3, "k1", "a file of this test", "a file of another test"};
static const double numbers[] = {1, 2, 3};
static const cm_tensor tensors[] = {
    {.name = "b", .dtype = CM_DTYPE_F64, .n_dims = 1, .dims = {3}, .data = numbers, .bytes = sizeof numbers},
    {.name = "a", .dtype = CM_DTYPE_F64, .n_dims = 1, .dims = {1}, .data = numbers, .bytes = sizeof *numbers},
    {.name = "none", .dtype = CM_DTYPE_F64, .n_dims = 1, .dims = {0}},
};
enum { TENSORS = sizeof tensors / sizeof *tensors };

static char path[64];

static int make_path(void **state) {
    (void)state;
    snprintf(path, sizeof path, "/tmp/test_sealed_%ld", (long)getpid());
    return 0;
}

static int remove_path(void **state) {
    (void)state;
    return unlink(path);
}

static cm_status open_own(bool *foreign, cm_error *error) {
    cm_safetensors *file = NULL;
    cm_status status = cm_sealed_open(&file, path, &own, foreign, error);
    cm_safetensors_close(file);
    return status;
}

/* What another program wrote: metadata as they are given, NULL: left out. sha256 "": the right one. */
typedef struct row {
    const char *format, *version, *key, *sha256, *says;
    bool foreign;
} row;

static const row rows[] = {
    {"test file", "3", "k1", "", NULL, false},
    {"test file", "4", "k1", "", "format_version: found 4: a file of a newer crossmamba, expected 3", true},
    {"test file", "2", "k1", "", "format_version: found 2: a file of an older crossmamba, expected 3", true},
    {"test file", "3", "k2", "", "key: found a file of another test, expected a file of this test", true},
    {"test file", "3", NULL, "", "key: found a file of another test", true},
    {"test file", "4", "k1", "0", "sha256: found other contents: the file is damaged", false},
    {"test file", "4", "k1", NULL, "sha256: found none: the file is damaged, expected a hash", false},
    {"test file", "3", "k2", "0", "sha256: found other contents", false},
    {"test file", "0", "k1", "", "format_version: found 0, expected 3", false},
    {"test file", "-3", "k1", "", "format_version: found -3", false},
    {"test file", "3x", "k1", "", "format_version: found 3x", false},
    {"test file", NULL, "k1", "", "format_version: found none", false},
    {"text file", "3", "k1", "", "metadata: found another kind of file, expected a test file", false},
    {NULL, "3", "k1", "", "metadata: found another kind of file", false},
};

static void write_row(const row *r, const char *sha256) {
    const cm_metadata_entry all[] = {
        {"format", r->format}, {"format_version", r->version}, {"key", r->key}, {"sha256", sha256}};
    cm_metadata_entry there[4];
    size_t n = 0;
    for (size_t i = 0; i < 4; i++)
        if (all[i].value) there[n++] = all[i];
    assert_int_equal(cm_safetensors_write(path, tensors, TENSORS, there, n, NULL), CM_OK);
}

/* The hash that belongs into the row's file. */
static void hash_row(const row *r, char hex[65]) {
    cm_safetensors *file = NULL;
    write_row(r, NULL);
    assert_int_equal(cm_safetensors_open(&file, path, NULL), CM_OK);
    assert_true(cm_sealed_hash(file, hex));
    cm_safetensors_close(file);
}

static void test_rows(void **state) {
    (void)state;
    for (const row *r = rows; r < rows + sizeof rows / sizeof *rows; r++) {
        char hex[65], line[512];
        cm_error error = {.status = CM_OK};
        bool foreign = true;
        hash_row(r, hex);
        write_row(r, r->sha256 && !r->sha256[0] ? hex : r->sha256);
        cm_status status = open_own(&foreign, &error);
        cm_error_line(&error, line, sizeof line);
        if (status != (r->says ? CM_DATA : CM_OK) || foreign != r->foreign ||
            (r->says && !strstr(line, r->says)))
            fail_msg("row %d: status %d, foreign %d, %s", (int)(r - rows), (int)status, foreign, line);
    }
}

/* Order of the tensors does not matter to the hash; names and values do. */
static void test_hash(void **state) {
    (void)state;
    char first[65], second[65];
    cm_tensor others[TENSORS] = {tensors[1], tensors[2], tensors[0]};
    cm_safetensors *file = NULL;
    hash_row(&rows[0], first);
    assert_int_equal(cm_sealed_write(path, &own, others, TENSORS, NULL), CM_OK);
    assert_int_equal(cm_safetensors_open(&file, path, NULL), CM_OK);
    assert_string_equal(cm_safetensors_metadata(file, "sha256"), first);
    cm_safetensors_close(file);
    others[0].name = "c";
    assert_int_equal(cm_sealed_write(path, &own, others, TENSORS, NULL), CM_OK);
    assert_int_equal(cm_safetensors_open(&file, path, NULL), CM_OK);
    assert_true(cm_sealed_hash(file, second));
    cm_safetensors_close(file);
    assert_string_not_equal(first, second);
}

static void test_memory(void **state) {
    (void)state;
    cm_safetensors *file = NULL;
    char hex[65];
    bool foreign;
    for (long n = 0;; n++) {
        fail_alloc_from(n);
        cm_status status = cm_sealed_write(path, &own, tensors, TENSORS, NULL);
        bool failed = fail_alloc_stop();
        assert_int_equal(status, failed ? CM_MEMORY : CM_OK);
        if (!failed) break;
    }
    for (long n = 0;; n++) {
        fail_alloc_from(n);
        cm_status status = open_own(&foreign, NULL);
        bool failed = fail_alloc_stop();
        assert_int_equal(status, failed ? CM_MEMORY : CM_OK);
        assert_false(foreign);
        if (!failed) break;
    }
    assert_int_equal(cm_safetensors_open(&file, path, NULL), CM_OK);
    for (long n = 0;; n++) {
        fail_alloc_from(n);
        bool done = cm_sealed_hash(file, hex), failed = fail_alloc_stop();
        assert_int_equal(done, !failed);
        if (!failed) break;
    }
    cm_safetensors_close(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_hash),
                                       cmocka_unit_test(test_memory)};
    return cmocka_run_group_tests(tests, make_path, remove_path);
}
