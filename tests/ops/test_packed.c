/* Packed weights: f32 against the product, the activation and the sum that it stands for, int8 against plain
 * integers, bf16 against its bound; every kernel, also those for instructions that this machine lacks. */
#include "base/alloc.h"
#include "base/rng.h"
#include "ops/gemm.h"
#include "ops/op_util.h"
#include "ops/packed_kernel.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "packed_emulated.h"

enum { GAP = 3, TEAMS = 3, MOST_OUT = 112 };
static const int64_t heights[] = {0, 1, 2, 63, 64, 65, 1000};
static const int64_t widths[][2] = {{1, 1}, {1, 257}, {17, 7}, {64, 1}, {70, 600}, {112, 1300}}; /* out, in */
enum {
    HEIGHTS = sizeof heights / sizeof *heights,
    WIDTHS = sizeof widths / sizeof *widths,
    SHAPES = HEIGHTS * WIDTHS
};

/* One product with all its matrices; leading dimensions exceed the widths by GAP. */
typedef struct trial {
    int64_t m, out, in;
    float *x, *weight, *bias, *residual; /* the last two NULL: none */
    cm_activation activation;
    float *expected, *found;
} trial;

static float *random_floats(int64_t count, uint64_t key) {
    float *values = cm_new_aligned((size_t)count + 1, sizeof *values);
    assert_non_null(values);
    for (int64_t i = 0; i < count; i++) values[i] = (float)cm_rng_normal(key, (uint64_t)i);
    return values;
}

static trial trial_create(int64_t m, int64_t out, int64_t in, int index) {
    trial t = {.m = m, .out = out, .in = in, .activation = (cm_activation)(index % (CM_ACT_SOFTPLUS + 1))};
    t.x = random_floats(m * (in + GAP), 1);
    t.weight = random_floats(out * (in + GAP), 2);
    t.bias = index % 3 ? random_floats(out, 3) : NULL;
    t.residual = index % 4 ? random_floats(m * (out + GAP), 4) : NULL;
    t.expected = random_floats(m * (out + GAP), 5);
    t.found = random_floats(m * (out + GAP), 5);
    return t;
}

static trial trial_number(int i) {
    return trial_create(heights[i % HEIGHTS], widths[i / HEIGHTS][0], widths[i / HEIGHTS][1], i);
}

static void trial_clear(trial *t) {
    cm_free(t->x), cm_free(t->weight), cm_free(t->bias), cm_free(t->residual);
    cm_free(t->expected), cm_free(t->found);
}

static cm_packed *pack(const trial *t, cm_precision precision, const cm_packed_kernel *kernel) {
    cm_packed *packed = NULL;
    cm_error error = {0};
    cm_status status =
        kernel
            ? cm_packed_create_for(&packed, precision, kernel, t->out, t->in, t->weight, t->in + GAP, &error)
            : cm_packed_create(&packed, precision, t->out, t->in, t->weight, t->in + GAP, &error);
    assert_int_equal(status, CM_OK);
    assert_int_equal(cm_packed_out(packed), t->out);
    assert_int_equal(cm_packed_in(packed), t->in);
    return packed;
}

/* Rows [first, first + m) -> y. The scratch is exactly as large as asked for. */
static void multiply_rows(const trial *t, const cm_packed *packed, cm_team *team, int64_t first, int64_t m,
                          float *y) {
    size_t floats = cm_packed_scratch_floats(packed, m);
    float *scratch = floats ? malloc(floats * sizeof *scratch) : NULL;
    cm_packed_multiply(team, packed, m, t->x + first * (t->in + GAP), t->in + GAP, t->bias, t->activation,
                       t->residual ? t->residual + first * (t->out + GAP) : NULL, t->out + GAP, y,
                       t->out + GAP, scratch);
    free(scratch);
}

static void assert_same_bits(const float *a, const float *b, int64_t count) {
    assert_memory_equal(a, b, (size_t)count * sizeof *a);
}

/* Every team, and y lying on the residual, give the expected bits and write nothing else. */
static void check_bits(trial *t, const cm_packed *packed, cm_team *const *teams) {
    int64_t count = t->m * (t->out + GAP);
    for (int i = 0; i < TEAMS; i++) {
        multiply_rows(t, packed, teams[i], 0, t->m, t->found);
        assert_same_bits(t->expected, t->found, count);
    }
    if (!t->residual) return;
    float *y = random_floats(count, 6);
    memcpy(y, t->residual, (size_t)count * sizeof *y);
    trial on_itself = *t;
    on_itself.residual = y;
    multiply_rows(&on_itself, packed, teams[1], 0, t->m, y);
    for (int64_t r = 0; r < t->m; r++) {
        int64_t row = r * (t->out + GAP);
        assert_same_bits(t->expected + row, y + row, t->out);
        assert_same_bits(t->residual + row + t->out, y + row + t->out, GAP);
    }
    cm_free(y);
}

