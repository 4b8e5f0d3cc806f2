/* Helpers shared by the ops. */
#include "ops/op_util.h"
#include "base/alloc.h"
#include "base/rng.h"
#include "ops/op_unary.h"
#include "ops/vmath.h"
#include <stdarg.h>
#include <stdio.h>

cm_status cm_op_refuse(cm_error *error, const char *op, const char *input, const char *expected,
                       const char *found, ...) {
    char text[160];
    va_list arguments;
    va_start(arguments, found);
    vsnprintf(text, sizeof text, found, arguments);
    va_end(arguments);
    return cm_fail(error, CM_USAGE, NULL, cm_format("op %s: %s", op, input).text, expected, "%s", text);
}

cm_status cm_op_check_count(const cm_op_call *call, const char *op, int least, int most, cm_error *error) {
    if (call->n_in >= least && call->n_in <= most) return CM_OK;
    return cm_op_refuse(error, op, "inputs", cm_format("%d to %d", least, most).text, "%d", call->n_in);
}

bool cm_op_has(const cm_op_call *call, int i) {
    return i < call->n_in && call->in[i].data;
}

/* "12" or "any number of" */
static cm_text size_text(int64_t size) {
    return size < 0 ? cm_format("any number of") : cm_format("%lld", (long long)size);
}

cm_status cm_op_check_input(const cm_op_call *call, const char *op, int i, const char *input, int64_t rows,
                            int64_t cols, cm_error *error) {
    if (!cm_op_has(call, i)) return cm_op_refuse(error, op, input, "a matrix", "nothing");
    cm_mat m = call->in[i];
    if (m.rows < 0 || m.cols < 0 || m.stride < m.cols)
        return cm_op_refuse(error, op, input, "rows, columns >= 0 and a stride of at least the columns",
                            "%lld rows, %lld columns, stride %lld", (long long)m.rows, (long long)m.cols,
                            (long long)m.stride);
    if ((rows < 0 || m.rows == rows) && (cols < 0 || m.cols == cols)) return CM_OK;
    cm_text expected = cm_format("%s rows and %s columns", size_text(rows).text, size_text(cols).text);
    return cm_op_refuse(error, op, input, expected.text, "%lld rows and %lld columns", (long long)m.rows,
                        (long long)m.cols);
}

cm_status cm_op_check_segments(const cm_op_call *call, const char *op, int which, int64_t rows, bool touching,
                               cm_error *error) {
    const cm_segments *list = &call->segments[which];
    if (list->count < 0 || (list->count > 0 && (!list->begin || !list->end)))
        return cm_op_refuse(error, op, "segments", "begins and ends", "%lld segments without them",
                            (long long)list->count);
    int64_t reached = 0;
    for (int64_t i = 0; i < list->count; i++) {
        int64_t begin = list->begin[i], end = list->end[i];
        if (begin < 0 || end < begin || end > rows || (touching && begin != reached))
            return cm_op_refuse(error, op, cm_format("segment %lld", (long long)i).text,
                                touching ? cm_format("a range from row %lld within %lld rows",
                                                     (long long)reached, (long long)rows)
                                               .text
                                         : cm_format("a range within %lld rows", (long long)rows).text,
                                "rows %lld to %lld", (long long)begin, (long long)end);
        reached = end;
    }
    if (!touching || reached == rows) return CM_OK;
    return cm_op_refuse(error, op, "segments", cm_format("%lld rows covered", (long long)rows).text, "%lld",
                        (long long)reached);
}

cm_status cm_op_check_ids(const cm_op_call *call, const char *op, int64_t limit, cm_error *error) {
    if (call->n_ids < 0 || (call->n_ids > 0 && !call->ids))
        return cm_op_refuse(error, op, "ids", "row numbers", "%lld without them", (long long)call->n_ids);
    for (int64_t t = 0; t < call->n_ids; t++)
        if (call->ids[t] < 0 || call->ids[t] >= limit)
            return cm_op_refuse(error, op, cm_format("id of row %lld", (long long)t).text,
                                cm_format("0 to %lld", (long long)limit - 1).text, "%d", call->ids[t]);
    return CM_OK;
}

cm_status cm_op_add_floats(const char *op, int64_t rows, int64_t cols, int64_t times, size_t *floats,
                           cm_error *error) {
    size_t area, all, bytes;
    if (rows >= 0 && cols >= 0 && times >= 0 && cm_size_mul((size_t)rows, (size_t)cols, &area) &&
        cm_size_mul(area, (size_t)times, &all) && cm_size_add(all, *floats, &all) &&
        cm_size_mul(all, sizeof(float), &bytes) && bytes <= PTRDIFF_MAX) {
        *floats = all;
        return CM_OK;
    }
    return cm_op_refuse(error, op, "size", "a number of elements that fits in memory",
                        "%lld rows, %lld columns, %lld times", (long long)rows, (long long)cols,
                        (long long)times);
}

cm_status cm_op_check_activation(const cm_op_call *call, const char *op, cm_error *error) {
    int activation = (int)call->attr->activation;
    if (activation >= CM_ACT_NONE && activation <= CM_ACT_SOFTPLUS) return CM_OK;
    return cm_op_refuse(error, op, "activation", "one of the table", "number %d", activation);
}

int64_t cm_case_length(uint64_t key, int index, uint64_t which) {
    static const int64_t first[] = {10000, 0, 1, 2, 67, 3, 5, 7, 13, 16, 17, 31, 32, 61, 64, 97, 131};
    int fixed = (int)(sizeof first / sizeof first[0]);
    if (index >= 0 && index < fixed) return first[index];
    uint64_t draw = cm_rng_key(key, which, 1);
    return index % 3 == 0 ? first[1 + cm_rng_below(draw, 0, (uint64_t)fixed - 1)]
                          : (int64_t)cm_rng_below(draw, 1, 80);
}

