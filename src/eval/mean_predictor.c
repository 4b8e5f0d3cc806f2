/* "mean:A/B/...": the plain mean of the members (train/mean_learner.c), each trained once: there are no
 * intervals, which alone would need inner folds. */
#include "eval/choice.h"
#include "eval/stage.h"
#include "model/parts.h"
#include <math.h>

static double probability(double logit) {
    return 1 / (1 + exp(-logit));
}

static cm_status run(const cm_predictor_call *call, cm_error *error) {
    (void)error;
    const struct cm_stage_input *in = call->stage;
    int64_t m = call->n_test;
    if (call->dataset->task->affinity) {
        cm_parts_mean(in->raw, in->n_members, m, call->score);
        cm_choice_clip(call);
        return CM_OK;
    }
    *call->threshold = cm_parts_threshold(in->threshold, in->n_members);
    cm_parts_mean(in->test, in->n_members, m, call->score);
    for (int64_t i = 0; i < m; i++) call->value[i] = probability(call->score[i]);
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
