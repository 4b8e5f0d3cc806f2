/* The selective scan with one channel per vector lane, for any vector width. Included once by each
 * version, which first defines its vectors:
 *
 *   LANES, lanes (vector of LANES floats), lane_mask
 *   POWERS_APART                       see lane_powers
 *   lanes_mask(count)                  the first count lanes
 *   lanes_load, lanes_store            any alignment
 *   lanes_load_part, lanes_store_part  lanes outside the mask are 0, are not written
 *   lanes_set(x), lanes_add, lanes_sub, lanes_mul, lanes_max, lanes_fma(a, b, c) = a b + c
 *   lanes_pick_negative(x, a, b)       a where x < 0, else b
 *   lanes_exp2(x)                      2^x for x <= 126, relative error about 1e-7
 *   lanes_exp2_each(x, count)          the same for x[count] in place, count <= 4
 *   lanes_reciprocal(x)                1 / x for x in [1, 2]
 *   lanes_sums(rows)                   lane i of the result is the sum of the lanes of row i of
 *                                      rows [LANES, LANES]
 *
 * A chunk of tokens of one block of LANES channels is worked on in steps: first what needs one value a
 * token (softplus, gates), then the states, STATES at a time with the tokens inside, so that the states
 * stay in registers, then the outputs. In the first and last step a value takes a long chain of dependent
 * instructions, so several are worked on at once: forward takes SIDE blocks of the group, which lie side by
 * side in a row, backward, whose values would not fit the first cache for the whole group, TOKENS of a block.
 * Formulas: ops/selective_scan.c. */
#ifndef CM_OPS_SELECTIVE_SCAN_LANES_H
#define CM_OPS_SELECTIVE_SCAN_LANES_H

#include "ops/selective_scan.h"
#include "ops/x86/selective_scan_values.h"
#include <string.h>

enum { CHUNK = CM_SCAN_CHUNK, BLOCKS = CM_SCAN_GROUP / LANES, STATES = 4, TOKENS = 4, SIDE = 4 };
_Static_assert(CM_SCAN_LANES % LANES == 0 && CM_SCAN_GROUP % LANES == 0, "lanes divide the group");

/* The states of a block between chunks, each [n, LANES]. */
typedef struct lane_state {
    float *decay;  /* A log2(e) */
    float *h;      /* forward: the state; backward: the part of its gradient from later tokens */
    float *grad_a; /* backward: sum over tokens of e_t delta_t */
    float *sums;   /* backward: sums over tokens of the gradients of D and dt_bias, [2, LANES] */
} lane_state;

typedef struct lane_block {
    const cm_scan *scan;
    int64_t group, channel; /* first channel */
    int count;              /* channels in the block, at most LANES */
    lane_mask mask;
    lane_state state;
    lanes skip, bias; /* D, dt_bias */
} lane_block;

static void lanes_exp2_all(const float *x, float *out, int64_t count) {
    for (int64_t i = 0; i < count; i += 4 * LANES)
        for (int k = 0; k < 4; k++)
            lanes_store(out + i + k * LANES, lanes_exp2(lanes_load(x + i + k * LANES)));
}

/* ---- blocks ---- */

/* Block i of the group; the states of its blocks lie side by side in the group's share of work. */
LANES_INLINE void lane_block_open(const cm_scan *scan, int64_t group, int i, lane_block *block) {
    int64_t channel = group * CM_SCAN_GROUP + (int64_t)i * LANES, left = scan->d - channel;
    const cm_op_call *call = scan->call;
    float *state = scan->work + group * scan->work_floats;
    int64_t size = scan->n * CM_SCAN_GROUP, offset = scan->n * LANES * i;
    block->scan = scan;
    block->group = group;
    block->channel = channel;
    block->count = left < LANES ? (int)left : LANES;
    block->mask = lanes_mask(block->count);
    block->state.decay = state + offset;
    block->state.h = state + size + offset;
    block->state.grad_a = state + 2 * size + offset;
    block->state.sums = state + 3 * size + (int64_t)i * 2 * LANES;
    block->skip = lanes_load_part(call->in[CM_SCAN_D].data + channel, block->mask);
    block->bias = lanes_load_part(call->in[CM_SCAN_BIAS].data + channel, block->mask);
}

