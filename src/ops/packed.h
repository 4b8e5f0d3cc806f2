/* Weights packed once for many products, in three precisions.
 *
 *   y[m, out] = activation(x[m, in] W^T + bias) + residual
 *
 * f32: the sums of ops/gemm.h that begin with the bias, to the bit; so the result is that of the op linear
 * followed by the op add. bf16: W rounded to bfloat16 (nearest, ties to even). With AVX512_BF16 x is rounded
 * too, and a sum is one chain of its instruction from the bias; machines without it widen the weights, keep x
 * in f32 and make the sums of f32 (within the same bound, other bits). int8: W per output channel, x per row,
 * symmetric, scale = largest absolute value / 127, q = the nearest integer to value * (127 / largest), ties
 * to even; sums in int32, which are exact; y before the activation = sum * (scale of x * scale of W) + bias,
 * each step rounded to f32, so every machine gives the same bits. A row or channel whose largest value is
 * below 1e-30 counts as zeros, one that is not finite makes its results NaN. In bf16 and int8 gelu has an
 * error of up to 6e-5. In each precision a row's bits
 * depend on its own x, residual and the weights alone. */
#ifndef CM_OPS_PACKED_H
#define CM_OPS_PACKED_H

#include "base/fail.h"
#include "base/team.h"
#include "ops/op.h"
#include <crossmamba/tables.h>

typedef struct cm_packed cm_packed;

/* weight[out, ld] f32, ld >= in; only read during the call, 16 rows after 16 rows. precision is not CM_AUTO.
 * CM_USAGE for int8 when in is above 131,072, where a sum might not fit; CM_MEMORY. */
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

/* Whether this machine has instructions that make precision faster than f32; false for CM_F32. */
bool cm_precision_is_fast(cm_precision precision);

#endif
