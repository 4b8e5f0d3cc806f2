/* The inner kernels of packed products (see packed.h). Private to packed*.c and their test. */
#ifndef CM_OPS_PACKED_KERNEL_H
#define CM_OPS_PACKED_KERNEL_H

#include "ops/packed.h"
#include <math.h>
#include <string.h>

/* Columns come in vectors of 16; a tile has at most 4 of them. Rows are taken 6 at a time. */
enum { CM_PACKED_VECTOR = 16, CM_PACKED_VECTORS = 4, CM_PACKED_ROWS = 6 };

/* sums[rows, 16 * vectors] = from + x[rows, depth] W[depth, 16 * vectors], a block of k, depth at most the
 * kernel's depth. The k are taken in groups of the kernel's group: vector v of W lies at w + v * w_vector
 * (bytes, aligned to 64) as [groups][16][group], with zeros after the last k. from is sums itself, another
 * matrix, or, with from_row 0, one row for all. */
typedef struct cm_packed_tile {
    int64_t rows;
    int vectors;
    int64_t depth;
    const char *x;
    int64_t x_row; /* bytes from row to row */
    const char *w;
    int64_t w_vector;
    const char *next; /* as in cm_gemm_tile; NULL: W is near */
    void *sums;       /* float or int32_t */
    int64_t ld;       /* elements from row to row of sums */
    const void *from; /* of the type of sums; NULL: zeros */
    int64_t from_row;
} cm_packed_tile;

/* What a kernel reads as x. All but f32 are made in scratch, 4 bytes a group, groups filled up with any
 * finite value. */
typedef enum cm_packed_input {
    CM_PACKED_FLOAT,  /* x itself */
    CM_PACKED_BF16,   /* 16 bits, group 2 */
    CM_PACKED_INT16,  /* the int8 values in 16 bits, group 2 */
    CM_PACKED_OFFSET, /* the int8 values + 128 as uint8_t, group 4 */
} cm_packed_input;

typedef struct cm_packed_kernel {
    const char *name;
    bool (*supported)(void);
    cm_packed_input input;
    int group;
    int64_t depth; /* a multiple of group; small enough for a vector of W to stay in the first cache */
    void (*multiply)(const cm_packed_tile *tile);
} cm_packed_kernel;

/* Slowest first; a NULL name ends. */
extern const cm_packed_kernel cm_packed_f32_kernels[];
extern const cm_packed_kernel cm_packed_bf16_kernels[];
extern const cm_packed_kernel cm_packed_int8_kernels[];

/* cm_packed_create for a kernel of the precision's table. */
cm_status cm_packed_create_for(cm_packed **packed, cm_precision precision, const cm_packed_kernel *kernel,
                               int64_t out, int64_t in, const float *weight, int64_t ld, cm_error *error);

/* weight: cols (1 to 16) rows of in values, ld apart -> one vector. */
void cm_packed_bf16_pack(int64_t in, int64_t cols, const float *weight, int64_t ld, uint32_t *vector);
/* As above with group 2 or 4; scale[cols] and sum[cols] of the int8 values. */
void cm_packed_int8_pack(int group, int64_t in, int64_t cols, const float *weight, int64_t ld, int8_t *vector,
                         float *scale, int32_t *sum);

/* One row of x[in] -> 4 bytes a group; the scale for int8. */
void cm_packed_bf16_row(const float *x, int64_t in, uint32_t *row);
float cm_packed_int8_row(cm_packed_input input, const float *x, int64_t in, uint32_t *row);

/* f32 product of vectors [depth][16] of 64-byte aligned floats, w_vector bytes apart. */
void cm_packed_f32_multiply(const cm_packed_tile *tile);

#if defined(__x86_64__)
bool cm_packed_avxvnni_supported(void);
bool cm_packed_avx512vnni_supported(void);
bool cm_packed_avx512bf16_supported(void);
void cm_packed_int8_avx2(const cm_packed_tile *tile);
void cm_packed_int8_avxvnni(const cm_packed_tile *tile);
void cm_packed_int8_avx512vnni(const cm_packed_tile *tile);
void cm_packed_bf16_avx512(const cm_packed_tile *tile);
#endif

#endif
