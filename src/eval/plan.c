/* Which pairs train and which are tested, unit by unit. */
#include "base/alloc.h"
#include "base/rng.h"
#include "data/split.h"
#include "eval/unit.h"
#include <math.h>
#include <string.h>

enum { KEY_FOLDS = 11, KEY_SHUFFLE };

void cm_eval_unit_clear(cm_eval_unit *unit) {
    cm_free(unit->test);
    cm_free(unit->score);
    cm_free(unit->value);
    cm_free(unit->curve.epochs);
}

void cm_eval_plan_clear(cm_eval_plan *plan) {
    for (int64_t i = 0; plan->units && i < plan->n_units; i++) cm_eval_unit_clear(&plan->units[i]);
    cm_free(plan->units);
    cm_free(plan->label);
    cm_free(plan->train);
}

cm_status cm_eval_unit_room(cm_eval_unit *unit, int64_t n, cm_error *error) {
    unit->test = cm_new((size_t)n, sizeof *unit->test);
    unit->score = cm_new((size_t)n, sizeof *unit->score);
    unit->value = cm_new((size_t)n, sizeof *unit->value);
    return unit->test && unit->score && unit->value ? CM_OK : cm_fail_memory(error, (size_t)n * 24);
}

static cm_status make_labels(cm_eval_plan *plan, cm_error *error) {
    int64_t n = plan->dataset->n_pairs;
    plan->label = cm_new((size_t)n, sizeof *plan->label);
    int64_t *order = cm_new((size_t)n, sizeof *order);
    if (!plan->label || !order) {
        cm_free(order);
        return cm_fail_memory(error, (size_t)n * sizeof *order);
    }
    for (int64_t i = 0; i < n; i++) order[i] = i;
    if (plan->request->shuffle_labels)
        cm_rng_shuffle(cm_rng_key((uint64_t)plan->request->options.seed, KEY_SHUFFLE,
                                  (uint64_t)plan->request->shuffle_labels - 1),
                       order, n);
    for (int64_t i = 0; i < n; i++) plan->label[i] = plan->dataset->pairs[order[i]].label;
    cm_free(order);
    return CM_OK;
}

static cm_status given_fold(const cm_dataset *dataset, const char *name, const char *option, int *fold,
                            cm_error *error) {
    for (int64_t i = 0; i < dataset->n_folds; i++)
        if (strcmp(dataset->folds[i], name) == 0) {
            *fold = (int)i;
            return CM_OK;
        }
    return cm_fail(error, CM_USAGE, NULL, option, "a value of the fold column", "%s", name);
}

/* The test fold of every pair in one repeat; pairs with -1 always train, and how many folds are tested. With
 * train_fold one unit tests everything that does not train. */
static cm_status assign(const cm_eval_plan *plan, int repeat, int32_t *fold, cm_error *error) {
    const cm_eval_request *r = plan->request;
    const cm_dataset *d = plan->dataset;
    if (r->folds > 0)
        return cm_split_folds(d, NULL, d->n_pairs, r->folds,
                              cm_rng_key((uint64_t)r->options.seed + (uint64_t)repeat, KEY_FOLDS, 0), fold,
                              error);
    int only = -1, trains = -1;
    if (r->test_fold) CM_TRY(given_fold(d, r->test_fold, "test fold", &only, error));
    if (r->train_fold) CM_TRY(given_fold(d, r->train_fold, "train fold", &trains, error));
    for (int64_t i = 0; i < d->n_pairs; i++) {
        int32_t own = d->pairs[i].fold;
        if (trains >= 0)
            fold[i] = own == trains ? -1 : 0;
        else
            fold[i] = only < 0 ? own : own == only ? 0 : -1;
    }
    return CM_OK;
}

static int folds_of(const cm_eval_request *r, const cm_dataset *d) {
    if (r->folds > 0) return r->folds;
    return r->test_fold || r->train_fold ? 1 : (int)d->n_folds;
}

static cm_status fill_unit(cm_eval_unit *unit, const int32_t *fold, int64_t n, cm_error *error) {
    CM_TRY(cm_eval_unit_room(unit, n, error));
    for (int64_t i = 0; i < n; i++)
        if (fold[i] == unit->fold) unit->test[unit->n_test++] = i;
    if (unit->n_test > 0 && unit->n_test < n) return CM_OK;
    return cm_fail(error, CM_DATA, NULL, cm_format("fold %d", unit->fold + 1).text,
                   "pairs to train on and pairs to test", "%lld of %lld pairs to test",
                   (long long)unit->n_test, (long long)n);
}

/* The units of one repeat, for every model. */
static cm_status plan_repeat(cm_eval_plan *plan, int repeat, int32_t *fold, cm_error *error) {
    int64_t n = plan->dataset->n_pairs;
    const cm_eval_request *r = plan->request;
    CM_TRY(assign(plan, repeat, fold, error));
    for (int k = 0; k < plan->folds; k++) {
        bool *train = plan->train + ((int64_t)repeat * plan->folds + k) * n;
        for (int64_t i = 0; i < n; i++) train[i] = fold[i] != k;
        for (int m = 0; m < r->n_models; m++) {
            int64_t repeats = r->repeats > 1 ? r->repeats : 1;
            cm_eval_unit *unit = &plan->units[(m * repeats + repeat) * plan->folds + k];
            *unit = (cm_eval_unit){.model = r->models[m],
                                   .model_number = m,
                                   .repeat = repeat,
                                   .fold = k,
                                   .train = train,
                                   .threshold = 0.5,
                                   .conformal = {NAN, {NAN, NAN}}};
            CM_TRY(fill_unit(unit, fold, n, error));
        }
    }
    return CM_OK;
}

cm_status cm_eval_plan_make(cm_eval_plan *plan, const cm_eval_request *request, const cm_dataset *dataset,
                            cm_error *error) {
    *plan = (cm_eval_plan){.request = request, .dataset = dataset, .folds = folds_of(request, dataset)};
    if (plan->folds == 0 || (request->folds == 0 && dataset->n_folds < 2))
        return cm_fail(error, CM_USAGE, NULL, "folds",
                       "a number of folds, or a fold column with two or more values", "neither");
    CM_TRY(make_labels(plan, error));
    int repeats = request->repeats > 1 ? request->repeats : 1;
    size_t masks = (size_t)repeats * (size_t)plan->folds;
    plan->n_units = (int64_t)masks * request->n_models;
    plan->units = cm_new((size_t)plan->n_units, sizeof *plan->units);
    plan->train = cm_new(masks * (size_t)dataset->n_pairs, sizeof *plan->train);
    int32_t *fold = cm_new((size_t)dataset->n_pairs, sizeof *fold);
    cm_status status =
        plan->units && plan->train && fold ? CM_OK : cm_fail_memory(error, masks * (size_t)dataset->n_pairs);
    for (int repeat = 0; repeat < repeats && status == CM_OK; repeat++)
        status = plan_repeat(plan, repeat, fold, error);
    cm_free(fold);
    return status;
}
