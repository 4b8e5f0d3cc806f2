/* The forward pass of attention for any vector width. Included once by each version, which first defines
 * its vectors:
 *
 *   LANES, lanes (vector of LANES floats), lane_mask
 *   lanes_mask(count)                  the first count lanes
 *   lanes_load, lanes_store            any alignment
 *   lanes_load_part                    lanes outside the mask are 0
 *   lanes_set(x), lanes_add, lanes_sub, lanes_mul, lanes_fma(a, b, c) = a b + c
 *   lanes_max(a, b)                    b where one is NaN
 *   lanes_div(a, b)
 *   lanes_exp2(x)                      2^x for x <= 0, x below -126 like -126
 *   lanes_powers(s, most)              the group of 2^(score - most) of the scores s[GROUP * LANES]
 *   lanes_last_power(s, most)          GROUP 2: of s[LANES] and 0
 *   lanes_add_powers(sum, powers)      sum + the numbers of each group
 *   lanes_nan(a, b)                    whether NaN is among them, where lanes_powers would take it for 0
 *   SCORE_UNITS                        what the scores lie above their logarithms to base 2 by, a power of 2
 *   BESIDE                             whether registers suffice for exponentials beside products
 *   KEY_STEP, COLUMNS                  keys scored at once; most columns gathered at once
 *   GROUP                              1, or 2 where products take pairs of numbers in 4 bytes
 *   lanes_dot(sum, factor, x)          sum + *factor x, factor one number or pair in memory
 *   lanes_row(a, b)                    numbers of a row, of b too when GROUP is 2, as groups
 *   lanes_pair(a, b)                   GROUP 2: pairs of a and b, lane by lane
 *
 * A lane is a query. A block of queries walks over the tiles of keys. Per LANES queries: the scores of the
 * tile, a vector a key, then the new maximum m, p = 2^(score - m), beside the scores of the next LANES
 * queries, then out = out 2^(old m - m) + p V, a vector a column. So maximum, sum and rescaling need no step
 * across lanes, any head width fills the vectors, and the scores of a tile never leave the first-level cache.
 * Scores carry the factor log2(e) SCORE_UNITS. K is transposed, because its numbers are then read one after
 * the other; V is copied, because rows of a wide matrix fall on few sets of the cache.
 *
 * Every sum is one chain in ascending order, over the width for a score, over the keys for an output and for
 * the sum of p, so versions with the same lanes_dot and lanes_exp2 give the same bits. */
#ifndef CM_OPS_ATTENTION_LANES_H
#define CM_OPS_ATTENTION_LANES_H

#include "ops/attention.h"
#include "ops/gemm_kernel.h"
#include <float.h>
#include <math.h>
#include <string.h>

#define LANES_INLINE static inline __attribute__((always_inline))

enum {
    QUERIES = CM_ATTENTION_QUERIES,
    KEYS = CM_ATTENTION_KEYS,
    WIDTH = CM_ATTENTION_MAX_WIDTH,
    BLOCK = 16,              /* what widths and numbers of queries are rounded up to */
    ACROSS = QUERIES + BLOCK /* from row to row of q and out; no power of two */
};
_Static_assert(QUERIES % BLOCK == 0 && KEYS % BLOCK == 0 && WIDTH % BLOCK == 0, "whole blocks");
_Static_assert(KEYS % KEY_STEP == 0 && BLOCK % LANES == 0 && COLUMNS % 4 == 0, "whole steps");

/* groups: of GROUP columns; wide: w rounded up to whole blocks. Groups of two numbers lie in arrays of floats
 * that nothing reads as such. */
typedef struct lane_work {
    _Alignas(64) float q[WIDTH * ACROSS];   /* [groups, queries], times the scale */
    _Alignas(64) float out[WIDTH * ACROSS]; /* [w, queries] */
    _Alignas(64) float k[WIDTH * KEYS];     /* [groups, KEYS], zeros beyond the keys */
    _Alignas(64) float v[KEYS * WIDTH];     /* [keys / GROUP, wide], the same */
    _Alignas(64) float rows[KEYS * WIDTH];  /* of what is transposed */
    _Alignas(64) float p[2][KEYS * LANES];  /* scores, then probabilities of LANES queries and the next */
    _Alignas(64) float m[QUERIES], l[QUERIES];
    int64_t w, wide, groups;
    int64_t keys; /* of the tile that is being scored */
    bool nan;     /* as lanes_nan found in the keys; a query with it is left with a sum of 0 */
} lane_work;

