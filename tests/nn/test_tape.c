/* The tape: gradients through every way of using a value, refusals, memory reuse. Most networks here are
 * sums of products of small integers, whose gradients are exact. */
#include "base/alloc.h"
#include "base/rng.h"
#include "fixture.h"
#include "nn/modules.h"
#include "ops/packed.h"

enum { ROWS = 4, COLS = 6 };

/* The sum of all elements of x [4, c], [1, 1]. */
static cm_var *total(cm_tape *tape, cm_var *x) {
    static float ones[64];
    static const int64_t begin[] = {0}, end[] = {ROWS};
    for (int i = 0; i < 64; i++) ones[i] = 1;
    cm_var *row = cm_tape_input(tape, cm_mat_of(ones, 1, x ? x->value.cols : 1));
    cm_var *sums = cm_tape_linear(tape, x, row, NULL, CM_ACT_NONE);
    cm_var *mean = cm_tape_segment_mean(tape, sums, (cm_segments){1, begin, end});
    static float rows = ROWS;
    return cm_tape_binary(tape, &cm_op_mul, mean, cm_tape_input(tape, cm_mat_of(&rows, 1, 1)));
}

static void fill(float *data, int64_t n, int first) {
    for (int64_t i = 0; i < n; i++) data[i] = (float)((first + 5 * i) % 7 - 3);
}

/* Each network maps x [4, 6] and the parameter w [4, 6] to a scalar that is at most quadratic in each single
 * element, so that the symmetric difference with step 1 is its exact derivative. */
typedef cm_var *(*network)(cm_tape *tape, cm_var *x, cm_var *w);

static cm_var *used_twice(cm_tape *tape, cm_var *x, cm_var *w) {
    cm_var *y = cm_tape_binary(tape, &cm_op_mul, x, w);
    cm_var *z = cm_tape_binary(tape, &cm_op_add, y, x);
    return total(tape, cm_tape_binary(tape, &cm_op_add, z, y));
}

static cm_var *same_input_twice(cm_tape *tape, cm_var *x, cm_var *w) {
    cm_var *y = cm_tape_binary(tape, &cm_op_add, x, w);
    cm_var *twice = cm_tape_binary(tape, &cm_op_add, y, y);
    return total(tape, cm_tape_binary(tape, &cm_op_mul, twice, twice));
}

static cm_var *slices_that_tile(cm_tape *tape, cm_var *x, cm_var *w) {
    cm_var *y = cm_tape_binary(tape, &cm_op_add, x, w);
    cm_var *a = cm_tape_columns(tape, y, 0, 2), *b = cm_tape_columns(tape, y, 2, 2);
    cm_var *c = cm_tape_columns(tape, y, 4, 2);
    cm_var *ab = cm_tape_binary(tape, &cm_op_mul, a, b);
    return total(tape, cm_tape_binary(tape, &cm_op_add, cm_tape_binary(tape, &cm_op_mul, ab, c), a));
}

static cm_var *tile_left_unused(cm_tape *tape, cm_var *x, cm_var *w) {
    cm_var *y = cm_tape_binary(tape, &cm_op_mul, x, w);
    cm_var *a = cm_tape_columns(tape, y, 0, 3);
    cm_tape_unary(tape, &cm_op_relu, cm_tape_columns(tape, y, 3, 3));
    return total(tape, a);
}

static cm_var *slices_with_a_gap(cm_tape *tape, cm_var *x, cm_var *w) {
    cm_var *y = cm_tape_binary(tape, &cm_op_mul, x, w);
    cm_var *parts[] = {cm_tape_columns(tape, y, 1, 2), cm_tape_columns(tape, y, 4, 1)};
    return total(tape, cm_tape_concat(tape, 2, parts));
}

static cm_var *slices_that_overlap(cm_tape *tape, cm_var *x, cm_var *w) {
    cm_var *y = cm_tape_binary(tape, &cm_op_add, x, w);
    cm_var *a = cm_tape_columns(tape, y, 0, 4), *b = cm_tape_columns(tape, y, 2, 4);
    return total(tape, cm_tape_binary(tape, &cm_op_mul, a, b));
}

