/* Evaluation: cross-validation on the honest track. Every choice (epoch, threshold, calibration) is made on
 * an inner validation fold of the training part, never on the test fold. */
#ifndef CROSSMAMBA_EVAL_H
#define CROSSMAMBA_EVAL_H

#include <crossmamba/dataset.h>
#include <crossmamba/error.h>
#include <crossmamba/model.h>
#include <crossmamba/options.h>
#include <crossmamba/runtime.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct cm_eval_request {
    cm_options options;
    const char *const *models; /* names of fusion networks to compare, and "id-only" for the baseline */
    int n_models;
    int folds;             /* random folds over the pairs, stratified by label; 0: the given folds */
    const char *test_fold; /* with given folds: only this value is tested (the rest trains), or NULL */
    const char
        *train_fold; /* with given folds: only this value trains, every other value is tested in turn */
    const char *predictions_path; /* pooled out-of-fold predictions as TSV, or NULL */
    int shuffle_labels;           /* 1: labels permuted first (y-scrambling) */
    const char *checkpoint_path; /* finished (model, fold) units are kept here and not computed again; NULL */
} cm_eval_request;

/* One line of the result: a metric of a model, pooled over all test folds and as mean and standard
 * deviation over the folds. */
typedef struct cm_eval_line {
    const char *model;  /* "crossmamba", ..., "id-only" */
    const char *fold;   /* "all", or with train_fold the tested value */
    const char *metric; /* "MCC", "AUROC", "Pearson", ... */
    double pooled, mean, sd;
    double low, high; /* 95 % interval of the pooled value: bootstrap over pairs' A and B molecules */
    long pairs;
    int folds;
} cm_eval_line;

typedef int (*cm_eval_sink)(void *context, const cm_eval_line *line);

cm_status cm_eval(const cm_eval_request *request, const cm_dataset *dataset, cm_eval_sink sink, void *context,
                  const cm_runtime *runtime, cm_error *error);

/* The same metrics for a trained model on a data set with labels, and the id-only baseline is left out. */
cm_status cm_eval_model(cm_model *model, const cm_dataset *dataset, const char *predictions_path,
                        cm_eval_sink sink, void *context, const cm_runtime *runtime, cm_error *error);

#ifdef __cplusplus
}
#endif
#endif
