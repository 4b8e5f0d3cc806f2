/* .npy and .npz: what numpy writes is read, what is written has numpy's bytes, and bad archives are refused
 * with their reason. The table of bad headers is tests/bad_input/test_bad_npy.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/file.h"
#include "fail_alloc.h"
#include "io/npy.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[64], line_text[1024];
static const size_t plenty = (size_t)1 << 30;

static int make_path(void **state) {
    (void)state;
    strcpy(path, "/tmp/crossmamba-npy-XXXXXX");
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_path(void **state) {
    (void)state;
    return unlink(path);
}

static const char *fixture(const char *name) {
    static char text[512];
    const char *root = getenv("CROSSMAMBA_SOURCE");
    snprintf(text, sizeof text, "%s/tests/fixtures/npy/%s", root ? root : ".", name);
    return text;
}

static cm_npy *open_good(const char *name) {
    cm_npy *file = NULL;
    cm_error error;
    if (cm_npy_open(&file, name, plenty, &error) != CM_OK)
        fail_msg("%s", cm_error_line(&error, line_text, sizeof line_text));
    return file;
}

static void assert_refused(const char *name, size_t max_bytes, const char *says) {
    cm_npy *file = NULL;
    cm_error error = {0};
    cm_status status = cm_npy_open(&file, name, max_bytes, &error);
    const char *line = cm_error_line(&error, line_text, sizeof line_text);
    if (!strstr(line, says)) fail_msg("%s: got \"%s\", wanted \"%s\"", name, line, says);
    assert_int_equal(status, CM_DATA);
    assert_null(file);
}

static void write_file(const void *data, size_t size) {
    cm_file_part part = {data, size};
    assert_int_equal(cm_file_replace(path, &part, size > 0, NULL), CM_OK);
}

/* ---- reading what numpy wrote ---- */

static const struct {
    const char *name;
    cm_dtype dtype;
} kinds[] = {{"b1", CM_DTYPE_BOOL}, {"i1", CM_DTYPE_I8},  {"u1", CM_DTYPE_U8},  {"i2", CM_DTYPE_I16},
             {"u2", CM_DTYPE_U16},  {"i4", CM_DTYPE_I32}, {"u4", CM_DTYPE_U32}, {"i8", CM_DTYPE_I64},
             {"u8", CM_DTYPE_U64},  {"f4", CM_DTYPE_F32}, {"f8", CM_DTYPE_F64}, {"f2", CM_DTYPE_F16}};

/* The value of a little-endian element. */
static double element(const cm_tensor *tensor, size_t i) {
    size_t bytes = cm_dtype_bytes(tensor->dtype);
    const unsigned char *at = (const unsigned char *)tensor->data + i * bytes;
    uint64_t bits = 0;
    for (size_t b = bytes; b-- > 0;) bits = bits << 8 | at[b];
    float single;
    double twice;
    uint32_t low = (uint32_t)bits;
    memcpy(&single, &low, 4);
    memcpy(&twice, &bits, 8);
    switch (tensor->dtype) {
    case CM_DTYPE_I8:
        return (int8_t)bits;
    case CM_DTYPE_I16:
        return (int16_t)bits;
    case CM_DTYPE_I32:
        return (int32_t)bits;
    case CM_DTYPE_I64:
        return (double)(int64_t)bits;
    case CM_DTYPE_F32:
        return single;
    case CM_DTYPE_F64:
        return twice;
    default:
        return (double)bits;
    }
}

static void numpy_arrays_are_read(void **state) {
    (void)state;
    static const double halves[] = {0xc000, 0xbc00, 0, 0x3c00, 0x4000, 0x4200}; /* -2 .. 3 as bits */
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        char name[16];
        snprintf(name, sizeof name, "%s.npy", kinds[k].name);
        cm_npy *file = open_good(fixture(name));
        assert_int_equal(cm_npy_count(file), 1);
        const cm_tensor *tensor = cm_npy_get(file, 0);
        assert_true(tensor->dtype == kinds[k].dtype && tensor->n_dims == 2);
        assert_true(tensor->dims[0] == 3 && tensor->dims[1] == 2 && tensor->name[0] == '\0');
        assert_int_equal(tensor->bytes, 6 * cm_dtype_bytes(tensor->dtype));
        for (size_t i = 0; i < 6; i++) {
            double wanted = (double)i - 2;
            if (kinds[k].name[0] == 'u') wanted = (double)i;
            if (kinds[k].name[0] == 'b') wanted = (double)(i % 2);
            if (kinds[k].dtype == CM_DTYPE_F16) wanted = halves[i];
            assert_true(element(tensor, i) == wanted);
        }
        cm_npy_close(file);
    }
}

