/* What cm_train can put into a model file (train/learner.h), fitted and asked in the same way. */
#include "eval/predictor.h"
#include "train/learner.h"

static cm_status run(const cm_predictor_call *call, cm_error *error) {
    const cm_learner *learner;
    cm_options options = *call->options;
    bool paper = call->track == CM_TRACK_PAPER;
    if (paper) options.validation = 0;
    cm_fit_request fit = {.name = call->name,
                          .options = &options,
                          .dataset = call->dataset,
                          .features = call->features,
                          .index = call->train,
                          .n = call->n_train,
                          .labels = call->label,
                          .asked = call->test,
                          .n_asked = call->n_test,
                          .watch = paper ? call->test : NULL,
                          .n_watch = paper ? call->n_test : 0,
                          .curve = call->curve,
                          .trouble = call->trouble};
    cm_model *model = NULL;
    cm_status status = cm_learner_find(&learner, call->name, error);
    if (status == CM_OK) status = learner->fit(&model, &fit, NULL, call->runtime, error);
    if (status == CM_OK)
        status = cm_model_scores(model, call->features, call->dataset, call->test, call->n_test, 0, NULL,
                                 call->score, error);
    for (int64_t i = 0; status == CM_OK && i < call->n_test; i++)
        call->value[i] = cm_model_value(model, call->score[i]);
    if (status == CM_OK) {
        *call->threshold = model->threshold;
        if (call->conformal) *call->conformal = model->conformal;
    }
    cm_model_close(model);
    return status;
}

const cm_predictor cm_predictor_trained = {
    .name = "trained",
    .help = "what a model file can hold",
    .serves = CM_SERVES_ALL,
    .kept = true,
    .row = cm_learner_row,
    .run = run,
};
