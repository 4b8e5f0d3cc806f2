/* Molecule kernels: values by hand, their code, symmetric positive semidefinite matrices, molecules without
 * features. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"
#include "close.h"
#include "fail_alloc.h"
#include "kernel/kernel_side.h"
#include <math.h>
#include <string.h>

enum { MOST = 40 };
static char texts[MOST][200];
static const char *text[MOST];
static int64_t lengths[MOST];

static cm_kernel_features *features_of(cm_molecule_type type, int n) {
    for (int i = 0; i < n; i++) lengths[i] = (int64_t)strlen(text[i]);
    cm_kernel_features *f = NULL;
    assert_int_equal(cm_kernel_features_create(&f, type, CM_EVERY_MIX, text, lengths, n, NULL), CM_OK);
    return f;
}

static int find(const cm_kernel_features *f, const char *name) {
    for (int k = 0; k < f->n_kernels; k++)
        if (strcmp(f->kernel[k]->name, name) == 0) return k;
    fail_msg("no kernel %s", name);
    return -1;
}

static double value(const cm_kernel_features *f, const char *name, int i, int j) {
    double out[MOST * MOST];
    assert_int_equal(cm_kernel_cross(f, NULL, f->n, f, find(f, name), out, NULL, NULL), CM_OK);
    return out[i * f->n + j];
}

static void random_texts(const char *letters, int n) {
    for (int i = 0; i < n; i++) {
        int length = 1 + (int)cm_rng_below(5, (uint64_t)i, 150);
        for (int at = 0; at < length; at++)
            texts[i][at] = letters[cm_rng_below(77 + (uint64_t)i, (uint64_t)at, strlen(letters))];
        texts[i][length] = '\0';
        text[i] = texts[i];
    }
}

static void values_by_hand(void **state) {
    (void)state;
    text[0] = "AACAAC";  /* AAC 2, ACA 1, CAA 1: (sqrt 2, 1, 1) / 2 */
    text[1] = "AACNACA"; /* AAC 1, ACA 1 */
    text[2] = "GGGG";
    cm_kernel_features *f = features_of(CM_RNA, 3);
    assert_close(value(f, "rna3", 0, 0), 1, 1e-6);
    assert_close(value(f, "rna3", 0, 1), (sqrt(2) + 1) / 2 / sqrt(2), 1e-6);
    assert_close(value(f, "rna3", 1, 2), 0, 1e-12);
    /* starts 0 .. 3 of 6 lie in quarters 0, 0, 1, 2; starts 0 and 4 of 7 in 0 and 2: AAC of quarter 0 is
     * common */
    assert_close(value(f, "rna-quarters", 0, 1), 1 / sqrt(4 * 2), 1e-6);
    assert_close(value(f, "rna5", 0, 1), 0, 1e-12); /* none in the second */
    cm_kernel_features_destroy(f);

    text[0] = "ARA"; /* gap 0: AR RA; gap 1: AA */
    text[1] = "AKA"; /* gap 1: AA */
    f = features_of(CM_PROTEIN, 2);
    assert_close(value(f, "gapped", 0, 1), 1.0 / 3, 1e-6);
    assert_close(value(f, "triads", 0, 1), 1, 1e-6); /* R and K are of one class */
    assert_close(value(f, "protein1", 0, 1), 2.0 / 3, 1e-6);
    cm_kernel_features_destroy(f);

    text[0] = "CCO";
    text[1] = "CCO";
    text[2] = "CCN";
    f = features_of(CM_MOLECULE, 3);
    assert_close(value(f, "morgan-bits", 0, 1), 1, 1e-12);
    /* by hand: C, the CH2 and its neighbourhood differ; only the methyl carbon (radius 0 and 1) and CH2 at
     * radius 0 are common: of 6 and 6 bits, 3 are shared */
    assert_close(value(f, "morgan-bits", 0, 2), 3.0 / 9, 1e-12);
    cm_kernel_features_destroy(f);
}

/* Features of n random molecules and their code in a second set, which still has to be decoded. */
static cm_kernel_features *coded(const cm_kernel_features *f, cm_kernel_mix mix) {
    cm_kernel_features *copy = NULL;
    int64_t bytes[CM_KERNELS_MAX];
    for (int k = 0; k < f->n_kernels; k++) bytes[k] = f->rows[k].bytes;
    assert_int_equal(cm_kernel_features_room(&copy, f->type, mix, f->n, bytes, NULL), CM_OK);
    for (int k = 0; k < f->n_kernels; k++) {
        if (!cm_kernel_in_mix(f->kernel[k], mix)) continue;
        memcpy(copy->rows[k].code, f->rows[k].code, (size_t)bytes[k]);
        memcpy(copy->rows[k].code_start, f->rows[k].code_start, ((size_t)f->n + 1) * sizeof(int64_t));
    }
    return copy;
}