/* decay = -exp(A_log) log2(e), transposed to [n, LANES]; finite beyond the last channel. */
LANES_INLINE void lane_block_decay(const lane_block *block) {
    const cm_scan *scan = block->scan;
    float *decay = block->state.decay;
    for (int lane = 0; lane < LANES; lane++) {
        const float *a_log = cm_mat_row(scan->call->in[CM_SCAN_A], block->channel + lane);
        for (int64_t k = 0; k < scan->n; k++) {
            float exponent = lane < block->count ? a_log[k] * 0x1.715476p0f : 0.0f;
            decay[k * LANES + lane] = exponent > 126.0f ? 126.0f : exponent;
        }
    }
    for (int64_t k = 0; k < scan->n; k++) {
        lanes a = lanes_exp2(lanes_load(decay + k * LANES));
        lanes_store(decay + k * LANES, lanes_mul(a, lanes_set(-0x1.715476p0f)));
    }
}

LANES_INLINE int lane_blocks_of(const cm_scan *scan, int64_t group) {
    int64_t left = scan->d - group * CM_SCAN_GROUP;
    return left < CM_SCAN_GROUP ? (int)((left + LANES - 1) / LANES) : BLOCKS;
}

LANES_INLINE bool lane_gated(const cm_scan *scan) {
    return scan->call->n_in > CM_SCAN_Z && scan->call->in[CM_SCAN_Z].data;
}

LANES_INLINE float *lane_saved(const lane_block *block, int64_t chunk) {
    return cm_scan_saved(block->scan, chunk, block->group) +
           (block->channel - block->group * CM_SCAN_GROUP) * block->scan->n;
}

/* The block's columns of token t of a chunk. */
LANES_INLINE lanes lane_load_token(const lane_block *block, cm_mat m, cm_scan_rows rows, int64_t t) {
    return lanes_load_part(cm_mat_row(m, rows.first + t * rows.step) + block->channel, block->mask);
}

/* The block's columns of a chunk's rows, which the loops over the states ask for row by row a chunk before
 * they are needed: asked for all at once they would fill the queue of outstanding loads and wait. */
typedef struct lane_ahead {
    const float *next;
    int64_t step;
} lane_ahead;

/* m may be absent and chunk outside the stream: then the answer is harmless. */
LANES_INLINE lane_ahead lane_ahead_of(const lane_block *block, cm_mat m, int64_t chunk) {
    if (!m.data || chunk < 0 || chunk >= block->scan->chunks) return (lane_ahead){block->state.h, 0};
    cm_scan_rows rows = cm_scan_chunk_rows(block->scan, chunk);
    if (rows.count < CHUNK) return (lane_ahead){block->state.h, 0};
    return (lane_ahead){cm_mat_row(m, rows.first) + block->channel, rows.step * m.stride};
}

/* ---- forward ---- */

/* What the blocks of a group know about the tokens of a chunk. */
typedef struct lane_forward_chunk {
    cm_scan_rows rows;
    uint64_t starts;
    _Alignas(64) float delta[CHUNK][BLOCKS][LANES], input[CHUNK][BLOCKS][LANES], y[CHUNK][BLOCKS][LANES];
} lane_forward_chunk;

/* delta, input = delta u and the part D u of y; of token t and blocks i to i + count - 1. */
LANES_INLINE void lane_forward_open_some(const lane_block *blocks, lane_forward_chunk *c, int64_t t, int i,
                                         const int count) {
    const cm_op_call *call = blocks->scan->call;
    lanes u[SIDE], x[SIDE], e[SIDE], delta[SIDE];
    for (int j = 0; j < count; j++) {
        u[j] = lane_load_token(&blocks[i + j], call->in[CM_SCAN_U], c->rows, t);
        x[j] =
            lanes_add(lane_load_token(&blocks[i + j], call->in[CM_SCAN_DT], c->rows, t), blocks[i + j].bias);
    }
    lanes_exp_below_each(x, e, count);
    lanes_softplus_of_each(x, e, delta, count);
    for (int j = 0; j < count; j++) {
        lanes_store(c->delta[t][i + j], delta[j]);
        lanes_store(c->input[t][i + j], lanes_mul(delta[j], u[j]));
        lanes_store(c->y[t][i + j], lanes_mul(blocks[i + j].skip, u[j]));
    }
}

