/* .npy and .npz files that are refused, through the reader and through `crossmamba store import`, whose
 * molecules must be those of the file. What numpy itself writes and how archives lie is in
 * tests/io/test_npy.c. */
#include "bad_input.h"

#include "io/npy.h"
#include <crossmamba/embed.h>
#include <math.h>

static cm_status read_arrays(const char *path, char *note, size_t size, cm_error *error) {
    cm_npy *file = NULL;
    cm_status status = cm_npy_open(&file, path, 1 << 20, error);
    size_t used = 0;
    for (size_t i = 0; status == CM_OK && i < cm_npy_count(file) && used < size; i++)
        used += (size_t)snprintf(note + used, size - used, "%s:%zu ", cm_npy_get(file, i)->name,
                                 cm_npy_get(file, i)->bytes);
    cm_npy_close(file);
    return status;
}

/* ---- headers ---- */

static void put_file(const char *path, const char *header, size_t length, size_t n_bytes) {
    const char preamble[] = {(char)0x93,         'N', 'U', 'M', 'P', 'Y', 1, 0, (char)(length & 0xff),
                             (char)(length >> 8)};
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fwrite(preamble, 1, sizeof preamble, file);
    fwrite(header, 1, length, file);
    for (size_t i = 0; i < n_bytes; i++) fputc('x', file);
    assert_int_equal(fclose(file), 0);
}

/* text as the header of version 1, and number bytes of data. */
static void make_header(const bad_row *row, const char *path) {
    put_file(path, row->text, strlen(row->text), row->number);
}

/* The same, filled up with blanks to size bytes. */
static void make_long_header(const bad_row *row, const char *path) {
    char *header = malloc(row->size);
    assert_non_null(header);
    memset(header, ' ', row->size);
    memcpy(header, row->text, strlen(row->text));
    put_file(path, header, row->size, row->number);
    free(header);
}

#define DICT(descr, order, shape) "{'descr': " descr ", 'fortran_order': " order ", 'shape': " shape ", }\n"
#define SHAPE(shape) DICT("'<f4'", "False", shape)
#define MAGIC "\x93NUMPY"
#define REFUSED(name, header, bytes, says) \
    { name, header, 0, CM_DATA, says, make_header, bytes, NULL }
