/* Lines of the runs with permuted labels. */
#include "eval/evaluation.h"
#include <math.h>
#include <string.h>

cm_scramble_summary cm_scramble_of(const cm_scramble *scramble, bool affinity, int metric, double real) {
    const double *value = scramble->values + (int64_t)metric * scramble->runs;
    cm_scramble_summary s = {.sd = NAN, .low = INFINITY, .high = -INFINITY};
    int direction = cm_metrics_direction(affinity, metric), runs = scramble->runs;
    double square = 0;
    for (int i = 0; i < runs; i++) {
        s.mean += value[i] / runs;
        s.low = fmin(s.low, value[i]);
        s.high = fmax(s.high, value[i]);
        s.as_good += direction * value[i] >= direction * real;
    }
    for (int i = 0; i < runs; i++) square += (value[i] - s.mean) * (value[i] - s.mean);
    if (runs > 1) s.sd = sqrt(square / (runs - 1));
    return s;
}

const cm_eval_result *cm_scramble_real(const cm_evaluation *e, const cm_scramble *scramble) {
    for (int64_t i = 0; i < e->n_results; i++)
        if (strcmp(e->results[i].group.model, scramble->model) == 0) return &e->results[i];
    return NULL;
}

static cm_status send_model(const cm_evaluation *e, const cm_scramble *scramble, cm_eval_sink sink,
                            void *context, cm_error *error) {
    const cm_eval_result *real = cm_scramble_real(e, scramble);
    for (int m = 0; real && m < cm_metrics_count(real->affinity); m++) {
        cm_scramble_summary s = cm_scramble_of(scramble, real->affinity, m, real->pooled[m]);
        cm_eval_line line = {.model = scramble->model,
                             .fold = "all",
                             .metric = cm_metrics_name(real->affinity, m),
                             .pooled = s.mean,
                             .mean = s.mean,
                             .sd = s.sd,
                             .low = s.low,
                             .high = s.high,
                             .pairs = real->pairs,
                             .units = scramble->runs,
                             .track = "scrambled",
                             .reference = scramble->model,
                             .difference = s.mean - real->pooled[m],
                             .difference_low = NAN,
                             .difference_high = NAN,
                             .p = (1.0 + s.as_good) / (1.0 + scramble->runs),
                             .coverage = NAN,
                             .width = NAN};
        if (sink(context, &line) != 0)
            return cm_fail(error, CM_INTERRUPTED, NULL, NULL, NULL, "stopped by the receiver of the results");
    }
    return CM_OK;
}

cm_status cm_scramble_send(const cm_evaluation *e, cm_eval_sink sink, void *context, cm_error *error) {
    for (int m = 0; e->scrambles && m < e->request->n_models; m++)
        CM_TRY(send_model(e, &e->scrambles[m], sink, context, error));
    return CM_OK;
}