LANES_INLINE void lane_forward_open(const lane_block *blocks, int n, lane_forward_chunk *c) {
    for (int64_t t = 0; t < c->rows.count; t++) {
        int i = 0;
        for (; i + SIDE <= n; i += SIDE) lane_forward_open_some(blocks, c, t, i, SIDE);
        for (; i < n; i++) lane_forward_open_some(blocks, c, t, i, 1);
    }
}

/* a = exp(delta A) of a few states for one token. */
LANES_INLINE void lane_power(const float *delta, const lanes *decay, lanes *a, const int states) {
    for (int k = 0; k < states; k++) a[k] = lanes_mul(lanes_load(delta), decay[k]);
    lanes_exp2_each(a, states);
}

/* The powers of all tokens of a chunk. With 16 vector registers (POWERS_APART) this is a loop of its own:
 * beside it the recurrence would keep its states in memory and wait for them at each step. */
LANES_INLINE void lane_powers(int64_t count, const float *delta, int64_t step, const lanes *decay,
                              float powers[][STATES][LANES], const int states) {
    lanes a[STATES];
    for (int64_t t = 0; t < count; t++, delta += step) {
        lane_power(delta, decay, a, states);
        for (int k = 0; k < states; k++) lanes_store(powers[t][k], a[k]);
    }
}

LANES_INLINE void lane_load_each(const float *rows, lanes *a, const int states) {
    for (int k = 0; k < states; k++) a[k] = lanes_load(rows + k * LANES);
}

LANES_INLINE void lane_forward_states(const lane_block *block, lane_forward_chunk *chunk, int i,
                                      int64_t first, lane_ahead ahead, const int states) {
    cm_mat b_rows = block->scan->call->in[CM_SCAN_B], c_rows = block->scan->call->in[CM_SCAN_C];
    const float *b = cm_mat_row(b_rows, chunk->rows.first) + first;
    const float *c = cm_mat_row(c_rows, chunk->rows.first) + first;
    int64_t b_step = chunk->rows.step * b_rows.stride, c_step = chunk->rows.step * c_rows.stride;
    lanes decay[STATES], h[STATES], a[STATES];
    _Alignas(64) float powers[CHUNK][STATES][LANES];
    lane_load_each(block->state.decay + first * LANES, decay, states);
    lane_load_each(block->state.h + first * LANES, h, states);
    if (POWERS_APART)
        lane_powers(chunk->rows.count, chunk->delta[0][i], BLOCKS * LANES, decay, powers, states);
    for (int64_t t = 0; t < chunk->rows.count; t++, b += b_step, c += c_step, ahead.next += ahead.step) {
        __builtin_prefetch(ahead.next, 0, 2);
        lanes input = lanes_load(chunk->input[t][i]), y = lanes_load(chunk->y[t][i]);
        if (chunk->starts >> t & 1)
            for (int k = 0; k < states; k++) h[k] = lanes_set(0.0f);
        if (POWERS_APART)
            lane_load_each(powers[t][0], a, states);
        else
            lane_power(chunk->delta[t][i], decay, a, states);
        for (int k = 0; k < states; k++) {
            h[k] = lanes_fma(a[k], h[k], lanes_mul(input, lanes_set(b[k])));
            y = lanes_fma(h[k], lanes_set(c[k]), y);
        }
        lanes_store(chunk->y[t][i], y);
    }
    for (int k = 0; k < states; k++) lanes_store(block->state.h + (first + k) * LANES, h[k]);
}

LANES_INLINE void lane_forward_close_some(const lane_block *blocks, const lane_forward_chunk *c, int64_t t,
                                          int i, const int count, const bool gated) {
    const cm_op_call *call = blocks->scan->call;
    float *out = cm_mat_row(call->out, c->rows.first + t * c->rows.step);
    lanes y[SIDE], z[SIDE], e[SIDE];
    for (int j = 0; j < count; j++) y[j] = lanes_load(c->y[t][i + j]);
    if (gated) {
        for (int j = 0; j < count; j++)
            z[j] = lane_load_token(&blocks[i + j], call->in[CM_SCAN_Z], c->rows, t);
        lanes_exp_below_each(z, e, count);
        for (int j = 0; j < count; j++) y[j] = lanes_mul(y[j], lanes_mul(z[j], lanes_sigmoid_of(z[j], e[j])));
    }
    for (int j = 0; j < count; j++) lanes_store_part(out + blocks[i + j].channel, blocks[i + j].mask, y[j]);
}

