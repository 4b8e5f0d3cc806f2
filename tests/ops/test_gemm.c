/* The matrix product: the inner kernels against each other, the product against its definition and a
 * float64 sum, and the rule that an element's bits depend on nothing but its row and column. */
#include "base/alloc.h"
#include "base/rng.h"
#include "ops/gemm.h"
#include "ops/gemm_kernel.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const int sizes[] = {1, 16, 48, 128, 256, 340, 512, 763, 1024};
enum { SIZES = sizeof sizes / sizeof *sizes, ROWS = 130, LARGEST = 1024 };
#if defined(__SANITIZE_ADDRESS__)
enum { SLOW = 12 }; /* every 12th case where there are very many */
#else
enum { SLOW = 1 };
#endif

static float *random_floats(int64_t count, uint64_t key) {
    float *values = cm_new_aligned((size_t)count, sizeof *values);
    assert_non_null(values);
    for (int64_t i = 0; i < count; i++) values[i] = (float)cm_rng_uniform(key, (uint64_t)i) - 0.5f;
    return values;
}

static float *copy_of(const float *values, int64_t count) {
    float *copy = cm_new_aligned((size_t)count, sizeof *copy);
    assert_non_null(copy);
    memcpy(copy, values, (size_t)count * sizeof *copy);
    return copy;
}

static void assert_same_bits(const float *a, const float *b, int64_t count) {
    assert_memory_equal(a, b, (size_t)count * sizeof *a);
}

/* ---- inner kernels ---- */

enum { MOST_ROWS = 2 * CM_GEMM_MOST_STRIP + 5 };

/* The tile's sums are added to nothing, to what C holds, or to one row. */
static void compare_tile(const cm_gemm_kernel *kernel, cm_gemm_tile tile, int how, const float *old,
                         float *expected, float *found) {
    int64_t count = MOST_ROWS * tile.ldc;
    memcpy(expected, old, (size_t)count * sizeof *old);
    memcpy(found, old, (size_t)count * sizeof *old);
    if (how == 1) tile.from_row = tile.ldc;
    tile.c = expected;
    tile.from = how == 0 ? NULL : how == 1 ? expected : old;
    cm_gemm_kernels[0].multiply(&tile);
    tile.c = found;
    if (how == 1) tile.from = found;
    kernel->multiply(&tile);
    assert_same_bits(expected, found, count);
}

static void test_kernels_agree(void **state) {
    static const int depths[] = {1, 2, 7, 64, CM_GEMM_K_BLOCK};
    enum { LDC = CM_GEMM_PANEL + 3, LDA = CM_GEMM_K_BLOCK + 5, B_STEP = CM_GEMM_PANEL + CM_GEMM_VECTOR };
    (void)state;
    float *a = random_floats(3 * CM_GEMM_VECTOR * LDA, 1), *b = random_floats(B_STEP * CM_GEMM_K_BLOCK, 2);
    float *old = random_floats(MOST_ROWS * LDC, 3), *expected = copy_of(old, MOST_ROWS * LDC);
    float *found = copy_of(old, MOST_ROWS * LDC);
    for (const cm_gemm_kernel *kernel = &cm_gemm_kernels[1]; kernel->name; kernel++) {
        if (!kernel->supported()) continue;
        for (int rows = 1; rows <= MOST_ROWS; rows++)
            for (int cols = 1; cols <= CM_GEMM_PANEL; cols += cols == 1 || cols >= 47 ? 1 : 5)
                for (size_t d = 0; d < sizeof depths / sizeof *depths; d++) {
                    bool strips = d % 2, packed = rows % 2;
                    cm_gemm_tile tile = {.rows = rows,
                                         .cols = cols,
                                         .depth = depths[d],
                                         .a = a,
                                         .strip = kernel->strip,
                                         .a_strip = (strips ? kernel->strip_row : kernel->strip) * LDA,
                                         .a_row = strips ? 1 : LDA,
                                         .a_step = strips ? kernel->strip_row : 1,
                                         .b = b,
                                         .b_vector = packed ? CM_GEMM_VECTOR * depths[d] : CM_GEMM_VECTOR,
                                         .b_step = packed ? CM_GEMM_VECTOR : B_STEP,
                                         .ldc = LDC};
                    compare_tile(kernel, tile, (rows + cols) % 3, old, expected, found);
                }
    }
    cm_free(a), cm_free(b), cm_free(old), cm_free(expected), cm_free(found);
}

