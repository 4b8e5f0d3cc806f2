/* Checkpoints: the state of a training run on disk, so that a run that is stopped or killed goes on to the
 * bits of an undisturbed one.
 *
 * PATH holds the last state and PATH.previous the one before it. A write renames PATH to PATH.previous,
 * writes the new state under a temporary name and puts it in PATH's place: whenever the process or the
 * machine dies, one of the two is whole, and no more room is needed than for two. A reader takes PATH, and
 * PATH.previous when PATH is damaged or not there. Files are sealed (io/sealed.h). Both states lead to the
 * same end, so falling back costs the time of one interval and nothing else.
 *
 * One process at a time may write (base/lock.h; cm_train holds the lock PATH.lock). */
#ifndef CM_TRAIN_CHECKPOINT_H
#define CM_TRAIN_CHECKPOINT_H

#include "nn/param.h"
#include "train/adamw.h"
#include <crossmamba/runtime.h>
#include <stdint.h>

/* What ends the steps that are skipped in a row, and the run (fit.h). */
enum { CM_SKIPS_IN_ROW = 3, CM_ROLL_BACKS = 3 };

/* Everything else of a run is a function of options, data and these. */
typedef struct cm_train_state {
    int64_t step;       /* steps gone through */
    double loss_sum;    /* of the steps of the current epoch that were made */
    int64_t loss_steps; /* their number */
    double best_loss;   /* lowest inner validation loss so far; infinite: none yet */
    int64_t best_epoch; /* its epoch, from 1; 0: none yet */
    bool stopped_early; /* patience ran out */
    int64_t skipped;    /* steps without a finite loss and gradient (fit.h) */
    int64_t in_row;     /* of these, the last ones in a row since the last roll-back */
    int64_t roll_backs;
    float *best; /* parameters of the best epoch, [cm_params_size], owned */
} cm_train_state;

typedef struct cm_train_checkpoint {
    const char *path; /* NULL: none */
    const char *key;  /* names data and options */
    int64_t n_steps,
        epoch_steps; /* of the run, of an epoch: what the counters of a file are checked against */
    bool current;    /* PATH holds a state of this run and becomes the previous one; kept by read and write */
} cm_train_checkpoint;

/* Writes parameters, optimiser and state. */
cm_status cm_train_checkpoint_write(cm_train_checkpoint *checkpoint, const cm_params *params, cm_adamw *adamw,
                                    const cm_train_state *state, cm_error *error);

/* Reads them back into params, adamw and state (state->best has its memory); on failure these are as they
 * were. runtime hears of a fall back. *found is false when there is neither file. CM_DATA when the file is of
 * other data or options (key) or of another version of the format, and when neither file is whole. */
cm_status cm_train_checkpoint_read(cm_train_checkpoint *checkpoint, const cm_params *params, cm_adamw *adamw,
                                   cm_train_state *state, bool *found, const cm_runtime *runtime,
                                   cm_error *error);

/* Whether one of both files of path is there; false too when out of memory. */
bool cm_train_checkpoint_exists(const char *path);

/* Removes both files of path; CM_IO when one cannot be removed. */
cm_status cm_train_checkpoint_remove(const char *path, cm_error *error);

#endif
