/* Running ops, recording them, and the backward pass. */
#include "nn/tape.h"
#include "base/alloc.h"
#include "base/rng.h"
#include <assert.h>
#include <string.h>

typedef struct var var;
struct var {
    cm_var face; /* first, so that a cm_var * is a var * */
    var *whole;  /* the var of which this one is a column slice */
    int64_t first;
    var *slices, *next_slice; /* the slices of this var */
    var *next_leaf;           /* parameters and variables */
    cm_params *params;
    int index;
    size_t grad_floats; /* what grad's memory holds */
    bool needs;         /* a gradient is wanted */
    bool used;          /* as a whole, not only through slices, by an op that gives it a gradient */
    bool reached;       /* some of the gradient has been written */
    bool tiled;         /* the gradient is written only through slices that are disjoint and cover it */
    bool written;       /* this var's gradient holds a value: add to it */
};

typedef struct node node;
struct node {
    const cm_op *op;
    const cm_op_version *version;
    cm_op_attr attr;
    cm_op_call call;
    cm_op_shape shape;
    var *in[CM_OP_MAX_IN], *out;
    node *previous;
};

/* Memory of a gradient that is no longer needed; the header lies in that memory. */
typedef struct spare spare;
struct spare {
    spare *next;
    size_t floats;
};

struct cm_tape {
    cm_team *team;
    cm_arena *arena;
    bool record, training, done;
    uint64_t noise_key, draws;
    node *last;
    var *leaves;
    spare *spares;
    cm_error error;
};

cm_tape *cm_tape_create(cm_team *team, bool record) {
    cm_tape *tape = cm_new(1, sizeof *tape);
    if (!tape) return NULL;
    tape->arena = cm_arena_create();
    if (!tape->arena) {
        cm_free(tape);
        return NULL;
    }
    tape->team = team;
    tape->record = record;
    return tape;
}

void cm_tape_destroy(cm_tape *tape) {
    if (!tape) return;
    cm_arena_destroy(tape->arena);
    cm_free(tape);
}

cm_team *cm_tape_team(const cm_tape *tape) {
    return tape->team;
}

bool cm_tape_records(const cm_tape *tape) {
    return tape->record;
}

void cm_tape_reset(cm_tape *tape, uint64_t noise_key, bool training) {
    cm_arena_reset(tape->arena);
    *tape = (cm_tape){.team = tape->team,
                      .arena = tape->arena,
                      .record = tape->record,
                      .training = training,
                      .noise_key = noise_key};
}

cm_status cm_tape_status(const cm_tape *tape, cm_error *error) {
    if (tape->error.status != CM_OK && error) *error = tape->error;
    return tape->error.status;
}

size_t cm_tape_peak_bytes(const cm_tape *tape) {
    return cm_arena_peak(tape->arena);
}

static bool failed(const cm_tape *tape) {
    return tape->error.status != CM_OK;
}

/* count elements of size bytes; NULL after a failure. */
static void *take(cm_tape *tape, size_t count, size_t size) {
    size_t bytes;
    if (failed(tape)) return NULL;
    if (!cm_size_mul(count, size, &bytes)) {
        cm_fail_memory(&tape->error, 0);
        return NULL;
    }
    void *memory = cm_arena_take(tape->arena, bytes ? bytes : 1);
    if (!memory) cm_fail_memory(&tape->error, bytes);
    return memory;
}

static float *take_matrix(cm_tape *tape, int64_t rows, int64_t cols) {
    size_t count;
    if (!cm_size_mul((size_t)rows, (size_t)cols, &count)) count = SIZE_MAX;
    return take(tape, count, sizeof(float));
}

/* From row to row of a matrix. Wide rows an even number of lines apart would meet in few sets of the first
 * cache when a matrix product reads several side by side. */
static int64_t row_distance(int64_t rows, int64_t cols) {
    enum { LINE = 16, WIDE = 256 };
    int64_t lines = cols / LINE + (cols % LINE > 0);
    return rows > 1 && cols >= WIDE ? (lines | 1) * LINE : cols;
}

/* A new matrix; data NULL after a failure. */
static cm_mat new_matrix(cm_tape *tape, int64_t rows, int64_t cols) {
    int64_t stride = row_distance(rows, cols);
    return (cm_mat){take_matrix(tape, rows, stride), rows, cols, stride};
}

