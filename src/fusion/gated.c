/* Control: the gated fusion of BioLLMNet (Abrar Rahman Abir et al. 2024): two ReLU paths mixed by a gate,
 * once with the gate its paper describes, a function of the input, and once with the static gate vector of
 * its released code.
 *
 *   p_s = dropout(relu(W_s x_s + c_s)), x_s pooled
 *   g   = sigmoid(l), l = G [p_a ; p_b] + h (gated) or a learnt vector [1, D] (gated-static)
 *   score = head(p_a * g + p_b * (1 - g))                      1 - sigmoid(l) = sigmoid(-l)
 *
 * With a pair channel its path stands beside the mixed one: head([.. ; p_pair]). */
#include "base/alloc.h"
#include "fusion/net.h"
#include "nn/modules.h"

typedef struct gated {
    cm_linear paths[CM_SIDES];
    cm_linear gate;  /* gated */
    int static_gate; /* gated-static: [D], else -1 */
    cm_head head;
} gated;

static cm_status build(cm_net *net, cm_error *error) {
    int64_t d = net->options.dim;
    gated *g = cm_new(1, sizeof *g);
    if (!g) return cm_fail_memory(error, sizeof *g);
    net->state = g;
    g->static_gate = -1;
    g->paths[0] = cm_linear_add(net->params, "side_a.projection", net->width[0], d, true);
    g->paths[1] = cm_linear_add(net->params, "side_b.projection", net->width[1], d, true);
    if (cm_net_sides(net) > CM_SIDE_PAIR)
        g->paths[2] = cm_linear_add(net->params, "pair.projection", net->width[CM_SIDE_PAIR], d, true);
    if (net->fusion == &cm_fusion_gated)
        g->gate = cm_linear_add(net->params, "gate", 2 * d, d, true);
    else
        g->static_gate = cm_params_add(net->params, "gate", 1, &d, false);
    g->head = cm_head_add(net->params, "head", (cm_net_sides(net) - 1) * d, net->options.head_dim);
    return CM_OK;
}

static void init(cm_net *net, uint64_t seed) {
    const gated *g = net->state;
    for (int side = 0; side < cm_net_sides(net); side++) cm_linear_init(net->params, &g->paths[side], seed);
    if (g->static_gate < 0)
        cm_linear_init(net->params, &g->gate, seed);
    else
        cm_params_init_constant(net->params, g->static_gate, 0);
    cm_head_init(net->params, &g->head, seed);
}

/* -x */
static cm_var *negative(cm_tape *tape, cm_var *x) {
    int64_t cols = x ? x->value.cols : 0;
    float *minus = cm_tape_memory(tape, (size_t)cols * sizeof *minus);
    for (int64_t i = 0; minus && i < cols; i++) minus[i] = -1;
    return cm_tape_binary(tape, &cm_op_mul, x, cm_tape_input(tape, cm_mat_of(minus, 1, cols)));
}

static cm_var *path(const cm_net *net, cm_tape *tape, const cm_net_input *input, int side) {
    const gated *g = net->state;
    cm_var *x = cm_tape_segment_mean(tape, cm_tape_input(tape, input->x[side]), input->segments[side]);
    x = cm_tape_noise(tape, x, (float)net->options.noise);
    x = cm_linear_apply(tape, net->params, &g->paths[side], x, CM_ACT_RELU);
    return cm_tape_dropout(tape, x, (float)net->options.dropout);
}

static cm_var *forward(const cm_net *net, cm_tape *tape, const cm_net_input *input) {
    const gated *g = net->state;
    cm_var *p[] = {path(net, tape, input, 0), path(net, tape, input, 1)}, *logit;
    if (g->static_gate >= 0)
        logit = cm_tape_param(tape, net->params, g->static_gate);
    else
        logit = cm_linear_apply(tape, net->params, &g->gate, cm_tape_concat(tape, 2, p), CM_ACT_NONE);
    cm_var *open = cm_tape_unary(tape, &cm_op_sigmoid, logit);
    cm_var *shut = cm_tape_unary(tape, &cm_op_sigmoid, negative(tape, logit));
    cm_var *mixed = cm_tape_binary(tape, &cm_op_add, cm_tape_binary(tape, &cm_op_mul, p[0], open),
                                   cm_tape_binary(tape, &cm_op_mul, p[1], shut));
    if (cm_net_sides(net) > CM_SIDE_PAIR) {
        cm_var *both[] = {mixed, path(net, tape, input, CM_SIDE_PAIR)};
        mixed = cm_tape_concat(tape, 2, both);
    }
    return cm_head_apply(tape, net->params, &g->head, mixed, net->options.head_dropout);
}

const cm_fusion cm_fusion_gated = {"gated", "control: two paths mixed by a gate computed from the input",
                                   build, init, forward};
const cm_fusion cm_fusion_gated_static = {"gated-static", "control: two paths mixed by a learnt gate vector",
                                          build, init, forward};
