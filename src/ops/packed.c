/* Products with packed weights: what is common to the precisions. y is cut into blocks of rows and up to four
 * panels of four vectors of columns. A block's sums are made over all of k in a buffer that stays in the
 * second cache, and only the finished values are written to y. */
#include "ops/packed.h"

#include "base/alloc.h"
#include "ops/gemm.h"
#include "ops/gemm_kernel.h"
#include "ops/op_util.h"
#include "ops/packed_kernel.h"
#include "ops/vmath.h"
#include <assert.h>

enum {
    VECTOR = CM_PACKED_VECTOR,
    BLOCK_VECTORS = 4 * CM_PACKED_VECTORS,
    WIDTH = CM_PACKED_VECTOR * BLOCK_VECTORS,
    ROW_BLOCK = 192, /* rows whose part of x, 256 columns, and sums fit into the second cache together */
    MOST_INT8 = 131072
};
_Static_assert((int)VECTOR == (int)CM_GEMM_VECTOR, "the same vectors");

struct cm_packed {
    const cm_packed_kernel *kernel;
    cm_precision precision;
    int64_t out, in, groups, vectors;
    size_t vector_bytes, bytes;
    char *weights;  /* [vectors][groups][16][group] */
    float *scale;   /* int8: [16 * vectors] */
    int32_t *start; /* int8: what the sums start with; undoes the 128 added to x */
};

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* ---- kernels ---- */

void cm_packed_f32_multiply(const cm_packed_tile *t) {
    const cm_gemm_kernel *kernel = cm_gemm_kernel_best();
    int64_t x_row = t->x_row / (int64_t)sizeof(float), strip = kernel->strip;
    cm_gemm_tile tile = {.rows = t->rows,
                         .cols = VECTOR * t->vectors,
                         .depth = t->depth,
                         .a = (const float *)(const void *)t->x,
                         .strip = strip,
                         .a_strip = strip * x_row,
                         .a_row = x_row,
                         .a_step = 1,
                         .b = (const float *)(const void *)t->w,
                         .b_vector = t->w_vector / (int64_t)sizeof(float),
                         .b_step = VECTOR,
                         .next = (const float *)(const void *)t->next,
                         .c = t->sums,
                         .ldc = t->ld,
                         .from = t->from,
                         .from_row = t->from_row};
    kernel->multiply(&tile);
}

static bool always(void) {
    return true;
}

const cm_packed_kernel cm_packed_f32_kernels[] = {
    {"f32", always, CM_PACKED_FLOAT, 1, CM_GEMM_K_BLOCK, cm_packed_f32_multiply},
    {NULL, NULL, CM_PACKED_FLOAT, 0, 0, NULL},
};

static const cm_packed_kernel *best_kernel(cm_precision precision) {
    const cm_packed_kernel *best = precision == CM_F32    ? cm_packed_f32_kernels
                                   : precision == CM_BF16 ? cm_packed_bf16_kernels
                                                          : cm_packed_int8_kernels;
    for (const cm_packed_kernel *kernel = best; kernel->name; kernel++)
        if (kernel->supported()) best = kernel;
    return best;
}

bool cm_precision_is_fast(cm_precision precision) {
    assert(precision != CM_AUTO);
    const cm_packed_kernel *best = best_kernel(precision);
    return precision != CM_F32 && best != cm_packed_bf16_kernels && best != cm_packed_int8_kernels;
}

/* ---- packing ---- */

static void pack_vector(cm_packed *packed, int64_t v, const float *weight, int64_t ld) {
    void *to = packed->weights + (size_t)v * packed->vector_bytes;
    int64_t first = v * VECTOR, cols = least(VECTOR, packed->out - first);
    const float *from = weight + first * ld;
    int32_t sum[VECTOR];
    switch (packed->precision) {
    case CM_F32:
        cm_gemm_kernel_best()->pack_transposed(packed->in, cols, from, ld, to, VECTOR);
        break;
    case CM_BF16:
        cm_packed_bf16_pack(packed->in, cols, from, ld, to);
        break;
    default:
        cm_packed_int8_pack(packed->kernel->group, packed->in, cols, from, ld, to, packed->scale + first,
                            sum);
        for (int64_t j = 0; packed->kernel->input == CM_PACKED_OFFSET && j < cols; j++)
            packed->start[first + j] = -128 * sum[j];
        break;
    }
}

