/* PyTorch checkpoints: both formats give the tensors that were saved; pickles and archives that want more
 * than tensors, more memory or more bytes than there are are refused with their reason. */
#include "base/alloc.h"
#include "base/buf.h"
#include "fail_alloc.h"
#include "io/torch_file.h"
#include "temp_file.h"
#include <math.h>

static const char *fixture(const char *name) {
    static char path[512];
    const char *root = getenv("CROSSMAMBA_SOURCE");
    snprintf(path, sizeof path, "%s/tests/fixtures/%s", root ? root : ".", name);
    return path;
}

static cm_torch_file *open_file(const char *path) {
    cm_torch_file *file = NULL;
    cm_error error = {0};
    char line[1024];
    if (cm_torch_file_open(&file, path, &error) != CM_OK) {
        fail_msg("%s", cm_error_line(&error, line, sizeof line));
    }
    return file;
}

static const cm_tensor *find(const cm_torch_file *file, const char *name) {
    for (size_t i = 0; i < cm_torch_file_count(file); i++) {
        if (strcmp(cm_torch_file_get(file, i)->name, name) == 0) return cm_torch_file_get(file, i);
    }
    fail_msg("no tensor %s", name);
    return NULL;
}

/* Shape and bytes of a tensor; data of NULL: no bytes. */
static void assert_tensor(const cm_torch_file *file, const char *name, cm_dtype dtype, int n_dims, int64_t d0,
                          int64_t d1, const void *data, size_t bytes) {
    const cm_tensor *tensor = find(file, name);
    assert_int_equal(tensor->dtype, dtype);
    assert_int_equal(tensor->n_dims, n_dims);
    if (n_dims > 0) assert_int_equal(tensor->dims[0], d0);
    if (n_dims > 1) assert_int_equal(tensor->dims[1], d1);
    assert_int_equal(tensor->bytes, bytes);
    if (bytes > 0) assert_memory_equal(tensor->data, data, bytes);
}

static void check_types(const cm_torch_file *file) {
    const float f32[] = {0, 1, 2, 3, 4, 5};
    const double f64[] = {0, 1, 2, 3, 4, 5};
    const uint16_t f16[] = {0, 0x3c00, 0x4000, 0x4200, 0x4400, 0x4500};
    const uint16_t bf16[] = {0, 0x3f80, 0x4000, 0x4040, 0x4080, 0x40a0};
    const int64_t i64[] = {0, 1, 2, 3, 4, 5};
    const int32_t i32[] = {0, 1, 2, 3, 4, 5};
    const int16_t i16[] = {0, 1, 2, 3, 4, 5};
    const uint8_t i8[] = {0, 1, 2, 3, 4, 5}, truth[] = {0, 1, 0, 1, 0, 1};
    assert_tensor(file, "f32", CM_DTYPE_F32, 2, 2, 3, f32, sizeof f32);
    assert_tensor(file, "f16", CM_DTYPE_F16, 2, 2, 3, f16, sizeof f16);
    assert_tensor(file, "bf16", CM_DTYPE_BF16, 2, 2, 3, bf16, sizeof bf16);
    assert_tensor(file, "f64", CM_DTYPE_F64, 2, 2, 3, f64, sizeof f64);
    assert_tensor(file, "i64", CM_DTYPE_I64, 2, 2, 3, i64, sizeof i64);
    assert_tensor(file, "i32", CM_DTYPE_I32, 2, 2, 3, i32, sizeof i32);
    assert_tensor(file, "i16", CM_DTYPE_I16, 2, 2, 3, i16, sizeof i16);
    assert_tensor(file, "i8", CM_DTYPE_I8, 2, 2, 3, i8, sizeof i8);
    assert_tensor(file, "u8", CM_DTYPE_U8, 2, 2, 3, i8, sizeof i8);
    assert_tensor(file, "bool", CM_DTYPE_BOOL, 2, 2, 3, truth, sizeof truth);
}

