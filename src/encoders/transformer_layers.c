/* The layers of the transformer families on a ragged batch. Attention takes whole matrices and the team. All
 * else treats rows by themselves: blocks of rows, few enough to stay in a second-level cache, go through the
 * second half of a layer and up to the q k v of the next one in one thread each, on a tape of the thread's
 * own. */
#include "encoders/transformer_layers.h"
#include "ops/rotary.h"
#include <string.h>

/* A batch on its way: x [T, H], q k v side by side [T, 3H], the heads side by side [T, H], all in place. */
typedef struct stack {
    cm_transformer *model;
    cm_segments segments;
    const int32_t *positions; /* [T], of each row in its segment */
    cm_mat x, qkv, heads;
    cm_mat angles;            /* the table of the op rotary; data NULL without */
    const float *frequencies; /* what the table was made of; NULL: nothing yet */
} stack;

/* Rows [first, first + count) of it. */
typedef struct rows {
    const stack *all;
    cm_tape *tape;
    int64_t first, count;
} rows;

static cm_mat part_of(const rows *r, cm_mat whole) {
    return cm_mat_rows(whole, r->first, r->count);
}

/* ---- rows by themselves ---- */

/* activation(x W^T + b) + residual; residual NULL: none. into: as in cm_apply. */
static cm_var *dense(const rows *r, const cm_dense *d, cm_var *x, cm_activation activation, cm_var *residual,
                     cm_mat into) {
    cm_apply with = {.attr = {.activation = activation, .packed = d->weight}, .into = into};
    cm_var *bias = d->bias ? cm_tape_input(r->tape, cm_mat_of(d->bias, 1, cm_packed_out(d->weight))) : NULL;
    return cm_tape_apply(r->tape, &cm_op_linear, &with, 4, (cm_var *[]){x, NULL, bias, residual});
}

static cm_var *norm(const rows *r, const cm_layer_norm *n, cm_var *x, cm_mat into) {
    const cm_transformer *model = r->all->model;
    cm_apply with = {.attr.eps = model->eps, .into = into};
    cm_var *weight = cm_tape_input(r->tape, cm_mat_of(n->weight, 1, model->hidden));
    cm_var *bias = cm_tape_input(r->tape, cm_mat_of(n->bias, 1, model->hidden));
    return cm_tape_apply(r->tape, &cm_op_layer_norm, &with, 3, (cm_var *[]){x, weight, bias});
}

/* q and k side by side [rows, 2H], in place. */
static void rotate(const rows *r, cm_mat qk) {
    cm_apply with = {.attr.heads = 2 * r->all->model->heads,
                     .ids = r->all->positions + r->first,
                     .n_ids = r->count,
                     .into = qk};
    cm_var *angles = cm_tape_input(r->tape, r->all->angles);
    cm_tape_apply(r->tape, &cm_op_rotary, &with, 2, (cm_var *[]){angles, cm_tape_input(r->tape, qk)});
}

/* The first half of a layer up to the attention: q k v. */
static void open_layer(const rows *r, const cm_transformer_layer *layer) {
    cm_norm_place place = r->all->model->rules->norm;
    cm_mat x = part_of(r, r->all->x), qkv = part_of(r, r->all->qkv), new = {0};
    cm_var *h = cm_tape_input(r->tape, x);
    if (place != CM_NORM_POST)
        h = norm(r, &layer->attention_norm, h, place == CM_NORM_PRE_RESIDUAL ? x : new);
    dense(r, &layer->qkv, h, CM_ACT_NONE, NULL, qkv);
    if (layer->frequencies) rotate(r, cm_mat_columns(qkv, 0, 2 * r->all->model->hidden));
}

static cm_var *inner(const rows *r, const cm_transformer_layer *layer, cm_var *x) {
    const cm_mat new = {0};
    if (!layer->gate.weight) return dense(r, &layer->inner, x, CM_ACT_GELU, NULL, new);
    cm_var *a = dense(r, &layer->inner, x, CM_ACT_NONE, NULL, new);
    cm_var *gate = dense(r, &layer->gate, x, CM_ACT_NONE, NULL, new);
    cm_var *beta = cm_tape_input(r->tape, cm_mat_of(layer->beta, 1, 1));
    return cm_tape_apply(r->tape, &cm_op_swiglu, NULL, 3, (cm_var *[]){a, gate, beta});
}

/* What comes after the attention; x in place. */
static void close_layer(const rows *r, const cm_transformer_layer *layer) {
    bool post = r->all->model->rules->norm == CM_NORM_POST;
    const cm_mat x = part_of(r, r->all->x), new = {0};
    cm_var *residual = cm_tape_input(r->tape, x), *heads = cm_tape_input(r->tape, part_of(r, r->all->heads));
    cm_var *h = dense(r, &layer->out, heads, CM_ACT_NONE, residual, x);
    h = norm(r, post ? &layer->attention_norm : &layer->feed_norm, h, post ? x : new);
    h = dense(r, &layer->outer, inner(r, layer, h), CM_ACT_NONE, residual, x);
    if (post) norm(r, &layer->feed_norm, h, x);
}

/* ---- blocks of rows ---- */

/* What is done to all rows between two attentions: layer `before` is closed, `after` opened; NULL: no such.
 */
typedef struct step {
    const stack *all;
    const cm_transformer_layer *before, *after;
    const cm_layer_norm *norm; /* in between; NULL: none */
    int64_t blocks;            /* of rows */
} step;

