/* int8 products with AVX2: the int8 values of W are widened to 16 bits and multiplied in pairs, which is
 * exact (vpmaddubsw on bytes would need as many instructions: its sums of two fit 16 bits, those of four do
 * not). */
#if defined(__x86_64__)
#include "ops/x86/packed_tile.h"

#define TARGET CM_TARGET("avx2")

/* One vector, 16 columns, and rows rows. */
CM_TILE_INLINE TARGET void multiply_block(const cm_packed_tile *t, int64_t row, int rows, int vector) {
    __m256i low[CM_PACKED_ROWS], high[CM_PACKED_ROWS];
    int32_t *sums = (int32_t *)t->sums + row * t->ld + vector * CM_PACKED_VECTOR;
    int64_t first = row * t->from_row + vector * CM_PACKED_VECTOR;
    const char *x = t->x + row * t->x_row, *w = t->w + vector * t->w_vector;
    int64_t x_row = t->x_row;
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++) {
        low[i] = high[i] = _mm256_setzero_si256();
        if (!t->from) continue;
        const int32_t *from = (const int32_t *)t->from + first + i * t->from_row;
        low[i] = _mm256_loadu_si256((const __m256i *)(const void *)from);
        high[i] = _mm256_loadu_si256((const __m256i *)(const void *)(from + 8));
    }
    for (int64_t k = t->depth; k > 0; k -= 2, x += 4, w += 32) {
        __m256i left = _mm256_cvtepi8_epi16(_mm_load_si128((const __m128i *)(const void *)w));
        __m256i right = _mm256_cvtepi8_epi16(_mm_load_si128((const __m128i *)(const void *)(w + 16)));
#pragma GCC unroll 6
        for (int i = 0; i < rows; i++) {
            __m256i pair = _mm256_set1_epi32(cm_tile_group(x + i * x_row));
            low[i] = _mm256_add_epi32(low[i], _mm256_madd_epi16(pair, left));
            high[i] = _mm256_add_epi32(high[i], _mm256_madd_epi16(pair, right));
        }
    }
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++) {
        __m256i *to = (__m256i *)(void *)(sums + i * t->ld);
        _mm256_storeu_si256(to, low[i]);
        _mm256_storeu_si256(to + 1, high[i]);
    }
}

TARGET void cm_packed_int8_avx2(const cm_packed_tile *tile) {
    for (int v = 0; v < tile->vectors; v++) CM_TILE_ROWS(tile, multiply_block, v);
}
#else
typedef int cm_packed_avx2_unused;
#endif
