/* HDF5 files that crossmamba-h5 refuses or takes, through its reader and through the program, and safetensors
 * that it does not turn into HDF5. The files are made here, by the HDF5 library. */
#include "bad_input.h"
#include "h5_files.h"

#include "h5/h5.h"
#include "io/safetensors.h"

static cm_status read_all(const char *path, char *note, size_t size, cm_error *error) {
    cm_h5_list list;
    H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
    cm_status status = cm_h5_read(&list, path, error);
    size_t used = 0;
    for (size_t i = 0; status == CM_OK && i < list.count && i < 2; i++)
        used += (size_t)snprintf(note + used, size - used, "%.32s:%zu:%g ", list.ids[i],
                                 list.tensors[i].bytes, (double)*(const float *)list.tensors[i].data);
    if (status == CM_OK && list.count > 2) snprintf(note + used, size - used, "of %zu", list.count);
    cm_h5_list_clear(&list);
    return status;
}

/* ---- from HDF5 ---- */

#define IN "from IN OUT"
#define TAKEN(name, number, says) \
    { name, NULL, 0, CM_OK, says, make_file, number, IN }
#define REFUSED(name, number, says) \
    { name, NULL, 0, CM_DATA, says, make_file, number, IN }
#define ODD(name, kind, says) \
    { name, NULL, 0, CM_DATA, says, make_odd, kind, IN }
#define DIMENSION(name, value, says) \
    { name, NULL, 0, CM_DATA, says, make_dimension, value, IN }

