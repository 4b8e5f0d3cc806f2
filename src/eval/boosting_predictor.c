/* "boosting": gradient-boosted trees on what is known of each molecule by itself, and of the pair where the
 * task has a pair encoder (eval/molecule_table.h). Inner folds choose the number of rounds, the size of the
 * trees, and whether spectra and landmarks help at all: on few pairs lengths, chains and composition alone
 * can be the better columns. */
#include "base/log.h"
#include "base/rng.h"
#include "eval/choice.h"
#include "eval/molecule_table.h"
#include "trees/boosting.h"

enum { LEAST_ROWS = 5, KEY_BOOSTING = 53 };
static const double rate = 0.1, ridge = 2, share = 0.7; /* share: of the rows, drawn for a tree */

/* Shapes of trees; a candidate is a shape and a number of rounds. */
typedef struct shape {
    cm_column_set set;
    int leaves;
    double columns;       /* share drawn for a tree */
    int64_t fewest, most; /* training pairs for which it is tried */
} shape;
static const shape shapes[] = {
    {CM_COLUMNS_LENGTH, 4, 0.5, 0, 2000},
    {CM_COLUMNS_COMPOSITION, 4, 0.5, 0, 2000},
    {CM_COLUMNS_ALL, 8, 0.1, 0, 5000},
    {CM_COLUMNS_ALL, 32, 0.3, 2000, INT64_MAX},
};
static const int rounds[] = {10, 20, 40, 80, 160, 320, 640, 1280};
enum { SHAPES = sizeof shapes / sizeof *shapes, STANDARD = 3 };

/* How many of the numbers of rounds are tried: few pairs need no more. */
static int count_stages(int64_t pairs) {
    return pairs > 5000 ? 8 : 6;
}

static int list_shapes(int64_t pairs, const shape *list[SHAPES]) {
    int n = 0;
    for (int s = 0; s < SHAPES; s++)
        if (pairs >= shapes[s].fewest && pairs <= shapes[s].most) list[n++] = &shapes[s];
    return n;
}

static cm_status score(const void *context, const int64_t *fit, int64_t n, const int64_t *target, int64_t m,
                       double *out, cm_error *error) {
    const cm_molecule_table *t = context;
    const shape *list[SHAPES];
    int n_shapes = list_shapes(t->call->n_train, list), stages = count_stages(t->call->n_train);
    for (int s = 0; s < n_shapes; s++) {
        cm_forest_table table = cm_molecule_table_columns(t, list[s]->set);
        cm_boosting_options options = {.logistic = !t->call->dataset->task->affinity,
                                       .rounds = rounds[stages - 1],
                                       .leaves = list[s]->leaves,
                                       .leaf = LEAST_ROWS,
                                       .rate = rate,
                                       .ridge = ridge,
                                       .columns = list[s]->columns,
                                       .rows = share,
                                       .seed = cm_rng_key((uint64_t)t->call->options->seed, KEY_BOOSTING, 0)};
        cm_boosting *boosting = NULL;
        if (cm_stopped(t->call->runtime)) return cm_fail(error, CM_INTERRUPTED, NULL, NULL, NULL, "stopped");
        CM_TRY(cm_boosting_fit(&boosting, &table, t->label, fit, n, &options, NULL, error));
        cm_boosting_scores(boosting, &table, target, m, rounds, stages, out + s * stages * m, NULL);
        cm_boosting_destroy(boosting);
    }
    return CM_OK;
}

static cm_status run(const cm_predictor_call *call, cm_error *error) {
    cm_molecule_table t;
    const shape *list[SHAPES];
    cm_choice choice = {.candidates = list_shapes(call->n_train, list) * count_stages(call->n_train),
                        .standard = STANDARD,
                        .score = score,
                        .context = &t,
                        .as_scored = true};
    cm_status status = cm_molecule_table_make(&t, call, true, error);
    if (status == CM_OK) status = cm_choice_run(&choice, call, error);
    cm_molecule_table_clear(&t);
    return status;
}

const cm_predictor cm_predictor_boosting = {
    .name = "boosting",
    .help = "gradient-boosted trees on the same columns, chains, and the pair encoder's",
    .serves = CM_SERVES_ALL,
    .kept = true,
    .similarity = true,
    .run = run,
};
