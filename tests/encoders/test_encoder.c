/* The table of encoders, layouts, joins, and each part's tokens. */
#include "bio/chem.h"
#include "bio/kmer.h"
#include "bio/smiles.h"
#include "encoders/encoder.h"
#include "io/embedding_store.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fail_alloc.h"

static cm_encoder *make(const char *name, cm_molecule_type type) {
    cm_encoder *encoder = NULL;
    cm_error error;
    if (cm_encoder_create(&encoder, name, type, NULL, &error) != CM_OK) fail_msg("%s: %s", name, error.found);
    return encoder;
}

static cm_layout layout(const char *text) {
    cm_layout parsed;
    assert_int_equal(cm_layout_parse(&parsed, text, NULL), CM_OK);
    return parsed;
}

/* Tokens of text, to be freed; NaN marks what was not written. */
static float *encode(const char *name, cm_molecule_type type, const char *layout_text, const char *text,
                     int64_t *tokens, int64_t *width) {
    cm_encoder *encoder = make(name, type);
    int64_t length = (int64_t)strlen(text);
    *width = cm_encoder_width(encoder);
    *tokens = cm_encoder_tokens(encoder, layout(layout_text), text, length);
    float *out = malloc((size_t)(*tokens * *width) * sizeof *out);
    assert_non_null(out);
    memset(out, 0xff, (size_t)(*tokens * *width) * sizeof *out);
    assert_int_equal(cm_encoder_encode(encoder, text, length, *tokens, out, NULL), CM_OK);
    for (int64_t i = 0; i < *tokens * *width; i++) assert_true(out[i] >= 0);
    cm_encoder_destroy(encoder);
    return out;
}

static void test_layouts(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "",           "windows",       "windows:",    "windows:0",
        "windows:-1", "windows:+1",    "windows: 1",  "windows:1 ",
        "windows:01", "windows:65537", "windows:1e2", "windows:99999999999999999999",
        "pooled ",    "Pooled",        "residue",     "residues:2",
        "window:5"};
    assert_int_equal(layout("pooled").kind, CM_LAYOUT_POOLED);
    assert_int_equal(layout("residues").kind, CM_LAYOUT_RESIDUES);
    assert_int_equal(layout("windows:1").windows, 1);
    assert_int_equal(layout("windows:65536").windows, 65536);
    assert_int_equal(layout("windows:65536").kind, CM_LAYOUT_WINDOWS);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        cm_layout parsed = {CM_LAYOUT_RESIDUES, 7};
        cm_error error;
        if (cm_layout_parse(&parsed, wrong[i], &error) != CM_USAGE) fail_msg("'%s' is taken", wrong[i]);
        assert_int_equal(parsed.windows, 7);
        assert_string_equal(error.expected, "pooled, windows:N (N from 1 to 65536) or residues");
    }
}

static void test_rows(void **state) {
    (void)state;
    cm_table_row row = {0};
    int n = 0;
    for (; cm_encoder_row(n, &row); n++) {
        assert_true(strlen(row.name) > 0 && strlen(row.help) > 0);
        assert_null(strchr(row.name, '+'));
        assert_null(strchr(row.name, ':'));
    }
    assert_true(n >= 5);
    assert_int_equal(cm_encoder_row(-1, &row), 0);
    assert_int_equal(cm_encoder_row(0, &row), 1);
    assert_string_equal(row.name, "kmer");
}

typedef struct name_case {
    const char *name;
    cm_molecule_type type;
    const char *found, *listed;
} name_case;

static void test_names(void **state) {
    (void)state;
    static const name_case refused[] = {
        {"", CM_RNA, "''", "one of kmer, onehot, stored:.., "},
        {"esm", CM_PROTEIN, "'esm'", "one of kmer, onehot,"},
        {"kmer+", CM_RNA, "''", "kmer, onehot"},
        {"+kmer", CM_RNA, "''", "kmer, onehot"},
        {"kmer ", CM_RNA, "'kmer '", "kmer, onehot"},
        {"Kmer", CM_RNA, "'Kmer'", "kmer, onehot"},
        {"kmer", CM_MOLECULE, "'kmer', which does not encode it", "one of morgan, smiles,"},
        {"morgan", CM_RNA, "'morgan', which does not encode it", "kmer, onehot"},
        {"kmer+smiles", CM_PROTEIN, "'smiles', which does not encode it", "kmer, onehot"},
        {"kmer+onehot+kmer", CM_RNA, "'kmer' twice", "kmer, onehot"},
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        cm_encoder *encoder = (cm_encoder *)state;
        cm_error error;
        assert_int_equal(cm_encoder_create(&encoder, refused[i].name, refused[i].type, NULL, &error),
                         CM_USAGE);
        assert_null(encoder);
        assert_string_equal(error.found, refused[i].found);
        if (strstr(error.expected, refused[i].listed) == NULL)
            fail_msg("%s: %s", refused[i].name, error.expected);
    }
}