void *cm_tape_memory(cm_tape *tape, size_t bytes) {
    return take(tape, 1, bytes);
}

/* Vars */

static var *new_var(cm_tape *tape, cm_mat value, bool needs) {
    var *v = take(tape, 1, sizeof *v);
    if (!v) return NULL;
    *v = (var){.face.value = value, .needs = needs && tape->record};
    /* an empty matrix is not an absent input */
    if (!value.data) v->face.value.data = take(tape, 1, sizeof(float));
    return failed(tape) ? NULL : v;
}

static cm_var *new_leaf(cm_tape *tape, cm_mat value) {
    var *v = new_var(tape, value, true);
    if (!v) return NULL;
    if (v->needs) {
        v->next_leaf = tape->leaves;
        tape->leaves = v;
    }
    return &v->face;
}

cm_var *cm_tape_input(cm_tape *tape, cm_mat value) {
    var *v = new_var(tape, value, false);
    return v ? &v->face : NULL;
}

cm_var *cm_tape_blank(cm_tape *tape, int64_t rows, int64_t cols) {
    cm_mat m = new_matrix(tape, rows, cols);
    return m.data ? cm_tape_input(tape, m) : NULL;
}

cm_var *cm_tape_variable(cm_tape *tape, cm_mat value) {
    return new_leaf(tape, value);
}

cm_var *cm_tape_param(cm_tape *tape, cm_params *params, int index) {
    for (var *v = tape->leaves; v; v = v->next_leaf)
        if (v->params == params && v->index == index) return failed(tape) ? NULL : &v->face;
    var *v = (var *)new_leaf(tape, cm_params_value(params, index));
    if (!v) return NULL;
    v->params = params;
    v->index = index;
    return &v->face;
}

cm_var *cm_tape_columns(cm_tape *tape, cm_var *whole, int64_t first, int64_t count) {
    if (failed(tape)) return NULL;
    assert(first >= 0 && count > 0 && first + count <= whole->value.cols);
    var *parent = (var *)whole;
    var *v = new_var(tape, cm_mat_columns(whole->value, first, count), parent->needs);
    if (!v) return NULL;
    if (!v->needs) return &v->face;
    v->first = first;
    if (parent->whole) {
        v->first += parent->first;
        parent = parent->whole;
    }
    v->whole = parent;
    v->next_slice = parent->slices;
    parent->slices = v;
    return &v->face;
}

/* Forward */

static bool wants_gradient(const node *n, int i) {
    return n->in[i] && n->in[i]->needs && (n->op->differentiable >> i & 1);
}

/* Fills the call of n from the inputs and asks the op for the shape. */
static bool prepare(cm_tape *tape, node *n, const cm_apply *with, int n_in, cm_var *const *in) {
    assert(n_in <= CM_OP_MAX_IN);
    if (with) n->attr = with->attr;
    n->call = (cm_op_call){.attr = &n->attr, .n_in = n_in, .team = tape->team};
    if (with) {
        memcpy(n->call.segments, with->segments, sizeof n->call.segments);
        n->call.ids = with->ids;
        n->call.n_ids = with->n_ids;
    }
    for (int i = 0; i < n_in; i++) {
        n->in[i] = (var *)in[i];
        if (in[i]) n->call.in[i] = in[i]->value;
    }
    n->version = cm_op_best(n->op);
    return n->op->shape(&n->call, &n->shape, &tape->error) == CM_OK;
}

/* Keeps n for the backward pass. */
static bool remember(cm_tape *tape, const node *n) {
    node *kept = take(tape, 1, sizeof *kept);
    if (!kept) return false;
    *kept = *n;
    kept->call.attr = &kept->attr;
    kept->call.scratch = NULL;
    kept->previous = tape->last;
    tape->last = kept;
    for (int i = 0; i < n->call.n_in; i++)
        if (wants_gradient(n, i) && !n->in[i]->whole) n->in[i]->used = true;
    return true;
}

