/* Walks the table of ops: parity of every version with the float64 reference, gradients against finite
 * differences of the reference, the same bits for every team, views, accumulation, and refusals.
 * Arguments: names of ops to test; none: all. */
#include "base/rng.h"
#include "op_trial.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
// cmocka after its needs
#include <cmocka.h>

enum { CASES = 200, SAMPLES = 12, TEAMS = 3 };
static cm_team *teams[TEAMS]; /* of 1, 2 and 4 threads */

/* A finite difference of sum(out * grad_out) for one element of one input. */
typedef struct slope_sample {
    int input;
    int64_t element;
    double slope;
} slope_sample;

static double objective(const op_trial *trial, double *out) {
    double sum = 0;
    trial_reference(trial, out);
    for (int64_t e = 0; e < trial_elements(trial->out.view); e++) {
        cm_mat weight = trial->grad_out.view;
        sum += out[e] * (double)cm_mat_row(weight, e / weight.cols)[e % weight.cols];
    }
    return sum;
}

/* Central differences on up to SAMPLES elements of each differentiable input; answers their number. */
static int measure_slopes(op_trial *trial, slope_sample samples[CM_OP_MAX_IN * SAMPLES]) {
    double *out = test_memory((size_t)trial_elements(trial->out.view), sizeof *out);
    int count = 0;
    for (int i = 0; i < trial->call.n_in; i++) {
        if (!trial->grad_in[i].memory) continue;
        int64_t elements = trial_elements(trial->in[i].view);
        for (int64_t s = 0; s < SAMPLES && s < elements; s++) {
            uint64_t key = cm_rng_key(trial->key, 77, (uint64_t)i);
            int64_t e = elements <= SAMPLES ? s : (int64_t)cm_rng_below(key, (uint64_t)s, (uint64_t)elements);
            double *x = trial->exact_in[i] + e, kept = *x, step = 1e-4 * (1 + 0.1 * fabs(kept));
            *x = kept + step;
            double above = objective(trial, out);
            *x = kept - step;
            double below = objective(trial, out);
            *x = kept;
            samples[count++] = (slope_sample){i, e, (above - below) / (2 * step)};
        }
    }
    free(out);
    return count;
}

static void check_parity(const op_trial *trial, const cm_op_version *version, const float *out) {
    int64_t elements = trial_elements(trial->out.view);
    double largest = 0;
    for (int64_t e = 0; e < elements; e++) largest = fmax(largest, fabs(trial->exact_out[e]));
    for (int64_t e = 0; e < elements; e++) {
        double exact = trial->exact_out[e], difference = fabs((double)out[e] - exact);
        double scale = 1 + (trial->op->bound_by_largest ? largest : fabs(exact));
        if (!(difference <= trial->op->forward_bound * scale))
            trial_complain(trial, version,
                           "output %lld of %lld: %.9g, reference %.9g, off by %.3g of scale %.3g",
                           (long long)e, (long long)elements, (double)out[e], exact, difference, scale);
    }
}

static void check_slopes(const op_trial *trial, const cm_op_version *version, const slope_sample *samples,
                         int count, float *const *grads) {
    double largest[CM_OP_MAX_IN] = {0};
    for (int s = 0; s < count; s++)
        largest[samples[s].input] = fmax(largest[samples[s].input], fabs(samples[s].slope));
    for (int s = 0; s < count; s++) {
        double slope = samples[s].slope, found = (double)grads[samples[s].input][samples[s].element];
        double scale = 1 + (trial->op->bound_by_largest ? largest[samples[s].input] : fabs(slope));
        if (!(fabs(found - slope) <= trial->op->gradient_bound * scale))
            trial_complain(trial, version, "gradient of input %d, element %lld: %.9g, finite difference %.9g",
                           samples[s].input, (long long)samples[s].element, found, slope);
    }
}

/* Every gradient element is written: with NaN before the run, none is left. */
static void check_written(const op_trial *trial, const cm_op_version *version, float *const *grads) {
    for (int i = 0; i < trial->call.n_in; i++)
        for (int64_t e = 0; grads[i] && e < trial_elements(trial->grad_in[i].view); e++)
            if (!isfinite(grads[i][e]))
                trial_complain(trial, version, "gradient of input %d, element %lld is %g", i, (long long)e,
                               (double)grads[i][e]);
}

