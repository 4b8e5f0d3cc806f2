/* The Mamba block against PyTorch (tests/fixtures/mamba.safetensors), its parameter counts and initial
 * values, the bidirectional layer. */
#include "base/rng.h"
#include "fixture.h"
#include "nn/mamba.h"

enum { WIDTH = 24 };
static const double bound = 1e-5;

/* sum(y * weights) as a var [1, 1], by one product of y as a row: y is contiguous. */
static cm_var *inner_product(cm_tape *tape, cm_var *y, cm_mat weights) {
    static const int64_t begin[] = {0};
    static float ones[WIDTH], rows;
    int64_t *end = cm_tape_memory(tape, sizeof *end);
    *end = y->value.rows;
    rows = (float)y->value.rows;
    for (int i = 0; i < WIDTH; i++) ones[i] = 1;
    y = cm_tape_binary(tape, &cm_op_mul, y, cm_tape_input(tape, weights));
    y = cm_tape_linear(tape, y, cm_tape_input(tape, cm_mat_of(ones, 1, WIDTH)), NULL, CM_ACT_NONE);
    y = cm_tape_segment_mean(tape, y, (cm_segments){1, begin, end});
    return cm_tape_binary(tape, &cm_op_mul, y, cm_tape_input(tape, cm_mat_of(&rows, 1, 1)));
}

static void check_direction(bool reverse) {
    cm_safetensors *file = fixture_open("mamba.safetensors");
    cm_params *params = cm_params_create();
    cm_mamba mamba = cm_mamba_add(params, "m", WIDTH, 16, 4, 2);
    assert_int_equal(cm_params_seal(params, NULL), CM_OK);
    for (int i = 0; i < cm_params_count(params); i++) {
        cm_mat m = fixture_matrix(file, cm_params_get(params, i)->name + 2);
        memcpy(cm_params_value(params, i).data, m.data,
               (size_t)cm_params_get(params, i)->count * sizeof(float));
        free(m.data);
    }
    cm_mat x = fixture_matrix(file, "x"), grad_y = fixture_matrix(file, "grad_y");
    int64_t *offsets = fixture_offsets(file, "offsets");
    cm_tape *tape = cm_tape_create(NULL, true);
    cm_var *in = cm_tape_variable(tape, x);
    cm_var *y = cm_mamba_apply(tape, params, &mamba, in, cm_segments_of(offsets, 4), reverse);
    assert_non_null(y);
    fixture_compare(file, reverse ? "y_reverse" : "y", y->value, bound);
    cm_var *loss = inner_product(tape, y, grad_y);
    assert_int_equal(cm_tape_backward(tape, params, loss, NULL), CM_OK);
    const char *prefix = reverse ? "grad_reverse" : "grad";
    fixture_compare(file, cm_format("%s.x", prefix).text, in->grad, bound);
    for (int i = 0; i < cm_params_count(params); i++)
        fixture_compare(file, cm_format("%s.%s", prefix, cm_params_get(params, i)->name + 2).text,
                        cm_params_grad(params, i), bound);
    cm_tape_destroy(tape);
    cm_params_destroy(params);
    free(x.data);
    free(grad_y.data);
    free(offsets);
    cm_safetensors_close(file);
}

static void test_forward_direction(void **state) {
    (void)state;
    check_direction(false);
}

static void test_reverse_direction(void **state) {
    (void)state;
    check_direction(true);
}

static int64_t size_of(const cm_params *params) {
    int64_t size = 0;
    for (int i = 0; i < cm_params_count(params); i++) size += cm_params_get(params, i)->count;
    return size;
}

static void test_parameter_counts(void **state) {
    (void)state;
    const int64_t expected[][2] = {{128, 116480}, {256, 437760}, {512, 1694720}};
    for (int i = 0; i < 3; i++) {
        cm_params *params = cm_params_create();
        cm_mamba_add(params, "m", expected[i][0], 16, 4, 2);
        assert_int_equal(size_of(params), expected[i][1]);
        cm_params_destroy(params);
    }
}

