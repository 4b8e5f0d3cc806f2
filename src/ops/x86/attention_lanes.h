/* The forward pass of attention for any vector width. Included once by each version, which first defines
 * its vectors:
 *
 *   LANES, lanes (vector of LANES floats), lane_mask, ROWS (queries worked on at once, even, at most LANES)
 *   lanes_mask(count)                  the first count lanes
 *   lanes_load, lanes_store            any alignment
 *   lanes_load_part, lanes_store_part  lanes outside the mask are 0, are not written
 *   lanes_set(x), lanes_add, lanes_sub, lanes_mul, lanes_fma(a, b, c) = a b + c
 *   lanes_max(a, b)                    b where one is NaN
 *   lanes_top(x)                       the largest lane
 *   lanes_shift_exponent(p, n)         p 2^k for n = 1.5 2^23 + k
 *
 * A block of queries walks over the tiles of keys. K is packed to [w, keys], so that a vector holds the
 * scores of LANES keys; V is copied, because rows of a wide matrix fall on few sets of the cache. Per
 * ROWS queries: scores, the new maximum m, p = 2^(score - m), then out = out 2^(old m - m) + p V; the
 * scores of a tile never leave the first-level cache. Scores carry the factor log2(e).
 *
 * Every sum has an order of its own, whatever LANES and ROWS: a score is one chain of fma over the width,
 * a tile's part of an output one chain over its keys, key i goes to lane i % 16 of the sum l, whose lanes
 * are added as a tree at the end. So all vector versions give the same bits. */
#ifndef CM_OPS_ATTENTION_LANES_H
#define CM_OPS_ATTENTION_LANES_H

#include "ops/attention.h"
#include "ops/gemm_kernel.h"
#include <math.h>

#define LANES_INLINE static inline __attribute__((always_inline))

enum {
    QUERIES = CM_ATTENTION_QUERIES,
    KEYS = CM_ATTENTION_KEYS,
    WIDTH = CM_ATTENTION_MAX_WIDTH,
    STRIP = 2 * LANES,
    SUM_LANES = 16,
    SUMS = SUM_LANES / LANES
};
_Static_assert(QUERIES % ROWS == 0 && KEYS % STRIP == 0 && WIDTH % LANES == 0, "whole groups and strips");

/* wide: w rounded up to whole vectors, the distance of the rows of q, v and out. */
typedef struct lane_work {
    _Alignas(64) float k[WIDTH * KEYS]; /* [w, width], zeros beyond the keys */
    _Alignas(64) float v[KEYS * WIDTH];
    _Alignas(64) float q[QUERIES * WIDTH]; /* times the scale, zeros beyond the queries */
    _Alignas(64) float out[QUERIES * WIDTH];
    _Alignas(64) float p[ROWS * KEYS]; /* scores, then probabilities of a group of queries */
    _Alignas(64) float l[QUERIES * SUM_LANES];
    float m[QUERIES + LANES];
    int64_t w, wide;
    int64_t keys, width; /* of the tile; width is keys rounded up to whole strips */
} lane_work;

LANES_INLINE int64_t round_up(int64_t n, int64_t step) {
    return (n + step - 1) / step * step;
}

/* 2^x for x <= 0: 2^k times a minimax polynomial of degree 5 in x - k, k the nearest integer, relative
 * error 1.1e-7, 2^0 = 1. Below -126 the smallest normal number. */
LANES_INLINE lanes lanes_exp2(lanes x) {
    const lanes to_integer = lanes_set(0x1.8p23f);
    x = lanes_max(lanes_set(-126.0f), x);
    lanes shifted = lanes_add(x, to_integer);
    x = lanes_sub(x, lanes_sub(shifted, to_integer));
    lanes p = lanes_fma(x, lanes_set(0x1.5bba14p-10f), lanes_set(0x1.3cea88p-7f));
    p = lanes_fma(p, x, lanes_set(0x1.c6b752p-5f));
    p = lanes_fma(p, x, lanes_set(0x1.ebf9bcp-3f));
    p = lanes_fma(p, x, lanes_set(0x1.62e42ap-1f));
    p = lanes_fma(p, x, lanes_set(1.0f));
    return lanes_shift_exponent(p, shifted);
}

