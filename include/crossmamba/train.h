/* Training. */
#ifndef CROSSMAMBA_TRAIN_H
#define CROSSMAMBA_TRAIN_H

#include <crossmamba/dataset.h>
#include <crossmamba/error.h>
#include <crossmamba/export.h>
#include <crossmamba/options.h>
#include <crossmamba/runtime.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct cm_train_request {
    cm_options options;
    /* What is fitted: "network" (options.fusion), a name of cm_learner_row, "stack:NAME/NAME" or
     * "mean:NAME/NAME"; NULL: "network". cm_task.predictor is what is ahead for a task. */
    const char *predictor;
    const char *model_path;      /* written at the end, atomically */
    const char *checkpoint_path; /* NULL: model_path with ".checkpoint" added; removed at the end */
    double checkpoint_seconds;   /* least time between checkpoints; 0: every step */
    int resume;                  /* continue from the checkpoint, or the one before it, when there is one */
    const char *notes;           /* free text for the card, or NULL */
    const char *licence;         /* licence notes of the data for the card, or NULL */
    const char *evaluation;      /* results of an evaluation of the same recipe for the card, or NULL */
} cm_train_request;

/* Trains on dataset (with labels) and writes the model file. When runtime asks to stop, the checkpoint is
 * written and CM_INTERRUPTED returned. Results depend on dataset and options alone. One call at a time for a
 * checkpoint: CM_IO otherwise. A step whose loss or gradient is no finite number is skipped with a warning,
 * several in a row go back to an earlier state with a lower learning rate (docs/reliability.md); CM_NUMERIC
 * when that does not help. */
CM_API cm_status cm_train(const cm_train_request *request, const cm_dataset *dataset,
                          const cm_runtime *runtime, cm_error *error);

#ifdef __cplusplus
}
#endif
#endif