LANES_INLINE void lane_forward_close(const lane_block *blocks, int n, const lane_forward_chunk *c,
                                     const bool gated) {
    for (int64_t t = 0; t < c->rows.count; t++) {
        int i = 0;
        for (; i + SIDE <= n; i += SIDE) lane_forward_close_some(blocks, c, t, i, SIDE, gated);
        for (; i < n; i++) lane_forward_close_some(blocks, c, t, i, 1, gated);
    }
}

/* Block i of the group. */
LANES_INLINE void lane_forward_block(const lane_block *block, int64_t chunk, lane_forward_chunk *c, int i) {
    const cm_scan *scan = block->scan;
    const cm_op_call *call = scan->call;
    const cm_mat wanted[] = {call->in[CM_SCAN_U], call->in[CM_SCAN_DT],
                             lane_gated(scan) ? call->in[CM_SCAN_Z] : (cm_mat){0}, call->out};
    if (chunk > 0 && !call->attr->carry)
        memcpy(lane_saved(block, chunk), block->state.h, (size_t)(scan->n * LANES) * sizeof(float));
    for (int64_t k = 0, turn = 0; k < scan->n; turn++) {
        lane_ahead ahead = lane_ahead_of(block, wanted[turn % 4], chunk + 1);
        if (k + STATES <= scan->n) {
            lane_forward_states(block, c, i, k, ahead, STATES);
            k += STATES;
        } else {
            lane_forward_states(block, c, i, k, ahead, 1);
            k++;
        }
    }
}

static void lane_forward_group(const lane_block *blocks, int n, int64_t chunk) {
    const cm_scan *scan = blocks->scan;
    lane_forward_chunk c;
    c.rows = cm_scan_chunk_rows(scan, chunk);
    c.starts = scan->starts[chunk];
    lane_forward_open(blocks, n, &c);
    for (int i = 0; i < n; i++) lane_forward_block(&blocks[i], chunk, &c, i);
    if (lane_gated(scan))
        lane_forward_close(blocks, n, &c, true);
    else
        lane_forward_close(blocks, n, &c, false);
}

/* The state before the first chunk, from the carried one if there is one. Zero beyond the last channel. */
LANES_INLINE void lane_carry_in(const lane_block *block) {
    const float *carry = cm_scan_carry(block->scan, block->channel);
    int64_t n = block->scan->n;
    if (!carry) return;
    memset(block->state.h, 0, (size_t)(n * LANES) * sizeof(float));
    for (int lane = 0; lane < block->count; lane++)
        for (int64_t k = 0; k < n; k++) block->state.h[k * LANES + lane] = carry[lane * n + k];
}

LANES_INLINE void lane_carry_out(const lane_block *block) {
    float *carry = cm_scan_carry(block->scan, block->channel);
    int64_t n = block->scan->n;
    for (int lane = 0; carry && lane < block->count; lane++)
        for (int64_t k = 0; k < n; k++) carry[lane * n + k] = block->state.h[k * LANES + lane];
}

/* Chunk by chunk over all the channels, so that a row of the inputs is read at once. */
static void lane_forward_groups(const cm_scan *scan, int64_t begin, int64_t end) {
    for (int64_t chunk = 0; chunk < scan->chunks; chunk++)
        for (int64_t group = begin; group < end; group++) {
            lane_block blocks[BLOCKS];
            int n = lane_blocks_of(scan, group);
            for (int i = 0; i < n; i++) lane_block_open(scan, group, i, &blocks[i]);
            for (int i = 0; chunk == 0 && i < n; i++) {
                lane_block_decay(&blocks[i]);
                lane_carry_in(&blocks[i]);
            }
            lane_forward_group(blocks, n, chunk);
            for (int i = 0; chunk == scan->chunks - 1 && i < n; i++) lane_carry_out(&blocks[i]);
        }
}