static void test_init(void **state) {
    (void)state;
    cm_params *params = cm_params_create();
    cm_mamba m = cm_mamba_add(params, "m", 40, 5, 3, 2);
    assert_int_equal(cm_params_seal(params, NULL), CM_OK);
    assert_true(m.rank == 3 && m.inner == 80);
    cm_mamba_init(params, &m, 4);
    cm_mat bias = cm_params_value(params, m.dt_proj.bias);
    double low = 1, high = 0;
    for (int i = 0; i < 80; i++) {
        double dt = log1p(exp(bias.data[i])); /* softplus: the step width at rest */
        low = fmin(low, dt);
        high = fmax(high, dt);
    }
    assert_true(low > 0.00099 && low < 0.002 && high > 0.05 && high < 0.1001);
    cm_mat a_log = cm_params_value(params, m.a_log);
    for (int i = 0; i < 80; i++)
        for (int n = 0; n < 5; n++) assert_true(cm_mat_row(a_log, i)[n] == (float)log(n + 1));
    for (int i = 0; i < 80; i++) assert_true(cm_params_value(params, m.skip).data[i] == 1);
    const struct {
        int index;
        double limit;
    } uniform[] = {{m.in_proj.weight, 1 / sqrt(40)}, {m.conv_weight, 1 / sqrt(3)},
                   {m.conv_bias, 1 / sqrt(3)},       {m.x_proj.weight, 1 / sqrt(80)},
                   {m.dt_proj.weight, 1 / sqrt(3)},  {m.out_proj.weight, 1 / sqrt(80)}};
    for (size_t i = 0; i < sizeof uniform / sizeof *uniform; i++) {
        double most = 0;
        const cm_param *p = cm_params_get(params, uniform[i].index);
        for (int64_t j = 0; j < p->count; j++)
            most = fmax(most, fabs((double)cm_params_value(params, uniform[i].index).data[j]));
        assert_true(most <= uniform[i].limit * (1 + 1e-7) && most > 0.9 * uniform[i].limit);
    }
    for (int i = 0; i < cm_params_count(params); i++) {
        const cm_param *p = cm_params_get(params, i);
        const char *end = strrchr(p->name, '.');
        assert_int_equal(p->decay, strcmp(end, ".weight") == 0);
    }
    cm_params_destroy(params);
}

/* With tied directions, reversing every segment of the input reverses the output of the layer. */
static void test_bidirectional(void **state) {
    (void)state;
    enum { D = 8, T = 11 };
    static const int64_t offsets[] = {0, 4, 4, 5, 11};
    float data[T * D], turned[T * D];
    for (int i = 0; i < T * D; i++) data[i] = (float)cm_rng_normal(3, (uint64_t)i);
    for (int s = 0; s < 4; s++)
        for (int64_t r = offsets[s]; r < offsets[s + 1]; r++)
            memcpy(turned + (offsets[s] + offsets[s + 1] - 1 - r) * D, data + r * D, D * sizeof(float));
    for (int tied = 0; tied < 2; tied++) {
        cm_params *params = cm_params_create();
        cm_bimamba layer = cm_bimamba_add(params, "layers.0", D, 4, 4, 2, tied);
        assert_int_equal(cm_params_count(params), tied ? 11 : 20);
        assert_int_equal(cm_params_find(params, "layers.0.backward.A_log") < 0, tied);
        assert_int_equal(cm_params_seal(params, NULL), CM_OK);
        cm_bimamba_init(params, &layer, 1);
        cm_tape *tape = cm_tape_create(NULL, false);
        cm_segments segments = cm_segments_of(offsets, 4);
        cm_var *x = cm_tape_input(tape, cm_mat_of(data, T, D)),
               *y = cm_tape_input(tape, cm_mat_of(turned, T, D));
        x = cm_bimamba_apply(tape, params, &layer, x, segments);
        y = cm_bimamba_apply(tape, params, &layer, y, segments);
        double difference = 0;
        for (int s = 0; s < 4; s++)
            for (int64_t r = offsets[s]; r < offsets[s + 1]; r++)
                for (int c = 0; c < D; c++)
                    difference =
                        fmax(difference, fabs((double)cm_mat_row(x->value, r)[c] -
                                              cm_mat_row(y->value, offsets[s] + offsets[s + 1] - 1 - r)[c]));
        if (tied)
            assert_true(difference < 1e-5);
        else
            assert_true(difference > 1e-2);
        cm_tape_destroy(tape);
        cm_params_destroy(params);
    }
}

