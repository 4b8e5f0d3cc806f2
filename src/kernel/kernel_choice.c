/* Inner folds, the loss of a shape on them, and the climb over shapes. */
#include "kernel/kernel_choice.h"
#include "base/alloc.h"
#include "base/rng.h"
#include "metrics/calibrate.h"
#include <math.h>
#include <string.h>

enum { INNER_FOLDS = 3, KEY_INNER = 0x6b65726e, PARAMETERS = 6, MOST_VALUES = 8, SWEEPS = 2 };

static const double ridges[] = {0.01, 0.03, 0.1, 0.3, 1, 3, 10};
enum { RIDGES = sizeof ridges / sizeof *ridges };

/* The grid: value number index[p] of parameter p. Parameters alternate between side A and B. */
typedef struct grid {
    int count, start;
    double value[MOST_VALUES];
} grid;
static const grid gammas = {7, 3, {0, 0.25, 0.5, 1, 2, 4, 8}};
static const grid mixes = {3, 1, {CM_MIX_COARSE, CM_MIX_ALL, CM_MIX_FINE}};
static const grid constants = {4, 1, {0, 0.1, 0.3, 1}};
static const grid *const grids[PARAMETERS] = {&gammas, &gammas, &mixes, &mixes, &constants, &constants};

static void shapes_of(const int index[PARAMETERS], cm_kernel_shape shape[2]) {
    for (int side = 0; side < 2; side++)
        shape[side] = (cm_kernel_shape){.gamma = gammas.value[index[side]],
                                        .mix = (cm_kernel_mix)mixes.value[index[2 + side]],
                                        .constant = constants.value[index[4 + side]]};
}

/* ---- inner folds ---- */

typedef struct inner_fold {
    int64_t *train, *held; /* numbers of pairs, owned */
    int64_t n_train, n_held;
    cm_pair_list held_pairs;
    int32_t *columns;    /* memory of all pair columns, owned */
    int64_t *held_order; /* owned */
    cm_pair_solver *solver;
} inner_fold;

typedef struct search {
    const cm_kernel_task *task;
    inner_fold folds[INNER_FOLDS];
    double *gram[2];
    double *target, *weights, *held; /* work space */
    double *score;                   /* [RIDGES, n] of the shape that was judged last */
    double *packed[2];               /* scores and labels of held-out pairs */
} search;

/* part[n]: the inner fold of each molecule. */
static cm_status deal_molecules(int64_t n, uint64_t key, int32_t *part, cm_error *error) {
    int64_t *order = cm_new((size_t)n, sizeof *order);
    if (!order) return cm_fail_memory(error, (size_t)n * sizeof *order);
    for (int64_t i = 0; i < n; i++) order[i] = i;
    cm_rng_shuffle(key, order, n);
    for (int64_t i = 0; i < n; i++) part[order[i]] = (int32_t)(i % INNER_FOLDS);
    cm_free(order);
    return CM_OK;
}

/* part[n]: the inner fold of each pair, classes dealt by themselves. */
static cm_status deal_pairs(const cm_kernel_task *task, uint64_t key, int32_t *part, cm_error *error) {
    int64_t n = task->pairs.n, *order = cm_new((size_t)n, sizeof *order), dealt[2] = {0, 0};
    if (!order) return cm_fail_memory(error, (size_t)n * sizeof *order);
    for (int64_t i = 0; i < n; i++) order[i] = i;
    cm_rng_shuffle(key, order, n);
    for (int64_t i = 0; i < n; i++)
        part[order[i]] = (int32_t)(dealt[!task->affinity && task->label[order[i]] > 0.5]++ % INNER_FOLDS);
    cm_free(order);
    return CM_OK;
}

/* What pair i is to fold f, given the parts of its molecules or its own. */
typedef enum role { ROLE_TRAIN, ROLE_HELD, ROLE_NONE } role;

static role role_of(const cm_kernel_task *task, int32_t *const part[3], int64_t i, int f) {
    if (task->cold == CM_COLD_NONE) return part[2][i] == f ? ROLE_HELD : ROLE_TRAIN;
    bool out_a = part[0][task->pairs.a[i]] == f, out_b = part[1][task->pairs.b[i]] == f;
    if (task->cold == CM_COLD_A) return out_a ? ROLE_HELD : ROLE_TRAIN;
    if (task->cold == CM_COLD_B) return out_b ? ROLE_HELD : ROLE_TRAIN;
    return out_a && out_b ? ROLE_HELD : out_a || out_b ? ROLE_NONE : ROLE_TRAIN;
}

