/* safetensors: good files round-trip and the bytes written are fixed; truncated and changed ones are
 * survived. The table of bad files is tests/bad_input/test_bad_safetensors.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/file.h"
#include "fail_alloc.h"
#include "io/safetensors.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char line_text[1024];

/* A file image: the header with its length before it, then n_bytes bytes 0, 1, 2 ... */
static cm_buf image_of(const char *header, size_t len, size_t n_bytes) {
    cm_buf buf = CM_BUF_EMPTY;
    unsigned char length[8];
    for (int i = 0; i < 8; i++) length[i] = (unsigned char)((uint64_t)len >> 8 * i);
    cm_buf_append(&buf, length, 8);
    cm_buf_append(&buf, header, len);
    for (size_t i = 0; i < n_bytes; i++) cm_buf_append(&buf, &(char){(char)i}, 1);
    assert_false(buf.failed);
    return buf;
}

/* Opens the image from memory of exactly its size, so that a sanitiser sees a read beyond it. The memory
 * must outlive the file: *memory is to be freed. */
static cm_safetensors *open_image(const cm_buf *image, void **memory) {
    cm_safetensors *file = NULL;
    cm_error error;
    *memory = malloc(image->len);
    memcpy(*memory, image->data, image->len);
    cm_status status = cm_safetensors_read(&file, *memory, image->len, "f", &error);
    if (status != CM_OK) fail_msg("%s", cm_error_line(&error, line_text, sizeof line_text));
    return file;
}

/* The error line of bytes that must be refused. */
static const char *refusal(const void *data, size_t size) {
    cm_safetensors *file = NULL;
    cm_error error = {0};
    void *memory = malloc(size ? size : 1);
    if (size > 0) memcpy(memory, data, size);
    cm_status status = cm_safetensors_read(&file, memory, size, "f", &error);
    free(memory);
    assert_null(file);
    assert_int_equal(status, CM_DATA);
    assert_int_equal(error.status, CM_DATA);
    return cm_error_line(&error, line_text, sizeof line_text);
}

/* A row "name":{...} of bytes. */
#define U8(name, shape, offsets) \
    "\"" name "\":{\"dtype\":\"U8\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

static void good_files(void **state) {
    (void)state;
    static const char header[] =
        "{\"__metadata__\":{\"format\":\"pt\",\"\":\"empty\"}," U8("b", "[2,0]", "[1,1]") "," U8(
            "c", "[2,3]",
            "[1,7]") "," U8("a", "[]",
                            "[0,1]") "," U8("", "[0]",
                                            "[1,1]") ","
                                                     "\"x\":{\"unknown\":[{}],\"data_offsets\":[7,15],"
                                                     "\"dtype\":\"F32\",\"shape\":[1,2,1,1,1,1,1,1]}}    \n ";
    cm_buf image = image_of(header, strlen(header), 15);
    void *memory;
    cm_safetensors *file = open_image(&image, &memory);
    static const char *const order[] = {"a", "", "b", "c", "x"};
    assert_int_equal(cm_safetensors_count(file), 5);
    for (size_t i = 0; i < 5; i++) {
        assert_string_equal(cm_safetensors_get(file, i)->name, order[i]);
        assert_ptr_equal(cm_safetensors_find(file, order[i]), cm_safetensors_get(file, i));
    }
    const cm_tensor *scalar = cm_safetensors_find(file, "a"), *empty = cm_safetensors_find(file, "b");
    const cm_tensor *c = cm_safetensors_find(file, "c"), *x = cm_safetensors_find(file, "x");
    assert_true(scalar->n_dims == 0 && scalar->bytes == 1 && *(const unsigned char *)scalar->data == 0);
    assert_true(empty->n_dims == 2 && empty->dims[0] == 2 && empty->dims[1] == 0 && empty->bytes == 0);
    assert_null(empty->data);
    assert_true(c->dtype == CM_DTYPE_U8 && c->dims[1] == 3 && *(const unsigned char *)c->data == 1);
    assert_true(x->dtype == CM_DTYPE_F32 && x->n_dims == 8 && x->dims[1] == 2 && x->bytes == 8);
    assert_null(cm_safetensors_find(file, "d"));
    assert_string_equal(cm_safetensors_metadata(file, "format"), "pt");
    assert_string_equal(cm_safetensors_metadata(file, ""), "empty");
    assert_null(cm_safetensors_metadata(file, "none"));
    cm_safetensors_close(file);
    cm_safetensors_close(NULL);
    free(memory);
    cm_buf_clear(&image);
}

