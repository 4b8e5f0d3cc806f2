/* What all kinds of models have in common: creating one, its value of a score, scoring pairs through its
 * kind. */
#include "base/alloc.h"
#include "model/model_kind.h"
#include <math.h>
#include <string.h>

static const cm_model_kind *const kinds[] = {
#define CM_MODEL_KIND_ROW(name) &cm_kind_##name,
#include "model/model_kinds.def"
};

const cm_model_kind *cm_model_kind_find(const char *name) {
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        if (strcmp(kinds[k]->name, name) == 0) return kinds[k];
    return NULL;
}

cm_status cm_model_create(cm_model **model, const cm_model_kind *kind, const cm_task *task,
                          const cm_options *options, const int64_t width[CM_SIDES], cm_error *error) {
    cm_model *m = cm_new(1, sizeof *m);
    if (!m) return cm_fail_memory(error, sizeof *m);
    m->kind = kind;
    m->task = task;
    m->options = *options;
    cm_features_resolve(&m->options, task);
    m->label_sd = 1.0;
    m->threshold = 0.5;
    m->calibration = (cm_calibration){.slope = 1.0};
    m->conformal = (cm_conformal){NAN, {NAN, NAN}};
    m->facts = json_object();
    cm_status status = m->facts ? CM_OK : cm_fail_memory(error, 0);
    for (int side = 0; side < CM_SIDES && status == CM_OK; side++)
        status = cm_standard_create(&m->standard[side], width[side], error);
    if (status != CM_OK) {
        cm_model_close(m);
        return status;
    }
    *model = m;
    return CM_OK;
}

void cm_model_close(cm_model *model) {
    if (!model) return;
    model->kind->clear(model);
    cm_domain_clear(&model->domain[0]);
    cm_domain_clear(&model->domain[1]);
    for (int side = 0; side < CM_SIDES; side++) cm_standard_clear(&model->standard[side]);
    cm_free(model->identity[0]);
    cm_free(model->identity[1]);
    json_decref(model->facts);
    cm_free(model->card);
    cm_free(model->card_text);
    cm_free(model);
}

cm_status cm_model_note_encoders(cm_model *model, const cm_features *features, cm_error *error) {
    for (int side = 0; side < 2; side++) {
        cm_free(model->identity[side]);
        model->identity[side] = cm_copy_text(features->identity[side], strlen(features->identity[side]));
        if (!model->identity[side]) return cm_fail_memory(error, 0);
        model->precision[side] = features->precision[side];
    }
    return CM_OK;
}

cm_status cm_model_locate_encoder(cm_model *model, int side, const char *reference, cm_error *error) {
    char *name = side == 0 ? model->options.encoder_a : model->options.encoder_b;
    return cm_encoder_relocate(name, reference, name, sizeof model->options.encoder_a, error);
}

const cm_task *cm_model_task(const cm_model *model) {
    return model->task;
}

const cm_options *cm_model_options(const cm_model *model) {
    return &model->options;
}

double cm_model_value(const cm_model *model, double score) {
    double value = cm_calibrated(&model->calibration, model->task->affinity, score);
    if (!model->task->affinity) return value;
    return value < model->label_least  ? model->label_least
           : value > model->label_most ? model->label_most
                                       : value;
}

double cm_model_handed(bool affinity, double value) {
    if (affinity) return value;
    double p = fmin(fmax(value, 1e-6), 1 - 1e-6);
    return log(p / (1 - p));
}

cm_status cm_scorer_open(cm_scorer **scorer, const cm_model *model, const cm_features *features,
                         const cm_dataset *dataset, int64_t batch, cm_team *team, cm_error *error) {
    cm_scorer *s = cm_new(1, sizeof *s);
    if (!s) return cm_fail_memory(error, sizeof *s);
    *s = (cm_scorer){model, features, dataset, batch, team, NULL};
    cm_status status = model->kind->open(s, error);
    if (status == CM_OK)
        *scorer = s;
    else
        cm_scorer_close(s);
    return status;
}

void cm_scorer_close(cm_scorer *scorer) {
    if (!scorer) return;
    scorer->model->kind->close(scorer);
    cm_free(scorer);
}

cm_status cm_scorer_run(cm_scorer *scorer, const int64_t *index, int64_t n, double *score, double *spread,
                        cm_error *error) {
    return scorer->model->kind->score(scorer, index, n, score, spread, error);
}

cm_status cm_model_scores(const cm_model *model, const cm_features *features, const cm_dataset *dataset,
                          const int64_t *index, int64_t n, int64_t batch, cm_team *team, double *score,
                          cm_error *error) {
    int64_t *all = NULL;
    if (!index) {
        all = cm_new((size_t)n, sizeof *all);
        if (!all) return cm_fail_memory(error, (size_t)n * sizeof *all);
        for (int64_t i = 0; i < n; i++) all[i] = i;
        index = all;
    }
    cm_scorer *scorer = NULL;
    cm_status status = cm_scorer_open(&scorer, model, features, dataset, batch, team, error);
    if (status == CM_OK) status = cm_scorer_run(scorer, index, n, score, NULL, error);
    cm_scorer_close(scorer);
    cm_free(all);
    return status;
}
