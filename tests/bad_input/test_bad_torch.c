/* PyTorch checkpoints that are refused, through the reader and through `crossmamba models import`. What a
 * pickle may hold is in tests/io/test_torch_file.c. */
#include "bad_input.h"

#include "io/torch_file.h"

/* How many tensors there are and the name of the first. */
static cm_status read_torch(const char *path, char *note, size_t size, cm_error *error) {
    cm_torch_file *file = NULL;
    cm_status status = cm_torch_file_open(&file, path, error);
    if (status == CM_OK)
        snprintf(note, size, "%zu tensors, %s", cm_torch_file_count(file), cm_torch_file_get(file, 0)->name);
    cm_torch_file_close(file);
    return status;
}

/* ---- inputs ---- */

/* The fixture text. */
static char *fixture_bytes(const bad_row *row, size_t *size) {
    char name[128];
    snprintf(name, sizeof name, "tests/fixtures/%s", row->text);
    return bad_source_file(name, size);
}

static void make_copy(const bad_row *row, const char *path) {
    size_t size;
    char *bytes = fixture_bytes(row, &size);
    bad_write(path, bytes, size);
    free(bytes);
}

/* Its first bytes: number in the thousand. */
static void make_cut(const bad_row *row, const char *path) {
    size_t size;
    char *bytes = fixture_bytes(row, &size);
    bad_write(path, bytes, size * row->number / 1000);
    free(bytes);
}

/* With a byte more. */
static void make_longer(const bad_row *row, const char *path) {
    size_t size;
    char *bytes = fixture_bytes(row, &size);
    bytes[size] = 'x'; /* there is room for one */
    bad_write(path, bytes, size + 1);
    free(bytes);
}

/* With another byte in the place of the last one of the first storage (entry data/0). */
static void make_other_value(const bad_row *row, const char *path) {
    size_t size;
    char *bytes = fixture_bytes(row, &size), *entry = memmem(bytes, size, "PK\7\10", 4);
    assert_non_null(entry);
    for (char *next = entry; next; next = memmem(next + 4, size - (size_t)(next + 4 - bytes), "PK\7\10", 4)) {
        if (memmem(bytes, (size_t)(next - bytes), "data/0", 6)) {
            entry = next;
            break;
        }
    }
    entry[-1] ^= 1;
    bad_write(path, bytes, size);
    free(bytes);
}

/* The older format with text (number bytes) in the place of the number of its version, 1001 in two bytes. */
static void make_version(const bad_row *row, const char *path) {
    size_t size;
    char *bytes = bad_source_file("tests/fixtures/torch_legacy.pt", &size);
    char *at = memmem(bytes, size, "M\xe9\3.", 4);
    assert_non_null(at);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fwrite(bytes, 1, (size_t)(at - bytes), file);
    fwrite(row->text, 1, row->number, file);
    fwrite(at + 3, 1, size - (size_t)(at + 3 - bytes), file);
    assert_int_equal(fclose(file), 0);
    free(bytes);
}

#define VERSION(name, text, status, says) \
    { name, text, 0, status, says, make_version, sizeof(text) - 1, NULL }

/* A pickle that begins with None and goes on with number times text. */
static void make_bomb(const bad_row *row, const char *path) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fputs("\x80\x02N", file);
    for (size_t i = 0; i < row->number; i++) fputs(row->text, file);
    assert_int_equal(fclose(file), 0);
}

#define IMPORT "models import IN"
#define TEXT(name, text, says) \
    { name, text, sizeof(text) - 1, CM_DATA, says, NULL, 0, IMPORT }
#define COPY(name, file, says) \
    { name, file, 0, CM_DATA, says, make_copy, 0, IMPORT }
