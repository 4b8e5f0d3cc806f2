/* Every fusion network, by the training loop of fit.c. */
#include "train/learner.h"
#include <stdio.h>
#include <string.h>

static cm_status fit(cm_model **model, const cm_fit_request *request, cm_team *team,
                     const cm_runtime *runtime, cm_error *error) {
    cm_options options = *request->options;
    cm_fit_request own = *request;
    if (strcmp(request->name, cm_learner_network.name) != 0)
        snprintf(options.fusion, sizeof options.fusion, "%s", request->name);
    own.options = &options;
    return cm_fit(model, &own, team, runtime, error);
}

const cm_learner cm_learner_network = {
    .name = "network",
    .help = "a fusion network",
    .row = cm_fusion_row,
    .fit = fit,
};
