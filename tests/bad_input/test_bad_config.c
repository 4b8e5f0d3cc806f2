/* JSON of strangers: the text itself, in the three classes of the JSON parsing tests of the field (must be
 * accepted, must be refused, either), and the config.json and index of a checkpoint. */
#include "bad_input.h"

#include "base/alloc.h"
#include "base/file.h"
#include "encoders/pretrained.h"
#include "io/json.h"

/* ---- the text ---- */

static cm_status read_json(const char *path, char *note, size_t size, cm_error *error) {
    cm_file_map map;
    json_t *value = NULL;
    cm_status status = cm_file_map_open(&map, path, error);
    if (status != CM_OK) return status;
    status = cm_json_parse(&value, map.data ? (const char *)map.data : "", map.size, path, NULL, error);
    char *text = status == CM_OK ? cm_json_text(value) : NULL;
    if (text) snprintf(note, size, "%s", text);
    cm_free(text);
    json_decref(value);
    cm_file_map_close(&map);
    return status;
}

static void make_repeated(const bad_row *row, const char *path) {
    size_t length = strlen(row->text);
    char *text = malloc(row->number * length);
    assert_non_null(text);
    for (size_t i = 0; i < row->number; i++) memcpy(text + i * length, row->text, length);
    bad_write(path, text, row->number * length);
    free(text);
}

/* The text between brackets, so that only a value has to be written. */
static void make_listed(const bad_row *row, const char *path) {
    char text[512] = "[";
    size_t length = bad_size(row);
    memcpy(text + 1, row->text, length);
    text[length + 1] = ']';
    bad_write(path, text, length + 2);
}

/* A value that every parser must take, as it is written again. */
#define TAKEN(name, value, again) \
    { name, value, 0, CM_OK, "[" again "]", make_listed, 0, NULL }
/* A value that no parser may take. */
#define REFUSED(name, value) \
    { name, value, sizeof value - 1, CM_DATA, "not JSON", make_listed, 0, NULL }
/* A whole text that no parser may take. */
#define NO_TEXT(name, text) \
    { name, text, sizeof text - 1, CM_DATA, "not JSON", NULL, 0, NULL }
/* A whole text that is taken. */
#define TEXT(name, text, again) \
    { name, text, sizeof text - 1, CM_OK, again, NULL, 0, NULL }
/* A value that parsers treat differently: what this one does is part of its rules. */
#define EITHER_TAKEN TAKEN
#define EITHER_REFUSED(name, value, says) \
    { name, value, sizeof value - 1, CM_DATA, says, make_listed, 0, NULL }

