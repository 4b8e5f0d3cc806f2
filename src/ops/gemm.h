/* Matrix product in f32, C[m, n] = op(A) op(B), row-major.
 *
 * The sum is defined, not left to the machine: the k terms are taken in blocks of CM_GEMM_K_BLOCK; a
 * block is one chain p = fma(a, b, p) in ascending order from p = 0; the blocks are added to the
 * element in ascending order, the first one to the old C when accumulating and stored otherwise. Every
 * kernel (plain, AVX2, AVX-512) and every split over threads follows it, so an element's bits depend
 * on its row of op(A), its column of op(B) and its old value alone: not on m, n, the position, the
 * team, or the machine.
 *
 * (oneDNN 2.6's sgemm was compared height against height for m = 1 to 130 and left aside: with AVX-512 a
 * row's bits change at m = 1, with B transposed at m below 16, and for n = k = 1024 at most heights;
 * limited to AVX2 they change with m modulo 6. tests/ops/test_gemm.c holds the rule for this one.)
 */
#ifndef CM_OPS_GEMM_H
#define CM_OPS_GEMM_H

#include "base/team.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CM_GEMM_K_BLOCK = 256, CM_GEMM_PANEL = 64 };

/* op(A) is [m, k]: A is [m, k] with leading dimension lda, or [k, m] when trans_a; op(B) [k, n]: B is
 * [k, n] with ldb, or [n, k] when trans_b. C is [m, n] with ldc; accumulate: C += the product. Sizes
 * of 0 are allowed: k = 0 clears C unless accumulating. C must not overlap A or B. Needs no memory but
 * about 0.7 MB of the stack of each member. team may be NULL; must not be called inside a loop of the
 * same team with that team. */
void cm_gemm(cm_team *team, bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, const float *a,
             int64_t lda, const float *b, int64_t ldb, bool accumulate, float *c, int64_t ldc);

#endif
