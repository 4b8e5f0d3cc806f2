/* The Mamba-1 block (Gu and Dao 2023, arXiv 2312.00752; parameter names, shapes and initial values of the
 * package mamba-ssm) over a ragged batch, and a residual layer that runs one block in each direction. */
#ifndef CM_NN_MAMBA_H
#define CM_NN_MAMBA_H

#include "nn/modules.h"

/* With Di = expand * D and R = ceil(D / 16):
 *   PREFIX.in_proj.weight [2 Di, D] (rows of x, then of z), PREFIX.conv1d.weight [Di, 1, taps],
 *   PREFIX.conv1d.bias [Di], PREFIX.x_proj.weight [R + 2 n, Di] (rows of dt, B, C),
 *   PREFIX.dt_proj.weight [Di, R], PREFIX.dt_proj.bias [Di], PREFIX.A_log [Di, n], PREFIX.D [Di],
 *   PREFIX.out_proj.weight [D, Di]. */
typedef struct cm_mamba {
    int64_t inner, states, taps, rank;
    cm_linear in_proj, x_proj, dt_proj, out_proj;
    int conv_weight, conv_bias, a_log, skip;
} cm_mamba;

cm_mamba cm_mamba_add(cm_params *params, const char *prefix, int64_t d, int64_t states, int64_t taps,
                      int64_t expand);
void cm_mamba_init(cm_params *params, const cm_mamba *mamba, uint64_t seed);
/* x [T, D] -> [T, D]; reverse runs every segment from its last row to its first. The segments touch and
 * cover the rows. A tape that does not record runs the rows in pieces of a fixed number, with the bits of
 * the whole: all memory but the result's is then the same for every T. */
cm_var *cm_mamba_apply(cm_tape *tape, cm_params *params, const cm_mamba *mamba, cm_var *x,
                       cm_segments segments, bool reverse);

/* x + forward(norm x) + backward(norm x): PREFIX.norm, PREFIX.forward, PREFIX.backward. Tied: the
 * parameters of forward serve both directions. */
typedef struct cm_bimamba {
    cm_norm norm;
    cm_mamba forward, backward;
} cm_bimamba;

cm_bimamba cm_bimamba_add(cm_params *params, const char *prefix, int64_t d, int64_t states, int64_t taps,
                          int64_t expand, bool tied);
void cm_bimamba_init(cm_params *params, const cm_bimamba *layer, uint64_t seed);
cm_var *cm_bimamba_apply(cm_tape *tape, cm_params *params, const cm_bimamba *layer, cm_var *x,
                         cm_segments segments);

#endif