int64_t cm_case_width(uint64_t key, int index, uint64_t which) {
    static const int64_t widths[] = {1, 2, 3, 4, 7, 8, 15, 16, 17, 31, 32, 33, 67};
    uint64_t draw = cm_rng_key(key, which, 2);
    if (index == 0) return 1 + (int64_t)cm_rng_below(draw, 0, 3);
    if (index == 4) return 521;
    return widths[cm_rng_below(draw, 0, sizeof widths / sizeof widths[0])];
}

void cm_case_one(cm_op_case *test, uint64_t key, int index) {
    test->n_in = 1;
    test->in[0].rows = cm_case_length(key, index, 0);
    test->in[0].cols = cm_case_width(key, index, 0);
}

void cm_case_segments(cm_op_case *test, int which, int64_t rows, uint64_t key) {
    uint64_t draw = cm_rng_key(key, (uint64_t)which, 3);
    int count = (int)cm_rng_below(draw, 0, 8) + (rows > 0);
    int64_t reached = 0;
    for (int i = 0; i < count; i++) {
        uint64_t left = (uint64_t)(rows - reached);
        int64_t length = (int64_t)cm_rng_below(draw, (uint64_t)i + 1, 2 * left / (uint64_t)(count - i) + 1);
        if (cm_rng_below(draw, (uint64_t)i + 100, 5) == 0) length = 0;
        if (length > (int64_t)left || i == count - 1) length = (int64_t)left;
        test->begin[which][i] = reached;
        test->end[which][i] = reached + length;
        reached += length;
    }
    test->n_segments[which] = count;
}

/* Elements that are worth waking a spinning thread for: some microseconds of work. */
enum { GRAIN = 4096 };

int64_t cm_op_row_grain(int64_t cols) {
    int64_t rows = GRAIN / (cols > 0 ? cols : 1);
    return rows > 0 ? rows : 1;
}

cm_op_blocks cm_op_row_blocks(int64_t rows) {
    int64_t size = rows > 256 * 64 ? (rows + 255) / 256 : 64;
    return (cm_op_blocks){(rows + size - 1) / size, size};
}

CM_CLONES static void add_row(float *restrict to, const float *restrict from, int64_t n) {
    for (int64_t i = 0; i < n; i++) to[i] += from[i];
}

void cm_op_put(float *restrict to, const float *restrict from, int64_t n, bool add) {
    if (add)
        add_row(to, from, n);
    else if (n > 0)
        memcpy(to, from, (size_t)n * sizeof(float));
}

void cm_op_sum_blocks(cm_op_blocks blocks, const float *partial, int64_t stride, cm_mat grad,
                      bool accumulate) {
    if (!accumulate) memset(grad.data, 0, (size_t)grad.cols * sizeof(float));
    for (int64_t b = 0; b < blocks.count; b++) add_row(grad.data, partial + b * stride, grad.cols);
}

static const cm_unary *activation_kernels(cm_activation activation) {
    static const cm_unary *const table[] = {[CM_ACT_SILU] = &cm_unary_silu,
                                            [CM_ACT_GELU] = &cm_unary_gelu,
                                            [CM_ACT_RELU] = &cm_unary_relu,
                                            [CM_ACT_SOFTPLUS] = &cm_unary_softplus};
    return table[activation];
}

void cm_activation_map(cm_activation activation, const float *x, float *to, int64_t n) {
    const cm_unary *unary = activation_kernels(activation);
    if (unary)
        unary->map(x, to, n);
    else if (n > 0)
        memcpy(to, x, (size_t)n * sizeof *to);
}

CM_CLONES static void gelu_coarse(const float *restrict x, float *restrict to, int64_t n) {
    for (int64_t i = 0; i < n; i++) to[i] = cm_gelu_coarsef(x[i]);
}

void cm_activation_coarse(cm_activation activation, const float *x, float *to, int64_t n) {
    if (activation == CM_ACT_GELU)
        gelu_coarse(x, to, n);
    else
        cm_activation_map(activation, x, to, n);
}

/* Kernels do not allow overlap: the result goes through a small buffer. */
enum { PIECE = 512 };

void cm_activation_forward(cm_activation activation, float *x, int64_t n) {
    const cm_unary *unary = activation_kernels(activation);
    float piece[PIECE];
    if (!unary) return;
    for (int64_t i = 0; i < n; i += PIECE) {
        int64_t count = n - i < PIECE ? n - i : PIECE;
        unary->map(x + i, piece, count);
        memcpy(x + i, piece, (size_t)count * sizeof(float));
    }
}

void cm_activation_backward(cm_activation activation, const float *pre, const float *grad, float *out,
                            int64_t n) {
    const cm_unary *unary = activation_kernels(activation);
    float piece[PIECE];
    if (!unary) {
        if (n > 0) memmove(out, grad, (size_t)n * sizeof(float));
        return;
    }
    for (int64_t i = 0; i < n; i += PIECE) {
        int64_t count = n - i < PIECE ? n - i : PIECE;
        unary->slope(pre + i, grad + i, piece, count);
        memcpy(out + i, piece, (size_t)count * sizeof(float));
    }
}

double cm_activation_reference(cm_activation activation, double x) {
    const cm_unary *unary = activation_kernels(activation);
    return unary ? unary->reference(x) : x;
}
