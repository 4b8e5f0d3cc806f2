/* Ten training steps of the whole network against PyTorch (tests/fixtures/trace.safetensors; its README says
 * how they were made). */
#include "../nn/fixture.h"
#include "fusion/net.h"
#include "train/adamw.h"
#include "train/schedule.h"

enum { STEPS = 10, PAIRS = 6 };

typedef struct trace {
    cm_safetensors *file;
    cm_net *net;
    cm_net_input input;
    int64_t *offsets[2];
    cm_mat label;
} trace;

static void open_trace(trace *t) {
    t->file = fixture_open("trace.safetensors");
    cm_options o;
    cm_options_default(&o);
    o.dim = 16;
    o.head_dim = 12;
    o.noise = o.dropout = o.head_dropout = 0;
    t->input.pairs = PAIRS;
    for (int side = 0; side < 2; side++) {
        t->input.x[side] = fixture_matrix(t->file, side ? "b" : "a");
        t->offsets[side] = fixture_offsets(t->file, side ? "b_offsets" : "a_offsets");
        t->input.segments[side] = cm_segments_of(t->offsets[side], PAIRS);
    }
    cm_mat label = fixture_matrix(t->file, "label");
    t->label = cm_mat_of(label.data, PAIRS, 1);
    assert_int_equal(cm_net_create(&t->net, &o, t->input.x[0].cols, t->input.x[1].cols, NULL), CM_OK);
    fixture_load_params(t->file, "initial.", t->net->params);
    /* every tensor of the fixture belongs to a parameter: initial and final, and nine others */
    assert_int_equal(cm_safetensors_count(t->file), 2 * cm_params_count(t->net->params) + 9);
}

static void close_trace(trace *t) {
    cm_net_destroy(t->net);
    for (int side = 0; side < 2; side++) {
        free(t->input.x[side].data);
        free(t->offsets[side]);
    }
    free(t->label.data);
    cm_safetensors_close(t->file);
}

static double relative(double value, double expected) {
    return fabs(value - expected) / fabs(expected);
}

/* One step; returns the norm of the gradient. */
static double run_step(trace *t, cm_tape *tape, cm_adamw *adamw, cm_team *team, int step, double lr,
                       double *loss, float *scores) {
    cm_tape_reset(tape, (uint64_t)step, true);
    cm_var *y = cm_net_forward(t->net, tape, &t->input);
    cm_apply focal = {.attr = {.gamma = 2, .alpha = 0.25f}};
    cm_var *in[] = {y, cm_tape_input(tape, t->label), NULL};
    cm_var *l = cm_tape_apply(tape, &cm_op_focal_loss, &focal, 3, in);
    assert_int_equal(cm_tape_backward(tape, t->net->params, l, NULL), CM_OK);
    *loss = l->value.data[0];
    memcpy(scores, y->value.data, PAIRS * sizeof(float));
    return cm_adamw_step(adamw, t->net->params, team, lr, 0.1, 0.5);
}

static void test_trace(void **state) {
    (void)state;
    trace t;
    open_trace(&t);
    cm_mat loss = fixture_matrix(t.file, "loss"), norm = fixture_matrix(t.file, "grad_norm");
    cm_mat rate = fixture_matrix(t.file, "lr"), expected = fixture_matrix(t.file, "scores");
    cm_tape *tape = cm_tape_create(NULL, true);
    cm_adamw *adamw = cm_adamw_create(t.net->params);
    for (int s = 0; s < STEPS; s++) {
        double lr = cm_schedule(0.01, 0.2, s, STEPS), l, bound = s == 0 ? 1e-5 : 1e-4 * s;
        float scores[PAIRS];
        assert_true(relative(lr, rate.data[s]) < 1e-6);
        double n = run_step(&t, tape, adamw, NULL, s, lr, &l, scores);
        if (relative(l, loss.data[s]) > bound || relative(n, norm.data[s]) > bound)
            fail_msg("step %d: loss %.9g, expected %.9g; norm %.9g, expected %.9g", s, l, loss.data[s], n,
                     norm.data[s]);
        double difference = 0, largest = 0;
        for (int i = 0; i < PAIRS; i++) {
            float e = cm_mat_row(expected, s)[i];
            difference = fmax(difference, fabs((double)scores[i] - e));
            largest = fmax(largest, fabs((double)e));
        }
        assert_true(difference <= bound * largest);
    }
    for (int i = 0; i < cm_params_count(t.net->params); i++)
        fixture_compare(t.file, cm_format("final.%s", cm_params_get(t.net->params, i)->name).text,
                        cm_params_value(t.net->params, i), 1e-3);
    cm_adamw_destroy(adamw);
    cm_tape_destroy(tape);
    free(loss.data);
    free(norm.data);
    free(rate.data);
    free(expected.data);
    close_trace(&t);
}

/* The final parameters have the same bits for any team. */
static void test_same_bits(void **state) {
    (void)state;
    float *expected = NULL;
    for (int threads = 1; threads <= 4; threads *= 2) {
        trace t;
        open_trace(&t);
        cm_team *team = cm_team_create(threads);
        cm_tape *tape = cm_tape_create(team, true);
        cm_adamw *adamw = cm_adamw_create(t.net->params);
        double loss;
        float scores[PAIRS];
        for (int s = 0; s < STEPS; s++) run_step(&t, tape, adamw, team, s, 0.01, &loss, scores);
        size_t bytes = (size_t)cm_params_size(t.net->params) * sizeof(float);
        if (!expected) {
            expected = malloc(bytes);
            memcpy(expected, cm_params_values(t.net->params), bytes);
        }
        assert_memory_equal(expected, cm_params_values(t.net->params), bytes);
        cm_adamw_destroy(adamw);
        cm_tape_destroy(tape);
        cm_team_destroy(team);
        close_trace(&t);
    }
    free(expected);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_trace), cmocka_unit_test(test_same_bits)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
