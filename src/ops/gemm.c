/* The matrix product: cuts C into ranges for the team and each range into blocks of k, blocks of rows and
 * panels of columns. The inner kernels (gemm_kernel.h) read aligned rows of B and rows of A where they lie;
 * transposed ones are copied into buffers on the stack first, in the order of the kernel. */
#include "ops/gemm.h"

#include "ops/gemm_kernel.h"
#include <string.h>

enum {
    PANEL = CM_GEMM_PANEL,
    K_BLOCK = CM_GEMM_K_BLOCK,
    STRIP = CM_GEMM_ROWS,
    ROW_BLOCK = 600,            /* rows whose part of A (0.6 MB) stays in the second cache */
    TRANSPOSED_ROW_BLOCK = 192, /* as many as are packed at once */
    /* from strip to strip; a line more than needed, so that writing all strips side by side does not hit
     * the same set of the first cache */
    STRIP_STEP = K_BLOCK * STRIP + 16
};
_Static_assert(TRANSPOSED_ROW_BLOCK % STRIP == 0 && ROW_BLOCK % STRIP == 0, "blocks hold whole strips");

typedef struct product {
    const cm_gemm_kernel *kernel;
    bool trans_a, trans_b, accumulate;
    int64_t m, n, k;
    const float *a;
    int64_t lda;
    const float *b; /* NULL: packed */
    int64_t ldb;
    const float *packed;
    float *c;
    int64_t ldc;
} product;

/* A part of C and the block of k that is being added to it. */
typedef struct block {
    int64_t row_begin, row_end, col_begin, col_end, k_begin, depth;
} block;

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* cols rounded up to whole vectors: how wide a panel of that many columns is stored. */
static int64_t stored_width(int64_t cols) {
    return (cols + CM_GEMM_VECTOR - 1) / CM_GEMM_VECTOR * CM_GEMM_VECTOR;
}

/* Rows [k_begin, k_begin + depth) and columns [first, first + cols) of op(B) -> packed [depth, width]. */
static void pack_panel(const product *job, int64_t k_begin, int64_t depth, int64_t first, int64_t cols,
                       float *packed) {
    int64_t width = stored_width(cols);
    if (job->trans_b) {
        job->kernel->pack_transposed(depth, cols, job->b + first * job->ldb + k_begin, job->ldb, packed,
                                     width);
        return;
    }
    const float *b = job->b + k_begin * job->ldb + first;
    for (int64_t p = 0; p < depth; p++, b += job->ldb, packed += width) {
        if (cols == PANEL) {
            memcpy(packed, b, PANEL * sizeof *b);
            continue;
        }
        memcpy(packed, b, (size_t)cols * sizeof *b);
        for (int64_t j = cols; j < width; j++) packed[j] = 0;
    }
}

/* Rows of op(A) of the block, A being transposed -> strips of [depth, STRIP], STRIP_STEP apart. */
static void pack_strips(const product *job, const block *part, float *strips) {
    int64_t rows = part->row_end - part->row_begin, whole = rows / STRIP * STRIP;
    for (int64_t p = 0; p < part->depth; p++) {
        const float *a = job->a + (part->k_begin + p) * job->lda + part->row_begin;
        float *strip = strips + p * STRIP;
        for (int64_t i = 0; i < whole; i += STRIP, strip += STRIP_STEP)
            memcpy(strip, a + i, STRIP * sizeof *a);
        for (int64_t i = whole; i < rows; i++) strip[i - whole] = a[i];
    }
}

/* One panel: tile.b, b_step, cols, c (at the first row) and the rest are set but for the rows. */
static void multiply_panel(const product *job, const block *part, const float *strips, cm_gemm_tile tile) {
    float *c = tile.c;
    for (int64_t row = part->row_begin; row < part->row_end; row += STRIP) {
        int64_t done = row - part->row_begin;
        tile.rows = (int)least(STRIP, part->row_end - row);
        tile.c = c + done * job->ldc;
        if (strips)
            tile.a = strips + done / STRIP * STRIP_STEP;
        else
            tile.a = job->trans_a ? job->a + part->k_begin * job->lda + row
                                  : job->a + row * job->lda + part->k_begin;
        job->kernel->multiply(&tile);
    }
}

/* Whether the kernel can read B's rows, of a panel cols wide, where they lie. */
static bool in_place(const product *job, int64_t cols) {
    return !job->trans_b && cols % CM_GEMM_VECTOR == 0 && job->ldb % CM_GEMM_VECTOR == 0 &&
           (uintptr_t)job->b % (CM_GEMM_VECTOR * sizeof(float)) == 0;
}

/* Sets b and b_step of the panel [col, col + tile->cols). room: for one packed panel; kept: it holds the
 * only panel already. */
static void find_panel(const product *job, const block *part, int64_t col, float *room, bool kept,
                       cm_gemm_tile *tile) {
    tile->b = room;
    tile->b_step = stored_width(tile->cols);
    if (job->packed) {
        tile->b = job->packed + part->k_begin * stored_width(job->n) + part->depth * col;
    } else if (in_place(job, tile->cols)) {
        tile->b = job->b + part->k_begin * job->ldb + col;
        tile->b_step = job->ldb;
    } else if (!kept) {
        pack_panel(job, part->k_begin, part->depth, col, tile->cols, room);
    }
}