/* Sets the sizes and takes the memory. */
static bool allocate(cm_packed *packed) {
    int group = packed->kernel->group;
    size_t element = packed->precision == CM_F32 ? 4 : packed->precision == CM_BF16 ? 2 : 1, all;
    packed->groups = packed->in / group + (packed->in % group > 0);
    packed->vectors = packed->out / VECTOR + (packed->out % VECTOR > 0);
    if (!cm_size_mul((size_t)packed->groups, VECTOR * (size_t)group * element, &packed->vector_bytes) ||
        !cm_size_mul(packed->vector_bytes, (size_t)packed->vectors, &all))
        return false;
    packed->weights = cm_new_aligned(all, 1);
    packed->bytes = sizeof *packed + all;
    if (packed->precision != CM_INT8) return packed->weights;
    size_t cols = (size_t)packed->vectors * VECTOR;
    packed->scale = cm_new(cols, sizeof *packed->scale);
    packed->start = cm_new(cols, sizeof *packed->start);
    packed->bytes += cols * (sizeof *packed->scale + sizeof *packed->start);
    return packed->weights && packed->scale && packed->start;
}

cm_status cm_packed_create_for(cm_packed **packed, cm_precision precision, const cm_packed_kernel *kernel,
                               int64_t out, int64_t in, const float *weight, int64_t ld, cm_error *error) {
    assert(precision != CM_AUTO && out >= 0 && in >= 0 && ld >= in);
    *packed = NULL;
    if (precision == CM_INT8 && in > MOST_INT8)
        return cm_fail(error, CM_USAGE, NULL, "weights in int8", "at most 131072 inputs", "%lld",
                       (long long)in);
    cm_packed *made = cm_new(1, sizeof *made);
    if (!made) return cm_fail_memory(error, sizeof *made);
    *made = (cm_packed){.kernel = kernel, .precision = precision, .out = out, .in = in};
    if (!allocate(made)) {
        cm_packed_destroy(made);
        return cm_fail_memory(error, 0);
    }
    for (int64_t v = 0; v < made->vectors; v++) pack_vector(made, v, weight, ld);
    *packed = made;
    return CM_OK;
}

cm_status cm_packed_create(cm_packed **packed, cm_precision precision, int64_t out, int64_t in,
                           const float *weight, int64_t ld, cm_error *error) {
    assert(precision != CM_AUTO);
    return cm_packed_create_for(packed, precision, best_kernel(precision), out, in, weight, ld, error);
}

void cm_packed_destroy(cm_packed *packed) {
    if (!packed) return;
    cm_free(packed->weights);
    cm_free(packed->scale);
    cm_free(packed->start);
    cm_free(packed);
}

int64_t cm_packed_out(const cm_packed *packed) {
    return packed->out;
}

int64_t cm_packed_in(const cm_packed *packed) {
    return packed->in;
}

size_t cm_packed_bytes(const cm_packed *packed) {
    return packed->bytes;
}

/* ---- the product ---- */

typedef struct product {
    const cm_packed *packed;
    int64_t m;
    const float *x;
    int64_t ldx;
    const float *bias;
    cm_activation activation;
    const float *residual;
    int64_t ldr;
    float *y;
    int64_t ldy;
    /* what the kernel reads */
    const char *input;
    int64_t input_row; /* bytes */
    uint32_t *rows;    /* [m, groups], the converted x */
    float *scale;      /* int8: [m] */
} product;

/* Sums of a block, [rows, 16 * vectors] without gaps. */
typedef union block_sums {
    float value[ROW_BLOCK * WIDTH];
    int32_t whole[ROW_BLOCK * WIDTH];
} block_sums;

typedef struct block {
    int64_t row, rows, vector, vectors;
} block;

size_t cm_packed_scratch_floats(const cm_packed *packed, int64_t m) {
    size_t floats;
    if (packed->kernel->input == CM_PACKED_FLOAT) return 0;
    /* a row and its scale */
    return cm_size_mul((size_t)m, (size_t)packed->groups + 1, &floats) ? floats : SIZE_MAX;
}

static void convert_rows(void *context, int64_t begin, int64_t end, int member) {
    (void)member;
    const product *job = context;
    const cm_packed *packed = job->packed;
    for (int64_t i = begin; i < end; i++) {
        uint32_t *row = job->rows + i * packed->groups;
        if (packed->precision == CM_BF16)
            cm_packed_bf16_row(job->x + i * job->ldx, packed->in, row);
        else
            job->scale[i] = cm_packed_int8_row(packed->kernel->input, job->x + i * job->ldx, packed->in, row);
    }
}