static void check_views(const cm_torch_file *file) {
    float base[24], transposed[24], repeated[20];
    const float corner[] = {8, 9, 10, 14, 15, 16}, parameter[] = {0.5f, -1.5f}, ones[] = {1, 1}, zero = 0;
    const int64_t seven = 7;
    for (int i = 0; i < 24; i++) base[i] = (float)i;
    for (int i = 0; i < 24; i++) transposed[i] = (float)(i % 4 * 6 + i / 4);
    for (int i = 0; i < 20; i++) repeated[i] = (float)(i / 5 * 6);
    assert_tensor(file, "base", CM_DTYPE_F32, 2, 4, 6, base, sizeof base);
    assert_tensor(file, "tied", CM_DTYPE_F32, 2, 4, 6, base, sizeof base);
    assert_tensor(file, "transposed", CM_DTYPE_F32, 2, 6, 4, transposed, sizeof transposed);
    assert_tensor(file, "corner", CM_DTYPE_F32, 2, 2, 3, corner, sizeof corner);
    assert_tensor(file, "row", CM_DTYPE_F32, 1, 6, 0, base + 12, 6 * sizeof *base);
    assert_tensor(file, "repeated", CM_DTYPE_F32, 2, 4, 5, repeated, sizeof repeated);
    assert_tensor(file, "scalar", CM_DTYPE_I64, 0, 0, 0, &seven, sizeof seven);
    assert_tensor(file, "empty", CM_DTYPE_F32, 2, 0, 4, NULL, 0);
    assert_tensor(file, "parameter", CM_DTYPE_F32, 1, 2, 0, parameter, sizeof parameter);
    assert_tensor(file, "inner.weight", CM_DTYPE_F32, 1, 2, 0, ones, sizeof ones);
    assert_tensor(file, "inner.3", CM_DTYPE_F32, 1, 1, 0, &zero, sizeof zero);
}

static void reads_all_formats(void **state) {
    (void)state;
    static const char *const names[] = {"torch_zip.pt", "torch_protocol4.pt", "torch_legacy.pt"};
    for (int i = 0; i < 3; i++) {
        cm_torch_file *file = open_file(fixture(names[i]));
        assert_int_equal(cm_torch_file_count(file), 21);
        assert_int_equal(cm_torch_file_skipped(file), 2); /* steps, note */
        assert_string_equal(cm_torch_file_get(file, 0)->name, "f32");
        assert_string_equal(cm_torch_file_get(file, 20)->name, "inner.3");
        check_types(file);
        check_views(file);
        cm_torch_file_close(file);
    }
    cm_torch_file *file = open_file(fixture("torch_no_crc.pt"));
    assert_int_equal(cm_torch_file_count(file), 3);
    cm_torch_file_close(file);
}

static void assert_file_refused(const char *path, cm_status status, const char *says) {
    cm_torch_file *file = NULL;
    cm_error error = {0};
    assert_int_equal(cm_torch_file_open(&file, path, &error), status);
    assert_null(file);
    assert_says(&error, says);
}

static void bad_archives(void **state) {
    (void)state;
    assert_file_refused(fixture("torch_hostile.pt"), CM_DATA,
                        "found global posix.system, expected only what");
    assert_file_refused(fixture("torch_deflated.pt"), CM_DATA, "expected an entry that is stored");
    assert_file_refused(fixture("torch_big_endian.pt"), CM_DATA, "byteorder: found another byte order");
    assert_file_refused(fixture("torch_no_storage.pt"), CM_DATA, "data/0: found none");
    assert_file_refused(fixture("torch_short_storage.pt"), CM_DATA,
                        "found 20, expected 24 bytes by data.pkl");
    assert_file_refused("/dev/zero", CM_IO, "expected a regular file");
    assert_file_refused("/tmp", CM_IO, "a directory");
    assert_file_refused("/nonexistent/a.pt", CM_IO, "cannot open");
    temp_file empty = temp_bytes("", 0), text = temp_bytes("text", 4);
    assert_file_refused(empty.path, CM_DATA, "found an empty file, expected a PyTorch checkpoint");
    assert_file_refused(text.path, CM_DATA, "neither a zip archive nor a pickle");
    unlink(empty.path);
    unlink(text.path);
    static const unsigned char bare[22] = "PK\5\6", begun[] = "PK\3\4 and no more";
    temp_file zip = temp_bytes(begun, sizeof begun), none = temp_bytes(bare, sizeof bare);
    assert_file_refused(zip.path, CM_DATA, "expected a complete zip archive");
    assert_file_refused(none.path, CM_DATA, "expected a PyTorch checkpoint");
    unlink(zip.path);
    unlink(none.path);
}