static cm_var *slice_and_whole(cm_tape *tape, cm_var *x, cm_var *w) {
    cm_var *y = cm_tape_binary(tape, &cm_op_mul, x, w);
    cm_var *parts[] = {cm_tape_columns(tape, y, 0, 3), cm_tape_columns(tape, y, 3, 3)};
    return total(tape, cm_tape_binary(tape, &cm_op_add, y, cm_tape_concat(tape, 2, parts)));
}

static cm_var *whole_then_slices(cm_tape *tape, cm_var *x, cm_var *w) {
    cm_var *y = cm_tape_binary(tape, &cm_op_mul, x, w);
    cm_var *z = cm_tape_binary(tape, &cm_op_mul, y, w);
    cm_var *parts[] = {cm_tape_columns(tape, y, 0, 3), cm_tape_columns(tape, y, 3, 3)};
    return total(tape, cm_tape_binary(tape, &cm_op_add, z, cm_tape_concat(tape, 2, parts)));
}

static cm_var *slices_that_overlap_and_count_up(cm_tape *tape, cm_var *x, cm_var *w) {
    cm_var *y = cm_tape_binary(tape, &cm_op_add, x, w);
    cm_var *a = cm_tape_columns(tape, y, 0, 3), *b = cm_tape_columns(tape, y, 2, 3);
    return total(tape, cm_tape_binary(tape, &cm_op_mul, a, b));
}

/* a + 2 b, whose backward writes b's gradient first: legal, as inputs never share memory for gradients. */
static cm_status plus_twice_shape(const cm_op_call *call, cm_op_shape *shape, cm_error *error) {
    (void)error;
    *shape = (cm_op_shape){.rows = call->in[0].rows, .cols = call->in[0].cols};
    return CM_OK;
}

static void plus_twice_forward(const cm_op_call *call) {
    for (int64_t r = 0; r < call->out.rows; r++)
        for (int64_t c = 0; c < call->out.cols; c++)
            cm_mat_row(call->out, r)[c] = cm_mat_row(call->in[0], r)[c] + 2 * cm_mat_row(call->in[1], r)[c];
}

static void plus_twice_backward(const cm_op_call *call) {
    for (int i = 1; i >= 0; i--)
        for (int64_t r = 0; r < call->out.rows; r++)
            for (int64_t c = 0; c < call->out.cols; c++) {
                float *to = &cm_mat_row(call->grad_in[i], r)[c], g = cm_mat_row(call->grad_out, r)[c];
                *to = (call->accumulate[i] ? *to : 0) + (float)(1 + i) * g;
            }
}

static const cm_op plus_twice = {.name = "plus twice",
                                 .differentiable = 3,
                                 .shape = plus_twice_shape,
                                 .versions = {{"plain", NULL, plus_twice_forward, plus_twice_backward}}};

static cm_var *aliased_inputs(cm_tape *tape, cm_var *x, cm_var *w) {
    cm_var *y = cm_tape_binary(tape, &cm_op_mul, x, w);
    return total(tape, cm_tape_binary(tape, &plus_twice, y, y));
}

static cm_var *aliased_slices(cm_tape *tape, cm_var *x, cm_var *w) {
    cm_var *y = cm_tape_binary(tape, &cm_op_mul, x, w);
    cm_var *a = cm_tape_columns(tape, y, 0, 4), *b = cm_tape_columns(tape, y, 1, 4);
    return total(tape, cm_tape_binary(tape, &plus_twice, a, b));
}

static cm_var *same_slice_twice(cm_tape *tape, cm_var *x, cm_var *w) {
    cm_var *y = cm_tape_binary(tape, &cm_op_add, x, w);
    cm_var *a = cm_tape_columns(tape, y, 0, 3), *b = cm_tape_columns(tape, y, 3, 3);
    cm_var *aa = cm_tape_binary(tape, &cm_op_mul, a, a);
    return total(tape, cm_tape_binary(tape, &cm_op_add, aa, b));
}

static cm_var *slice_of_slice(cm_tape *tape, cm_var *x, cm_var *w) {
    cm_var *y = cm_tape_binary(tape, &cm_op_mul, x, w);
    cm_var *a = cm_tape_columns(tape, cm_tape_columns(tape, y, 1, 5), 2, 2);
    return total(tape, a);
}

