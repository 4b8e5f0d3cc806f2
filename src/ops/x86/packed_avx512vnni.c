/* int8 products with AVX512_VNNI; see packed_avxvnni.c for the arithmetic. */
#if defined(__x86_64__)
#include "base/cpu.h"
#include "ops/x86/packed_tile.h"

#define TARGET CM_TARGET("avx512f,avx512vnni")

bool cm_packed_avx512vnni_supported(void) {
    return cm_cpu_allows(CM_CPU_AVX512) && __builtin_cpu_supports("avx512f") &&
           __builtin_cpu_supports("avx512vnni");
}

/* vectors vectors and rows rows; both are constants at every place of use, so that sum[][] lives in
 * registers. */
CM_TILE_INLINE TARGET void multiply_block(const cm_packed_tile *t, int64_t row, int rows, int vectors) {
    __m512i sum[CM_PACKED_ROWS][CM_PACKED_VECTORS];
    int32_t *sums = (int32_t *)t->sums + row * t->ld;
    const int32_t *from = (const int32_t *)t->from + row * t->from_row;
    const char *x = t->x + row * t->x_row, *w = t->w;
    int64_t x_row = t->x_row, w_vector = t->w_vector;
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            sum[i][v] = t->from ? _mm512_loadu_si512(from + i * t->from_row + v * CM_PACKED_VECTOR)
                                : _mm512_setzero_si512();
    for (int64_t k = t->depth; k > 0; k -= 4, x += 4, w += 64) {
        __m512i column[CM_PACKED_VECTORS];
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) column[v] = _mm512_load_si512(w + v * w_vector);
#pragma GCC unroll 6
        for (int i = 0; i < rows; i++) {
            __m512i group = _mm512_set1_epi32(cm_tile_group(x + i * x_row));
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++) sum[i][v] = _mm512_dpbusd_epi32(sum[i][v], group, column[v]);
        }
    }
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            _mm512_storeu_si512(sums + i * t->ld + v * CM_PACKED_VECTOR, sum[i][v]);
}

TARGET void cm_packed_int8_avx512vnni(const cm_packed_tile *tile) {
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
typedef int cm_packed_avx512vnni_unused;
#endif
