/* Files that the program keeps and reads again: splits, records of evaluations, embedding stores. Damaged,
 * cut, of something else; through the program alone. What a split file must hold is in
 * tests/data/test_split_kind.c, checkpoints are in tests/train/test_checkpoint.c. */
#include "bad_input.h"

#include "base/fail.h"
#include "io/embedding_store.h"

/* ---- text ---- */

/* number times text between brackets. */
static void make_many(const bad_row *row, const char *path) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fputs("[0", file);
    for (size_t i = 0; i < row->number; i++) fputs(row->text, file);
    fputs("]", file);
    assert_int_equal(fclose(file), 0);
}

/* The same as the member "repeats" of a split file of no known data. */
static void make_many_repeats(const bad_row *row, const char *path) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fputs("{\"format\":\"crossmamba splits 1\",\"data\":\"0\",\"pairs\":7,\"kind\":\"random\",\"repeats\":[0",
          file);
    for (size_t i = 0; i < row->number; i++) fputs(row->text, file);
    fputs("]}", file);
    assert_int_equal(fclose(file), 0);
}

#define EVAL                                                                             \
    "eval --task rna-protein --a examples/rna.fasta --b examples/protein.fasta --pairs " \
    "examples/rna-protein.tsv "                                                          \
    "--compare id-only --splits IN --out OUT --quiet"
#define HEAD "{\"format\":\"crossmamba splits 1\",\"data\":\"0\",\"pairs\":7,"
#define SPLITS(name, text, says) \
    { name, text, sizeof(text) - 1, CM_DATA, says, NULL, 0, EVAL }

static const bad_row splits[] = {
    SPLITS("empty", "", "in: not JSON: byte 0"),
    SPLITS("text", "fold 1", "in: not JSON: byte 0"),
    SPLITS("a byte order mark", "\xef\xbb\xbf{}", "in: not JSON: byte 0"),
    SPLITS("an array", "[1]", "in: found an array, expected an object of splits"),
    SPLITS("an empty object", "{}", "in: key format: found nothing, expected a string"),
    SPLITS("cut", HEAD "\"kind\":\"ran", "in: key kind: not JSON"),
    SPLITS("another format",
           "{\"format\":\"crossmamba splits 2\",\"data\":\"0\",\"pairs\":7,\"kind\":\"random\"}",
           "in: key format: found crossmamba splits 2, expected crossmamba splits 1"),
    SPLITS("other data", HEAD "\"kind\":\"random\",\"repeats\":[]}",
           "in: key data: found of another one (0, 7 pairs)"),
    SPLITS("pairs as text",
           "{\"format\":\"crossmamba splits 1\",\"data\":\"0\",\"pairs\":\"7\",\"kind\":\"random\"}",
           "in: key pairs: found a string, expected an integer"),
    SPLITS("a key twice", "{\"format\":\"a\",\"format\":\"a\"}",
           "in: key format: found it twice, expected each key once"),
    SPLITS("NUL", "{\"format\":\"a\0b\"}", "in: key format: not JSON"),
    SPLITS("65 levels",
           "{\"format\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["
           "]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}",
           "in: key format: found deeper nesting in the JSON text at byte 64, expected at most 64 levels"),
    {"40 MB of numbers in the place of a repeat", ",0", 0, CM_DATA, "in: key data: found of another one",
     make_many_repeats, 20000000, EVAL},
    {"a folder", NULL, 0, CM_IO, "in: found a directory, expected a regular file", bad_make_folder, 0, EVAL},
    {"a FIFO", NULL, 0, CM_IO, "in: found a FIFO, expected a regular file", bad_make_fifo, 0, EVAL},
};

static void test_splits(void **state) {
    (void)state;
    BAD_RUN(splits, "in", NULL);
}

#define REPORT "report IN --out OUT"
#define RECORD(name, text, says) \
    { name, text, sizeof(text) - 1, CM_DATA, says, NULL, 0, REPORT }

static const bad_row records[] = {
    RECORD("empty", "", "in: "),
    RECORD("text", "MCC 0.9", "in: "),
    RECORD("cut", "{\"format\":\"crossmamba evaluation\",\"format_v", "in: "),
    RECORD("another format", "{\"format\":\"another\",\"format_version\":2}", "in: "),
    RECORD("a newer version", "{\"format\":\"crossmamba evaluation\",\"format_version\":3}",
           "in: key format_version: found 3, expected 2"),
    {"2 GB of values", ",[]", 0, CM_DATA, "expected at most 48 MB of JSON values", make_many, 2000000,
     REPORT},
    {"a folder", NULL, 0, CM_IO, "in: found a directory, expected a regular file", bad_make_folder, 0,
     REPORT},
    {"a FIFO", NULL, 0, CM_IO, "in: found a FIFO, expected a regular file", bad_make_fifo, 0, REPORT},
};

static void test_records(void **state) {
    (void)state;
    BAD_RUN(records, "in", NULL);
}

/* ---- embedding stores ---- */

static const float values[6] = {1, 2, 3, 4, 5, 6};

/* A store of two records of one encoder, in a folder. */
static void put_store(const char *path) {
    const cm_embeddings_record stored[] = {{"text", 4, 2, values}, {"more", 4, 1, values}};
    cm_embeddings *store = NULL;
    assert_int_equal(cm_embeddings_open_sized(&store, path, true, 1 << 20, NULL), CM_OK);
    assert_int_equal(cm_embeddings_put(store, "e", 3, stored, 2, NULL), CM_OK);
    cm_embeddings_close(store);
}