static cm_var *slices_of_leaves(cm_tape *tape, cm_var *x, cm_var *w) {
    cm_var *a = cm_tape_columns(tape, x, 0, 2), *b = cm_tape_columns(tape, x, 2, 4);
    cm_var *v = cm_tape_columns(tape, w, 4, 2);
    cm_tape_unary(tape, &cm_op_relu, b);
    return total(tape, cm_tape_binary(tape, &cm_op_mul, a, v));
}

static double evaluate(network net, cm_params *params, cm_mat x) {
    cm_tape *tape = cm_tape_create(NULL, false);
    cm_var *y = net(tape, cm_tape_variable(tape, x), cm_tape_param(tape, params, 0));
    assert_non_null(y);
    assert_int_equal(cm_tape_backward(tape, params, y, NULL), CM_USAGE);
    double value = y->value.data[0];
    cm_tape_destroy(tape);
    return value;
}

/* Derivative of the network by *element, which lies in x or in the parameter. */
static double derivative(network net, cm_params *params, cm_mat x, float *element) {
    float old = *element;
    *element = old + 1;
    double up = evaluate(net, params, x);
    *element = old - 1;
    double down = evaluate(net, params, x);
    *element = old;
    return (up - down) / 2;
}

static cm_params *make_params(void) {
    cm_params *params = cm_params_create();
    cm_params_add(params, "w", 2, (int64_t[]){ROWS, COLS}, true);
    cm_params_add(params, "unused", 1, (int64_t[]){4}, true);
    assert_int_equal(cm_params_seal(params, NULL), CM_OK);
    fill(cm_params_value(params, 0).data, ROWS * COLS, 1);
    return params;
}

static void check_network(network net) {
    float data[ROWS * COLS];
    cm_mat x = cm_mat_of(data, ROWS, COLS);
    fill(data, ROWS * COLS, 3);
    cm_params *params = make_params();
    cm_tape *tape = cm_tape_create(NULL, true);
    /* the second pass finds old gradients and old memory, which must not show */
    for (int pass = 0; pass < 2; pass++) {
        assert_int_equal(cm_params_open_gradients(params, NULL), CM_OK);
        for (int i = 0; i < 2; i++) cm_params_grad(params, i).data[i] = 99;
        cm_tape_reset(tape, 0, false);
        cm_var *v = cm_tape_variable(tape, x);
        cm_var *loss = net(tape, v, cm_tape_param(tape, params, 0));
        assert_int_equal(cm_tape_backward(tape, params, loss, NULL), CM_OK);
        assert_non_null(v->grad.data);
        cm_mat w = cm_params_value(params, 0), grad = cm_params_grad(params, 0);
        for (int i = 0; i < ROWS * COLS; i++) {
            assert_true(v->grad.data[i] == derivative(net, params, x, &data[i]));
            assert_true(grad.data[i] == derivative(net, params, x, &w.data[i]));
        }
        for (int i = 0; i < 4; i++) assert_true(cm_params_grad(params, 1).data[i] == 0);
    }
    cm_tape_destroy(tape);
    cm_params_destroy(params);
}

static void test_gradients(void **state) {
    (void)state;
    const network networks[] = {used_twice,       same_input_twice,  slices_that_tile,
                                tile_left_unused, slices_with_a_gap, slices_that_overlap,
                                slice_and_whole,  same_slice_twice,  slice_of_slice,
                                slices_of_leaves, whole_then_slices, slices_that_overlap_and_count_up,
                                aliased_inputs,   aliased_slices};
    for (size_t i = 0; i < sizeof networks / sizeof *networks; i++) check_network(networks[i]);
}