static void shapes_and_versions_are_read(void **state) {
    (void)state;
    static const struct {
        const char *name;
        int n_dims;
        int64_t first;
        size_t bytes;
    } good[] = {{"scalar.npy", 0, 0, 4},
                {"vector.npy", 1, 5, 20},
                {"empty.npy", 2, 0, 0},
                {"version2.npy", 2, 3, 24},
                {"version3.npy", 2, 3, 24}};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        cm_npy *file = open_good(fixture(good[i].name));
        const cm_tensor *tensor = cm_npy_get(file, 0);
        assert_int_equal(tensor->n_dims, good[i].n_dims);
        if (good[i].n_dims > 0) assert_int_equal(tensor->dims[0], good[i].first);
        assert_int_equal(tensor->bytes, good[i].bytes);
        assert_true(good[i].bytes == 0 ? tensor->data == NULL : element(tensor, 0) == -2);
        cm_npy_close(file);
    }
}

/* The smallest array that has data. */
static void an_array_of_one_byte(void **state) {
    (void)state;
    static const char dict[] = "{'descr': '|u1', 'fortran_order': False, 'shape': (1,), }\n*";
    char image[10 + sizeof dict] = "\x93NUMPY\1";
    image[8] = (char)(sizeof dict - 2);
    memcpy(image + 10, dict, sizeof dict - 1);
    write_file(image, 10 + sizeof dict - 1);
    cm_npy *file = open_good(path);
    const cm_tensor *tensor = cm_npy_get(file, 0);
    assert_int_equal(tensor->bytes, 1);
    assert_non_null(tensor->data);
    assert_true(element(tensor, 0) == '*');
    cm_npy_close(file);
}

static void numpy_archives_are_read(void **state) {
    (void)state;
    static const char *const names[] = {"stored.npz", "deflated.npz"};
    for (int k = 0; k < 2; k++) {
        cm_npy *file = open_good(fixture(names[k]));
        assert_int_equal(cm_npy_count(file), 2);
        const cm_tensor *a = cm_npy_get(file, 0), *b = cm_npy_get(file, 1);
        assert_string_equal(a->name, "a");
        assert_string_equal(b->name, "b/c");
        assert_true(a->dtype == CM_DTYPE_F32 && a->n_dims == 2 && a->dims[0] == 3 && element(a, 5) == 3);
        assert_true(b->dtype == CM_DTYPE_I64 && b->n_dims == 1 && b->dims[0] == 4 && element(b, 3) == 1);
        cm_npy_close(file);
    }
    cm_npy *file = open_good(fixture("none.npz"));
    assert_int_equal(cm_npy_count(file), 0);
    cm_npy_close(file);
}