LANES_INLINE int64_t round_up(int64_t n, int64_t step) {
    return (n + step - 1) / step * step;
}

/* LANES numbers of a row of w from column c, zeros beyond. */
LANES_INLINE lanes load_row(const float *row, int64_t c, int64_t w) {
    if (c + LANES <= w) return lanes_load(row + c);
    return c < w ? lanes_load_part(row + c, lanes_mask((int)(w - c))) : lanes_set(0.0f);
}

/* The rows [first, first + count) of m times factor, count at most KEYS, to to[groups, count], rows of it
 * `across` apart and filled up with zeros to whole blocks. Tells what lanes_nan says of them. */
LANES_INLINE bool turn(lane_work *work, cm_mat m, int64_t first, int64_t count, float factor, float *to,
                       int64_t across) {
    const lanes by = lanes_set(factor);
    bool nan = false;
    int64_t depth = round_up(work->groups, BLOCK), rows = round_up(count, BLOCK), w = work->w;
    for (int64_t t = 0; t < rows; t++) {
        const float *from = cm_mat_row(m, first + (t < count ? t : 0));
        int64_t width = t < count ? w : 0;
        for (int64_t g = 0; g < depth; g += LANES) {
            lanes low = lanes_mul(load_row(from, g * GROUP, width), by);
            lanes high = GROUP == 2 ? lanes_mul(load_row(from, g * GROUP + LANES, width), by) : low;
            lanes_store(work->rows + t * depth + g, lanes_row(low, high));
            nan |= lanes_nan(low, high);
        }
    }
    cm_gemm_transpose_avx(depth, rows, work->rows, depth, to, across);
    return nan;
}

LANES_INLINE void open_queries(lane_work *work, const cm_attention_block *block) {
    const lanes zero = lanes_set(0.0f), least = lanes_set(-FLT_MAX);
    work->w = block->q.cols;
    work->wide = round_up(work->w, BLOCK);
    work->groups = (work->w + GROUP - 1) / GROUP;
    work->nan = false;
    for (int64_t t = 0; t < block->q.rows; t += KEYS) {
        int64_t count = block->q.rows - t < KEYS ? block->q.rows - t : KEYS;
        turn(work, block->q, t, count, block->scale * (0x1.715476p0f * SCORE_UNITS), work->q + t, ACROSS);
    }
    for (int64_t t = 0; t < block->q.rows; t += LANES) {
        for (int64_t c = 0; c < work->wide; c++) lanes_store(work->out + c * ACROSS + t, zero);
        lanes_store(work->m + t, least);
        lanes_store(work->l + t, zero);
    }
}

LANES_INLINE void open_keys(lane_work *work, const cm_attention_block *block, int64_t first) {
    int64_t left = block->k.rows - first;
    work->keys = left < KEYS ? left : KEYS;
    work->nan |= turn(work, block->k, first, work->keys, 1.0f, work->k, KEYS);
}

LANES_INLINE void open_values(lane_work *work, const cm_attention_block *block, int64_t first) {
    int64_t w = work->w;
    for (int64_t j = 0; j < work->keys; j += GROUP) {
        float *to = work->v + j / GROUP * work->wide;
        const float *row = cm_mat_row(block->v, first + j);
        for (int64_t c = 0; c < work->wide; c += LANES) {
            lanes v = load_row(row, c, w);
#if GROUP == 2
            v = lanes_pair(v, load_row(row + block->v.stride, c, j + 1 < work->keys ? w : 0));
#endif
            lanes_store(to + c, v);
        }
    }
}

/* Scores of LANES queries and `keys` keys on their way to probabilities (groups of them), in place. most: the
 * new maxima; l: the sum so far; done: keys that are probabilities already, whole groups. */
typedef struct softening {
    float *s;
    lanes most, l;
    int64_t keys, done;
} softening;