static void check_same(const op_trial *trial, const cm_op_version *version, const char *what, unsigned wanted,
                       float *const *expected, float *const *found) {
    for (int i = 0; i < trial->call.n_in; i++)
        if (expected[i] && (wanted >> i & 1) &&
            memcmp(expected[i], found[i], (size_t)trial_elements(trial->grad_in[i].view) * sizeof(float)) !=
                0)
            trial_complain(trial, version, "gradient of input %d has other bits %s", i, what);
}

static void check_accumulate(op_trial *trial, const cm_op_version *version, float *const *grads,
                             float *const *again) {
    float *start[CM_OP_MAX_IN] = {0};
    for (int i = 0; i < trial->call.n_in; i++) {
        if (!grads[i]) continue;
        int64_t elements = trial_elements(trial->grad_in[i].view);
        start[i] = test_memory((size_t)elements, sizeof(float));
        for (int64_t e = 0; e < elements; e++)
            start[i][e] = (float)cm_rng_normal(cm_rng_key(trial->key, 88, (uint64_t)i), (uint64_t)e);
    }
    trial_backward(trial, version, NULL, ~0u, true, start, again);
    for (int i = 0; i < trial->call.n_in; i++) {
        double largest = 0;
        int64_t elements = grads[i] ? trial_elements(trial->grad_in[i].view) : 0;
        for (int64_t e = 0; e < elements; e++) largest = fmax(largest, fabs((double)grads[i][e]));
        for (int64_t e = 0; e < elements; e++) {
            double sum = (double)start[i][e] + (double)grads[i][e];
            if (!(fabs(again[i][e] - sum) <= 2e-6 * (1 + largest + fabs(sum))))
                trial_complain(trial, version,
                               "accumulated gradient of input %d, element %lld: %.9g, not %.9g", i,
                               (long long)e, (double)again[i][e], sum);
        }
        free(start[i]);
    }
}

static void check_backward(op_trial *trial, const cm_op_version *version, const slope_sample *samples,
                           int count) {
    float *grads[CM_OP_MAX_IN] = {0}, *again[CM_OP_MAX_IN] = {0};
    for (int i = 0; i < trial->call.n_in; i++) {
        if (!trial->grad_in[i].memory) continue;
        grads[i] = test_memory((size_t)trial_elements(trial->grad_in[i].view), sizeof(float));
        again[i] = test_memory((size_t)trial_elements(trial->grad_in[i].view), sizeof(float));
    }
    trial_backward(trial, version, NULL, ~0u, false, NULL, grads);
    check_written(trial, version, grads);
    check_slopes(trial, version, samples, count, grads);
    check_accumulate(trial, version, grads, again);
    for (int i = 0; i < trial->call.n_in; i++) {
        if (!grads[i]) continue;
        trial_backward(trial, version, NULL, ~(1u << i), false, NULL, again);
        check_same(trial, version, "when another is not wanted", ~(1u << i), grads, again);
        trial_backward(trial, version, NULL, 1u << i, false, NULL, again);
        check_same(trial, version, "when it alone is wanted", 1u << i, grads, again);
    }
    for (int t = 0; t < TEAMS; t++) {
        trial_forward(trial, version, teams[t], NULL);
        trial_backward(trial, version, teams[t], ~0u, false, NULL, again);
        check_same(trial, version, "with a team", ~0u, grads, again);
    }
    for (int i = 0; i < trial->call.n_in; i++) {
        free(grads[i]);
        free(again[i]);
    }
}

static void check_version(op_trial *trial, const cm_op_version *version, const slope_sample *samples,
                          int count) {
    size_t bytes = (size_t)trial_elements(trial->out.view) * sizeof(float);
    float *out = test_memory(bytes, 1), *again = test_memory(bytes, 1);
    for (int t = 0; t < TEAMS; t++) {
        trial_forward(trial, version, teams[t], t == 0 ? out : again);
        if (t > 0 && memcmp(out, again, bytes) != 0) trial_complain(trial, version, "other bits with a team");
    }
    trial_forward(trial, version, NULL, again);
    if (memcmp(out, again, bytes) != 0) trial_complain(trial, version, "other bits without a team");
    check_parity(trial, version, out);
    if (version->backward) check_backward(trial, version, samples, count);
    free(out);
    free(again);
}