static const bad_row texts[] = {
    /* must be accepted */
    TEXT("an empty object", "{}", "{}"),
    TEXT("an empty list", "[]", "[]"),
    TEXT("blanks around", " \t\r\n[1 ,\n2]\n", "[1,2]"),
    TEXT("a number alone", "17", "17"),
    TEXT("a text alone", "\"a\"", "\"a\""),
    TEXT("null alone", "null", "null"),
    TAKEN("zero", "0", "0"),
    TAKEN("minus zero", "-0", "0"),
    TAKEN("a negative number", "-12", "-12"),
    TAKEN("a fraction", "0.5", "0.5"),
    TAKEN("an exponent", "1E+2", "100.0"),
    TAKEN("an exponent without sign", "5e-1", "0.5"),
    TAKEN("a number close to zero", "-0.000000001", "-1.0000000000000001e-9"),
    TAKEN("words", "true,false,null", "true,false,null"),
    TAKEN("escapes", "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\\"\\\\/\\b\\f\\n\\r\\t\""),
    TAKEN("an escaped letter", "\"\\u0041\\u00e9\"", "\"A\xc3\xa9\""),
    TAKEN("a surrogate pair", "\"\\ud83d\\ude00\"", "\"\xf0\x9f\x98\x80\""),
    TAKEN("DEL", "\"\x7f\"", "\"\x7f\""),
    TAKEN("UTF-8 of two to four bytes", "\"\xc3\xa9\xe2\x82\xac\xf0\x9d\x84\x9e\"",
          "\"\xc3\xa9\xe2\x82\xac\xf0\x9d\x84\x9e\""),
    TAKEN("brackets in a text", "\"[{]}\"", "\"[{]}\""),
    TAKEN("an empty key", "{\"\":0}", "{\"\":0}"),
    TAKEN("mixed lists", "[],[[]],{},{\"a\":[]}", "[],[[]],{},{\"a\":[]}"),
    /* must be refused */
    NO_TEXT("nothing", ""),
    NO_TEXT("blanks alone", "  \n"),
    NO_TEXT("a byte order mark", "\xef\xbb\xbf{}"),
    NO_TEXT("UTF-16", "\xff\xfe{\0}\0"),
    NO_TEXT("UTF-16 without a mark", "{\0}\0"),
    NO_TEXT("an open list", "["),
    NO_TEXT("an open object", "{"),
    NO_TEXT("an open text", "\"a"),
    NO_TEXT("an open escape", "\"\\"),
    NO_TEXT("closed too often", "[]]"),
    NO_TEXT("closed differently", "[1}"),
    NO_TEXT("two values", "1 2"),
    NO_TEXT("text behind the end", "{} x"),
    NO_TEXT("NUL behind the end", "{}\0"),
    NO_TEXT("a comment", "{} // x"),
    NO_TEXT("a word", "nothing"),
    NO_TEXT("single quotes", "{'a':1}"),
    NO_TEXT("a key without quotes", "{a:1}"),
    NO_TEXT("a number as key", "{1:1}"),
    NO_TEXT("a comma behind the last member", "{\"a\":1,}"),
    NO_TEXT("two colons", "{\"a\"::1}"),
    NO_TEXT("no colon", "{\"a\" 1}"),
    NO_TEXT("no value", "{\"a\":}"),
    NO_TEXT("a form feed between", "[\f]"),
    NO_TEXT("a vertical tab between", "[\v]"),
    NO_TEXT("a hard blank between", "[\xc2\xa0]"),
    REFUSED("a comma behind the last", "1,"),
    REFUSED("a comma before the first", ",1"),
    REFUSED("two commas", "1,,2"),
    REFUSED("no comma", "1 2"),
    REFUSED("a plus sign", "+1"),
    REFUSED("a leading zero", "01"),
    REFUSED("a negative leading zero", "-01"),
    REFUSED("a minus alone", "-"),
    REFUSED("a point at the end", "1."),
    REFUSED("a point at the start", ".5"),
    REFUSED("two points", "1.2.3"),
    REFUSED("an empty exponent", "1e"),
    REFUSED("a signed empty exponent", "1e+"),
    REFUSED("a hexadecimal number", "0x10"),
    REFUSED("NaN", "NaN"),
    REFUSED("Infinity", "-Infinity"),
    REFUSED("digits of another script", "\xd9\xa1"),
    REFUSED("True", "True"),
    REFUSED("part of a word", "tru"),
    REFUSED("a line feed in a text", "\"a\nb\""),
    REFUSED("a tab in a text", "\"a\tb\""),
    REFUSED("NUL in a text", "\"a\0b\""),
    REFUSED("an unknown escape", "\"\\x41\""),
    REFUSED("a short escape", "\"\\u00e\""),
    REFUSED("an escaped byte", "\"\\\xff\""),
    REFUSED("a lone byte of UTF-8", "\"\xe9\""),
    REFUSED("a cut sequence", "\"\xe2\x82\""),
    REFUSED("an overlong sequence", "\"\xc0\xaf\""),
    REFUSED("a surrogate in UTF-8", "\"\xed\xa0\x80\""),
    REFUSED("beyond U+10FFFF", "\"\xf4\x90\x80\x80\""),
    /* either */
    EITHER_REFUSED("a number beyond 64 bits", "123123123123123123123123123123", "too big"),
    EITHER_REFUSED("a number beyond double", "1e999", "overflow"),
    EITHER_TAKEN("a number below double", "1e-999", "0.0"),
    EITHER_REFUSED("half of a surrogate pair", "\"\\ud83d\"", "not JSON"),
    EITHER_REFUSED("a surrogate pair the wrong way round", "\"\\ude00\\ud83d\"", "not JSON"),
    EITHER_REFUSED("an escaped NUL", "\"\\u0000\"", "\\u0000"),
    EITHER_REFUSED("a key twice", "{\"a\":1,\"a\":1}", "duplicate object key"),
    EITHER_REFUSED("a key twice, once escaped", "{\"a\":1,\"\\u0061\":1}", "duplicate object key"),
    {"64 levels", "[", 0, CM_DATA, "not JSON", make_repeated, 64, NULL},
    {"65 levels", "[", 0, CM_DATA, "found deeper nesting in the JSON text at byte 64", make_repeated, 65,
     NULL},
    {"10^5 lists", "[", 0, CM_DATA, "found deeper nesting", make_repeated, 100000, NULL},
    {"10^5 objects", "{\"a\":", 0, CM_DATA, "found deeper nesting", make_repeated, 100000, NULL},
    {"10^7 lists side by side", "[],", 0, CM_DATA, "expected at most 48 MB of JSON values", make_repeated,
     10000000, NULL},
    {"a text of 40 MB", "\"aaaaaaaaaaaaaaaaaaa", 0, CM_DATA, "of JSON values", make_repeated, 2000000, NULL},
};