/* to[wide] = factor from[w], zeros beyond w. */
LANES_INLINE void copy_row(const float *from, float factor, int64_t w, float *to) {
    int64_t c = 0;
    for (; c + LANES <= w; c += LANES)
        lanes_store(to + c, lanes_mul(lanes_load(from + c), lanes_set(factor)));
    if (c < w)
        lanes_store(to + c,
                    lanes_mul(lanes_load_part(from + c, lanes_mask((int)(w - c))), lanes_set(factor)));
}

LANES_INLINE void open_queries(lane_work *work, const cm_attention_block *block) {
    const lanes zero = lanes_set(0.0f);
    int64_t rows = round_up(block->q.rows, ROWS);
    float factor = block->scale * 0x1.715476p0f;
    work->w = block->q.cols;
    work->wide = round_up(work->w, LANES);
    for (int64_t t = 0; t < rows; t++) {
        float *q = work->q + t * work->wide, *out = work->out + t * work->wide;
        if (t < block->q.rows) copy_row(cm_mat_row(block->q, t), factor, work->w, q);
        for (int64_t c = 0; c < work->wide; c += LANES) {
            if (t >= block->q.rows) lanes_store(q + c, zero);
            lanes_store(out + c, zero);
        }
        for (int i = 0; i < SUMS; i++) lanes_store(work->l + t * SUM_LANES + i * LANES, zero);
        work->m[t] = -INFINITY;
    }
}

LANES_INLINE void open_keys(lane_work *work, const cm_attention_block *block, int64_t first) {
    int64_t left = block->k.rows - first;
    work->keys = left < KEYS ? left : KEYS;
    work->width = round_up(work->keys, STRIP);
    cm_gemm_pack_transposed_avx(work->w, work->keys, cm_mat_row(block->k, first), block->k.stride, work->k,
                                work->width);
    for (int64_t j = 0; j < work->keys; j++)
        copy_row(cm_mat_row(block->v, first + j), 1.0f, work->w, work->v + j * work->wide);
}

/* Scores of ROWS queries and the STRIP keys from `first`. */
LANES_INLINE void score_strip(lane_work *work, const float *q, int64_t first) {
    lanes low[ROWS], high[ROWS];
    const float *k = work->k + first;
    int64_t w = work->w, wide = work->wide, width = work->width;
#pragma GCC unroll 12
    for (int r = 0; r < ROWS; r++) low[r] = high[r] = lanes_set(0.0f);
    for (int64_t c = 0; c < w; c++, k += width, q++) {
        lanes left = lanes_load(k), right = lanes_load(k + LANES);
#pragma GCC unroll 12
        for (int r = 0; r < ROWS; r++) {
            lanes x = lanes_set(q[r * wide]);
            low[r] = lanes_fma(x, left, low[r]);
            high[r] = lanes_fma(x, right, high[r]);
        }
    }
#pragma GCC unroll 12
    for (int r = 0; r < ROWS; r++) {
        lanes_store(work->p + r * KEYS + first, low[r]);
        lanes_store(work->p + r * KEYS + first + LANES, high[r]);
    }
}

/* Scores -> probabilities; m and l of the queries from `group` are brought up to date. The factors that
 * bring what was gathered before to the new maxima go to shrink. */
LANES_INLINE void soften(lane_work *work, int64_t group, float shrink[LANES]) {
    float top[LANES] = {0}, *m = work->m + group;
    for (int r = 0; r < ROWS; r++) {
        float *s = work->p + r * KEYS;
        for (int64_t j = work->keys; j < work->width; j++) s[j] = -INFINITY;
        lanes most = lanes_set(m[r]);
        for (int64_t j = 0; j < work->width; j += LANES) most = lanes_max(lanes_load(s + j), most);
        top[r] = lanes_top(most);
    }
    lanes_store(shrink, lanes_exp2(lanes_sub(lanes_load(m), lanes_load(top))));
    for (int r = 0; r < ROWS; r++) {
        float *s = work->p + r * KEYS, *sums = work->l + (group + r) * SUM_LANES;
        lanes l[SUMS], most = lanes_set(top[r]);
        for (int i = 0; i < SUMS; i++) l[i] = lanes_mul(lanes_load(sums + i * LANES), lanes_set(shrink[r]));
        for (int64_t j = 0; j < work->width; j += SUM_LANES)
            for (int i = 0; i < SUMS; i++) {
                lanes p = lanes_exp2(lanes_sub(lanes_load(s + j + i * LANES), most));
                lanes_store(s + j + i * LANES, p);
                l[i] = lanes_add(l[i], p);
            }
        for (int i = 0; i < SUMS; i++) lanes_store(sums + i * LANES, l[i]);
        m[r] = top[r];
    }
}

