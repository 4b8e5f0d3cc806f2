/* The plain kernel of the matrix product and the choice among the kernels. */
#include "ops/gemm_kernel.h"
#include "ops/gemm.h"
#include <math.h>
#include <stddef.h>
#include <string.h>

static bool always(void) {
    return true;
}

static void multiply_plain(const cm_gemm_tile *tile) {
    for (int64_t i = 0; i < tile->rows; i++) {
        float sum[CM_GEMM_PANEL] = {0};
        const float *a = tile->a + i / tile->strip * tile->a_strip + i % tile->strip * tile->a_row;
        for (int64_t p = 0; p < tile->depth; p++) {
            const float *b = tile->b + p * tile->b_step;
            for (int j = 0; j < tile->cols; j++) {
                float value = b[j / CM_GEMM_VECTOR * tile->b_vector + j % CM_GEMM_VECTOR];
                sum[j] = fmaf(a[p * tile->a_step], value, sum[j]);
            }
        }
        float *c = tile->c + i * tile->ldc;
        const float *from = tile->from ? tile->from + i * tile->from_row : NULL;
        for (int j = 0; j < tile->cols; j++) c[j] = from ? from[j] + sum[j] : sum[j];
    }
}

static void pack_transposed_plain(int64_t depth, int64_t cols, const float *b, int64_t ldb, float *packed,
                                  int64_t width) {
    for (int64_t p = 0; p < depth; p++)
        for (int64_t j = 0; j < width; j++) packed[p * width + j] = j < cols ? b[j * ldb + p] : 0;
}

static void copy_strips_of_6(int64_t strips, const float *a, float *copy, int64_t step) {
    for (; strips > 0; strips--, a += 6, copy += step) memcpy(copy, a, 6 * sizeof *a);
}

const cm_gemm_kernel cm_gemm_kernels[] = {
    {"plain", always, multiply_plain, 6, 6, 240, copy_strips_of_6, 48, pack_transposed_plain},
#if defined(__x86_64__)
    {"avx2", cm_gemm_avx2_supported, cm_gemm_multiply_avx2, 6, 6, 240, copy_strips_of_6, 48,
     cm_gemm_pack_transposed_avx},
    {"avx512", cm_gemm_avx512_supported, cm_gemm_multiply_avx512, 14, 16, CM_GEMM_MOST_BLOCK,
     cm_gemm_copy_strips_avx512, INT64_MAX, cm_gemm_pack_transposed_avx},
#endif
    {NULL, NULL, NULL, 0, 0, 0, NULL, 0, NULL},
};

const cm_gemm_kernel *cm_gemm_kernel_best(void) {
    const cm_gemm_kernel *best = &cm_gemm_kernels[0];
    for (const cm_gemm_kernel *kernel = best; kernel->name; kernel++)
        if (kernel->supported()) best = kernel;
    return best;
}
