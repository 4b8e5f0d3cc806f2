/* Control: a bilinear form of the pooled molecules.
 *
 *   score = sum((W p_a) * p_b) + v [p_a ; p_b] + c, p_s as in side.h; with a pair channel v [p_a ; p_b ;
 * p_pair] */
#include "base/alloc.h"
#include "fusion/side.h"

typedef struct bilinear {
    cm_side sides[CM_SIDES];
    cm_linear form; /* form.weight [D, D] */
    cm_linear linear;
} bilinear;

static cm_status build(cm_net *net, cm_error *error) {
    int64_t d = net->options.dim;
    bilinear *b = cm_new(1, sizeof *b);
    if (!b) return cm_fail_memory(error, sizeof *b);
    net->state = b;
    for (int side = 0; side < cm_net_sides(net); side++) b->sides[side] = cm_side_add(net, side);
    b->form = cm_linear_add(net->params, "form", d, d, false);
    b->linear = cm_linear_add(net->params, "linear", cm_net_sides(net) * d, 1, true);
    return CM_OK;
}

static void init(cm_net *net, uint64_t seed) {
    const bilinear *b = net->state;
    for (int side = 0; side < cm_net_sides(net); side++) cm_side_init(net->params, &b->sides[side], seed);
    cm_linear_init(net->params, &b->form, seed);
    cm_linear_init(net->params, &b->linear, seed);
}

/* Row sums [T, 1] as a product with a row of ones. */
static cm_var *row_sums(cm_tape *tape, cm_var *x) {
    int64_t cols = x ? x->value.cols : 0;
    float *ones = cm_tape_memory(tape, (size_t)cols * sizeof *ones);
    for (int64_t i = 0; ones && i < cols; i++) ones[i] = 1;
    return cm_tape_linear(tape, x, cm_tape_input(tape, cm_mat_of(ones, 1, cols)), NULL, CM_ACT_NONE);
}

static cm_var *forward(const cm_net *net, cm_tape *tape, const cm_net_input *input) {
    const bilinear *b = net->state;
    cm_var *sides[CM_SIDES], *joined = cm_sides_joined(net, tape, input, b->sides, sides);
    cm_var *turned = cm_linear_apply(tape, net->params, &b->form, sides[0], CM_ACT_NONE);
    cm_var *product = cm_tape_binary(tape, &cm_op_mul, turned, sides[1]);
    product = row_sums(tape, cm_tape_dropout(tape, product, (float)net->options.head_dropout));
    cm_var *linear = cm_linear_apply(tape, net->params, &b->linear, joined, CM_ACT_NONE);
    return cm_tape_binary(tape, &cm_op_add, product, linear);
}

const cm_fusion cm_fusion_bilinear = {"bilinear", "control: bilinear form of the pooled inputs", build, init,
                                      forward};
