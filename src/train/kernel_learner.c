/* Kernel ridge regression (kernel/kernel_model.h). Its inner folds hold out whole molecules of a side when
 * that is what the model will be asked. */
#include "base/alloc.h"
#include "kernel/kernel_model.h"
#include "model/model_kind.h"
#include "train/facts.h"
#include "train/learner.h"
#include <math.h>

/* The pairs as plain columns. */
typedef struct columns {
    int32_t *number[2];
    double *label;
} columns;

static void columns_clear(columns *c) {
    cm_free(c->number[0]);
    cm_free(c->number[1]);
    cm_free(c->label);
}

static cm_status columns_make(columns *c, const cm_fit_request *r, cm_error *error) {
    size_t n = (size_t)r->n;
    *c = (columns){{cm_new(n, sizeof(int32_t)), cm_new(n, sizeof(int32_t))}, cm_new(n, sizeof(double))};
    if (!c->number[0] || !c->number[1] || !c->label) return cm_fail_memory(error, n * 16);
    for (int64_t i = 0; i < r->n; i++) {
        for (int side = 0; side < 2; side++) c->number[side][i] = r->dataset->pairs[r->index[i]].entity[side];
        c->label[i] = cm_fit_label(r, i);
    }
    return CM_OK;
}

/* Calibrates on the scores of the inner folds; a pair that none held out has none. */
static cm_status calibrate(cm_model *model, const double *label, cm_error *error) {
    const cm_kernel_model *k = model->kernel;
    double *score = cm_new(2 * (size_t)k->n_train, sizeof *score), *known = score ? score + k->n_train : NULL;
    int64_t n = 0;
    if (!score) return cm_fail_memory(error, 2 * (size_t)k->n_train * sizeof *score);
    for (int64_t i = 0; i < k->n_train; i++) {
        if (isnan(k->inner_score[i])) continue;
        score[n] = k->inner_score[i];
        known[n++] = label[i];
    }
    cm_status status = cm_fit_finish(model, score, known, n, error);
    cm_free(score);
    return status;
}

static cm_status learn(cm_model *model, const cm_fit_request *r, const columns *c, cm_team *team,
                       cm_error *error) {
    const cm_kernel_features *features[2];
    CM_TRY(cm_kernel_inputs_get(r->features->kernels, r->dataset, features, error));
    cm_kernel_request request = {.affinity = model->task->affinity,
                                 .features = {features[0], features[1]},
                                 .train = {.a = c->number[0], .b = c->number[1], .n = r->n},
                                 .label = c->label,
                                 .seed = (uint64_t)r->options->seed,
                                 .team = team};
    bool fresh[2];
    CM_TRY(cm_fit_new_sides(r, fresh, error));
    request.cold = (cm_kernel_cold)((fresh[0] ? CM_COLD_A : 0) | (fresh[1] ? CM_COLD_B : 0));
    CM_TRY(cm_kernel_fit(&model->kernel, &request, error));
    CM_TRY(calibrate(model, c->label, error));
    return cm_fit_note(model,
                       json_pack("{s:I, s:I, s:f}", "training_pairs", (json_int_t)r->n, "shapes_tried",
                                 (json_int_t)model->kernel->tried, "inner_loss", model->kernel->inner_loss),
                       error);
}

static cm_status fit(cm_model **model, const cm_fit_request *request, cm_team *team,
                     const cm_runtime *runtime, cm_error *error) {
    (void)runtime; /* a fit takes seconds to minutes */
    cm_model *m = NULL;
    columns c;
    CM_TRY(cm_fit_begin(&m, &cm_kind_kernel, request, error));
    cm_status status = columns_make(&c, request, error);
    if (status == CM_OK) status = learn(m, request, &c, team, error);
    columns_clear(&c);
    if (status == CM_OK)
        *model = m;
    else
        cm_model_close(m);
    return status;
}

const cm_learner cm_learner_kernel = {
    .name = "kernel",
    .help = "kernel ridge on the products of both sides' spectrum and fingerprint kernels",
    .fit = fit,
};
