/* Every fusion network, trained as cm_train does. */
#include "eval/predictor.h"
#include "train/fit.h"
#include <stdio.h>

static cm_status run(const cm_predictor_call *call, cm_error *error) {
    cm_options options = *call->options;
    snprintf(options.fusion, sizeof options.fusion, "%s", call->name);
    bool paper = call->track == CM_TRACK_PAPER;
    if (paper) options.validation = 0;
    cm_fit_request fit = {.options = &options,
                          .dataset = call->dataset,
                          .features = call->features,
                          .index = call->train,
                          .n = call->n_train,
                          .labels = call->label,
                          .watch = paper ? call->test : NULL,
                          .n_watch = paper ? call->n_test : 0,
                          .curve = call->curve};
    cm_model *model = NULL;
    cm_status status = cm_fit(&model, &fit, NULL, call->runtime, error);
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

const cm_predictor cm_predictor_network = {
    .name = "network",
    .help = "a fusion network",
    .serves = CM_SERVES_ALL,
    .kept = true,
    .row = cm_fusion_row,
    .run = run,
};
