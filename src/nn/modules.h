/* Small building blocks. A module is a set of parameter numbers: _add names its parameters below a
 * prefix, _init fills them, and the third function applies it on a tape. Failures of _add are
 * remembered by cm_params (see cm_params_seal). */
#ifndef CM_NN_MODULES_H
#define CM_NN_MODULES_H

#include "nn/tape.h"

/* y = activation(x W^T + b): PREFIX.weight [out, in], PREFIX.bias [out] (bias -1: none). */
typedef struct cm_linear {
    int weight, bias;
    int64_t in;
} cm_linear;

cm_linear cm_linear_add(cm_params *params, const char *prefix, int64_t in, int64_t out, bool bias);
/* U(+-1/sqrt(in)) for both (torch.nn.Linear's default). */
void cm_linear_init(cm_params *params, const cm_linear *linear, uint64_t seed);
cm_var *cm_linear_apply(cm_tape *tape, cm_params *params, const cm_linear *linear, cm_var *x,
                        cm_activation activation);

/* Layer normalisation, eps 1e-5: PREFIX.weight [d], PREFIX.bias [d]; starts as 1 and 0. */
typedef struct cm_norm {
    int weight, bias;
} cm_norm;

cm_norm cm_norm_add(cm_params *params, const char *prefix, int64_t d);
void cm_norm_init(cm_params *params, const cm_norm *norm);
cm_var *cm_norm_apply(cm_tape *tape, cm_params *params, const cm_norm *norm, cm_var *x);

/* x [T, in] -> LN -> linear to hidden, SiLU, dropout -> linear to 1: PREFIX.norm, PREFIX.hidden,
 * PREFIX.out. */
typedef struct cm_head {
    cm_norm norm;
    cm_linear hidden, out;
} cm_head;

cm_head cm_head_add(cm_params *params, const char *prefix, int64_t in, int64_t hidden);
void cm_head_init(cm_params *params, const cm_head *head, uint64_t seed);
cm_var *cm_head_apply(cm_tape *tape, cm_params *params, const cm_head *head, cm_var *x, double dropout);

#endif
