/* Evaluation: all units over the threads, then the summaries. */
#include "base/alloc.h"
#include "base/log.h"
#include "eval/evaluation.h"
#include "eval/predictor.h"
#include "model/network.h"
#include <crossmamba/eval.h>
#include <crossmamba/predict.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* Number of a model in the request, -1: not there. */
static int model_of(const cm_eval_request *request, const char *name) {
    for (int m = 0; m < request->n_models; m++)
        if (strcmp(request->models[m], name) == 0) return m;
    return -1;
}

/* *similarity becomes true when a predictor looks at it. */
static cm_status check_request(const cm_eval_request *request, const cm_dataset *dataset, bool *similarity,
                               cm_error *error) {
    if (request->n_models < 1) return cm_fail(error, CM_USAGE, NULL, "models", "at least one model", "none");
    if (!dataset->options.labels)
        return cm_fail(error, CM_USAGE, NULL, "data set", "a data set with labels", "none");
    for (int m = 0; m < request->n_models; m++)
        CM_TRY(cm_predictor_check(request->models[m], dataset->task->affinity, similarity, error));
    if (request->reference && model_of(request, request->reference) < 0)
        return cm_fail(error, CM_USAGE, NULL, "reference", "one of the models", "%s", request->reference);
    if (request->checkpoint_folder && mkdir(request->checkpoint_folder, 0777) != 0 && errno != EEXIST)
        return cm_fail_errno(error, request->checkpoint_folder, "cannot make the folder", errno);
    return CM_OK;
}

/* ---- results ---- */

static cm_eval_group group_of(const cm_eval_plan *plan, int model) {
    int64_t n = plan->n_units / plan->request->n_models;
    return (cm_eval_group){.units = plan->units + model * n,
                           .n_units = n,
                           .model = plan->request->models[model],
                           .fold_name = "all",
                           .track = plan->request->track,
                           .given_fold = -1,
                           .label = plan->label};
}

/* Numbers of the folds that are summarised by themselves (with a training fold: every other one), or -1 for
 * all pairs together; how many. fold: [n_folds + 1] */
static int64_t folds_shown(const cm_eval_request *r, const cm_dataset *d, int *fold) {
    int64_t n = 0;
    for (int64_t f = 0; r->folds == 0 && r->train_fold && f < d->n_folds; f++)
        if (strcmp(d->folds[f], r->train_fold) != 0) fold[n++] = (int)f;
    if (n == 0) fold[n++] = -1;
    return n;
}

/* The results of one plan, models by folds, each compared with the reference model. */
static cm_status plan_results(cm_evaluation *e, const cm_eval_plan *plan, const int *fold, int64_t n_folds,
                              cm_error *error) {
    const cm_eval_request *r = e->request;
    cm_eval_result *first = e->results + e->n_results;
    for (int m = 0; m < r->n_models; m++)
        for (int64_t f = 0; f < n_folds; f++) {
            cm_eval_group group = group_of(plan, m);
            group.given_fold = fold[f];
            if (fold[f] >= 0) group.fold_name = e->dataset->folds[fold[f]];
            CM_TRY(cm_eval_result_make(&e->results[e->n_results++], &group, e->dataset,
                                       (uint64_t)r->options.seed, r->record_path != NULL, error));
        }
    int reference = r->reference ? model_of(r, r->reference) : 0;
    for (int m = 0; m < r->n_models; m++)
        for (int64_t f = 0; f < n_folds && m != reference; f++)
            CM_TRY(cm_eval_result_compare(&first[m * n_folds + f], &first[reference * n_folds + f], error));
    return CM_OK;
}

static cm_status all_results(cm_evaluation *e, cm_error *error) {
    const cm_dataset *d = e->dataset;
    int *fold = cm_new((size_t)d->n_folds + 1, sizeof *fold);
    if (!fold) return cm_fail_memory(error, (size_t)d->n_folds * sizeof *fold);
    int64_t n = folds_shown(e->request, d, fold);
    size_t room = (size_t)n * (size_t)e->request->n_models * (size_t)e->n_plans;
    e->results = cm_new(room, sizeof *e->results);
    cm_status status = e->results ? CM_OK : cm_fail_memory(error, room * sizeof *e->results);
    for (int p = 0; p < e->n_plans && status == CM_OK; p++)
        status = plan_results(e, &e->plans[p], fold, n, error);
    cm_free(fold);
    return status;
}

static cm_status send_all(const cm_evaluation *e, cm_eval_sink sink, void *context, cm_error *error) {
    for (int64_t i = 0; i < e->n_results; i++)
        CM_TRY(cm_eval_result_send(&e->results[i], sink, context, error));
    return cm_scramble_send(e, sink, context, error);
}