static void no_tensors_is_a_file(void **state) {
    (void)state;
    cm_buf image = image_of("{}", 2, 0);
    void *memory;
    cm_safetensors *file = open_image(&image, &memory);
    assert_int_equal(cm_safetensors_count(file), 0);
    assert_null(cm_safetensors_find(file, "a"));
    assert_null(cm_safetensors_metadata(file, "format"));
    cm_safetensors_close(file);
    free(memory);
    cm_buf_clear(&image);
}

static void dtypes_have_names_and_sizes(void **state) {
    (void)state;
    assert_string_equal(cm_dtype_name(CM_DTYPE_BF16), "BF16");
    assert_string_equal(cm_dtype_name(CM_DTYPE_BOOL), "BOOL");
    assert_int_equal(cm_dtype_bytes(CM_DTYPE_F8_E4M3), 1);
    assert_int_equal(cm_dtype_bytes(CM_DTYPE_F16), 2);
    assert_int_equal(cm_dtype_bytes(CM_DTYPE_U64), 8);
}

/* Long names, to make the header large; linear in practice: a quadratic reader would need minutes. */
static void many_entries(void **state) {
    (void)state;
    enum { N = 50000 };
    cm_buf header = CM_BUF_EMPTY;
    for (int i = 0; i < N; i++) {
        int at = (int)((int64_t)i * 7919 % N); /* not in the order of the offsets */
        cm_buf_printf(&header, "%c\"t%d\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[%d,%d]}",
                      i ? ',' : '{', at, at, at + 1);
    }
    cm_buf_text(&header, "}");
    cm_buf image = image_of(header.data, header.len, N);
    void *memory;
    cm_safetensors *file = open_image(&image, &memory);
    assert_int_equal(cm_safetensors_count(file), N);
    assert_string_equal(cm_safetensors_get(file, 777)->name, "t777");
    assert_ptr_equal(cm_safetensors_find(file, "t49999"), cm_safetensors_get(file, N - 1));
    cm_safetensors_close(file);
    free(memory);
    cm_buf_clear(&image);
    cm_buf_clear(&header);
}

/* ---- written files ---- */

static const float floats[6] = {1, -2, 3, 0.5f, 5, 6};
static const uint16_t halves[2] = {0x3f80, 0x4000};
static const unsigned char bytes[3] = {7, 8, 9};

static const cm_tensor sample[] = {
    {"bytes \"\\", CM_DTYPE_U8, 1, {3}, bytes, 3},   {"b", CM_DTYPE_F32, 2, {2, 3}, floats, 24},
    {"a", CM_DTYPE_F32, 0, {0}, floats, 4},          {"none", CM_DTYPE_I64, 2, {0, 5}, NULL, 0},
    {"h\xc3\xa9", CM_DTYPE_BF16, 1, {2}, halves, 4},
};
enum { N_SAMPLE = sizeof sample / sizeof sample[0] };
static const cm_metadata_entry sample_metadata[] = {{"note", "a\n\"b\""}, {"format", "pt"}};

static char path[64];