static void test_texts(void **state) {
    (void)state;
    BAD_RUN(texts, "in.json", read_json);
}

/* ---- config.json ---- */

static void copy_fixture(const char *folder, const char *name) {
    char from[128], to[256];
    size_t size = 0;
    snprintf(from, sizeof from, "tests/fixtures/encoders/esm2-layers/%s", name);
    snprintf(to, sizeof to, "%s/%s", folder, name);
    char *bytes = bad_source_file(from, &size);
    bad_write(to, bytes, size);
    free(bytes);
}

/* The text with its first old replaced by new. */
static void write_edited(const char *to, const char *name, const char *old, size_t length, const char *new) {
    size_t size = 0;
    char *bytes = bad_source_file(name, &size), *at = memmem(bytes, size, old, length);
    assert_non_null(at);
    FILE *file = fopen(to, "wb");
    assert_non_null(file);
    fwrite(bytes, 1, (size_t)(at - bytes), file);
    fputs(new, file);
    fwrite(at + length, 1, size - (size_t)(at - bytes) - length, file);
    assert_int_equal(fclose(file), 0);
    free(bytes);
}

/* A tiny ESM-2 whose config.json is text, or in which the part of text before "=>" stands as the part behind.
 */
static void make_checkpoint(const bad_row *row, const char *path) {
    const char *arrow = strstr(row->text, "=>");
    char to[256];
    assert_int_equal(mkdir(path, 0777), 0);
    copy_fixture(path, "model.safetensors");
    copy_fixture(path, "vocab.txt");
    snprintf(to, sizeof to, "%s/config.json", path);
    if (arrow)
        write_edited(to, "tests/fixtures/encoders/esm2-layers/config.json", row->text,
                     (size_t)(arrow - row->text), arrow + 2);
    else
        bad_write(to, row->text, bad_size(row));
}

/* The same whose index is text. */
static void make_index(const bad_row *row, const char *path) {
    char to[256], from[256];
    make_checkpoint(&(bad_row){.text = "{}"}, path);
    snprintf(to, sizeof to, "%s/model.safetensors.index.json", path);
    bad_write(to, row->text, bad_size(row));
    snprintf(from, sizeof from, "%s/model.safetensors", path);
    snprintf(to, sizeof to, "%s/part.safetensors", path);
    assert_int_equal(rename(from, to), 0);
}

