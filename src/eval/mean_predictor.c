/* "mean:A/B/...": the plain mean of the members, each trained once. Of affinities it takes the scores as they
 * are: a line through held-out scores of a few groups of new molecules moves a whole fold by more than it
 * mends. */
#include "eval/choice.h"
#include "eval/stage.h"
#include <math.h>

static double mean_of(const double *x, int64_t stride, int n) {
    double sum = 0;
    for (int i = 0; i < n; i++) sum += x[i * stride];
    return sum / n;
}

static double probability(double logit) {
    return 1 / (1 + exp(-logit));
}

static cm_status run(const cm_predictor_call *call, cm_error *error) {
    (void)error;
    const struct cm_stage_input *in = call->stage;
    int64_t m = call->n_test;
    if (call->dataset->task->affinity) {
        for (int64_t i = 0; i < m; i++) call->score[i] = mean_of(in->raw + i, m, in->n_members);
        cm_choice_clip(call);
        return CM_OK;
    }
    double bar = 0;
    for (int k = 0; k < in->n_members; k++) bar += cm_model_handed(false, in->threshold[k]) / in->n_members;
    *call->threshold = probability(bar);
    for (int64_t i = 0; i < m; i++) {
        call->score[i] = mean_of(in->test + i, m, in->n_members);
        call->value[i] = probability(call->score[i]);
    }
    return CM_OK;
}

const cm_predictor cm_predictor_mean = {
    .name = "mean:NAME/NAME",
    .help = "mean of predictors: of affinities, or of the logits of probabilities",
    .serves = CM_SERVES_ALL,
    .stage = true,
    .whole = true,
    .run = run,
};
