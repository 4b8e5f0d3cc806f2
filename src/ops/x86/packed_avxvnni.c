/* int8 products with AVX-VNNI: vpdpbusd takes unsigned times signed bytes, so x comes with 128 added and the
 * sums start 128 sum(w) lower; sums wrap, which leaves the result exact. */
#if defined(__x86_64__)
#include "base/cpu.h"
#include "ops/x86/packed_tile.h"
#include <cpuid.h>

#define TARGET CM_TARGET("avx2,avxvnni")

/* Not every compiler's __builtin_cpu_supports knows the name. */
bool cm_packed_avxvnni_supported(void) {
    unsigned a, b, c, d;
    return cm_cpu_allows(CM_CPU_AVX2) && __builtin_cpu_supports("avx2") &&
           __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 4 & 1);
}

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
    for (int64_t k = t->depth; k > 0; k -= 4, x += 4, w += 64) {
        __m256i left = _mm256_load_si256((const __m256i *)(const void *)w);
        __m256i right = _mm256_load_si256((const __m256i *)(const void *)(w + 32));
#pragma GCC unroll 6
        for (int i = 0; i < rows; i++) {
            __m256i four = _mm256_set1_epi32(cm_tile_group(x + i * x_row));
            low[i] = _mm256_dpbusd_avx_epi32(low[i], four, left);
            high[i] = _mm256_dpbusd_avx_epi32(high[i], four, right);
        }
    }
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++) {
        __m256i *to = (__m256i *)(void *)(sums + i * t->ld);
        _mm256_storeu_si256(to, low[i]);
        _mm256_storeu_si256(to + 1, high[i]);
    }
}

TARGET void cm_packed_int8_avxvnni(const cm_packed_tile *tile) {
    for (int v = 0; v < tile->vectors; v++) CM_TILE_ROWS(tile, multiply_block, v);
}
#else
typedef int cm_packed_avxvnni_unused;
#endif