/* The activation, in rounded precisions the coarse one, and the residual of the expected values. */
static void finish_expected(trial *t, bool coarse) {
    float before[MOST_OUT];
    assert_true(t->out <= MOST_OUT);
    for (int64_t r = 0; r < t->m; r++) {
        float *row = t->expected + r * (t->out + GAP);
        if (t->out > 0) memcpy(before, row, (size_t)t->out * sizeof *row);
        (coarse ? cm_activation_coarse : cm_activation_map)(t->activation, before, row, t->out);
        if (t->residual) cm_op_put(row, t->residual + r * (t->out + GAP), t->out, true);
    }
}

static void create_teams(cm_team **teams) {
    teams[0] = NULL;
    for (int i = 1; i < TEAMS; i++) assert_non_null(teams[i] = cm_team_create(i + 1));
}

static void destroy_teams(cm_team **teams) {
    for (int i = 0; i < TEAMS; i++) cm_team_destroy(teams[i]);
}

static void test_f32(void **state) {
    cm_team *teams[TEAMS];
    (void)state;
    create_teams(teams);
    for (int i = 0; i < SHAPES; i++) {
        trial t = trial_number(i);
        for (int64_t r = 0; r < t.m && t.bias; r++)
            cm_op_put(t.expected + r * (t.out + GAP), t.bias, t.out, false);
        cm_gemm(NULL, false, true, t.m, t.out, t.in, t.x, t.in + GAP, t.weight, t.in + GAP, t.bias != NULL,
                t.expected, t.out + GAP);
        finish_expected(&t, false);
        cm_packed *packed = pack(&t, CM_F32, NULL);
        check_bits(&t, packed, teams);
        cm_packed_destroy(packed);
        trial_clear(&t);
    }
    destroy_teams(teams);
}

/* Nothing is multiplied when there are no inputs: the bias is left. */
static void test_no_inputs(void **state) {
    (void)state;
    for (int precision = CM_F32; precision <= CM_INT8; precision++)
        for (int index = 0; index < 4; index++) {
            trial t = trial_create(3, 20, 0, index);
            cm_packed *packed = pack(&t, (cm_precision)precision, NULL);
            for (int64_t r = 0; r < t.m; r++)
                for (int64_t j = 0; j < t.out; j++)
                    t.expected[r * (t.out + GAP) + j] = t.bias ? t.bias[j] : 0;
            finish_expected(&t, precision != CM_F32);
            multiply_rows(&t, packed, NULL, 0, t.m, t.found);
            assert_same_bits(t.expected, t.found, t.m * (t.out + GAP));
            cm_packed_destroy(packed);
            trial_clear(&t);
        }
}

/* ---- int8 ---- */

/* values[n] -> integers as packed.h defines them; the scale. */
static float quantise(const float *values, int64_t n, int *q) {
    float most = 0;
    for (int64_t i = 0; i < n; i++) most = fabsf(values[i]) > most ? fabsf(values[i]) : most;
    for (int64_t i = 0; i < n; i++) q[i] = most < 1e-30f ? 0 : (int)nearbyintf(values[i] * (127.0f / most));
    return most < 1e-30f ? 0 : most / 127.0f;
}

static void expect_int8(trial *t) {
    int *w = malloc((size_t)(t->out * t->in + 1) * sizeof *w), *x = malloc((size_t)(t->in + 1) * sizeof *x);
    float *scale = random_floats(t->out, 1);
    for (int64_t j = 0; j < t->out; j++)
        scale[j] = quantise(t->weight + j * (t->in + GAP), t->in, w + j * t->in);
    for (int64_t r = 0; r < t->m; r++) {
        float x_scale = quantise(t->x + r * (t->in + GAP), t->in, x);
        for (int64_t j = 0; j < t->out; j++) {
            int64_t sum = 0;
            for (int64_t k = 0; k < t->in; k++) sum += x[k] * w[j * t->in + k];
            float value = (float)sum * (x_scale * scale[j]);
            t->expected[r * (t->out + GAP) + j] = t->bias ? value + t->bias[j] : value;
        }
    }
    finish_expected(t, true);
    free(w), free(x), cm_free(scale);
}

/* Large values everywhere, the sums of four products of which would not fit 16 bits. */
static void make_extreme(trial *t) {
    for (int64_t i = 0; i < t->m * (t->in + GAP); i++) t->x[i] = i % 5 ? 1.0f : -1.0f;
    for (int64_t i = 0; i < t->out * (t->in + GAP); i++) t->weight[i] = i % 7 ? -3.0f : 3.0f;
}

