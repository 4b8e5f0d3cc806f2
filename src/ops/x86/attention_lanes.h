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
 *   SCORE_GROUP                        GROUP for the products that give scores, or 4: signed bytes
 *
 * and with bytes
 *
 *   lanes_unit(x, across, w)           the largest magnitude of x[w, LANES] / 127, NaN where one is NaN
 *   lanes_common(unit)                 the largest of unit; NaN where one is NaN
 *   lanes_bytes(x, across, n, unit)    x[n, LANES] / unit as integers, zeros for what 4 columns lack
 *   lanes_above(bytes)                 128 more, as unsigned bytes
 *   lanes_add_bytes(sum, bytes)        int32 sum - 128 * the four bytes' sum
 *   lanes_dot_bytes(sum, four, x)      int32 sum + the products of four signed bytes in memory and unsigned x
 *   lanes_from_whole(sum)              the int32 sums as floats
 *   lanes_powers, lanes_last_power     (s, most, unit), of the scores s times unit
 *
 * A lane is a query. A block of queries walks over the tiles of keys. Per LANES queries: the scores of the
 * tile, a vector a key, then the new maximum m, p = 2^(score - m), beside the scores of the next LANES
 * queries, then out = out 2^(old m - m) + p V, a vector a column. So maximum, sum and rescaling need no step
 * across lanes, any head width fills the vectors, and the scores of a tile never leave the first-level cache.
 * Scores carry the factor log2(e) SCORE_UNITS. With bytes, each query has a unit of its own and every
 * KEY_STEP keys of a tile have one, and what is stored of a score is the sum of the integers. K is
 * transposed, because its numbers are then read one after the other; V is copied, because rows of a wide
 * matrix fall on few sets of the cache.
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
#if SCORE_GROUP == 4
    _Alignas(64) float turned[WIDTH * KEYS];             /* of what becomes bytes */
    _Alignas(64) float unit[2][KEYS / KEY_STEP * LANES]; /* of the scores in p */
    _Alignas(64) float q_unit[QUERIES], k_unit[KEYS / KEY_STEP];
    _Alignas(64) float k_start[KEYS]; /* int32: what the sums of a key begin with */
#endif
    _Alignas(64) float m[QUERIES], l[QUERIES];
    int64_t w, wide, groups; /* groups: of the products that give scores */
    int64_t keys;            /* of the tile that is being scored */
    bool nan;                /* as lanes_nan found in the keys; a query with it is left with a sum of 0 */
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
    enum { step = SCORE_GROUP == 2 ? 2 : 1 };
    int64_t w = work->w, depth = round_up((w + step - 1) / step, BLOCK), rows = round_up(count, BLOCK);
    for (int64_t t = 0; t < rows; t++) {
        const float *from = cm_mat_row(m, first + (t < count ? t : 0));
        int64_t width = t < count ? w : 0;
        for (int64_t g = 0; g < depth; g += LANES) {
            lanes low = lanes_mul(load_row(from, g * step, width), by);
            lanes high = step == 2 ? lanes_mul(load_row(from, g * step + LANES, width), by) : low;
            lanes_store(work->rows + t * depth + g, step == 2 ? lanes_row(low, high) : low);
            nan |= lanes_nan(low, high);
        }
    }
    cm_gemm_transpose_avx(depth, rows, work->rows, depth, to, across);
    return nan;
}

#if SCORE_GROUP == 4
/* x[w, KEYS], LANES columns of it, to bytes to[groups], `across` apart; above: 128 more. */
LANES_INLINE void round_columns(const lane_work *work, const float *x, lanes unit, const bool above,
                                float *to, int64_t across) {
    for (int64_t c = 0; c < work->w; c += 4, to += across) {
        lanes bytes = lanes_bytes(x + c * KEYS, KEYS, work->w - c < 4 ? (int)(work->w - c) : 4, unit);
        lanes_store(to, above ? lanes_above(bytes) : bytes);
    }
}

LANES_INLINE void round_queries(lane_work *work, int64_t t, int64_t count) {
    for (int64_t i = 0; i < count; i += LANES) {
        lanes unit = lanes_unit(work->turned + i, KEYS, work->w);
        lanes_store(work->q_unit + t + i, unit);
        round_columns(work, work->turned + i, unit, true, work->q + t + i, ACROSS);
    }
}

