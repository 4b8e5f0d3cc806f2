/* The AVX-512 kernel of the matrix product: up to 14 rows by 2 vectors of 16 in 28 registers. Two vectors of
 * B, 32 kB at the deepest block, stay in the first cache while all rows pass. */
#if defined(__x86_64__)
#include "base/cpu.h"
#include "ops/gemm_kernel.h"
#include <immintrin.h>

#define TARGET __attribute__((target("avx512f")))
#define INLINE static inline __attribute__((always_inline)) TARGET

enum { MOST_ROWS = CM_GEMM_MOST_STRIP, MOST_VECTORS = 2 };

bool cm_gemm_avx512_supported(void) {
    return cm_cpu_allows(CM_CPU_AVX512) && __builtin_cpu_supports("avx512f");
}

/* Rows of A that a_row floats lie apart, one or two vectors of B, and their place in C. */
typedef struct part {
    const float *a;
    const float *b;
    float *c;
    const float *from; /* what the sums are added to; NULL: zeros */
    __mmask16 last;    /* columns of the last vector */
    const float *next; /* what to fetch ahead, a line every next_step floats; NULL: nothing */
    int64_t next_step;
} part;

/* rows and vectors are constants at every place of use, so that sum[][] lives in registers. */
INLINE void multiply_part(const cm_gemm_tile *t, part p, int rows, int vectors) {
    __m512 sum[MOST_ROWS][MOST_VECTORS];
#pragma GCC unroll 14
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++) {
            sum[i][v] = _mm512_setzero_ps();
            __builtin_prefetch(p.c + i * t->ldc + CM_GEMM_VECTOR * v, 1, 3);
        }
    const float *a = p.a, *b = p.b, *next = p.next ? p.next : p.b;
    int64_t next_step = p.next ? p.next_step : 0;
    int64_t a_row = t->a_row, a_step = t->a_step, b_step = t->b_step, b_vector = t->b_vector;
    for (int64_t k = t->depth; k > 0; k--) {
        __m512 column[MOST_VECTORS];
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++) column[v] = _mm512_load_ps(b + v * b_vector);
#pragma GCC unroll 14
        for (int i = 0; i < rows; i++) {
            __m512 x = _mm512_set1_ps(a[i * a_row]);
#pragma GCC unroll 2
            for (int v = 0; v < vectors; v++) sum[i][v] = _mm512_fmadd_ps(x, column[v], sum[i][v]);
        }
        _mm_prefetch((const char *)next, _MM_HINT_T1);
        next += next_step;
        a += a_step;
        b += b_step;
    }
#pragma GCC unroll 14
    for (int i = 0; i < rows; i++)
#pragma GCC unroll 2
        for (int v = 0; v < vectors; v++) {
            float *c = p.c + i * t->ldc + CM_GEMM_VECTOR * v;
            __mmask16 mask = v == vectors - 1 ? p.last : 0xffff;
            __m512 value = sum[i][v];
            if (p.from)
                value = _mm512_add_ps(
                    _mm512_maskz_loadu_ps(mask, p.from + i * t->from_row + CM_GEMM_VECTOR * v), value);
            _mm512_mask_storeu_ps(c, mask, value);
        }
}

/* Whole vectors: two floats more than a strip has, where they can be read. */
TARGET void cm_gemm_copy_strips_avx512(int64_t strips, const float *a, float *copy, int64_t step) {
    for (; strips > 1; strips--, a += MOST_ROWS, copy += step) _mm512_store_ps(copy, _mm512_loadu_ps(a));
    if (strips > 0) _mm512_store_ps(copy, _mm512_maskz_loadu_ps((1 << MOST_ROWS) - 1, a));
}

/* clang-format off */
#define EACH_HEIGHT(DO) DO(1) DO(2) DO(3) DO(4) DO(5) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11) DO(12) DO(13) DO(14)
/* clang-format on */
#define DEFINE(rows)                                                                     \
    TARGET static void multiply_##rows(const cm_gemm_tile *t, const part *p, bool two) { \
        if (two)                                                                         \
            multiply_part(t, *p, rows, 2);                                               \
        else                                                                             \
            multiply_part(t, *p, rows, 1);                                               \
    }
EACH_HEIGHT(DEFINE)

#define ENTRY(rows) multiply_##rows,
static void (*const multiply_height[MOST_ROWS])(const cm_gemm_tile *t, const part *p,
                                                bool two) = {EACH_HEIGHT(ENTRY)};

/* Sets what strip number of a tile fetches ahead: the first 8 get the vectors of the next tile by halves,
 * which is slow enough for the caches to keep up, or the first ones the tile's other lines. */
static void look_ahead(const cm_gemm_tile *t, int number, part *p) {
    bool far = t->next && number < 2 * ((t->cols + CM_GEMM_VECTOR - 1) / CM_GEMM_VECTOR);
    p->next = NULL;
    if (far) {
        p->next = t->next + number / 2 * t->b_vector + number % 2 * (t->depth / 2) * CM_GEMM_VECTOR;
        p->next_step = CM_GEMM_VECTOR / 2;
    } else if (number < t->ahead.passes) {
        p->next = t->ahead.from + number * t->ahead.pass_step;
        p->next_step = t->ahead.step;
    }
}

/* Rows [row, end), which lie evenly, in strips of about the same height. strip counts those of the tile. */
static void multiply_rows(const cm_gemm_tile *t, part p, int64_t row, int64_t end, bool two, int *strip) {
    int64_t strips = (end - row + MOST_ROWS - 1) / MOST_ROWS;
    const float *a = p.a;
    float *c = p.c;
    const float *from = p.from;
    for (; strips > 0; strips--) {
        int64_t rows = (end - row + strips - 1) / strips;
        p.a = a + row / t->strip * t->a_strip + row % t->strip * t->a_row;
        p.c = c + row * t->ldc;
        p.from = from ? from + row * t->from_row : NULL;
        look_ahead(t, (*strip)++, &p);
        multiply_height[rows - 1](t, &p, two);
        row += rows;
    }
}

void cm_gemm_multiply_avx512(const cm_gemm_tile *t) {
    bool even = t->a_strip == t->strip * t->a_row;
    int strip = 0, vectors = (t->cols + CM_GEMM_VECTOR - 1) / CM_GEMM_VECTOR;
    for (int v = 0; v < vectors; v += MOST_VECTORS) {
        bool two = vectors - v >= MOST_VECTORS, last = vectors - v <= MOST_VECTORS;
        int missing = last ? CM_GEMM_VECTOR * vectors - t->cols : 0;
        part p = {.a = t->a,
                  .b = t->b + v * t->b_vector,
                  .c = t->c + CM_GEMM_VECTOR * v,
                  .from = t->from ? t->from + CM_GEMM_VECTOR * v : NULL,
                  .last = (__mmask16)(0xffffu >> missing)};
        for (int64_t row = 0, end; row < t->rows; row = end) {
            end = even || t->rows - row < t->strip ? t->rows : row + t->strip;
            multiply_rows(t, p, row, end, two, &strip);
        }
    }
}
#else
typedef int cm_gemm_avx512_unused;
#endif
