/* The matrix product: cuts C into ranges for the team and each range into blocks of k, blocks of rows and
 * panels of columns. The inner kernels (gemm_kernel.h) read aligned rows of B and rows of A where they lie;
 * transposed ones are copied into buffers on the stack first, in the order of the kernel. */
#include "ops/gemm.h"

#include "ops/gemm_kernel.h"
#include <string.h>

enum {
    PANEL = CM_GEMM_PANEL,
    K_BLOCK = CM_GEMM_K_BLOCK,
    LINE = 16, /* floats of a cache line */
    /* Distances in the copy of a block of A, an odd number of lines, so that what is read or written side by
     * side does not hit the same set of the first cache: from row to row, and from strip to strip of a
     * transposed A. */
    COPY_ROW = K_BLOCK + LINE,
    COPY_FLOATS = CM_GEMM_MOST_BLOCK / CM_GEMM_MOST_STRIP * (LINE * K_BLOCK + LINE)
};
_Static_assert(COPY_FLOATS >= CM_GEMM_MOST_BLOCK * COPY_ROW, "either copy fits");

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

/* Rows of B, the whole panel's part of one at a time: rows may lie on pages of their own. */
static void pack_rows(const product *job, int64_t k_begin, int64_t depth, int64_t first, int64_t cols,
                      float *packed) {
    const float *b = job->b + k_begin * job->ldb + first;
    int64_t whole = cols / CM_GEMM_VECTOR, rest = cols % CM_GEMM_VECTOR, vector = depth * CM_GEMM_VECTOR;
    for (int64_t p = 0; p < depth; p++, b += job->ldb, packed += CM_GEMM_VECTOR) {
        for (int64_t v = 0; v < whole; v++)
            memcpy(packed + v * vector, b + v * CM_GEMM_VECTOR, CM_GEMM_VECTOR * sizeof *b);
        if (rest == 0) continue;
        memset(packed + whole * vector, 0, CM_GEMM_VECTOR * sizeof *b);
        memcpy(packed + whole * vector, b + whole * CM_GEMM_VECTOR, (size_t)rest * sizeof *b);
    }
}

/* Rows [k_begin, k_begin + depth) and columns [first, first + cols) of op(B) -> packed, vector after vector,
 * each [depth, CM_GEMM_VECTOR] with zeros for the columns that are not there. */
static void pack_panel(const product *job, int64_t k_begin, int64_t depth, int64_t first, int64_t cols,
                       float *packed) {
    if (!job->trans_b) pack_rows(job, k_begin, depth, first, cols, packed);
    for (; job->trans_b && cols > 0; first += CM_GEMM_VECTOR, cols -= CM_GEMM_VECTOR) {
        job->kernel->pack_transposed(depth, least(cols, CM_GEMM_VECTOR), job->b + first * job->ldb + k_begin,
                                     job->ldb, packed, CM_GEMM_VECTOR);
        packed += depth * CM_GEMM_VECTOR;
    }
}

/* Floats from strip to strip in the copy of a transposed A. */
static int64_t strip_step(const cm_gemm_kernel *kernel) {
    return kernel->strip_row * K_BLOCK + LINE;
}

/* The block's rows of A, COPY_ROW apart. */
static void copy_rows(const product *job, const block *part, float *copy) {
    const float *a = job->a + part->row_begin * job->lda + part->k_begin;
    for (int64_t row = part->row_begin; row < part->row_end; row++, a += job->lda, copy += COPY_ROW)
        memcpy(copy, a, (size_t)part->depth * sizeof *a);
}

