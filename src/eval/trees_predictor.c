/* "trees": extremely randomised trees on what is known of each molecule by itself: length, composition,
 * spectra of short words, and similarity to training molecules drawn at random (landmarks). */
#include "base/rng.h"
#include "eval/choice.h"
#include "eval/molecule_table.h"
#include "trees/forest.h"
#include <math.h>

enum { TREES = 200, LEAF = 2, KEY_FOREST = 52 };

static cm_status score(const void *context, const int64_t *fit, int64_t n, const int64_t *target, int64_t m,
                       double *out, cm_error *error) {
    const cm_molecule_table *t = context;
    cm_forest *forest = NULL;
    cm_forest_options options = {
        .trees = TREES, .leaf = LEAF, .seed = cm_rng_key((uint64_t)t->call->options->seed, KEY_FOREST, 0)};
    CM_TRY(cm_forest_fit(&forest, &t->forest, t->label, fit, n, &options, NULL, error));
    cm_forest_scores(forest, &t->forest, target, m, out, NULL);
    cm_forest_destroy(forest);
    for (int64_t i = 0; i < m && !t->call->dataset->task->affinity; i++)
        out[i] = log((out[i] + 0.01) / (1.01 - out[i]));
    return CM_OK;
}

static cm_status run(const cm_predictor_call *call, cm_error *error) {
    cm_molecule_table t;
    cm_choice choice = {.candidates = 1, .score = score, .context = &t};
    cm_status status = cm_molecule_table_make(&t, call, false, error);
    if (status == CM_OK) status = cm_choice_run(&choice, call, error);
    cm_molecule_table_clear(&t);
    return status;
}

const cm_predictor cm_predictor_trees = {
    .name = "trees",
    .help = "extremely randomised trees on composition, short words and similarity to training molecules",
    .serves = CM_SERVES_ALL,
    .kept = true,
    .similarity = true,
    .run = run,
};
