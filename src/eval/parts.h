/* The trainings behind second stages: every member of a stage on every inner part and on the whole training
 * part, each once, however many stages of the same fold want it. */
#ifndef CM_EVAL_PARTS_H
#define CM_EVAL_PARTS_H

#include "eval/unit.h"
#include "train/inner.h"

/* The inner division of one (repeat, fold). */
typedef struct cm_eval_division {
    int repeat, fold;
    const cm_eval_unit *unit; /* one of the units that it divides */
    int64_t *train;           /* [n_train] pairs */
    int64_t n_train;
    cm_inner inner;
    bool *mask; /* [n_parts][n_pairs]: pairs that train a part */
} cm_eval_division;

/* One training: a plain unit, and which part it is. */
typedef struct cm_eval_part {
    cm_eval_unit unit;
    int division, number; /* number: the inner part, -1: the whole training part */
} cm_eval_part;

typedef struct cm_eval_parts {
    cm_eval_division *divisions;
    int n_divisions;
    cm_eval_part *parts;
    int64_t n_parts;
} cm_eval_parts;

/* Lists what the stages of the plan need beside the plan's own units. Clear also after a failure. */
cm_status cm_eval_parts_make(cm_eval_parts *parts, const cm_eval_plan *plan, cm_error *error);
void cm_eval_parts_clear(cm_eval_parts *parts);

/* Fills a unit of a stage from its finished parts. */
cm_status cm_eval_stage_run(const cm_eval_plan *plan, const cm_eval_parts *parts, cm_eval_unit *unit,
                            const cm_runtime *runtime, cm_error *error);

#endif