/* ---- backward ---- */

typedef struct lane_backward_chunk {
    cm_scan_rows rows;
    uint64_t starts;
    const float *saved;     /* [n, LANES], or NULL before the first chunk */
    float *grad_b, *grad_c; /* [CHUNK, n, LANES], summed over the blocks of the group */
    _Alignas(64) float delta[CHUNK][LANES], input[CHUNK][LANES], y[CHUNK][LANES], grad_y[CHUNK][LANES];
    float slope[CHUNK][LANES];                      /* d delta / d dt */
    float grad_gate[CHUNK][LANES];                  /* grad out times d silu(z) / dz */
    float sum_b[CHUNK][LANES], sum_a[CHUNK][LANES]; /* sums over the states of g B and of e A log2(e) */
} lane_backward_chunk;

LANES_INLINE void lane_backward_open_some(const lane_block *block, lane_backward_chunk *c, int64_t t,
                                          const int count, const bool gated) {
    const cm_op_call *call = block->scan->call;
    const lanes one = lanes_set(1.0f), zero = lanes_set(0.0f);
    lanes x[TOKENS], e[TOKENS], delta[TOKENS];
    for (int i = 0; i < count; i++)
        x[i] = lanes_add(lane_load_token(block, call->in[CM_SCAN_DT], c->rows, t + i), block->bias);
    lanes_exp_below_each(x, e, count);
    lanes_softplus_of_each(x, e, delta, count);
    for (int i = 0; i < count; i++) {
        lanes u = lane_load_token(block, call->in[CM_SCAN_U], c->rows, t + i);
        lanes_store(c->delta[t + i], delta[i]);
        lanes_store(c->slope[t + i], lanes_sigmoid_of(x[i], e[i]));
        lanes_store(c->input[t + i], lanes_mul(delta[i], u));
        lanes_store(c->y[t + i], lanes_mul(block->skip, u));
        lanes_store(c->sum_b[t + i], zero);
        lanes_store(c->sum_a[t + i], zero);
    }
    for (int i = 0; gated && i < count; i++)
        x[i] = lane_load_token(block, call->in[CM_SCAN_Z], c->rows, t + i);
    if (gated) lanes_exp_below_each(x, e, count);
    for (int i = 0; i < count; i++) {
        lanes grad = lane_load_token(block, call->grad_out, c->rows, t + i);
        if (gated) {
            lanes s = lanes_sigmoid_of(x[i], e[i]), zs = lanes_mul(x[i], s);
            lanes_store(c->grad_gate[t + i], lanes_mul(grad, lanes_fma(zs, lanes_sub(one, s), s)));
            grad = lanes_mul(grad, zs);
        }
        lanes_store(c->grad_y[t + i], grad);
    }
}

LANES_INLINE void lane_backward_open(const lane_block *block, lane_backward_chunk *c, const bool gated) {
    int64_t t = 0;
    for (; t + TOKENS <= c->rows.count; t += TOKENS) lane_backward_open_some(block, c, t, TOKENS, gated);
    for (; t < c->rows.count; t++) lane_backward_open_some(block, c, t, 1, gated);
}

/* States and decays of one chunk of a few states: after[t] is h_{t-1}, after[t + 1] is h_t. */
typedef struct lane_history {
    _Alignas(64) float after[CHUNK + 1][STATES][LANES];
    _Alignas(64) float decay[CHUNK][STATES][LANES];
} lane_history;

