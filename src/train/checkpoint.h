/* The state of a training run that a checkpoint keeps. */
#ifndef CM_TRAIN_CHECKPOINT_H
#define CM_TRAIN_CHECKPOINT_H

#include "nn/param.h"
#include "train/adamw.h"
#include <stdint.h>

/* Everything else of a run is a function of options, data and these. */
typedef struct cm_train_state {
    int64_t step;       /* optimiser steps made */
    double loss_sum;    /* of the steps of the current epoch */
    double best_loss;   /* lowest inner validation loss so far */
    int64_t best_epoch; /* its epoch, from 1; 0: none yet */
    bool stopped_early; /* patience ran out */
    float *best;        /* parameters of the best epoch, [cm_params_size], owned */
} cm_train_state;

/* Writes parameters, optimiser and state, atomically. key names data and options. */
cm_status cm_checkpoint_write(const char *path, const char *key, const cm_params *params, cm_adamw *adamw,
                              const cm_train_state *state, cm_error *error);

/* Reads it back into params, adamw and state (state->best has its memory). CM_DATA when the file is damaged
 * or was written for another key. *found is false when there is no file. */
cm_status cm_checkpoint_read(const char *path, const char *key, cm_params *params, cm_adamw *adamw,
                             cm_train_state *state, bool *found, cm_error *error);

#endif