static void check_int8(const cm_packed_kernel *kernel, cm_team *const *teams, bool small) {
    for (int i = 0; i < SHAPES; i++) {
        trial t = trial_number(i);
        if (!small || t.m < 66) {
            if (i % 4 == 1) make_extreme(&t);
            if (t.m > 1) memset(t.x + t.in + GAP, 0, (size_t)t.in * sizeof *t.x);
            expect_int8(&t);
            cm_packed *packed = pack(&t, CM_INT8, kernel);
            check_bits(&t, packed, teams);
            cm_packed_destroy(packed);
        }
        trial_clear(&t);
    }
}

static void test_int8(void **state) {
    cm_team *teams[TEAMS];
    (void)state;
    create_teams(teams);
    for (const cm_packed_kernel *kernel = cm_packed_int8_kernels; kernel->name; kernel++)
        if (kernel->supported()) check_int8(kernel, teams, kernel == cm_packed_int8_kernels);
    destroy_teams(teams);
}

static void test_int8_emulated(void **state) {
    cm_team *teams[TEAMS];
    (void)state;
    if (!packed_emulated_int8[0].name) skip(); /* without simde */
    create_teams(teams);
    for (int i = 0; packed_emulated_int8[i].name; i++) check_int8(&packed_emulated_int8[i], teams, true);
    destroy_teams(teams);
}

/* What is not a number makes its own row or channel NaN, and no other. */
static void test_int8_not_finite(void **state) {
    (void)state;
    trial t = trial_create(20, 20, 30, 0);
    t.x[3 * (t.in + GAP) + 7] = INFINITY;
    t.x[5 * (t.in + GAP)] = NAN;
    t.weight[11 * (t.in + GAP) + 29] = -NAN;
    cm_packed *packed = pack(&t, CM_INT8, NULL);
    multiply_rows(&t, packed, NULL, 0, t.m, t.found);
    for (int64_t r = 0; r < t.m; r++)
        for (int64_t j = 0; j < t.out; j++)
            assert_int_equal(isnan(t.found[r * (t.out + GAP) + j]), r == 3 || r == 5 || j == 11);
    cm_packed_destroy(packed);
    trial_clear(&t);
}

/* ---- bf16 ---- */

static double rounded_to_bf16(float value) {
    int exponent;
    float part = frexpf(value, &exponent);
    return ldexp(nearbyint(ldexp(part, 8)), exponent - 8);
}

/* Each sum against its terms with rounded weights, and rounded x where the kernel takes it so. */
static void check_bf16_sums(const trial *t, bool round_x) {
    for (int64_t e = 0; e < t->m * t->out; e += 1 + t->m * t->out / 500) {
        int64_t r = e / t->out, j = e % t->out;
        double sum = t->bias ? (double)t->bias[j] : 0, size = fabs(sum);
        for (int64_t k = 0; k < t->in; k++) {
            float x = t->x[r * (t->in + GAP) + k];
            double term = (round_x ? rounded_to_bf16(x) : (double)x) *
                          rounded_to_bf16(t->weight[j * (t->in + GAP) + k]);
            sum += term;
            size += fabs(term);
        }
        double found = (double)t->found[r * (t->out + GAP) + j];
        assert_true(fabs(found - sum) <= 1e-6 * size);
    }
}

static void check_bf16(const cm_packed_kernel *kernel, cm_team *const *teams) {
    for (int i = 0; i < SHAPES; i++) {
        trial t = trial_number(i);
        t.activation = CM_ACT_NONE;
        float *residual = t.residual;
        t.residual = NULL;
        cm_packed *packed = pack(&t, CM_BF16, kernel);
        multiply_rows(&t, packed, NULL, 0, t.m, t.found);
        check_bf16_sums(&t, kernel->input == CM_PACKED_BF16);
        memcpy(t.expected, t.found, (size_t)(t.m * (t.out + GAP)) * sizeof *t.found);
        t.activation = i % 2 ? CM_ACT_SILU : CM_ACT_GELU;
        t.residual = residual;
        finish_expected(&t, true);
        check_bits(&t, packed, teams);
        cm_packed_destroy(packed);
        trial_clear(&t);
    }
}

static void test_bf16(void **state) {
    cm_team *teams[TEAMS];
    (void)state;
    create_teams(teams);
    for (const cm_packed_kernel *kernel = cm_packed_bf16_kernels; kernel->name; kernel++)
        if (kernel->supported()) check_bf16(kernel, teams);
    destroy_teams(teams);
}

static void test_bf16_emulated(void **state) {
    cm_team *teams[TEAMS];
    (void)state;
    if (!packed_emulated_bf16[0].name) skip(); /* without simde */
    create_teams(teams);
    for (int i = 0; packed_emulated_bf16[i].name; i++) check_bf16(&packed_emulated_bf16[i], teams);
    destroy_teams(teams);
}

static uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* With one input of 1 the result is the weight itself, rounded. */
static void test_bf16_rounding(void **state) {
    static const uint32_t cases[][2] = {{0x3f808000, 0x3f800000}, {0x3f818000, 0x3f820000},
                                        {0x3f808001, 0x3f810000}, {0x3f807fff, 0x3f800000},
                                        {0xbf818000, 0xbf820000}, {0x7f7fffff, 0x7f800000},
                                        {0x7f800000, 0x7f800000}, {0x00000001, 0x00000000}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        float weight, one = 1, y = 0;
        memcpy(&weight, &cases[i][0], sizeof weight);
        cm_packed *packed = NULL;
        assert_int_equal(cm_packed_create(&packed, CM_BF16, 1, 1, &weight, 1, NULL), CM_OK);
        float scratch[64];
        assert_true(cm_packed_scratch_floats(packed, 1) <= 64);
        cm_packed_multiply(NULL, packed, 1, &one, 1, NULL, CM_ACT_NONE, NULL, 0, &y, 1, scratch);
        assert_int_equal(bits_of(y), cases[i][1]);
        cm_packed_destroy(packed);
    }
    uint32_t row[1];
    float nan[2] = {NAN, -NAN};
    cm_packed_bf16_row(nan, 2, row);
    assert_int_equal(row[0] & 0x7fff7fff, 0x7fc07fc0);
}

/* ---- all ---- */

/* A row gives the same bits alone, among others and at another place. */
static void test_rows_do_not_depend_on_height(void **state) {
    cm_team *team = cm_team_create(2);
    (void)state;
    for (int precision = CM_F32; precision <= CM_INT8; precision++) {
        trial t = trial_create(130, 340, 530, 1 + precision);
        cm_packed *packed = pack(&t, (cm_precision)precision, NULL);
        multiply_rows(&t, packed, team, 0, t.m, t.expected);
        for (int64_t m = 1; m <= t.m; m++) {
            int64_t first = m * 7 % (t.m - m + 1);
            multiply_rows(&t, packed, m % 2 ? team : NULL, first, m, t.found);
            for (int64_t r = 0; r < m; r++)
                assert_same_bits(t.expected + (first + r) * (t.out + GAP), t.found + r * (t.out + GAP),
                                 t.out);
        }
        cm_packed_destroy(packed);
        trial_clear(&t);
    }
    cm_team_destroy(team);
}

static void test_memory_held(void **state) {
    (void)state;
    trial t = trial_create(1, 64, 256, 0);
    size_t bytes[3];
    for (int precision = CM_F32; precision <= CM_INT8; precision++) {
        cm_packed *packed = pack(&t, (cm_precision)precision, NULL);
        bytes[precision] = cm_packed_bytes(packed);
        cm_packed_destroy(packed);
    }
    assert_in_range(bytes[CM_F32], 64 * 256 * 4, 64 * 256 * 4 + 1024);
    assert_in_range(bytes[CM_BF16], 64 * 256 * 2, 64 * 256 * 2 + 1024);
    assert_in_range(bytes[CM_INT8], 64 * 256, 64 * 256 + 1024);
    trial_clear(&t);
}

static bool fail_at(size_t bytes, void *context) {
    (void)bytes;
    return (*(int *)context)-- != 0;
}

static void test_refusals(void **state) {
    (void)state;
    float weight[4] = {1, 2, 3, 4};
    cm_error error = {0};
    cm_packed *packed = (cm_packed *)weight;
    assert_int_equal(cm_packed_create(&packed, CM_INT8, 0, 131073, weight, 131073, &error), CM_USAGE);
    assert_null(packed);
    assert_string_equal(error.found, "131073");
    for (int precision = CM_F32; precision <= CM_INT8; precision++)
        for (int n = 0; n < (precision == CM_INT8 ? 4 : 2); n++) {
            int left = n;
            cm_alloc_set_hook(fail_at, &left);
            cm_status status = cm_packed_create(&packed, (cm_precision)precision, 2, 2, weight, 2, &error);
            cm_alloc_set_hook(NULL, NULL);
            assert_int_equal(status, CM_MEMORY);
            assert_null(packed);
        }
    cm_packed_destroy(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_f32),
        cmocka_unit_test(test_no_inputs),
        cmocka_unit_test(test_int8),
        cmocka_unit_test(test_int8_emulated),
        cmocka_unit_test(test_int8_not_finite),
        cmocka_unit_test(test_bf16),
        cmocka_unit_test(test_bf16_emulated),
        cmocka_unit_test(test_bf16_rounding),
        cmocka_unit_test(test_rows_do_not_depend_on_height),
        cmocka_unit_test(test_memory_held),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
