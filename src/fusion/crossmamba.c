/* The network of the paper's idea: both molecules' tokens of a pair form one sequence, and bidirectional
 * Mamba layers let their hidden states carry information across.
 *
 *   p_s = dropout(silu(LN(W_s x_s + c_s))) + modality[s]      each side s
 *   x   = [p_a ; p_b]                                         pair by pair
 *   x   = x + forward(LN x) + backward(LN x)                  every layer
 *   r   = [m_a ; m_b ; m_a * m_b ; |m_a - m_b|]               m_s: mean of x over the tokens of s
 *   score = out(dropout(silu(hidden(LN r))))
 *
 * With a pair channel its tokens stand behind those of both molecules, x = [p_a ; p_b ; p_pair], and their
 * mean is the last part of r. */
#include "base/alloc.h"
#include "fusion/side.h"
#include "nn/mamba.h"
#include <string.h>

typedef struct crossmamba {
    cm_side sides[CM_SIDES];
    int modality; /* [sides, D] */
    cm_head head;
    int64_t n_layers;
    cm_bimamba layers[];
} crossmamba;

/* Where the tokens of each side lie in the joint sequence. */
typedef struct joint {
    cm_segments whole, part[CM_SIDES];
    cm_segments molecules; /* of both molecules' tokens without those of the pair */
} joint;

static cm_status build(cm_net *net, cm_error *error) {
    const cm_options *o = &net->options;
    size_t bytes = sizeof(crossmamba) + (size_t)o->layers * sizeof(cm_bimamba);
    crossmamba *c = cm_new(1, bytes);
    if (!c) return cm_fail_memory(error, bytes);
    net->state = c;
    int n = cm_net_sides(net);
    for (int side = 0; side < n; side++) c->sides[side] = cm_side_add(net, side);
    c->modality = cm_params_add(net->params, "modality", 2, (int64_t[]){n, o->dim}, false);
    c->n_layers = o->layers;
    for (int64_t i = 0; i < c->n_layers; i++)
        c->layers[i] = cm_bimamba_add(net->params, cm_format("layers.%lld", (long long)i).text, o->dim,
                                      o->d_state, o->d_conv, o->expand, o->tied);
    c->head = cm_head_add(net->params, "head", (n + 2) * o->dim, o->head_dim);
    return CM_OK;
}

static void init(cm_net *net, uint64_t seed) {
    const crossmamba *c = net->state;
    for (int side = 0; side < cm_net_sides(net); side++) cm_side_init(net->params, &c->sides[side], seed);
    cm_params_init_uniform(net->params, c->modality, seed, 0.02);
    for (int64_t i = 0; i < c->n_layers; i++) cm_bimamba_init(net->params, &c->layers[i], seed);
    cm_head_init(net->params, &c->head, seed);
}

static int64_t tokens_of(const cm_net_input *input, int side, int64_t pair) {
    return input->segments[side].end[pair] - input->segments[side].begin[pair];
}

static bool make_joint(cm_tape *tape, const cm_net_input *input, int sides, joint *j) {
    int64_t n = input->pairs;
    int64_t *begin = cm_tape_memory(tape, ((size_t)n * (CM_SIDES + 1) + 2) * sizeof *begin);
    if (!begin) return false;
    int64_t *edge[CM_SIDES + 1] = {begin, begin + n + 1, begin + 2 * n + 1};
    int64_t *molecules = begin + 3 * n + 1;
    edge[sides] = begin + 1;
    begin[0] = molecules[0] = 0;
    for (int64_t i = 0; i < n; i++) {
        for (int side = 0; side < sides; side++)
            edge[side + 1][i] = edge[side][i] + tokens_of(input, side, i);
        molecules[i + 1] = molecules[i] + tokens_of(input, 0, i) + tokens_of(input, 1, i);
    }
    j->whole = cm_segments_of(begin, n);
    j->molecules = cm_segments_of(molecules, n);
    for (int side = 0; side < sides; side++) j->part[side] = (cm_segments){n, edge[side], edge[side + 1]};
    return true;
}

/* p_s of rows of one side. */
static cm_var *project(const cm_net *net, cm_tape *tape, cm_var *modality, cm_mat rows, int side) {
    static const int32_t row[CM_SIDES] = {0, 1, 2};
    const crossmamba *c = net->state;
    cm_apply pick = {.ids = &row[side], .n_ids = 1};
    cm_var *x = cm_side_apply(net, tape, &c->sides[side], cm_tape_input(tape, rows));
    return cm_tape_binary(tape, &cm_op_add, x, cm_tape_apply(tape, &cm_op_embedding, &pick, 1, &modality));
}

