/* safetensors files that are refused, and the odd ones that are accepted, through the reader and through
 * `crossmamba models`. */
#include "bad_input.h"

#include "io/safetensors.h"
#include <crossmamba/crossmamba.h>

/* ---- the reader ---- */

static cm_status read_tensors(const char *path, char *note, size_t size, cm_error *error) {
    cm_safetensors *file = NULL;
    cm_status status = cm_safetensors_open(&file, path, error);
    size_t used = 0;
    for (size_t i = 0; status == CM_OK && i < cm_safetensors_count(file) && used < size; i++)
        used += (size_t)snprintf(note + used, size - used, "%s:%zu ", cm_safetensors_get(file, i)->name,
                                 cm_safetensors_get(file, i)->bytes);
    if (status == CM_OK && cm_safetensors_count(file) > 100)
        snprintf(note, size, "%zu tensors", cm_safetensors_count(file));
    cm_safetensors_close(file);
    return status;
}

/* ---- making files ---- */

static void put_header(FILE *file, const char *header, size_t length) {
    for (int i = 0; i < 8; i++) fputc((int)((uint64_t)length >> 8 * i & 255), file);
    fwrite(header, 1, length, file);
}

/* text as the header, and number bytes 0, 1, 2 ... of tensors. */
static void make_header(const bad_row *row, const char *path) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    put_header(file, row->text, bad_size(row));
    for (size_t i = 0; i < row->number; i++) fputc((int)(i & 255), file);
    assert_int_equal(fclose(file), 0);
}

/* number tensors of as many bytes as size says. */
static void make_tensors(const bad_row *row, const char *path) {
    char *header = malloc(row->number * 100 + 3), *at = header;
    size_t each = row->size;
    assert_non_null(header);
    for (size_t i = 0; i < row->number; i++)
        at += sprintf(at, "%c\"t%zu\":{\"dtype\":\"U8\",\"shape\":[%zu],\"data_offsets\":[%zu,%zu]}",
                      i ? ',' : '{', i, each, i * each, (i + 1) * each);
    *at++ = '}';
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    put_header(file, header, (size_t)(at - header));
    fflush(file);
    assert_int_equal(ftruncate(fileno(file), ftell(file) + (off_t)(row->number * each)), 0);
    assert_int_equal(fclose(file), 0);
    free(header);
}

/* The text number times, and nothing that ends it. */
static void make_repeated(const bad_row *row, const char *path) {
    size_t length = strlen(row->text);
    char *header = malloc(row->number * length);
    assert_non_null(header);
    for (size_t i = 0; i < row->number; i++) memcpy(header + i * length, row->text, length);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    put_header(file, header, row->number * length);
    assert_int_equal(fclose(file), 0);
    free(header);
}

/* A header whose length field is number and whose bytes are there, all blank but the first. */
static void make_long_header(const bad_row *row, const char *path) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    for (int i = 0; i < 8; i++) fputc((int)((uint64_t)row->number >> 8 * i & 255), file);
    fputs("{}", file);
    fflush(file);
    assert_int_equal(ftruncate(fileno(file), (off_t)(8 + row->number)), 0);
    assert_int_equal(fclose(file), 0);
}

/* ---- the table ---- */

/* One entry named w. */
#define W(dtype, shape, offsets) \
    "{\"w\":{\"dtype\":" dtype ",\"shape\":" shape ",\"data_offsets\":" offsets "}}"
/* An entry of bytes. */
#define U8(name, shape, offsets) \
    "\"" name "\":{\"dtype\":\"U8\",\"shape\":" shape ",\"data_offsets\":" offsets "}"
/* A row with a header and the number of bytes behind it. */
#define BAD(name, header, bytes, says) \
    { name, header, 0, CM_DATA, says, make_header, bytes, NULL }
#define GOOD(name, header, bytes, note) \
    { name, header, 0, CM_OK, note, make_header, bytes, NULL }
/* A row whose file the program is shown, too. */
#define SHOWN(name, header, bytes, says) \
    { name, header, 0, CM_DATA, says, make_header, bytes, "models info IN" }
#define BYTES(name, text, says) \
    { name, text, sizeof text - 1, CM_DATA, says, NULL, 0, "models info IN" }