static int make_path(void **state) {
    (void)state;
    snprintf(path, sizeof path, "test_safetensors_XXXXXX");
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_path(void **state) {
    (void)state;
    return unlink(path);
}

static void write_sample(void) {
    assert_int_equal(cm_safetensors_write(path, sample, N_SAMPLE, sample_metadata, 2, NULL), CM_OK);
}

/* By the rules of upstream's writer: largest dtype first, then by name; padded to a multiple of 8. */
static void written_bytes_are_fixed(void **state) {
    (void)state;
    static const char header[] =
        "{\"__metadata__\":{\"format\":\"pt\",\"note\":\"a\\u000a\\\"b\\\"\"},"
        "\"none\":{\"dtype\":\"I64\",\"shape\":[0,5],\"data_offsets\":[0,0]},"
        "\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]},"
        "\"b\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[4,28]},"
        "\"h\xc3\xa9\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[28,32]},"
        "\"bytes \\\"\\\\\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[32,35]}}";
    cm_file_map map;
    write_sample();
    assert_int_equal(cm_file_map_open(&map, path, NULL), CM_OK);
    size_t len = map.data[0] | (size_t)map.data[1] << 8, text = strlen(header);
    assert_true(len % 8 == 0 && len >= text && len < text + 8);
    assert_int_equal(map.size, 8 + len + 35);
    assert_memory_equal(map.data + 8, header, text);
    for (size_t i = text; i < len; i++) assert_int_equal(map.data[8 + i], ' ');
    assert_memory_equal(map.data + 8 + len, floats, 4);
    assert_memory_equal(map.data + 8 + len + 32, bytes, 3);
    cm_file_map_close(&map);
}

static void written_files_are_read(void **state) {
    (void)state;
    cm_safetensors *file = NULL;
    write_sample();
    assert_int_equal(cm_safetensors_open(&file, path, NULL), CM_OK);
    assert_int_equal(cm_safetensors_count(file), N_SAMPLE);
    for (int i = 0; i < N_SAMPLE; i++) {
        const cm_tensor *tensor = cm_safetensors_find(file, sample[i].name);
        assert_non_null(tensor);
        assert_true(tensor->dtype == sample[i].dtype && tensor->n_dims == sample[i].n_dims);
        assert_memory_equal(tensor->dims, sample[i].dims, sizeof tensor->dims);
        assert_int_equal(tensor->bytes, sample[i].bytes);
        if (tensor->bytes > 0) assert_memory_equal(tensor->data, sample[i].data, tensor->bytes);
    }
    assert_string_equal(cm_safetensors_metadata(file, "note"), "a\n\"b\"");
    cm_safetensors_close(file);
}

/* A scalar of each type, from the first of the list to the last. */
static void every_dtype_is_written(void **state) {
    (void)state;
    static const unsigned char value[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    for (int i = CM_DTYPE_BOOL; i <= CM_DTYPE_U64; i++) {
        const cm_tensor tensor = {"a", (cm_dtype)i, 0, {0}, value, cm_dtype_bytes((cm_dtype)i)};
        cm_safetensors *file = NULL;
        assert_int_equal(cm_safetensors_write(path, &tensor, 1, NULL, 0, NULL), CM_OK);
        assert_int_equal(cm_safetensors_open(&file, path, NULL), CM_OK);
        const cm_tensor *found = cm_safetensors_find(file, "a");
        assert_non_null(found);
        assert_true(found->dtype == tensor.dtype && found->n_dims == 0 && found->bytes == tensor.bytes);
        assert_memory_equal(found->data, value, tensor.bytes);
        cm_safetensors_close(file);
    }
}

static void nothing_can_be_written(void **state) {
    (void)state;
    cm_safetensors *file = NULL;
    assert_int_equal(cm_safetensors_write(path, NULL, 0, NULL, 0, NULL), CM_OK);
    assert_int_equal(cm_safetensors_open(&file, path, NULL), CM_OK);
    assert_int_equal(cm_safetensors_count(file), 0);
    cm_safetensors_close(file);
    assert_int_equal(cm_safetensors_write(path, NULL, 0, sample_metadata, 2, NULL), CM_OK);
    assert_int_equal(cm_safetensors_open(&file, path, NULL), CM_OK);
    assert_string_equal(cm_safetensors_metadata(file, "format"), "pt");
    cm_safetensors_close(file);
}

static void every_truncation_is_refused(void **state) {
    (void)state;
    cm_file_map map;
    write_sample();
    assert_int_equal(cm_file_map_open(&map, path, NULL), CM_OK);
    for (size_t size = 0; size < map.size; size++) refusal(map.data, size);
    cm_file_map_close(&map);
}

/* Any single byte of the header changed gives a file or a refusal, never a read out of bounds (sanitiser). */
static void changed_bytes_are_survived(void **state) {
    (void)state;
    static const char values[] = {0, 1, '0', '9', '"', '{', ',', '-', (char)0xff};
    cm_file_map map;
    write_sample();
    assert_int_equal(cm_file_map_open(&map, path, NULL), CM_OK);
    char *copy = malloc(map.size);
    int accepted = 0, refused = 0;
    for (size_t i = 0; i < map.size - 35; i++) {
        for (size_t v = 0; v < sizeof values; v++) {
            cm_safetensors *file = NULL;
            memcpy(copy, map.data, map.size);
            copy[i] = values[v];
            bool good = cm_safetensors_read(&file, copy, map.size, "f", NULL) == CM_OK;
            *(good ? &accepted : &refused) += 1;
            cm_safetensors_close(file);
        }
    }
    assert_true(accepted > 0 && refused > 1000);
    free(copy);
    cm_file_map_close(&map);
}

static void assert_write_refused(const cm_tensor *tensors, size_t count, const cm_metadata_entry *metadata,
                                 size_t n_metadata, const char *says) {
    cm_error error;
    assert_int_equal(cm_safetensors_write(path, tensors, count, metadata, n_metadata, &error), CM_USAGE);
    const char *line = cm_error_line(&error, line_text, sizeof line_text);
    if (!strstr(line, says)) fail_msg("got \"%s\", wanted \"%s\"", line, says);
}

static void bad_content_is_not_written(void **state) {
    (void)state;
    static const cm_tensor twice[] = {{"a", CM_DTYPE_U8, 1, {3}, bytes, 3},
                                      {"a", CM_DTYPE_F32, 0, {0}, floats, 4}};
    static const cm_tensor huge[] = {{"a", CM_DTYPE_U8, 1, {INT64_MAX}, bytes, INT64_MAX},
                                     {"b", CM_DTYPE_U8, 1, {1}, bytes, 1}};
    static const struct {
        cm_tensor tensor;
        const char *says;
    } bad[] = {
        {{"__metadata__", CM_DTYPE_U8, 1, {3}, bytes, 3}, "found another name"},
        {{"\xff", CM_DTYPE_U8, 1, {3}, bytes, 3}, "found another name"},
        {{"a", CM_DTYPE_U8, 9, {3}, bytes, 3}, "9 dimensions"},
        {{"a", CM_DTYPE_U8, -1, {3}, bytes, 3}, "-1 dimensions"},
        {{"a", (cm_dtype)99, 1, {3}, bytes, 3}, "dtype 99"},
        {{"a", CM_DTYPE_U8, 1, {-3}, bytes, 3}, "found 3 bytes, expected a shape"},
        {{"a", CM_DTYPE_U8, 1, {2}, bytes, 3}, "found 3 bytes, expected a shape"},
        {{"a", CM_DTYPE_F64, 2, {INT64_MAX, 4}, bytes, 3}, "found 3 bytes, expected a shape"},
    };
    write_sample();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_write_refused(&bad[i].tensor, 1, NULL, 0, bad[i].says);
    }
    assert_write_refused(twice, 2, NULL, 0, "tensor a: found the name twice");
    assert_write_refused(huge, 2, NULL, 0, "too many bytes");
    static const cm_metadata_entry keys[] = {{"k", "1"}, {"k", "2"}}, value[] = {{"k", "\x80"}};
    assert_write_refused(NULL, 0, keys, 2, "metadata k: found the key twice");
    assert_write_refused(NULL, 0, value, 1, "metadata k: found other bytes");
    cm_safetensors *file = NULL; /* the old file is still there */
    assert_int_equal(cm_safetensors_open(&file, path, NULL), CM_OK);
    assert_int_equal(cm_safetensors_count(file), N_SAMPLE);
    cm_safetensors_close(file);
}

static void only_utf8_is_written(void **state) {
    (void)state;
    static const char *const good[] = {"\x7f",         "\xc2\x80",         "\xe0\xa0\x80",
                                       "\xed\x9f\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf",
                                       "\x01\x1f"};
    static const char *const bad[] = {"\x80",
                                      "\xc1\xbf",
                                      "\xe0\x9f\xbf",
                                      "\xed\xa0\x80",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf8\x88\x80\x80\x80",
                                      "\xc2",
                                      "\xe1\x80",
                                      "\xc2\x41"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        cm_metadata_entry entry = {"k", good[i]};
        cm_safetensors *file = NULL;
        assert_int_equal(cm_safetensors_write(path, NULL, 0, &entry, 1, NULL), CM_OK);
        assert_int_equal(cm_safetensors_open(&file, path, NULL), CM_OK);
        assert_string_equal(cm_safetensors_metadata(file, "k"), good[i]);
        cm_safetensors_close(file);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_write_refused(NULL, 0, &(cm_metadata_entry){"k", bad[i]}, 1, "other bytes");
    }
}

static void an_oversized_header_is_not_written(void **state) {
    (void)state;
    size_t len = 100000000;
    char *value = malloc(len + 1);
    memset(value, 'x', len);
    value[len] = '\0';
    assert_write_refused(NULL, 0, &(cm_metadata_entry){"k", value}, 1, "expected at most 100000000");
    free(value);
}

static void folders_that_are_not_there(void **state) {
    (void)state;
    cm_safetensors *file = NULL;
    cm_error error;
    assert_int_equal(cm_safetensors_open(&file, "absent.safetensors", &error), CM_IO);
    assert_null(file);
    assert_int_equal(cm_safetensors_write("absent/x", sample, 1, NULL, 0, &error), CM_IO);
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    long writes = 0, reads = 0;
    for (cm_status status = CM_MEMORY; status != CM_OK; writes++) {
        fail_alloc_from(writes);
        status = cm_safetensors_write(path, sample, N_SAMPLE, sample_metadata, 2, NULL);
        assert_int_equal(status, fail_alloc_stop() ? CM_MEMORY : CM_OK);
    }
    for (cm_status status = CM_MEMORY; status != CM_OK; reads++) {
        cm_safetensors *file = NULL;
        fail_alloc_from(reads);
        status = cm_safetensors_open(&file, path, NULL);
        assert_int_equal(status, fail_alloc_stop() ? CM_MEMORY : CM_OK);
        assert_int_equal(file != NULL, status == CM_OK);
        cm_safetensors_close(file);
    }
    assert_true(writes > 5 && reads > 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_files),
        cmocka_unit_test(no_tensors_is_a_file),
        cmocka_unit_test(dtypes_have_names_and_sizes),
        cmocka_unit_test(many_entries),
        cmocka_unit_test(written_bytes_are_fixed),
        cmocka_unit_test(written_files_are_read),
        cmocka_unit_test(every_dtype_is_written),
        cmocka_unit_test(nothing_can_be_written),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(changed_bytes_are_survived),
        cmocka_unit_test(bad_content_is_not_written),
        cmocka_unit_test(only_utf8_is_written),
        cmocka_unit_test(an_oversized_header_is_not_written),
        cmocka_unit_test(folders_that_are_not_there),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, make_path, remove_path);
}