/* The next group of keys. */
LANES_INLINE void soften_group(softening *x) {
    lanes p = lanes_powers(x->s + x->done * LANES, x->most);
    x->l = lanes_add_powers(x->l, p);
    lanes_store(x->s + x->done / GROUP * LANES, p);
    x->done += GROUP;
}

/* What is left of the keys, of which the last may be without a partner. */
LANES_INLINE void soften_rest(softening *x) {
#pragma GCC unroll 4
    while (x->done + GROUP <= x->keys) soften_group(x);
#if GROUP == 2
    if (x->done == x->keys) return;
    lanes p = lanes_last_power(x->s + x->done * LANES, x->most);
    x->l = lanes_add_powers(x->l, p);
    lanes_store(x->s + x->done / GROUP * LANES, p);
#endif
}

/* The larger of `most` and the scores s of `keys` keys, KEY_STEP at most. */
LANES_INLINE lanes largest_score(const float *s, int64_t keys, lanes most) {
    for (int64_t i = 0; i < keys; i++) most = lanes_max(lanes_load(s + i * LANES), most);
    return most;
}

/* Scores of LANES queries and the KEY_STEP keys from `first` to s; returns the larger of `most` and theirs.
 * The products leave units of the processor idle that the exponentials of other queries use: `beside`, a
 * constant at every place of use, makes the next KEY_STEP of those, or as many as there are columns. */
LANES_INLINE lanes score_keys(lane_work *work, const float *q, int64_t first, float *s, lanes most,
                              softening *other, const bool beside) {
    lanes sum[KEY_STEP];
    const float *k = work->k + first;
    int64_t left = work->groups, both = !beside ? 0 : left < KEY_STEP / GROUP ? left : KEY_STEP / GROUP;
    s += first * LANES;
#pragma GCC unroll 16
    for (int i = 0; i < KEY_STEP; i++) sum[i] = lanes_set(0.0f);
    for (left -= both; both > 0; both--, q += ACROSS, k += KEYS) {
        lanes x = lanes_load(q);
#pragma GCC unroll 16
        for (int i = 0; i < KEY_STEP; i++) sum[i] = lanes_dot(sum[i], k + i, x);
        soften_group(other);
    }
    for (; left > 0; left--, q += ACROSS, k += KEYS) {
        lanes x = lanes_load(q);
#pragma GCC unroll 16
        for (int i = 0; i < KEY_STEP; i++) sum[i] = lanes_dot(sum[i], k + i, x);
    }
#pragma GCC unroll 16
    for (int i = 0; i < KEY_STEP; i++) lanes_store(s + i * LANES, sum[i]);
    if (work->keys - first < KEY_STEP) return largest_score(s, work->keys - first, most);
#pragma GCC unroll 16
    for (int i = 0; i < KEY_STEP; i += 2) most = lanes_max(lanes_max(sum[i], sum[i + 1]), most);
    return most;
}

/* Scores of the queries from t and the tile to s; returns their new maxima. */
LANES_INLINE lanes score_tile(lane_work *work, int64_t t, float *s, softening *other) {
    const float *q = work->q + t;
    lanes most = lanes_load(work->m + t);
    for (int64_t j = 0; j < work->keys; j += KEY_STEP)
        if (BESIDE && other->done + KEY_STEP <= other->keys)
            most = score_keys(work, q, j, s, most, other, true);
        else
            most = score_keys(work, q, j, s, most, other, false);
    return most;
}

/* out = out shrink + p V for `columns` columns from c, a constant at every place of use. */
LANES_INLINE void gather_part(lane_work *work, const softening *x, lanes shrink, float *out, int64_t c,
                              const int columns) {
    lanes sum[COLUMNS];
    const float *p = x->s, *v = work->v + c;
    int64_t wide = work->wide;
    out += c * ACROSS;
#pragma GCC unroll 24
    for (int i = 0; i < columns; i++) sum[i] = lanes_mul(lanes_load(out + i * ACROSS), shrink);
    for (int64_t j = x->keys; j > 0; j -= GROUP, p += LANES, v += wide) {
        lanes group = lanes_load(p);
#pragma GCC unroll 24
        for (int i = 0; i < columns; i++) sum[i] = lanes_dot(sum[i], v + i, group);
    }
#pragma GCC unroll 24
    for (int i = 0; i < columns; i++) lanes_store(out + i * ACROSS, sum[i]);
}