/* Whether a gradient will flow through n; a carried state and packed weights have none. */
static bool needs_gradient(cm_tape *tape, const node *n) {
    bool needs = false;
    for (int i = 0; i < n->call.n_in; i++) needs |= wants_gradient(n, i);
    if (needs && n->attr.carry)
        cm_fail(&tape->error, CM_USAGE, NULL, n->op->name, "no carried state in a recording", "one");
    if (needs && n->attr.packed)
        cm_fail(&tape->error, CM_USAGE, NULL, n->op->name, "no packed weights in a recording", "some");
    return needs;
}

/* Where n writes to: new memory, or what the caller gave, which must fit and cannot be kept for a backward
 * pass. */
static void open_result(cm_tape *tape, node *n, cm_mat into, bool needs) {
    if (!into.data)
        n->call.out = new_matrix(tape, n->shape.rows, n->shape.cols);
    else if (needs)
        cm_fail(&tape->error, CM_USAGE, NULL, n->op->name, "a result of the recording's own", "one given");
    else if (into.rows != n->shape.rows || into.cols != n->shape.cols || into.stride < into.cols)
        cm_fail(&tape->error, CM_USAGE, NULL, n->op->name,
                cm_format("room for %lld x %lld", (long long)n->shape.rows, (long long)n->shape.cols).text,
                "%lld x %lld", (long long)into.rows, (long long)into.cols);
    else
        n->call.out = into;
    n->out = failed(tape) ? NULL : new_var(tape, n->call.out, needs);
}

cm_var *cm_tape_apply(cm_tape *tape, const cm_op *op, const cm_apply *with, int n_in, cm_var *const *in) {
    node n = {.op = op};
    if (failed(tape) || !prepare(tape, &n, with, n_in, in)) return NULL;
    bool needs = needs_gradient(tape, &n);
    open_result(tape, &n, with ? with->into : (cm_mat){0}, needs);
    if (needs) n.call.saved = take(tape, n.shape.saved_floats, sizeof(float));
    cm_arena_mark mark = cm_arena_position(tape->arena);
    if (!needs) n.call.saved = take(tape, n.shape.saved_floats, sizeof(float));
    n.call.scratch = take(tape, n.shape.scratch_floats, sizeof(float));
    if (failed(tape)) return NULL;
    n.version->forward(&n.call);
    cm_arena_release(tape->arena, mark);
    if (needs && !remember(tape, &n)) return NULL;
    return &n.out->face;
}

/* Backward */

/* Memory for a gradient: the smallest spare piece that is large enough and not twice too large, else
 * new. */
static float *grab(cm_tape *tape, size_t floats, size_t *capacity) {
    spare **best = NULL;
    for (spare **s = &tape->spares; *s; s = &(*s)->next)
        if ((*s)->floats >= floats && (*s)->floats / 2 <= floats && (!best || (*s)->floats < (*best)->floats))
            best = s;
    if (best) {
        spare *found = *best;
        *best = found->next;
        *capacity = found->floats;
        return (float *)found;
    }
    *capacity = floats < 16 ? 16 : floats;
    return take(tape, *capacity, sizeof(float));
}

static void recycle(cm_tape *tape, var *v) {
    spare *s = (spare *)v->face.grad.data;
    if (!s) return;
    *s = (spare){.next = tape->spares, .floats = v->grad_floats};
    tape->spares = s;
    v->face.grad.data = NULL;
}

static void zero(cm_mat m) {
    for (int64_t r = 0; r < m.rows; r++) memset(cm_mat_row(m, r), 0, (size_t)m.cols * sizeof(float));
}

static bool overlap(const var *a, const var *b) {
    return a->first < b->first + b->face.value.cols && b->first < a->first + a->face.value.cols;
}

/* Whether the slices of v are disjoint and cover all its columns. */
static bool slices_tile(const var *v) {
    int64_t covered = 0;
    for (const var *s = v->slices; s; s = s->next_slice) {
        covered += s->face.value.cols;
        for (const var *t = s->next_slice; t; t = t->next_slice)
            if (overlap(s, t)) return false;
    }
    return covered == v->face.value.cols;
}

