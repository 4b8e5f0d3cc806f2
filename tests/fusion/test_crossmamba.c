/* The crossmamba network over pairs longer than the pieces in which inference runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"
#include "fusion/net.h"
#include <stdlib.h>
#include <string.h>

enum { WIDTH_A = 7, WIDTH_B = 4, PAIRS = 6 };

/* Tokens of each side: pairs that end inside, at and beside the border of a piece, one with an empty side. */
static const int64_t offsets[2][PAIRS + 1] = {{0, 511, 512, 513, 513, 800, 1100},
                                              {0, 1, 512, 600, 610, 611, 700}};

static cm_net *make_net(void) {
    cm_options options;
    cm_net *net;
    cm_options_default(&options);
    options.dim = 20;
    options.layers = 2;
    options.d_state = 4;
    options.head_dim = 8;
    assert_int_equal(cm_net_create(&net, &options, WIDTH_A, WIDTH_B, NULL), CM_OK);
    cm_net_init(net, 3);
    return net;
}

static cm_net_input make_input(void) {
    const int64_t width[2] = {WIDTH_A, WIDTH_B};
    cm_net_input input = {.pairs = PAIRS};
    for (int side = 0; side < 2; side++) {
        int64_t rows = offsets[side][PAIRS], count = rows * width[side];
        float *x = malloc((size_t)count * sizeof *x);
        assert_non_null(x);
        for (int64_t i = 0; i < count; i++) x[i] = (float)cm_rng_normal((uint64_t)side + 4, (uint64_t)i);
        input.x[side] = cm_mat_of(x, rows, width[side]);
        input.segments[side] = cm_segments_of(offsets[side], PAIRS);
    }
    return input;
}

static void test_pieces_give_the_bits_of_the_whole(void **state) {
    (void)state;
    cm_net *net = make_net();
    cm_net_input input = make_input();
    cm_team *two = cm_team_create(2);
    cm_tape *recorded = cm_tape_create(NULL, true), *streamed = cm_tape_create(two, false);
    cm_var *whole = cm_net_forward(net, recorded, &input), *pieces = cm_net_forward(net, streamed, &input);
    assert_true(whole && pieces && pieces->value.rows == PAIRS);
    assert_memory_equal(pieces->value.data, whole->value.data, PAIRS * sizeof(float));
    cm_tape_destroy(recorded);
    cm_tape_destroy(streamed);
    cm_team_destroy(two);
    cm_net_destroy(net);
    for (int side = 0; side < 2; side++) free(input.x[side].data);
}

/* Segments that do not fit the rows or the pairs are refused, recorded or not. */
static void test_refusals(void **state) {
    (void)state;
    cm_net *net = make_net();
    for (int record = 0; record < 2; record++)
        for (int wrong = 0; wrong < 3; wrong++) {
            cm_net_input input = make_input();
            int64_t gap[PAIRS] = {0, 254, 256, 257, 257, 600};
            if (wrong == 0) input.x[1].rows--;
            if (wrong == 1) input.segments[0].begin = gap;
            if (wrong == 2) input.x[0].cols--;
            cm_tape *tape = cm_tape_create(NULL, record);
            assert_null(cm_net_forward(net, tape, &input));
            assert_int_equal(cm_tape_status(tape, NULL), CM_USAGE);
            cm_tape_destroy(tape);
            for (int side = 0; side < 2; side++) free(input.x[side].data);
        }
    cm_net_destroy(net);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces_give_the_bits_of_the_whole),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