enum { WHOLE, CUT, ZEROS, ONES, TEXT, EMPTY, FOLDER, NO_FILE, OTHER_FILES };
enum { PAGE = 4096, MOST = 1 << 20 };

static size_t read_bytes(const char *name, char bytes[MOST]) {
    FILE *file = fopen(name, "rb");
    assert_non_null(file);
    size_t size = fread(bytes, 1, MOST, file);
    assert_int_equal(fclose(file), 0);
    assert_true(size < MOST);
    return size;
}

/* ZEROS or ONES all over a page; false when the file has no such page. */
static bool fill_page(const char *name, size_t page, size_t how) {
    static char bytes[MOST];
    size_t size = read_bytes(name, bytes);
    if ((page + 1) * PAGE > size) return false;
    memset(bytes + page * PAGE, how == ONES ? 255 : 0, PAGE);
    bad_write(name, bytes, size);
    return true;
}

/* row->number: what is done; row->size: to which page (ZEROS, ONES), or how many pages stay (CUT). */
static void make_store(const bad_row *row, const char *path) {
    char name[256];
    put_store(path);
    snprintf(name, sizeof name, "%s/data.mdb", path);
    if (row->number == ZEROS || row->number == ONES) assert_true(fill_page(name, row->size, row->number));
    if (row->number == CUT) assert_int_equal(truncate(name, (off_t)row->size * PAGE), 0);
    if (row->number == EMPTY) assert_int_equal(truncate(name, 0), 0);
    if (row->number == TEXT) bad_write(name, row->says, strlen(row->says));
    if (row->number < FOLDER) return;
    assert_int_equal(unlink(name), 0);
    if (row->number == FOLDER) assert_int_equal(mkdir(name, 0777), 0);
    snprintf(name, sizeof name, "%s/notes.txt", path);
    if (row->number == OTHER_FILES) bad_write(name, "x", 1);
}

static cm_status read_store(const char *path, char *note, size_t size, cm_error *error) {
    cm_embeddings *store = NULL;
    int64_t rows = -2;
    CM_TRY(cm_embeddings_open(&store, path, false, error));
    cm_status status = cm_embeddings_get(store, "e", "text", 4, 3, &rows, NULL, error);
    cm_embeddings_close(store);
    snprintf(note, size, "%d rows", (int)rows);
    return status;
}

#define INFO "store info --store IN"
#define STORE(name, kind, page, status, says) \
    { name, NULL, page, status, says, make_store, kind, INFO }

static const bad_row stores[] = {
    STORE("whole", WHOLE, 0, CM_OK, "2 rows"),
    STORE("the first head of zeros: the other one has the state before", ZEROS, 0, CM_DATA,
          "data.mdb: found MDB_INVALID"),
    STORE("the first page of ones", ONES, 0, CM_DATA, "data.mdb: found MDB_INVALID"),
    STORE("cut behind the heads", CUT, 2, CM_DATA, "data.mdb: found MDB_"),
    STORE("cut inside the heads", CUT, 1, CM_DATA, "data.mdb: found MDB_"),
    STORE("text", TEXT, 0, CM_DATA, "data.mdb: found MDB_INVALID"),
    STORE("an empty file", EMPTY, 0, CM_DATA, "data.mdb: found an empty file, expected an embedding store"),
    STORE("a folder in the place of the file", FOLDER, 0, CM_DATA,
          "data.mdb: found something else, expected a regular file"),
    STORE("no file", NO_FILE, 0, CM_DATA, "found a folder without data.mdb, expected an embedding store"),
    STORE("other files", OTHER_FILES, 0, CM_DATA, "found a folder without data.mdb"),
    {"a file", "x", 1, CM_IO, "cannot open the embedding store: Not a directory", NULL, 0, INFO},
    {"a FIFO", NULL, 0, CM_IO, "cannot open the embedding store: Not a directory", bad_make_fifo, 0, INFO},
    {"a link to nothing", "nothing", 0, CM_IO, "cannot open the embedding store: No such file", bad_make_link,
     0, INFO},
};

static void test_stores(void **state) {
    (void)state;
    BAD_RUN(stores, "in", read_store);
}

/* Pages behind the heads, each of zeros and of ones: the program says so with one line, or tells what is
 * left. A page that leads beyond the file is the file's fault (decision 8). */
static void test_pages(void **state) {
    (void)state;
    const bad_row whole = {.name = "a page overwritten", .number = WHOLE};
    const long plain = bad_run_program("--help").peak_kib;
    int refused = 0;
    bad_failures = 0;
    bad_open_folder("in");
    for (size_t page = 2; page < 20; page++)
        for (size_t fill = ZEROS; fill <= ONES; fill++) {
            char name[256];
            put_store(bad_path);
            snprintf(name, sizeof name, "%s/data.mdb", bad_path);
            if (!fill_page(name, page, fill)) break;
            bad_outcome got = bad_run_program(INFO);
            int code = WEXITSTATUS(got.wait);
            bad_check_process(&whole, INFO, &got, plain);
            if (code != 0 &&
                ((code != 1 && code != 3) || bad_lines(got.line) != 1 || !strstr(got.line, "data.mdb")))
                bad_fail("page %zu: exit code %d: %s", page, code, got.line);
            refused += code != 0;
            assert_int_equal(nftw(bad_path, bad_remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
        }
    bad_remove_folder();
    assert_true(refused > 2);
    assert_int_equal(bad_failures, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_splits), cmocka_unit_test(test_records),
                                       cmocka_unit_test(test_stores), cmocka_unit_test(test_pages)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