/* Gives the whole var v memory for its gradient. */
static bool open_gradient(cm_tape *tape, var *v) {
    cm_mat value = v->face.value;
    if (v->params) {
        v->face.grad = cm_params_grad(v->params, v->index);
    } else {
        float *data = grab(tape, (size_t)(value.rows * value.stride), &v->grad_floats);
        if (!data) return false;
        v->face.grad = (cm_mat){data, value.rows, value.cols, value.stride};
    }
    v->reached = true;
    if (!v->slices) return true;
    v->tiled = !v->used && slices_tile(v);
    if (!v->tiled) {
        zero(v->face.grad);
        v->written = true;
    }
    return true;
}

/* The gradient of v as a place to write to; *accumulate tells whether it holds a value already. */
static bool touch(cm_tape *tape, var *v, cm_mat *grad, bool *accumulate) {
    var *whole = v->whole ? v->whole : v;
    if (!whole->reached && !open_gradient(tape, whole)) return false;
    *grad = v->whole ? cm_mat_columns(whole->face.grad, v->first, v->face.value.cols) : whole->face.grad;
    v->face.grad = *grad;
    *accumulate = whole->written || v->written;
    v->written = true;
    return true;
}

/* Puts 0 into the columns of a tiled gradient that no slice has written. */
static void finish_slices(var *v) {
    if (!v->reached || !v->tiled) return;
    for (var *s = v->slices; s; s = s->next_slice)
        if (!s->written) zero(cm_mat_columns(v->face.grad, s->first, s->face.value.cols));
}

/* Whether input i shares gradient memory with an earlier input of n. */
static bool aliased(const node *n, int i) {
    const var *v = n->in[i], *whole = v->whole ? v->whole : v;
    for (int j = 0; j < i; j++) {
        if (!wants_gradient(n, j)) continue;
        const var *w = n->in[j];
        if ((w->whole ? w->whole : w) == whole && overlap(v, w)) return true;
    }
    return false;
}

static void add_to(cm_mat sum, cm_mat m) {
    for (int64_t r = 0; r < m.rows; r++)
        for (int64_t c = 0; c < m.cols; c++) cm_mat_row(sum, r)[c] += cm_mat_row(m, r)[c];
}

static bool backward_node(cm_tape *tape, node *n) {
    cm_mat target[CM_OP_MAX_IN];
    bool apart[CM_OP_MAX_IN] = {false};
    cm_op_call *call = &n->call;
    call->grad_out = n->out->face.grad;
    for (int i = 0; i < call->n_in; i++) {
        if (!wants_gradient(n, i)) continue;
        if (!touch(tape, n->in[i], &target[i], &call->accumulate[i])) return false;
        call->grad_in[i] = target[i];
        apart[i] = aliased(n, i);
    }
    cm_arena_mark mark = cm_arena_position(tape->arena);
    for (int i = 0; i < call->n_in; i++) {
        if (!apart[i]) continue;
        cm_mat m = target[i];
        call->grad_in[i] = cm_mat_of(take_matrix(tape, m.rows, m.cols), m.rows, m.cols);
        call->accumulate[i] = false;
    }
    call->scratch = take(tape, n->shape.scratch_floats, sizeof(float));
    if (failed(tape)) return false;
    n->version->backward(call);
    for (int i = 0; i < call->n_in; i++)
        if (apart[i]) add_to(target[i], call->grad_in[i]);
    cm_arena_release(tape->arena, mark);
    return true;
}

/* Completes the gradients of parameters and variables. */
static void finish_leaves(cm_tape *tape, cm_params *params, bool *reached) {
    for (var *v = tape->leaves; v; v = v->next_leaf) {
        finish_slices(v);
        if (v->params == params && v->reached) reached[v->index] = true;
    }
    int count = params ? cm_params_count(params) : 0;
    for (int i = 0; i < count; i++)
        if (!reached[i]) zero(cm_params_grad(params, i));
}

