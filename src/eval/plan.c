/* Which pairs train and which are tested, unit by unit. */
#include "base/alloc.h"
#include "base/log.h"
#include "base/rng.h"
#include "eval/unit.h"
#include <math.h>
#include <stdio.h>
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
    cm_splits_clear(&plan->splits);
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

/* The kind that the request names, or implies. */
static cm_status choose_kind(const cm_eval_request *r, const cm_dataset *d, const cm_split_kind **kind,
                             cm_error *error) {
    if (!r->split && r->folds == 0 && d->n_folds < 2)
        return cm_fail(error, CM_USAGE, NULL, "folds",
                       "a number of folds, or a fold column with two or more values", "%s",
                       d->n_folds == 1 ? "a fold column with one value" : "neither");
    const char *name = r->split ? r->split : r->folds > 0 ? "stratified" : "column";
    *kind = cm_split_kind_find(name);
    if (!*kind)
        return cm_fail(error, CM_USAGE, NULL, "split", "a kind of split (crossmamba models splits)", "%s",
                       name);
    if ((*kind)->rule != CM_SPLIT_GIVEN && (r->test_fold || r->train_fold))
        return cm_fail(error, CM_USAGE, NULL, "split", "column or column-cold with a test or train fold",
                       "%s", name);
    return CM_OK;
}

static cm_status make_splits(cm_splits *splits, const cm_eval_request *r, const cm_dataset *d,
                             cm_error *error) {
    if (r->splits_path) return cm_splits_read(splits, r->splits_path, d, error);
    cm_split_request with = {.test_fold = r->test_fold, .train_fold = r->train_fold};
    CM_TRY(choose_kind(r, d, &with.kind, error));
    with.folds = r->folds > 0 ? r->folds : with.kind->folds;
    cm_split_thresholds(&r->options, with.threshold);
    int repeats = r->repeats > 1 ? r->repeats : 1;
    *splits = (cm_splits){.kind = with.kind, .repeat = cm_new((size_t)repeats, sizeof *splits->repeat)};
    if (!splits->repeat) return cm_fail_memory(error, 0);
    for (; splits->n_repeats < repeats; splits->n_repeats++) {
        uint64_t seed = (uint64_t)r->options.seed + (uint64_t)splits->n_repeats;
        CM_TRY(cm_split_make(&splits->repeat[splits->n_repeats], &with, d, cm_rng_key(seed, KEY_FOLDS, 0),
                             error));
    }
    return CM_OK;
}

static void report_splits(const cm_eval_plan *plan, const cm_runtime *runtime) {
    int64_t units = 0, unused = 0, n = plan->dataset->n_pairs;
    for (int r = 0; r < plan->splits.n_repeats; r++) {
        const cm_split *s = &plan->splits.repeat[r];
        units += s->n_units;
        for (int64_t i = 0; i < s->n_units * n; i++) unused += s->role[i] == CM_UNUSED;
    }
    cm_log(runtime, CM_LOG_INFO,
           "split %s: %lld trainings a model, each leaves out %.0f of %lld pairs (mean)",
           plan->splits.kind->name, (long long)units, (double)unused / (double)units, (long long)n);
}

/* Unit u of a repeat, by its roles, for every model; train: room for its mask. */
static cm_status plan_unit(cm_eval_plan *plan, int repeat, int u, int64_t at, bool *train, cm_error *error) {
    const cm_eval_request *r = plan->request;
    int64_t n = plan->dataset->n_pairs, n_test = 0, per_model = plan->n_units / r->n_models;
    const uint8_t *role = plan->splits.repeat[repeat].role + u * n;
    for (int64_t i = 0; i < n; i++) {
        train[i] = role[i] == CM_TRAIN;
        n_test += role[i] == CM_TEST;
    }
    for (int m = 0; m < r->n_models; m++) {
        cm_eval_unit *unit = &plan->units[m * per_model + at];
        *unit = (cm_eval_unit){.model = r->models[m],
                               .model_number = m,
                               .repeat = repeat,
                               .fold = u,
                               .train = train,
                               .threshold = 0.5,
                               .conformal = {NAN, {NAN, NAN}}};
        CM_TRY(cm_eval_unit_room(unit, n_test, error));
        for (int64_t i = 0; i < n; i++)
            if (role[i] == CM_TEST) unit->test[unit->n_test++] = i;
    }
    return CM_OK;
}

static cm_status plan_units(cm_eval_plan *plan, cm_error *error) {
    const cm_splits *splits = &plan->splits;
    int64_t n = plan->dataset->n_pairs, masks = 0, at = 0;
    for (int r = 0; r < splits->n_repeats; r++) masks += splits->repeat[r].n_units;
    plan->n_units = masks * plan->request->n_models;
    plan->units = cm_new((size_t)plan->n_units, sizeof *plan->units);
    plan->train = cm_new((size_t)masks * (size_t)n, sizeof *plan->train);
    if (!plan->units || !plan->train) return cm_fail_memory(error, (size_t)masks * (size_t)n);
    for (int r = 0; r < splits->n_repeats; r++)
        for (int u = 0; u < splits->repeat[r].n_units; u++, at++)
            CM_TRY(plan_unit(plan, r, u, at, plan->train + at * n, error));
    return CM_OK;
}

/* Automatic inner splits follow the kind of the outer one. */
static void choose_inner_split(cm_eval_plan *plan) {
    cm_options *o = &plan->own.options;
    const cm_split_kind *kind = plan->splits.kind;
    bool groups = kind->rule == CM_SPLIT_TEXTS || kind->rule == CM_SPLIT_CLUSTERS;
    if (groups && strcmp(o->inner_split, "auto") == 0)
        snprintf(o->inner_split, sizeof o->inner_split, "%s", kind->name);
}

cm_status cm_eval_plan_make(cm_eval_plan *plan, const cm_eval_request *request, const cm_dataset *dataset,
                            const cm_runtime *runtime, cm_error *error) {
    *plan = (cm_eval_plan){.own = *request, .dataset = dataset};
    plan->request = &plan->own;
    CM_TRY(make_splits(&plan->splits, request, dataset, error));
    choose_inner_split(plan);
    CM_TRY(make_labels(plan, error));
    CM_TRY(plan_units(plan, error));
    report_splits(plan, runtime);
    return request->save_splits_path
               ? cm_splits_write(request->save_splits_path, &plan->splits, dataset, error)
               : CM_OK;
}
