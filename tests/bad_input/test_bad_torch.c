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

/* ---- pickles of the older format ---- */

#define PROTOCOL "\x80\2"
#define GLOBAL(name) "c" name "\n"
#define STORAGE_OF(type, key, elements) "(U\7storage" GLOBAL("torch\n" type) key "U\3cpu" elements "tQ"
#define STORAGE                \
    STORAGE_OF("FloatStorage", \
               "U\1"           \
               "0",            \
               "K\4")
#define VIEW(storage, offset, size, strides) \
    GLOBAL("torch._utils\n_rebuild_tensor_v2") "(" storage offset size strides "\x89}tR"
#define TENSOR VIEW(STORAGE, "K\0", "(K\2K\2t", "(K\2K\1t")
#define DICT(key, value) "}" key value "s"
#define ORDERED GLOBAL("collections\nOrderedDict")

/* Head, text (number bytes) as the state dict, and its only storage, of four floats, where text has one. */
static void make_pickle(const bad_row *row, const char *path) {
    static const char head[] = PROTOCOL "\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19." PROTOCOL
                                        "M\xe9\3." PROTOCOL "}X\x0d\0\0\0little_endian\x88s.";
    static const char keys[] = PROTOCOL "]U\1"
                                        "0a.",
                      none[] = PROTOCOL "].", storage[24] = {4};
    bool stored = memmem(row->text, row->number, "storage", 7) != NULL;
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    fwrite(head, 1, sizeof head - 1, file);
    fwrite(PROTOCOL, 1, 2, file);
    fwrite(row->text, 1, row->number, file);
    fputc('.', file);
    fwrite(stored ? keys : none, 1, stored ? sizeof keys - 1 : sizeof none - 1, file);
    if (stored) fwrite(storage, 1, sizeof storage, file);
    assert_int_equal(fclose(file), 0);
}

#define PICKLED(name, text, says) \
    { name, text, 0, CM_OK, says, make_pickle, sizeof(text) - 1, NULL }
#define UNFIT(name, text, says) \
    { name, text, 0, CM_DATA, says, make_pickle, sizeof(text) - 1, NULL }

