/* Every fusion network: shapes, same bits for any batch, team and mode, gradients, failing allocations. */
#include "base/alloc.h"
#include "base/rng.h"
#include "fusion/net.h"
#include <crossmamba/tables.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { WIDTH_A = 7, WIDTH_B = 5, MOST_PAIRS = 16, MOST_TOKENS = 6 };

/* Columns of the pair channel of every network and batch; 0: none. The tests run with both. */
static int64_t pair_width;

/* A batch made of pairs numbered by `which`: pair k has its own tokens and lengths, the same in every
 * batch. */
typedef struct batch {
    cm_net_input input;
    int64_t offsets[CM_SIDES][MOST_PAIRS + 1];
    float *x[CM_SIDES];
    float labels[MOST_PAIRS];
} batch;

static void make_batch(batch *b, const int *which, int pairs) {
    const int64_t width[CM_SIDES] = {WIDTH_A, WIDTH_B, pair_width};
    memset(b, 0, sizeof *b);
    for (int side = 0; side < (pair_width ? CM_SIDES : 2); side++) {
        b->x[side] = cm_new(MOST_PAIRS * MOST_TOKENS * WIDTH_A, sizeof(float));
        int64_t *offset = b->offsets[side];
        for (int i = 0; i < pairs; i++) {
            int64_t tokens = (which[i] * 3 + side * 2) % MOST_TOKENS + 1;
            offset[i + 1] = offset[i] + tokens;
            uint64_t key = cm_rng_key(17, (uint64_t)which[i], (uint64_t)side);
            for (int64_t j = 0; j < tokens * width[side]; j++)
                b->x[side][offset[i] * width[side] + j] = (float)cm_rng_normal(key, (uint64_t)j);
            b->labels[i] = (float)(which[i] % 2);
        }
        b->input.x[side] = cm_mat_of(b->x[side], offset[pairs], width[side]);
        b->input.segments[side] = cm_segments_of(offset, pairs);
    }
    b->input.pairs = pairs;
}

static void clear_batch(batch *b) {
    for (int side = 0; side < CM_SIDES; side++) cm_free(b->x[side]);
}

static cm_options small_options(int row, int variant) {
    cm_options o;
    cm_table_row table;
    assert_int_equal(cm_fusion_row(row, &table), 1);
    cm_options_default(&o);
    snprintf(o.fusion, sizeof o.fusion, "%s", table.name);
    o.dim = variant ? 24 : 16;
    o.layers = 2;
    o.d_state = 4;
    o.tied = variant;
    o.head_dim = 12;
    return o;
}

static cm_net *make_net(int row, int variant) {
    cm_options o = small_options(row, variant);
    cm_net *net;
    const int64_t width[CM_SIDES] = {WIDTH_A, WIDTH_B, pair_width};
    assert_int_equal(cm_net_create_sides(&net, &o, width, NULL), CM_OK);
    cm_net_init(net, 9); /* one for which no ReLU of the gradient test is near its kink */
    return net;
}

static int row_count(void) {
    cm_table_row row;
    int n = 0;
    while (cm_fusion_row(n, &row)) n++;
    return n;
}

static void score(const cm_net *net, cm_team *team, bool record, const int *which, int pairs, float *scores) {
    batch b;
    make_batch(&b, which, pairs);
    cm_tape *tape = cm_tape_create(team, record);
    cm_var *y = cm_net_forward(net, tape, &b.input);
    assert_int_equal(cm_tape_status(tape, NULL), CM_OK);
    assert_true(y->value.rows == pairs && y->value.cols == 1);
    memcpy(scores, y->value.data, (size_t)pairs * sizeof(float));
    cm_tape_destroy(tape);
    clear_batch(&b);
}

static void test_table(void **state) {
    (void)state;
    cm_table_row row;
    assert_int_equal(row_count(), 5);
    assert_int_equal(cm_fusion_row(-1, &row), 0);
    assert_int_equal(cm_fusion_row(4, &row), 1);
    assert_string_equal(row.name, "gated-static");
    cm_options o;
    cm_error error;
    cm_net *net;
    cm_options_default(&o);
    assert_int_equal(cm_net_create(&net, &o, 0, 3, &error), CM_USAGE);
    assert_null(net);
    strcpy(o.fusion, "mamba");
    assert_int_equal(cm_net_create(&net, &o, 3, 3, &error), CM_USAGE);
    assert_null(net);
    assert_string_equal(error.expected, "one of crossmamba, mlp, bilinear, gated, gated-static");
    assert_string_equal(error.found, "mamba");
    cm_net_destroy(NULL);
}