static const bad_row from_h5[] = {
    TAKEN("tokens", 0, "a:24:1 b:12:0 "),
    TAKEN("a vector", 1, "a:16:2 "),
    TAKEN("big-endian", 2, "a:12:3 "),
    TAKEN("bfloat16", 3, "a:12:4 "),
    TAKEN("NaN and an infinity (refused by store import)", 19, "a:12:nan b:12:-inf "),
    {"no dataset", NULL, 0, CM_OK, "", make_odd, EMPTY, IN},
    {"2,000 datasets", NULL, 0, CM_OK, "0:4:0 1:4:0 of 2000", make_many, 2000, IN},
    /* types */
    REFUSED("64-bit floats", 4, "dataset a: found another type, expected 32- or 16-bit floats"),
    REFUSED("whole numbers", 5, "dataset a: found another type"),
    REFUSED("text", 6, "dataset a: found another type"),
    REFUSED("complex numbers", 7, "dataset a: found another type"),
    REFUSED("arrays as elements", 8, "dataset a: found another type"),
    REFUSED("lists", 9, "dataset a: found another type"),
    REFUSED("references", 10, "dataset a: found another type"),
    /* shapes */
    REFUSED("a scalar", 11, "dataset a: found 0 dimensions, expected [residues, width] or [width]"),
    REFUSED("no space", 12, "dataset a: found 0 dimensions"),
    REFUSED("three dimensions", 13, "dataset a: found 3 dimensions"),
    REFUSED("no values", 14, "dataset a: found none, expected at least one number"),
    REFUSED("no rows", 15, "dataset a: found none, expected at least one number"),
    REFUSED("no columns", 16, "dataset a: found none, expected at least one number"),
    REFUSED("another width", 17, "dataset b: found width 4, expected 3 as in the datasets before"),
    REFUSED("tokens and a vector of another width", 18, "dataset b: found width 2, expected 3"),
    REFUSED("2^80 numbers", 33, "dataset a: found an overflow, expected a shape that fits"),
    REFUSED("2^32 numbers without data", 34, "dataset a: found none, expected data for 4294967296 numbers"),
    DIMENSION("dimension -1", SIZE_MAX, "in: "),
    DIMENSION("dimension 2^63", (size_t)1 << 63, "dataset a: "),
    DIMENSION("dimension 2^33", (size_t)1 << 33, "dataset a: "),
    DIMENSION("dimension 1,000", 1000, "dataset a: "),
    /* ids */
    TAKEN("ids of fixed and variable length", 20, "x y:12:0 P1/2:12:0 "),
    REFUSED("an id twice", 21, "dataset b: found same, which one before has, expected an id of its own"),
    REFUSED("an id that is another's name", 22, "dataset b: found b, which one before has"),
    REFUSED("an empty id", 23, "dataset a: found an empty original_id, expected an id"),
    REFUSED("an id that is no UTF-8", 24, "dataset a: found other bytes, expected an id in UTF-8"),
    REFUSED("a name that is no UTF-8", 25, "found other bytes, expected an id in UTF-8"),
    ODD("a number as id", NUMBER_ID, "dataset a: found something else, expected a text in original_id"),
    ODD("two texts as id", LIST_ID, "dataset a: found something else, expected a text in original_id"),
    /* links */
    ODD("a soft link", SOFT, "dataset a: found a soft link, expected a dataset of this file"),
    ODD("soft links in a cycle", CYCLE, "dataset a: found a soft link"),
    ODD("a soft link to itself", LOOP, "dataset a: found a soft link"),
    ODD("a soft link to nothing", DANGLING, "dataset a: found a soft link"),
    ODD("an external link", EXTERNAL, "dataset a: found an external link, expected a dataset of this file"),
    ODD("a group", GROUP, "dataset a: found a group or a type, expected a dataset"),
    ODD("the root in itself", HARD_CYCLE, "dataset a: found a group or a type"),
    ODD("a named type", NAMED_TYPE, "dataset a: found a group or a type"),
    /* storage */
    TAKEN("deflate", 26, "a:480:5 "),
    REFUSED("a filter plugin", 27,
            "dataset a: found filter 32015 (), expected no filters but deflate and shuffle"),
    REFUSED("checksums", 28, "dataset a: found filter 3 (fletcher32)"),
    REFUSED("scale and offset", 29, "dataset a: found filter 6 (scaleoffset)"),
    REFUSED("external storage", 30, "dataset a: found external storage, expected data in this file"),
    ODD("a virtual dataset", VIRTUAL, "dataset a: found a virtual dataset, expected data in this file"),
    REFUSED("4 TB without a byte", 31, "dataset a: found none, expected data for 1024000000000 numbers"),
    REFUSED("three numbers without a byte", 32, "dataset a: found none, expected data for 3 numbers"),
    TAKEN("a chunk of 8 MiB for six numbers", 35, "a:24:6 "),
    REFUSED("a larger chunk", 36, "dataset a: found larger ones, expected chunks of at most 8 MiB"),
    REFUSED("20 MB in some kB", 37, "dataset a: found more, expected 16"),
    REFUSED("16.4 MB in two datasets", 38, "dataset b: found more, expected 16"),
    /* what is no HDF5 */
    {"an empty file", "", 0, CM_DATA, "in: found another one, expected an HDF5 file", NULL, 0, IN},
    {"text", ">a\nACGU\n", 0, CM_DATA, "in: found another one, expected an HDF5 file", NULL, 0, IN},
    {"the signature alone", "\x89HDF\r\n\x1a\n", 0, CM_DATA, "in: found a damaged one", NULL, 0, IN},
    {"a folder", NULL, 0, CM_IO, "in: found a directory, expected a regular file", bad_make_folder, 0, IN},
    {"a FIFO", NULL, 0, CM_IO, "in: found a FIFO, expected a regular file", bad_make_fifo, 0, IN},
    {"/dev/zero", "/dev/zero", 0, CM_IO, "in: found a device, expected a regular file", bad_make_link, 0, IN},
    {"a link to nothing", "nothing", 0, CM_IO, "in: cannot open: No such file", bad_make_link, 0, IN},
};

static void test_from_h5(void **state) {
    (void)state;
    BAD_RUN(from_h5, "in", read_all);
}

/* ---- damage ---- */

/* Tokens in one piece and in packed chunks, ids of both kinds. */
static const h5_set whole[] = {
    {.name = "a", .n_dims = 2, .dims = {2, 3}, .id = "x", .id_variable = 1, .first = 1},
    {.name = "b", .n_dims = 2, .dims = {40, 3}, .chunk = {16, 3}, .how = DEFLATE, .id = "y", .first = 2},
};

static void make_whole(const bad_row *row, const char *path) {
    (void)row;
    hid_t file = create(path);
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) put_set(file, &whole[i]);
    H5Fclose(file);
}

/* The file at path, to be freed. */
static char *take_bytes(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    char *bytes = malloc(1 << 20);
    assert_non_null(file);
    assert_non_null(bytes);
    *size = fread(bytes, 1, 1 << 20, file);
    fclose(file);
    return bytes;
}

static cm_status read_quietly(void *path, cm_error *error) {
    char note[512];
    return read_all(path, note, sizeof note, error);
}

