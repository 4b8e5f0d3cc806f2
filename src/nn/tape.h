/* The tape: runs ops at once and, when recording, remembers them for the backward pass.
 *
 * All memory comes from the tape's arena; cm_tape_reset gives it back and invalidates every var.
 * Errors are sticky: after the first failure every call returns NULL and does nothing, NULL inputs are
 * tolerated, and cm_tape_status tells what happened. So a network is written as a plain chain of calls
 * with one check at its end. Not thread-safe; the ops inside use the team. */
#ifndef CM_NN_TAPE_H
#define CM_NN_TAPE_H

#include "base/arena.h"
#include "nn/param.h"
#include "ops/op.h"

typedef struct cm_tape cm_tape;

/* A value on the tape. After cm_tape_backward grad is valid for variables and parameters; the memory of
 * the gradients of intermediate values is reused during the pass. */
typedef struct cm_var {
    cm_mat value;
    cm_mat grad; /* data NULL: no gradient was needed or reached */
} cm_var;

/* team may be NULL and stays the caller's. record: whether a backward pass will follow; without it
 * nothing is remembered. NULL when out of memory. */
cm_tape *cm_tape_create(cm_team *team, bool record);
void cm_tape_destroy(cm_tape *tape);
bool cm_tape_records(const cm_tape *tape);
cm_team *cm_tape_team(const cm_tape *tape); /* whose loops its ops run in; may be NULL */

/* Forgets all vars. noise_key keys dropout and noise of the coming pass (seed and step). training =
 * false turns dropout and noise into the identity. */
void cm_tape_reset(cm_tape *tape, uint64_t noise_key, bool training);

cm_status cm_tape_status(const cm_tape *tape, cm_error *error);
size_t cm_tape_peak_bytes(const cm_tape *tape);

/* Memory that lives as long as the vars of this moment, for segments and ids; not zeroed. NULL after a
 * failure. */
void *cm_tape_memory(cm_tape *tape, size_t bytes);

/* A constant; the memory stays the caller's and must outlive the pass. */
cm_var *cm_tape_input(cm_tape *tape, cm_mat value);
/* A constant [rows, cols] that the caller fills in; not zeroed, the memory is the tape's. Rows of many
 * columns may lie further apart than these, as those of results. */
cm_var *cm_tape_blank(cm_tape *tape, int64_t rows, int64_t cols);
/* As cm_tape_input with a gradient (for tests and input attributions). */
cm_var *cm_tape_variable(cm_tape *tape, cm_mat value);
/* A parameter; its gradient goes to cm_params_grad. */
cm_var *cm_tape_param(cm_tape *tape, cm_params *params, int index);
/* A column slice; its gradient is part of the whole's gradient. */
cm_var *cm_tape_columns(cm_tape *tape, cm_var *whole, int64_t first, int64_t count);

/* Applies op to inputs in[n] (NULL: absent). attr, segments (0 to 2) and ids may be NULL/0; attr is
 * copied, ids and segments must outlive the pass (one application when the tape does not record). into: where
 * the result goes, of its shape, instead of to memory of the tape (data NULL); it may be an input of the op
 * if the op's file says so. attr.carry, attr.packed and into are refused where a gradient would be needed. */
typedef struct cm_apply {
    cm_op_attr attr;
    cm_segments segments[CM_OP_MAX_SEGMENTS];
    const int32_t *ids;
    int64_t n_ids;
    cm_mat into;
} cm_apply;
cm_var *cm_tape_apply(cm_tape *tape, const cm_op *op, const cm_apply *with, int n, cm_var *const *in);

/* Gradients of the 1x1 var loss with respect to everything it depends on; once per recording. Parameter
 * gradients are overwritten (those of unused parameters become 0). params may be NULL when the pass used
 * none. */
cm_status cm_tape_backward(cm_tape *tape, cm_params *params, cm_var *loss, cm_error *error);

/* Short forms. b may be NULL. */
cm_var *cm_tape_linear(cm_tape *tape, cm_var *x, cm_var *w, cm_var *b, cm_activation activation);
cm_var *cm_tape_unary(cm_tape *tape, const cm_op *op, cm_var *x);
cm_var *cm_tape_binary(cm_tape *tape, const cm_op *op, cm_var *a, cm_var *b);
cm_var *cm_tape_layer_norm(cm_tape *tape, cm_var *x, cm_var *w, cm_var *b, float eps);
cm_var *cm_tape_concat(cm_tape *tape, int n, cm_var *const *parts);
cm_var *cm_tape_segment_mean(cm_tape *tape, cm_var *x, cm_segments segments);
/* Identity when the pass is not a training pass or the amount is 0. Each call in a pass draws its own
 * numbers. */
cm_var *cm_tape_dropout(cm_tape *tape, cm_var *x, float probability);
cm_var *cm_tape_noise(cm_tape *tape, cm_var *x, float sigma);

/* Between begin and end the tape may reuse memory when it does not record: end moves keep's value to
 * where begin stood and frees the rest. While recording both do nothing. */
cm_arena_mark cm_tape_begin(cm_tape *tape);
cm_var *cm_tape_end(cm_tape *tape, cm_arena_mark mark, cm_var *keep);
/* As cm_tape_end with nothing to keep. */
void cm_tape_release(cm_tape *tape, cm_arena_mark mark);

#endif