/* A parameter asked for twice is one var: its gradient is the sum. */
static void test_shared_parameter(void **state) {
    (void)state;
    float data[ROWS * COLS];
    fill(data, ROWS * COLS, 2);
    cm_params *params = make_params();
    cm_tape *tape = cm_tape_create(NULL, true);
    cm_var *x = cm_tape_input(tape, cm_mat_of(data, ROWS, COLS));
    cm_var *a = cm_tape_binary(tape, &cm_op_add, x, cm_tape_param(tape, params, 0));
    cm_var *y = cm_tape_binary(tape, &cm_op_add, a, cm_tape_param(tape, params, 0));
    assert_int_equal(cm_tape_backward(tape, params, total(tape, y), NULL), CM_OK);
    for (int i = 0; i < ROWS * COLS; i++) assert_true(cm_params_grad(params, 0).data[i] == 2);
    assert_null(x->grad.data);
    cm_tape_destroy(tape);
    cm_params_destroy(params);
}

static void test_backward_refusals(void **state) {
    (void)state;
    float data[ROWS * COLS] = {0};
    cm_tape *tape = cm_tape_create(NULL, true);
    cm_var *x = cm_tape_variable(tape, cm_mat_of(data, ROWS, COLS));
    cm_error error;
    assert_int_equal(cm_tape_backward(tape, NULL, x, &error), CM_USAGE);
    assert_non_null(strstr(error.found, "4 x 6"));
    cm_var *loss = total(tape, x);
    assert_int_equal(cm_tape_backward(tape, NULL, loss, NULL), CM_OK);
    assert_int_equal(cm_tape_backward(tape, NULL, loss, NULL), CM_USAGE);
    cm_tape_reset(tape, 0, false);
    /* a loss that depends on nothing that wants a gradient */
    cm_params *params = make_params();
    assert_int_equal(cm_params_open_gradients(params, NULL), CM_OK);
    cm_params_grad(params, 0).data[0] = 1;
    cm_var *constant = total(tape, cm_tape_input(tape, cm_mat_of(data, ROWS, COLS)));
    assert_int_equal(cm_tape_backward(tape, params, constant, NULL), CM_OK);
    assert_true(cm_params_grad(params, 0).data[0] == 0);
    cm_params_destroy(params);
    cm_tape_destroy(tape);
}

static void test_sticky_error(void **state) {
    (void)state;
    float data[12] = {0};
    cm_params *params = make_params();
    cm_tape *tape = cm_tape_create(NULL, true);
    cm_var *a = cm_tape_input(tape, cm_mat_of(data, 3, 4)), *b = cm_tape_input(tape, cm_mat_of(data, 4, 3));
    assert_int_equal(cm_tape_status(tape, NULL), CM_OK);
    assert_null(cm_tape_binary(tape, &cm_op_add, a, b));
    cm_error error, first;
    assert_int_equal(cm_tape_status(tape, &first), CM_USAGE);
    assert_null(cm_tape_binary(tape, &cm_op_add, a, a));
    assert_null(cm_tape_input(tape, a->value));
    assert_null(cm_tape_variable(tape, a->value));
    assert_null(cm_tape_param(tape, params, 0));
    assert_null(cm_tape_columns(tape, NULL, 0, 1));
    assert_null(cm_tape_memory(tape, 8));
    assert_null(cm_tape_layer_norm(tape, NULL, NULL, NULL, 1e-5f));
    assert_null(cm_tape_end(tape, cm_tape_begin(tape), NULL));
    assert_int_equal(cm_tape_backward(tape, params, NULL, &error), CM_USAGE);
    assert_string_equal(error.found, first.found);
    cm_tape_reset(tape, 0, false);
    assert_int_equal(cm_tape_status(tape, NULL), CM_OK);
    assert_non_null(cm_tape_param(tape, params, 0));
    cm_tape_destroy(tape);
    cm_tape_destroy(NULL);
    cm_params_destroy(params);
}

static void test_empty(void **state) {
    (void)state;
    float w[8] = {0};
    cm_tape *tape = cm_tape_create(NULL, false);
    cm_var *x = cm_tape_input(tape, cm_mat_of(NULL, 0, 4));
    cm_var *y = cm_tape_linear(tape, x, cm_tape_input(tape, cm_mat_of(w, 2, 4)), NULL, CM_ACT_NONE);
    assert_non_null(y);
    assert_true(y->value.rows == 0 && y->value.cols == 2);
    cm_tape_destroy(tape);
}

