/* Weights packed once for many products, in three precisions.
 *
 *   y[m, out] = activation(x[m, in] W^T + bias) + residual
 *
 * f32: the sums of ops/gemm.h, to the bit. bf16: W and x rounded to bfloat16 (nearest, ties to even),
 * products of pairs and sums in f32; machines without AVX512_BF16 widen the weights and keep x in f32 (the
 * same bound, other bits). int8: W per output channel, x per row, symmetric, scale = largest absolute value /
 * 127; sums in int32, which are exact, so every machine gives the same bits. In each precision a row's bits
 * depend on its own x, residual and the weights alone. */
#ifndef CM_OPS_PACKED_H
#define CM_OPS_PACKED_H

#include "base/fail.h"
#include "base/team.h"
#include "ops/op.h"
#include <crossmamba/tables.h>

typedef struct cm_packed cm_packed;

/* weight[out, ld] f32, ld >= in; only read during the call, row after row. */
cm_status cm_packed_create(cm_packed **packed, cm_precision precision, int64_t out, int64_t in,
                           const float *weight, int64_t ld, cm_error *error);
void cm_packed_destroy(cm_packed *packed); /* NULL is allowed */
int64_t cm_packed_out(const cm_packed *packed);
int64_t cm_packed_in(const cm_packed *packed);
size_t cm_packed_bytes(const cm_packed *packed); /* memory held */

/* Floats of scratch that a product of m rows needs (bf16 and int8 keep the converted x there). */
size_t cm_packed_scratch_floats(const cm_packed *packed, int64_t m);

/* bias[out] and residual[m, ldr] may be NULL; y may be residual (the same matrix), must not overlap x.
 * scratch as above, NULL when 0 floats. team as for cm_gemm. */
void cm_packed_multiply(cm_team *team, const cm_packed *packed, int64_t m, const float *x, int64_t ldx,
                        const float *bias, cm_activation activation, const float *residual, int64_t ldr,
                        float *y, int64_t ldy, float *scratch);

/* Whether this machine has instructions that make precision faster than f32. */
bool cm_precision_is_fast(cm_precision precision);

#endif
