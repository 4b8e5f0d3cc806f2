/* The Mamba block and the bidirectional layer. */
#include "nn/mamba.h"
#include "base/rng.h"
#include <math.h>

static int add(cm_params *params, const char *prefix, const char *name, int n_dims, const int64_t *dims,
               bool decay) {
    return cm_params_add(params, cm_format("%s.%s", prefix, name).text, n_dims, dims, decay);
}

cm_mamba cm_mamba_add(cm_params *params, const char *prefix, int64_t d, int64_t states, int64_t taps,
                      int64_t expand) {
    int64_t inner = expand * d, rank = (d + 15) / 16;
    cm_mamba m = {.inner = inner, .states = states, .taps = taps, .rank = rank};
    m.in_proj = cm_linear_add(params, cm_format("%s.in_proj", prefix).text, d, 2 * inner, false);
    m.conv_weight = add(params, prefix, "conv1d.weight", 3, (int64_t[]){inner, 1, taps}, true);
    m.conv_bias = add(params, prefix, "conv1d.bias", 1, &inner, false);
    m.x_proj = cm_linear_add(params, cm_format("%s.x_proj", prefix).text, inner, rank + 2 * states, false);
    m.dt_proj = cm_linear_add(params, cm_format("%s.dt_proj", prefix).text, rank, inner, true);
    m.a_log = add(params, prefix, "A_log", 2, (int64_t[]){inner, states}, false);
    m.skip = add(params, prefix, "D", 1, &inner, false);
    m.out_proj = cm_linear_add(params, cm_format("%s.out_proj", prefix).text, inner, d, false);
    return m;
}

/* Bias such that softplus(bias) is log-uniform in [0.001, 0.1]: softplus^-1(t) = t + log(1 - exp(-t)). */
static void init_dt_bias(cm_params *params, int index, uint64_t seed) {
    uint64_t key = cm_params_key(params, index, seed);
    cm_mat bias = cm_params_value(params, index);
    for (int64_t i = 0; i < bias.cols; i++) {
        double dt = exp(cm_rng_uniform(key, (uint64_t)i) * (log(0.1) - log(0.001)) + log(0.001));
        bias.data[i] = (float)(dt + log(-expm1(-dt)));
    }
}

void cm_mamba_init(cm_params *params, const cm_mamba *mamba, uint64_t seed) {
    double taps_bound = 1 / sqrt((double)mamba->taps);
    cm_linear_init(params, &mamba->in_proj, seed);
    cm_params_init_uniform(params, mamba->conv_weight, seed, taps_bound);
    cm_params_init_uniform(params, mamba->conv_bias, seed, taps_bound);
    cm_linear_init(params, &mamba->x_proj, seed);
    cm_linear_init(params, &mamba->dt_proj, seed);
    init_dt_bias(params, mamba->dt_proj.bias, seed);
    cm_mat a_log = cm_params_value(params, mamba->a_log);
    for (int64_t r = 0; r < a_log.rows; r++)
        for (int64_t c = 0; c < a_log.cols; c++) cm_mat_row(a_log, r)[c] = (float)log((double)(c + 1));
    cm_params_init_constant(params, mamba->skip, 1);
    cm_linear_init(params, &mamba->out_proj, seed);
}

/* Selective scan of u [T, Di] with step widths, input and output vectors read from u itself. */
static cm_var *scan(cm_tape *tape, cm_params *params, const cm_mamba *m, cm_var *u, cm_var *z,
                    const cm_apply *with) {
    cm_var *dbc = cm_linear_apply(tape, params, &m->x_proj, u, CM_ACT_NONE);
    cm_var *dt = cm_tape_linear(tape, cm_tape_columns(tape, dbc, 0, m->rank),
                                cm_tape_param(tape, params, m->dt_proj.weight), NULL, CM_ACT_NONE);
    cm_var *in[] = {u,
                    dt,
                    cm_tape_param(tape, params, m->a_log),
                    cm_tape_columns(tape, dbc, m->rank, m->states),
                    cm_tape_columns(tape, dbc, m->rank + m->states, m->states),
                    cm_tape_param(tape, params, m->skip),
                    cm_tape_param(tape, params, m->dt_proj.bias),
                    z};
    return cm_tape_apply(tape, &cm_op_selective_scan, with, 8, in);
}

cm_var *cm_mamba_apply(cm_tape *tape, cm_params *params, const cm_mamba *mamba, cm_var *x,
                       cm_segments segments, bool reverse) {
    cm_apply conv = {.attr = {.reverse = reverse, .activation = CM_ACT_SILU}, .segments = {segments}};
    cm_apply with = {.attr.reverse = reverse, .segments = {segments}};
    cm_arena_mark mark = cm_tape_begin(tape);
    cm_var *xz = cm_linear_apply(tape, params, &mamba->in_proj, x, CM_ACT_NONE);
    cm_var *z = cm_tape_columns(tape, xz, mamba->inner, mamba->inner);
    cm_var *in[] = {cm_tape_columns(tape, xz, 0, mamba->inner),
                    cm_tape_param(tape, params, mamba->conv_weight),
                    cm_tape_param(tape, params, mamba->conv_bias)};
    cm_var *u = cm_tape_apply(tape, &cm_op_conv1d, &conv, 3, in);
    cm_var *y = scan(tape, params, mamba, u, z, &with);
    return cm_tape_end(tape, mark, cm_linear_apply(tape, params, &mamba->out_proj, y, CM_ACT_NONE));
}

cm_bimamba cm_bimamba_add(cm_params *params, const char *prefix, int64_t d, int64_t states, int64_t taps,
                          int64_t expand, bool tied) {
    cm_bimamba layer;
    layer.norm = cm_norm_add(params, cm_format("%s.norm", prefix).text, d);
    layer.forward = cm_mamba_add(params, cm_format("%s.forward", prefix).text, d, states, taps, expand);
    layer.backward = layer.forward;
    if (!tied)
        layer.backward = cm_mamba_add(params, cm_format("%s.backward", prefix).text, d, states, taps, expand);
    return layer;
}

void cm_bimamba_init(cm_params *params, const cm_bimamba *layer, uint64_t seed) {
    cm_norm_init(params, &layer->norm);
    cm_mamba_init(params, &layer->forward, seed);
    cm_mamba_init(params, &layer->backward, seed);
}

cm_var *cm_bimamba_apply(cm_tape *tape, cm_params *params, const cm_bimamba *layer, cm_var *x,
                         cm_segments segments) {
    cm_arena_mark mark = cm_tape_begin(tape);
    cm_var *n = cm_norm_apply(tape, params, &layer->norm, x);
    cm_var *forward = cm_mamba_apply(tape, params, &layer->forward, n, segments, false);
    cm_var *backward = cm_mamba_apply(tape, params, &layer->backward, n, segments, true);
    cm_var *both = cm_tape_binary(tape, &cm_op_add, forward, backward);
    return cm_tape_end(tape, mark, cm_tape_binary(tape, &cm_op_add, x, both));
}