/* Dropout and noise: identity outside training, fresh numbers at every call and key, same ones again. */
static void test_random(void **state) {
    (void)state;
    float data[200], first[200];
    cm_mat m = cm_mat_of(data, 10, 20);
    for (int i = 0; i < 200; i++) data[i] = 1;
    cm_tape *tape = cm_tape_create(NULL, true);
    cm_var *x = cm_tape_input(tape, m);
    assert_ptr_equal(cm_tape_dropout(tape, x, 0.5f), x);
    assert_ptr_equal(cm_tape_noise(tape, x, 0.5f), x);
    for (int which = 0; which < 2; which++) {
        cm_var *(*draw)(cm_tape *, cm_var *, float) = which ? cm_tape_noise : cm_tape_dropout;
        cm_tape_reset(tape, 5, true);
        x = cm_tape_input(tape, m);
        assert_ptr_equal(draw(tape, x, 0), x);
        memcpy(first, draw(tape, x, 0.5f)->value.data, sizeof first);
        assert_memory_not_equal(first, data, sizeof first);
        assert_memory_not_equal(first, draw(tape, x, 0.5f)->value.data, sizeof first);
        cm_tape_reset(tape, 6, true);
        assert_memory_not_equal(first, draw(tape, cm_tape_input(tape, m), 0.5f)->value.data, sizeof first);
        cm_tape_reset(tape, 5, true);
        assert_memory_equal(first, draw(tape, cm_tape_input(tape, m), 0.5f)->value.data, sizeof first);
    }
    cm_tape_destroy(tape);
}

/* Without recording, a step of six values between begin and end leaves one behind. */
static void test_memory_reuse(void **state) {
    (void)state;
    enum { N = 60000, STEPS = 100 };
    float *data = cm_new(N, sizeof *data);
    for (int i = 0; i < N; i++) data[i] = (float)(i % 5);
    cm_tape *tape = cm_tape_create(NULL, false);
    cm_arena_mark outer = cm_tape_begin(tape);
    cm_var *x = cm_tape_input(tape, cm_mat_of(data, N / 3, 3));
    for (int i = 0; i < STEPS; i++) {
        cm_arena_mark mark = cm_tape_begin(tape);
        cm_var *y = x;
        for (int j = 0; j < 5; j++) y = cm_tape_binary(tape, &cm_op_add, y, x);
        assert_non_null(y);
        x = cm_tape_end(tape, mark, cm_tape_unary(tape, &cm_op_relu, x));
    }
    cm_var *part = cm_tape_columns(tape, cm_tape_unary(tape, &cm_op_relu, x), 1, 2);
    cm_var *kept = cm_tape_end(tape, outer, part);
    assert_true(kept->value.stride == 2 && kept->value.rows == N / 3);
    for (int64_t r = 0; r < N / 3; r++)
        for (int64_t c = 0; c < 2; c++) assert_true(cm_mat_row(kept->value, r)[c] == data[3 * r + 1 + c]);
    assert_true(cm_tape_peak_bytes(tape) < 2 * STEPS * N * sizeof(float));
    cm_tape_destroy(tape);
    cm_free(data);
}

static bool countdown(size_t bytes, void *context) {
    (void)bytes;
    return --*(int *)context >= 0;
}

/* Whatever allocation fails, the tape says so. */
static void test_failing_allocations(void **state) {
    (void)state;
    enum { N = 1 << 19 };
    float *data = cm_new(N, sizeof *data);
    cm_params *params = make_params();
    int ends = 0;
    for (int budget = 0; budget < 200 && !ends; budget++) {
        int left = budget;
        cm_alloc_set_hook(countdown, &left);
        cm_tape *tape = cm_tape_create(NULL, true);
        cm_status status = CM_MEMORY;
        if (tape) {
            cm_var *x = cm_tape_variable(tape, cm_mat_of(data, 1, N));
            cm_var *y = cm_tape_binary(tape, &cm_op_mul, x, x);
            for (int i = 0; i < 4; i++) y = cm_tape_binary(tape, &cm_op_add, y, x);
            cm_var *loss =
                cm_tape_linear(tape, y, cm_tape_input(tape, cm_mat_of(data, 1, N)), NULL, CM_ACT_NONE);
            status = cm_tape_backward(tape, params, loss, NULL);
            assert_int_equal(cm_tape_status(tape, NULL), status);
        }
        cm_alloc_set_hook(NULL, NULL);
        assert_true(status == CM_OK || status == CM_MEMORY);
        ends = status == CM_OK;
        cm_tape_destroy(tape);
    }
    assert_true(ends);
    cm_params_destroy(params);
    cm_free(data);
}

