/* The entrance of a network: one side's tokens to width D. Shared by the fusion networks. */
#ifndef CM_FUSION_SIDE_H
#define CM_FUSION_SIDE_H

#include "fusion/net.h"
#include "nn/modules.h"

/* dropout(silu(LN(W x + b))) with x noisy in training: side_a.projection, side_a.norm (side_b; pair). */
typedef struct cm_side {
    cm_linear projection;
    cm_norm norm;
} cm_side;

cm_side cm_side_add(cm_net *net, int side);
void cm_side_init(cm_params *params, const cm_side *side, uint64_t seed);
cm_var *cm_side_apply(const cm_net *net, cm_tape *tape, const cm_side *side, cm_var *x);

/* The mean of each pair's tokens of that side, [pairs, width]. */
cm_var *cm_side_pooled(cm_tape *tape, const cm_net_input *input, int side);

/* All sides of net pooled and applied, side by side: [pairs, sides D]; sides[CM_SIDES] receives each. */
cm_var *cm_sides_joined(const cm_net *net, cm_tape *tape, const cm_net_input *input, const cm_side *entrances,
                        cm_var **sides);

#endif
