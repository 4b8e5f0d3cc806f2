/* Building and running one generated test case of an op. */
#include "op_trial.h"
#include "base/rng.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
// cmocka after its needs
#include <cmocka.h>

static const uint32_t guard_bits = 0x7FC0BEEF;   /* around views */
static const uint32_t garbage_bits = 0x7FC01234; /* inside outputs before a run */

void *test_memory(size_t count, size_t size) {
    void *memory = NULL;
    if (posix_memalign(&memory, 64, count * size) != 0 || (!memory && posix_memalign(&memory, 64, 64) != 0))
        abort();
    return memory;
}

int64_t trial_elements(cm_mat view) {
    return view.rows * view.cols;
}

void trial_complain(const op_trial *trial, const cm_op_version *version, const char *format, ...) {
    char text[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    print_error("op %s, version %s, case %d: %s\n", trial->op->name, version ? version->name : "-",
                trial->index, text);
    fail();
    abort();
}

static void fill_bits(float *memory, size_t count, uint32_t bits) {
    for (size_t i = 0; i < count; i++) memcpy(memory + i, &bits, sizeof bits);
}

static guarded guarded_create(int64_t rows, int64_t cols, bool strided, uint64_t key) {
    int64_t left = strided ? 1 + (int64_t)cm_rng_below(key, 0, 4) : 0;
    int64_t right = strided ? 1 + (int64_t)cm_rng_below(key, 1, 4) : 0;
    int64_t above = strided ? 1 : 0;
    guarded g;
    int64_t stride = left + cols + right;
    g.count = (size_t)((rows + 2 * above) * stride);
    g.memory = test_memory(g.count, sizeof(float));
    g.view = (cm_mat){g.memory + above * stride + left, rows, cols, stride};
    fill_bits(g.memory, g.count, guard_bits);
    return g;
}

static void fill_view(cm_mat view, uint32_t bits) {
    for (int64_t r = 0; r < view.rows; r++) fill_bits(cm_mat_row(view, r), (size_t)view.cols, bits);
}

/* Whether every float outside the view still holds the guard pattern. */
static bool guards_intact(const guarded *g) {
    int64_t first = g->view.data - g->memory;
    for (int64_t i = 0; i < (int64_t)g->count; i++) {
        int64_t row = (i - first) / g->view.stride, col = (i - first) % g->view.stride;
        bool inside = i >= first && row < g->view.rows && col < g->view.cols;
        if (!inside && memcmp(g->memory + i, &guard_bits, sizeof guard_bits) != 0) return false;
    }
    return true;
}

static void view_read(cm_mat view, float *dense) {
    for (int64_t r = 0; r < view.rows; r++)
        memcpy(dense + r * view.cols, cm_mat_row(view, r), (size_t)view.cols * sizeof(float));
}

static void view_write(cm_mat view, const float *dense) {
    for (int64_t r = 0; r < view.rows; r++)
        memcpy(cm_mat_row(view, r), dense + r * view.cols, (size_t)view.cols * sizeof(float));
}

static double draw(cm_op_fill fill, double spread, uint64_t key, uint64_t i) {
    double value = cm_rng_normal(key, i) * (spread > 0 ? spread : 1);
    switch (fill) {
    case CM_FILL_AWAY:
        return fabs(value) < 0.05 ? copysign(0.05 + fabs(value), value) : value;
    case CM_FILL_POSITIVE:
        return 0.1 + fabs(value);
    case CM_FILL_BINARY:
        return value > 0 ? 1 : 0;
    case CM_FILL_ZERO_ONE:
        return cm_rng_uniform(key, 1000003 + i);
    case CM_FILL_NORMAL:
        break;
    }
    return value;
}

static void create_input(op_trial *trial, int i, bool strided) {
    int64_t rows = trial->test.in[i].rows, cols = trial->test.in[i].cols;
    uint64_t key = cm_rng_key(trial->key, (uint64_t)i, 10);
    if (rows == 0 && cols == 0) return;
    trial->in[i] = guarded_create(rows, cols, strided, cm_rng_key(key, 1, 0));
    trial->exact_in[i] = test_memory((size_t)(rows * cols), sizeof(double));
    for (int64_t e = 0; e < rows * cols; e++) {
        float value = (float)draw(trial->test.in[i].fill, trial->test.in[i].spread, key, (uint64_t)e);
        cm_mat_row(trial->in[i].view, e / cols)[e % cols] = value;
        trial->exact_in[i][e] = (double)value;
    }
    trial->in_copy[i] = test_memory(trial->in[i].count, sizeof(float));
    memcpy(trial->in_copy[i], trial->in[i].memory, trial->in[i].count * sizeof(float));
    trial->call.in[i] = trial->in[i].view;
    if (trial->op->differentiable >> i & 1)
        trial->grad_in[i] = guarded_create(rows, cols, strided, cm_rng_key(key, 2, 0));
}

static void create_call(op_trial *trial) {
    cm_op_case *test = &trial->test;
    trial->call.attr = &test->attr;
    trial->call.n_in = test->n_in;
    for (int s = 0; s < CM_OP_MAX_SEGMENTS; s++)
        trial->call.segments[s] = (cm_segments){test->n_segments[s], test->begin[s], test->end[s]};
    if (test->n_ids > 0) trial->ids = test_memory((size_t)test->n_ids, sizeof(int32_t));
    for (int64_t i = 0; i < test->n_ids; i++)
        trial->ids[i] =
            (int32_t)cm_rng_below(cm_rng_key(trial->key, 99, 0), (uint64_t)i, (uint64_t)test->id_limit);
    trial->call.ids = trial->ids;
    trial->call.n_ids = test->n_ids;
}

void trial_create(op_trial *trial, const cm_op *op, int index, bool strided) {
    memset(trial, 0, sizeof *trial);
    trial->op = op;
    trial->index = index;
    trial->key = cm_rng_key(20240, (uint64_t)index, 0);
    for (const char *c = op->name; *c; c++) trial->key = cm_rng_key(trial->key, (uint64_t)*c, 0);
    op->generate(&trial->test, trial->key, index);
    create_call(trial);
    for (int i = 0; i < trial->test.n_in; i++) create_input(trial, i, strided);
    cm_error error = {0};
    char line[900];
    if (op->shape(&trial->call, &trial->shape, &error) != CM_OK)
        trial_complain(trial, NULL, "shape rule refuses: %s", cm_error_line(&error, line, sizeof line));
    cm_op_shape shape = trial->shape;
    trial->out = guarded_create(shape.rows, shape.cols, strided, cm_rng_key(trial->key, 3, 0));
    trial->grad_out = guarded_create(shape.rows, shape.cols, strided, cm_rng_key(trial->key, 4, 0));
    for (int64_t e = 0; e < shape.rows * shape.cols; e++)
        cm_mat_row(trial->grad_out.view, e / shape.cols)[e % shape.cols] =
            (float)cm_rng_normal(cm_rng_key(trial->key, 5, 0), (uint64_t)e);
    trial->saved = test_memory(shape.saved_floats, sizeof(float));
    trial->scratch = test_memory(shape.scratch_floats, sizeof(float));
    trial->exact_out = test_memory((size_t)(shape.rows * shape.cols), sizeof(double));
    trial_reference(trial, trial->exact_out);
    trial->call.out = trial->out.view;
    trial->call.grad_out = trial->grad_out.view;
    trial->call.saved = trial->saved;
    trial->call.scratch = trial->scratch;
}

void trial_clear(op_trial *trial) {
    for (int i = 0; i < CM_OP_MAX_IN; i++) {
        free(trial->in[i].memory);
        free(trial->in_copy[i]);
        free(trial->exact_in[i]);
        free(trial->grad_in[i].memory);
    }
    free(trial->out.memory);
    free(trial->grad_out.memory);
    free(trial->exact_out);
    free(trial->ids);
    free(trial->saved);
    free(trial->scratch);
}

void trial_reference(const op_trial *trial, double *out) {
    cm_op_reference_call call = {.attr = trial->call.attr,
                                 .ids = trial->ids,
                                 .n_in = trial->call.n_in,
                                 .out = out,
                                 .rows = trial->shape.rows,
                                 .cols = trial->shape.cols};
    memcpy(call.segments, trial->call.segments, sizeof call.segments);
    for (int i = 0; i < trial->call.n_in; i++) {
        call.in[i].data = trial->exact_in[i];
        call.in[i].rows = trial->test.in[i].rows;
        call.in[i].cols = trial->test.in[i].cols;
    }
    trial->op->reference(&call);
}

static void check_inputs(const op_trial *trial, const cm_op_version *version) {
    for (int i = 0; i < trial->call.n_in; i++)
        if (trial->in[i].memory &&
            memcmp(trial->in[i].memory, trial->in_copy[i], trial->in[i].count * sizeof(float)) != 0)
            trial_complain(trial, version, "writes to input %d", i);
}

void trial_forward(op_trial *trial, const cm_op_version *version, cm_team *team, float *out) {
    fill_view(trial->out.view, garbage_bits);
    fill_bits(trial->saved, trial->shape.saved_floats, garbage_bits);
    fill_bits(trial->scratch, trial->shape.scratch_floats, garbage_bits);
    trial->call.team = team;
    version->forward(&trial->call);
    if (!guards_intact(&trial->out)) trial_complain(trial, version, "forward writes outside of its output");
    check_inputs(trial, version);
    if (out) view_read(trial->out.view, out);
}

void trial_backward(op_trial *trial, const cm_op_version *version, cm_team *team, unsigned wanted,
                    bool accumulate, float *const *start, float *const *grads) {
    fill_bits(trial->scratch, trial->shape.scratch_floats, garbage_bits);
    trial->call.team = team;
    for (int i = 0; i < CM_OP_MAX_IN; i++) {
        bool want = trial->grad_in[i].memory && (wanted >> i & 1);
        trial->call.grad_in[i] = want ? trial->grad_in[i].view : (cm_mat){0};
        trial->call.accumulate[i] = accumulate;
        if (want && accumulate) view_write(trial->grad_in[i].view, start[i]);
        if (want && !accumulate) fill_view(trial->grad_in[i].view, garbage_bits);
    }
    version->backward(&trial->call);
    check_inputs(trial, version);
    if (!guards_intact(&trial->out)) trial_complain(trial, version, "backward writes around the output");
    for (int i = 0; i < CM_OP_MAX_IN; i++) {
        if (!trial->call.grad_in[i].data) continue;
        if (!guards_intact(&trial->grad_in[i]))
            trial_complain(trial, version, "backward writes outside of the gradient of input %d", i);
        view_read(trial->grad_in[i].view, grads[i]);
    }
}