static cm_status read_checkpoint(const char *path, char *note, size_t size, cm_error *error) {
    cm_pretrained *pretrained = NULL;
    cm_pretrained_options options = {.precision = CM_F32, .layer = CM_LAST_LAYER};
    cm_status status = cm_pretrained_open(&pretrained, cm_family_find("esm2"), path, &options, NULL, error);
    if (status == CM_OK)
        snprintf(note, size, "%d layers of %d", cm_pretrained_layers(pretrained),
                 (int)cm_pretrained_width(pretrained));
    cm_pretrained_close(pretrained);
    return status;
}

/* The same with four bytes of 255 at byte number of its tensors: a weight that is no number. */
static void make_not_finite(const bad_row *row, const char *path) {
    char name[256], bytes[16];
    make_checkpoint(row, path);
    snprintf(name, sizeof name, "%s/model.safetensors", path);
    FILE *file = fopen(name, "r+b");
    assert_non_null(file);
    assert_int_equal(fread(bytes, 1, 8, file), 8);
    assert_int_equal(fseek(file,
                           8 + (unsigned char)bytes[0] + 256L * (unsigned char)bytes[1] + (long)row->number,
                           SEEK_SET),
                     0);
    fputs("\xff\xff\xff\xff", file);
    assert_int_equal(fclose(file), 0);
}

#define EMBED "embed --encoder esm2:IN --a examples/protein.fasta --out OUT --no-store --quiet"
#define CONFIG(name, edit, status, says) \
    { name, edit, 0, status, says, make_checkpoint, 0, EMBED }
#define KEY(key, old, new) "\"" key "\": " old "=>\"" key "\": " new
#define INDEX(name, text, status, says) \
    { name, text, 0, status, says, make_index, 0, EMBED }

