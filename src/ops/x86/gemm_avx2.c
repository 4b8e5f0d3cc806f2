/* The AVX2 kernel of the matrix product, 6 rows by 2 vectors of 8 in 12 registers, and the transposing
 * pack that the AVX-512 kernel uses too. */
#if defined(__x86_64__)
#include "base/cpu.h"
#include "ops/gemm.h"
#include "ops/gemm_kernel.h"
#include <immintrin.h>
#include <string.h>

#define TARGET __attribute__((target("avx2,fma")))
enum { STRIP = 6 };

#define INLINE static inline __attribute__((always_inline)) TARGET

bool cm_gemm_avx2_supported(void) {
    return cm_cpu_allows(CM_CPU_AVX2) && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

/* from: NULL or what is added. */
INLINE void store_row(float *c, __m256 low, __m256 high, const float *from) {
    if (from) {
        low = _mm256_add_ps(_mm256_loadu_ps(from), low);
        high = _mm256_add_ps(_mm256_loadu_ps(from + 8), high);
    }
    _mm256_storeu_ps(c, low);
    _mm256_storeu_ps(c + 8, high);
}

/* Fewer than 16 columns. */
INLINE void store_part(float *c, __m256 low, __m256 high, int cols, const float *from) {
    float part[CM_GEMM_VECTOR];
    _mm256_storeu_ps(part, low);
    _mm256_storeu_ps(part + 8, high);
    for (int j = 0; j < cols; j++) c[j] = from ? from[j] + part[j] : part[j];
}

/* rows rows from row on (of one strip) and vectors vectors of 16 columns from column first on; rows and
 * vectors are constants at every place of use, so that low and high live in registers. */
INLINE void multiply_block(const cm_gemm_tile *t, int64_t row, int first, int rows, int vectors) {
    __m256 low[STRIP][4], high[STRIP][4];
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) low[i][v] = high[i][v] = _mm256_setzero_ps();
    int64_t a_row = t->a_row, a_step = t->a_step, b_step = t->b_step, b_vector = t->b_vector;
    const float *a = t->a + row / STRIP * t->a_strip;
    const float *b = t->b + first / CM_GEMM_VECTOR * b_vector;
    for (int64_t p = t->depth; p > 0; p--) {
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) {
            __m256 left = _mm256_load_ps(b + v * b_vector), right = _mm256_load_ps(b + v * b_vector + 8);
#pragma GCC unroll 6
            for (int i = 0; i < rows; i++) {
                __m256 x = _mm256_broadcast_ss(a + i * a_row);
                low[i][v] = _mm256_fmadd_ps(x, left, low[i][v]);
                high[i][v] = _mm256_fmadd_ps(x, right, high[i][v]);
            }
        }
        a += a_step;
        b += b_step;
    }
    float *c = t->c + row * t->ldc + first;
    int64_t ldc = t->ldc, last = t->cols - first - CM_GEMM_VECTOR * (vectors - 1);
    bool whole = last >= CM_GEMM_VECTOR;
#pragma GCC unroll 6
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++) {
            float *to = c + i * ldc + v * CM_GEMM_VECTOR;
            const float *from =
                t->from ? t->from + (row + i) * t->from_row + first + v * CM_GEMM_VECTOR : NULL;
            if (whole || v < vectors - 1)
                store_row(to, low[i][v], high[i][v], from);
            else
                store_part(to, low[i][v], high[i][v], (int)last, from);
        }
}

/* The last strip when it is lower than the others: so many vectors at once that enough sums are under way. */
INLINE void multiply_rest(const cm_gemm_tile *t, int64_t row, int rows, int vectors) {
    int first = 0;
    for (; t->cols - first > CM_GEMM_VECTOR * (vectors - 1); first += CM_GEMM_VECTOR * vectors)
        multiply_block(t, row, first, rows, vectors);
    for (; first < t->cols; first += CM_GEMM_VECTOR) multiply_block(t, row, first, rows, 1);
}

/* Starts fetching a part of a vector of B, to the second cache. */
INLINE void fetch(const float *b, int64_t depth) {
    for (int64_t p = 0; p < depth; p++) _mm_prefetch((const char *)(b + p * CM_GEMM_VECTOR), _MM_HINT_T1);
}

