/* Projection of one side's tokens. */
#include "fusion/side.h"

cm_side cm_side_add(cm_net *net, int side) {
    static const char *const names[CM_SIDES] = {"side_a", "side_b", "pair"};
    const char *name = names[side];
    cm_side made;
    made.projection = cm_linear_add(net->params, cm_format("%s.projection", name).text, net->width[side],
                                    net->options.dim, true);
    made.norm = cm_norm_add(net->params, cm_format("%s.norm", name).text, net->options.dim);
    return made;
}

void cm_side_init(cm_params *params, const cm_side *side, uint64_t seed) {
    cm_linear_init(params, &side->projection, seed);
    cm_norm_init(params, &side->norm);
}

cm_var *cm_side_apply(const cm_net *net, cm_tape *tape, const cm_side *side, cm_var *x) {
    x = cm_tape_noise(tape, x, (float)net->options.noise);
    x = cm_linear_apply(tape, net->params, &side->projection, x, CM_ACT_NONE);
    x = cm_tape_unary(tape, &cm_op_silu, cm_norm_apply(tape, net->params, &side->norm, x));
    return cm_tape_dropout(tape, x, (float)net->options.dropout);
}

cm_var *cm_side_pooled(cm_tape *tape, const cm_net_input *input, int side) {
    return cm_tape_segment_mean(tape, cm_tape_input(tape, input->x[side]), input->segments[side]);
}

cm_var *cm_sides_joined(const cm_net *net, cm_tape *tape, const cm_net_input *input, const cm_side *entrances,
                        cm_var **sides) {
    int n = cm_net_sides(net);
    for (int side = 0; side < n; side++)
        sides[side] = cm_side_apply(net, tape, &entrances[side], cm_side_pooled(tape, input, side));
    return cm_tape_concat(tape, n, sides);
}