/* Rows of op(A) of the block, A being transposed -> strips of [depth, strip_row]. */
static void copy_strips(const product *job, const block *part, float *copy) {
    int64_t height = job->kernel->strip, row = job->kernel->strip_row, step = strip_step(job->kernel);
    int64_t rows = part->row_end - part->row_begin, whole = rows / height * height;
    for (int64_t p = 0; p < part->depth; p++, copy += row) {
        const float *a = job->a + (part->k_begin + p) * job->lda + part->row_begin;
        job->kernel->copy_strips(whole / height, a, copy, step);
        for (int64_t i = whole; i < rows; i++) copy[whole / height * step + i - whole] = a[i];
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

/* Sets A's part of the tile: the copy, or A itself when it is NULL. */
static void find_rows(const product *job, const block *part, const float *copy, cm_gemm_tile *tile) {
    tile->rows = part->row_end - part->row_begin;
    tile->strip = job->kernel->strip;
    tile->a_row = job->trans_a ? 1 : copy ? COPY_ROW : job->lda;
    tile->a_step = !job->trans_a ? 1 : copy ? job->kernel->strip_row : job->lda;
    tile->a_strip = job->trans_a && copy ? strip_step(job->kernel) : tile->strip * tile->a_row;
    tile->a = copy           ? copy
              : job->trans_a ? job->a + part->k_begin * job->lda + part->row_begin
                             : job->a + part->row_begin * job->lda + part->k_begin;
}

/* The lines of B behind the panel at col: the next panel's, or the first one's of the next block of k. They
 * are far away when few rows of A meet a large B, which then passes through the caches once. */
static cm_gemm_ahead look_ahead(const product *job, const block *part, int64_t col,
                                const cm_gemm_tile *tile) {
    int64_t k = part->k_begin, next = col + PANEL;
    if (next >= part->col_end) {
        next = part->col_begin;
        k += part->depth;
    }
    int64_t lines = PANEL / LINE;
    if (k + part->depth > job->k || next + PANEL > part->col_end) return (cm_gemm_ahead){.passes = 0};
    if (!job->trans_b && tile->b_vector == CM_GEMM_VECTOR) /* where they lie */
        return (cm_gemm_ahead){job->b + k * job->ldb + next, LINE, job->ldb, (int)lines};
    if (job->trans_b && part->depth == job->ldb && k == part->k_begin)
        return (cm_gemm_ahead){job->b + next * job->ldb, part->depth * LINE, LINE, (int)lines};
    return (cm_gemm_ahead){.passes = 0};
}

/* All panels of the block; copy: of A's part, may be NULL; room, kept: see find_panel. */
static void multiply_block(const product *job, const block *part, const float *copy, float *room, bool kept) {
    bool add = job->accumulate || part->k_begin > 0;
    cm_gemm_tile tile = {.depth = part->depth, .ldc = job->ldc, .from_row = job->ldc};
    find_rows(job, part, copy, &tile);
    for (int64_t col = part->col_begin; col < part->col_end; col += PANEL) {
        tile.cols = (int)least(PANEL, part->col_end - col);
        tile.c = job->c + part->row_begin * job->ldc + col;
        tile.from = add ? tile.c : NULL;
        find_panel(job, part, col, room, kept, &tile);
        tile.ahead = look_ahead(job, part, col, &tile);
        job->kernel->multiply(&tile);
    }
}

/* Even blocks of whole strips, most rows each at most. */
static int64_t even_block(int64_t rows, int64_t most, int64_t strip) {
    int64_t blocks = (rows + most - 1) / most, each = (rows + blocks - 1) / blocks;
    return (each + strip - 1) / strip * strip;
}

/* Whether a block of A is copied before several panels pass over it: rows of a transposed A always; others
 * where their distance puts too many of them into the same sets of the first cache. */
static bool copied(const product *job) {
    return job->trans_a || job->lda % (2048 / (int64_t)sizeof(float)) == 0;
}

/* C in the rows and columns of range; its first column begins a panel. The blocks of k lie outside where a
 * row of A would otherwise be read in many pieces or the only panel of B packed many times, else inside, so
 * that C stays in the second cache. */
static void multiply_range(const product *job, block range) {
    _Alignas(64) float panel[K_BLOCK * PANEL];
    _Alignas(64) float copy[COPY_FLOATS];
    int64_t row_block =
        even_block(range.row_end - range.row_begin, job->kernel->row_block, job->kernel->strip);
    int64_t row_turns = (range.row_end - range.row_begin + row_block - 1) / row_block;
    int64_t k_turns = (job->k + K_BLOCK - 1) / K_BLOCK;
    bool one_panel = range.col_end - range.col_begin <= PANEL, k_inside = !job->trans_a && !one_panel;
    bool copies = copied(job) && !one_panel;
    block part = range;
    for (int64_t turn = 0; turn < row_turns * k_turns; turn++) {
        int64_t row_turn = k_inside ? turn / k_turns : turn % row_turns;
        part.k_begin = (k_inside ? turn % k_turns : turn / row_turns) * K_BLOCK;
        part.depth = least(K_BLOCK, job->k - part.k_begin);
        part.row_begin = range.row_begin + row_turn * row_block;
        part.row_end = least(part.row_begin + row_block, range.row_end);
        if (copies) (job->trans_a ? copy_strips : copy_rows)(job, &part, copy);
        multiply_block(job, &part, copies ? copy : NULL, panel, one_panel && row_turn > 0);
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
        cm_team_for(team, job->m, 2, multiply_rows, job);
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