/* A pair's score has the same bits alone, in any batch, at any place of it, recorded or not. */
static void test_batch_composition(void **state) {
    (void)state;
    enum { N = 13 };
    const int all[N] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    const int mixed[N] = {7, 3, 3, 12, 0, 7, 9, 3, 5, 11, 2, 2, 8};
    for (int row = 0; row < row_count(); row++) {
        cm_net *net = make_net(row, row % 2);
        float scores[N], others[N], one;
        score(net, NULL, false, all, N, scores);
        score(net, NULL, true, all, N, others);
        assert_memory_equal(scores, others, sizeof scores);
        score(net, NULL, false, mixed, N, others);
        for (int i = 0; i < N; i++) {
            assert_true(isfinite(scores[i]));
            assert_memory_equal(&others[i], &scores[mixed[i]], sizeof(float));
            score(net, NULL, false, &all[i], 1, &one);
            assert_memory_equal(&one, &scores[i], sizeof(float));
            assert_true(i == 0 || scores[i] != scores[i - 1]);
        }
        cm_net_destroy(net);
    }
}

/* Loss of one training pass with noise and dropout; gradients are left in the net. */
static double training_pass(cm_net *net, cm_tape *tape, const batch *b, uint64_t key, bool backward) {
    cm_tape_reset(tape, key, true);
    cm_var *y = cm_net_forward(net, tape, &b->input);
    cm_mat labels = cm_mat_of((float *)b->labels, b->input.pairs, 1);
    cm_apply with = {.attr = {.gamma = 2, .alpha = 0.5f}};
    cm_var *in[] = {y, cm_tape_input(tape, labels), NULL};
    cm_var *loss = cm_tape_apply(tape, &cm_op_focal_loss, &with, 3, in);
    assert_non_null(loss);
    if (backward) assert_int_equal(cm_tape_backward(tape, net->params, loss, NULL), CM_OK);
    return loss->value.data[0];
}

static void test_team_sizes(void **state) {
    (void)state;
    const int which[] = {4, 1, 3, 3, 9, 0, 2, 6, 5};
    for (int row = 0; row < row_count(); row++) {
        cm_net *net = make_net(row, 0);
        size_t bytes = (size_t)cm_params_size(net->params) * sizeof(float);
        float *expected = cm_new(bytes, 1), scores[9], others[9];
        double expected_loss = 0;
        batch b;
        make_batch(&b, which, 9);
        for (int threads = 1; threads <= 4; threads *= 2) {
            cm_team *team = cm_team_create(threads);
            cm_tape *tape = cm_tape_create(team, true);
            double loss = training_pass(net, tape, &b, 3, true);
            score(net, team, false, which, 9, threads == 1 ? scores : others);
            if (threads == 1) {
                memcpy(expected, cm_params_grads(net->params), bytes);
                expected_loss = loss;
            } else {
                assert_memory_equal(scores, others, sizeof scores);
                assert_memory_equal(expected, cm_params_grads(net->params), bytes);
                assert_true(loss == expected_loss);
            }
            cm_tape_destroy(tape);
            cm_team_destroy(team);
        }
        cm_free(expected);
        clear_batch(&b);
        cm_net_destroy(net);
    }
}

/* Noise and dropout depend on the key; the same key repeats them. */
static void test_training_draws(void **state) {
    (void)state;
    const int which[] = {4, 1, 3};
    batch b;
    make_batch(&b, which, 3);
    for (int row = 0; row < row_count(); row++) {
        cm_net *net = make_net(row, 0);
        cm_tape *tape = cm_tape_create(NULL, true);
        double first = training_pass(net, tape, &b, 1, false);
        assert_true(first != training_pass(net, tape, &b, 2, false));
        assert_true(first == training_pass(net, tape, &b, 1, false));
        net->options.noise = net->options.dropout = net->options.head_dropout = 0;
        first = training_pass(net, tape, &b, 1, false);
        assert_true(first == training_pass(net, tape, &b, 2, false));
        cm_tape_destroy(tape);
        cm_net_destroy(net);
    }
    clear_batch(&b);
}

/* The gradient of every parameter against the loss's change along the gradient itself: for a parameter p with
 * gradient g and step h, (L(p + h g) - L(p - h g)) / 2h = |g|^2. The step moves the loss well above the
 * rounding of float; the bound is loose accordingly. */