/* text as the header of a file beside path, and path a link to it. */
static void make_linked(const bad_row *row, const char *path) {
    char target[128];
    snprintf(target, sizeof target, "%s.target", path);
    FILE *file = fopen(target, "wb");
    assert_non_null(file);
    fputc((int)strlen(row->text), file);
    for (int i = 0; i < 7; i++) fputc(0, file);
    fputs(row->text, file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(symlink(target, path), 0);
}

static const bad_row files[] = {
    /* the length */
    {"empty file", "", 0, CM_DATA, "found 0 bytes, expected a safetensors file", NULL, 0, "models info IN"},
    BYTES("one byte", "\2", "found 1 bytes, expected a safetensors file"),
    BYTES("seven bytes", "\2\0\0\0\0\0\0", "found 7 bytes, expected a safetensors file"),
    BYTES("no header", "\0\0\0\0\0\0\0\0", "byte 8: found an empty header"),
    BYTES("header of one byte", "\1\0\0\0\0\0\0\0{", "header: not JSON"),
    BYTES("header beyond the end", "\5\0\0\0\0\0\0\0{   ",
          "byte 0: found header length 5, expected at most the 4 bytes that follow"),
    BYTES("header over 100 MB", "\x01\xe1\xf5\x05\0\0\0\0{   ",
          "header length 100000001, expected at most 100000000"),
    BYTES("header length 2^63", "\0\0\0\0\0\0\0\x80{   ", "header length 9223372036854775808"),
    BYTES("header length 2^64 - 1", "\xff\xff\xff\xff\xff\xff\xff\xff{   ",
          "header length 18446744073709551615"),
    BYTES("header length 2^64 - 8", "\xf8\xff\xff\xff\xff\xff\xff\xff{   ",
          "header length 18446744073709551608"),
    {"100 MB of blanks", NULL, 0, CM_DATA, "header: not JSON: byte 2: end of the text expected",
     make_long_header, 100000000, "models info IN"},
    /* JSON */
    SHOWN("leading space", " {}", 0, "byte 8: found another byte, expected a header that begins with {"),
    SHOWN("an array", "[]", 0, "byte 8: found another byte"),
    SHOWN("bad UTF-8", "{\"a\xff\":1}", 0, "unable to decode byte 0xff"),
    SHOWN("escaped NUL in a name", "{\"a\\u0000b\":1}", 0, "header: not JSON: byte 11: \\u0000"),
    {"NUL in a name", "{\"a\0b\":1}", 9, CM_DATA, "not JSON", make_header, 0, NULL},
    BAD("trailing junk", "{} x", 0, "not JSON: byte 3: end of the text expected"),
    BAD("second object", "{}{}", 0, "not JSON: byte 2: end of the text expected"),
    BAD("no end", "{\"w\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}", 1, "',' or '}' expected"),
    BAD("comma before the end", "{" U8("w", "[1]", "[0,1]") ",}", 1, "a key in quotes expected"),
    BAD("no comma", "{" U8("v", "[1]", "[0,1]") U8("w", "[1]", "[1,2]") "}", 2, "',' or '}' expected"),
    BAD("no colon", "{\"w\" {}}", 0, "':' expected behind a key"),
    BAD("number as a key", "{1:{}}", 0, "a key in quotes expected"),
    BAD("open string", "{\"w", 0, "not JSON"),
    BAD("open value", "{\"w\":{\"dtype\":\"U8", 0, "not JSON"),
    BAD("mismatched brackets", "{\"w\":{\"shape\":[1}]}", 0, "not JSON"),
    BAD("no value", "{\"w\":,\"v\":1}", 0, "not JSON"),
    BAD("no value at the end", "{\"w\":}", 0, "not JSON"),
    BAD("comment", "{/* */}", 0, "a key in quotes expected"),
    SHOWN("duplicate tensor", "{" U8("w", "[1]", "[0,1]") "," U8("w", "[1]", "[1,2]") "}", 2,
          "header: found w twice, expected each name once"),
    BAD("duplicate tensor, escaped", "{" U8("w", "[1]", "[0,1]") "," U8("\\u0077", "[1]", "[1,2]") "}", 2,
        "header: found w twice"),
    BAD("duplicate field", "{\"w\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]}}",
        1, "duplicate object key"),
    BAD("duplicate field, escaped",
        "{\"w\":{\"dtype\":\"U8\",\"dtyp\\u0065\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]}}", 1,
        "duplicate object key"),
    BAD("duplicate metadata", "{\"__metadata__\":{},\"__metadata__\":{}}", 0, "found __metadata__ twice"),
    BAD("duplicate metadata key", "{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}", 0, "duplicate object key"),
    {"nesting 10^5", "{\"a\":", 0, CM_DATA, "found deeper nesting in the JSON text", make_repeated, 100000,
     "models info IN"},
    {"nesting 10^5 of arrays", "{\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
     0, CM_DATA, "deeper nesting", make_header, 0, NULL},
    {"a string of 60 MB", "{\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 0, CM_DATA,
     "not JSON", make_repeated, 1000000, NULL},
    {"10^5 tensors of a byte", NULL, 1, CM_OK, "100000 tensors", make_tensors, 100000, NULL},
    {"10^5 tensors of 1 KB", NULL, 1024, CM_OK, "100000 tensors", make_tensors, 100000, NULL},
    {"500,000 tensors of a byte", NULL, 1, CM_DATA, "header: found 500000 tensors, expected at most",
     make_tensors, 500000, NULL},
    {"10^6 tensors of a byte", NULL, 1, CM_DATA, "header: found 1000000 tensors, expected at most",
     make_tensors, 1000000, "models info IN"},
    {"300,000 tensors of 1 KB", NULL, 1024, CM_OK, "300000 tensors", make_tensors, 300000, NULL},
    /* metadata */
    SHOWN("metadata is an array", "{\"__metadata__\":[]}", 0,
          "__metadata__: found something else, expected an object"),
    BAD("metadata number", "{\"__metadata__\":{\"a\":\"b\",\"c\":1}}", 0,
        "another value for key c, expected a string"),
    BAD("metadata null", "{\"__metadata__\":{\"a\":null}}", 0, "expected a string"),
    BAD("metadata object", "{\"__metadata__\":{\"a\":{}}}", 0, "expected a string"),
    /* entries */
    BAD("entry is a number", "{\"w\":1}", 0, "tensor w: found something else, expected an object"),
    BAD("entry is empty", "{\"w\":{}}", 0, "tensor w: found none, expected a dtype"),
    BAD("dtype is a number", W("8", "[1]", "[0,1]"), 1, "expected a dtype"),
    SHOWN("unknown dtype", W("\"F31\"", "[1]", "[0,1]"), 1, "found dtype F31, expected one of BOOL U8 I8"),
    BAD("dtype of 4 bits", W("\"F4\"", "[2]", "[0,1]"), 1, "found dtype F4, expected one of"),
    BAD("dtype of 6 bits", W("\"F6_E2M3\"", "[4]", "[0,3]"), 3, "dtype F6_E2M3"),
    BAD("dtype in lower case", W("\"f32\"", "[1]", "[0,4]"), 4, "dtype f32"),
    BAD("no shape", "{\"w\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", 1, "found none, expected a shape"),
    BAD("no offsets", "{\"w\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1,
        "expected data_offsets of two whole numbers"),
    BAD("shape is a number", W("\"U8\"", "1", "[0,1]"), 1, "expected a shape"),
    SHOWN("dimension -1", W("\"U8\"", "[-1]", "[0,1]"), 1,
          "tensor w: found dimension 0 of the shape, expected whole numbers that are not negative"),
    BAD("dimension 1.5", W("\"U8\"", "[1,1.5]", "[0,1]"), 1, "found dimension 1 of the shape"),
    BAD("dimension 1e3", W("\"U8\"", "[1e3]", "[0,1000]"), 1000, "found dimension 0 of the shape"),
    BAD("dimension as text", W("\"U8\"", "[\"1\"]", "[0,1]"), 1, "found dimension 0 of the shape"),
    BAD("dimension 2^64", W("\"U8\"", "[18446744073709551616]", "[0,1]"), 1, "too big"),
    BAD("nine dimensions", W("\"U8\"", "[1,1,1,1,1,1,1,1,1]", "[0,1]"), 1,
        "found 9, expected at most 8 dimensions"),
    BAD("2^64 elements", W("\"U8\"", "[4294967296,4294967296]", "[0,0]"), 0, "found an overflow"),
    BAD("2^64 bytes", W("\"F64\"", "[2305843009213693952]", "[0,0]"), 0, "found an overflow"),
    BAD("an overflow before a zero", W("\"U8\"", "[4294967296,4294967296,0]", "[0,0]"), 0,
        "found an overflow"),
    /* offsets */
    BAD("one offset", W("\"U8\"", "[1]", "[0]"), 1, "two whole numbers"),
    BAD("three offsets", W("\"U8\"", "[1]", "[0,1,2]"), 1, "two whole numbers"),
    BAD("fractional offset", W("\"U8\"", "[1]", "[0,1.0]"), 1, "two whole numbers"),
    BAD("offsets in an object", W("\"U8\"", "[1]", "{}"), 1, "two whole numbers"),
    BAD("negative begin", W("\"U8\"", "[1]", "[-1,0]"), 1,
        "found data_offsets -1, 0, expected 0 <= begin <= end <= 1"),
    SHOWN("begin behind end", W("\"U8\"", "[1]", "[1,0]"), 1, "data_offsets 1, 0"),
    BAD("end beyond the file", W("\"U8\"", "[2]", "[0,2]"), 1, "data_offsets 0, 2"),
    BAD("end 2^63 - 1", W("\"U8\"", "[1]", "[0,9223372036854775807]"), 1,
        "data_offsets 0, 9223372036854775807"),
    BAD("more bytes than the shape", W("\"U8\"", "[3]", "[0,4]"), 4,
        "data_offsets over 4 bytes, expected 3 bytes by shape"),
    BAD("fewer bytes than the shape", W("\"F32\"", "[2]", "[0,4]"), 4,
        "data_offsets over 4 bytes, expected 8 bytes"),
    BAD("scalar without bytes", W("\"F32\"", "[]", "[0,0]"), 0,
        "data_offsets over 0 bytes, expected 4 bytes"),
    SHOWN("overlap", "{" U8("a", "[2]", "[0,2]") "," U8("b", "[2]", "[1,3]") "}", 3,
          "tensor b: found an overlap: begin at 1, expected begin at 2, where the bytes before end"),
    BAD("same bytes twice", "{" U8("a", "[2]", "[0,2]") "," U8("b", "[2]", "[0,2]") "}", 2,
        "tensor b: found an overlap"),
    BAD("hole", "{" U8("a", "[2]", "[0,2]") "," U8("b", "[2]", "[3,5]") "}", 5, "tensor b: found a hole"),
    BAD("hole before the first", "{" U8("a", "[2]", "[1,3]") "}", 3, "tensor a: found a hole: begin at 1"),
    BAD("bytes behind the last", "{" U8("a", "[2]", "[0,2]") "}", 3,
        "found 3 bytes after the header, expected 2"),
    BAD("bytes without a tensor", "{}", 1, "found 1 bytes after the header, expected 0"),
    BAD("empty tensor inside another", "{" U8("a", "[2]", "[0,2]") "," U8("z", "[0]", "[1,1]") "}", 2,
        "tensor z: found an overlap"),
    /* accepted by rule */
    GOOD("no tensors", "{}", 0, ""),
    GOOD("blanks behind the header", "{ }  \n", 0, ""),
    GOOD("a scalar", W("\"F32\"", "[]", "[0,4]"), 4, "w:4 "),
    GOOD("empty tensors at one offset",
         "{" U8("b", "[2]", "[1,3]") "," U8("y", "[0]", "[1,1]") "," U8("x", "[5,0]", "[1,1]") "," U8(
             "a", "[1]", "[0,1]") "}",
         3, "a:1 x:0 y:0 b:2 "),
    GOOD("unknown fields", "{\"w\":{\"x\":[{}],\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1,
         "w:1 "),
    GOOD("a name without letters", "{" U8("", "[1]", "[0,1]") "}", 1, ":1 "),
    /* what is no file */
    {"a folder", NULL, 0, CM_IO, "found a directory, expected a regular file", bad_make_folder, 0, NULL},
    {"a FIFO", NULL, 0, CM_IO, "found a FIFO, expected a regular file", bad_make_fifo, 0,
     "predict --model IN --a-text A --b-text A"},
    {"/dev/zero", "/dev/zero", 0, CM_IO, "found a device, expected a regular file", bad_make_link, 0,
     "predict --model IN --a-text A --b-text A"},
    {"a link to a file", "{}", 0, CM_OK, "", make_linked, 0, NULL},
    {"a link to nothing", "nothing", 0, CM_IO, "cannot open", bad_make_link, 0, NULL},
    {"a link to itself", "in.safetensors", 0, CM_IO, "cannot open", bad_make_link, 0, NULL},
};

static void test_files(void **state) {
    (void)state;
    BAD_RUN(files, "in.safetensors", read_tensors);
}

/* ---- model files ---- */

static cm_status read_model(const char *path, char *note, size_t size, cm_error *error) {
    cm_model *model = NULL;
    cm_status status = cm_model_open(&model, path, error);
    if (status == CM_OK) snprintf(note, size, "%s", cm_model_task(model)->name);
    cm_model_close(model);
    return status;
}

/* A model file in which the first part of text is replaced by the part behind '>', both of one length. The
 * first number bytes of its tensors become 255: values that are no numbers; INFINITE: the first is one. */
enum { INFINITE = 99 };
static void make_edited(const bad_row *row, const char *path) {
    size_t size = 0, length = strcspn(row->text, ">");
    char *bytes = bad_source_file("tests/fixtures/model-0.1.0.safetensors", &size);
    char *at = length > 0 ? memmem(bytes, size, row->text, length) : bytes;
    assert_non_null(at);
    assert_true(length == 0 || strlen(row->text) == 2 * length + 1);
    if (length > 0) memcpy(at, row->text + length + 1, length);
    size_t header = (unsigned char)bytes[0] | (size_t)(unsigned char)bytes[1] << 8;
    if (row->number == INFINITE)
        memcpy(bytes + 8 + header, "\0\0\x80\x7f", 4);
    else
        memset(bytes + 8 + header, 255, row->number);
    bad_write(path, bytes, size);
    free(bytes);
}

/* A file without tensors whose card is text. */
static void make_card(const bad_row *row, const char *path) {
    const cm_metadata_entry card = {"crossmamba", row->text};
    assert_int_equal(cm_safetensors_write(path, NULL, 0, &card, 1, NULL), CM_OK);
}

#define CARD(options, width)                                                                           \
    "{\"format\":\"crossmamba model\",\"format_version\":1,\"task\":\"rna-rna\",\"options\":{" options \
    "},\"inputs\":{\"a\":{\"width\":" width ",\"longest\":9},\"b\":{\"width\":" width                  \
    ",\"longest\":9}},\"label\":{\"mean\":0,\"sd\":1,\"least\":0,\"most\":1},\"threshold\":0.5,"       \
    "\"calibration\":{\"slope\":1,\"offset\":0,\"spread\":0}}"
#define PREDICT "predict --model IN --a-text ACGU --b-text MKV --out OUT --quiet"
#define EDITED(name, status, edit, says) \
    { name, edit, 0, status, says, make_edited, 0, PREDICT }
#define CARDS(name, status, card, says) \
    { name, card, 0, status, says, make_card, 0, PREDICT }

static const bad_row models[] = {
    {"as written", "", 0, CM_OK, "rna-protein", make_edited, 0, PREDICT},
    EDITED("a tensor missing, another there", CM_MODEL, "\"head.out.bias\">\"head.out.biaz\"",
           "head.out.bias is missing"),
    EDITED("a tensor of another type", CM_MODEL,
           "\"head.out.bias\":{\"dtype\":\"F32\">\"head.out.bias\":{\"dtype\":\"I32\"",
           "head.out.bias is I32 [1], not F32 [1]"),
    EDITED("a tensor of another shape", CM_MODEL, "\"shape\":[8,32]>\"shape\":[32,8]",
           "head.hidden.weight is F32 [32, 8], not F32 [8, 32]"),
    EDITED("another width in the card", CM_MODEL, "dim\\\":\\\"8>dim\\\":\\\"9", "not F32 ["),
    EDITED("another network", CM_MODEL, "fusion\\\":\\\"crossmamba>fusion\\\":\\\"bilinear..",
           "card, option fusion: found bilinear.., expected one of crossmamba, mlp"),
    EDITED("a newer format", CM_MODEL, "format_version\\\":1>format_version\\\":9",
           "found version 9, expected version 1 (a newer file needs a newer program)"),
    EDITED("another program's file", CM_MODEL, "{\"crossmamba\":>{\"crossmambb\":",
           "metadata: found a safetensors file without a crossmamba card"),
    EDITED("an unknown task", CM_MODEL, "task\\\":\\\"rna-protein>task\\\":\\\"rna-protoon",
           "card, key task: found rna-protoon, expected a known task"),
    EDITED("a broken card", CM_DATA, "{\\\"calibration\\\">{{\"calibration\\\"", "not JSON"),
    {"a weight that is no number", "", 0, CM_MODEL, "holds a value that is not finite", make_edited, 4,
     PREDICT},
    {"a weight that is infinite", "", 0, CM_MODEL, "holds a value that is not finite", make_edited, INFINITE,
     PREDICT},
    CARDS("an empty card", CM_DATA, "", "card: not JSON"),
    CARDS("a card of 70 levels", CM_DATA,
          "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", "deeper nesting"),
    CARDS("a card that is a list", CM_DATA, "[]", "key format"),
    CARDS("no tensors", CM_MODEL, CARD("\"dim\":\"8\"", "4"), "is missing"),
    CARDS("no tensors for the largest network", CM_MODEL,
          CARD("\"dim\":\"4096\",\"layers\":\"64\",\"ensemble\":\"16\"", "16777216"),
          "card: found tensors of 0 bytes, expected tensors of"),
    CARDS("width beyond the limit", CM_DATA, CARD("\"dim\":\"8\"", "16777217"),
          "found 16777217, expected 1 to 16777216"),
    CARDS("negative dim", CM_DATA, CARD("\"dim\":\"-8\"", "4"), "card, option dim: found -8"),
    CARDS("dim 0", CM_DATA, CARD("\"dim\":\"0\"", "4"), "card, option dim: found 0"),
    CARDS("fractional dim", CM_DATA, CARD("\"dim\":\"8.5\"", "4"), "card, option dim: found 8.5"),
    CARDS("dim 1e999", CM_DATA, CARD("\"dim\":\"1e999\"", "4"), "card, option dim: found 1e999"),
    CARDS("a number for a text", CM_DATA, CARD("\"dim\":8", "4"),
          "card, option dim: found a value that is no text"),
    CARDS("an unknown option", CM_DATA, CARD("\"dimm\":\"8\"", "4"), "card, option dimm"),
};

static void test_models(void **state) {
    (void)state;
    BAD_RUN(models, "in.safetensors", read_model);
}

/* ---- a file that becomes shorter ---- */

/* Whether the process has mapped the input. */
static bool has_mapped(pid_t child) {
    char name[64], line[512];
    bool found = false;
    snprintf(name, sizeof name, "/proc/%d/maps", (int)child);
    FILE *maps = fopen(name, "r");
    while (maps && !found && fgets(line, sizeof line, maps)) found = strstr(line, bad_path) != NULL;
    if (maps) fclose(maps);
    return found;
}

/* A gigabyte of zeros loses its end while the program checks every value of it. */
static void test_shrinking(void **state) {
    (void)state;
    bad_outcome got = {.status = CM_OK};
    FILE *err = tmpfile();
    assert_non_null(err);
    bad_open_folder("in.safetensors");
    make_header(&(bad_row){.text = W("\"F32\"", "[268435456]", "[0,1073741824]")}, bad_path);
    assert_int_equal(
        truncate(bad_path, 8 + (off_t)strlen(W("\"F32\"", "[268435456]", "[0,1073741824]")) + (1 << 30)), 0);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) bad_exec("models verify IN", fileno(err));
    while (!has_mapped(child) && waitpid(child, &got.wait, WNOHANG) == 0) usleep(1000);
    assert_int_equal(truncate(bad_path, 1 << 20), 0);
    bad_wait(child, &got);
    rewind(err);
    got.line[fread(got.line, 1, sizeof got.line - 1, err)] = '\0';
    fclose(err);
    if (!WIFEXITED(got.wait) || WEXITSTATUS(got.wait) != 1) fail_msg("ended with %x: %s", got.wait, got.line);
    assert_non_null(strstr(got.line, "input or output failed: "));
    assert_non_null(strstr(got.line, "in.safetensors: found fewer bytes than when it was opened"));
    assert_int_equal(bad_lines(got.line), 1);
    bad_remove_folder();
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_files), cmocka_unit_test(test_models),
                                       cmocka_unit_test(test_shrinking)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
