/* What the ops share: the checks of the shape rules, sizes of test cases, loops over the rows of a
 * matrix, sums over rows in fixed blocks, and the activations that other ops fuse. */
#ifndef CM_OPS_OP_UTIL_H
#define CM_OPS_OP_UTIL_H

#include "ops/op.h"

/* ---- shape rules: each answers CM_OK or CM_USAGE with a message that names the op ---- */

/* found is a printf format. */
cm_status cm_op_refuse(cm_error *error, const char *op, const char *input, const char *expected,
                       const char *found, ...) __attribute__((format(printf, 5, 6)));

/* least <= call->n_in <= most. */
cm_status cm_op_check_count(const cm_op_call *call, const char *op, int least, int most, cm_error *error);

/* Input i is there with these rows and columns (-1: any) and a stride of at least its columns. */
cm_status cm_op_check_input(const cm_op_call *call, const char *op, int i, const char *input, int64_t rows,
                            int64_t cols, cm_error *error);

/* Whether input i is given (optional inputs may lie beyond n_in or have data NULL). */
bool cm_op_has(const cm_op_call *call, int i);

/* Segment list `which`: ranges within [0, rows]; with touching also that they cover [0, rows) in order
 * without gaps, as the segments of a ragged batch. */
cm_status cm_op_check_segments(const cm_op_call *call, const char *op, int which, int64_t rows, bool touching,
                               cm_error *error);

/* The ids are there and in [0, limit). */
cm_status cm_op_check_ids(const cm_op_call *call, const char *op, int64_t limit, cm_error *error);

/* *floats += rows * cols * times, refused when it does not fit. */
cm_status cm_op_add_floats(const char *op, int64_t rows, int64_t cols, int64_t times, size_t *floats,
                           cm_error *error);

/* ---- test cases ---- */

/* Rows for case number index: 10,000 for 0, then 0, 1, 2, then small numbers with many primes. `which`
 * tells the draws of one case apart. */
int64_t cm_case_length(uint64_t key, int index, uint64_t which);
/* Columns for the same case: at most 3 beside 10,000 rows, 521 for case 4, else 1 to 67. */
int64_t cm_case_width(uint64_t key, int index, uint64_t which);
/* A whole test case: one matrix [length, width]. */
void cm_case_one(cm_op_case *test, uint64_t key, int index);
/* Fills segment list `which` of test with ranges that touch and cover [0, rows); empty ones occur. */
void cm_case_segments(cm_op_case *test, int which, int64_t rows, uint64_t key);

/* ---- loops ---- */

/* Rows per chunk for cm_team_for so that a chunk holds about 4,096 elements. */
int64_t cm_op_row_grain(int64_t cols);

/* to[n] = from[n], or to += from. */
void cm_op_put(float *restrict to, const float *restrict from, int64_t n, bool add);

/* Sums over rows for weight gradients: rows are cut into blocks that depend on rows alone (64 rows, more
 * when that would give over 256 blocks). Each block's sum goes to its own row of a [blocks, cols] array
 * in scratch, in any order; cm_op_sum_blocks then adds the rows in order into grad [1, cols]. */
typedef struct cm_op_blocks {
    int64_t count, rows; /* block b holds rows [b * rows, min((b + 1) * rows, all rows)) */
} cm_op_blocks;
cm_op_blocks cm_op_row_blocks(int64_t rows);
/* partial: row b at partial + b * stride. With accumulate the sum is added to grad. */
void cm_op_sum_blocks(cm_op_blocks blocks, const float *partial, int64_t stride, cm_mat grad,
                      bool accumulate);

/* ---- activations ---- */

/* to[n] = activation(x[n]); the two do not overlap. */
void cm_activation_map(cm_activation activation, const float *x, float *to, int64_t n);
/* The same, gelu within 6e-5 only, for results of products that are rounded themselves. */
void cm_activation_coarse(cm_activation activation, const float *x, float *to, int64_t n);
/* x[n] in place. */
void cm_activation_forward(cm_activation activation, float *x, int64_t n);
/* out[n] = grad[n] * activation'(pre[n]), pre the values before the activation. out may be grad or pre. */
void cm_activation_backward(cm_activation activation, const float *pre, const float *grad, float *out,
                            int64_t n);
/* The float64 references. */
double cm_activation_reference(cm_activation activation, double x);
/* CM_ACT_NONE .. CM_ACT_SOFTPLUS. */
cm_status cm_op_check_activation(const cm_op_call *call, const char *op, cm_error *error);

#endif