static void test_packs_agree(void **state) {
    enum { LDB = 41 };
    (void)state;
    float *b = random_floats(CM_GEMM_PANEL * LDB, 1);
    float *expected = random_floats(CM_GEMM_PANEL * LDB, 2), *found = random_floats(CM_GEMM_PANEL * LDB, 3);
    for (const cm_gemm_kernel *kernel = &cm_gemm_kernels[1]; kernel->name; kernel++) {
        if (!kernel->supported()) continue;
        for (int cols = 1; cols <= CM_GEMM_PANEL; cols++)
            for (int depth = 1; depth <= LDB; depth += 4) {
                int64_t width = (cols + CM_GEMM_VECTOR - 1) / CM_GEMM_VECTOR * CM_GEMM_VECTOR;
                cm_gemm_kernels[0].pack_transposed(depth, cols, b, LDB, expected, width);
                kernel->pack_transposed(depth, cols, b, LDB, found, width);
                assert_same_bits(expected, found, depth * width);
            }
    }
    cm_free(b), cm_free(expected), cm_free(found);
}

/* ---- the product ---- */

typedef struct shape {
    bool trans_a, trans_b, accumulate;
    int64_t m, n, k, gap; /* gap: leading dimensions exceed the widths by it */
} shape;

static int64_t lda_of(shape s) {
    return (s.trans_a ? s.m : s.k) + s.gap;
}

static int64_t ldb_of(shape s) {
    return (s.trans_b ? s.k : s.n) + s.gap;
}

/* Element (i, j) of C in float32 as gemm.h defines it, and in float64 with the sum of magnitudes. */
static float element(shape s, const float *a, const float *b, float old, int64_t i, int64_t j, double *exact,
                     double *magnitude) {
    float value = old;
    *exact = s.accumulate ? (double)old : 0;
    *magnitude = fabs(*exact);
    for (int64_t begin = 0; begin < s.k; begin += CM_GEMM_K_BLOCK) {
        float block = 0;
        for (int64_t p = begin; p < s.k && p < begin + CM_GEMM_K_BLOCK; p++) {
            float x = s.trans_a ? a[p * lda_of(s) + i] : a[i * lda_of(s) + p];
            float y = s.trans_b ? b[j * ldb_of(s) + p] : b[p * ldb_of(s) + j];
            block = fmaf(x, y, block);
            *exact += (double)x * (double)y;
            *magnitude += fabs((double)x * (double)y);
        }
        value = s.accumulate || begin > 0 ? value + block : block;
    }
    return s.k == 0 && !s.accumulate ? 0 : value;
}

static void check_elements(shape s, const float *a, const float *b, const float *old, const float *c) {
    int64_t ldc = s.n + s.gap, step = 1 + s.m * s.n * SLOW / 4000;
    for (int64_t e = 0; e < s.m * s.n; e += step) {
        int64_t at = e / s.n * ldc + e % s.n;
        double exact, magnitude;
        float defined = element(s, a, b, old[at], e / s.n, e % s.n, &exact, &magnitude);
        assert_same_bits(&defined, &c[at], 1);
        assert_true(fabs((double)c[at] - exact) <= 1e-6 * magnitude + 1e-30);
    }
    for (int64_t i = 0; i < s.m; i++) /* nothing beyond the columns is written */
        assert_same_bits(old + i * ldc + s.n, c + i * ldc + s.n, s.gap);
}

static void check_shape(shape s, cm_team *const *teams, int team_count) {
    int64_t ldc = s.n + s.gap;
    float *a = random_floats((s.trans_a ? s.k : s.m) * lda_of(s) + 1, 1);
    float *b = random_floats((s.trans_b ? s.n : s.k) * ldb_of(s) + 1, 2);
    float *old = random_floats(s.m * ldc + 1, 4), *first = copy_of(old, s.m * ldc + 1);
    float *c = copy_of(old, s.m * ldc + 1);
    cm_gemm(NULL, s.trans_a, s.trans_b, s.m, s.n, s.k, a, lda_of(s), b, ldb_of(s), s.accumulate, first, ldc);
    check_elements(s, a, b, old, first);
    for (int t = 0; t < team_count; t++) {
        memcpy(c, old, (size_t)(s.m * ldc) * sizeof *c);
        cm_gemm(teams[t], s.trans_a, s.trans_b, s.m, s.n, s.k, a, lda_of(s), b, ldb_of(s), s.accumulate, c,
                ldc);
        assert_same_bits(first, c, s.m * ldc);
    }
    cm_free(a), cm_free(b), cm_free(old), cm_free(first), cm_free(c);
}