/* ---- legacy files made here ---- */

#define PREAMBLE                                                                  \
    "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03." \
    "\x80\x02}X\x0d\0\0\0little_endian\x88s."
/* The storage "k" of 4 floats; then the arguments of a tensor up to the storage. */
#define STORAGE "(U\7storagectorch\nFloatStorage\nU\1kU\3cpuK\4NtQ"
#define TENSOR(offset, size, strides) \
    "ctorch._utils\n_rebuild_tensor_v2\n(" STORAGE offset size strides "\x89}tR"
#define ONE_TENSOR TENSOR("K\0", "K\4\x85", "K\1\x85")
#define KEYS "\x80\x02](U\1ke."
#define BYTES          \
    "\4\0\0\0\0\0\0\0" \
    "aaaabbbbccccdddd"

/* The file of the object pickle between preamble and storages. */
static temp_file legacy_file(const char *object, size_t size, const char *after, size_t after_size) {
    cm_buf buf = CM_BUF_EMPTY;
    cm_buf_append(&buf, PREAMBLE, sizeof PREAMBLE - 1);
    cm_buf_append(&buf, object, size);
    cm_buf_append(&buf, after, after_size);
    temp_file file = temp_bytes(buf.data, buf.len);
    cm_buf_clear(&buf);
    return file;
}

static void assert_object_refused(const char *object, size_t size, const char *says) {
    static const char none[] = "\x80\x02].", one[] = KEYS BYTES;
    bool used = memmem(object, size, STORAGE, sizeof STORAGE - 1) != NULL;
    temp_file file = legacy_file(object, size, used ? one : none, (used ? sizeof one : sizeof none) - 1);
    assert_file_refused(file.path, CM_DATA, says);
    unlink(file.path);
}
#define REFUSED(object, says) assert_object_refused(object, sizeof(object) - 1, says)
#define REFUSED_AFTER(after, says)                                                      \
    do {                                                                                \
        temp_file file_ = legacy_file(GOOD, sizeof GOOD - 1, after, sizeof(after) - 1); \
        assert_file_refused(file_.path, CM_DATA, says);                                 \
        unlink(file_.path);                                                             \
    } while (0)
#define GOOD "\x80\x02}U\1w" ONE_TENSOR "s."

static void made_file_is_good(void **state) {
    (void)state;
    temp_file temp = legacy_file(GOOD, sizeof GOOD - 1, KEYS BYTES, sizeof(KEYS BYTES) - 1);
    cm_torch_file *file = open_file(temp.path);
    assert_tensor(file, "w", CM_DTYPE_F32, 1, 4, 0, "aaaabbbbccccdddd", 16);
    cm_torch_file_close(file);
    unlink(temp.path);
}

/* {"model": {}, "w": tensor}: a member without tensors is not the state dict. */
static void an_empty_member_is_passed_over(void **state) {
    (void)state;
    static const char object[] = "\x80\x02}(U\5model}U\1w" ONE_TENSOR "u.";
    temp_file temp = legacy_file(object, sizeof object - 1, KEYS BYTES, sizeof(KEYS BYTES) - 1);
    cm_torch_file *file = open_file(temp.path);
    assert_int_equal(cm_torch_file_count(file), 1);
    assert_tensor(file, "w", CM_DTYPE_F32, 1, 4, 0, "aaaabbbbccccdddd", 16);
    cm_torch_file_close(file);
    unlink(temp.path);
}