/* Of one vector of the weights. */
static int64_t group_bytes(const cm_packed *packed) {
    return packed->groups ? (int64_t)packed->vector_bytes / packed->groups : 0;
}

/* What every row of the sums begins with, of their type; NULL when that is nothing. room [WIDTH] may be used.
 */
static const char *start_row(const product *job, block part, float *room) {
    int64_t width = part.vectors * VECTOR, first = part.vector * VECTOR;
    int64_t cols = least(width, job->packed->out - first);
    if (job->packed->precision == CM_INT8) return (const char *)(job->packed->start + first);
    if (!job->bias) return NULL;
    memcpy(room, job->bias + first, (size_t)cols * sizeof *room);
    for (int64_t j = cols; j < width; j++) room[j] = 0;
    return (const char *)room;
}

/* What comes after the panel of the block that begins at vector, at k: the next panel, the first one at the
 * next k, or the next block. NULL where the weights stay in the second cache, because fetching them ahead
 * then costs time and gains none. */
static const char *next_of(const cm_packed *packed, block part, int64_t vector, int64_t k) {
    const size_t near = (size_t)512 << 10;
    int64_t end = part.vector + part.vectors, next = vector + CM_PACKED_VECTORS;
    if (packed->bytes <= near) return NULL;
    if (next >= end) {
        k += packed->kernel->depth;
        next = k < packed->in ? part.vector : end < packed->vectors ? end : 0;
        if (k >= packed->in) k = 0;
    }
    return packed->weights + (size_t)next * packed->vector_bytes +
           k / packed->kernel->group * group_bytes(packed);
}

static void make_sums(const product *job, block part, block_sums *sums) {
    const cm_packed *packed = job->packed;
    const cm_packed_kernel *kernel = packed->kernel;
    float room[WIDTH];
    const char *start = start_row(job, part, room);
    int64_t width = part.vectors * VECTOR;
    bool converted = kernel->input != CM_PACKED_FLOAT;
    for (int64_t k = 0; k == 0 || k < packed->in; k += kernel->depth) {
        int64_t x_offset = k / (converted ? kernel->group : 1) * (int64_t)sizeof(float);
        cm_packed_tile tile = {.rows = part.rows,
                               .depth = least(kernel->depth, packed->in - k),
                               .x = job->input + part.row * job->input_row + x_offset,
                               .x_row = job->input_row,
                               .w_vector = (int64_t)packed->vector_bytes,
                               .ld = width,
                               .from_row = k > 0 ? width : 0};
        for (int64_t v = 0; v < part.vectors; v += CM_PACKED_VECTORS) {
            tile.vectors = (int)least(CM_PACKED_VECTORS, part.vectors - v);
            tile.w = packed->weights + (size_t)(part.vector + v) * packed->vector_bytes +
                     k / kernel->group * group_bytes(packed);
            tile.next = next_of(packed, part, part.vector + v, k);
            tile.sums = sums->value + v * VECTOR;
            tile.from = k > 0 ? tile.sums : start ? start + v * VECTOR * (int64_t)sizeof(float) : NULL;
            kernel->multiply(&tile);
        }
    }
}

/* The values of int32 sums, with bias and residual; either may be NULL. to may be residual. */
CM_CLONES static void scale_row(const int32_t *restrict sums, float x_scale, const float *restrict scale,
                                const float *restrict bias, const float *residual, float *to, int64_t n) {
    if (bias && residual)
#pragma GCC ivdep
        for (int64_t j = 0; j < n; j++) to[j] = (float)sums[j] * (x_scale * scale[j]) + bias[j] + residual[j];
    else
        for (int64_t j = 0; j < n; j++) {
            float value = (float)sums[j] * (x_scale * scale[j]);
            if (bias) value += bias[j];
            to[j] = residual ? value + residual[j] : value;
        }
}

CM_CLONES static void add_rows(const float *restrict a, const float *b, float *to, int64_t n) {
    for (int64_t j = 0; j < n; j++) to[j] = a[j] + b[j];
}

