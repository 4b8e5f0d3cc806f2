/* "kernel": kernel ridge on the products of molecule kernels (kernel/kernel_model.h). The inner folds hold
 * out whole molecules of a side when most tested pairs have a molecule there that no training pair has: the
 * choice is then made for the question that is asked. Which molecules are tested is looked at for that, never
 * their labels. */
#include "base/alloc.h"
#include "eval/predictor.h"
#include "kernel/kernel_model.h"

/* A call's pairs as plain columns. */
typedef struct columns {
    int32_t *train[2], *test[2];
    double *label;
    cm_kernel_features *features[2];
} columns;

static void columns_clear(columns *c) {
    for (int side = 0; side < 2; side++) {
        cm_free(c->train[side]);
        cm_free(c->test[side]);
        cm_kernel_features_destroy(c->features[side]);
    }
    cm_free(c->label);
}

static cm_status make_features(columns *c, const cm_predictor_call *call, int side, cm_error *error) {
    const cm_dataset *d = call->dataset;
    size_t m = (size_t)d->n_entities[side];
    const char **text = cm_new(m, sizeof *text);
    int64_t *length = cm_new(m, sizeof *length);
    cm_status status = text && length ? CM_OK : cm_fail_memory(error, m * 16);
    for (size_t i = 0; i < m && status == CM_OK; i++) {
        text[i] = d->entities[side][i].text;
        length[i] = d->entities[side][i].length;
    }
    if (status == CM_OK)
        status = cm_kernel_features_create(&c->features[side], side ? d->task->b : d->task->a, text, length,
                                           (int64_t)m, NULL, error);
    cm_free(text);
    cm_free(length);
    return status;
}

static cm_status columns_make(columns *c, const cm_predictor_call *call, cm_error *error) {
    size_t n = (size_t)call->n_train, tested = (size_t)call->n_test;
    *c = (columns){.label = cm_new(n, sizeof *c->label)};
    if (!c->label) return cm_fail_memory(error, n * sizeof *c->label);
    for (size_t i = 0; i < n; i++) c->label[i] = (double)call->label[call->train[i]];
    for (int side = 0; side < 2; side++) {
        c->train[side] = cm_new(n, sizeof(int32_t));
        c->test[side] = cm_new(tested, sizeof(int32_t));
        if (!c->train[side] || !c->test[side]) return cm_fail_memory(error, (n + tested) * sizeof(int32_t));
        for (size_t i = 0; i < n; i++) c->train[side][i] = call->dataset->pairs[call->train[i]].entity[side];
        for (size_t i = 0; i < tested; i++)
            c->test[side][i] = call->dataset->pairs[call->test[i]].entity[side];
        CM_TRY(make_features(c, call, side, error));
    }
    return CM_OK;
}

/* Whether most tested pairs have a molecule on side that no training pair has. */
static cm_status is_cold(const columns *c, const cm_predictor_call *call, int side, bool *cold,
                         cm_error *error) {
    bool *known = cm_new((size_t)call->dataset->n_entities[side], sizeof *known);
    if (!known) return cm_fail_memory(error, (size_t)call->dataset->n_entities[side]);
    int64_t unknown = 0;
    for (int64_t i = 0; i < call->n_train; i++) known[c->train[side][i]] = true;
    for (int64_t i = 0; i < call->n_test; i++) unknown += !known[c->test[side][i]];
    *cold = 2 * unknown > call->n_test;
    cm_free(known);
    return CM_OK;
}

static cm_status fit_and_score(const columns *c, const cm_predictor_call *call, cm_error *error) {
    const bool affinity = call->dataset->task->affinity;
    bool cold[2];
    for (int side = 0; side < 2; side++) CM_TRY(is_cold(c, call, side, &cold[side], error));
    cm_kernel_request request = {.affinity = affinity,
                                 .features = {c->features[0], c->features[1]},
                                 .train = {c->train[0], c->train[1], call->n_train},
                                 .label = c->label,
                                 .cold =
                                     (cm_kernel_cold)((cold[0] ? CM_COLD_A : 0) | (cold[1] ? CM_COLD_B : 0)),
                                 .seed = (uint64_t)call->options->seed};
    cm_kernel_model *model = NULL;
    CM_TRY(cm_kernel_fit(&model, &request, error));
    cm_pair_list asked = {c->test[0], c->test[1], call->n_test};
    cm_status status =
        cm_kernel_scores(model, (const cm_kernel_features *const[2]){c->features[0], c->features[1]}, &asked,
                         call->score, NULL, error);
    for (int64_t i = 0; i < call->n_test && status == CM_OK; i++)
        call->value[i] = cm_calibrated(&model->calibration, affinity, call->score[i]);
    *call->threshold = model->threshold;
    if (call->conformal) *call->conformal = model->conformal;
    cm_kernel_model_destroy(model);
    return status;
}

static cm_status run(const cm_predictor_call *call, cm_error *error) {
    columns c;
    cm_status status = columns_make(&c, call, error);
    if (status == CM_OK) status = fit_and_score(&c, call, error);
    columns_clear(&c);
    return status;
}

const cm_predictor cm_predictor_kernel = {
    .name = "kernel",
    .help = "kernel ridge on the products of both sides' spectrum and fingerprint kernels",
    .serves = CM_SERVES_ALL,
    .kept = true,
    .run = run,
};