static void assert_same_rows(const cm_kernel_rows *a, const cm_kernel_rows *b, int64_t n) {
    size_t entries = (size_t)a->start[n];
    assert_memory_equal(a->start, b->start, ((size_t)n + 1) * sizeof *a->start);
    assert_memory_equal(a->column, b->column, entries * sizeof *a->column);
    assert_memory_equal(a->value, b->value, entries * sizeof *a->value);
    assert_memory_equal(a->square, b->square, (size_t)n * sizeof *a->square);
}

static const char *const alphabets[] = {
    [CM_RNA] = "ACGUN", [CM_PROTEIN] = "ACDEFGHIKLMNPQRSTVWYX", [CM_MOLECULE] = "CNO"};

/* Also of molecules without features at the beginning and the end, and of those that were picked. */
static void code_gives_the_vectors_back(void **state) {
    (void)state;
    static const int32_t picked[] = {MOST - 1, 3, 0, 3};
    for (int type = 0; type < 3; type++) {
        random_texts(alphabets[type], MOST);
        if (type != CM_MOLECULE) text[0] = text[MOST - 1] = "X";
        cm_kernel_features *f = features_of((cm_molecule_type)type, MOST), *few = NULL;
        assert_int_equal(cm_kernel_features_select(&few, f, picked, 4, NULL), CM_OK);
        const cm_kernel_features *whole[2] = {f, few};
        for (int mix = 0; mix < CM_MIXES; mix++)
            for (int i = 0; i < 2; i++) {
                cm_kernel_features *copy = coded(whole[i], (cm_kernel_mix)mix);
                assert_int_equal(cm_kernel_features_decode(copy, (cm_kernel_mix)mix, NULL), CM_OK);
                for (int k = 0; k < f->n_kernels; k++)
                    if (cm_kernel_in_mix(f->kernel[k], (cm_kernel_mix)mix))
                        assert_same_rows(&whole[i]->rows[k], &copy->rows[k], whole[i]->n);
                cm_kernel_features_destroy(copy);
            }
        cm_kernel_features_destroy(few);
        cm_kernel_features_destroy(f);
    }
}

/* One byte of the code changed to all its values: refused by name, or vectors that keep their promises. */
static void damaged_code_does_no_harm(void **state) {
    (void)state;
    random_texts("ACGU", 3);
    cm_kernel_features *f = features_of(CM_RNA, 3), *copy = coded(f, CM_MIX_FINE);
    int k = find(f, "rna4"), refused = 0;
    cm_kernel_rows *rows = &copy->rows[k];
    for (int64_t at = 0; at < rows->bytes; at++) {
        for (int value = 0; value < 256; value++) {
            cm_error error = {0};
            rows->code[at] = (uint8_t)value;
            if (cm_kernel_features_decode(copy, CM_MIX_FINE, &error) != CM_OK) {
                assert_non_null(strstr(error.place, "rna4 of training molecule"));
                refused++;
                continue;
            }
            assert_in_range(rows->start[3], 1, rows->bytes);
            for (int64_t e = 0; e < rows->start[3]; e++) {
                assert_in_range(rows->column[e], 0, f->kernel[k]->width - 1);
                assert_true(isfinite(rows->value[e]) && rows->value[e] > 0);
            }
        }
        rows->code[at] = f->rows[k].code[at];
    }
    assert_true(refused > 100);
    cm_kernel_features_destroy(copy);
    cm_kernel_features_destroy(f);
}

/* The smallest pivot of a Cholesky decomposition of m[n, n] + 1e-7 I. */
static double least_pivot(double *m, int64_t n) {
    double least = INFINITY;
    for (int64_t j = 0; j < n; j++) {
        double pivot = m[j * n + j] + 1e-7;
        for (int64_t k = 0; k < j; k++) pivot -= m[j * n + k] * m[j * n + k];
        least = fmin(least, pivot);
        m[j * n + j] = sqrt(fmax(pivot, 1e-300));
        for (int64_t i = j + 1; i < n; i++) {
            double sum = m[i * n + j];
            for (int64_t k = 0; k < j; k++) sum -= m[i * n + k] * m[j * n + k];
            m[i * n + j] = sum / m[j * n + j];
        }
    }
    return least;
}

static void check_matrix(double *m, int64_t n, const char *name) {
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            if (fabs(m[i * n + j] - m[j * n + i]) > 1e-12 || !isfinite(m[i * n + j]))
                fail_msg("%s: not symmetric", name);
    if (!(least_pivot(m, n) > 0)) fail_msg("%s: not positive semidefinite", name);
}

