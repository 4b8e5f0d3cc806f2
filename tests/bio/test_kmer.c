/* k-mer spectra against a plain count. */
#include "base/rng.h"
#include "bio/kmer.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* The group of a residue in "AGV ILFP ...", -1 when in none. */
static int group_of(const char *groups, char residue) {
    int group = 0;
    for (; *groups != '\0'; groups++) {
        if (*groups == residue && residue != ' ') return group;
        group += *groups == ' ';
    }
    return -1;
}

typedef struct plain_level {
    const char *groups;
    int k, base, first, size;
} plain_level;

static const plain_level rna_levels[] = {{"A C G U", 1, 4, 0, 4},
                                         {"A C G U", 2, 4, 4, 16},
                                         {"A C G U", 3, 4, 20, 64},
                                         {"A C G U", 4, 4, 84, 256},
                                         {0}};
static const plain_level protein_levels[] = {{"A C D E F G H I K L M N P Q R S T V W Y", 1, 20, 0, 20},
                                             {"A C D E F G H I K L M N P Q R S T V W Y", 2, 20, 20, 400},
                                             {"AGV ILFP YMTS HNQW RK DE C", 3, 7, 420, 343},
                                             {0}};

/* Window [begin, end) of one level, by the definition. */
static void plain_spectrum(const plain_level *level, const char *text, int64_t length, int64_t begin,
                           int64_t end, double *out) {
    double sum = 0;
    memset(out, 0, (size_t)level->size * sizeof *out);
    for (int64_t i = begin; i < end; i++) {
        int code = 0, known = i + level->k <= length;
        for (int t = 0; known && t < level->k; t++) {
            int group = group_of(level->groups, text[i + t]);
            known = group >= 0;
            code = code * level->base + group;
        }
        if (!known) continue;
        out[code] += 1;
        sum += 1;
    }
    for (int c = 0; c < level->size && sum > 0; c++) out[c] /= sum;
}

static void compare(cm_molecule_type type, const char *text, int64_t length, int64_t n) {
    int64_t width = cm_kmer_width(type), stride = width + 3;
    float *out = malloc((size_t)(n * stride) * sizeof *out);
    double expected[400];
    assert_non_null(out);
    for (int64_t i = 0; i < n * stride; i++) out[i] = -7;
    cm_kmer_spectrum(type, text, length, n, out, stride);
    for (int64_t w = 0; w < n; w++) {
        for (const plain_level *level = type == CM_RNA ? rna_levels : protein_levels; level->k > 0; level++) {
            plain_spectrum(level, text, length, w * length / n, (w + 1) * length / n, expected);
            for (int c = 0; c < level->size; c++)
                if (out[w * stride + level->first + c] != (float)expected[c])
                    fail_msg("%.40s window %d of %d, k %d, column %d: %g", text, (int)w, (int)n, level->k, c,
                             (double)out[w * stride + level->first + c]);
        }
        for (int64_t c = width; c < stride; c++) assert_true(out[w * stride + c] == -7);
    }
    free(out);
}

static void test_width(void **state) {
    (void)state;
    assert_int_equal(cm_kmer_width(CM_RNA), 340);
    assert_int_equal(cm_kmer_width(CM_PROTEIN), 763);
}

/* Worked by hand: "AAC" has A twice, C once; AA and AC. */
static void test_by_hand(void **state) {
    (void)state;
    float out[340];
    cm_kmer_spectrum(CM_RNA, "AAC", 3, 1, out, 340);
    assert_true(out[0] == (float)(2.0 / 3) && out[1] == (float)(1.0 / 3));
    assert_true(out[4] == 0.5f && out[5] == 0.5f);
    assert_true(out[20 + 1] == 1); /* AAC */
    for (int c = 84; c < 340; c++) assert_true(out[c] == 0);
}

static void test_edges(void **state) {
    (void)state;
    static const char *const rna[] = {"A",     "N",     "AC",       "ACGU", "NACGU",
                                      "ACNGU", "ACGUN", "AC|GUA|C", "NNNN", "UUUUUUUUU"};
    for (size_t i = 0; i < sizeof rna / sizeof *rna; i++)
        for (int64_t n = 1; n <= (int64_t)strlen(rna[i]); n++)
            compare(CM_RNA, rna[i], (int64_t)strlen(rna[i]), n);
    static const char *const protein[] = {
        "M", "MK", "MKX", "MKC|ACDEFGHIKLMNPQRSTVWY", "XXM", "GAVILFPYMTSHNQWRKDEC"};
    for (size_t i = 0; i < sizeof protein / sizeof *protein; i++)
        for (int64_t n = 1; n <= (int64_t)strlen(protein[i]); n++)
            compare(CM_PROTEIN, protein[i], (int64_t)strlen(protein[i]), n);
}

static void test_random(void **state) {
    (void)state;
    static const char *const letters[] = {"ACGUACGUACGUACGUACGUN|", "ACDEFGHIKLMNPQRSTVWYX|"};
    char text[301];
    for (uint64_t round = 0; round < 60; round++) {
        int64_t length = 1 + (int64_t)cm_rng_below(11, round, 300);
        for (int64_t i = 0; i < length; i++)
            text[i] = letters[round % 2][cm_rng_below(round + 100, (uint64_t)i, strlen(letters[round % 2]))];
        text[length] = '\0';
        compare(round % 2 ? CM_PROTEIN : CM_RNA, text, length,
                1 + (int64_t)cm_rng_below(12, round, (uint64_t)length));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_width),
        cmocka_unit_test(test_by_hand),
        cmocka_unit_test(test_edges),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