static cm_status fold_make(inner_fold *fold, const cm_kernel_task *task, int32_t *const part[3], int f,
                           cm_error *error) {
    size_t n = (size_t)task->pairs.n;
    fold->train = cm_new(n, sizeof *fold->train);
    fold->held = cm_new(n, sizeof *fold->held);
    fold->columns = cm_new(4 * n, sizeof *fold->columns);
    fold->held_order = cm_new(n, sizeof *fold->held_order);
    if (!fold->train || !fold->held || !fold->columns || !fold->held_order)
        return cm_fail_memory(error, n * 40);
    int32_t *column[4];
    for (size_t c = 0; c < 4; c++) column[c] = fold->columns + c * n;
    for (int64_t i = 0; i < task->pairs.n; i++) {
        role is = role_of(task, part, i, f);
        if (is == ROLE_NONE) continue;
        int64_t at = is == ROLE_HELD ? fold->n_held++ : fold->n_train++;
        (is == ROLE_HELD ? fold->held : fold->train)[at] = i;
        column[is == ROLE_HELD ? 2 : 0][at] = task->pairs.a[i];
        column[is == ROLE_HELD ? 3 : 1][at] = task->pairs.b[i];
    }
    int64_t m = task->side[0].features->n, q = task->side[1].features->n;
    fold->held_pairs = (cm_pair_list){column[2], column[3], fold->n_held, fold->held_order};
    CM_TRY(cm_pair_order(fold->held_order, &fold->held_pairs, m, q, error));
    cm_pair_list train = {.a = column[0], .b = column[1], .n = fold->n_train};
    return cm_pair_solver_create(&fold->solver, m, q, &train, error);
}

static cm_status make_folds(search *s, cm_error *error) {
    const cm_kernel_task *task = s->task;
    int64_t size[3] = {task->side[0].features->n, task->side[1].features->n, task->pairs.n};
    int32_t *part[3];
    cm_status status = CM_OK;
    for (int p = 0; p < 3; p++) {
        part[p] = cm_new((size_t)size[p], sizeof *part[p]);
        uint64_t key = cm_rng_key(task->seed, KEY_INNER, (uint64_t)p);
        if (!part[p]) status = cm_fail_memory(error, (size_t)size[p] * sizeof *part[p]);
        if (status == CM_OK)
            status =
                p < 2 ? deal_molecules(size[p], key, part[p], error) : deal_pairs(task, key, part[p], error);
    }
    for (int f = 0; f < INNER_FOLDS && status == CM_OK; f++)
        status = fold_make(&s->folds[f], task, part, f, error);
    for (int p = 0; p < 3; p++) cm_free(part[p]);
    return status;
}

static void search_clear(search *s) {
    for (int f = 0; f < INNER_FOLDS; f++) {
        cm_free(s->folds[f].train);
        cm_free(s->folds[f].held);
        cm_free(s->folds[f].columns);
        cm_free(s->folds[f].held_order);
        cm_pair_solver_destroy(s->folds[f].solver);
    }
    for (int side = 0; side < 2; side++) {
        cm_free(s->gram[side]);
        cm_free(s->packed[side]);
    }
    cm_free(s->target);
    cm_free(s->weights);
    cm_free(s->held);
    cm_free(s->score);
}

static cm_status search_make(search *s, const cm_kernel_task *task, cm_error *error) {
    *s = (search){.task = task};
    size_t n = (size_t)task->pairs.n;
    bool there = (s->target = cm_new(n, sizeof(double))) && (s->held = cm_new(n, sizeof(double))) &&
                 (s->weights = cm_new(RIDGES * n, sizeof(double))) &&
                 (s->score = cm_new(RIDGES * n, sizeof(double)));
    for (int side = 0; side < 2 && there; side++) {
        size_t m = (size_t)task->side[side].features->n;
        there =
            (s->gram[side] = cm_new(m * m, sizeof(double))) && (s->packed[side] = cm_new(n, sizeof(double)));
    }
    return there ? make_folds(s, error) : cm_fail_memory(error, n * 16 * RIDGES);
}

/* ---- the loss of one shape ---- */

double cm_kernel_targets(bool affinity, const double *label, const int64_t *index, int64_t n,
                         double *target) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        double value = label[index ? index[i] : i];
        target[i] = affinity ? value : value > 0.5 ? 1 : -1;
        sum += target[i];
    }
    double mean = n > 0 ? sum / (double)n : 0;
    for (int64_t i = 0; i < n; i++) target[i] -= mean;
    return mean;
}

cm_ridge_path cm_kernel_path(const double *ridge, int count) {
    return (cm_ridge_path){.ridge = ridge, .count = count, .tolerance = 1e-3, .most = 50};
}

static cm_status score_fold(search *s, const inner_fold *fold, const cm_pair_kernel *kernel,
                            cm_error *error) {
    const cm_kernel_task *task = s->task;
    double mean = cm_kernel_targets(task->affinity, task->label, fold->train, fold->n_train, s->target);
    cm_ridge_path path = cm_kernel_path(ridges, RIDGES);
    CM_TRY(cm_pair_ridge(fold->solver, kernel, &path, s->target, s->weights, task->team, error));
    for (int l = 0; l < RIDGES; l++) {
        cm_pair_apply(fold->solver, kernel, s->weights + l * fold->n_train, &fold->held_pairs, s->held,
                      task->team);
        for (int64_t i = 0; i < fold->n_held; i++)
            s->score[l * task->pairs.n + fold->held[i]] = s->held[i] + mean;
    }
    return CM_OK;
}