/* ---- tracks and scrambled runs ---- */

/* A line for each model whose trainings, which say nothing themselves, met steps that are no numbers. */
static void report_trouble(const cm_eval_plan *plan, const cm_runtime *runtime) {
    for (int m = 0; m < plan->request->n_models; m++) {
        cm_eval_group group = group_of(plan, m);
        cm_fit_trouble sum = {0};
        const cm_eval_unit *first = NULL;
        for (const cm_eval_unit *unit = group.units; unit < group.units + group.n_units; unit++) {
            cm_eval_add_trouble(&sum, &unit->trouble);
            if (!first && unit->trouble.skipped > 0) first = unit;
        }
        if (first)
            cm_log(
                runtime, CM_LOG_WARNING,
                "%s: %lld steps were skipped for a loss or gradient that is no number, with %lld roll-backs, "
                "first in fold %d of repeat %d",
                group.model, (long long)sum.skipped, (long long)sum.roll_backs, first->fold + 1,
                first->repeat + 1);
    }
}

static cm_status run_track(cm_evaluation *e, cm_track track, const cm_features *features, cm_team *team,
                           const cm_runtime *runtime, cm_error *error) {
    cm_eval_request *request = &e->track_request[e->n_plans];
    cm_eval_plan *plan = &e->plans[e->n_plans++];
    *request = *e->request;
    request->track = track;
    if (track == CM_TRACK_PAPER)
        cm_log(
            runtime, CM_LOG_WARNING,
            "track paper (biased): the best epoch is chosen on the test fold, the threshold is 0.5, and an "
            "affinity's mean is over its best three tenths of the folds; for comparison with published "
            "figures alone");
    CM_TRY(cm_eval_plan_make(plan, request, e->dataset, runtime, error));
    plan->features = features;
    plan->similarity = e->similarity;
    CM_TRY(cm_eval_plan_run(plan, team, runtime, error));
    report_trouble(plan, runtime);
    return CM_OK;
}

static cm_status run_tracks(cm_evaluation *e, const cm_features *features, cm_team *team,
                            const cm_runtime *runtime, cm_error *error) {
    cm_track track = e->request->track;
    if (track != CM_TRACK_PAPER) CM_TRY(run_track(e, CM_TRACK_HONEST, features, team, runtime, error));
    if (track != CM_TRACK_HONEST) CM_TRY(run_track(e, CM_TRACK_PAPER, features, team, runtime, error));
    return CM_OK;
}

/* One evaluation with permuted labels, on the first track, one repeat. */
static cm_status scramble_once(cm_evaluation *e, int run, const cm_features *features, cm_team *team,
                               const cm_runtime *runtime, cm_error *error) {
    cm_eval_request request = e->track_request[0];
    cm_eval_plan plan = {0};
    request.shuffle_labels = run + 1;
    request.repeats = 1;
    request.save_splits_path = NULL;
    cm_status status = cm_eval_plan_make(&plan, &request, e->dataset, NULL, error);
    plan.features = features;
    plan.similarity = e->similarity;
    if (status == CM_OK) status = cm_eval_plan_run(&plan, team, runtime, error);
    for (int m = 0; m < request.n_models && status == CM_OK; m++) {
        double out[CM_METRICS_MAX];
        cm_eval_group group = group_of(&plan, m);
        status = cm_eval_pooled(&group, e->dataset, out, error);
        for (int k = 0; k < cm_metrics_count(e->dataset->task->affinity) && status == CM_OK; k++)
            e->scrambles[m].values[k * request.scramble + run] = out[k];
    }
    cm_eval_plan_clear(&plan);
    return status;
}

static cm_status run_scrambles(cm_evaluation *e, const cm_features *features, cm_team *team,
                               const cm_runtime *runtime, cm_error *error) {
    const cm_eval_request *r = e->request;
    if (r->scramble < 1) return CM_OK;
    e->scrambles = cm_new((size_t)r->n_models, sizeof *e->scrambles);
    if (!e->scrambles) return cm_fail_memory(error, (size_t)r->n_models * sizeof *e->scrambles);
    for (int m = 0; m < r->n_models; m++) {
        e->scrambles[m] = (cm_scramble){
            r->models[m], cm_new((size_t)r->scramble * CM_METRICS_MAX, sizeof(double)), r->scramble};
        if (!e->scrambles[m].values) return cm_fail_memory(error, (size_t)r->scramble * sizeof(double));
    }
    for (int run = 0; run < r->scramble; run++) CM_TRY(scramble_once(e, run, features, team, runtime, error));
    return CM_OK;
}

