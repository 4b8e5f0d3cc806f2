/* The inner kernels of the matrix product (see gemm.h for the order of the sums), for gemm.c and packed.c. */
#ifndef CM_OPS_GEMM_KERNEL_H
#define CM_OPS_GEMM_KERNEL_H

#include <stdbool.h>
#include <stdint.h>

/* Vectors of B are 16 floats wide. No kernel takes strips of more rows, or blocks of more rows at once. */
enum { CM_GEMM_VECTOR = 16, CM_GEMM_MOST_STRIP = 14, CM_GEMM_MOST_BLOCK = 518 };

/* Lines that a kernel may fetch while it works: that of pass i and step k in [0, depth) at from + i *
 * pass_step + k * step. passes 0: none. */
typedef struct cm_gemm_ahead {
    const float *from;
    int64_t pass_step, step;
    int passes;
} cm_gemm_ahead;

/* C[rows, cols] = from + A[rows, depth] B[depth, cols], one block of k: depth <= CM_GEMM_K_BLOCK, cols in
 * [1, CM_GEMM_PANEL]. Rows come in strips of the kernel's height, the last one may be lower: element (i, p)
 * of strip s of A is a[s * a_strip + i * a_row + p * a_step]. Row p of vector v of B begins at b + v *
 * b_vector + p * b_step, 64-byte aligned, and may be read whole. next, only with b_step = CM_GEMM_VECTOR,
 * says that B lies far away and where the vector lies that comes after this tile; a kernel may fetch both
 * ahead. ahead names other lines that will be wanted after this tile. from is C itself, another matrix that
 * does not overlap it, or, with from_row 0, one row for all. */
typedef struct cm_gemm_tile {
    int64_t rows;
    int cols;
    int64_t depth;
    const float *a;
    int64_t strip; /* rows of a strip */
    int64_t a_strip, a_row, a_step;
    const float *b;
    int64_t b_vector, b_step;
    const float *next; /* NULL: B is near */
    cm_gemm_ahead ahead;
    float *c;
    int64_t ldc;
    const float *from; /* NULL: zeros */
    int64_t from_row;
} cm_gemm_tile;

typedef struct cm_gemm_kernel {
    const char *name;
    bool (*supported)(void);
    void (*multiply)(const cm_gemm_tile *tile);
    int strip;         /* rows of a strip, at most CM_GEMM_MOST_STRIP */
    int strip_row;     /* floats from one k to the next in a copied strip of a transposed A, at least strip */
    int64_t row_block; /* rows of A, whole strips, whose block of k stays in the second cache beside a panel
                        * of B; at most CM_GEMM_MOST_BLOCK */
    /* One row of a transposed A: strips pieces of strip floats, which lie side by side, to copies step floats
     * apart. What lies behind a copy, up to strip_row, may be overwritten. */
    void (*copy_strips)(int64_t strips, const float *a, float *copy, int64_t step);
    /* Most rows of a tile for which B's rows are read where they lie: copying them side by side costs more up
     * to there than their distance does in the caches. */
    int64_t rows_in_place;
    /* packed[p * width + j] = b[j * ldb + p] for p in [0, depth), j in [0, cols), zero for the other j
     * below width. */
    void (*pack_transposed)(int64_t depth, int64_t cols, const float *b, int64_t ldb, float *packed,
                            int64_t width);
} cm_gemm_kernel;

/* Slowest first; a NULL name ends. */
extern const cm_gemm_kernel cm_gemm_kernels[];

/* The fastest one that this machine supports. */
const cm_gemm_kernel *cm_gemm_kernel_best(void);

#if defined(__x86_64__)
bool cm_gemm_avx2_supported(void);
bool cm_gemm_avx512_supported(void);
void cm_gemm_multiply_avx2(const cm_gemm_tile *tile);
void cm_gemm_multiply_avx512(const cm_gemm_tile *tile);
/* packed[p * width + j] = b[j * ldb + p] for p in [0, depth), a multiple of 16, and j in [0, cols), one of 8;
 * packed is aligned to 32 bytes, width a multiple of 8. Nothing else is written. */
void cm_gemm_transpose_avx(int64_t depth, int64_t cols, const float *b, int64_t ldb, float *packed,
                           int64_t width);
void cm_gemm_copy_strips_avx512(int64_t strips, const float *a, float *copy, int64_t step);
void cm_gemm_pack_transposed_avx(int64_t depth, int64_t cols, const float *b, int64_t ldb, float *packed,
                                 int64_t width);
#endif

#endif
