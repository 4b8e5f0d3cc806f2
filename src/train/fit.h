/* Fitting a model to pairs: the loop that cm_train and the cross-validation share. */
#ifndef CM_TRAIN_FIT_H
#define CM_TRAIN_FIT_H

#include "base/buf.h"
#include "model/network.h"
#include <crossmamba/runtime.h>

/* One epoch of a learning curve: mean training loss, inner validation loss, metric of the watched pairs (MCC
 * at probability 0.5, or Pearson); NaN: there are none. */
typedef struct cm_epoch {
    double loss, inner_loss, watched;
} cm_epoch;
enum { CM_EPOCH_NUMBERS = sizeof(cm_epoch) / sizeof(double) };
typedef struct cm_fit_curve {
    cm_epoch *epochs; /* [n], to be freed by the owner */
    int64_t n;
} cm_fit_curve;

/* Steps that were skipped, and roll-backs, of all networks that one call trains. */
typedef struct cm_fit_trouble {
    int64_t skipped, roll_backs;
} cm_fit_trouble;

typedef struct cm_fit_request {
    const char *name; /* of the learner (train/learner.h); cm_fit itself fits the network of options */
    const cm_options *options;
    const cm_dataset *dataset;
    const cm_features *features;
    const int64_t *index; /* the pairs that may be used, for training and inner validation */
    int64_t n;
    const float *labels; /* by pair of the data set, in place of its own labels; NULL: its own */
    /* Pairs that the model will be asked about, as far as is known: which molecules of theirs are new says on
     * what kind of inner folds to choose. Their labels are not looked at. NULL: not known,
     * options->inner_split says it. */
    const int64_t *asked;
    int64_t n_asked;
    const char *checkpoint_path; /* NULL: none */
    double checkpoint_seconds;   /* least time between checkpoints */
    bool resume;                 /* start from the checkpoint when there is one; CM_DATA when it belongs to
                                    other data or options */
    /* Biased, for the paper track alone: pairs that are scored after every epoch and choose the best one in
       place of the inner fold; there is no early stop. NULL: none. */
    const int64_t *watch;
    int64_t n_watch;
    cm_fit_curve *curve;     /* zeroed by the caller; gets the epochs of this call; NULL: not wanted */
    cm_fit_trouble *trouble; /* what this call meets is added; NULL: not wanted */
} cm_fit_request;

/* Where member k >= 1 of an ensemble keeps its checkpoint, beside that of the first; false: out of memory. */
bool cm_fit_member_path(cm_buf *path, const char *checkpoint_path, int k);

/* Trains and gives a model with weights of the best epoch, calibration and threshold, all chosen on the inner
 * validation fold. With options->ensemble K networks of different seeds are trained on the same division; the
 * calibration is chosen for their mean score. A pure function of options, data and index: neither team nor
 * resuming changes a bit.
 *
 * A step whose loss or gradient is no finite number is skipped: weights, moments and AdamW's count of steps
 * stay as they are, the run warns, counts it (the card says how many) and goes on with the next batch.
 * CM_SKIPS_IN_ROW of them in a row roll it back: to the weights of the best epoch so far, those of the
 * beginning when there is none, with AdamW as at the beginning and half the learning rate from then on. A run
 * that would roll back more than CM_ROLL_BACKS times ends with CM_NUMERIC, as does one that never had an
 * epoch with finite weights and a finite inner validation loss; no model has other weights than finite ones.
 * All this is a function of the state that a checkpoint keeps.
 *
 * When runtime asks to stop, a checkpoint is written (if there is a path) and
 * CM_INTERRUPTED returned. */
cm_status cm_fit(cm_model **model, const cm_fit_request *request, cm_team *team, const cm_runtime *runtime,
                 cm_error *error);

#endif
