/* A network: options, parameters and one row of the table of fusion networks. */
#ifndef CM_FUSION_NET_H
#define CM_FUSION_NET_H

#include "nn/tape.h"
#include <crossmamba/options.h>

/* What the token matrices of a batch are of. */
enum { CM_SIDE_A, CM_SIDE_B, CM_SIDE_PAIR, CM_SIDES };

/* A ragged batch of pairs: standardised token matrices of both sides and, when the network has a pair
 * channel, of the pairs themselves; one segment a pair. */
typedef struct cm_net_input {
    int64_t pairs;
    cm_mat x[CM_SIDES];
    cm_segments segments[CM_SIDES]; /* of x[side], touching */
} cm_net_input;

typedef struct cm_net cm_net;

/* One fusion network. A new one is one file and one row in fusion.def. */
typedef struct cm_fusion {
    const char *name, *help;
    /* Adds the parameters to net->params and sets net->state (freed with cm_free). */
    cm_status (*build)(cm_net *net, cm_error *error);
    /* Initial values; called after the parameters are sealed. */
    void (*init)(cm_net *net, uint64_t seed);
    /* Scores [pairs, 1]; errors are the tape's. */
    cm_var *(*forward)(const cm_net *net, cm_tape *tape, const cm_net_input *input);
} cm_fusion;

struct cm_net {
    cm_options options;
    int64_t width[CM_SIDES]; /* columns of x[side]; of CM_SIDE_PAIR 0: there is no pair channel */
    const cm_fusion *fusion;
    cm_params *params;
    void *state;
};

#define CM_FUSION_ROW(name) extern const cm_fusion cm_fusion_##name;
#include "fusion/fusion.def"
#undef CM_FUSION_ROW

/* Builds the network of options->fusion with all parameters 0 (then cm_net_init or load values). */
cm_status cm_net_create(cm_net **net, const cm_options *options, int64_t width_a, int64_t width_b,
                        cm_error *error);
/* The same with a pair channel of width[CM_SIDE_PAIR] columns; 0: the network of cm_net_create, bit for bit.
 */
cm_status cm_net_create_sides(cm_net **net, const cm_options *options, const int64_t width[CM_SIDES],
                              cm_error *error);

/* The number of learnable values of the network that cm_net_create_sides makes, without their memory. */
cm_status cm_net_count(const cm_options *options, const int64_t width[CM_SIDES], int64_t *count,
                       cm_error *error);

/* 3 with a pair channel, else 2: sides 0 .. are there. */
int cm_net_sides(const cm_net *net);
void cm_net_destroy(cm_net *net);
void cm_net_init(cm_net *net, uint64_t seed);
cm_var *cm_net_forward(const cm_net *net, cm_tape *tape, const cm_net_input *input);

/* The number of learnable values. */
int64_t cm_net_size(const cm_net *net);

#endif