/* A storage whose number of elements takes more than one byte. */
static void a_storage_of_many_elements(void **state) {
    (void)state;
    enum { MANY = 0x10203 };
    static const char object[] = "\x80\x02}U\1wctorch._utils\n_rebuild_tensor_v2\n("
                                 "(U\7storagectorch\nByteStorage\nU\1kU\3cpuJ\3\2\1\0NtQ"
                                 "K\0J\3\2\1\0\x85K\1\x85\x89}tRs.";
    static const char head[] = KEYS "\3\2\1\0\0\0\0\0";
    static char after[sizeof head - 1 + MANY];
    memcpy(after, head, sizeof head - 1);
    for (int i = 0; i < MANY; i++) after[(int)sizeof head - 1 + i] = (char)(i % 251);
    temp_file temp = legacy_file(object, sizeof object - 1, after, sizeof after);
    cm_torch_file *file = open_file(temp.path);
    assert_tensor(file, "w", CM_DTYPE_U8, 1, MANY, 0, after + sizeof head - 1, MANY);
    cm_torch_file_close(file);
    unlink(temp.path);
}

static void bad_pickles(void **state) {
    (void)state;
    REFUSED("\x80\x02"
            "cos\nsystem\nU\4true\x85R.",
            "found global os.system");
    REFUSED("\x80\x02"
            "ctorch.storage\n_load_from_bytes\nU\1a\x85R.",
            "global torch.storage._load_from_bytes");
    REFUSED("\x80\x04U\2osU\6system\x93.", "found global os.system");
    REFUSED("\x80\x02"
            "c__builtin__\neval\n.",
            "global __builtin__.eval");
    REFUSED("\x80\x01.", "found protocol 1");
    REFUSED("\x80\x02I1\n.", "found instruction 0x49");
    REFUSED("\x80\x02i.", "found instruction 0x69");
    REFUSED("\x80\x02.", "expected a value on the stack");
    REFUSED("\x80\x02t.", "expected a mark on the stack");
    REFUSED("\x80\x02(.", "expected a value on the stack");
    REFUSED("\x80\x02\x87.", "values for a tuple");
    REFUSED("\x80\x02((\x86.", "found a mark");
    REFUSED("\x80\x02h\7.", "put into the memo");
    REFUSED("\x80\x02Nr\xff\xff\xff\xff.", "a memo of at most");
    REFUSED("\x80\x02}(U\1au.", "an odd number");
    REFUSED("\x80\x02K\1K\2a.", "expected a list or set");
    REFUSED("\x80\x02K\1}b.", "that can have a state");
    REFUSED("\x80\x02K\1)R.", "a known function");
    REFUSED("\x80\x02"
            "ctorch\nFloatStorage\n)R.",
            "a known function");
    REFUSED("\x80\x02K\1Q.", "another persistent identifier");
    REFUSED("\x80\x02(U\7storagectorch\nFloatStorage\nU\1kU\3cpuJ\xff\xff\xff\xffNtQ.",
            "'storage', type, key");
    REFUSED("\x80\x02" STORAGE "(U\7storagectorch\nFloatStorage\nU\1kU\3cpuK\5NtQ.", "its key with another");
    REFUSED("\x80\x02X\xff\xff\xff\x7f.", "found the end of the data");
    REFUSED("\x80\x02\x8d\xff\xff\xff\xff\xff\xff\xff\xff.", "found the end of the data");
    REFUSED("\x80\x02"
            "ctorch",
            "found the end of the data");
    REFUSED("\x80\x02K\1.", "expected a dict of tensors");
    REFUSED("\x80\x02}.", "found no tensor");
    REFUSED("\x80\x02}(U\1w" ONE_TENSOR "U\1w" ONE_TENSOR "u.", "found the name twice");
    REFUSED("\x80\x02}G12345678" ONE_TENSOR "s.", "found another key");
    REFUSED("\x80\x02}U\2a\0" ONE_TENSOR "s.", "found another key");
    REFUSED("\x80\x02}U\2a\xff" ONE_TENSOR "s.", "expected names in UTF-8");
    REFUSED("\x80\x02}q\1U\1ah\1s.", "expected at most 16 dicts in each other");
}

