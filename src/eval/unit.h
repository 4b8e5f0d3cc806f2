/* One unit of an evaluation: a model trained on one part of the pairs and tested on another. */
#ifndef CM_EVAL_UNIT_H
#define CM_EVAL_UNIT_H

#include "data/split_file.h"
#include "eval/stage.h"
#include "metrics/conformal.h"
#include "train/fit.h"
#include <crossmamba/eval.h>
#include <stdbool.h>

typedef struct cm_eval_unit {
    const char *model;           /* name of a predictor */
    char member[CM_MEMBER_NAME]; /* memory behind model where the caller of the evaluation has none */
    int model_number, repeat, fold;
    const bool *train; /* by pair, not owned: the pairs that train */
    int64_t *test;     /* tested pairs, owned */
    int64_t n_test;
    double *score, *value; /* [n_test], owned: raw score and calibrated value */
    double threshold;
    cm_conformal conformal; /* NaN: the predictor promises nothing */
    cm_fit_curve curve;     /* epochs owned; none: not trained by epochs */
    cm_fit_trouble trouble; /* of a second stage: of the trainings behind it */
    bool done;
} cm_eval_unit;

void cm_eval_add_trouble(cm_fit_trouble *sum, const cm_fit_trouble *more);

/* What the units share. */
typedef struct cm_eval_plan {
    cm_eval_request own;            /* the caller's, with the inner split chosen */
    const cm_eval_request *request; /* own */
    const cm_dataset *dataset;
    const cm_features *features;
    cm_splits splits;
    const cm_similarity *similarity; /* NULL when no predictor looks at it */
    float *label;                    /* by pair; permuted when asked for */
    bool *train;                     /* [masks][n_pairs]: owned, one mask a (repeat, fold) */
    cm_eval_unit *units;
    int64_t n_units;
} cm_eval_plan;

/* Lists all units of the request. plan must not move. */
cm_status cm_eval_plan_make(cm_eval_plan *plan, const cm_eval_request *request, const cm_dataset *dataset,
                            const cm_runtime *runtime, cm_error *error);
void cm_eval_plan_clear(cm_eval_plan *plan);

/* Fills one unit: from the checkpoint folder when it is there, else by training. stage: NULL for a plain
 * predictor. Thread-safe. */
cm_status cm_eval_unit_run(const cm_eval_plan *plan, cm_eval_unit *unit, const struct cm_stage_input *stage,
                           const cm_runtime *runtime, cm_error *error);

/* Runs all units of a plan over the team: first what trains by itself, with the parts of second stages, then
 * the stages. */
cm_status cm_eval_plan_run(cm_eval_plan *plan, cm_team *team, const cm_runtime *runtime, cm_error *error);

/* Room for n scores and values. */
cm_status cm_eval_unit_room(cm_eval_unit *unit, int64_t n, cm_error *error);
void cm_eval_unit_clear(cm_eval_unit *unit);

/* Writes the predictions of all units of plans as TSV, atomically: model, repeat, fold, id_a, id_b, label,
 * score, value, threshold, track. */
cm_status cm_eval_predictions(const char *path, const cm_eval_plan *plans, int n_plans, cm_error *error);

#endif
