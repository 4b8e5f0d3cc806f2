/* "mean:A/B/...": nothing is fitted beyond the members. Their scores of held-out pairs give the intervals,
 * and the card its figures. An affinity keeps the mean as it is: a line through held-out scores of a few
 * groups of new molecules moves a whole fold by more than it mends. */
#include "base/alloc.h"
#include "model/model_kind.h"
#include "model/parts.h"
#include "train/facts.h"
#include "train/members.h"
#include <math.h>

/* The probability at which the mean logit of the parts' own thresholds lies. */
static double mean_threshold(const cm_model *model) {
    double bar = 0;
    for (int p = 0; p < model->n_parts; p++)
        bar += cm_model_handed(false, model->part[p]->threshold) / model->n_parts;
    return 1 / (1 + exp(-bar));
}

static cm_status finish(cm_model *model, const cm_members *members, double *mean, cm_error *error) {
    bool affinity = model->task->affinity;
    int64_t n = members->inner.n;
    for (int64_t i = 0; i < members->n * n; i++)
        members->value[i] = cm_parts_term(affinity, members->score[i], members->value[i]);
    cm_parts_mean(members->value, members->n, n, mean);
    cm_fit_keep_scores(model, mean, members->label, n);
    if (!affinity) model->threshold = mean_threshold(model);
    CM_TRY(cm_fit_finish_calibrated(model, mean, members->label, n, error));
    return cm_fit_note(
        model,
        json_pack("{s:I, s:i}", "training_pairs", (json_int_t)n, "inner_parts", members->inner.n_parts),
        error);
}

static cm_status fit(cm_model **model, const cm_fit_request *request, cm_team *team,
                     const cm_runtime *runtime, cm_error *error) {
    cm_model *m = NULL;
    cm_members members;
    CM_TRY(cm_fit_begin(&m, &cm_kind_mean, request, error));
    double *mean = cm_new((size_t)request->n, sizeof *mean);
    cm_status status = cm_members_fit(&members, m, cm_learner_mean.prefix, request, team, runtime, error);
    if (status == CM_OK && !mean) status = cm_fail_memory(error, (size_t)request->n * sizeof *mean);
    if (status == CM_OK) status = finish(m, &members, mean, error);
    if (status == CM_OK)
        *model = m;
    else
        cm_model_close(m);
    cm_members_clear(&members);
    cm_free(mean);
    return status;
}

const cm_learner cm_learner_mean = {
    .name = "mean:NAME/NAME",
    .help = "mean of plain predictors: of affinities, or of the logits of probabilities",
    .prefix = "mean:",
    .fit = fit,
};