static void bad_views(void **state) {
    (void)state;
    REFUSED("\x80\x02" TENSOR("K\1", "K\4\x85", "K\1\x85") ".", "a view that reaches 4");
    REFUSED("\x80\x02" TENSOR("K\0", "K\2\x85", "K\4\x85") ".", "a view that reaches 4");
    REFUSED("\x80\x02" TENSOR("J\xff\xff\xff\xff", "K\4\x85", "K\1\x85") ".",
            "an offset that is not negative");
    REFUSED("\x80\x02" TENSOR("K\0", "J\xff\xff\xff\xff\x85", "K\1\x85") ".", "number 0 of the size");
    REFUSED("\x80\x02" TENSOR("K\3", "K\2\x85", "J\xff\xff\xff\xff\x85") ".", "number 0 of the strides");
    REFUSED("\x80\x02" TENSOR("K\0", "K\4\x85", ")") ".", "found 0, expected 1 strides");
    REFUSED("\x80\x02" TENSOR("K\0", "(K\1K\1K\1K\1K\1K\1K\1K\1K\1t", ")") ".", "9 in the size");
    REFUSED("\x80\x02" TENSOR("K\0", "K\4", "K\1\x85") ".", "a tuple as the size");
#define BIG "\x8a\x08\0\0\0\0\0\0\0\x40"
    REFUSED("\x80\x02" TENSOR("K\0", BIG "K\2\x86", "K\0K\0\x86") ".", "found an overflow");
    REFUSED("\x80\x02" TENSOR("K\0", "K\4\x85", BIG "\x85") ".", "found an overflow");
    REFUSED("\x80\x02" TENSOR(BIG, "K\2\x85", BIG "\x85") ".", "found an overflow");
    REFUSED("\x80\x02}U\1w" TENSOR("K\0", BIG "\x85", "K\0\x85") "s.", "repeat their storages");
    REFUSED("\x80\x02}U\1w" TENSOR("K\0", "J\0\0\0\4\x85", "K\0\x85") "s.", "repeat their storages");
}

/* Bytes that would grow without bound in a machine that does not count. */
static void bombs(void **state) {
    (void)state;
    cm_buf buf = CM_BUF_EMPTY;
    cm_buf_append(&buf, "\x80\x02", 2);
    for (int i = 0; i < 3000000; i++) cm_buf_append(&buf, "}", 1);
    assert_object_refused(buf.data, buf.len, "expected at most");
    cm_buf_clear(&buf);
    cm_buf_append(&buf, "\x80\x02N", 3);
    for (int i = 0; i < 3000000; i++) cm_buf_append(&buf, "2", 1);
    assert_object_refused(buf.data, buf.len, "values on the stack");
    cm_buf_clear(&buf);
    /* d0 = {a: tensor}, d1 = {a: d0, .. d: d0}, ..: 4^15 names from a few bytes */
    cm_buf_append(&buf, "\x80\x02}U\1a", 6);
    cm_buf_append(&buf, ONE_TENSOR "sq\1", sizeof(ONE_TENSOR "sq\1") - 1);
    static const char four[] = "0}(U\1ah\1U\1bh\1U\1ch\1U\1dh\1uq\1";
    for (int i = 0; i < 15; i++) cm_buf_append(&buf, four, sizeof four - 1);
    cm_buf_append(&buf, ".", 1);
    assert_object_refused(buf.data, buf.len, "state dict: found");
    cm_buf_clear(&buf);
    /* tuples of tuples, 10^5 deep: built without recursion, then refused because it is no dict */
    cm_buf_append(&buf, "\x80\x02)", 3);
    for (int i = 0; i < 100000; i++) cm_buf_append(&buf, "\x85", 1);
    cm_buf_append(&buf, ".", 1);
    assert_object_refused(buf.data, buf.len, "expected a dict of tensors");
    cm_buf_clear(&buf);
}

