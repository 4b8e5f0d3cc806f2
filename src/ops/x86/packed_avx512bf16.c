/* bfloat16 products with AVX512_BF16: a sum is one chain of vdpbf16ps in ascending order of pairs. */
#if defined(__x86_64__)
#include "base/cpu.h"
#include "ops/x86/packed_tile.h"

#ifndef CM_BF16_OF
#define CM_BF16_OF(vector) ((__m512bh)(vector))
#endif
#define TARGET CM_TARGET("avx512f,avx512bf16")

bool cm_packed_avx512bf16_supported(void) {
    return cm_cpu_allows(CM_CPU_AVX512) && __builtin_cpu_supports("avx512f") &&
           __builtin_cpu_supports("avx512bf16");
}

/* vectors vectors and rows rows; both are constants at every place of use, so that sum[][] lives in
 * registers. */
CM_TILE_INLINE TARGET void multiply_block(const cm_packed_tile *t, int64_t row, int rows, int vectors) {
    __m512 sum[CM_PACKED_ROWS][CM_PACKED_VECTORS];
    float *sums = (float *)t->sums + row * t->ld;
    const float *from = (const float *)t->from + row * t->from_row;
    const char *x = t->x + row * t->x_row, *w = t->w;
    int64_t x_row = t->x_row, w_vector = t->w_vector;
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            sum[i][v] = t->from ? _mm512_loadu_ps(from + i * t->from_row + v * CM_PACKED_VECTOR)
                                : _mm512_setzero_ps();
    for (int64_t k = t->depth; k > 0; k -= 2, x += 4, w += 64) {
        __m512i column[CM_PACKED_VECTORS];
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) column[v] = _mm512_load_si512(w + v * w_vector);
#pragma GCC unroll 6
        for (int i = 0; i < rows; i++) {
            __m512i group = _mm512_set1_epi32(cm_tile_group(x + i * x_row));
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++)
                sum[i][v] = _mm512_dpbf16_ps(sum[i][v], CM_BF16_OF(group), CM_BF16_OF(column[v]));
        }
    }
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            _mm512_storeu_ps(sums + i * t->ld + v * CM_PACKED_VECTOR, sum[i][v]);
}

TARGET void cm_packed_bf16_avx512(const cm_packed_tile *tile) {
    switch (tile->vectors) {
    case 1:
        CM_TILE_ROWS(tile, multiply_block, 1);
        break;
    case 2:
        CM_TILE_ROWS(tile, multiply_block, 2);
        break;
    case 3:
        CM_TILE_ROWS(tile, multiply_block, 3);
        break;
    default:
        CM_TILE_ROWS(tile, multiply_block, 4);
        break;
    }
}
#else
typedef int cm_packed_avx512bf16_unused;
#endif