static void test_gradient_directions(void **state) {
    (void)state;
    const int which[] = {4, 1, 3, 8, 5};
    batch b;
    make_batch(&b, which, 5);
    for (int row = 0; row < row_count(); row++)
        for (int variant = 0; variant < 2; variant++) {
            cm_net *net = make_net(row, variant);
            cm_tape *tape = cm_tape_create(NULL, true);
            training_pass(net, tape, &b, 9, true);
            for (int i = 0; i < cm_params_count(net->params); i++) {
                const cm_param *p = cm_params_get(net->params, i);
                float *value = cm_params_value(net->params, i).data,
                      *grad = cm_params_grad(net->params, i).data;
                double square = 0;
                for (int64_t j = 0; j < p->count; j++) square += (double)grad[j] * grad[j];
                if (square == 0) fail_msg("%s: %s has no gradient", net->options.fusion, p->name);
                double h = 1e-3 / square;
                if (h * sqrt(square) > 0.02) h = 0.02 / sqrt(square);
                float *old = cm_new((size_t)p->count, sizeof *old);
                memcpy(old, value, (size_t)p->count * sizeof *old);
                for (int64_t j = 0; j < p->count; j++) value[j] = old[j] + (float)h * grad[j];
                double up = training_pass(net, tape, &b, 9, false);
                for (int64_t j = 0; j < p->count; j++) value[j] = old[j] - (float)h * grad[j];
                double slope = (up - training_pass(net, tape, &b, 9, false)) / (2 * h);
                memcpy(value, old, (size_t)p->count * sizeof *old);
                cm_free(old);
                double rounding = 3e-8 / h; /* half a unit in the last place of two losses below 1 */
                if (!(fabs(slope - square) <= 0.05 * square + rounding))
                    fail_msg("%s: %s: slope %g, gradient %g", net->options.fusion, p->name, slope, square);
            }
            cm_tape_destroy(tape);
            cm_net_destroy(net);
        }
    clear_batch(&b);
}

static int64_t net_size(const char *fusion, long dim, long layers, int64_t width) {
    cm_options o;
    cm_net *net;
    cm_options_default(&o);
    snprintf(o.fusion, sizeof o.fusion, "%s", fusion);
    o.dim = dim;
    o.layers = layers;
    assert_int_equal(cm_net_create_sides(&net, &o, (const int64_t[]){width, 2 * width, pair_width}, NULL),
                     CM_OK);
    int64_t size = cm_net_size(net);
    cm_net_destroy(net);
    return size;
}

static void test_sizes(void **state) {
    (void)state;
    /* two sides, modality, two layers of norm and two Mamba blocks, head */
    int64_t d = 256, pair = pair_width > 0,
            expected =
                3 * 100 * d + 6 * d + 2 * d + 2 * (2 * d + 2 * 437760) + 8 * d + (4 * d + 1) * 128 + 129;
    /* the pair: its entrance, a row of modality, one more part of the readout */
    expected += pair * (pair_width * d + 3 * d + d + 2 * d + 128 * d);
    assert_int_equal(net_size("crossmamba", 256, 2, 100), expected);
    const long cases[][3] = {{256, 2, 100}, {64, 1, 340}, {8, 1, 3}, {128, 5, 1000}};
    for (int i = 0; i < 4; i++) {
        double a = (double)net_size("crossmamba", cases[i][0], cases[i][1], cases[i][2]);
        double b = (double)net_size("mlp", cases[i][0], cases[i][1], cases[i][2]);
        /* one more hidden unit costs about 2 sqrt(parameters) + 2 D */
        assert_true(fabs(a - b) <= sqrt(a) + (double)cases[i][0] + 4);
    }
}

static void test_init(void **state) {
    (void)state;
    for (int row = 0; row < row_count(); row++) {
        cm_net *a = make_net(row, 0), *b = make_net(row, 0);
        size_t bytes = (size_t)cm_params_size(a->params) * sizeof(float);
        assert_memory_equal(cm_params_values(a->params), cm_params_values(b->params), bytes);
        cm_net_init(b, 6);
        assert_memory_not_equal(cm_params_values(a->params), cm_params_values(b->params), bytes);
        for (int i = 0; i < cm_params_count(a->params); i++) {
            const cm_param *p = cm_params_get(a->params, i);
            assert_int_equal(p->decay, strstr(p->name, ".weight") && !strstr(p->name, "norm."));
        }
        cm_net_destroy(a);
        cm_net_destroy(b);
    }
}

