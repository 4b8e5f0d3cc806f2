/* An evaluation while it runs: plans, results, scrambled runs. */
#ifndef CM_EVAL_EVALUATION_H
#define CM_EVAL_EVALUATION_H

#include "eval/result.h"

/* What a model reaches with permuted labels, run by run. */
typedef struct cm_scramble {
    const char *model;
    double *values; /* [metrics][runs], owned: pooled */
    int runs;
} cm_scramble;

enum { CM_EVAL_TRACKS = 2 };
typedef struct cm_evaluation {
    const cm_eval_request *request;
    const cm_dataset *dataset;
    cm_similarity *similarity;                     /* NULL: no predictor looks at it */
    cm_eval_request track_request[CM_EVAL_TRACKS]; /* the request with one track */
    cm_eval_plan plans[CM_EVAL_TRACKS];
    int n_plans;
    cm_eval_result *results; /* by track, model, fold name */
    int64_t n_results;
    cm_scramble *scrambles; /* by model; NULL: none */
} cm_evaluation;

/* Of the runs of a metric: how many are at least as good as real; mean, sd, and the extremes. */
typedef struct cm_scramble_summary {
    double mean, sd, low, high;
    int as_good;
} cm_scramble_summary;
cm_scramble_summary cm_scramble_of(const cm_scramble *scramble, bool affinity, int metric, double real);

/* The result that a scramble stands beside: the model's first. */
const cm_eval_result *cm_scramble_real(const cm_evaluation *evaluation, const cm_scramble *scramble);

/* Sends the lines with the track "scrambled". */
cm_status cm_scramble_send(const cm_evaluation *evaluation, cm_eval_sink sink, void *context,
                           cm_error *error);

/* Writes the record (docs/record.md), atomically. */
cm_status cm_eval_record(const cm_evaluation *evaluation, cm_error *error);

#endif
