/* Linear layer, layer normalisation and the scoring head. */
#include "nn/modules.h"
#include <math.h>

cm_linear cm_linear_add(cm_params *params, const char *prefix, int64_t in, int64_t out, bool bias) {
    cm_linear linear = {.bias = -1, .in = in};
    linear.weight = cm_params_add(params, cm_format("%s.weight", prefix).text, 2, (int64_t[]){out, in}, true);
    if (bias) linear.bias = cm_params_add(params, cm_format("%s.bias", prefix).text, 1, &out, false);
    return linear;
}

void cm_linear_init(cm_params *params, const cm_linear *linear, uint64_t seed) {
    double bound = 1 / sqrt((double)linear->in);
    cm_params_init_uniform(params, linear->weight, seed, bound);
    if (linear->bias >= 0) cm_params_init_uniform(params, linear->bias, seed, bound);
}

cm_var *cm_linear_apply(cm_tape *tape, cm_params *params, const cm_linear *linear, cm_var *x,
                        cm_activation activation) {
    cm_var *bias = linear->bias < 0 ? NULL : cm_tape_param(tape, params, linear->bias);
    return cm_tape_linear(tape, x, cm_tape_param(tape, params, linear->weight), bias, activation);
}

cm_norm cm_norm_add(cm_params *params, const char *prefix, int64_t d) {
    int weight = cm_params_add(params, cm_format("%s.weight", prefix).text, 1, &d, false);
    int bias = cm_params_add(params, cm_format("%s.bias", prefix).text, 1, &d, false);
    return (cm_norm){weight, bias};
}

void cm_norm_init(cm_params *params, const cm_norm *norm) {
    cm_params_init_constant(params, norm->weight, 1);
    cm_params_init_constant(params, norm->bias, 0);
}

cm_var *cm_norm_apply(cm_tape *tape, cm_params *params, const cm_norm *norm, cm_var *x) {
    cm_var *weight = cm_tape_param(tape, params, norm->weight);
    return cm_tape_layer_norm(tape, x, weight, cm_tape_param(tape, params, norm->bias), 1e-5f);
}

cm_head cm_head_add(cm_params *params, const char *prefix, int64_t in, int64_t hidden) {
    cm_head head;
    head.norm = cm_norm_add(params, cm_format("%s.norm", prefix).text, in);
    head.hidden = cm_linear_add(params, cm_format("%s.hidden", prefix).text, in, hidden, true);
    head.out = cm_linear_add(params, cm_format("%s.out", prefix).text, hidden, 1, true);
    return head;
}

void cm_head_init(cm_params *params, const cm_head *head, uint64_t seed) {
    cm_norm_init(params, &head->norm);
    cm_linear_init(params, &head->hidden, seed);
    cm_linear_init(params, &head->out, seed);
}

cm_var *cm_head_apply(cm_tape *tape, cm_params *params, const cm_head *head, cm_var *x, double dropout) {
    x = cm_norm_apply(tape, params, &head->norm, x);
    x = cm_linear_apply(tape, params, &head->hidden, x, CM_ACT_SILU);
    x = cm_tape_dropout(tape, x, (float)dropout);
    return cm_linear_apply(tape, params, &head->out, x, CM_ACT_NONE);
}