static bool countdown(size_t bytes, void *context) {
    (void)bytes;
    return --*(int *)context >= 0;
}

static bool all_but_one(size_t bytes, void *context) {
    (void)bytes;
    return --*(int *)context != -1;
}

/* A network that one failed allocation could not stop is the one that was asked for. */
static void test_one_failing_allocation(void **state) {
    (void)state;
    for (int row = 0; row < row_count(); row++) {
        cm_options o = small_options(row, 0);
        cm_net *whole = make_net(row, 0);
        for (int number = 0, left = -1; left < 0; number++) {
            cm_net *net;
            left = number;
            cm_alloc_set_hook(all_but_one, &left);
            cm_status status =
                cm_net_create_sides(&net, &o, (const int64_t[]){WIDTH_A, WIDTH_B, pair_width}, NULL);
            cm_alloc_set_hook(NULL, NULL);
            assert_int_equal(status, net ? CM_OK : CM_MEMORY);
            if (net) assert_int_equal(cm_net_size(net), cm_net_size(whole));
            cm_net_destroy(net);
        }
        cm_net_destroy(whole);
    }
}

static void test_failing_allocations(void **state) {
    (void)state;
    for (int row = 0; row < row_count(); row++) {
        cm_options o = small_options(row, 0);
        cm_status status = CM_MEMORY;
        for (int budget = 0; status != CM_OK && budget < 2000; budget++) {
            int left = budget;
            cm_net *net;
            cm_alloc_set_hook(countdown, &left);
            status = cm_net_create_sides(&net, &o, (const int64_t[]){WIDTH_A, WIDTH_B, pair_width}, NULL);
            cm_alloc_set_hook(NULL, NULL);
            assert_int_equal(status, net ? CM_OK : CM_MEMORY);
            cm_net_destroy(net);
        }
        assert_int_equal(status, CM_OK);
        /* the pass itself: the tape reports it and the score is NULL */
        cm_net *net = make_net(row, 0);
        batch b;
        make_batch(&b, (int[]){1, 2}, 2);
        cm_tape *tape = cm_tape_create(NULL, false);
        int left = 0;
        cm_alloc_set_hook(countdown, &left);
        cm_var *y = cm_net_forward(net, tape, &b.input);
        cm_alloc_set_hook(NULL, NULL);
        assert_null(y);
        assert_int_equal(cm_tape_status(tape, NULL), CM_MEMORY);
        cm_tape_destroy(tape);
        clear_batch(&b);
        cm_net_destroy(net);
    }
}

static int use_pairs(void **state) {
    (void)state;
    pair_width = 4;
    return 0;
}

/* A pair's own tokens change its score. */
static void test_pair_channel(void **state) {
    (void)state;
    for (int row = 0; row < row_count(); row++) {
        cm_net *net = make_net(row, 0);
        batch b;
        float scores[2];
        make_batch(&b, (int[]){4, 4}, 2);
        for (int64_t i = b.offsets[CM_SIDE_PAIR][1] * pair_width; i < b.offsets[CM_SIDE_PAIR][2] * pair_width;
             i++)
            b.x[CM_SIDE_PAIR][i] += 1;
        cm_tape *tape = cm_tape_create(NULL, false);
        cm_var *y = cm_net_forward(net, tape, &b.input);
        memcpy(scores, y->value.data, sizeof scores);
        assert_true(scores[0] != scores[1]);
        cm_tape_destroy(tape);
        clear_batch(&b);
        cm_net_destroy(net);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_init),
        cmocka_unit_test(test_batch_composition),
        cmocka_unit_test(test_team_sizes),
        cmocka_unit_test(test_training_draws),
        cmocka_unit_test(test_gradient_directions),
        cmocka_unit_test(test_failing_allocations),
        cmocka_unit_test(test_one_failing_allocation),
    };
    const struct CMUnitTest with_pairs[] = {
        cmocka_unit_test(test_pair_channel),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_init),
        cmocka_unit_test(test_batch_composition),
        cmocka_unit_test(test_team_sizes),
        cmocka_unit_test(test_training_draws),
        cmocka_unit_test(test_gradient_directions),
        cmocka_unit_test(test_failing_allocations),
        cmocka_unit_test(test_one_failing_allocation),
    };
    int failed = cmocka_run_group_tests_name("two sides", tests, NULL, NULL);
    return failed + cmocka_run_group_tests_name("with a pair channel", with_pairs, use_pairs, NULL);
}