static void evaluation_clear(cm_evaluation *e) {
    for (int64_t i = 0; i < e->n_results; i++) cm_eval_result_clear(&e->results[i]);
    for (int m = 0; e->scrambles && m < e->request->n_models; m++) cm_free(e->scrambles[m].values);
    for (int p = 0; p < e->n_plans; p++) cm_eval_plan_clear(&e->plans[p]);
    cm_free(e->results);
    cm_free(e->scrambles);
    cm_similarity_destroy(e->similarity);
}

static cm_status evaluate(cm_evaluation *e, cm_team *team, cm_eval_sink sink, void *context,
                          const cm_runtime *runtime, cm_error *error) {
    const cm_eval_request *r = e->request;
    cm_features *features = NULL;
    CM_TRY(cm_features_create(&features, e->dataset, &r->options, NULL, team, runtime, error));
    cm_status status = run_tracks(e, features, team, runtime, error);
    if (status == CM_OK && r->predictions_path)
        status = cm_eval_predictions(r->predictions_path, e->plans, e->n_plans, error);
    if (status == CM_OK) status = run_scrambles(e, features, team, runtime, error);
    if (status == CM_OK) status = all_results(e, error);
    if (status == CM_OK && r->record_path) status = cm_eval_record(e, error);
    if (status == CM_OK) status = send_all(e, sink, context, error);
    cm_features_destroy(features);
    return status;
}

cm_status cm_eval(const cm_eval_request *request, const cm_dataset *dataset, cm_eval_sink sink, void *context,
                  const cm_runtime *runtime, cm_error *error) {
    bool wants_similarity = false;
    CM_TRY(check_request(request, dataset, &wants_similarity, error));
    cm_evaluation e = {.request = request, .dataset = dataset};
    cm_team *team = cm_team_create(runtime && runtime->threads > 1 ? runtime->threads : 1);
    cm_status status =
        team && wants_similarity ? cm_similarity_create(&e.similarity, dataset, team, runtime, error) : CM_OK;
    if (status == CM_OK)
        status = team ? evaluate(&e, team, sink, context, runtime, error) : cm_fail_memory(error, 0);
    cm_team_destroy(team);
    evaluation_clear(&e);
    return status;
}

/* ---- a trained model ---- */

/* Receives predictions as one unit over all pairs. */
static int take(void *context, const cm_prediction *prediction) {
    cm_eval_unit *unit = context;
    unit->test[unit->n_test] = unit->n_test;
    unit->score[unit->n_test] = prediction->score;
    unit->value[unit->n_test++] = prediction->value;
    return 0;
}

/* One model over all pairs as a plan with one unit. */
static cm_status model_results(cm_model *model, const cm_dataset *dataset, cm_eval_plan *plan,
                               const char *predictions_path, cm_eval_sink sink, void *context,
                               cm_error *error) {
    cm_eval_result result = {0};
    cm_eval_group group = group_of(plan, 0);
    cm_status status = CM_OK;
    if (predictions_path) status = cm_eval_predictions(predictions_path, plan, 1, error);
    if (status == CM_OK)
        status = cm_eval_result_make(&result, &group, dataset, (uint64_t)model->options.seed, false, error);
    if (status == CM_OK) status = cm_eval_result_send(&result, sink, context, error);
    cm_eval_result_clear(&result);
    return status;
}

cm_status cm_eval_model(cm_model *model, const cm_dataset *dataset, const char *predictions_path,
                        cm_eval_sink sink, void *context, const cm_runtime *runtime, cm_error *error) {
    static const char *const name = "model";
    if (!dataset->options.labels)
        return cm_fail(error, CM_USAGE, NULL, "data set", "a data set with labels", "none");
    if (dataset->n_pairs == 0) return cm_fail(error, CM_DATA, NULL, "data set", "at least one pair", "none");
    cm_eval_request request = {.options = model->options, .models = &name, .n_models = 1};
    cm_eval_unit unit = {.model = name, .threshold = model->threshold, .conformal = model->conformal};
    float *label = cm_new((size_t)dataset->n_pairs, sizeof *label);
    cm_status status = label ? cm_eval_unit_room(&unit, dataset->n_pairs, error) : cm_fail_memory(error, 0);
    for (int64_t i = 0; status == CM_OK && i < dataset->n_pairs; i++) label[i] = dataset->pairs[i].label;
    if (status == CM_OK) status = cm_predict(model, dataset, 0, take, &unit, runtime, error);
    cm_eval_plan plan = {
        .request = &request, .dataset = dataset, .label = label, .units = &unit, .n_units = 1};
    if (status == CM_OK)
        status = model_results(model, dataset, &plan, predictions_path, sink, context, error);
    cm_eval_unit_clear(&unit);
    cm_free(label);
    return status;
}