/* Where names are cut: a reference may hold '+' and ':', and ends where the name of a row follows a '+'. */
static void test_words(void **state) {
    (void)state;
    static const struct {
        const char *name, *words[4];
    } cases[] = {
        {"kmer", {"kmer|-"}},
        {"kmer+onehot", {"kmer|-", "onehot|-"}},
        {"stored:a", {"stored|a"}},
        {"stored:", {"stored|"}},
        {"stored:a+kmer", {"stored|a", "kmer|-"}},
        {"stored:a+b+kmer", {"stored|a+b", "kmer|-"}},
        {"stored:/x+kmers/y+kmer/+onehot", {"stored|/x+kmers/y+kmer/", "onehot|-"}},
        {"stored:a:b+stored:c+", {"stored|a:b", "stored|c+"}},
        {"kmer+", {"kmer|-", "|-"}},
        {"", {"|-"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *rest = cases[i].name;
        for (int k = 0; cases[i].words[k] != NULL; k++) {
            assert_non_null(rest);
            cm_encoder_word word = cm_encoder_next_word(&rest);
            char text[96];
            snprintf(text, sizeof text, "%.*s|%.*s", (int)word.name_length, word.name,
                     word.reference != NULL ? (int)word.reference_length : 1,
                     word.reference != NULL ? word.reference : "-");
            assert_string_equal(text, cases[i].words[k]);
        }
        assert_null(rest);
    }
}

static void test_relocate(void **state) {
    (void)state;
    static const struct {
        const char *name, *given, *result; /* NULL: refused */
    } cases[] = {
        {"stored:a", "b", "stored:b"},
        {"stored:a", "stored:b", "stored:b"},
        {"kmer+stored:a+onehot", "/x/y+z", "kmer+stored:/x/y+z+onehot"},
        {"kmer+stored:a", "kmer+stored:b", "kmer+stored:b"},
        {"stored:a+stored:b", "c", NULL},
        {"stored:a+stored:b", "stored:c+stored:d", "stored:c+stored:d"},
        {"kmer", "x", NULL},
        {"stored:a+onehot", "b+kmer", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[40] = "untouched";
        cm_error error;
        cm_status status = cm_encoder_relocate(cases[i].name, cases[i].given, out, sizeof out, &error);
        assert_int_equal(status, cases[i].result != NULL ? CM_OK : CM_USAGE);
        assert_string_equal(out, cases[i].result != NULL ? cases[i].result : "untouched");
    }
    char small[8];
    assert_int_equal(cm_encoder_relocate("stored:a", "much longer", small, sizeof small, NULL), CM_USAGE);
}

/* Imported embeddings: whole, pooled, windows, beside a built-in part; a text that the store does not know.
 */
static void test_stored(void **state) {
    (void)state;
    char folder[] = "/tmp/crossmamba-encoder-XXXXXX", file[64];
    assert_non_null(mkdtemp(folder));
    const float rows[] = {1, 10, 2, 20, 3, 30, 6, 40};
    const cm_embeddings_record record = {"ACGU", 4, 4, rows};
    cm_embeddings *store = NULL;
    cm_error error;
    assert_int_equal(cm_embeddings_open(&store, folder, true, &error), CM_OK);
    assert_int_equal(cm_embeddings_encoder(store, "stored:mine", 2, "test", &error), CM_OK);
    assert_int_equal(cm_embeddings_put(store, "stored:mine", 2, &record, 1, &error), CM_OK);
    cm_embeddings_close(store);

    cm_encoder_setup setup = {.store = folder};
    cm_encoder *encoder = NULL;
    assert_int_equal(cm_encoder_create(&encoder, "stored:other", CM_RNA, &setup, &error), CM_MODEL);
    assert_int_equal(cm_encoder_create(&encoder, "stored", CM_RNA, &setup, &error), CM_USAGE);
    assert_int_equal(cm_encoder_create(&encoder, "kmer:x", CM_RNA, &setup, &error), CM_USAGE);
    assert_int_equal(cm_encoder_create(&encoder, "stored:mine", CM_RNA, NULL, &error), CM_USAGE);
    assert_int_equal(cm_encoder_create(&encoder, "stored:mine+onehot", CM_RNA, &setup, &error), CM_OK);
    assert_int_equal(cm_encoder_width(encoder), 7);
    assert_string_equal(cm_encoder_identity(encoder), "stored:mine");

    float out[4 * 7];
    cm_encoder_item item = {.text = "ACGU", .length = 4, .tokens = 1, .out = out};
    assert_int_equal(cm_encoder_tokens(encoder, layout("pooled"), "ACGU", 4), 1);
    assert_int_equal(cm_encoder_encode_items(encoder, layout("pooled"), &item, 1, NULL, &error), CM_OK);
    assert_true(out[0] == 3 && out[1] == 25 && out[2] == 0.25f);
    item.tokens = cm_encoder_tokens(encoder, layout("windows:2"), "ACGU", 4);
    assert_int_equal(item.tokens, 2);
    assert_int_equal(cm_encoder_encode_items(encoder, layout("windows:2"), &item, 1, NULL, &error), CM_OK);
    assert_true(out[0] == 1.5f && out[1] == 15 && out[7] == 4.5f && out[8] == 35);
    item.tokens = cm_encoder_tokens(encoder, layout("residues"), "ACGU", 4);
    assert_int_equal(item.tokens, 4);
    assert_int_equal(cm_encoder_encode_items(encoder, layout("residues"), &item, 1, NULL, &error), CM_OK);
    for (int t = 0; t < 4; t++) assert_memory_equal(out + 7 * t, rows + 2 * t, 2 * sizeof(float));

    item = (cm_encoder_item){.text = "AAAA", .length = 4, .tokens = 1, .out = out, .name = "r7"};
    assert_int_equal(cm_encoder_encode_items(encoder, layout("pooled"), &item, 1, NULL, &error), CM_DATA);
    assert_non_null(strstr(error.found, "r7"));
    cm_encoder_destroy(encoder);
    static const char *const files[] = {"data.mdb", "lock.mdb"};
    for (size_t i = 0; i < 2; i++) {
        snprintf(file, sizeof file, "%s/%s", folder, files[i]);
        remove(file);
    }
    remove(folder);
}

static void test_widths(void **state) {
    (void)state;
    static const struct {
        const char *name;
        cm_molecule_type type;
        int64_t width;
    } widths[] = {{"kmer", CM_RNA, 340},        {"kmer", CM_PROTEIN, 763},
                  {"onehot", CM_RNA, 5},        {"onehot", CM_PROTEIN, 21},
                  {"kmer+onehot", CM_RNA, 345}, {"onehot+kmer", CM_PROTEIN, 784},
                  {"morgan", CM_MOLECULE, 1024}};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        cm_encoder *encoder = make(widths[i].name, widths[i].type);
        assert_int_equal(cm_encoder_width(encoder), widths[i].width);
        cm_encoder_destroy(encoder);
    }
    cm_encoder *both = make("morgan+smiles", CM_MOLECULE);
    assert_int_equal(cm_encoder_width(both), 1024 + cm_smiles_vocabulary());
    cm_encoder_destroy(both);
    cm_encoder_destroy(NULL);
}

static void test_token_counts(void **state) {
    (void)state;
    static const struct {
        const char *name;
        cm_molecule_type type;
        const char *layout, *text;
        int64_t tokens;
    } counts[] = {
        {"kmer", CM_RNA, "pooled", "ACGUACGU", 1},
        {"kmer", CM_RNA, "windows:3", "ACGUACGU", 3},
        {"kmer", CM_RNA, "windows:8", "ACGUACGU", 8},
        {"kmer", CM_RNA, "windows:9", "ACGUACGU", 8},
        {"kmer+onehot", CM_RNA, "residues", "ACGUACGU", 8},
        {"smiles", CM_MOLECULE, "residues", "CC(Cl)[nH]", 6},
        {"smiles", CM_MOLECULE, "windows:4", "CC(Cl)[nH]", 4},
        {"smiles", CM_MOLECULE, "pooled", "CCO", 1},
        {"morgan", CM_MOLECULE, "residues", "CCO", 1},
        {"morgan", CM_MOLECULE, "windows:5", "CCO", 1},
        {"morgan+smiles", CM_MOLECULE, "residues", "CCO", 3},
    };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        cm_encoder *encoder = make(counts[i].name, counts[i].type);
        assert_int_equal(cm_encoder_tokens(encoder, layout(counts[i].layout), counts[i].text,
                                           (int64_t)strlen(counts[i].text)),
                         counts[i].tokens);
        cm_encoder_destroy(encoder);
    }
}

static void test_onehot(void **state) {
    (void)state;
    int64_t tokens = 0, width = 0;
    float *out = encode("onehot", CM_RNA, "windows:2", "ACGUN|A", &tokens, &width);
    static const float expected[2][5] = {{1 / 3.0f, 1 / 3.0f, 1 / 3.0f, 0, 0}, {0.25f, 0, 0, 0.25f, 0.5f}};
    assert_memory_equal(out, expected, sizeof expected);
    free(out);
    out = encode("onehot", CM_PROTEIN, "residues", "AYX", &tokens, &width);
    assert_int_equal(tokens, 3);
    for (int64_t c = 0; c < 3 * 21; c++)
        assert_true(out[c] == (c == 0 || c == 21 + 19 || c == 42 + 20 ? 1 : 0));
    free(out);
}

static void test_kmer_join(void **state) {
    (void)state;
    static const char text[] = "GGGAACUNACGUACGACGAGCUA";
    int64_t tokens = 0, width = 0, n = 0, w = 0;
    float *joined = encode("onehot+kmer", CM_RNA, "windows:4", text, &tokens, &width);
    float *onehot = encode("onehot", CM_RNA, "windows:4", text, &n, &w);
    float spectrum[4][340];
    cm_kmer_spectrum(CM_RNA, text, (int64_t)strlen(text), 4, spectrum[0], 340);
    assert_int_equal(tokens, 4);
    for (int64_t t = 0; t < tokens; t++) {
        assert_memory_equal(joined + t * width, onehot + t * 5, 5 * sizeof *joined);
        assert_memory_equal(joined + t * width + 5, spectrum[t], sizeof spectrum[t]);
    }
    free(joined);
    free(onehot);
}

static void test_smiles(void **state) {
    (void)state;
    int64_t tokens = 0, width = 0;
    float *out = encode("smiles", CM_MOLECULE, "windows:2", "CC[Xe]O", &tokens, &width);
    int64_t carbon = cm_smiles_column("C", 1), oxygen = cm_smiles_column("O", 1);
    for (int64_t c = 0; c < width; c++) {
        assert_true(out[c] == (c == carbon ? 1 : 0));
        assert_true(out[width + c] == (c == oxygen || c == width - 2 ? 0.5f : 0));
    }
    free(out);
}

/* The molecule's own vector stands on every row of a join, and alone gives one row. */
static void test_morgan_repeats(void **state) {
    (void)state;
    int64_t tokens = 0, width = 0;
    float expected[1024];
    assert_int_equal(cm_chem_morgan("CCO", 1024, expected, NULL), CM_OK);
    float *out = encode("morgan", CM_MOLECULE, "windows:7", "CCO", &tokens, &width);
    assert_int_equal(tokens, 1);
    assert_memory_equal(out, expected, sizeof expected);
    free(out);
    out = encode("smiles+morgan", CM_MOLECULE, "residues", "CCO", &tokens, &width);
    assert_int_equal(tokens, 3);
    for (int64_t t = 0; t < tokens; t++)
        assert_memory_equal(out + (t + 1) * width - 1024, expected, sizeof expected);
    free(out);
}

/* A text that is longer than its length says: the rest is not read. */
static void test_length_counts(void **state) {
    (void)state;
    float expected[1024], out[1024];
    cm_encoder *encoder = make("morgan", CM_MOLECULE);
    assert_int_equal(cm_chem_morgan("CC", 1024, expected, NULL), CM_OK);
    assert_int_equal(cm_encoder_encode(encoder, "CCO", 2, 1, out, NULL), CM_OK);
    assert_memory_equal(out, expected, sizeof expected);
    cm_encoder_destroy(encoder);
}

static void test_failures(void **state) {
    (void)state;
    float out[1024];
    cm_error error;
    cm_encoder *encoder = make("morgan", CM_MOLECULE);
    assert_int_equal(cm_encoder_encode(encoder, "C(", 2, 1, out, &error), CM_DATA);
    fail_alloc_from(0);
    cm_status encoded = cm_encoder_encode(encoder, "CC", 2, 1, out, &error);
    assert_true(fail_alloc_stop());
    assert_int_equal(encoded, CM_MEMORY);
    cm_encoder_destroy(encoder);
    fail_alloc_from(0);
    cm_status created = cm_encoder_create(&encoder, "kmer", CM_RNA, NULL, &error);
    assert_true(fail_alloc_stop());
    assert_int_equal(created, CM_MEMORY);
    assert_null(encoder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layouts),        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_names),          cmocka_unit_test(test_widths),
        cmocka_unit_test(test_token_counts),   cmocka_unit_test(test_onehot),
        cmocka_unit_test(test_kmer_join),      cmocka_unit_test(test_smiles),
        cmocka_unit_test(test_morgan_repeats), cmocka_unit_test(test_length_counts),
        cmocka_unit_test(test_failures),       cmocka_unit_test(test_words),
        cmocka_unit_test(test_relocate),       cmocka_unit_test(test_stored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