static void matrices_are_positive_semidefinite(void **state) {
    (void)state;
    static const double gammas[] = {0, 0.5, 4};
    for (int type = 0; type < 3; type++) {
        random_texts(alphabets[type], MOST);
        cm_kernel_features *f = features_of((cm_molecule_type)type, MOST);
        double out[MOST * MOST];
        for (int k = 0; k < f->n_kernels; k++) {
            assert_int_equal(cm_kernel_cross(f, NULL, f->n, f, k, out, NULL, NULL), CM_OK);
            check_matrix(out, MOST, f->kernel[k]->name);
        }
        cm_kernel_side side;
        assert_int_equal(cm_kernel_side_create(&side, f, NULL, NULL), CM_OK);
        for (int mix = 0; mix < CM_MIXES; mix++)
            for (int g = 0; g < 3; g++) {
                cm_kernel_shape shape = {(cm_kernel_mix)mix, gammas[g], 0.1};
                cm_kernel_side_gram(&side, &shape, out);
                check_matrix(out, MOST, "side");
            }
        cm_kernel_side_clear(&side);
    }
}

/* What prediction computes for the training molecules is what training used. */
static void cross_kernel_repeats_the_training_matrix(void **state) {
    (void)state;
    random_texts("ACGU", MOST);
    text[7] = "N"; /* nothing known: no features at all */
    text[8] = "A";
    cm_kernel_features *f = features_of(CM_RNA, MOST), *own = NULL;
    int32_t index[20], odd[3] = {19, 0, 8};
    for (int i = 0; i < 20; i++) index[i] = i;
    assert_int_equal(cm_kernel_features_select(&own, f, index, 20, NULL), CM_OK);
    cm_kernel_side side;
    assert_int_equal(cm_kernel_side_create(&side, own, NULL, NULL), CM_OK);
    static const cm_kernel_shape shapes[] = {
        {CM_MIX_ALL, 0, 0}, {CM_MIX_COARSE, 1, 0.3}, {CM_MIX_FINE, 4, 0}};
    for (int s = 0; s < 3; s++) {
        double gram[20 * 20], cross[20 * 20], few[3 * 20];
        cm_kernel_side_gram(&side, &shapes[s], gram);
        assert_int_equal(cm_kernel_side_cross(&side, &shapes[s], f, NULL, 20, cross, NULL, NULL), CM_OK);
        for (int i = 0; i < 400; i++) assert_close(gram[i], cross[i], 1e-12);
        assert_int_equal(cm_kernel_side_cross(&side, &shapes[s], f, odd, 3, few, NULL, NULL), CM_OK);
        for (int i = 0; i < 3; i++) assert_memory_equal(few + i * 20, cross + odd[i] * 20, 20 * sizeof *few);
        if (shapes[s].gamma > 0) assert_close(gram[21], 1 + shapes[s].constant, 1e-12);
    }
    cm_kernel_side_clear(&side);
    cm_kernel_features_destroy(f);
}

static void a_single_molecule_is_its_own_mean(void **state) {
    (void)state;
    text[0] = "ACGUACGU";
    cm_kernel_side side;
    assert_int_equal(cm_kernel_side_create(&side, features_of(CM_RNA, 1), NULL, NULL), CM_OK);
    double out = -1;
    cm_kernel_side_gram(&side, &(cm_kernel_shape){CM_MIX_ALL, 0, 0.25}, &out);
    assert_close(out, 0.25, 1e-12);
    cm_kernel_side_clear(&side);
}

static void memory_may_end_anywhere(void **state) {
    (void)state;
    random_texts("ACGU", 5);
    for (int i = 0; i < 5; i++) lengths[i] = (int64_t)strlen(text[i]);
    long n = 0;
    for (bool failed = true; failed; n++) {
        cm_kernel_features *f = NULL;
        cm_kernel_side side = {0};
        fail_alloc_from(n);
        cm_status status = cm_kernel_features_create(&f, CM_RNA, CM_EVERY_MIX, text, lengths, 5, NULL);
        if (status == CM_OK) status = cm_kernel_side_create(&side, f, NULL, NULL);
        failed = fail_alloc_stop();
        assert_int_equal(status, failed ? CM_MEMORY : CM_OK);
        if (status == CM_OK) cm_kernel_side_clear(&side);
    }
    assert_true(n > 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_by_hand),
        cmocka_unit_test(code_gives_the_vectors_back),
        cmocka_unit_test(damaged_code_does_no_harm),
        cmocka_unit_test(matrices_are_positive_semidefinite),
        cmocka_unit_test(cross_kernel_repeats_the_training_matrix),
        cmocka_unit_test(a_single_molecule_is_its_own_mean),
        cmocka_unit_test(memory_may_end_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
