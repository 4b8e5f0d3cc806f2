/* The parts of a training run. A private part of train/fit.c: setting up (fit_setup.c), the loop (fit.c). */
#ifndef CM_TRAIN_FIT_PARTS_H
#define CM_TRAIN_FIT_PARTS_H

#include "metrics/calibrate.h"
#include "model/model_kind.h"
#include "train/adamw.h"
#include "train/checkpoint.h"
#include "train/fit.h"
#include <time.h>

/* What a counter of the generator is for. */
enum { CM_KEY_HOLD_OUT = 1, CM_KEY_ORDER, CM_KEY_NOISE, CM_KEY_MEMBER };

/* Everything of one run; the clear function frees it at any stage. */
typedef struct cm_fit_run {
    const cm_fit_request *request;
    const cm_options *options;
    const struct cm_fit_run
        *lead; /* the first network of the ensemble, whose division this one shares; NULL: itself */
    cm_team *team;
    const cm_runtime *runtime;
    cm_model *model;
    const cm_op *loss;
    cm_calibration_method calibration;
    int64_t *train, *valid, *order; /* pair numbers; order: positions in train */
    int64_t n_train, n_valid;
    float *target;                                   /* by pair: what the network's output is compared with */
    float class_weight[2];                           /* by label, binary */
    int64_t *batch_index;                            /* [max(batch, n_valid)] */
    float *batch_label, *batch_weight;               /* the same */
    double *valid_label, *valid_score, *valid_value; /* [n_valid]: label, raw score, calibrated value */
    double *watch_label, *watch_score;               /* [n_watch] */
    cm_tape *tape, *valid_tape;
    cm_gather *gather;
    cm_adamw *adamw;
    cm_train_state state;
    char key[65]; /* of the checkpoint */
    cm_train_checkpoint checkpoint;
    int64_t steps_per_epoch;
    struct timespec last_checkpoint;
} cm_fit_run;

/* Divides the pairs, makes model, targets and engine, and the key of the checkpoint, as request and options
 * say; what was made before a failure is cm_fit_clear's to free. */
cm_status cm_fit_setup(cm_fit_run *f, cm_error *error);
void cm_fit_clear(cm_fit_run *f);

#endif
