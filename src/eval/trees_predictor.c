/* "trees": extremely randomised trees on what is known of each molecule by itself: length, composition,
 * spectra of short words, and similarity to training molecules drawn at random (landmarks). */
#include "base/alloc.h"
#include "base/rng.h"
#include "eval/choice.h"
#include "model/kernel_inputs.h"
#include "model/molecule_table.h"
#include "trees/forest.h"
#include <math.h>

enum { TREES = 200, LEAF = 2, KEY_FOREST = 52 };

typedef struct work {
    const cm_predictor_call *call;
    cm_column_plan plan;
    cm_molecule_table table;
    double *label; /* [n_pairs] */
} work;

static cm_status score(const void *context, const int64_t *fit, int64_t n, const int64_t *target, int64_t m,
                       double *out, cm_error *error) {
    const work *w = context;
    cm_forest *forest = NULL;
    cm_forest_options options = {
        .trees = TREES, .leaf = LEAF, .seed = cm_rng_key((uint64_t)w->call->options->seed, KEY_FOREST, 0)};
    CM_TRY(cm_forest_fit(&forest, &w->table.forest, w->label, fit, n, &options, NULL, error));
    cm_forest_scores(forest, &w->table.forest, target, m, out, NULL);
    cm_forest_destroy(forest);
    for (int64_t i = 0; i < m && !w->call->dataset->task->affinity; i++)
        out[i] = log((out[i] + 0.01) / (1.01 - out[i]));
    return CM_OK;
}

static cm_status work_make(work *w, cm_error *error) {
    const cm_predictor_call *call = w->call;
    const cm_dataset *d = call->dataset;
    const cm_kernel_features *features[2];
    w->label = cm_new((size_t)d->n_pairs, sizeof *w->label);
    if (!w->label) return cm_fail_memory(error, (size_t)d->n_pairs * sizeof *w->label);
    for (int64_t i = 0; i < d->n_pairs; i++) w->label[i] = (double)call->label[i];
    CM_TRY(cm_kernel_inputs_get(call->features->kernels, d, features, error));
    CM_TRY(cm_column_plan_learn(&w->plan, d, features, 0, false, call->train, call->n_train,
                                (uint64_t)call->options->seed, error));
    return cm_molecule_table_make(&w->table, &w->plan, d, call->features, error);
}

static cm_status run(const cm_predictor_call *call, cm_error *error) {
    work w = {.call = call};
    cm_choice choice = {.candidates = 1, .score = score, .context = &w};
    cm_status status = work_make(&w, error);
    if (status == CM_OK) status = cm_choice_run(&choice, call, error);
    cm_molecule_table_clear(&w.table);
    cm_column_plan_clear(&w.plan);
    cm_free(w.label);
    return status;
}

const cm_predictor cm_predictor_trees = {
    .name = "trees",
    .help = "extremely randomised trees on composition, short words and similarity to training molecules",
    .serves = CM_SERVES_ALL,
    .kept = true,
    .run = run,
};
