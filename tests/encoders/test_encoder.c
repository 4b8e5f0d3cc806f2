/* The table of encoders, layouts, joins, and each part's tokens. */
#include "bio/chem.h"
#include "bio/kmer.h"
#include "bio/smiles.h"
#include "encoders/encoder.h"
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
    if (cm_encoder_create(&encoder, name, type, &error) != CM_OK) fail_msg("%s: %s", name, error.found);
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
    }
    assert_int_equal(n, 4);
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
        {"", CM_RNA, "''", "one of kmer, onehot, or several joined by '+'"},
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
        assert_int_equal(cm_encoder_create(&encoder, refused[i].name, refused[i].type, &error), CM_USAGE);
        assert_null(encoder);
        assert_string_equal(error.found, refused[i].found);
        if (strstr(error.expected, refused[i].listed) == NULL)
            fail_msg("%s: %s", refused[i].name, error.expected);
    }
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
    cm_status created = cm_encoder_create(&encoder, "kmer", CM_RNA, &error);
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
        cmocka_unit_test(test_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