/* All panels of the block; room, kept: see find_panel. */
static void multiply_block(const product *job, const block *part, const float *strips, float *room,
                           bool kept) {
    for (int64_t col = part->col_begin; col < part->col_end; col += PANEL) {
        cm_gemm_tile tile = {.cols = (int)least(PANEL, part->col_end - col),
                             .depth = part->depth,
                             .a_row = job->trans_a ? 1 : job->lda,
                             .a_step = strips         ? STRIP
                                       : job->trans_a ? job->lda
                                                      : 1,
                             .c = job->c + part->row_begin * job->ldc + col,
                             .ldc = job->ldc,
                             .add = job->accumulate || part->k_begin > 0};
        find_panel(job, part, col, room, kept, &tile);
        multiply_panel(job, part, strips, tile);
    }
}

/* Even blocks of whole strips, most rows each at most. */
static int64_t even_block(int64_t rows, int64_t most) {
    int64_t blocks = (rows + most - 1) / most, each = (rows + blocks - 1) / blocks;
    return (each + STRIP - 1) / STRIP * STRIP;
}

/* C in the rows and columns of range; its first column begins a panel. */
static void multiply_range(const product *job, block range) {
    _Alignas(64) float panel[K_BLOCK * PANEL];
    _Alignas(64) float strips[TRANSPOSED_ROW_BLOCK / STRIP * STRIP_STEP];
    int64_t row_block =
        even_block(range.row_end - range.row_begin, job->trans_a ? TRANSPOSED_ROW_BLOCK : ROW_BLOCK);
    bool one_panel = range.col_end - range.col_begin <= PANEL;
    bool copy = job->trans_a && !one_panel; /* worth it when it is read more than once */
    block part = range;
    for (part.k_begin = 0; part.k_begin < job->k; part.k_begin += K_BLOCK) {
        part.depth = least(K_BLOCK, job->k - part.k_begin);
        for (int64_t row = range.row_begin; row < range.row_end; row += row_block) {
            part.row_begin = row;
            part.row_end = least(row + row_block, range.row_end);
            if (copy) pack_strips(job, &part, strips);
            multiply_block(job, &part, copy ? strips : NULL, panel, one_panel && row > range.row_begin);
        }
    }
}

static void multiply_rows(void *context, int64_t begin, int64_t end, int member) {
    const product *job = context;
    (void)member;
    multiply_range(job, (block){.row_begin = begin, .row_end = end, .col_end = job->n});
}

static void multiply_cols(void *context, int64_t begin, int64_t end, int member) {
    const product *job = context;
    (void)member;
    multiply_range(job, (block){.row_end = job->m, .col_begin = begin, .col_end = end});
}

/* Columns are split when that is even and the rows are few (each member then packs its own part of
 * op(B) only), else rows. */
static void multiply(cm_team *team, product *job) {
    enum { FEW_ROWS = 1024, ROWS_WORTH_SPLITTING = 8 };
    const double worth_a_team = 1 << 18; /* multiply-adds: a few microseconds */
    int64_t size = cm_team_size(team), panels = (job->n + PANEL - 1) / PANEL;
    if ((double)job->m * (double)job->n * (double)job->k < worth_a_team) team = NULL;
    int64_t turns = (panels + size - 1) / size;
    bool even = turns * size * 7 <= panels * 8;
    if ((even && job->m < FEW_ROWS) || job->m < ROWS_WORTH_SPLITTING * size)
        cm_team_for(team, job->n, PANEL, multiply_cols, job);
    else
        cm_team_for(team, job->m, job->m < STRIP * 8 * size ? 2 : STRIP, multiply_rows, job);
}

/* What is left of the product when there is nothing to sum. */
static void clear(int64_t m, int64_t n, float *c, int64_t ldc) {
    for (int64_t i = 0; i < m; i++) memset(c + i * ldc, 0, (size_t)n * sizeof *c);
}

static void run(cm_team *team, product *job) {
    if (job->m <= 0 || job->n <= 0) return;
    if (job->k <= 0) {
        if (!job->accumulate) clear(job->m, job->n, job->c, job->ldc);
        return;
    }
    job->kernel = cm_gemm_kernel_best();
    multiply(team, job);
}

void cm_gemm(cm_team *team, bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, const float *a,
             int64_t lda, const float *b, int64_t ldb, bool accumulate, float *c, int64_t ldc) {
    product job = {.trans_a = trans_a,
                   .trans_b = trans_b,
                   .accumulate = accumulate,
                   .m = m,
                   .n = n,
                   .k = k,
                   .a = a,
                   .lda = lda,
                   .b = b,
                   .ldb = ldb,
                   .c = c,
                   .ldc = ldc};
    run(team, &job);
}

size_t cm_gemm_packed_floats(int64_t n, int64_t k) {
    return (size_t)stored_width(n) * (size_t)k;
}

void cm_gemm_pack(bool trans_b, int64_t n, int64_t k, const float *b, int64_t ldb, float *packed) {
    product job = {.kernel = cm_gemm_kernel_best(), .trans_b = trans_b, .n = n, .k = k, .b = b, .ldb = ldb};
    for (int64_t k_begin = 0; k_begin < k; k_begin += K_BLOCK) {
        int64_t depth = least(K_BLOCK, k - k_begin);
        for (int64_t col = 0; col < n; col += PANEL)
            pack_panel(&job, k_begin, depth, col, least(PANEL, n - col),
                       packed + k_begin * stored_width(n) + depth * col);
    }
}

void cm_gemm_packed(cm_team *team, bool trans_a, int64_t m, int64_t n, int64_t k, const float *a, int64_t lda,
                    const float *packed, bool accumulate, float *c, int64_t ldc) {
    product job = {.trans_a = trans_a,
                   .accumulate = accumulate,
                   .m = m,
                   .n = n,
                   .k = k,
                   .a = a,
                   .lda = lda,
                   .packed = packed,
                   .c = c,
                   .ldc = ldc};
    run(team, &job);
}