/* Where a size of an input may be anything the others do not fix (bit i: input i). */
static const struct {
    const char *op;
    unsigned free_rows, free_cols;
} free_sizes[] = {{"linear", 3, 0}, {"layer_norm", 1, 0}, {"rms_norm", 1, 0}, {"add", 1, 0},
                  {"mul", 1, 0},    {"concat", 0, 255},   {"conv1d", 0, 2},   {"linear_attention", 0, 8},
                  {"rotary", 1, 0}};

static void expect_refusal(const op_trial *trial, const cm_op_call *call, const char *what, int which) {
    cm_op_shape shape = {0};
    cm_error error = {0};
    char line[900];
    if (trial->op->shape(call, &shape, &error) != CM_USAGE)
        trial_complain(trial, NULL, "shape rule accepts %s (%d)", what, which);
    cm_error_line(&error, line, sizeof line);
    if (!strstr(line, trial->op->name))
        trial_complain(trial, NULL, "the message does not name the op: %s", line);
    if (trial->op->shape(call, &shape, NULL) != CM_USAGE)
        trial_complain(trial, NULL, "shape rule needs an error record");
}

static void check_input_refusals(const op_trial *trial, int i) {
    unsigned free_rows = 0, free_cols = 0;
    for (size_t f = 0; f < sizeof free_sizes / sizeof free_sizes[0]; f++)
        if (strcmp(free_sizes[f].op, trial->op->name) == 0) {
            free_rows = free_sizes[f].free_rows;
            free_cols = free_sizes[f].free_cols;
        }
    cm_op_call call = trial->call;
    call.in[i].stride = call.in[i].cols - 1;
    expect_refusal(trial, &call, "a stride below the columns of input", i);
    call.in[i].stride = trial->call.in[i].stride + 999983;
    call.in[i].rows = -1;
    expect_refusal(trial, &call, "negative rows of input", i);
    if (trial->call.n_in < 2) return;
    call.in[i].rows = trial->call.in[i].rows + 999983;
    if (!(free_rows >> i & 1)) expect_refusal(trial, &call, "wrong rows of input", i);
    call.in[i].rows = trial->call.in[i].rows;
    call.in[i].cols += 999983;
    if (!(free_cols >> i & 1)) expect_refusal(trial, &call, "wrong columns of input", i);
}

static void check_segment_refusals(op_trial *trial, int which) {
    int count = trial->test.n_segments[which];
    if (count == 0) return;
    int64_t *begin = trial->test.begin[which], *end = trial->test.end[which];
    end[count - 1] += 1000000;
    expect_refusal(trial, &trial->call, "a segment beyond the rows", which);
    end[count - 1] -= 1000000;
    int64_t kept = begin[0];
    begin[0] = -1;
    expect_refusal(trial, &trial->call, "a segment before the rows", which);
    begin[0] = end[0] + 1;
    expect_refusal(trial, &trial->call, "a segment that ends before it begins", which);
    begin[0] = kept;
    cm_op_call call = trial->call;
    call.segments[which].begin = NULL;
    expect_refusal(trial, &call, "segments without begins", which);
}

static void check_refusals(op_trial *trial) {
    cm_op_call call = trial->call;
    call.n_in = 0;
    expect_refusal(trial, &call, "no inputs", 0);
    call.n_in = CM_OP_MAX_IN + 1;
    expect_refusal(trial, &call, "too many inputs", 0);
    call = trial->call;
    call.in[0].data = NULL;
    expect_refusal(trial, &call, "an absent input", 0);
    for (int i = 0; i < trial->call.n_in; i++)
        if (trial->call.in[i].data) check_input_refusals(trial, i);
    for (int s = 0; s < CM_OP_MAX_SEGMENTS; s++) check_segment_refusals(trial, s);
    if (trial->call.n_ids == 0) return;
    int32_t *last = trial->ids + trial->call.n_ids - 1, kept = *last;
    *last = (int32_t)trial->test.in[0].rows;
    expect_refusal(trial, &trial->call, "an id beyond the table", 0);
    *last = -1;
    expect_refusal(trial, &trial->call, "a negative id", 0);
    *last = kept;
}

