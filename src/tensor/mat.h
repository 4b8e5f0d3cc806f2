/* The one shape that the ops know: a row-major f32 matrix, perhaps a column slice of a wider one, and
 * the ragged batch: one matrix [total tokens, d] with the rows of each sequence side by side. */
#ifndef CM_TENSOR_MAT_H
#define CM_TENSOR_MAT_H

#include <stdbool.h>
#include <stdint.h>

/* f32 view, not owned. Element (r, c) is data[r * stride + c]; stride >= cols. */
typedef struct cm_mat {
    float *data;
    int64_t rows, cols, stride;
} cm_mat;

static inline cm_mat cm_mat_of(float *data, int64_t rows, int64_t cols) {
    return (cm_mat){data, rows, cols, cols};
}

static inline cm_mat cm_mat_columns(cm_mat m, int64_t first, int64_t count) {
    return (cm_mat){m.data + first, m.rows, count, m.stride};
}

static inline cm_mat cm_mat_rows(cm_mat m, int64_t first, int64_t count) {
    return (cm_mat){m.data + first * m.stride, count, m.cols, m.stride};
}

static inline float *cm_mat_row(cm_mat m, int64_t row) {
    return m.data + row * m.stride;
}

/* Row ranges [begin[i], end[i]) of a matrix, not owned. The ranges of a ragged batch touch (end[i] ==
 * begin[i + 1], the first begins at 0, the last ends at rows); ranges for pooling need not. Empty
 * ranges are allowed. */
typedef struct cm_segments {
    int64_t count;
    const int64_t *begin, *end;
} cm_segments;

/* Touching segments from count + 1 offsets. */
static inline cm_segments cm_segments_of(const int64_t *offsets, int64_t count) {
    return (cm_segments){count, offsets, offsets + 1};
}

#endif
