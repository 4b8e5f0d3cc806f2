/* "mean:A/B/...": nothing is fitted beyond the members. Their scores of held-out pairs give the intervals,
 * and the card its figures. An affinity keeps the mean as it is: a line through held-out scores of a few
 * groups of new molecules moves a whole fold by more than it mends. */
#include "model/model_kind.h"
#include "model/parts.h"
#include "train/facts.h"
#include "train/members.h"

static cm_status join(cm_model *model, cm_members *members, double *mean, const cm_runtime *runtime,
                      cm_error *error) {
    (void)runtime;
    bool affinity = model->task->affinity;
    double threshold[CM_PARTS_MAX];
    int64_t n = members->inner.n;
    for (int64_t i = 0; i < members->n * n; i++)
        members->value[i] = cm_parts_term(affinity, members->score[i], members->value[i]);
    cm_parts_mean(members->value, members->n, n, mean);
    cm_fit_keep_scores(model, mean, members->label, n);
    for (int p = 0; p < members->n; p++) threshold[p] = model->part[p]->threshold;
    if (!affinity) model->threshold = cm_parts_threshold(threshold, members->n);
    return cm_fit_finish_calibrated(model, mean, members->label, n, error);
}

static cm_status fit(cm_model **model, const cm_fit_request *request, cm_team *team,
                     const cm_runtime *runtime, cm_error *error) {
    return cm_members_fit(model, &cm_kind_mean, cm_learner_mean.prefix, join, request, team, runtime, error);
}

const cm_learner cm_learner_mean = {
    .name = "mean:NAME/NAME",
    .help = "mean of plain predictors: of affinities, or of the logits of probabilities",
    .prefix = "mean:",
    .fit = fit,
};