static const bad_row configs[] = {
    CONFIG("as published", KEY("hidden_size", "12", "12"), CM_OK, "2 layers of 12"),
    CONFIG("nothing in it", "{}", CM_OK, "2 layers of 12"),
    CONFIG("an unknown key", "{=>{\"x\": [1, {}], ", CM_OK, "2 layers of 12"),
    CONFIG("a path that leads out", KEY("_name_or_path", "\"\"", "\"../../../etc/passwd\""), CM_OK,
           "2 layers of 12"),
    CONFIG("empty file", "", CM_DATA, "config.json: not JSON"),
    CONFIG("a list", "[]", CM_DATA, "config.json: found another value, expected an object"),
    CONFIG("a byte order mark", "\xef\xbb\xbf{}", CM_DATA, "not JSON"),
    CONFIG("a number of 1e999", KEY("layer_norm_eps", "1e-05", "1e999"), CM_DATA, "overflow"),
    CONFIG("huge hidden_size", KEY("hidden_size", "12", "9223372036854775807"), CM_MODEL,
           "config hidden_size 9223372036854775807, the tensors have 12"),
    CONFIG("negative hidden_size", KEY("hidden_size", "12", "-12"), CM_MODEL,
           "config hidden_size -12, the tensors have 12"),
    CONFIG("hidden_size 0", KEY("hidden_size", "12", "0"), CM_MODEL,
           "config hidden_size 0, the tensors have 12"),
    CONFIG("fractional hidden_size", KEY("hidden_size", "12", "12.5"), CM_MODEL,
           "config hidden_size is no whole number"),
    CONFIG("hidden_size as text", KEY("hidden_size", "12", "\"12\""), CM_MODEL,
           "config hidden_size is no whole number"),
    CONFIG("another number of layers", KEY("num_hidden_layers", "2", "3"), CM_MODEL,
           "config num_hidden_layers 3, the tensors have 2"),
    CONFIG("another vocabulary", KEY("vocab_size", "33", "34"), CM_MODEL,
           "config vocab_size 34, the tensors have 33"),
    CONFIG("heads that do not divide", KEY("num_attention_heads", "2", "5"), CM_MODEL,
           "5 heads do not divide width 12"),
    CONFIG("no heads", KEY("num_attention_heads", "2", "0"), CM_MODEL,
           "config num_attention_heads is no whole number above 0"),
    CONFIG("negative heads", KEY("num_attention_heads", "2", "-2"), CM_MODEL,
           "config num_attention_heads is no whole number above 0"),
    CONFIG("fractional heads", KEY("num_attention_heads", "2", "2.0"), CM_MODEL,
           "config num_attention_heads is no whole number above 0"),
    CONFIG("negative epsilon", KEY("layer_norm_eps", "1e-05", "-1"), CM_MODEL,
           "config layer_norm_eps is no number between 0 and 1"),
    CONFIG("epsilon 0", KEY("layer_norm_eps", "1e-05", "0"), CM_MODEL,
           "config layer_norm_eps is no number between 0 and 1"),
    CONFIG("epsilon as text", KEY("layer_norm_eps", "1e-05", "\"small\""), CM_MODEL,
           "config layer_norm_eps is no number between 0 and 1"),
    CONFIG("a decoder", KEY("is_decoder", "false", "true"), CM_MODEL, "config is_decoder is true"),
    CONFIG("is_decoder as a number", KEY("is_decoder", "false", "0"), CM_MODEL,
           "config is_decoder is neither true nor false"),
    CONFIG("positions of another kind", KEY("position_embedding_type", "\"rotary\"", "\"absolute\""),
           CM_MODEL, "config position_embedding_type absolute instead of rotary"),
    CONFIG("positions as a number", KEY("position_embedding_type", "\"rotary\"", "7"), CM_MODEL,
           "config position_embedding_type is no text"),
    CONFIG("another family", KEY("model_type", "\"esm\"", "\"bert\""), CM_MODEL,
           "config.json, key model_type: found bert, expected esm"),
    CONFIG("a family as a number", KEY("model_type", "\"esm\"", "1"), CM_MODEL,
           "key model_type: found no text"),
    {"a weight that is no number", "{}", 0, CM_NUMERIC,
     "/in/model.safetensors: tensor esm.embeddings.word_embeddings.weight: found another value at element 0, "
     "expected finite numbers",
     make_not_finite, 8228, EMBED},
    INDEX("an index that leads out", "{\"weight_map\":{\"w\":\"../part.safetensors\"}}", CM_DATA,
          "weight_map: found ../part.safetensors, expected the name of a .safetensors file beside the index"),
    INDEX("an index with an absolute path", "{\"weight_map\":{\"w\":\"/tmp/part.safetensors\"}}", CM_DATA,
          "expected the name of a .safetensors file beside the index"),
    INDEX("an index with a pickle", "{\"weight_map\":{\"w\":\"pytorch_model.bin\"}}", CM_DATA,
          "expected the name of a .safetensors file beside the index"),
    INDEX("an index of a tensor that is not there", "{\"weight_map\":{\"w\":\"part.safetensors\"}}", CM_DATA,
          "tensor w: found none in part.safetensors"),
    INDEX("an index of a file that is not there", "{\"weight_map\":{\"w\":\"other.safetensors\"}}", CM_MODEL,
          "found other.safetensors is not there"),
    INDEX("an index with a number", "{\"weight_map\":{\"w\":1}}", CM_DATA, "tensor w: found another value"),
    INDEX("an index without a map", "{}", CM_DATA, "key weight_map: found nothing, expected an object"),
    INDEX("an empty map", "{\"weight_map\":{}}", CM_MODEL, "is missing"),
    INDEX("an empty index", "", CM_DATA, "not JSON"),
};

static void test_configs(void **state) {
    (void)state;
    BAD_RUN(configs, "in", read_checkpoint);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_texts), cmocka_unit_test(test_configs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