#define CUT(file, thousandths, says) \
    { "cut at " #thousandths " of 1000, " file, file, 0, CM_DATA, says, make_cut, thousandths, IMPORT }

static const bad_row rows[] = {
    {"a module", "torch_module.pt", 0, CM_OK, "3 tensors, module.a.weight", make_copy, 0, NULL},
    {"the older format", "torch_legacy.pt", 0, CM_OK, "21 tensors, f32", make_copy, 0, NULL},
    {"protocol 4", "torch_protocol4.pt", 0, CM_OK, "21 tensors, f32", make_copy, 0, NULL},
    {"empty", "", 0, CM_DATA, "found an empty file, expected a PyTorch checkpoint", NULL, 0, IMPORT},
    TEXT("protocol 1", "\x80\1N.", "found protocol 1, expected pickle protocol 2 to 5"),
    TEXT("protocol 5", "\x80\5N.", "found another pickle, expected the number that begins"),
    TEXT("protocol 6", "\x80\6N.", "found protocol 6"),
    VERSION("1001 in two bytes", "\x8a\2\xe9\3", CM_OK, "21 tensors, f32"),
    VERSION("1001 in three bytes", "\x8a\3\xe9\3\0", CM_OK, "21 tensors, f32"),
    VERSION("-23 in one byte", "\x8a\1\xe9", CM_DATA, "version"),
    VERSION("-64535 in three bytes", "\x8a\3\xe9\3\xff", CM_DATA, "version"),
    TEXT("text", "text", "neither a zip archive nor a pickle"),
    TEXT("a safetensors file", "\2\0\0\0\0\0\0\0{}", "neither a zip archive nor a pickle"),
    TEXT("gzip", "\x1f\x8b\x08\0\0\0\0\0\0\3", "neither a zip archive nor a pickle"),
    TEXT("HDF5", "\x89HDF\r\n\x1a\n", "neither a zip archive nor a pickle"),
    TEXT("the begin of a zip archive", "PK\3\4 and no more", "expected a complete zip archive"),
    TEXT("an empty zip archive", "PK\5\6\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
         "neither a zip archive nor a pickle"),
    TEXT("the begin of a pickle", "\x80\x02",
         "byte 2: found the end of the data, expected a complete pickle"),
    TEXT("a call of system",
         "\x80\x02"
         "cos\nsystem\nU\4true\x85R.",
         "byte 2: found global os.system, expected only what plain tensors need"),
    COPY("a call of system in an archive", "torch_hostile.pt",
         "found global posix.system, expected only what"),
    COPY("compressed", "torch_deflated.pt", "expected an entry that is stored"),
    COPY("the other byte order", "torch_big_endian.pt", "byteorder: found another byte order"),
    COPY("a storage that is not there", "torch_no_storage.pt", "data/0: found none"),
    COPY("a storage that is too short", "torch_short_storage.pt", "found 20, expected 24 bytes by data.pkl"),
    {"another value", "torch_module.pt", 0, CM_DATA,
     "data/0: found other bytes, expected the checksum of the archive", make_other_value, 0, IMPORT},
    {"a byte more, archive", "torch_module.pt", 0, CM_DATA, "expected a complete zip archive", make_longer, 0,
     IMPORT},
    {"a byte more, older format", "torch_legacy.pt", 0, CM_DATA, "expected the end of the file", make_longer,
     0, IMPORT},
    CUT("torch_module.pt", 1, "neither a zip archive nor a pickle"),
    CUT("torch_module.pt", 500, "expected a complete zip archive"),
    CUT("torch_module.pt", 999, "expected a complete zip archive"),
    CUT("torch_legacy.pt", 1, "byte 2: found the end of the data, expected a complete pickle"),
    CUT("torch_legacy.pt", 100, "byte 338: found the end of the data, expected a complete pickle"),
    CUT("torch_legacy.pt", 500, "byte 1689: found the end of the data, expected a complete pickle"),
    CUT("torch_legacy.pt", 999,
        "byte 3345: found 44 before the end of the file, expected 48 bytes of a storage"),
    CUT("torch_protocol4.pt", 750, "expected a complete zip archive"),
    {"3 million values", "2", 0, CM_DATA,
     "byte 262146: found more, expected at most 262144 values on the stack", make_bomb, 3000000, IMPORT},
    {"3 million dicts", "}", 0, CM_DATA,
     "byte 262146: found more, expected at most 262144 values on the stack", make_bomb, 3000000, IMPORT},
    {"10^6 tuples in each other", "\x85", 0, CM_DATA,
     "byte 524289: found more, expected at most 524288 objects", make_bomb, 1000000, IMPORT},
    {"a folder", "", 0, CM_IO, "found a directory, expected a regular file", bad_make_folder, 0, IMPORT},
    {"a FIFO", "", 0, CM_IO, "found a FIFO, expected a regular file", bad_make_fifo, 0, IMPORT},
    {"a link to /dev/zero", "/dev/zero", 0, CM_IO, "found a device, expected a regular file", bad_make_link,
     0, IMPORT},
};

static void test_rows(void **state) {
    (void)state;
    BAD_RUN(rows, "in.pt", read_torch);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