static cm_var *apply_packed(cm_tape *tape, const cm_packed *packed, cm_activation activation, cm_var *x,
                            cm_var *bias, cm_var *residual) {
    cm_apply with = {.attr = {.activation = activation, .packed = packed}};
    return cm_tape_apply(tape, &cm_op_linear, &with, 4, (cm_var *[]){x, NULL, bias, residual});
}

/* Packed weights give the bits of linear and add, and are refused where a gradient would be needed. */
static void test_packed(void **state) {
    enum { TALL = 9, OUT = 20, IN = 33 };
    float x[TALL * IN], w[OUT * IN], b[OUT], r[TALL * OUT];
    cm_error error = {0};
    cm_packed *packed;
    (void)state;
    for (int i = 0; i < TALL * IN; i++) x[i] = (float)cm_rng_normal(1, (uint64_t)i);
    for (int i = 0; i < OUT * IN; i++) w[i] = (float)cm_rng_normal(2, (uint64_t)i);
    for (int i = 0; i < OUT; i++) b[i] = (float)i;
    for (int i = 0; i < TALL * OUT; i++) r[i] = (float)cm_rng_normal(3, (uint64_t)i);
    assert_int_equal(cm_packed_create(&packed, CM_F32, OUT, IN, w, IN, &error), CM_OK);
    for (int record = 0; record < 2; record++) {
        cm_tape *tape = cm_tape_create(NULL, record);
        cm_var *in = cm_tape_input(tape, cm_mat_of(x, TALL, IN)),
               *bias = cm_tape_input(tape, cm_mat_of(b, 1, OUT));
        cm_var *residual = cm_tape_input(tape, cm_mat_of(r, TALL, OUT));
        cm_var *weight = cm_tape_input(tape, cm_mat_of(w, OUT, IN));
        cm_var *apart = cm_tape_linear(tape, in, weight, bias, CM_ACT_GELU);
        apart = cm_tape_binary(tape, &cm_op_add, apart, residual);
        cm_var *fused = apply_packed(tape, packed, CM_ACT_GELU, in, bias, residual);
        assert_non_null(fused);
        assert_memory_equal(apart->value.data, fused->value.data, sizeof r);
        cm_var *wide = cm_tape_input(tape, cm_mat_of(x, 1, IN + 1));
        assert_null(apply_packed(tape, packed, CM_ACT_NONE, wide, NULL, NULL));
        assert_int_equal(cm_tape_status(tape, &error), CM_USAGE);
        cm_tape_reset(tape, 0, false);
        cm_var *learned = cm_tape_variable(tape, cm_mat_of(x, TALL, IN));
        cm_var *y = apply_packed(tape, packed, CM_ACT_NONE, learned, NULL, NULL);
        assert_int_equal(y == NULL, record);
        assert_int_equal(cm_tape_status(tape, &error), record ? CM_USAGE : CM_OK);
        cm_tape_destroy(tape);
    }
    cm_packed_destroy(packed);
}