cm_status cm_tape_backward(cm_tape *tape, cm_params *params, cm_var *loss, cm_error *error) {
    CM_TRY(cm_tape_status(tape, error));
    if (!tape->record || tape->done || loss->value.rows != 1 || loss->value.cols != 1)
        return cm_fail(error, CM_USAGE, NULL, "backward pass", "one scalar loss of a recording",
                       "a loss of %lld x %lld", (long long)loss->value.rows, (long long)loss->value.cols);
    tape->done = true;
    if (params) cm_params_open_gradients(params, &tape->error);
    size_t count = params ? (size_t)cm_params_count(params) : 0;
    bool *reached = take(tape, count, sizeof *reached);
    if (reached) memset(reached, 0, count * sizeof *reached);
    cm_mat seed;
    bool accumulate;
    if (!failed(tape) && ((var *)loss)->needs && touch(tape, (var *)loss, &seed, &accumulate))
        seed.data[0] = 1;
    for (node *n = tape->last; n && !failed(tape); n = n->previous) {
        if (!n->out->reached) continue;
        finish_slices(n->out);
        if (backward_node(tape, n)) recycle(tape, n->out);
    }
    if (!failed(tape)) finish_leaves(tape, params, reached);
    return cm_tape_status(tape, error);
}

/* Short forms */

cm_var *cm_tape_linear(cm_tape *tape, cm_var *x, cm_var *w, cm_var *b, cm_activation activation) {
    cm_apply with = {.attr.activation = activation};
    return cm_tape_apply(tape, &cm_op_linear, &with, 3, (cm_var *[]){x, w, b});
}

cm_var *cm_tape_unary(cm_tape *tape, const cm_op *op, cm_var *x) {
    return cm_tape_apply(tape, op, NULL, 1, &x);
}

cm_var *cm_tape_binary(cm_tape *tape, const cm_op *op, cm_var *a, cm_var *b) {
    return cm_tape_apply(tape, op, NULL, 2, (cm_var *[]){a, b});
}

cm_var *cm_tape_layer_norm(cm_tape *tape, cm_var *x, cm_var *w, cm_var *b, float eps) {
    cm_apply with = {.attr.eps = eps};
    return cm_tape_apply(tape, &cm_op_layer_norm, &with, 3, (cm_var *[]){x, w, b});
}

cm_var *cm_tape_concat(cm_tape *tape, int n, cm_var *const *parts) {
    return cm_tape_apply(tape, &cm_op_concat, NULL, n, parts);
}

cm_var *cm_tape_segment_mean(cm_tape *tape, cm_var *x, cm_segments segments) {
    cm_apply with = {.segments = {segments}};
    return cm_tape_apply(tape, &cm_op_segment_mean, &with, 1, &x);
}

/* The key of this call's random numbers. */
static uint64_t draw_key(cm_tape *tape) {
    return cm_rng_key(tape->noise_key, tape->draws++, 0);
}

cm_var *cm_tape_dropout(cm_tape *tape, cm_var *x, float probability) {
    if (!tape->training || probability <= 0) return x;
    cm_apply with = {.attr = {.probability = probability, .rng_key = draw_key(tape)}};
    return cm_tape_apply(tape, &cm_op_dropout, &with, 1, &x);
}

cm_var *cm_tape_noise(cm_tape *tape, cm_var *x, float sigma) {
    if (!tape->training || sigma <= 0) return x;
    cm_apply with = {.attr = {.sigma = sigma, .rng_key = draw_key(tape)}};
    return cm_tape_apply(tape, &cm_op_noise, &with, 1, &x);
}

/* Reuse of memory without recording */

cm_arena_mark cm_tape_begin(cm_tape *tape) {
    return cm_arena_position(tape->arena);
}

void cm_tape_release(cm_tape *tape, cm_arena_mark mark) {
    if (!tape->record && !failed(tape)) cm_arena_release(tape->arena, mark);
}

cm_var *cm_tape_end(cm_tape *tape, cm_arena_mark mark, cm_var *keep) {
    if (tape->record || failed(tape)) return failed(tape) ? NULL : keep;
    cm_mat from = keep->value;
    cm_arena_release(tape->arena, mark);
    float *data = take_matrix(tape, from.rows, from.cols);
    if (!data) return NULL;
    /* pieces are taken in order, so data lies at or below from and rows can move one by one */
    bool there = data == from.data && from.stride == from.cols;
    for (int64_t r = 0; !there && r < from.rows; r++)
        memmove(data + r * from.cols, cm_mat_row(from, r), (size_t)from.cols * sizeof(float));
    return cm_tape_input(tape, cm_mat_of(data, from.rows, from.cols));
}