static const bad_row pickles[] = {
    PICKLED("a tensor", DICT("U\1w", TENSOR), "1 tensors, w"),
    PICKLED("a number as its name", DICT("K\7", TENSOR), "1 tensors, 7"),
    PICKLED("in a dict of a dict", DICT("U\1a", DICT("U\1b", TENSOR)), "1 tensors, a.b"),
    PICKLED("beside what is none", "}(U\1nNU\1f}U\1w" TENSOR "u", "1 tensors, w"),
    PICKLED("a parameter", DICT("U\1w", GLOBAL("torch._utils\n_rebuild_parameter") "(" TENSOR "\x89}tR"),
            "1 tensors, w"),
    PICKLED("a size as torch.Size",
            DICT("U\1w", VIEW(STORAGE, "K\0", GLOBAL("torch\nSize") "(K\2K\2t\x85R", "(K\2K\1t")),
            "1 tensors, w"),
    PICKLED("a storage with a view of none",
            DICT("U\1w", VIEW("(U\7storage" GLOBAL("torch\nFloatStorage") "U\1"
                                                                          "0U\3cpuK\4NtQ",
                              "K\0", "(K\4t", "(K\1t")),
            "1 tensors, w"),
    PICKLED("an OrderedDict of a list of tuples",
            ORDERED "(](U\1w" TENSOR "\x86"
                    "etR",
            "1 tensors, w"),
    PICKLED("an OrderedDict of a tuple of lists",
            ORDERED "((](U\1w" TENSOR "ett"
                    "R",
            "1 tensors, w"),
    PICKLED("an empty tensor", DICT("U\1w", VIEW(STORAGE, "K\0", "(K\0K\2t", "(K\2K\1t")), "1 tensors, w"),
    PICKLED("from the memo", "}(U\1w" TENSOR "q\0U\1vh\0u", "2 tensors, w"),
    PICKLED("a value dropped",
            "K\1"
            "0(K\1K\2"
            "1" DICT("U\1w", TENSOR),
            "1 tensors, w"),
    PICKLED("sets that are not looked at", "}(U\1s(K\1\x91U\1w" TENSOR "u", "1 tensors, w"),
    /* what is built */
    UNFIT("a dict of two lists", ORDERED "(]]tR",
          "found other arguments of a dict, expected a list of pairs"),
    UNFIT("a dict of a number", ORDERED "(K\1tR", "found other arguments of a dict"),
    UNFIT("a dict of a list of numbers", ORDERED "(](K\1etR",
          "found an item that is none, expected a list of pairs"),
    UNFIT("a dict of triples",
          ORDERED "(](K\1K\2K\3\x87"
                  "etR",
          "found an item that is none"),
    UNFIT("a call of a number", "K\1)R",
          "found other objects, expected a known function and a tuple of arguments"),
    UNFIT("a call of a storage's type", GLOBAL("torch\nFloatStorage") ")R", "expected a known function"),
    UNFIT("a call with a list", ORDERED "]R", "expected a known function"),
    UNFIT("nine arguments", ORDERED "(K\1K\1K\1K\1K\1K\1K\1K\1K\1tR",
          "found more, expected at most 8 arguments"),
    UNFIT("a tensor of one argument", GLOBAL("torch._utils\n_rebuild_tensor_v2") "K\1\x85R",
          "found fewer arguments, expected storage, offset, size and strides"),
    UNFIT("a tensor of numbers", GLOBAL("torch._utils\n_rebuild_tensor_v2") "(K\0K\0))tR",
          "expected a storage"),
    UNFIT("a parameter of a number", GLOBAL("torch._utils\n_rebuild_parameter") "K\1\x85R",
          "found other arguments, expected a tensor"),
    UNFIT("a parameter of nothing", GLOBAL("torch._utils\n_rebuild_parameter") ")R",
          "found other arguments, expected a tensor"),
    UNFIT("a size of a number", GLOBAL("torch\nSize") "K\1\x85R", "found other arguments, expected a tuple"),
    /* views */
    UNFIT("an offset of -128", VIEW(STORAGE, "\x8a\1\x80", "(K\1t", "(K\1t"),
          "expected an offset that is not negative"),
    UNFIT("an offset as text",
          VIEW(STORAGE,
               "U\1"
               "0",
               "(K\1t", "(K\1t"),
          "expected an offset that is not negative"),
    UNFIT("a size as list", VIEW(STORAGE, "K\0", "](K\1e", "(K\1t"), "expected a tuple as the size"),
    UNFIT("strides as number", VIEW(STORAGE, "K\0", "(K\1t", "K\1"), "expected a tuple as the strides"),
    UNFIT("nine dimensions", VIEW(STORAGE, "K\0", "(K\1K\1K\1K\1K\1K\1K\1K\1K\1t", "(K\1t"),
          "found 9 in the size, expected at most 8 dimensions"),
    UNFIT("dimension -1", VIEW(STORAGE, "K\0", "(J\xff\xff\xff\xfft", "(K\1t"), "found number 0 of the size"),
    UNFIT("a dimension as text",
          VIEW(STORAGE, "K\0",
               "(U\1"
               "1t",
               "(K\1t"),
          "found number 0 of the size"),
    UNFIT("a stride of -1", VIEW(STORAGE, "K\0", "(K\1K\1t", "(K\1\x8a\1\xfft"),
          "found number 1 of the strides"),
    UNFIT("fewer strides", VIEW(STORAGE, "K\0", "(K\1K\1t", "(K\1t"), "found 1, expected 2 strides"),
    UNFIT("2^62 times 4 elements", VIEW(STORAGE, "K\0", "(\x8a\x08\0\0\0\0\0\0\0\x40K\4t", "(K\0K\0t"),
          "found an overflow"),
    UNFIT("a reach of 2^63", VIEW(STORAGE, "K\0", "(K\3t", "(\x8a\x08\0\0\0\0\0\0\0\x40t"),
          "found an overflow"),
    UNFIT("an offset and a reach of 2^63",
          VIEW(STORAGE, "K\1", "(K\2t", "(\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7ft"), "found an overflow"),
    UNFIT("an element behind the storage", VIEW(STORAGE, "K\1", "(K\2K\2t", "(K\2K\1t"),
          "found a view that reaches 4, expected elements below 4 of the storage"),
    UNFIT("an offset behind the storage", VIEW(STORAGE, "K\4", "(K\1t", "(K\1t"),
          "found a view that reaches 4"),
    /* storages */
    UNFIT("a number as identifier", "K\1Q", "found another persistent identifier"),
    UNFIT("four items as identifier", "(U\7storageNNNtQ", "found another persistent identifier"),
    UNFIT("seven items as identifier", "(U\7storageNNNNNNtQ", "found another persistent identifier"),
    UNFIT("another word",
          "(U\7Storage" GLOBAL("torch\nFloatStorage") "U\1"
                                                      "0U\3cpuK\4tQ",
          "found others, expected ('storage'"),
    UNFIT("a longer word",
          "(U\10storages" GLOBAL("torch\nFloatStorage") "U\1"
                                                        "0U\3cpuK\4tQ",
          "found others"),
    UNFIT("no type",
          "(U\7storageNU\1"
          "0U\3cpuK\4tQ",
          "found others"),
    UNFIT("another type",
          "(U\7storage" ORDERED "U\1"
          "0U\3cpuK\4tQ",
          "found others"),
    UNFIT("a number as key", STORAGE_OF("FloatStorage", "K\0", "K\4"), "found others"),
    UNFIT("an empty key", STORAGE_OF("FloatStorage", "U\0", "K\4"), "found others"),
    UNFIT("NUL in a key", STORAGE_OF("FloatStorage", "U\2a\0", "K\4"), "found others"),
    UNFIT("a key of 65 bytes",
          STORAGE_OF("FloatStorage",
                     "U\x41"
                     "0123456789012345678901234567890123456789012345678901234567890abcd",
                     "K\4"),
          "found others"),
    UNFIT("text as number of elements",
          STORAGE_OF("FloatStorage",
                     "U\1"
                     "0",
                     "U\1"
                     "4"),
          "found others"),
    UNFIT("-128 elements",
          STORAGE_OF("FloatStorage",
                     "U\1"
                     "0",
                     "\x8a\1\x80"),
          "found others"),
    UNFIT("a view of a storage",
          "(U\7storage" GLOBAL("torch\nFloatStorage") "U\1"
                                                      "0U\3cpuK\4K\1tQ",
          "found a view of another one, expected a whole storage"),
    UNFIT("a key with two types",
          "(" STORAGE STORAGE_OF("HalfStorage",
                                 "U\1"
                                 "0",
                                 "K\4"),
          "found its key with another one"),
    UNFIT("a key with two sizes",
          "(" STORAGE STORAGE_OF("FloatStorage",
                                 "U\1"
                                 "0",
                                 "K\5"),
          "found its key with another one"),
    UNFIT("more elements than in the file",
          DICT("U\1w", VIEW(STORAGE_OF("FloatStorage",
                                       "U\1"
                                       "0",
                                       "K\5"),
                            "K\0", "(K\4t", "(K\1t")),
          "found 4, expected 5 elements by the pickle"),
    /* stack, memo, marks */
    UNFIT("a value that is not there", "0", "found none, expected a value on the stack"),
    UNFIT("a copy of nothing", "2", "expected a value on the stack"),
    UNFIT("no mark", "K\1t", "expected a mark on the stack"),
    UNFIT("no mark to drop",
          "K\1"
          "1",
          "expected a mark on the stack"),
    UNFIT("no mark of a set", "K\1\x91", "expected a mark on the stack"),
    UNFIT("no mark of items", "]K\1e", "expected a mark on the stack"),
    UNFIT("a mark in a tuple", "(\x85", "found a mark, expected values for a tuple"),
    UNFIT("a mark in a list", "](a", "found a mark, expected items of a container"),
    UNFIT("a mark as container", "((K\1e", "found none, expected a container"),
    UNFIT("no container", "(K\1e", "found none, expected a container"),
    UNFIT("one value to set", "K\1s", "found too few values"),
    UNFIT("an item of a number", "K\1K\2a", "found another object, expected a list or set"),
    UNFIT("a key of a list", "]K\1K\2s", "found another object, expected a dict"),
    UNFIT("a key without a value", "}(K\1u", "found an odd number, expected keys with values"),
    UNFIT("a memo that is empty", "h\0", "expected a value that was put into the memo"),
    UNFIT("a memo's gap", "K\1q\5h\3", "expected a value that was put into the memo"),
    UNFIT("a memo of 2^19", "K\1r\0\0\x08\0", "found more, expected a memo of at most 524288 values"),
    UNFIT("nothing to remember", "q\0", "expected a value on the stack"),
    UNFIT("a state of a number", "K\1}b", "found another one, expected an object that can have a state"),
    UNFIT("a state of nothing", "}b", "expected a value on the stack"),
    UNFIT("a global of numbers", "K\1K\1\x93", "found another object, expected the name of a global"),
    UNFIT("a global of one text", "U\1a\x93", "expected a value on the stack"),
    UNFIT("a global without an end", "cabc", "found the end of the data"),
    UNFIT("a function alone", ")R", "expected a value on the stack"),
    UNFIT("a text of 2 GB", "X\xff\xff\xff\x7f", "found the end of the data"),
    UNFIT("a text of 8 GB", "\x8d\0\0\0\0\2\0\0\0", "found the end of the data"),
    UNFIT("an instruction of protocol 0", "I1\n",
          "found instruction 0x49, expected a pickle of protocol 2 or later"),
    /* the state dict */
    UNFIT("a tensor alone", TENSOR, "found another object, expected a dict of tensors"),
    UNFIT("no tensor", "}", "found no tensor, expected a dict of tensors"),
    UNFIT("None as a name", DICT("N", TENSOR), "found another key, expected keys that are texts"),
    UNFIT("NUL in a name", DICT("U\2a\0", TENSOR), "found another key, expected keys that are texts"),
    UNFIT("a name that is no UTF-8", DICT("U\1\xff", TENSOR), "found another name, expected names in UTF-8"),
    UNFIT("a name twice", "}(U\3a.b" TENSOR "U\1a" DICT("U\1b", TENSOR) "u",
          "tensor a.b: found the name twice"),
    UNFIT("a dict in itself", "}q\0U\1ah\0s", "dicts in each other"),
};

static void test_pickles(void **state) {
    (void)state;
    BAD_RUN(pickles, "in.pt", read_torch);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_rows), cmocka_unit_test(test_pickles)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