LANES_INLINE void lane_recompute(const lane_block *block, lane_backward_chunk *chunk, int64_t first,
                                 lane_history *history, lane_ahead ahead, const int states,
                                 const bool gated) {
    cm_mat b_rows = block->scan->call->in[CM_SCAN_B], c_rows = block->scan->call->in[CM_SCAN_C];
    const float *b = cm_mat_row(b_rows, chunk->rows.first) + first;
    const float *c = cm_mat_row(c_rows, chunk->rows.first) + first;
    int64_t b_step = chunk->rows.step * b_rows.stride, c_step = chunk->rows.step * c_rows.stride;
    lanes decay[STATES], h[STATES], a[STATES];
    lane_load_each(block->state.decay + first * LANES, decay, states);
    for (int k = 0; k < states; k++) {
        h[k] = chunk->saved ? lanes_load(chunk->saved + (first + k) * LANES) : lanes_set(0.0f);
        lanes_store(history->after[0][k], h[k]);
    }
    if (POWERS_APART) lane_powers(chunk->rows.count, chunk->delta[0], LANES, decay, history->decay, states);
    for (int64_t t = 0; t < chunk->rows.count; t++, b += b_step, c += c_step, ahead.next += ahead.step) {
        __builtin_prefetch(ahead.next, 0, 2);
        lanes input = lanes_load(chunk->input[t]), y = lanes_load(chunk->y[t]);
        if (chunk->starts >> t & 1)
            for (int k = 0; k < states; k++) h[k] = lanes_set(0.0f);
        if (POWERS_APART)
            lane_load_each(history->decay[t][0], a, states);
        else
            lane_power(chunk->delta[t], decay, a, states);
        for (int k = 0; k < states; k++) {
            h[k] = lanes_fma(a[k], h[k], lanes_mul(input, lanes_set(b[k])));
            if (!POWERS_APART) lanes_store(history->decay[t][k], a[k]);
            lanes_store(history->after[t + 1][k], h[k]);
            if (gated) y = lanes_fma(h[k], lanes_set(c[k]), y);
        }
        if (gated) lanes_store(chunk->y[t], y);
    }
}

/* fresh: this block is the first of its group, so that grad_b and grad_c are overwritten. */
LANES_INLINE void lane_backward_states(const lane_block *block, lane_backward_chunk *chunk, int64_t first,
                                       const lane_history *history, lane_ahead ahead, const int states,
                                       const bool fresh) {
    cm_mat b_rows = block->scan->call->in[CM_SCAN_B], c_rows = block->scan->call->in[CM_SCAN_C];
    int64_t n = block->scan->n, last = chunk->rows.first + (chunk->rows.count - 1) * chunk->rows.step;
    const float *b = cm_mat_row(b_rows, last) + first, *c = cm_mat_row(c_rows, last) + first;
    int64_t b_step = chunk->rows.step * b_rows.stride, c_step = chunk->rows.step * c_rows.stride;
    const lane_state *state = &block->state;
    const lanes zero = lanes_set(0.0f);
    lanes decay[STATES], g[STATES], grad_a[STATES], after[STATES];
    for (int k = 0; k < states; k++) {
        decay[k] = lanes_load(state->decay + (first + k) * LANES);
        g[k] = lanes_load(state->h + (first + k) * LANES);
        grad_a[k] = lanes_load(state->grad_a + (first + k) * LANES);
        after[k] = lanes_load(history->after[chunk->rows.count][k]);
    }
    for (int64_t t = chunk->rows.count - 1; t >= 0; t--, b -= b_step, c -= c_step, ahead.next += ahead.step) {
        __builtin_prefetch(ahead.next, 0, 2);
        lanes delta = lanes_load(chunk->delta[t]), input = lanes_load(chunk->input[t]);
        lanes grad_y = lanes_load(chunk->grad_y[t]);
        lanes sum_b = lanes_load(chunk->sum_b[t]), sum_a = lanes_load(chunk->sum_a[t]);
        float *grad_b = chunk->grad_b + (t * n + first) * LANES,
              *grad_c = chunk->grad_c + (t * n + first) * LANES;
        for (int k = 0; k < states; k++) {
            lanes old_b = fresh ? zero : lanes_load(grad_b + k * LANES);
            lanes old_c = fresh ? zero : lanes_load(grad_c + k * LANES);
            g[k] = lanes_fma(grad_y, lanes_set(c[k]), g[k]);
            lanes_store(grad_c + k * LANES, lanes_fma(grad_y, after[k], old_c));
            lanes_store(grad_b + k * LANES, lanes_fma(g[k], input, old_b));
            sum_b = lanes_fma(g[k], lanes_set(b[k]), sum_b);
            after[k] = lanes_load(history->after[t][k]);
        }
        if (chunk->starts >> t & 1)
            for (int k = 0; k < states; k++) g[k] = zero;
        else
            for (int k = 0; k < states; k++) {
                g[k] = lanes_mul(g[k], lanes_load(history->decay[t][k]));
                lanes e = lanes_mul(g[k], after[k]);
                grad_a[k] = lanes_fma(e, delta, grad_a[k]);
                sum_a = lanes_fma(e, decay[k], sum_a);
            }
        lanes_store(chunk->sum_b[t], sum_b);
        lanes_store(chunk->sum_a[t], sum_a);
    }
    for (int k = 0; k < states; k++) {
        lanes_store(state->h + (first + k) * LANES, g[k]);
        lanes_store(state->grad_a + (first + k) * LANES, grad_a[k]);
    }
}

