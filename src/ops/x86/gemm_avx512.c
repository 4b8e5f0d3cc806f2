/* The AVX-512 kernel of the matrix product: 6 rows by 4 vectors of 16 in 24 registers. */
#if defined(__x86_64__)
#include "ops/gemm_kernel.h"
#include <immintrin.h>

#define TARGET __attribute__((target("avx512f")))
#define INLINE static inline __attribute__((always_inline)) TARGET

bool cm_gemm_avx512_supported(void) {
    return __builtin_cpu_supports("avx512f");
}

/* rows and vectors are constants at every place of use, so that sum[][] lives in registers. */
INLINE void multiply_block(const cm_gemm_tile *t, int64_t row, int rows, int vectors) {
    __m512 sum[CM_GEMM_ROWS][4];
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) sum[i][v] = _mm512_setzero_ps();
    const float *a = t->a + row / CM_GEMM_ROWS * t->a_strip, *b = t->b;
    int64_t a_row = t->a_row, a_step = t->a_step, b_step = t->b_step, b_vector = t->b_vector;
    for (int64_t p = t->depth; p > 0; p--) {
        __m512 column[4];
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) column[v] = _mm512_load_ps(b + v * b_vector);
#pragma GCC unroll 6
        for (int i = 0; i < rows; i++) {
            __m512 x = _mm512_set1_ps(a[i * a_row]);
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++) sum[i][v] = _mm512_fmadd_ps(x, column[v], sum[i][v]);
        }
        a += a_step;
        b += b_step;
    }
    __mmask16 last = (__mmask16)(0xffffu >> (CM_GEMM_VECTOR * vectors - t->cols));
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) {
            float *c = t->c + (row + i) * t->ldc + CM_GEMM_VECTOR * v;
            __mmask16 mask = v == vectors - 1 ? last : 0xffff;
            __m512 value = sum[i][v];
            if (t->add) value = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, c), value);
            _mm512_mask_storeu_ps(c, mask, value);
        }
}

INLINE void multiply_rows(const cm_gemm_tile *t, int64_t row, int rows) {
    switch ((t->cols + CM_GEMM_VECTOR - 1) / CM_GEMM_VECTOR) {
    case 1:
        multiply_block(t, row, rows, 1);
        break;
    case 2:
        multiply_block(t, row, rows, 2);
        break;
    case 3:
        multiply_block(t, row, rows, 3);
        break;
    default:
        multiply_block(t, row, rows, 4);
        break;
    }
}

TARGET void cm_gemm_multiply_avx512(const cm_gemm_tile *tile) {
    int64_t whole = tile->rows / CM_GEMM_ROWS * CM_GEMM_ROWS;
    for (int64_t row = 0; row < whole; row += CM_GEMM_ROWS) multiply_rows(tile, row, CM_GEMM_ROWS);
    switch (tile->rows - whole) {
    case 0:
        break;
    case 1:
        multiply_rows(tile, whole, 1);
        break;
    case 2:
        multiply_rows(tile, whole, 2);
        break;
    case 3:
        multiply_rows(tile, whole, 3);
        break;
    case 4:
        multiply_rows(tile, whole, 4);
        break;
    default:
        multiply_rows(tile, whole, 5);
        break;
    }
}
#else
typedef int cm_gemm_avx512_unused;
#endif