static void bad_storages(void **state) {
    (void)state;
    REFUSED_AFTER("\x80\x02}.", "expected the list of storages");
    REFUSED_AFTER("\x80\x02](U\1je." BYTES, "expected each storage of the pickle once");
    REFUSED_AFTER("\x80\x02](U\1kU\1ke." BYTES BYTES, "expected each storage of the pickle once");
    REFUSED_AFTER("\x80\x02].", "without its bytes");
    REFUSED_AFTER(KEYS BYTES "x", "expected the end of the file");
    REFUSED_AFTER(KEYS "\5\0\0\0\0\0\0\0aaaabbbbccccdddd", "found 5, expected 4 elements by the pickle");
    static const char version[] = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02K\1.";
    static const char order[] = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03."
                                "\x80\x02}X\x0d\0\0\0little_endian\x89s.";
    temp_file old = temp_bytes(version, sizeof version - 1), big = temp_bytes(order, sizeof order - 1);
    temp_file other = temp_bytes("\x80\x02K\1.", 5);
    assert_file_refused(old.path, CM_DATA, "expected version 1001");
    assert_file_refused(big.path, CM_DATA, "expected little_endian true");
    assert_file_refused(other.path, CM_DATA, "found another pickle");
    unlink(old.path);
    unlink(big.path);
    unlink(other.path);
}

/* ---- damage ---- */

static void truncated_at_every_byte(void **state) {
    (void)state;
    static const char *const names[] = {"torch_module.pt", "torch_legacy.pt", "torch_protocol4.pt"};
    for (int i = 0; i < 3; i++) {
        size_t size;
        unsigned char *bytes = file_bytes(fixture(names[i]), &size);
        temp_file temp = temp_bytes(bytes, size);
        while (size-- > 0) {
            cm_torch_file *file = NULL;
            cm_error error = {0};
            assert_int_equal(truncate(temp.path, (off_t)size), 0);
            assert_int_equal(cm_torch_file_open(&file, temp.path, &error), CM_DATA);
        }
        unlink(temp.path);
        free(bytes);
    }
}

/* Every byte in turn is changed: the file is read or refused. In the archive a change in the storages is
 * always seen. */
static void changed_at_every_byte(void **state) {
    (void)state;
    static const char *const names[] = {"torch_module.pt", "torch_legacy.pt", "torch_zip.pt"};
    for (int i = 0; i < 3; i++) {
        size_t size;
        unsigned char *bytes = file_bytes(fixture(names[i]), &size);
        temp_file temp = temp_bytes(bytes, size);
        FILE *stream = fopen(temp.path, "r+b");
        assert_non_null(stream);
        setbuf(stream, NULL);
        for (size_t at = 0; at < size; at++) {
            cm_torch_file *file = NULL;
            cm_error error = {0};
            fseek(stream, (long)at, SEEK_SET);
            fputc(bytes[at] ^ (at % 2 ? 0xff : 1), stream);
            cm_status status = cm_torch_file_open(&file, temp.path, &error);
            assert_true(status == CM_OK || status == CM_DATA);
            cm_torch_file_close(file);
            fseek(stream, (long)at, SEEK_SET);
            fputc(bytes[at], stream);
        }
        fclose(stream);
        unlink(temp.path);
        free(bytes);
    }
}

static void checksum_is_checked(void **state) {
    (void)state;
    size_t size, at = 0;
    unsigned char *bytes = file_bytes(fixture("torch_module.pt"), &size);
    const float wanted[] = {0, 1, 2, 3, 4, 5};
    while (at + sizeof wanted <= size && memcmp(bytes + at, wanted, sizeof wanted) != 0) at++;
    assert_true(at + sizeof wanted <= size);
    bytes[at + 5] ^= 1;
    temp_file temp = temp_bytes(bytes, size);
    assert_file_refused(temp.path, CM_DATA, "expected the checksum of the archive");
    unlink(temp.path);
    free(bytes);
}