/* Reads the file cut at every length, with slow sanitizers at every fifth; says which was taken. */
static cm_status read_cut(const char *path, char *note, size_t size, cm_error *error) {
    size_t length = 0, step = bad_measures_memory() ? 1 : 5;
    char *bytes = take_bytes(path, &length);
    (void)error;
    snprintf(note, size, "each refused");
    for (size_t i = 0; i < length; i += step) {
        bad_write(path, bytes, i);
        if (read_quietly((void *)(uintptr_t)path, NULL) == CM_OK)
            snprintf(note, size, "taken: %zu of %zu bytes", i, length);
    }
    free(bytes);
    return CM_OK;
}

/* Reads the file with every 16th byte changed, from part on, each time in a process of its own as the program
 * does: the library may end or be out of memory there, and nothing worse. */
enum { PARTS = 16 };
static size_t part;

static cm_status read_changed(const char *path, char *note, size_t size, cm_error *error) {
    size_t length = 0;
    char *bytes = take_bytes(path, &length);
    (void)error;
    snprintf(note, size, "refused or read");
    for (size_t i = part; i < length; i += PARTS) {
        unsigned char was = (unsigned char)bytes[i];
        const int values[] = {was ^ 1 << i % 8, 255, was + 1};
        bytes[i] = (char)values[i % 3];
        bad_write(path, bytes, length);
        cm_status status = cm_h5_apart(read_quietly, (void *)(uintptr_t)path, path, length, NULL);
        /* a sanitizer ends the process at a fault of the library, without a signal */
        bool ended = status == CM_IO && !bad_measures_memory();
        if (status != CM_OK && status != CM_DATA && status != CM_MEMORY && !ended)
            snprintf(note, size, "byte %zu: status %d", i, (int)status);
        bytes[i] = (char)was;
    }
    free(bytes);
    return CM_OK;
}

static const bad_row cut[] = {
    {"cut at every length", NULL, 0, CM_OK, "each refused", make_whole, 0, NULL},
};
static const bad_row changed[] = {
    {"bytes changed", NULL, 0, CM_OK, "refused or read", make_whole, 0, NULL},
};

static void test_damage(void **state) {
    (void)state;
    BAD_RUN(cut, "in", read_cut);
    for (part = 0; part < PARTS; part++) BAD_RUN(changed, "in", read_changed);
}

/* ---- what ends the process that reads ---- */

static cm_status crash(void *context, cm_error *error) {
    (void)error;
    bad_limits(); /* no cmocka */
    raise(*(const int *)context);
    return CM_OK;
}

static cm_status spin(void *context, cm_error *error) {
    (void)error;
    for (volatile int *count = context; *count >= 0;) *count ^= 1;
    return CM_OK;
}

static cm_status take_memory(void *context, cm_error *error) {
    const size_t bytes = *(const size_t *)context;
    char *memory = malloc(bytes);
    cm_status status = memory ? CM_OK : cm_fail_memory(error, bytes);
    free(memory);
    return status;
}

static cm_status give_up(void *context, cm_error *error) {
    return cm_fail(error, CM_DATA, context, "somewhere", "that", "this");
}

static cm_status leave(void *context, cm_error *error) {
    (void)context;
    (void)error;
    _exit(0);
}

static void assert_apart(cm_h5_work work, void *context, cm_status status, const char *says) {
    cm_error error = {.status = CM_OK};
    char line[1024];
    assert_int_equal(cm_h5_apart(work, context, "x.h5", 1000, &error), status);
    assert_int_equal(error.status, status);
    if (status != CM_OK) assert_non_null(strstr(cm_error_line(&error, line, sizeof line), says));
    assert_int_equal(cm_h5_apart(work, context, "x.h5", 1000, NULL), status);
}

static void test_apart(void **state) {
    (void)state;
    int segv = SIGSEGV, count = 0;
    size_t few = 1000000, many = 200000000;
    char name[] = "x.h5";
    assert_apart(crash, &segv, CM_DATA, "x.h5: found one at which the HDF5 library ends: Segmentation fault");
    assert_apart(give_up, name, CM_DATA, "x.h5: somewhere: found this, expected that");
    assert_apart(leave, NULL, CM_IO, "x.h5: the reader has ended");
    assert_apart(take_memory, &few, CM_OK, NULL);
    if (bad_measures_memory()) assert_apart(take_memory, &many, CM_MEMORY, "out of memory");
    assert_int_equal(cm_h5_apart(spin, &count, "x.h5", 0, NULL), CM_DATA);
}