/* Vector by vector, so that a vector's part of B stays in the first cache for all rows. Where B lies far away
 * the vector after it is fetched meanwhile, piece by piece; its first use would wait for memory otherwise. */
INLINE void multiply_whole(const cm_gemm_tile *t, int64_t rows) {
    int64_t strips = rows / STRIP, each = t->depth / strips + 1;
    for (int first = 0; first < t->cols; first += CM_GEMM_VECTOR) {
        bool last = t->cols - first <= CM_GEMM_VECTOR;
        const float *next = last ? t->next : t->b + (first / CM_GEMM_VECTOR + 1) * t->b_vector;
        for (int64_t row = 0, p = 0; row < rows; row += STRIP, p += each) {
            if (t->next && p < t->depth)
                fetch(next + p * CM_GEMM_VECTOR, t->depth - p < each ? t->depth - p : each);
            multiply_block(t, row, first, STRIP, 1);
        }
    }
}

TARGET void cm_gemm_multiply_avx2(const cm_gemm_tile *tile) {
    int64_t whole = tile->rows / STRIP * STRIP;
    if (whole > 0) multiply_whole(tile, whole);
    switch (tile->rows - whole) {
    case 0:
        break;
    case 1:
        multiply_rest(tile, whole, 1, 4);
        break;
    case 2:
        multiply_rest(tile, whole, 2, 2);
        break;
    case 3:
        multiply_rest(tile, whole, 3, 2);
        break;
    case 4:
        multiply_rest(tile, whole, 4, 1);
        break;
    default:
        multiply_rest(tile, whole, 5, 1);
        break;
    }
}

/* The 8 x 8 block at b (rows ldb apart) turned over into packed (rows width apart): lanes hold rows i and
 * i + 4, so that only steps within lanes remain. */
INLINE void transpose_block(const float *b, int64_t ldb, float *packed, int64_t width) {
#pragma GCC unroll 2
    for (int half = 0; half < 8; half += 4, b += 4, packed += 4 * width) {
        __m256 row[4];
#pragma GCC unroll 4
        for (int i = 0; i < 4; i++)
            row[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(b + i * ldb)),
                                          _mm_loadu_ps(b + (i + 4) * ldb), 1);
        __m256 low = _mm256_unpacklo_ps(row[0], row[1]), high = _mm256_unpackhi_ps(row[0], row[1]);
        __m256 low2 = _mm256_unpacklo_ps(row[2], row[3]), high2 = _mm256_unpackhi_ps(row[2], row[3]);
        _mm256_store_ps(packed, _mm256_shuffle_ps(low, low2, 0x44));
        _mm256_store_ps(packed + width, _mm256_shuffle_ps(low, low2, 0xee));
        _mm256_store_ps(packed + 2 * width, _mm256_shuffle_ps(high, high2, 0x44));
        _mm256_store_ps(packed + 3 * width, _mm256_shuffle_ps(high, high2, 0xee));
    }
}

/* Sixteen rows of packed at a time: whole cache lines of b are used at once. */
TARGET void cm_gemm_transpose_avx(int64_t depth, int64_t cols, const float *b, int64_t ldb, float *packed,
                                  int64_t width) {
    for (int64_t p = 0; p < depth; p += 16)
        for (int64_t j = 0; j < cols; j += 8) {
            transpose_block(b + j * ldb + p, ldb, packed + p * width + j, width);
            transpose_block(b + j * ldb + p + 8, ldb, packed + (p + 8) * width + j, width);
        }
}

TARGET void cm_gemm_pack_transposed_avx(int64_t depth, int64_t cols, const float *b, int64_t ldb,
                                        float *packed, int64_t width) {
    int64_t whole_cols = cols & ~INT64_C(7), whole_depth = depth & ~INT64_C(15);
    cm_gemm_transpose_avx(whole_depth, whole_cols, b, ldb, packed, width);
    for (int64_t p = 0; p < depth; p++)
        for (int64_t j = p < whole_depth ? whole_cols : 0; j < width; j++)
            packed[p * width + j] = j < cols ? b[j * ldb + p] : 0;
}
#else
typedef int cm_gemm_avx2_unused;
#endif