/* An entry of the same letters in another case is another entry. */
static void names_of_entries_are_exact(void **state) {
    (void)state;
    size_t size;
    int renamed = 0;
    unsigned char *bytes = file_bytes(fixture("torch_module.pt"), &size);
    for (size_t at = 0; at + 7 <= size; at++) {
        if (memcmp(bytes + at, "/data/0", 7) != 0) continue;
        memcpy(bytes + at, "/DATA/0", 7);
        renamed++;
    }
    assert_int_equal(renamed, 2); /* before the entry and in the directory */
    temp_file temp = temp_bytes(bytes, size);
    assert_file_refused(temp.path, CM_DATA, "data/0: found none");
    unlink(temp.path);
    free(bytes);
}

static void every_allocation_may_fail(void **state) {
    (void)state;
    static const char *const names[] = {"torch_zip.pt", "torch_legacy.pt"};
    for (int i = 0; i < 2; i++) {
        for (long n = 0;; n++) {
            cm_torch_file *file = NULL;
            cm_error error = {0};
            fail_alloc_from(n);
            cm_status status = cm_torch_file_open(&file, fixture(names[i]), &error);
            bool failed = fail_alloc_stop();
            assert_int_equal(status, failed ? CM_MEMORY : CM_OK);
            cm_torch_file_close(file);
            if (!failed) break;
        }
    }
}

/* ---- published checkpoints ---- */

static double sum_of(const cm_tensor *tensor) {
    double sum = 0;
    assert_int_equal(tensor->dtype, CM_DTYPE_F32);
    for (size_t i = 0; i < tensor->bytes / 4; i++) {
        float value;
        memcpy(&value, (const char *)tensor->data + 4 * i, 4);
        sum += value;
    }
    return sum;
}

/* Sums of torch.load(file)[name].double().sum() */
static void reads_published_files(void **state) {
    (void)state;
    static const struct {
        const char *file, *name;
        size_t count;
        double sum;
    } rows[] = {
        {"molclr_gcn.pth", "x_embedding1.weight", 53, 3.8221902172466486},
        {"molclr_gcn.pth", "gnns.1.weight", 53, -82.83787880600653},
        {"pretraingnns_chem_gcn_contextpred.pth", "gnns.0.linear.weight", 47, -121.24776381473635},
        {"pretraingnns_chem_gcn_supervised_contextpred.pth", "gnns.1.linear.weight", 47, -10584.946957271048},
        {"rnabert_RNABERT.pth", "bert.embeddings.LayerNorm.gamma", 117, 36.878490410745144},
        {"rnabert_bert_mul_2.pth", "module.bert.embeddings.position_embeddings.weight", 117,
         -36.35914190088647},
    };
    const char *root = getenv("CROSSMAMBA_DATA");
    if (!root) skip();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/weights/%s", root, rows[i].file);
        cm_torch_file *file = open_file(path);
        assert_int_equal(cm_torch_file_count(file), rows[i].count);
        assert_int_equal(cm_torch_file_skipped(file), 0);
        assert_true(fabs(sum_of(find(file, rows[i].name)) - rows[i].sum) < 1e-9);
        cm_torch_file_close(file);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_all_formats),
        cmocka_unit_test(bad_archives),
        cmocka_unit_test(made_file_is_good),
        cmocka_unit_test(an_empty_member_is_passed_over),
        cmocka_unit_test(a_storage_of_many_elements),
        cmocka_unit_test(bad_pickles),
        cmocka_unit_test(bad_views),
        cmocka_unit_test(bombs),
        cmocka_unit_test(bad_storages),
        cmocka_unit_test(truncated_at_every_byte),
        cmocka_unit_test(changed_at_every_byte),
        cmocka_unit_test(checksum_is_checked),
        cmocka_unit_test(names_of_entries_are_exact),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(reads_published_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