/* ---- passes that do not record run in pieces of 1,024 rows ---- */

enum { MOST_SEGMENTS = 7 };
typedef struct piece_case {
    int64_t count, offsets[MOST_SEGMENTS + 1];
} piece_case;

/* Whole pieces, borders inside, at and next to those of pieces in either direction, empty segments,
 * segments shorter than the convolution. */
static const piece_case piece_cases[] = {
    {1, {0, 0}},
    {1, {0, 1}},
    {1, {0, 255}},
    {1, {0, 256}},
    {1, {0, 257}},
    {1, {0, 1023}},
    {1, {0, 1024}},
    {1, {0, 1025}},
    {1, {0, 2000}},
    {1, {0, 4000}},
    {2, {0, 1024, 2048}},
    {7, {0, 0, 100, 1000, 1000, 2055, 4000, 4000}},
    {6, {0, 1021, 1023, 1024, 1026, 3073, 3074}},
    {7, {0, 1, 2, 1026, 1027, 2045, 2047, 2048}},
};
enum { PIECE_CASES = sizeof piece_cases / sizeof *piece_cases };

static cm_var *apply_case(cm_tape *tape, cm_params *params, const cm_bimamba *layer, int what, cm_mat x,
                          cm_segments segments) {
    cm_var *in = cm_tape_input(tape, x);
    if (what == 2) return cm_bimamba_apply(tape, params, layer, in, segments);
    return cm_mamba_apply(tape, params, &layer->forward, in, segments, what == 1);
}

/* Block forward, block reverse and the layer: the same bits in pieces as recorded at once. */
static void check_piece_case(cm_params *params, const cm_bimamba *layer, const piece_case *test, cm_mat x,
                             cm_team *team) {
    cm_segments segments = cm_segments_of(test->offsets, test->count);
    x.rows = test->offsets[test->count];
    for (int what = 0; what < 3; what++) {
        cm_tape *recorded = cm_tape_create(NULL, true), *streamed = cm_tape_create(team, false);
        cm_var *whole = apply_case(recorded, params, layer, what, x, segments);
        cm_var *pieces = apply_case(streamed, params, layer, what, x, segments);
        assert_true(whole && pieces);
        assert_true(pieces->value.rows == x.rows && pieces->value.cols == x.cols);
        for (int64_t r = 0; r < x.rows; r++)
            assert_memory_equal(cm_mat_row(pieces->value, r), cm_mat_row(whole->value, r),
                                (size_t)x.cols * sizeof(float));
        cm_tape_destroy(recorded);
        cm_tape_destroy(streamed);
    }
}

static void test_pieces_give_the_bits_of_the_whole(void **state) {
    (void)state;
    enum { ROWS = 4000, STRIDE = 50 };
    static const int64_t shapes[][3] = {{40, 16, 4}, {10, 5, 1}, {3, 2, 9}}; /* width, states, taps */
    float *data = malloc(sizeof(float[ROWS * STRIDE]));
    cm_team *two = cm_team_create(2);
    assert_true(data && two);
    for (int i = 0; i < ROWS * STRIDE; i++) data[i] = (float)cm_rng_normal(11, (uint64_t)i);
    for (int s = 0; s < 3; s++) {
        cm_params *params = cm_params_create();
        cm_bimamba layer = cm_bimamba_add(params, "l", shapes[s][0], shapes[s][1], shapes[s][2], 2, s == 1);
        assert_int_equal(cm_params_seal(params, NULL), CM_OK);
        cm_bimamba_init(params, &layer, 2);
        cm_mat x = {data, ROWS, shapes[s][0], STRIDE};
        for (int i = 0; i < PIECE_CASES; i++)
            check_piece_case(params, &layer, &piece_cases[i], x, i & 1 ? two : NULL);
        cm_params_destroy(params);
    }
    cm_team_destroy(two);
    free(data);
}