/* Mean loss of calibrated scores: squared error, or log loss. */
static double loss_of(search *s, const double *score) {
    const cm_kernel_task *task = s->task;
    int64_t n = 0;
    for (int64_t i = 0; i < task->pairs.n; i++) {
        if (isnan(score[i])) continue;
        s->packed[0][n] = score[i];
        s->packed[1][n++] = task->label[i];
    }
    cm_calibration c = cm_calibrate(task->affinity, s->packed[0], s->packed[1], n);
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        double value = cm_calibrated(&c, task->affinity, s->packed[0][i]), d = value - s->packed[1][i];
        double chance = fmin(1 - 1e-12, fmax(1e-12, s->packed[1][i] > 0.5 ? value : 1 - value));
        sum += task->affinity ? d * d : -log(chance);
    }
    return n > 0 ? sum / (double)n : 0;
}

/* The best ridge of the shapes at index and its loss. */
static cm_status judge(search *s, const int index[PARAMETERS], double *loss, int *ridge, cm_error *error) {
    const cm_kernel_task *task = s->task;
    cm_kernel_shape shape[2];
    shapes_of(index, shape);
    for (int side = 0; side < 2; side++) cm_kernel_side_gram(&task->side[side], &shape[side], s->gram[side]);
    cm_pair_kernel kernel = {s->gram[0], s->gram[1], task->side[0].features->n, task->side[1].features->n};
    for (int64_t i = 0; i < RIDGES * task->pairs.n; i++) s->score[i] = NAN;
    for (int f = 0; f < INNER_FOLDS; f++)
        if (s->folds[f].n_train > 0 && s->folds[f].n_held > 0)
            CM_TRY(score_fold(s, &s->folds[f], &kernel, error));
    *loss = INFINITY;
    for (int l = 0; l < RIDGES; l++) {
        double own = loss_of(s, s->score + l * task->pairs.n);
        if (own < *loss) {
            *loss = own;
            *ridge = l;
        }
    }
    return CM_OK;
}

/* ---- the climb ---- */

static cm_status consider(search *s, const int index[PARAMETERS], cm_kernel_choice *choice, bool *better,
                          cm_error *error) {
    double loss;
    int ridge = 0;
    CM_TRY(judge(s, index, &loss, &ridge, error));
    choice->tried++;
    *better = loss < choice->loss;
    if (!*better) return CM_OK;
    choice->loss = loss;
    choice->ridge = ridges[ridge];
    shapes_of(index, choice->shape);
    memcpy(choice->score, s->score + ridge * s->task->pairs.n, (size_t)s->task->pairs.n * sizeof(double));
    return CM_OK;
}

/* Moves parameter p up, or else down, while the loss falls. */
static cm_status climb(search *s, int index[PARAMETERS], int p, cm_kernel_choice *choice, bool *moved,
                       cm_error *error) {
    bool better = false;
    for (int way = 1; way >= -1 && !better; way -= 2)
        for (bool going = true; going;) {
            index[p] += way;
            going = index[p] >= 0 && index[p] < grids[p]->count;
            if (going) CM_TRY(consider(s, index, choice, &going, error));
            if (going)
                better = *moved = true;
            else
                index[p] -= way;
        }
    return CM_OK;
}

static cm_status climb_all(search *s, cm_kernel_choice *choice, cm_error *error) {
    int index[PARAMETERS];
    bool moved;
    for (int p = 0; p < PARAMETERS; p++) index[p] = grids[p]->start;
    CM_TRY(consider(s, index, choice, &moved, error));
    for (int sweep = 0; sweep < SWEEPS && moved; sweep++) {
        moved = false;
        for (int p = 0; p < PARAMETERS; p++) CM_TRY(climb(s, index, p, choice, &moved, error));
    }
    return CM_OK;
}

cm_status cm_kernel_choose(cm_kernel_choice *choice, const cm_kernel_task *task, cm_error *error) {
    *choice = (cm_kernel_choice){.loss = INFINITY, .score = cm_new((size_t)task->pairs.n, sizeof(double))};
    if (!choice->score) return cm_fail_memory(error, (size_t)task->pairs.n * sizeof(double));
    search s;
    cm_status status = search_make(&s, task, error);
    if (status == CM_OK) status = climb_all(&s, choice, error);
    search_clear(&s);
    return status;
}

void cm_kernel_choice_clear(cm_kernel_choice *choice) {
    cm_free(choice->score);
    choice->score = NULL;
}