static void check_row(const cm_op *op) {
    assert_non_null(op->name);
    assert_non_null(op->formula);
    assert_true(strlen(op->formula) > 5);
    assert_true(op->forward_bound >= 0 && op->forward_bound < 1e-2);
    assert_true(op->gradient_bound > 0 && op->gradient_bound < 1e-2);
    assert_non_null(op->shape);
    assert_non_null(op->reference);
    assert_non_null(op->generate);
    assert_string_equal(op->versions[0].name, "plain");
    assert_null(op->versions[0].supported);
    for (int v = 0; v < 4 && op->versions[v].name; v++) {
        assert_non_null(op->versions[v].forward);
        assert_true(!op->differentiable == !op->versions[v].backward);
    }
    const cm_op_version *best = cm_op_best(op);
    assert_true(best && (!best->supported || best->supported()));
}

static void test_op(void **state) {
    const cm_op *op = *state;
    check_row(op);
    slope_sample samples[CM_OP_MAX_IN * SAMPLES];
    for (int index = 0; index < CASES; index++) {
        op_trial trial;
        trial_create(&trial, op, index, index % 2 == 1);
        int count = measure_slopes(&trial, samples);
        for (int v = 0; v < 4 && op->versions[v].name; v++)
            if (!op->versions[v].supported || op->versions[v].supported())
                check_version(&trial, &op->versions[v], samples, count);
        if (index < 40) check_refusals(&trial);
        trial_clear(&trial);
    }
}

/* Attributes that must be refused; the rest of the case is sound. */
static const struct {
    const char *op;
    cm_op_attr attr;
} bad_attributes[] = {{"dropout", {.probability = 1.0f}},
                      {"dropout", {.probability = -0.1f}},
                      {"dropout", {.probability = NAN}},
                      {"noise", {.sigma = -1.0f}},
                      {"noise", {.sigma = INFINITY}},
                      {"layer_norm", {.eps = -1.0f}},
                      {"layer_norm", {.eps = NAN}},
                      {"rms_norm", {.eps = -1.0f}},
                      {"focal_loss", {.gamma = -1.0f}},
                      {"focal_loss", {.gamma = 11.0f}},
                      {"focal_loss", {.alpha = 1.5f}},
                      {"huber_loss", {.delta = 0.0f}},
                      {"huber_loss", {.delta = NAN}},
                      {"attention", {.heads = 0}},
                      {"linear_attention", {.heads = 0, .eps = 1e-6f}},
                      {"linear_attention", {.heads = 1, .eps = 0.0f}},
                      {"linear_attention", {.heads = 1, .eps = NAN}},
                      {"rotary", {.heads = 0}},
                      {"rotary", {.heads = 1, .scale = NAN}},
                      {"linear", {.activation = (cm_activation)99}},
                      {"conv1d", {.activation = (cm_activation)99}}};

static void test_attributes(void **state) {
    const cm_op *op = *state;
    op_trial trial;
    trial_create(&trial, op, 8, false);
    for (size_t b = 0; b < sizeof bad_attributes / sizeof bad_attributes[0]; b++) {
        if (strcmp(bad_attributes[b].op, op->name) != 0) continue;
        trial.call.attr = &bad_attributes[b].attr;
        expect_refusal(&trial, &trial.call, "a bad attribute", (int)b);
    }
    trial_clear(&trial);
}

static bool chosen(const char *name, int argc, char **argv) {
    for (int a = 1; a < argc; a++)
        if (strcmp(argv[a], name) == 0) return true;
    return argc < 2;
}

int main(int argc, char **argv) {
    struct CMUnitTest *tests = calloc((size_t)cm_ops_count * 2, sizeof *tests);
    size_t count = 0;
    for (int t = 0; t < TEAMS; t++) teams[t] = cm_team_create(1 << t);
    for (int i = 0; tests && i < cm_ops_count; i++) {
        if (!chosen(cm_ops[i]->name, argc, argv)) continue;
        struct CMUnitTest table = {.name = cm_ops[i]->name, .test_func = test_op};
        struct CMUnitTest attributes = {.name = "its attributes", .test_func = test_attributes};
        table.initial_state = attributes.initial_state = (void *)(uintptr_t)cm_ops[i];
        tests[count++] = table;
        tests[count++] = attributes;
    }
    int failed = count > 0 && teams[TEAMS - 1] ? _cmocka_run_group_tests("ops", tests, count, NULL, NULL) : 1;
    for (int t = 0; t < TEAMS; t++) cm_team_destroy(teams[t]);
    free(tests);
    return failed;
}