static void run_rows(const step *s, cm_tape *tape, int64_t first, int64_t count) {
    rows r = {s->all, tape, first, count};
    cm_arena_mark mark = cm_tape_begin(tape);
    if (s->before) close_layer(&r, s->before);
    if (s->norm) norm(&r, s->norm, cm_tape_input(tape, part_of(&r, s->all->x)), part_of(&r, s->all->x));
    if (s->after) open_layer(&r, s->after);
    cm_tape_release(tape, mark);
}

/* Where block i of all rows begins: about even blocks of as many rows as products take at once. */
static int64_t block_begin(const step *s, int64_t i) {
    enum { TAKEN = 6 };
    int64_t total = s->all->x.rows;
    return i == s->blocks ? total : i * total / s->blocks / TAKEN * TAKEN;
}

static void run_blocks(void *context, int64_t begin, int64_t end, int member) {
    const step *s = context;
    for (int64_t i = begin; i < end; i++) {
        int64_t first = block_begin(s, i);
        run_rows(s, s->all->model->own[member], first, block_begin(s, i + 1) - first);
    }
}

/* Few rows go through the ops one by one, so that each member of the team reads its share of the weights;
 * else every member gets as many blocks. */
static void run_step(step s) {
    enum { FEW = 32, MOST = 252 }; /* rows of a member, of a block */
    cm_transformer *model = s.all->model;
    int64_t size = cm_team_size(model->team), total = s.all->x.rows;
    if (total < FEW * size) {
        run_rows(&s, model->tape, 0, total);
        return;
    }
    s.blocks = (total + MOST * size - 1) / (MOST * size) * size;
    cm_team_for(model->team, s.blocks, 1, run_blocks, &s);
}

/* ---- the stack ---- */

static void fill_angles(stack *all, const cm_transformer_layer *layer) {
    const float *frequencies = layer->frequencies;
    int64_t half = all->angles.cols / 2;
    if (!frequencies) return;
    if (!all->frequencies || memcmp(frequencies, all->frequencies, (size_t)half * sizeof *frequencies) != 0)
        cm_rotary_table(all->model->team, frequencies, all->angles);
    all->frequencies = frequencies;
}

static void attend(const stack *all, const cm_transformer_layer *layer) {
    const cm_transformer *model = all->model;
    cm_tape *tape = model->tape;
    int64_t h = model->hidden, width = h / model->heads;
    cm_apply with = {
        .attr = {.heads = model->heads, .eps = model->feature_eps, .precision = model->precision},
        .segments = {all->segments},
        .into = all->heads};
    cm_arena_mark mark = cm_tape_begin(tape);
    cm_var *in[4];
    for (int i = 0; i < 3; i++) in[i] = cm_tape_input(tape, cm_mat_columns(all->qkv, i * h, h));
    if (layer->features) in[3] = cm_tape_input(tape, cm_mat_of(layer->features, width, model->features));
    cm_tape_apply(tape, layer->features ? &cm_op_linear_attention : &cm_op_attention, &with,
                  layer->features ? 4 : 3, in);
    cm_tape_release(tape, mark);
}

/* A matrix of the tape; data NULL after a failure. */
static cm_mat take(cm_tape *tape, int64_t count, int64_t cols) {
    const cm_var *v = cm_tape_blank(tape, count, cols);
    return v ? v->value : (cm_mat){0};
}

static int64_t longest_segment(cm_segments segments) {
    int64_t longest = 0;
    for (int64_t s = 0; s < segments.count; s++) {
        int64_t count = segments.end[s] - segments.begin[s];
        longest = count > longest ? count : longest;
    }
    return longest;
}

static const int32_t *number_rows(cm_tape *tape, cm_segments segments, int64_t total) {
    int32_t *positions = cm_tape_memory(tape, (size_t)total * sizeof *positions);
    for (int64_t s = 0; positions && s < segments.count; s++)
        for (int64_t t = segments.begin[s]; t < segments.end[s]; t++)
            positions[t] = (int32_t)(t - segments.begin[s]);
    return positions;
}

static cm_status status_of(const cm_transformer *model, cm_error *error) {
    CM_TRY(cm_tape_status(model->tape, error));
    for (int i = 0; i < model->n_own; i++) CM_TRY(cm_tape_status(model->own[i], error));
    return CM_OK;
}

/* All rows from the attention of layer i to that of the next one; i -1: from the embedding. */
static cm_status advance(stack *all, int i, int layers, cm_error *error) {
    const cm_transformer *model = all->model;
    step s = {.all = all};
    if (i >= 0) {
        s.before = &model->layer[i];
        attend(all, s.before);
    } else if (model->embed_norm.weight) {
        s.norm = &model->embed_norm;
    }
    if (i + 1 < layers) {
        s.after = &model->layer[i + 1];
        fill_angles(all, s.after);
    } else if (i + 1 == model->layers && model->final_norm.weight) {
        s.norm = &model->final_norm;
    }
    CM_TRY(cm_tape_status(model->tape, error));
    run_step(s);
    return status_of(model, error);
}

cm_status cm_transformer_layers_run(cm_transformer *model, int layers, cm_segments segments, cm_mat x,
                                    cm_error *error) {
    cm_tape *tape = model->tape;
    stack all = {.model = model, .segments = segments, .x = x};
    all.qkv = take(tape, x.rows, 3 * model->hidden);
    all.heads = take(tape, x.rows, model->hidden);
    all.positions = number_rows(tape, segments, x.rows);
    if (model->rules->rotary)
        all.angles = take(tape, longest_segment(segments), model->hidden / model->heads);
    CM_TRY(cm_tape_status(tape, error));
    for (int i = -1; i < layers; i++) CM_TRY(advance(&all, i, layers, error));
    return CM_OK;
}