/* ---- the other way ---- */

#define ENTRY(dtype, shape, bytes) \
    "{\"dtype\":\"" dtype "\",\"shape\":[" shape "],\"data_offsets\":[0," #bytes "]}"

/* text as header, row->number bytes of zeros. */
static void make_safetensors(const bad_row *row, const char *path) {
    char bytes[512] = {0};
    size_t length = strlen(row->text);
    assert_true(length < 255 && length + row->number + 8 <= sizeof bytes);
    bytes[0] = (char)(unsigned char)length;
    memcpy(bytes + 8, row->text, length);
    bad_write(path, bytes, 8 + length + row->number);
}

#define TO(name, header, bytes, status, says) \
    { name, header, 0, status, says, make_safetensors, bytes, "to IN OUT" }

static const bad_row to_h5[] = {
    TO("a vector", "{\"a\":" ENTRY("F32", "3", 12) "}", 12, CM_OK, ""),
    TO("no tensors", "{}", 0, CM_OK, ""),
    TO("whole numbers", "{\"a\":" ENTRY("I32", "3", 12) "}", 12, CM_DATA,
       "in: tensor a: found I32, expected F32 or F16"),
    TO("a scalar", "{\"a\":" ENTRY("F32", "", 4) "}", 4, CM_DATA,
       "in: tensor a: found 0 dimensions, expected [rows, width] or [width]"),
    TO("three dimensions", "{\"a\":" ENTRY("F32", "1,1,3", 12) "}", 12, CM_DATA,
       "in: tensor a: found 3 dimensions"),
    TO("no rows", "{\"a\":" ENTRY("F32", "0,3", 0) "}", 0, CM_DATA,
       "in: tensor a: found none, expected at least one number"),
    TO("an empty id", "{\"\":" ENTRY("F32", "3", 12) "}", 12, CM_DATA,
       "in: found a tensor with an empty name, expected an id"),
    TO("data missing", "{\"a\":" ENTRY("F32", "3", 12) "}", 11, CM_DATA, "in: "),
    {"an HDF5 file", NULL, 0, CM_DATA, "in: ", make_file, 0, "to IN OUT"},
    {"a folder", NULL, 0, CM_IO, "in: found a directory, expected a regular file", bad_make_folder, 0,
     "to IN OUT"},
    {"a FIFO", NULL, 0, CM_IO, "in: found a FIFO, expected a regular file", bad_make_fifo, 0, "to IN OUT"},
    {"a folder that is not there", "{\"a\":" ENTRY("F32", "3", 12) "}", 0, CM_IO,
     "x.h5: cannot write: No such file", make_safetensors, 12, "to IN OUT/x.h5"},
    {"a device to write to", "{\"a\":" ENTRY("F32", "3", 12) "}", 0, CM_IO,
     "/dev/null: found a device, expected a regular file", make_safetensors, 12, "to IN /dev/null"},
};

static void test_to_h5(void **state) {
    (void)state;
    BAD_RUN(to_h5, "in", NULL);
}

/* ---- no room ---- */

static void limit_files(rlim_t bytes) {
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* An input, and from then on a limit on the size of files: a write that fails as on a full disk. */
static void make_and_limit(const bad_row *row, const char *path) {
    limit_files(RLIM_INFINITY);
    if (row->text)
        make_safetensors(row, path);
    else
        make_file(row, path);
    limit_files(512);
}

static const bad_row no_room[] = {
    {"HDF5", "{\"a\":" ENTRY("F32", "3", 12) "}", 0, CM_IO, "out: tensor a: HDF5 cannot write it",
     make_and_limit, 12, "to IN OUT"},
    {"safetensors", NULL, 0, CM_IO, "out: cannot write: File too large", make_and_limit, 26, "from IN OUT"},
};

static void test_no_room(void **state) {
    (void)state;
    BAD_RUN(no_room, "in", NULL);
}

static int no_limit(void **state) {
    (void)state;
    limit_files(RLIM_INFINITY);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_from_h5), cmocka_unit_test(test_damage),
                                       cmocka_unit_test(test_apart), cmocka_unit_test(test_to_h5),
                                       cmocka_unit_test_teardown(test_no_room, no_limit)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
