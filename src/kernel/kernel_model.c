/* Fitting a kernel model. */
#include "kernel/kernel_model.h"
#include "base/alloc.h"
#include "kernel/distinct.h"
#include "metrics/metrics.h"
#include <math.h>
#include <string.h>

void cm_kernel_model_destroy(cm_kernel_model *model) {
    if (!model) return;
    for (int side = 0; side < 2; side++) {
        cm_kernel_side_clear(&model->side[side]);
        cm_free(model->place[side]);
    }
    cm_free(model->weight);
    cm_free(model->inner_score);
    cm_free(model);
}

static cm_status make_sides(cm_kernel_model *model, const cm_kernel_request *r, cm_error *error) {
    const int32_t *number[2] = {r->train.a, r->train.b};
    for (int side = 0; side < 2; side++) {
        cm_kernel_features *own = NULL;
        cm_distinct d;
        CM_TRY(cm_distinct_make(&d, number[side], r->train.n, r->features[side]->n, error));
        model->place[side] = d.place;
        cm_status status = cm_kernel_features_select(&own, r->features[side], d.list, d.count, error);
        cm_free(d.list);
        CM_TRY(status);
        CM_TRY(cm_kernel_side_create(&model->side[side], own, r->team, error));
    }
    return CM_OK;
}

/* Solves on all training pairs. */
static cm_status solve(cm_kernel_model *model, const cm_kernel_task *task, double *const gram[2],
                       double *target, cm_error *error) {
    cm_pair_solver *solver = NULL;
    int64_t m = task->side[0].features->n, q = task->side[1].features->n;
    for (int side = 0; side < 2; side++)
        cm_kernel_side_gram(&model->side[side], &model->shape[side], gram[side]);
    cm_pair_kernel kernel = {gram[0], gram[1], m, q};
    model->offset = cm_kernel_targets(task->affinity, task->label, NULL, task->pairs.n, target);
    CM_TRY(cm_pair_solver_create(&solver, m, q, &task->pairs, error));
    cm_ridge_path path = cm_kernel_path(&model->ridge, 1);
    cm_status status = cm_pair_ridge(solver, &kernel, &path, target, model->weight, task->team, error);
    cm_pair_solver_destroy(solver);
    return status;
}

static cm_status solve_with_room(cm_kernel_model *model, const cm_kernel_task *task, cm_error *error) {
    size_t m = (size_t)task->side[0].features->n, q = (size_t)task->side[1].features->n,
           n = (size_t)task->pairs.n;
    double *gram[2] = {cm_new(m * m, sizeof(double)), cm_new(q * q, sizeof(double))};
    double *target = cm_new(n, sizeof *target);
    model->weight = cm_new(n, sizeof *model->weight);
    cm_status status = gram[0] && gram[1] && target && model->weight
                           ? solve(model, task, gram, target, error)
                           : cm_fail_memory(error, (m * m + q * q + 2 * n) * sizeof(double));
    cm_free(gram[0]);
    cm_free(gram[1]);
    cm_free(target);
    return status;
}

/* Calibration, conformal bounds and threshold from held-out scores[n] and labels[n]; value [n] is work space.
 */
static cm_status calibrate_with(cm_kernel_model *model, const double *score, const double *label,
                                double *value, int64_t n, cm_error *error) {
    model->calibration = cm_calibrate(model->affinity, score, label, n);
    for (int64_t i = 0; i < n; i++) value[i] = cm_calibrated(&model->calibration, model->affinity, score[i]);
    model->threshold = 0.5;
    CM_TRY(cm_conformal_fit(model->affinity, score, value, label, n, &model->conformal, error));
    if (model->affinity || n == 0) return CM_OK;
    return cm_metrics_best_threshold(value, label, n, &model->threshold, error);
}

static cm_status calibrate(cm_kernel_model *model, const cm_kernel_task *task, cm_error *error) {
    size_t room = (size_t)task->pairs.n;
    int64_t n = 0;
    double *score = cm_new(3 * room, sizeof *score), *label = score ? score + room : NULL;
    if (!score) return cm_fail_memory(error, 3 * room * sizeof *score);
    for (int64_t i = 0; i < task->pairs.n; i++) {
        if (isnan(model->inner_score[i])) continue;
        score[n] = model->inner_score[i];
        label[n++] = task->label[i];
    }
    cm_status status = calibrate_with(model, score, label, label + room, n, error);
    cm_free(score);
    return status;
}

static cm_status fit(cm_kernel_model *model, const cm_kernel_request *r, cm_error *error) {
    CM_TRY(make_sides(model, r, error));
    cm_kernel_task task = {.affinity = r->affinity,
                           .side = model->side,
                           .pairs = {.a = model->place[0], .b = model->place[1], .n = r->train.n},
                           .label = r->label,
                           .cold = r->cold,
                           .seed = r->seed,
                           .team = r->team};
    cm_kernel_choice choice;
    cm_status status = cm_kernel_choose(&choice, &task, error);
    if (status != CM_OK) {
        cm_kernel_choice_clear(&choice);
        return status;
    }
    memcpy(model->shape, choice.shape, sizeof model->shape);
    model->ridge = choice.ridge;
    model->inner_loss = choice.loss;
    model->tried = choice.tried;
    model->inner_score = choice.score;
    CM_TRY(calibrate(model, &task, error));
    CM_TRY(solve_with_room(model, &task, error));
    cm_kernel_side_drop(&model->side[0]);
    cm_kernel_side_drop(&model->side[1]);
    return CM_OK;
}

cm_status cm_kernel_fit(cm_kernel_model **model, const cm_kernel_request *request, cm_error *error) {
    if (request->train.n < 1) return cm_fail(error, CM_DATA, NULL, "kernel", "pairs to train on", "none");
    cm_kernel_model *made = cm_new(1, sizeof *made);
    if (!made) return cm_fail_memory(error, sizeof *made);
    made->affinity = request->affinity;
    made->n_train = request->train.n;
    cm_status status = fit(made, request, error);
    if (status == CM_OK)
        *model = made;
    else
        cm_kernel_model_destroy(made);
    return status;
}