#define TAKEN(name, header, bytes) \
    { name, header, 0, CM_OK, ":" #bytes " ", make_header, bytes, NULL }
#define BYTES(name, text, says) \
    { name, text, sizeof text - 1, CM_DATA, says, NULL, 0, NULL }

static const bad_row headers[] = {
    /* the preamble */
    {"empty file", "", 0, CM_DATA, "found 0 bytes, expected a NumPy file", NULL, 0, NULL},
    BYTES("nine bytes", MAGIC "\1\0\1", "found 9 bytes"),
    BYTES("eleven bytes of version 2", MAGIC "\2\0\1\0\0", "found 11 bytes"),
    BYTES("another magic", "\x92NUMPY\1\0\1\0{", "found other bytes, expected a NumPy file"),
    BYTES("version 0", MAGIC "\0\0\1\0{", "found 0.0, expected format version"),
    BYTES("version 4", MAGIC "\4\0\1\0{", "found 4.0"),
    BYTES("version 1.1", MAGIC "\1\1\1\0{", "found 1.1"),
    BYTES("a header beyond the end", MAGIC "\1\0\2\0{",
          "found header length 2, expected at most the 1 bytes that follow"),
    BYTES("a header of 4 GB", MAGIC "\2\0\xff\xff\xff\xff{", "found header length 4294967295"),
    {"a header of 10,000 bytes", SHAPE("()"), 10000, CM_OK, ":4 ", make_long_header, 4, NULL},
    {"a header of 10,001 bytes", SHAPE("()"), 10001, CM_DATA,
     "found header length 10001, expected at most 10000", make_long_header, 4, NULL},
    /* what is no plain array */
    REFUSED("Python objects", DICT("'|O'", "False", "(1,)"), 8,
            "header: found descr |O: Python objects, which only pickle reads"),
    REFUSED("big-endian", DICT("'>f4'", "False", "(1,)"), 4,
            "found descr >f4: big-endian, expected a plain little-endian type"),
    REFUSED("Fortran order", DICT("'<f4'", "True", "(2, 3)"), 24,
            "found Fortran order, expected fortran_order False"),
    REFUSED("text", DICT("'<U2'", "False", "(1,)"), 8, "found descr <U2: text"),
    REFUSED("records", DICT("[('a', '<f4')]", "False", "(1,)"), 4,
            "found a structured type (descr is a list)"),
    REFUSED("complex numbers", DICT("'<c8'", "False", "(1,)"), 8, "found descr <c8: complex numbers"),
    REFUSED("dates", DICT("'<M8[D]'", "False", "(1,)"), 8, "dates"),
    /* the header */
    TAKEN("2 x 3", SHAPE("(2, 3)"), 24),
    TAKEN("keys in another order and quotes", "{\"shape\":(2,3,),\"descr\":\"<f4\",\"fortran_order\":False}",
          24),
    TAKEN("a vector", SHAPE("(3,)"), 12),
    REFUSED("a number in parentheses", SHAPE("(3)"), 12, "found a number in parentheses"),
    REFUSED("a shape without parentheses", SHAPE("3"), 12,
            "found '3' at byte 50 of the dict, expected a shape such as"),
    REFUSED("dimension -1", SHAPE("(-1, 3)"), 12,
            "found '-' at byte 51 of the dict, expected dimensions that are whole"),
    REFUSED("dimension 1.5", SHAPE("(1.5,)"), 12, "found '.'"),
    REFUSED("dimension 3L", SHAPE("(3L,)"), 12, "found 'L'"),
    REFUSED("a leading zero", SHAPE("(03,)"), 12, "found a leading zero"),
    REFUSED("two commas", SHAPE("(3,,)"), 12, "found ','"),
    REFUSED("a comma alone", SHAPE("(,)"), 12, "found ','"),
    REFUSED("dimension 1e3", SHAPE("(1e3,)"), 12, "found 'e'"),
    REFUSED("(65536, 65536) without data", SHAPE("(65536, 65536)"), 0,
            "found 0 bytes of data, expected 17179869184 bytes"),
    REFUSED("a byte too few", SHAPE("(2, 3)"), 23,
            "found 23 bytes of data, expected 24 bytes by shape and type"),
    REFUSED("a byte too many", SHAPE("(2, 3)"), 25, "found 25 bytes of data, expected 24 bytes"),
    REFUSED("2^64 elements", SHAPE("(4294967296, 4294967296, 1)"), 0, "found an overflow"),
    REFUSED("2^64 bytes", SHAPE("(4611686018427387904,)"), 0, "found an overflow"),
    REFUSED("dimension 2^63", SHAPE("(9223372036854775808,)"), 0, "a dimension above 9223372036854775807"),
    TAKEN("an overflow behind a zero", SHAPE("(0, 9223372036854775807, 9223372036854775807)"), 0),
    REFUSED("an overflow before a zero", SHAPE("(9223372036854775807, 9223372036854775807, 0)"), 0,
            "found an overflow"),
    TAKEN("eight dimensions", SHAPE("(1,1,1,1,1,1,1,1)"), 4),
    REFUSED("nine dimensions", SHAPE("(1,1,1,1,1,1,1,1,1)"), 4, "found more, expected at most 8 dimensions"),
    REFUSED("false in lower case", DICT("'<f4'", "false", "(1,)"), 4, "found 'f' at byte 34"),
    REFUSED("0 for False", DICT("'<f4'", "0", "(1,)"), 4, "expected fortran_order True or False"),
    REFUSED("an unknown float", DICT("'<f16'", "False", "(1,)"), 4, "found descr <f16"),
    REFUSED("a type of 31 bytes", DICT("'a type of so many as 31 letters'", "False", "(1,)"), 4,
            "found descr a type of so many as 31 letters, expected"),
    REFUSED("a type of 32 bytes", DICT("'a type of so many as 32 letters.'", "False", "(1,)"), 4,
            "found another one, expected a string of at most 31 plain bytes"),
    REFUSED("no byte order", DICT("'f4'", "False", "(1,)"), 4, "found descr f4"),
    REFUSED("an empty type", DICT("''", "False", "(1,)"), 4, "found descr"),
    REFUSED("an escape", DICT("'<f\\x34'", "False", "(1,)"), 4,
            "expected a string of at most 31 plain bytes"),
    REFUSED("an open string", DICT("'<f4", "False", "(1,)"), 4, "found descr <f4, "),
    REFUSED("None for a type", DICT("None", "False", "(1,)"), 4,
            "found 'N' at byte 10 of the dict, expected a string"),
    REFUSED("a type with a shape", DICT("('<f4', (2,))", "False", "(1,)"), 4, "expected a string"),
    REFUSED("no shape", "{'descr': '<f4', 'fortran_order': False}", 4, "found no shape"),
    REFUSED("a key twice", "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': ()}", 4,
            "key descr twice"),
    REFUSED("an unknown key", "{'descr': '<f4', 'fortran_order': False, 'shape': (), 'x': 1}", 4,
            "found key x"),
    REFUSED("no comma between items", "{'descr': '<f4' 'fortran_order': False, 'shape': ()}", 4,
            "expected a comma or the end of the dict"),
    REFUSED("a semicolon for a colon", "{'descr'; '<f4', 'fortran_order': False, 'shape': ()}", 4,
            "expected a colon"),
    REFUSED("code behind the dict", "{'descr': '<f4', 'fortran_order': False, 'shape': ()} + f()", 4,
            "expected blanks after the dict"),
    REFUSED("code for a dict", "__import__('os').system('true')", 4,
            "found '_' at byte 0 of the dict, expected a Python dict"),
    REFUSED("an empty dict text", "", 0, "found the end of the header, expected a Python dict"),
    REFUSED("an open shape", "{'descr': '<f4', 'fortran_order': False, 'shape': (", 0,
            "found the end of the header"),
    REFUSED("an open dict", "{", 0, "found the end of the header, expected a string"),
    REFUSED("nested brackets", "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", 0, "expected a Python dict"),
    /* what is no file */
    {"a folder", NULL, 0, CM_IO, "found a directory, expected a regular file", bad_make_folder, 0, NULL},
    {"a FIFO", NULL, 0, CM_IO, "found a FIFO, expected a regular file", bad_make_fifo, 0, NULL},
    {"/dev/zero", "/dev/zero", 0, CM_IO, "found a device, expected a regular file", bad_make_link, 0, NULL},
};

static void test_headers(void **state) {
    (void)state;
    BAD_RUN(headers, "in.npy", read_arrays);
}

/* ---- embeddings made elsewhere ---- */

/* A tensor of an archive: of zeros, but for the first value. */
typedef struct member {
    const char *name;
    int n_dims;
    int64_t rows, columns;
    float first;
} member;

/* The proteins p (4 residues) and q (2) as archives of the row's number. */
static const member archives[][3] = {
    {{"p", 2, 4, 3, 1}, {"q", 2, 2, 3, 1}},
    {{"p", 1, 3, 0, 1}, {"q", 1, 3, 0, 1}},
    {{"p", 2, 4, 3, 1}},
    {{"p", 2, 4, 3, 1}, {"q", 2, 2, 3, 1}, {"r", 2, 9, 5, 1}},
    {{"p", 2, 5, 3, 1}, {"q", 2, 2, 3, 1}},
    {{"p", 2, 4, 3, 1}, {"q", 2, 1, 3, 1}},
    {{"p", 2, 4, 3, 1}, {"q", 2, 2, 4, 1}},
    {{"p", 2, 0, 3, 1}, {"q", 2, 2, 3, 1}},
    {{"p", 2, 4, 3, NAN}, {"q", 2, 2, 3, 1}},
    {{"p", 2, 4, 3, 1}, {"q", 2, 2, 3, -INFINITY}},
};

/* in/x.npz and in/molecules.fasta */
static void make_archive(const bad_row *row, const char *path) {
    char name[256];
    cm_npz_writer *writer = NULL;
    float values[64];
    assert_int_equal(mkdir(path, 0777), 0);
    snprintf(name, sizeof name, "%s/molecules.fasta", path);
    bad_write(name, row->text, strlen(row->text));
    snprintf(name, sizeof name, "%s/x.npz", path);
    assert_int_equal(cm_npz_create(&writer, name, NULL), CM_OK);
    for (const member *m = archives[row->number]; m < archives[row->number] + 3 && m->name; m++) {
        memset(values, 0, sizeof values);
        values[0] = m->first;
        cm_tensor tensor = {m->name, CM_DTYPE_F32, m->n_dims, {m->rows, m->columns}, values, 0};
        tensor.bytes = (size_t)(m->rows * (m->n_dims == 2 ? m->columns : 1)) * sizeof(float);
        assert_int_equal(cm_npz_add(writer, &tensor, NULL), CM_OK);
    }
    assert_int_equal(cm_npz_close(writer, CM_OK, NULL), CM_OK);
}

/* The archive of tests/io/test_npy.c that unpacks to a thousand times its size. */
static void make_bomb(const bad_row *row, const char *path) {
    char name[256];
    size_t size = 0;
    char *bytes = bad_source_file("tests/fixtures/npy/bomb.npz", &size);
    make_archive(&(bad_row){.text = row->text}, path);
    snprintf(name, sizeof name, "%s/x.npz", path);
    bad_write(name, bytes, size);
    free(bytes);
}

static cm_status import(const char *path, char *note, size_t size, cm_error *error) {
    char embeddings[256], molecules[256], store[256];
    long imported = 0;
    snprintf(embeddings, sizeof embeddings, "%s/x.npz", path);
    snprintf(molecules, sizeof molecules, "%s/molecules.fasta", path);
    snprintf(store, sizeof store, "%s/store", path);
    const cm_store_import_request request = {
        .embeddings = embeddings, .molecules = molecules, .type = CM_PROTEIN, .name = "mine"};
    cm_status status = cm_store_import(store, &request, &imported, NULL, error);
    snprintf(note, size, "%ld", imported);
    return status;
}

#define IMPORT \
    "store import IN/x.npz --a IN/molecules.fasta --type protein --name mine --store IN/store --quiet"
#define PROTEINS ">p\nMKVL\n>q\nAC\n"
#define ARCHIVE(name, number, status, says) \
    { name, PROTEINS, 0, status, says, make_archive, number, IMPORT }

static const bad_row imports[] = {
    ARCHIVE("tokens", 0, CM_OK, "2"),
    ARCHIVE("vectors", 1, CM_OK, "2"),
    ARCHIVE("an id is missing", 2, CM_DATA,
            "x.npz: found none named q, expected a tensor for every molecule of"),
    ARCHIVE("more ids than molecules", 3, CM_OK, "2"),
    ARCHIVE("more rows than residues", 4, CM_DATA, "tensor p: found 5 rows, expected 4 rows, one a residue"),
    ARCHIVE(
        "fewer rows than residues", 5, CM_DATA,
        "tensor q: found 1 rows (of an input that was cut? see truncated), expected 2 rows, one a residue"),
    ARCHIVE("another width", 6, CM_DATA, "tensor q: found [2, 4], expected 3 columns as before"),
    ARCHIVE("no rows", 7, CM_DATA, "tensor p: found [0, 3], expected at least one row and column"),
    ARCHIVE("NaN", 8, CM_NUMERIC, "tensor p, value 0: found nan, expected finite values"),
    ARCHIVE("an infinity", 9, CM_NUMERIC, "tensor q, value 0: found -inf, expected finite values"),
    {"an id twice", ">p\nMKVL\n>p\nMKVL\n>q\nAC\n", 0, CM_OK, "2", make_archive, 0, IMPORT},
    {"an id twice, two molecules", ">p\nMKVL\n>p\nMKAA\n>q\nAC\n", 0, CM_DATA,
     "record 2 (id p): found another text under the id of an earlier one", make_archive, 0, IMPORT},
    {"a bomb of 16 MB in 16 KB", PROTEINS, 0, CM_DATA, "none named p", make_bomb, 0, IMPORT},
};

static void test_imports(void **state) {
    (void)state;
    BAD_RUN(imports, "in", import);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_headers), cmocka_unit_test(test_imports)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
