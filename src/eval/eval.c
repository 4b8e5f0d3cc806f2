/* Evaluation: all units over the threads, then the summaries. */
#include "base/alloc.h"
#include "base/log.h"
#include "eval/predictor.h"
#include "eval/unit.h"
#include "model/network.h"
#include <crossmamba/eval.h>
#include <crossmamba/predict.h>
#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>

/* What the threads share. Each takes the next unit until none is left; every unit is computed by one thread
 * alone, so the number of threads changes nothing. */
typedef struct shared_run {
    cm_eval_plan *plan;
    const cm_runtime *runtime;
    atomic_llong next, finished;
    atomic_bool failed;
    cm_error *errors; /* one a member */
} shared_run;

static void run_units(void *context, int64_t begin, int64_t end, int member) {
    (void)begin;
    (void)end;
    shared_run *run = context;
    while (!atomic_load(&run->failed)) {
        int64_t u = atomic_fetch_add(&run->next, 1);
        if (u >= run->plan->n_units) return;
        cm_eval_unit *unit = &run->plan->units[u];
        if (cm_eval_unit_run(run->plan, unit, run->runtime, &run->errors[member]) != CM_OK)
            atomic_store(&run->failed, true);
        long long done = atomic_fetch_add(&run->finished, 1) + 1;
        if (member == 0)
            cm_report(run->runtime, "evaluate", (double)done, (double)run->plan->n_units, "trainings",
                      cm_format("%s, fold %d", unit->model, unit->fold + 1).text);
    }
}

static cm_status run_plan(cm_eval_plan *plan, cm_team *team, const cm_runtime *runtime, cm_error *error) {
    int members = cm_team_size(team);
    shared_run run = {.plan = plan, .runtime = runtime, .errors = cm_new((size_t)members, sizeof(cm_error))};
    if (!run.errors) return cm_fail_memory(error, (size_t)members * sizeof(cm_error));
    cm_team_for(team, members, 1, run_units, &run);
    cm_status status = CM_OK;
    for (int m = 0; m < members && status == CM_OK; m++) {
        status = run.errors[m].status;
        if (status != CM_OK && error) *error = run.errors[m];
    }
    cm_free(run.errors);
    return status;
}

/* The lines of one model: all tested pairs, or with a training fold each other fold by itself. */
static cm_status summarise(const cm_eval_plan *plan, int model, cm_eval_sink sink, void *context,
                           cm_error *error) {
    const cm_eval_request *r = plan->request;
    int64_t n = plan->n_units / r->n_models;
    cm_eval_group group = {.units = plan->units + model * n,
                           .n_units = n,
                           .name = r->models[model],
                           .given_fold = -1,
                           .fold_name = "all",
                           .label = plan->label};
    uint64_t seed = (uint64_t)r->options.seed;
    if (r->folds > 0 || !r->train_fold)
        return cm_eval_summary(&group, plan->dataset, seed, sink, context, error);
    for (int64_t f = 0; f < plan->dataset->n_folds; f++) {
        if (strcmp(plan->dataset->folds[f], r->train_fold) == 0) continue;
        group.given_fold = (int)f;
        group.fold_name = plan->dataset->folds[f];
        CM_TRY(cm_eval_summary(&group, plan->dataset, seed, sink, context, error));
    }
    return CM_OK;
}

static cm_status check_request(const cm_eval_request *request, const cm_dataset *dataset, cm_error *error) {
    if (request->n_models < 1) return cm_fail(error, CM_USAGE, NULL, "models", "at least one model", "none");
    if (!dataset->options.labels)
        return cm_fail(error, CM_USAGE, NULL, "data set", "a data set with labels", "none");
    for (int m = 0; m < request->n_models; m++)
        CM_TRY(cm_predictor_check(request->models[m], dataset->task->affinity, error));
    if (request->checkpoint_folder && mkdir(request->checkpoint_folder, 0777) != 0 && errno != EEXIST)
        return cm_fail_errno(error, request->checkpoint_folder, "cannot make the folder", errno);
    return CM_OK;
}

static cm_status evaluate(cm_eval_plan *plan, cm_team *team, cm_eval_sink sink, void *context,
                          const cm_runtime *runtime, cm_error *error) {
    const cm_eval_request *r = plan->request;
    cm_features *features = NULL;
    CM_TRY(cm_features_create(&features, plan->dataset, &r->options, NULL, team, runtime, error));
    plan->features = features;
    cm_status status = run_plan(plan, team, runtime, error);
    if (status == CM_OK && r->predictions_path)
        status = cm_eval_predictions(r->predictions_path, plan->units, plan->n_units, plan->dataset,
                                     plan->label, error);
    for (int m = 0; m < r->n_models && status == CM_OK; m++)
        status = summarise(plan, m, sink, context, error);
    cm_features_destroy(features);
    return status;
}

cm_status cm_eval(const cm_eval_request *request, const cm_dataset *dataset, cm_eval_sink sink, void *context,
                  const cm_runtime *runtime, cm_error *error) {
    CM_TRY(check_request(request, dataset, error));
    cm_eval_plan plan = {0};
    cm_status status = cm_eval_plan_make(&plan, request, dataset, error);
    cm_team *team = cm_team_create(runtime && runtime->threads > 1 ? runtime->threads : 1);
    if (status == CM_OK)
        status = team ? evaluate(&plan, team, sink, context, runtime, error) : cm_fail_memory(error, 0);
    cm_team_destroy(team);
    cm_eval_plan_clear(&plan);
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

cm_status cm_eval_model(cm_model *model, const cm_dataset *dataset, const char *predictions_path,
                        cm_eval_sink sink, void *context, const cm_runtime *runtime, cm_error *error) {
    if (!dataset->options.labels)
        return cm_fail(error, CM_USAGE, NULL, "data set", "a data set with labels", "none");
    if (dataset->n_pairs == 0) return cm_fail(error, CM_DATA, NULL, "data set", "at least one pair", "none");
    cm_eval_unit unit = {.model = "model", .threshold = model->threshold};
    float *label = cm_new((size_t)dataset->n_pairs, sizeof *label);
    cm_status status = label ? cm_eval_unit_room(&unit, dataset->n_pairs, error) : cm_fail_memory(error, 0);
    for (int64_t i = 0; status == CM_OK && i < dataset->n_pairs; i++) label[i] = dataset->pairs[i].label;
    if (status == CM_OK) status = cm_predict(model, dataset, 0, take, &unit, runtime, error);
    if (status == CM_OK && predictions_path)
        status = cm_eval_predictions(predictions_path, &unit, 1, dataset, label, error);
    cm_eval_group group = {.units = &unit,
                           .n_units = 1,
                           .name = unit.model,
                           .given_fold = -1,
                           .fold_name = "all",
                           .label = label};
    if (status == CM_OK)
        status = cm_eval_summary(&group, dataset, (uint64_t)model->options.seed, sink, context, error);
    cm_eval_unit_clear(&unit);
    cm_free(label);
    return status;
}