/* A result goes where the caller says, an input included, if it fits and no gradient is needed. */
static void test_into(void **state) {
    (void)state;
    float data[12], ones[4] = {1, 1, 1, 1}, zeros[4] = {0}, wide[18];
    for (int i = 0; i < 12; i++) data[i] = (float)(i * i % 7);
    for (int i = 0; i < 18; i++) wide[i] = -9;
    for (int record = 0; record < 2; record++) {
        cm_error error = {0};
        cm_tape *tape = cm_tape_create(NULL, record);
        cm_mat m = cm_mat_of(data, 3, 4), room = {wide + 1, 3, 4, 6};
        cm_var *w = cm_tape_input(tape, cm_mat_of(ones, 1, 4)),
               *b = cm_tape_input(tape, cm_mat_of(zeros, 1, 4));
        cm_apply with = {.attr.eps = 1e-5f, .into = room};
        cm_var *new = cm_tape_layer_norm(tape, cm_tape_input(tape, m), w, b, 1e-5f);
        cm_var *there =
            cm_tape_apply(tape, &cm_op_layer_norm, &with, 3, (cm_var *[]){cm_tape_input(tape, m), w, b});
        assert_non_null(there);
        assert_ptr_equal(there->value.data, wide + 1);
        for (int r = 0; r < 3; r++) {
            assert_memory_equal(cm_mat_row(there->value, r), cm_mat_row(new->value, r), 4 * sizeof(float));
            assert_true(wide[6 * r] == -9 && wide[6 * r + 5] == -9);
        }
        memcpy(wide + 1, data, 4 * sizeof(float));
        with.into = (cm_mat){wide + 1, 1, 4, 6};
        assert_non_null(cm_tape_apply(tape, &cm_op_layer_norm, &with, 3,
                                      (cm_var *[]){cm_tape_input(tape, with.into), w, b}));
        assert_memory_equal(wide + 1, new->value.data, 4 * sizeof(float));
        assert_null(
            cm_tape_apply(tape, &cm_op_layer_norm, &with, 3, (cm_var *[]){cm_tape_input(tape, m), w, b}));
        assert_int_equal(cm_tape_status(tape, &error), CM_USAGE);
        assert_string_equal(error.expected, "room for 3 x 4");
        cm_tape_reset(tape, 0, false);
        with.into = room;
        cm_var *y =
            cm_tape_apply(tape, &cm_op_layer_norm, &with, 3,
                          (cm_var *[]){cm_tape_variable(tape, m), cm_tape_input(tape, cm_mat_of(ones, 1, 4)),
                                       cm_tape_input(tape, cm_mat_of(zeros, 1, 4))});
        assert_int_equal(y == NULL, record);
        assert_int_equal(cm_tape_status(tape, &error), record ? CM_USAGE : CM_OK);
        cm_tape_destroy(tape);
    }
}

/* A gradient's memory is used again: the backward pass of many layers needs a few gradients' memory at a
 * time (the arena grows in steps of 64 MiB at most). */
static void test_gradient_memory(void **state) {
    (void)state;
    enum { ROWS_HERE = 8192, COLS_HERE = 128, LAYERS = 40 };
    float *data = cm_new(ROWS_HERE * COLS_HERE, sizeof *data), ones[COLS_HERE];
    for (int i = 0; i < COLS_HERE; i++) ones[i] = 1;
    int64_t begin = 0, end = ROWS_HERE;
    cm_tape *tape = cm_tape_create(NULL, true);
    cm_var *x = cm_tape_variable(tape, cm_mat_of(data, ROWS_HERE, COLS_HERE)), *y = x;
    for (int i = 0; i < LAYERS; i++) y = cm_tape_binary(tape, &cm_op_add, y, x);
    y = cm_tape_linear(tape, y, cm_tape_input(tape, cm_mat_of(ones, 1, COLS_HERE)), NULL, CM_ACT_NONE);
    cm_var *loss = cm_tape_segment_mean(tape, y, (cm_segments){1, &begin, &end});
    size_t before = cm_tape_peak_bytes(tape);
    assert_int_equal(cm_tape_backward(tape, NULL, loss, NULL), CM_OK);
    assert_true(cm_tape_peak_bytes(tape) - before <= (size_t)64 << 20);
    for (int i = 0; i < ROWS_HERE * COLS_HERE; i++) assert_true(x->grad.data[i] * ROWS_HERE == LAYERS + 1);
    cm_tape_destroy(tape);
    cm_free(data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_shared_parameter),
        cmocka_unit_test(test_sticky_error),
        cmocka_unit_test(test_backward_refusals),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_memory_reuse),
        cmocka_unit_test(test_failing_allocations),
        cmocka_unit_test(test_gradient_memory),
        cmocka_unit_test(test_packed),
        cmocka_unit_test(test_into),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