static void test_definition(void **state) {
    cm_team *teams[] = {NULL, cm_team_create(2), cm_team_create(4)};
    (void)state;
    for (int layout = 0; layout < 8; layout++)
        for (int index = 0; index < 24; index++) {
            uint64_t key = cm_rng_key(7, (uint64_t)layout, (uint64_t)index);
            shape s = {.trans_a = layout & 1,
                       .trans_b = layout & 2,
                       .accumulate = layout & 4,
                       .m = (int64_t)cm_rng_below(key, 0, 70),
                       .n = (int64_t)cm_rng_below(key, 1, 200),
                       .k = (int64_t)cm_rng_below(key, 2, index % 3 ? 60 : 700),
                       .gap = (int64_t)cm_rng_below(key, 3, 4)};
            check_shape(s, teams, 3);
        }
    cm_team_destroy(teams[1]);
    cm_team_destroy(teams[2]);
}

/* The shapes of a training step with T tokens, large enough to be split over rows, columns and blocks. */
static void test_step_shapes(void **state) {
    static const int layers[][2] = {{256, 1024}, {512, 48}, {16, 512}, {512, 256}, {1103, 256}};
    static const int tokens[] = {64, 1300};
    cm_team *teams[] = {cm_team_create(2), cm_team_create(3), cm_team_create(4)};
    (void)state;
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++)
        for (size_t t = 0; t < 2; t++) {
            int64_t in = layers[i][0], out = layers[i][1], rows = tokens[t];
            check_shape((shape){false, true, false, rows, out, in, 0}, teams, 3);
            check_shape((shape){false, false, false, rows, in, out, 0}, teams, 3);
            check_shape((shape){true, false, true, out, in, rows, 0}, teams, 3);
        }
    for (int t = 0; t < 3; t++) cm_team_destroy(teams[t]);
}

/* Every height from 1 to 130, the rows taken from changing places: the same bits as in the full product. */
static void check_heights(int64_t n, int64_t k, bool trans_b, const float *a, const float *b, float *whole,
                          float *part) {
    int64_t ldb = trans_b ? k : n, step = trans_b ? SLOW : 9 * SLOW;
    cm_gemm(NULL, false, trans_b, ROWS, n, k, a, k, b, ldb, false, whole, n);
    for (int64_t m = 1; m <= ROWS; m += step) {
        int64_t first = m * 7 % (ROWS - m + 1);
        cm_gemm(NULL, false, trans_b, m, n, k, a + first * k, k, b, ldb, false, part, n);
        assert_same_bits(whole + first * n, part, m * n);
    }
}

static void test_rows_do_not_depend_on_height(void **state) {
    (void)state;
    if (cm_gemm_kernel_best() == &cm_gemm_kernels[0]) skip(); /* too slow, and the kernels agree */
    float *a = random_floats((int64_t)ROWS * LARGEST, 1), *b = random_floats((int64_t)LARGEST * LARGEST, 2);
    float *whole = random_floats((int64_t)ROWS * LARGEST, 3),
          *part = random_floats((int64_t)ROWS * LARGEST, 4);
    for (int i = 0; i < SIZES; i++)
        for (int j = 0; j < SIZES; j++)
            for (int trans_b = 0; trans_b < 2; trans_b++)
                check_heights(sizes[i], sizes[j], trans_b, a, b, whole, part);
    cm_free(a), cm_free(b), cm_free(whole), cm_free(part);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kernels_agree),
        cmocka_unit_test(test_packs_agree),
        cmocka_unit_test(test_definition),
        cmocka_unit_test(test_step_shapes),
        cmocka_unit_test(test_rows_do_not_depend_on_height),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
