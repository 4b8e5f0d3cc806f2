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
    ROW_BLOCK = 240,            /* rows whose part of A (0.25 MB) stays in the second cache */
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
    const float *b;
    int64_t ldb;
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

/* Rows [k_begin, k_begin + depth) and columns [first, first + cols) of op(B) -> packed, vector after vector,
 * each [depth, CM_GEMM_VECTOR] with zeros for the columns that are not there. */
static void pack_panel(const product *job, int64_t k_begin, int64_t depth, int64_t first, int64_t cols,
                       float *packed) {
    for (; cols > 0; first += CM_GEMM_VECTOR, cols -= CM_GEMM_VECTOR, packed += depth * CM_GEMM_VECTOR) {
        int64_t count = least(cols, CM_GEMM_VECTOR);
        if (job->trans_b) {
            job->kernel->pack_transposed(depth, count, job->b + first * job->ldb + k_begin, job->ldb, packed,
                                         CM_GEMM_VECTOR);
            continue;
        }
        const float *b = job->b + k_begin * job->ldb + first;
        float *row = packed;
        for (int64_t p = 0; p < depth; p++, b += job->ldb, row += CM_GEMM_VECTOR) {
            if (count < CM_GEMM_VECTOR) memset(row, 0, CM_GEMM_VECTOR * sizeof *row);
            memcpy(row, b, (size_t)count * sizeof *b);
        }
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

/* Whether the kernel can read B's rows, of a panel cols wide, where they lie, and gains by it. */
static bool in_place(const product *job, int64_t rows, int64_t cols) {
    return !job->trans_b && rows <= job->kernel->rows_in_place && cols % CM_GEMM_VECTOR == 0 &&
           job->ldb % CM_GEMM_VECTOR == 0 && (uintptr_t)job->b % (CM_GEMM_VECTOR * sizeof(float)) == 0;
}

/* Sets B's part of the tile, the panel from col on. room: for one packed panel; kept: it holds the only panel
 * already. */
static void find_panel(const product *job, const block *part, int64_t col, float *room, bool kept,
                       cm_gemm_tile *tile) {
    if (in_place(job, tile->rows, tile->cols)) {
        tile->b = job->b + part->k_begin * job->ldb + col;
        tile->b_step = job->ldb;
        tile->b_vector = CM_GEMM_VECTOR;
        return;
    }
    tile->b = room;
    tile->b_step = CM_GEMM_VECTOR;
    tile->b_vector = part->depth * CM_GEMM_VECTOR;
    if (!kept) pack_panel(job, part->k_begin, part->depth, col, tile->cols, room);
}

/* Sets A's part of the tile: the strips, or A itself when they are NULL. */
static void find_rows(const product *job, const block *part, const float *strips, cm_gemm_tile *tile) {
    tile->rows = part->row_end - part->row_begin;
    tile->a_row = job->trans_a ? 1 : job->lda;
    tile->a_step = strips ? STRIP : job->trans_a ? job->lda : 1;
    tile->a_strip = strips ? STRIP_STEP : STRIP * tile->a_row;
    tile->a = strips         ? strips
              : job->trans_a ? job->a + part->k_begin * job->lda + part->row_begin
                             : job->a + part->row_begin * job->lda + part->k_begin;
}

/* All panels of the block; room, kept: see find_panel. */
static void multiply_block(const product *job, const block *part, const float *strips, float *room,
                           bool kept) {
    cm_gemm_tile tile = {.depth = part->depth, .ldc = job->ldc, .add = job->accumulate || part->k_begin > 0};
    find_rows(job, part, strips, &tile);
    for (int64_t col = part->col_begin; col < part->col_end; col += PANEL) {
        tile.cols = (int)least(PANEL, part->col_end - col);
        tile.c = job->c + part->row_begin * job->ldc + col;
        find_panel(job, part, col, room, kept, &tile);
        job->kernel->multiply(&tile);
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

void cm_gemm(cm_team *team, bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, const float *a,
             int64_t lda, const float *b, int64_t ldb, bool accumulate, float *c, int64_t ldc) {
    product job = {.kernel = cm_gemm_kernel_best(),
                   .trans_a = trans_a,
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
    if (m <= 0 || n <= 0) return;
    if (k > 0)
        multiply(team, &job);
    else if (!accumulate)
        clear(m, n, c, ldc);
}