/* Row r of the block's sums to y. */
static void finish_row(const product *job, block part, int64_t r, const block_sums *sums) {
    const cm_packed *packed = job->packed;
    int64_t width = part.vectors * VECTOR, first = part.vector * VECTOR, at = part.row + r;
    int64_t cols = least(width, packed->out - first);
    const float *row = sums->value + r * width, *bias = job->bias ? job->bias + first : NULL;
    const float *residual = job->residual ? job->residual + at * job->ldr + first : NULL;
    bool last = job->activation == CM_ACT_NONE;
    float values[WIDTH], active[WIDTH], *y = job->y + at * job->ldy + first;
    if (packed->precision == CM_INT8) {
        scale_row(sums->whole + r * width, job->scale[at], packed->scale + first, bias,
                  last ? residual : NULL, last ? y : values, cols);
        if (last) return;
        row = values;
    } else if (last) {
        if (residual)
            add_rows(row, residual, y, cols);
        else
            memcpy(y, row, (size_t)cols * sizeof *y);
        return;
    }
    (packed->precision == CM_F32 ? cm_activation_map : cm_activation_coarse)(job->activation, row,
                                                                             residual ? active : y, cols);
    if (residual) add_rows(active, residual, y, cols);
}

static void multiply_block(const product *job, block part) {
    _Alignas(64) block_sums sums;
    make_sums(job, part, &sums);
    for (int64_t r = 0; r < part.rows; r++) finish_row(job, part, r, &sums);
}

/* Rows in even blocks of whole strips. */
static void multiply_range(const product *job, int64_t row, int64_t row_end, int64_t vector,
                           int64_t vector_end) {
    int64_t rows = row_end - row, blocks = (rows + ROW_BLOCK - 1) / ROW_BLOCK;
    int64_t each = ((rows + blocks - 1) / blocks + CM_PACKED_ROWS - 1) / CM_PACKED_ROWS * CM_PACKED_ROWS;
    for (; row < row_end; row += each)
        for (int64_t v = vector; v < vector_end; v += BLOCK_VECTORS)
            multiply_block(job,
                           (block){row, least(each, row_end - row), v, least(BLOCK_VECTORS, vector_end - v)});
}

static void multiply_rows(void *context, int64_t begin, int64_t end, int member) {
    const product *job = context;
    (void)member;
    multiply_range(job, begin, end, 0, job->packed->vectors);
}

static void multiply_vectors(void *context, int64_t begin, int64_t end, int member) {
    const product *job = context;
    (void)member;
    multiply_range(job, 0, job->m, begin, end);
}

/* The largest part of n items in size parts, times size. */
static int64_t longest(int64_t n, int64_t size) {
    return (n + size - 1) / size * size;
}

/* Columns or rows are split, whichever comes out more even; columns if both do, because each member then
 * reads only its own part of the weights. */
static void multiply(cm_team *team, product *job) {
    const double worth_a_team = 1 << 18; /* multiply-adds: a few microseconds */
    const cm_packed *packed = job->packed;
    int64_t size = cm_team_size(team), strips = (job->m + CM_PACKED_ROWS - 1) / CM_PACKED_ROWS;
    if ((double)job->m * (double)packed->out * (double)packed->in < worth_a_team) team = NULL;
    if (packed->kernel->input != CM_PACKED_FLOAT)
        cm_team_for(team, job->m, cm_op_row_grain(packed->in), convert_rows, job);
    if (longest(packed->vectors, size) * strips <= longest(strips, size) * packed->vectors)
        cm_team_for(team, packed->vectors, 1, multiply_vectors, job);
    else
        cm_team_for(team, job->m, CM_PACKED_ROWS, multiply_rows, job);
}

void cm_packed_multiply(cm_team *team, const cm_packed *packed, int64_t m, const float *x, int64_t ldx,
                        const float *bias, cm_activation activation, const float *residual, int64_t ldr,
                        float *y, int64_t ldy, float *scratch) {
    if (m <= 0 || packed->out == 0) return;
    bool converted = packed->kernel->input != CM_PACKED_FLOAT;
    product job = {.packed = packed,
                   .m = m,
                   .x = x,
                   .ldx = ldx,
                   .bias = bias,
                   .activation = activation,
                   .residual = residual,
                   .ldr = ldr,
                   .y = y,
                   .ldy = ldy,
                   .input = (const char *)(converted ? scratch : x),
                   .input_row = (converted ? packed->groups : ldx) * (int64_t)sizeof(float),
                   .rows = (uint32_t *)scratch,
                   .scale = converted ? scratch + m * packed->groups : NULL};
    multiply(team, &job);
}