/* The memory beside the result does not grow with the rows: recorded, the input projection alone would take
 * 23 MB here. */
static void test_memory_without_recording(void **state) {
    (void)state;
    static const int64_t offsets[] = {0, 60000};
    cm_params *params = cm_params_create();
    cm_bimamba layer = cm_bimamba_add(params, "l", WIDTH, 16, 4, 2, false);
    assert_int_equal(cm_params_seal(params, NULL), CM_OK);
    cm_bimamba_init(params, &layer, 2);
    float *data = calloc(60000 * WIDTH, sizeof *data);
    assert_non_null(data);
    cm_tape *tape = cm_tape_create(NULL, false);
    assert_non_null(cm_bimamba_apply(tape, params, &layer, cm_tape_input(tape, cm_mat_of(data, 60000, WIDTH)),
                                     cm_segments_of(offsets, 1)));
    assert_true(cm_tape_peak_bytes(tape) < (size_t)14 << 20);
    cm_tape_destroy(tape);
    cm_params_destroy(params);
    free(data);
}

static void test_piece_failures(void **state) {
    (void)state;
    static const int64_t gap_begin[] = {0, 7}, gap_end[] = {4, 9}, offsets[] = {0, 5}, whole[] = {0, 9};
    float data[9 * WIDTH] = {0};
    cm_params *params = cm_params_create();
    cm_bimamba layer = cm_bimamba_add(params, "l", WIDTH, 4, 4, 2, false);
    assert_int_equal(cm_params_seal(params, NULL), CM_OK);
    const struct {
        cm_segments segments;
        int64_t cols;
    } wrong[] = {{{2, gap_begin, gap_end}, WIDTH},
                 {cm_segments_of(offsets, 1), WIDTH},
                 {{0, NULL, NULL}, WIDTH},
                 {cm_segments_of(whole, 1), WIDTH - 1}};
    for (int i = 0; i < 4; i++)
        for (int what = 0; what < 3; what++) {
            cm_tape *tape = cm_tape_create(NULL, false);
            cm_mat x = cm_mat_of(data, 9, wrong[i].cols);
            assert_null(apply_case(tape, params, &layer, what, x, wrong[i].segments));
            assert_int_equal(cm_tape_status(tape, NULL), CM_USAGE);
            assert_null(cm_bimamba_apply(tape, params, &layer, NULL, wrong[i].segments));
            cm_tape_destroy(tape);
        }
    cm_params_destroy(params);
}

/* A recording refuses a carried state; without gradients it is taken. */
static void test_carry_is_not_recorded(void **state) {
    (void)state;
    static const int64_t offsets[] = {0, 1};
    float one[2] = {1, 1}, carry[1] = {3};
    cm_apply with = {.attr.carry = carry, .segments = {cm_segments_of(offsets, 1)}};
    for (int record = 0; record < 2; record++) {
        cm_tape *tape = cm_tape_create(NULL, record);
        cm_var *u = cm_tape_variable(tape, cm_mat_of(one, 1, 1));
        cm_var *in[] = {u, u, u, u, u, u, u};
        cm_var *y = cm_tape_apply(tape, &cm_op_selective_scan, &with, 7, in);
        cm_error error = {0};
        assert_int_equal(cm_tape_status(tape, &error), record ? CM_USAGE : CM_OK);
        assert_int_equal(y == NULL, record);
        assert_true(!record || strstr(error.place, "selective_scan"));
        cm_tape_destroy(tape);
    }
    assert_true(carry[0] < 3.0f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forward_direction),
        cmocka_unit_test(test_reverse_direction),
        cmocka_unit_test(test_parameter_counts),
        cmocka_unit_test(test_init),
        cmocka_unit_test(test_bidirectional),
        cmocka_unit_test(test_pieces_give_the_bits_of_the_whole),
        cmocka_unit_test(test_memory_without_recording),
        cmocka_unit_test(test_piece_failures),
        cmocka_unit_test(test_carry_is_not_recorded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