/* out = out shrink + p V for `rows` queries from `from` of the group and `vectors` vectors of columns from c,
 * both constants at every place of use. */
LANES_INLINE void gather_part(const lane_work *work, const float *shrink, float *out, int64_t c,
                              const int from, const int rows, const int vectors) {
    lanes sum[3][ROWS];
    const float *p = work->p + from * KEYS, *v = work->v + c;
    int64_t wide = work->wide;
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 3
        for (int i = 0; i < vectors; i++) sum[i][r] = lanes_set(0.0f);
    for (int64_t j = 0; j < work->keys; j++, p++, v += wide) {
        lanes column[3];
        for (int i = 0; i < vectors; i++) column[i] = lanes_load(v + i * LANES);
#pragma GCC unroll 12
        for (int r = 0; r < rows; r++) {
            lanes x = lanes_set(p[r * KEYS]);
            for (int i = 0; i < vectors; i++) sum[i][r] = lanes_fma(x, column[i], sum[i][r]);
        }
    }
#pragma GCC unroll 12
    for (int r = 0; r < rows; r++)
        for (int i = 0; i < vectors; i++) {
            float *to = out + (from + r) * wide + c + i * LANES;
            lanes_store(to, lanes_fma(lanes_load(to), lanes_set(shrink[from + r]), sum[i][r]));
        }
}

/* Two vectors of columns at a time; an odd number of them ends with three for half of the queries at a
 * time, because one alone keeps too few sums running to hide the latency of fma. */
LANES_INLINE void gather(const lane_work *work, const float *shrink, float *out) {
    int64_t c = 0, wide = work->wide;
    for (; wide - c >= 2 * LANES && wide - c != 3 * LANES; c += 2 * LANES)
        gather_part(work, shrink, out, c, 0, ROWS, 2);
    if (wide - c == 3 * LANES) {
        gather_part(work, shrink, out, c, 0, ROWS / 2, 3);
        gather_part(work, shrink, out, c, ROWS / 2, ROWS / 2, 3);
    }
    if (wide - c == LANES) gather_part(work, shrink, out, c, 0, ROWS, 1);
}

/* Query t: out / l to the caller, and the log-sum-exp back in base e. */
LANES_INLINE void close_query(const lane_work *work, const cm_attention_block *block, int64_t t) {
    float l[SUM_LANES];
    for (int i = 0; i < SUM_LANES; i++) l[i] = work->l[t * SUM_LANES + i];
    for (int half = SUM_LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; i++) l[i] += l[i + half];
    const float *from = work->out + t * work->wide;
    float *to = cm_mat_row(block->out, t);
    lanes factor = lanes_set(1.0f / l[0]);
    int64_t c = 0;
    for (; c + LANES <= work->w; c += LANES) lanes_store(to + c, lanes_mul(lanes_load(from + c), factor));
    if (c < work->w)
        lanes_store_part(to + c, lanes_mask((int)(work->w - c)), lanes_mul(lanes_load(from + c), factor));
    block->lse[t * block->lse_step] = work->m[t] * 0x1.62e43p-1f + logf(l[0]);
}

static void attention_lanes(const cm_attention_block *block) {
    lane_work work;
    open_queries(&work, block);
    for (int64_t first = 0; first < block->k.rows; first += KEYS) {
        open_keys(&work, block, first);
        for (int64_t group = 0; group < block->q.rows; group += ROWS) {
            float shrink[LANES];
            for (int64_t j = 0; j < work.width; j += STRIP) score_strip(&work, work.q + group * work.wide, j);
            soften(&work, group, shrink);
            gather(&work, shrink, work.out + group * work.wide);
        }
    }
    for (int64_t t = 0; t < block->q.rows; t++) close_query(&work, block, t);
}

#endif