static cm_var *join_whole(const cm_net *net, cm_tape *tape, cm_var *modality, const cm_net_input *input,
                          const joint *j) {
    cm_apply by_pair = {.segments = {input->segments[0], input->segments[1]}};
    cm_var *sides[] = {project(net, tape, modality, input->x[0], 0),
                       project(net, tape, modality, input->x[1], 1)};
    cm_var *x = cm_tape_apply(tape, &cm_op_interleave, &by_pair, 2, sides);
    if (cm_net_sides(net) == CM_SIDE_PAIR) return x;
    cm_apply behind = {.segments = {j->molecules, input->segments[CM_SIDE_PAIR]}};
    cm_var *parts[] = {x, project(net, tape, modality, input->x[CM_SIDE_PAIR], CM_SIDE_PAIR)};
    return cm_tape_apply(tape, &cm_op_interleave, &behind, 2, parts);
}

/* Whether there is a segment for every pair, and they touch and cover the rows. */
static bool covers(cm_segments segments, int64_t pairs, int64_t rows) {
    int64_t end = 0;
    if (segments.count != pairs) return false;
    for (int64_t i = 0; i < segments.count; i++) {
        if (segments.begin[i] != end || segments.end[i] < end) return false;
        end = segments.end[i];
    }
    return end == rows;
}

/* Rows [first, first + projected.rows) of one side to their places in the joint sequence x. *pair: a pair
 * that does not begin after them, moved on to that of the last row. */
static void put_rows(cm_mat projected, int64_t first, cm_segments from, cm_segments to, int64_t *pair,
                     cm_mat x) {
    for (int64_t r = 0; r < projected.rows; r++) {
        while (from.end[*pair] <= first + r) (*pair)++;
        memcpy(cm_mat_row(x, to.begin[*pair] + first + r - from.begin[*pair]), cm_mat_row(projected, r),
               (size_t)x.cols * sizeof(float));
    }
}

/* Without recording: the same joint sequence from pieces of the sides, so that it is all that grows with the
 * rows. */
static cm_var *join_pieces(const cm_net *net, cm_tape *tape, cm_var *modality, const cm_net_input *input,
                           const joint *j) {
    enum { PIECE = 512 };
    int64_t rows = 0;
    for (int side = 0; side < cm_net_sides(net); side++) rows += input->x[side].rows;
    cm_var *x = cm_tape_blank(tape, rows, net->options.dim);
    cm_arena_mark mark = cm_tape_begin(tape);
    for (int side = 0; side < cm_net_sides(net); side++) {
        cm_mat all = input->x[side];
        for (int64_t first = 0, pair = 0; first < all.rows; first += PIECE) {
            int64_t count = all.rows - first < PIECE ? all.rows - first : PIECE;
            cm_var *p = project(net, tape, modality, cm_mat_rows(all, first, count), side);
            if (!p) return NULL;
            put_rows(p->value, first, input->segments[side], j->part[side], &pair, x->value);
            cm_tape_release(tape, mark);
        }
    }
    return x;
}

static cm_var *join(const cm_net *net, cm_tape *tape, const cm_net_input *input, const joint *j) {
    const crossmamba *c = net->state;
    cm_var *modality = cm_tape_param(tape, net->params, c->modality);
    bool sound = true;
    for (int side = 0; side < cm_net_sides(net); side++)
        sound = sound && covers(input->segments[side], input->pairs, input->x[side].rows);
    if (cm_tape_records(tape) || !sound) /* the op says what is wrong */
        return join_whole(net, tape, modality, input, j);
    return join_pieces(net, tape, modality, input, j);
}

static cm_var *read_out(cm_tape *tape, cm_var *x, int sides, const joint *j) {
    cm_var *a = cm_tape_segment_mean(tape, x, j->part[0]), *b = cm_tape_segment_mean(tape, x, j->part[1]);
    cm_var *parts[] = {a, b, cm_tape_binary(tape, &cm_op_mul, a, b),
                       cm_tape_binary(tape, &cm_op_abs_difference, a, b), NULL};
    if (sides == CM_SIDES) parts[4] = cm_tape_segment_mean(tape, x, j->part[CM_SIDE_PAIR]);
    return cm_tape_concat(tape, sides + 2, parts);
}

static cm_var *forward(const cm_net *net, cm_tape *tape, const cm_net_input *input) {
    const crossmamba *c = net->state;
    joint j;
    int sides = cm_net_sides(net);
    if (!make_joint(tape, input, sides, &j)) return NULL;
    cm_arena_mark mark = cm_tape_begin(tape);
    cm_var *x = join(net, tape, input, &j);
    for (int64_t i = 0; i < c->n_layers; i++)
        x = cm_tape_end(tape, mark, cm_bimamba_apply(tape, net->params, &c->layers[i], x, j.whole));
    return cm_head_apply(tape, net->params, &c->head, read_out(tape, x, sides, &j),
                         net->options.head_dropout);
}

const cm_fusion cm_fusion_crossmamba = {
    "crossmamba", "bidirectional Mamba layers over the joined token sequences of both molecules", build, init,
    forward};
