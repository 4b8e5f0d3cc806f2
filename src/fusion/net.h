/* A network: options, parameters and one row of the table of fusion networks. */
#ifndef CM_FUSION_NET_H
#define CM_FUSION_NET_H

#include "nn/tape.h"
#include <crossmamba/options.h>

/* A ragged batch of pairs: standardised token matrices of both sides, one segment a pair. */
typedef struct cm_net_input {
    int64_t pairs;
    cm_mat x[2];
    cm_segments segments[2]; /* of x[side], touching */
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
    int64_t width[2]; /* columns of x[side] */
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
void cm_net_destroy(cm_net *net);
void cm_net_init(cm_net *net, uint64_t seed);
cm_var *cm_net_forward(const cm_net *net, cm_tape *tape, const cm_net_input *input);

/* The number of learnable values. */
int64_t cm_net_size(const cm_net *net);

#endif
