/* Control: a multilayer perceptron on the pooled molecules, with as many parameters as crossmamba has under
 * the same options.
 *
 *   score = out(h2), h2 = dropout(silu(W2 h1)), h1 = dropout(silu(W1 [p_a ; p_b])), p_s as in side.h; with a
 * pair channel [p_a ; p_b ; p_pair] */
#include "base/alloc.h"
#include "fusion/side.h"

typedef struct mlp {
    cm_side sides[CM_SIDES];
    cm_linear hidden[2], out;
} mlp;

/* Parameters of the layers behind the projections: from -> w -> w -> 1. */
static double layer_size(double from, double w) {
    return (from + 1) * w + (w + 1) * w + w + 1;
}

/* The hidden width whose layers come closest to size. */
static int64_t hidden_width(int64_t from, int64_t size) {
    int64_t low = 1, high = 1;
    while (layer_size((double)from, (double)high) < (double)size) high *= 2;
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        if (layer_size((double)from, (double)middle) < (double)size)
            low = middle;
        else
            high = middle;
    }
    double under = (double)size - layer_size((double)from, (double)low);
    return layer_size((double)from, (double)high) - (double)size < under ? high : low;
}

/* Parameters of crossmamba with net's options, less those of its sides. */
static cm_status target_size(const cm_net *net, int64_t *size, cm_error *error) {
    cm_net other = {.options = net->options, .width = {1, 1, net->width[CM_SIDE_PAIR] > 0}};
    other.params = cm_params_create();
    if (!other.params) return cm_fail_memory(error, 0);
    cm_status status = cm_fusion_crossmamba.build(&other, error);
    if (status == CM_OK && cm_params_failed(other.params)) status = cm_fail_memory(error, 0);
    *size = cm_net_size(&other) -
            cm_net_sides(net) * 4 * net->options.dim; /* a side of width 1: W, b, norm's two */
    cm_params_destroy(other.params);
    cm_free(other.state);
    return status;
}

static cm_status build(cm_net *net, cm_error *error) {
    int64_t size, from = cm_net_sides(net) * net->options.dim;
    CM_TRY(target_size(net, &size, error));
    mlp *m = cm_new(1, sizeof *m);
    if (!m) return cm_fail_memory(error, sizeof *m);
    net->state = m;
    int64_t width = hidden_width(from, size);
    for (int side = 0; side < cm_net_sides(net); side++) m->sides[side] = cm_side_add(net, side);
    m->hidden[0] = cm_linear_add(net->params, "hidden.0", from, width, true);
    m->hidden[1] = cm_linear_add(net->params, "hidden.1", width, width, true);
    m->out = cm_linear_add(net->params, "out", width, 1, true);
    return CM_OK;
}

static void init(cm_net *net, uint64_t seed) {
    const mlp *m = net->state;
    for (int i = 0; i < cm_net_sides(net); i++) cm_side_init(net->params, &m->sides[i], seed);
    for (int i = 0; i < 2; i++) cm_linear_init(net->params, &m->hidden[i], seed);
    cm_linear_init(net->params, &m->out, seed);
}

static cm_var *forward(const cm_net *net, cm_tape *tape, const cm_net_input *input) {
    const mlp *m = net->state;
    cm_var *sides[CM_SIDES], *x = cm_sides_joined(net, tape, input, m->sides, sides);
    for (int i = 0; i < 2; i++) {
        x = cm_linear_apply(tape, net->params, &m->hidden[i], x, CM_ACT_SILU);
        x = cm_tape_dropout(tape, x, (float)net->options.head_dropout);
    }
    return cm_linear_apply(tape, net->params, &m->out, x, CM_ACT_NONE);
}

const cm_fusion cm_fusion_mlp = {
    "mlp", "control: perceptron on pooled inputs, as many parameters as crossmamba", build, init, forward};