/* In about equal parts of at most COLUMNS, whose columns are a multiple of 4. */
LANES_INLINE void gather(lane_work *work, const softening *x, lanes shrink, float *out) {
    int64_t w = work->w, parts = (w + COLUMNS - 1) / COLUMNS;
    for (int64_t c = 0, end; parts > 0; c = end, parts--) {
        end = c + round_up((w - c + parts - 1) / parts, 4);
        switch ((end - c) / 4) {
        case 1:
            gather_part(work, x, shrink, out, c, 4);
            break;
        case 2:
            gather_part(work, x, shrink, out, c, 8);
            break;
#if COLUMNS > 12
        case 3:
            gather_part(work, x, shrink, out, c, 12);
            break;
        case 4:
            gather_part(work, x, shrink, out, c, 16);
            break;
        case 5:
            gather_part(work, x, shrink, out, c, 20);
            break;
#endif
        default:
            gather_part(work, x, shrink, out, c, COLUMNS);
            break;
        }
    }
}

/* out / l of up to BLOCK queries from t to the caller, and the log-sum-exp back in base e. */
LANES_INLINE void close_queries(lane_work *work, const cm_attention_block *block, int64_t t) {
    int64_t rows = block->q.rows - t < BLOCK ? block->q.rows - t : BLOCK;
    for (int64_t i = 0; i < BLOCK; i += LANES) {
        if (work->nan) lanes_store(work->l + t + i, lanes_set(NAN));
        lanes factor = lanes_div(lanes_set(1.0f), lanes_load(work->l + t + i));
        for (int64_t c = 0; c < work->w; c++) {
            float *out = work->out + c * ACROSS + t + i;
            lanes_store(out, lanes_mul(lanes_load(out), factor));
        }
    }
    cm_gemm_transpose_avx(BLOCK, work->wide, work->out + t, ACROSS, work->rows, work->wide);
    for (int64_t r = 0; r < rows; r++) {
        memcpy(cm_mat_row(block->out, t + r), work->rows + r * work->wide, (size_t)work->w * sizeof(float));
        block->lse[(t + r) * block->lse_step] =
            work->m[t + r] * (0x1.62e43p-1f / SCORE_UNITS) + logf(work->l[t + r]);
    }
}

/* LANES queries from t whose scores s of a tile have the new maxima `most`. */
LANES_INLINE softening start_softening(lane_work *work, int64_t t, float *s, lanes most, lanes *shrink) {
    lanes grown = lanes_sub(lanes_load(work->m + t), most);
    *shrink = lanes_exp2(lanes_mul(grown, lanes_set(1.0f / SCORE_UNITS)));
    lanes_store(work->m + t, most);
    return (softening){s, most, lanes_mul(lanes_load(work->l + t), *shrink), work->keys, 0};
}

static void attention_lanes(const cm_attention_block *block) {
    lane_work work;
    int64_t queries = block->q.rows, keys = block->k.rows;
    softening x = {.keys = 0};
    open_queries(&work, block);
    open_keys(&work, block, 0);
    lanes shrink, most = score_tile(&work, 0, work.p[0], &x);
    for (int64_t first = 0, next = 0, turns = 0; first < keys; first += KEYS) {
        open_values(&work, block, first);
        for (int64_t t = 0; t < queries; t = next, turns++) {
            x = start_softening(&work, t, work.p[turns % 2], most, &shrink);
            next = t + LANES;
            if (next >= queries && first + KEYS < keys) open_keys(&work, block, first + KEYS);
            if (next < queries || first + KEYS < keys)
                most = score_tile(&work, next < queries ? next : 0, work.p[(turns + 1) % 2], &x);
            soften_rest(&x);
            lanes_store(work.l + t, x.l);
            gather(&work, &x, shrink, work.out + t);
        }
    }
    for (int64_t t = 0; t < queries; t += BLOCK) close_queries(&work, block, t);
}

#endif