LANES_INLINE void round_keys(lane_work *work) {
    for (int64_t j = 0; j < work->keys; j += KEY_STEP) {
        float unit = lanes_common(lanes_unit(work->turned + j, KEYS, work->w));
        lanes start = lanes_set(0.0f);
        work->k_unit[j / KEY_STEP] = unit;
        round_columns(work, work->turned + j, lanes_set(unit), false, work->k + j, KEYS);
        for (int64_t g = 0; g < work->groups; g++)
            start = lanes_add_bytes(start, lanes_load(work->k + g * KEYS + j));
        lanes_store(work->k_start + j, start);
        work->nan |= isnan(unit);
    }
}
#endif

LANES_INLINE void open_queries(lane_work *work, const cm_attention_block *block) {
    const lanes zero = lanes_set(0.0f), least = lanes_set(-FLT_MAX);
    work->w = block->q.cols;
    work->wide = round_up(work->w, BLOCK);
    work->groups = (work->w + SCORE_GROUP - 1) / SCORE_GROUP;
    work->nan = false;
    for (int64_t t = 0; t < block->q.rows; t += KEYS) {
        int64_t count = block->q.rows - t < KEYS ? block->q.rows - t : KEYS;
        float factor = block->scale * (0x1.715476p0f * SCORE_UNITS);
#if SCORE_GROUP == 4
        turn(work, block->q, t, count, factor, work->turned, KEYS);
        round_queries(work, t, count);
#else
        turn(work, block->q, t, count, factor, work->q + t, ACROSS);
#endif
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
#if SCORE_GROUP == 4
    turn(work, block->k, first, work->keys, 1.0f, work->turned, KEYS);
    round_keys(work);
#else
    work->nan |= turn(work, block->k, first, work->keys, 1.0f, work->k, KEYS);
#endif
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
#if SCORE_GROUP == 4
    const float *unit; /* [KEYS / KEY_STEP, LANES], of the scores */
#endif
    lanes most, l;
    int64_t keys, done;
} softening;

#if SCORE_GROUP == 4
#define POWERS(of, x) \
    of((x)->s + (x)->done * LANES, (x)->most, lanes_load((x)->unit + (x)->done / KEY_STEP * LANES))
#else
#define POWERS(of, x) of((x)->s + (x)->done * LANES, (x)->most)
#endif

/* The next group of keys. */
LANES_INLINE void soften_group(softening *x) {
    lanes p = POWERS(lanes_powers, x);
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
    lanes p = POWERS(lanes_last_power, x);
    x->l = lanes_add_powers(x->l, p);
    lanes_store(x->s + x->done / GROUP * LANES, p);
#endif
}

/* The larger of `most` and the scores s of `keys` keys, KEY_STEP at most. */
LANES_INLINE lanes largest_score(const float *s, int64_t keys, lanes most) {
    for (int64_t i = 0; i < keys; i++) most = lanes_max(lanes_load(s + i * LANES), most);
    return most;
}

/* The first sums of KEY_STEP keys from `first`, one group of columns more of them, and what is stored of
 * them. */
LANES_INLINE void start_scores(const lane_work *work, int64_t first, lanes *sum) {
    (void)work, (void)first;
#pragma GCC unroll 16
    for (int i = 0; i < KEY_STEP; i++)
#if SCORE_GROUP == 4
        sum[i] = lanes_set(work->k_start[first + i]);
#else
        sum[i] = lanes_set(0.0f);
#endif
}

LANES_INLINE void add_group(lanes *sum, const float *k, lanes x) {
#pragma GCC unroll 16
    for (int i = 0; i < KEY_STEP; i++)
#if SCORE_GROUP == 4
        sum[i] = lanes_dot_bytes(sum[i], k + i, x);
#else
        sum[i] = lanes_dot(sum[i], k + i, x);
#endif
}

LANES_INLINE void store_scores(float *s, lanes *sum) {
#pragma GCC unroll 16
    for (int i = 0; i < KEY_STEP; i++) {
#if SCORE_GROUP == 4
        sum[i] = lanes_from_whole(sum[i]);
#endif
        lanes_store(s + i * LANES, sum[i]);
    }
}

/* Of LANES queries and a tile: where scores go, their units; the same of other queries. */
typedef struct scoring {
    const float *q;
    float *s;
#if SCORE_GROUP == 4
    float *unit;
#endif
    lanes most;
    softening *other;
} scoring;

/* The KEY_STEP keys from `first`; `most` becomes the larger of it and their scores. The products leave units
 * of the processor idle that the exponentials of other queries use: `beside`, a constant at every place of
 * use, makes the next KEY_STEP of those, or as many as there are columns. */
LANES_INLINE void score_keys(lane_work *work, scoring *x, int64_t first, const bool beside) {
    enum { AT_ONCE = SCORE_GROUP > GROUP ? SCORE_GROUP / GROUP : 1, MOST = KEY_STEP / GROUP / AT_ONCE };
    lanes sum[KEY_STEP], most = lanes_set(-FLT_MAX);
    const float *k = work->k + first, *q = x->q;
    float *s = x->s + first * LANES;
    int64_t left = work->groups, both = !beside ? 0 : left < MOST ? left : MOST;
    start_scores(work, first, sum);
    for (left -= both; both > 0; both--, q += ACROSS, k += KEYS) {
        add_group(sum, k, lanes_load(q));
#pragma GCC unroll 2
        for (int i = 0; i < AT_ONCE; i++) soften_group(x->other);
    }
    for (; left > 0; left--, q += ACROSS, k += KEYS) add_group(sum, k, lanes_load(q));
    store_scores(s, sum);
    if (work->keys - first < KEY_STEP)
        most = largest_score(s, work->keys - first, most);
    else
#pragma GCC unroll 16
        for (int i = 0; i < KEY_STEP; i += 2) most = lanes_max(lanes_max(sum[i], sum[i + 1]), most);
#if SCORE_GROUP == 4
    most = lanes_mul(most, lanes_load(x->unit + first / KEY_STEP * LANES));
#endif
    x->most = lanes_max(most, x->most);
}

/* Scores of the queries from t and the tile to p[slot]; returns their new maxima. */
LANES_INLINE lanes score_tile(lane_work *work, int64_t t, int slot, softening *other) {
    scoring x = {.q = work->q + t, .s = work->p[slot], .most = lanes_load(work->m + t), .other = other};
#if SCORE_GROUP == 4
    x.unit = work->unit[slot];
    for (int64_t i = 0; i * KEY_STEP < work->keys; i++)
        lanes_store(x.unit + i * LANES, lanes_mul(lanes_load(work->q_unit + t), lanes_set(work->k_unit[i])));
#endif
    for (int64_t j = 0; j < work->keys; j += KEY_STEP)
        if (BESIDE && other->done + KEY_STEP <= other->keys)
            score_keys(work, &x, j, true);
        else
            score_keys(work, &x, j, false);
    return x.most;
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

/* LANES queries from t whose scores of a tile, in p[slot], have the new maxima `most`. */
LANES_INLINE softening start_softening(lane_work *work, int64_t t, int slot, lanes most, lanes *shrink) {
    lanes grown = lanes_sub(lanes_load(work->m + t), most);
    *shrink = lanes_exp2(lanes_mul(grown, lanes_set(1.0f / SCORE_UNITS)));
    lanes_store(work->m + t, most);
    softening x = {.s = work->p[slot], .most = most, .keys = work->keys};
#if SCORE_GROUP == 4
    x.unit = work->unit[slot];
#endif
    x.l = lanes_mul(lanes_load(work->l + t), *shrink);
    return x;
}

static void attention_lanes(const cm_attention_block *block) {
    lane_work work;
    int64_t queries = block->q.rows, keys = block->k.rows;
    softening x = {.keys = 0};
    int slot = 0;
    open_queries(&work, block);
    open_keys(&work, block, 0);
    lanes shrink, most = score_tile(&work, 0, slot, &x);
    for (int64_t first = 0, next = 0; first < keys; first += KEYS) {
        open_values(&work, block, first);
        for (int64_t t = 0; t < queries; t = next, slot = !slot) {
            x = start_softening(&work, t, slot, most, &shrink);
            next = t + LANES;
            if (next >= queries && first + KEYS < keys) open_keys(&work, block, first + KEYS);
            if (next < queries || first + KEYS < keys)
                most = score_tile(&work, next < queries ? next : 0, !slot, &x);
            soften_rest(&x);
            lanes_store(work.l + t, x.l);
            gather(&work, &x, shrink, work.out + t);
        }
    }
    for (int64_t t = 0; t < queries; t += BLOCK) close_queries(&work, block, t);
}

#endif
