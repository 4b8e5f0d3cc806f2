/* "boosting": gradient-boosted trees on what is known of each molecule by itself, and of the pair where the
 * task has a pair encoder (model/molecule_table.h). Inner folds choose the number of rounds, the size of the
 * trees, and whether spectra and landmarks help at all: on few pairs lengths, chains and composition alone
 * can be the better columns. Affinities stay as they are scored. */
#include "base/alloc.h"
#include "base/log.h"
#include "base/rng.h"
#include "model/boosted.h"
#include "model/kernel_inputs.h"
#include "model/model_kind.h"
#include "train/choice.h"
#include "train/facts.h"
#include "train/learner.h"

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

typedef struct work {
    const cm_fit_request *request;
    cm_team *team;
    const cm_runtime *runtime;
    const shape *shape[SHAPES]; /* those that are tried */
    int n_shapes, stages;       /* stages: how many of the numbers of rounds; few pairs need no more */
    cm_molecule_table table;
    double *label;        /* [pairs of the data set] */
    double *known, *held; /* [n] labels and held-out scores by position */
    cm_inner inner;
} work;

static void work_clear(work *w) {
    cm_molecule_table_clear(&w->table);
    cm_inner_clear(&w->inner);
    cm_free(w->label);
    cm_free(w->known);
    cm_free(w->held);
}

static cm_status work_make(work *w, cm_error *error) {
    const cm_fit_request *r = w->request;
    bool fresh[2];
    w->label = cm_new((size_t)r->dataset->n_pairs, sizeof *w->label);
    w->known = cm_new((size_t)r->n, sizeof *w->known);
    w->held = cm_new((size_t)r->n, sizeof *w->held);
    if (!w->label || !w->known || !w->held)
        return cm_fail_memory(error, (size_t)r->dataset->n_pairs * sizeof *w->label);
    for (int64_t i = 0; i < r->n; i++) w->label[r->index[i]] = w->known[i] = cm_fit_label(r, i);
    for (int s = 0; s < SHAPES; s++)
        if (r->n >= shapes[s].fewest && r->n <= shapes[s].most) w->shape[w->n_shapes++] = &shapes[s];
    w->stages = r->n > 5000 ? 8 : 6;
    CM_TRY(cm_fit_new_sides(r, fresh, error));
    return cm_inner_divide(&w->inner, r->dataset, r->index, r->n, fresh, CM_INNER_FOLDS,
                           (uint64_t)r->options->seed, error);
}

static cm_status grow(const work *w, const shape *how, int n_rounds, const int64_t *index, int64_t n,
                      cm_boosting **trees, cm_error *error) {
    cm_forest_table table = cm_molecule_table_columns(&w->table, how->set);
    cm_boosting_options options = {.logistic = !w->request->dataset->task->affinity,
                                   .rounds = n_rounds,
                                   .leaves = how->leaves,
                                   .leaf = LEAST_ROWS,
                                   .rate = rate,
                                   .ridge = ridge,
                                   .columns = how->columns,
                                   .rows = share,
                                   .seed = cm_rng_key((uint64_t)w->request->options->seed, KEY_BOOSTING, 0)};
    if (cm_stopped(w->runtime)) return cm_fail(error, CM_INTERRUPTED, NULL, NULL, NULL, "stopped");
    return cm_boosting_fit(trees, &table, w->label, index, n, &options, w->team, error);
}

static cm_status score(const void *context, const int64_t *fit, int64_t n, const int64_t *target, int64_t m,
                       double *out, cm_error *error) {
    const work *w = context;
    for (int s = 0; s < w->n_shapes; s++) {
        cm_forest_table table = cm_molecule_table_columns(&w->table, w->shape[s]->set);
        cm_boosting *trees = NULL;
        CM_TRY(grow(w, w->shape[s], rounds[w->stages - 1], fit, n, &trees, error));
        cm_boosting_scores(trees, &table, target, m, rounds, w->stages, out + s * w->stages * m, w->team);
        cm_boosting_destroy(trees);
    }
    return CM_OK;
}

static cm_status make_table(work *w, cm_model *model, cm_error *error) {
    const cm_fit_request *r = w->request;
    const cm_kernel_features *features[2];
    model->boosted = cm_new(1, sizeof *model->boosted);
    if (!model->boosted) return cm_fail_memory(error, sizeof *model->boosted);
    CM_TRY(cm_kernel_inputs_get(r->features->kernels, r->dataset, features, error));
    CM_TRY(cm_column_plan_learn(&model->boosted->plan, r->dataset, features, r->features->pair.width, true,
                                r->index, r->n, (uint64_t)r->options->seed, error));
    return cm_molecule_table_make(&w->table, &model->boosted->plan, r->dataset, r->features, error);
}

/* Trees that see lengths or composition alone need no landmarks and no features. */
static void drop_unseen(cm_boosted *boosted, const cm_task *task) {
    if (boosted->set == CM_COLUMNS_ALL) return;
    int64_t pair_width = boosted->plan.pair_width;
    cm_column_plan_clear(&boosted->plan);
    cm_column_plan_begin(&boosted->plan, task, pair_width, true);
}

static cm_status finish(work *w, cm_model *model, int best, cm_error *error) {
    int64_t n = w->inner.n_parts ? w->request->n : 0;
    json_t *training = json_pack("{s:I, s:i, s:i, s:i}", "training_pairs", (json_int_t)w->request->n,
                                 "inner_parts", w->inner.n_parts, "rounds", model->boosted->trees->rounds,
                                 "leaves", w->shape[best / w->stages]->leaves);
    CM_TRY(cm_fit_note(model, training, error));
    if (!model->task->affinity) return cm_fit_finish(model, w->held, w->known, n, error);
    cm_fit_keep_scores(model, w->held, w->known, n);
    return cm_fit_finish_calibrated(model, w->held, w->known, n, error);
}

static cm_status learn(work *w, cm_model *model, cm_error *error) {
    const cm_fit_request *r = w->request;
    int best;
    CM_TRY(work_make(w, error));
    CM_TRY(make_table(w, model, error));
    cm_choice choice = {
        .candidates = w->n_shapes * w->stages, .standard = STANDARD, .score = score, .context = w};
    CM_TRY(cm_choice_make(&choice, &w->inner, model->task->affinity, r->index, w->known, w->runtime, &best,
                          w->held, error));
    const shape *chosen = w->shape[best / w->stages];
    model->boosted->set = chosen->set;
    CM_TRY(grow(w, chosen, rounds[best % w->stages], r->index, r->n, &model->boosted->trees, error));
    drop_unseen(model->boosted, model->task);
    return finish(w, model, best, error);
}

static cm_status fit(cm_model **model, const cm_fit_request *request, cm_team *team,
                     const cm_runtime *runtime, cm_error *error) {
    cm_model *m = NULL;
    work w = {.request = request, .team = team, .runtime = runtime};
    CM_TRY(cm_fit_begin(&m, &cm_kind_boosting, request, error));
    cm_status status = learn(&w, m, error);
    work_clear(&w);
    if (status == CM_OK)
        *model = m;
    else
        cm_model_close(m);
    return status;
}

const cm_learner cm_learner_boosting = {
    .name = "boosting",
    .help = "gradient-boosted trees on length, composition, short words, similarity to training molecules",
    .fit = fit,
};
