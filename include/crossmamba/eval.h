/* Evaluation: cross-validation on two tracks that are never mixed.
 *
 * Honest: every choice (epoch, threshold, calibration) is made on an inner validation fold of the training
 * part, never on the test fold.
 *
 * Paper, biased: the published protocol of the field, to stand beside published figures. A network trains on
 * the whole training part for all epochs, the epoch that is best on the test fold is kept (MCC at probability
 * 0.5, or Pearson), probabilities are not calibrated, and the mean of an affinity is taken over the best
 * three tenths of the folds. Its figures are higher than what new pairs will show. */
#ifndef CROSSMAMBA_EVAL_H
#define CROSSMAMBA_EVAL_H

#include <crossmamba/dataset.h>
#include <crossmamba/error.h>
#include <crossmamba/export.h>
#include <crossmamba/model.h>
#include <crossmamba/options.h>
#include <crossmamba/runtime.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum cm_track { CM_TRACK_HONEST, CM_TRACK_PAPER, CM_TRACK_BOTH } cm_track;
/* "honest", "paper (biased)" */
CM_API const char *cm_track_name(cm_track track);

/* Zero-initialise, then set what is needed. */
typedef struct cm_eval_request {
    cm_options options;
    const char *const *models; /* names of predictors to compare (cm_predictor_row) */
    int n_models;
    const char *split;       /* kind of split (cm_split_row); NULL: "stratified", or "column" with folds 0 */
    int folds;               /* folds (of each cold side); 0: the kind's default */
    const char *splits_path; /* read the splits from this file instead, repeats too; or NULL */
    const char *save_splits_path; /* write the splits there, for the same data set; or NULL */
    const char *test_fold;        /* with given folds: only this value is tested, the rest trains; or NULL */
    const char *train_fold; /* with given folds: only this value trains, every other one is tested; or NULL */
    int repeats;            /* whole evaluations with seeds seed, seed + 1, ...; 0 or 1: one */
    int shuffle_labels; /* K > 0: labels are permuted over the pairs first, by permutation K of the seed */
    cm_track track;
    int scramble;                  /* y-scrambling: so many whole evaluations with permuted labels on top */
    const char *reference;         /* the model that the others are compared with; NULL: the first */
    const char *record_path;       /* everything as JSON (docs/record.md), or NULL */
    const char *command;           /* command line for the record, or NULL */
    const char *predictions_path;  /* out-of-fold predictions as TSV, or NULL */
    const char *checkpoint_folder; /* finished (model, repeat, fold) units are kept in this folder and not
                                      computed again; or NULL */
} cm_eval_request;

/* One line of the result: a metric of a model over the tested pairs. */
typedef struct cm_eval_line {
    const char *model;  /* "crossmamba", ..., "id-only" */
    const char *fold;   /* "all", or with train_fold the tested value */
    const char *metric; /* "MCC", "AUROC", "Pearson", ... */
    double pooled;      /* over all tested pairs together (mean over repeats) */
    double mean, sd;    /* over repeats and folds; sd is NaN for a single one */
    double low, high;   /* 95 % interval of the pooled value: bootstrap over A and B molecules */
    long pairs;         /* tested pairs */
    int units;          /* repeats x folds behind mean and sd */
    /* "honest", "paper (biased)", or "scrambled": then pooled and mean are the mean over the runs with
       permuted labels, low and high their extremes, p the share of runs, the real one counted, that are as
       good as it */
    const char *track;
    const char *reference;                              /* the model compared with, "" in its own lines */
    double difference, difference_low, difference_high; /* this - reference, pooled, paired bootstrap */
    double p;                                           /* two-sided, of the difference */
    double coverage, width; /* of 90 % conformal intervals (mean width) or sets (mean classes); NaN: none */
} cm_eval_line;

typedef int (*cm_eval_sink)(void *context, const cm_eval_line *line);

CM_API cm_status cm_eval(const cm_eval_request *request, const cm_dataset *dataset, cm_eval_sink sink,
                         void *context, const cm_runtime *runtime, cm_error *error);

/* The same metrics for a trained model on a data set with labels (model is "model" in the lines). */
CM_API cm_status cm_eval_model(cm_model *model, const cm_dataset *dataset, const char *predictions_path,
                               cm_eval_sink sink, void *context, const cm_runtime *runtime, cm_error *error);

#ifdef __cplusplus
}
#endif
#endif