/* Writes or adds value to the block's columns of a gradient that may be absent. */
LANES_INLINE void lane_put(const lane_block *block, int input, int64_t row, lanes value) {
    const cm_op_call *call = block->scan->call;
    if (!call->grad_in[input].data) return;
    float *to = cm_mat_row(call->grad_in[input], row) + block->channel;
    if (call->accumulate[input]) value = lanes_add(value, lanes_load_part(to, block->mask));
    lanes_store_part(to, block->mask, value);
}

LANES_INLINE void lane_backward_close(const lane_block *block, const lane_backward_chunk *c) {
    const cm_op_call *call = block->scan->call;
    const lanes ln2 = lanes_set(0x1.62e43p-1f);
    float *sums = block->state.sums;
    lanes skip = lanes_load(sums), bias = lanes_load(sums + LANES);
    bool gated = lane_gated(block->scan);
    for (int64_t t = c->rows.count - 1; t >= 0; t--) {
        int64_t row = c->rows.first + t * c->rows.step;
        lanes u = lanes_load_part(cm_mat_row(call->in[CM_SCAN_U], row) + block->channel, block->mask);
        lanes sum_b = lanes_load(c->sum_b[t]), grad_y = lanes_load(c->grad_y[t]);
        lanes grad_delta = lanes_fma(u, sum_b, lanes_mul(ln2, lanes_load(c->sum_a[t])));
        lanes grad_dt = lanes_mul(grad_delta, lanes_load(c->slope[t]));
        bias = lanes_add(bias, grad_dt);
        skip = lanes_fma(grad_y, u, skip);
        lane_put(block, CM_SCAN_DT, row, grad_dt);
        lane_put(block, CM_SCAN_U, row,
                 lanes_fma(lanes_load(c->delta[t]), sum_b, lanes_mul(grad_y, block->skip)));
        if (gated)
            lane_put(block, CM_SCAN_Z, row, lanes_mul(lanes_load(c->grad_gate[t]), lanes_load(c->y[t])));
    }
    lanes_store(sums, skip);
    lanes_store(sums + LANES, bias);
}

LANES_INLINE void lane_backward_some(const lane_block *block, lane_backward_chunk *chunk, int64_t first,
                                     lane_history *history, const lane_ahead ahead[2], const int states,
                                     bool gated, bool fresh) {
    if (gated)
        lane_recompute(block, chunk, first, history, ahead[0], states, true);
    else
        lane_recompute(block, chunk, first, history, ahead[0], states, false);
    if (fresh)
        lane_backward_states(block, chunk, first, history, ahead[1], states, true);
    else
        lane_backward_states(block, chunk, first, history, ahead[1], states, false);
}

static void lane_backward_block(const lane_block *block, int64_t chunk, float *grad_bc, bool fresh) {
    const cm_scan *scan = block->scan;
    bool gated = lane_gated(scan);
    lane_backward_chunk c;
    lane_history history;
    c.rows = cm_scan_chunk_rows(scan, chunk);
    c.starts = scan->starts[chunk];
    c.saved = chunk > 0 ? lane_saved(block, chunk) : NULL;
    c.grad_b = grad_bc;
    c.grad_c = grad_bc + CHUNK * scan->n * LANES;
    const cm_op_call *call = scan->call;
    const cm_mat wanted[] = {call->in[CM_SCAN_U],      call->in[CM_SCAN_DT],
                             call->grad_out,           gated ? call->in[CM_SCAN_Z] : (cm_mat){0},
                             call->grad_in[CM_SCAN_U], call->grad_in[CM_SCAN_DT],
                             call->grad_in[CM_SCAN_Z], (cm_mat){0}};
    if (gated)
        lane_backward_open(block, &c, true);
    else
        lane_backward_open(block, &c, false);
    for (int64_t k = 0, turn = 0; k < scan->n; turn++) {
        const lane_ahead ahead[] = {lane_ahead_of(block, wanted[2 * turn % 8], chunk - 1),
                                    lane_ahead_of(block, wanted[2 * turn % 8 + 1], chunk - 1)};
        if (k + STATES <= scan->n) {
            lane_backward_some(block, &c, k, &history, ahead, STATES, gated, fresh);
            k += STATES;
        } else {
            lane_backward_some(block, &c, k, &history, ahead, 1, gated, fresh);
            k++;
        }
    }
    lane_backward_close(block, &c);
}