static void what_numpy_may_hold_is_refused_by_name(void **state) {
    (void)state;
    static const struct {
        const char *name, *says;
    } bad[] = {
        {"bad_fortran.npy", "header: found Fortran order, expected fortran_order False"},
        {"bad_big_endian.npy", "header: found descr >f4: big-endian, expected a plain little-endian type"},
        {"bad_object.npy", "header: found descr |O: Python objects, which only pickle reads"},
        {"bad_structured.npy", "header: found a structured type (descr is a list)"},
        {"bad_unicode.npy", "header: found descr <U2: text"},
        {"bad_complex.npy", "header: found descr <c8: complex numbers"},
        {"bad_method.npz", "member a.npy: found compression method 12, expected stored or deflated data"},
        {"bad_name.npz", "member note.txt: found another name, expected members whose names end in .npy"},
        {"bad_object.npz", "member o: found descr |O: Python objects"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_refused(fixture(bad[i].name), plenty, bad[i].says);
}

/* ---- archives ---- */

static const float floats[6] = {1.5F, -2, 0, 1e-30F, 4, 5};
static const int64_t wholes[2] = {INT64_MIN, 7};
static const cm_tensor members[] = {{"x", CM_DTYPE_F32, 2, {2, 3}, floats, 24},
                                    {"folder/\xc3\xa9", CM_DTYPE_I64, 1, {2}, wholes, 16},
                                    {"empty", CM_DTYPE_F32, 2, {0, 3}, NULL, 0}};
enum { N_MEMBERS = 3 };

static cm_status write_archive(cm_error *error) {
    cm_npz_writer *writer = NULL;
    CM_TRY(cm_npz_create(&writer, path, error));
    cm_status status = CM_OK;
    for (int i = 0; i < N_MEMBERS && status == CM_OK; i++) status = cm_npz_add(writer, &members[i], error);
    return cm_npz_close(writer, status, error);
}

static size_t most_asked;

static bool note_size(size_t bytes, void *context) {
    (void)context;
    if (bytes > most_asked) most_asked = bytes;
    return true;
}

static void bombs_are_refused_unpacked(void **state) {
    (void)state;
    most_asked = 0;
    cm_alloc_set_hook(note_size, NULL);
    cm_npy *file = NULL;
    cm_error error;
    cm_status status = cm_npy_open(&file, fixture("bomb.npz"), 1 << 20, &error);
    cm_alloc_set_hook(NULL, NULL);
    assert_int_equal(status, CM_DATA);
    assert_string_equal(error.expected, "at most 1048576 unpacked bytes");
    assert_true(most_asked > 0 && most_asked < 1 << 20);
    file = open_good(fixture("bomb.npz")); /* an honest large member for who allows it */
    assert_int_equal(cm_npy_get(file, 0)->bytes, 16 << 20);
    cm_npy_close(file);
    assert_refused(fixture("stored.npz"), 300, "member b/c.npy: found more, expected at most 300");
}

/* Up to the byte of what is allowed. */
static void the_allowed_bytes_may_be_used(void **state) {
    (void)state;
    cm_npy *file = NULL;
    size_t whole = 0;
    assert_int_equal(write_archive(NULL), CM_OK);
    for (int i = 0; i < N_MEMBERS; i++) whole += 128 + members[i].bytes; /* numpy's headers of 128 bytes */
    assert_int_equal(cm_npy_open(&file, path, whole, NULL), CM_OK);
    cm_npy_close(file);
    assert_refused(path, whole - 1, "member empty.npy: found more, expected at most");
}

/* The central directory's entry of the first member, "PK\1\2". */
static unsigned char *central_entry(char *image, size_t size) {
    unsigned char *at = memmem(image, size, "PK\1\2", 4);
    assert_non_null(at);
    return at;
}

static void lying_archives(void **state) {
    (void)state;
    static const struct {
        int at; /* in the central entry */
        unsigned char value[4];
        int bytes;
        const char *says;
    } lies[] = {
        {24, {0, 0, 0, 0x10}, 4, ""},    /* 256 MiB unpacked */
        {24, {9, 0, 0, 0}, 4, ""},       /* fewer than there are */
        {16, {1, 2, 3, 4}, 4, ""},       /* CRC */
        {20, {0, 0, 0, 0x7f}, 4, ""},    /* packed bytes beyond the file */
        {42, {0xff, 0xff, 0, 0}, 4, ""}, /* the local header elsewhere */
        {10, {99, 0}, 2, ""},            /* method */
        {8, {1, 0}, 2, ""},              /* encrypted */
    };
    cm_file_map map;
    assert_int_equal(cm_file_map_open(&map, fixture("deflated.npz"), NULL), CM_OK);
    char *image = malloc(map.size);
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        memcpy(image, map.data, map.size);
        memcpy(central_entry(image, map.size) + lies[i].at, lies[i].value, (size_t)lies[i].bytes);
        write_file(image, map.size);
        assert_refused(path, plenty, lies[i].says);
    }
    for (size_t size = 4; size < map.size; size++) { /* every truncation */
        write_file(map.data, size);
        assert_refused(path, plenty, "");
    }
    free(image);
    cm_file_map_close(&map);
}

/* Both headers of a member lie about its unpacked size: refused before so much is asked for. */
static void agreeing_lies(void **state) {
    (void)state;
    static const unsigned char size[4] = {0, 0, 0, 0x10}; /* 256 MiB */
    cm_file_map map;
    assert_int_equal(write_archive(NULL), CM_OK);
    assert_int_equal(cm_file_map_open(&map, path, NULL), CM_OK);
    char *image = malloc(map.size);
    memcpy(image, map.data, map.size);
    memcpy(image + 22, size, 4);
    memcpy(central_entry(image, map.size) + 24, size, 4);
    write_file(image, map.size);
    most_asked = 0;
    cm_alloc_set_hook(note_size, NULL);
    assert_refused(path, plenty,
                   "member x.npy: found 268435456 unpacked bytes from 152, expected at most 152");
    cm_alloc_set_hook(NULL, NULL);
    assert_true(most_asked < 1 << 20);
    free(image);
    cm_file_map_close(&map);
}

/* Both headers of a packed member say less than it unpacks to. */
static void members_longer_than_they_say(void **state) {
    (void)state;
    cm_file_map map;
    assert_int_equal(cm_file_map_open(&map, fixture("deflated.npz"), NULL), CM_OK);
    char *image = malloc(map.size);
    memcpy(image, map.data, map.size);
    image[39]--; /* in the zip64 field, where numpy has it */
    central_entry(image, map.size)[24]--;
    write_file(image, map.size);
    assert_refused(path, plenty, "member a: found more, expected 151 bytes");
    free(image);
    cm_file_map_close(&map);
}

/* Any byte changed gives a file or a refusal, never a read out of bounds (sanitiser). */
static void changed_bytes_are_survived(void **state) {
    (void)state;
    static const char *const names[] = {"deflated.npz", "version2.npy"};
    int accepted = 0, refused = 0;
    for (int k = 0; k < 2; k++) {
        cm_file_map map;
        assert_int_equal(cm_file_map_open(&map, fixture(names[k]), NULL), CM_OK);
        char *image = malloc(map.size);
        memcpy(image, map.data, map.size);
        for (size_t i = 0; i < map.size; i++) {
            static const char values[] = {0, 1, (char)0xff};
            for (size_t v = 0; v < sizeof values; v++) {
                cm_npy *file = NULL;
                image[i] = values[v];
                FILE *out = fopen(path, "wb"); /* not cm_file_replace: that syncs */
                assert_int_equal(fwrite(image, 1, map.size, out), map.size);
                fclose(out);
                *(cm_npy_open(&file, path, plenty, NULL) == CM_OK ? &accepted : &refused) += 1;
                cm_npy_close(file);
            }
            image[i] = (char)map.data[i];
        }
        free(image);
        cm_file_map_close(&map);
    }
    assert_true(accepted > 0 && refused > 1000);
}

/* ---- writing ---- */

static void written_bytes_are_numpys(void **state) {
    (void)state;
    static const char *const names[] = {"i4.npy", "i8.npy",     "f2.npy",     "f4.npy",
                                        "f8.npy", "scalar.npy", "vector.npy", "empty.npy"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        cm_npy *file = open_good(fixture(names[i]));
        cm_file_map wanted, got;
        assert_int_equal(cm_npy_write(path, cm_npy_get(file, 0), NULL), CM_OK);
        assert_int_equal(cm_file_map_open(&wanted, fixture(names[i]), NULL), CM_OK);
        assert_int_equal(cm_file_map_open(&got, path, NULL), CM_OK);
        assert_int_equal(got.size, wanted.size);
        assert_memory_equal(got.data, wanted.data, got.size);
        cm_file_map_close(&wanted);
        cm_file_map_close(&got);
        cm_npy_close(file);
    }
}

static void bad_tensors_are_not_written(void **state) {
    (void)state;
    static const float values[4] = {0};
    static const cm_tensor bad[] = {
        {"", CM_DTYPE_BF16, 1, {2}, values, 4}, {"", CM_DTYPE_U8, 1, {4}, values, 4},
        {"", CM_DTYPE_F32, 1, {2}, values, 4},  {"", CM_DTYPE_F32, 1, {-1}, values, 4},
        {"", CM_DTYPE_F32, 9, {1}, values, 4},  {"", CM_DTYPE_F32, 2, {INT64_MAX, 9}, values, 4},
        {"", CM_DTYPE_I16, 1, {2}, values, 4},  {"", CM_DTYPE_U16, 1, {2}, values, 4},
        {"", CM_DTYPE_U32, 1, {1}, values, 4},  {"", CM_DTYPE_U64, 1, {1}, values, 8},
        {"", CM_DTYPE_I8, 1, {4}, values, 4},   {"", CM_DTYPE_BOOL, 1, {4}, values, 4}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(cm_npy_write(path, &bad[i], NULL), CM_USAGE);
    static const cm_tensor widest = {"", CM_DTYPE_F32, 8, {0, INT64_MAX, 1, 1, 1, 1, 1, 1}, NULL, 0};
    assert_int_equal(cm_npy_write(path, &widest, NULL), CM_OK);
    cm_npy_close(open_good(path));
    assert_int_equal(cm_npy_write("/tmp/absent/x.npy", &widest, NULL), CM_IO);
}

static void written_archives_are_read(void **state) {
    (void)state;
    assert_int_equal(write_archive(NULL), CM_OK);
    cm_npy *file = open_good(path);
    assert_int_equal(cm_npy_count(file), N_MEMBERS);
    for (int i = 0; i < N_MEMBERS; i++) {
        const cm_tensor *tensor = cm_npy_get(file, (size_t)i);
        assert_string_equal(tensor->name, members[i].name);
        assert_true(tensor->dtype == members[i].dtype && tensor->n_dims == members[i].n_dims);
        assert_memory_equal(tensor->dims, members[i].dims, sizeof tensor->dims);
        assert_int_equal(tensor->bytes, members[i].bytes);
        if (tensor->bytes > 0) assert_memory_equal(tensor->data, members[i].data, tensor->bytes);
    }
    cm_npy_close(file);
}

/* More members than 16 bits count: the zip64 end records. */
static void many_members(void **state) {
    (void)state;
    enum { MANY = 65600 };
    cm_npz_writer *writer = NULL;
    assert_int_equal(cm_npz_create(&writer, path, NULL), CM_OK);
    for (int i = 0; i < MANY; i++) {
        char name[16];
        int32_t value = i;
        snprintf(name, sizeof name, "%d", i);
        const cm_tensor tensor = {name, CM_DTYPE_I32, 0, {0}, &value, 4};
        assert_int_equal(cm_npz_add(writer, &tensor, NULL), CM_OK);
    }
    assert_int_equal(cm_npz_close(writer, CM_OK, NULL), CM_OK);
    cm_npy *file = open_good(path);
    assert_int_equal(cm_npy_count(file), MANY);
    for (int i = 0; i < MANY; i += 1111) {
        const cm_tensor *tensor = cm_npy_get(file, (size_t)i);
        assert_int_equal(atoi(tensor->name), i);
        assert_true(element(tensor, 0) == i);
    }
    cm_npy_close(file);
}

static int files_like_path(void) {
    char command[128], text[16] = "";
    snprintf(command, sizeof command, "ls %s* | wc -l", path);
    FILE *out = popen(command, "r");
    assert_true(out && fgets(text, sizeof text, out));
    pclose(out);
    return atoi(text);
}

static void unfinished_archives_leave_nothing(void **state) {
    (void)state;
    cm_npz_writer *writer = NULL;
    cm_error error;
    write_file("old", 3);
    assert_int_equal(cm_npz_create(&writer, path, NULL), CM_OK);
    assert_int_equal(cm_npz_add(writer, &members[0], NULL), CM_OK);
    assert_int_equal(files_like_path(), 2);
    assert_int_equal(cm_npz_close(writer, CM_INTERRUPTED, NULL), CM_INTERRUPTED);
    assert_int_equal(files_like_path(), 1);
    assert_int_equal(cm_npz_create(&writer, path, NULL), CM_OK);
    assert_int_equal(cm_npz_add(writer, &members[0], NULL), CM_OK);
    assert_int_equal(cm_npz_add(writer, &members[0], &error), CM_DATA);
    assert_string_equal(error.found, "the name twice");
    assert_int_equal(cm_npz_close(writer, CM_OK, &error), CM_DATA); /* what failed stays failed */
    assert_int_equal(files_like_path(), 1);
    cm_file_map map;
    assert_int_equal(cm_file_map_open(&map, path, NULL), CM_OK);
    assert_true(map.size == 3 && memcmp(map.data, "old", 3) == 0);
    cm_file_map_close(&map);
    static char long_name[60002];
    memset(long_name, 'n', 60001);
    const char *const bad_names[] = {"", long_name};
    for (int i = 0; i < 2; i++) {
        cm_tensor named = members[0];
        named.name = bad_names[i];
        assert_int_equal(cm_npz_create(&writer, path, NULL), CM_OK);
        assert_int_equal(cm_npz_add(writer, &named, NULL), CM_USAGE);
        assert_int_equal(cm_npz_close(writer, CM_OK, NULL), CM_USAGE);
    }
    assert_int_equal(cm_npz_create(&writer, "/tmp/absent/x.npz", NULL), CM_IO);
    assert_int_equal(cm_npz_create(&writer, "/dev/null", NULL), CM_IO);
    assert_int_equal(cm_npz_close(NULL, CM_OK, NULL), CM_OK);
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    cm_status status = CM_MEMORY;
    long writes = 0, reads = 0;
    for (; status != CM_OK; writes++) {
        fail_alloc_from(writes);
        status = write_archive(NULL);
        assert_int_equal(status, fail_alloc_stop() ? CM_MEMORY : CM_OK);
        assert_int_equal(files_like_path(), 1);
    }
    for (status = CM_MEMORY; status != CM_OK; reads++) {
        cm_npy *file = NULL;
        fail_alloc_from(reads);
        status = cm_npy_open(&file, path, plenty, NULL);
        assert_int_equal(status, fail_alloc_stop() ? CM_MEMORY : CM_OK);
        assert_int_equal(file != NULL, status == CM_OK);
        cm_npy_close(file);
    }
    assert_true(writes > 5 && reads > 5);
}

/* ---- real files ---- */

static void published_samples(void **state) {
    (void)state;
    const char *data = getenv("CROSSMAMBA_DATA");
    static const struct {
        const char *name;
        int64_t rows;
    } good[] = {{"case9.npy", 34}, {"hiv.npy", 29}};
    char name[512];
    if (!data) {
        print_message("published_samples: CROSSMAMBA_DATA is not set\n");
        skip();
    }
    for (int i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "%s/embeddings/npy_samples/%s", data, good[i].name);
        cm_npy *file = open_good(name);
        const cm_tensor *tensor = cm_npy_get(file, 0);
        assert_true(tensor->dtype == CM_DTYPE_F32 && tensor->n_dims == 2);
        assert_true(tensor->dims[0] == good[i].rows && tensor->dims[1] == 640);
        double least = 0, most = 0;
        for (size_t k = 0; k < (size_t)good[i].rows * 640; k++) {
            double value = element(tensor, k);
            if (value < least) least = value;
            if (value > most) most = value;
        }
        assert_true(least < -0.1 && most > 0.1 && least > -1e3 && most < 1e3);
        cm_npy_close(file);
    }
    snprintf(name, sizeof name, "%s/embeddings/npy_samples/object_array.npy", data);
    assert_refused(name, plenty, "descr |O: Python objects");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numpy_arrays_are_read),
        cmocka_unit_test(shapes_and_versions_are_read),
        cmocka_unit_test(an_array_of_one_byte),
        cmocka_unit_test(numpy_archives_are_read),
        cmocka_unit_test(what_numpy_may_hold_is_refused_by_name),
        cmocka_unit_test(bombs_are_refused_unpacked),
        cmocka_unit_test(the_allowed_bytes_may_be_used),
        cmocka_unit_test(lying_archives),
        cmocka_unit_test(agreeing_lies),
        cmocka_unit_test(members_longer_than_they_say),
        cmocka_unit_test(changed_bytes_are_survived),
        cmocka_unit_test(written_bytes_are_numpys),
        cmocka_unit_test(bad_tensors_are_not_written),
        cmocka_unit_test(written_archives_are_read),
        cmocka_unit_test(many_members),
        cmocka_unit_test(unfinished_archives_leave_nothing),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(published_samples),
    };
    return cmocka_run_group_tests(tests, make_path, remove_path);
}