/* to[n] = sums over the lanes of rows [n, LANES]. */
LANES_INLINE void lane_row_sums(const float *rows, int64_t n, float *to) {
    int64_t k = 0;
    for (; k + LANES <= n; k += LANES) lanes_store(to + k, lanes_sums(rows + k * LANES));
    for (; k < n; k++) {
        float sum = 0.0f;
        for (int lane = 0; lane < LANES; lane++) sum += rows[k * LANES + lane];
        to[k] = sum;
    }
}

/* Moves the chunk's gradients of B and C, summed over lanes, to the group's partial sums. */
static void lane_store_partial(const cm_scan *scan, int64_t group, int64_t chunk, const float *grad_bc) {
    cm_scan_rows rows = cm_scan_chunk_rows(scan, chunk);
    int64_t n = scan->n;
    for (int64_t t = 0; t < rows.count; t++) {
        float *to = scan->partial + (group * scan->rows + rows.first + t * rows.step) * 2 * n;
        lane_row_sums(grad_bc + t * n * LANES, n, to);
        lane_row_sums(grad_bc + (CHUNK + t) * n * LANES, n, to + n);
    }
}

/* The gradients that are sums over all tokens. */
static void lane_store_weights(const lane_block *block) {
    const cm_scan *scan = block->scan;
    const cm_op_call *call = scan->call;
    cm_mat grad_a = call->grad_in[CM_SCAN_A];
    for (int64_t k = 0; grad_a.data && k < scan->n; k++)
        for (int lane = 0; lane < block->count; lane++) {
            float *to = cm_mat_row(grad_a, block->channel + lane) + k;
            float a = block->state.decay[k * LANES + lane] * 0x1.62e43p-1f;
            *to = (call->accumulate[CM_SCAN_A] ? *to : 0.0f) + block->state.grad_a[k * LANES + lane] * a;
        }
    lane_put(block, CM_SCAN_D, 0, lanes_load(block->state.sums));
    lane_put(block, CM_SCAN_BIAS, 0, lanes_load(block->state.sums + LANES));
}

static void lane_backward_open_group(const cm_scan *scan, int64_t group) {
    size_t floats = (size_t)(scan->n * 3 + 2) * CM_SCAN_GROUP;
    memset(scan->work + group * scan->work_floats, 0, floats * sizeof(float));
    for (int i = 0; i < lane_blocks_of(scan, group); i++) {
        lane_block block;
        lane_block_open(scan, group, i, &block);
        lane_block_decay(&block);
    }
}

static void lane_backward_groups(const cm_scan *scan, int64_t begin, int64_t end) {
    float *grad_bc = scan->work + begin * scan->work_floats + (scan->n * 3 + 2) * CM_SCAN_GROUP;
    for (int64_t group = begin; group < end; group++) lane_backward_open_group(scan, group);
    for (int64_t chunk = scan->chunks - 1; chunk >= 0; chunk--)
        for (int64_t group = begin; group < end; group++) {
            for (int i = 0; i < lane_blocks_of(scan, group); i++) {
                lane_block block;
                lane_block_open(scan, group, i, &block);
                lane_backward_block(&block, chunk, grad_bc, i == 0);
            }
            lane_store_partial(scan, group, chunk, grad_bc);
        }
    for (int64_t group = begin; group < end; group++)
        for (int i = 0; i < lane_blocks_of(scan, group); i++) {
            lane_block block;
            lane_block_open(scan, group, i, &block);
            lane_store_weights(&block);
        }
}

#endif
