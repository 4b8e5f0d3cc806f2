/* Kinds of splits. */
#include "data/split_kind.h"
#include "base/alloc.h"
#include "base/rng.h"
#include "data/group_folds.h"
#include "data/split.h"
#include <math.h>
#include <string.h>

static const cm_split_kind kinds[] = {
#define CM_SPLIT_KIND(name, rule, stratified, a, b, folds, help) \
    {name, help, CM_SPLIT_##rule, stratified, {a, b}, folds},
#include "data/split_kinds.def"
#undef CM_SPLIT_KIND
};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

const cm_split_kind *cm_split_kind_find(const char *name) {
    for (int i = 0; i < N_KINDS; i++)
        if (strcmp(kinds[i].name, name) == 0) return &kinds[i];
    return NULL;
}

int cm_split_row(int i, cm_table_row *row) {
    if (i < 0 || i >= N_KINDS) return 0;
    *row = (cm_table_row){.name = kinds[i].name, .help = kinds[i].help};
    return 1;
}

void cm_split_thresholds(const cm_options *options, double threshold[3]) {
    threshold[CM_RNA] = options->rna_similarity;
    threshold[CM_PROTEIN] = options->protein_similarity;
    threshold[CM_MOLECULE] = options->molecule_similarity;
}

void cm_split_clear(cm_split *split) {
    cm_free(split->role);
    *split = (cm_split){0};
}

static cm_status make_room(cm_split *split, int units, int64_t pairs, cm_error *error) {
    *split = (cm_split){.n_units = units, .n_pairs = pairs};
    split->role = cm_new((size_t)units * (size_t)pairs, sizeof *split->role);
    return split->role ? CM_OK : cm_fail_memory(error, (size_t)units * (size_t)pairs);
}

static void roles_from_folds(cm_split *split, const int32_t *fold) {
    for (int u = 0; u < split->n_units; u++)
        for (int64_t i = 0; i < split->n_pairs; i++)
            split->role[u * split->n_pairs + i] = fold[i] == u ? CM_TEST : CM_TRAIN;
}

/* ---- pairs ---- */

static cm_status random_folds(int64_t n, int k, uint64_t seed, int32_t *fold, cm_error *error) {
    if (k < 2) return cm_fail(error, CM_USAGE, NULL, NULL, "2 or more folds", "%d", k);
    if (n < k)
        return cm_fail(error, CM_DATA, NULL, NULL, cm_format("a pair for each of %d folds", k).text,
                       "%lld pairs", (long long)n);
    int64_t *order = cm_new((size_t)n, sizeof *order);
    if (!order) return cm_fail_memory(error, (size_t)n * sizeof *order);
    for (int64_t i = 0; i < n; i++) order[i] = i;
    cm_rng_shuffle(seed, order, n);
    for (int64_t i = 0; i < n; i++) fold[order[i]] = (int32_t)(i % k);
    cm_free(order);
    return CM_OK;
}

static cm_status split_pairs(cm_split *split, const cm_split_request *r, const cm_dataset *d, uint64_t seed,
                             int32_t *fold, cm_error *error) {
    CM_TRY(r->kind->stratified ? cm_split_folds(d, NULL, d->n_pairs, r->folds, seed, fold, error)
                               : random_folds(d->n_pairs, r->folds, seed, fold, error));
    CM_TRY(make_room(split, r->folds, d->n_pairs, error));
    roles_from_folds(split, fold);
    return CM_OK;
}

/* ---- given folds ---- */

static cm_status given_fold(const cm_dataset *dataset, const char *name, const char *option, int *fold,
                            cm_error *error) {
    for (int64_t i = 0; name && i < dataset->n_folds; i++)
        if (strcmp(dataset->folds[i], name) == 0) *fold = (int)i;
    if (!name || *fold >= 0) return CM_OK;
    return cm_fail(error, CM_USAGE, NULL, option, "a value of the fold column", "%s", name);
}

/* Marks in met the groups that the unit's test pairs have. */
static void drop_shared(uint8_t *role, const cm_dataset *d, const cm_groups *g, uint8_t *met) {
    memset(met, 0, (size_t)g->count);
    for (int64_t i = 0; i < d->n_pairs; i++)
        for (int side = 0; side < 2 && role[i] == CM_TEST; side++)
            met[g->of[side][d->pairs[i].entity[side]]] = 1;
    for (int64_t i = 0; i < d->n_pairs; i++)
        if (role[i] == CM_TRAIN &&
            (met[g->of[0][d->pairs[i].entity[0]]] || met[g->of[1][d->pairs[i].entity[1]]]))
            role[i] = CM_UNUSED;
}

static cm_status drop_all_shared(cm_split *split, const cm_dataset *d, cm_error *error) {
    cm_groups groups;
    CM_TRY(cm_groups_make(&groups, d, NULL, error));
    uint8_t *met = cm_new((size_t)groups.count, sizeof *met);
    for (int u = 0; met && u < split->n_units; u++)
        drop_shared(split->role + u * split->n_pairs, d, &groups, met);
    cm_groups_clear(&groups);
    cm_status status = met ? CM_OK : cm_fail_memory(error, (size_t)groups.count);
    cm_free(met);
    return status;
}

static cm_status split_given(cm_split *split, const cm_split_request *r, const cm_dataset *d, uint64_t seed,
                             int32_t *fold, cm_error *error) {
    (void)seed;
    int only = -1, trains = -1;
    if (d->n_folds < 2)
        return cm_fail(error, CM_USAGE, NULL, "folds", "a fold column with two or more values", "%lld",
                       (long long)d->n_folds);
    CM_TRY(given_fold(d, r->test_fold, "test fold", &only, error));
    CM_TRY(given_fold(d, r->train_fold, "train fold", &trains, error));
    for (int64_t i = 0; i < d->n_pairs; i++) {
        int32_t own = d->pairs[i].fold;
        if (trains >= 0)
            fold[i] = own == trains || own < 0 ? -1 : 0;
        else
            fold[i] = only < 0 ? own : own == only ? 0 : -1;
    }
    CM_TRY(make_room(split, only >= 0 || trains >= 0 ? 1 : (int)d->n_folds, d->n_pairs, error));
    roles_from_folds(split, fold);
    return r->kind->side[0] ? drop_all_shared(split, d, error) : CM_OK;
}

/* ---- groups ---- */

/* fold[side][group], -1: the group has no molecule there, or the side is not cold. */
typedef struct sides {
    cm_groups groups;
    int32_t *fold[2];
    int64_t *all; /* 0 .. n_pairs - 1 */
} sides;

static void sides_clear(sides *s) {
    cm_groups_clear(&s->groups);
    cm_free(s->fold[0]);
    cm_free(s->fold[1]);
    cm_free(s->all);
}

static const double *threshold_of(const cm_split_request *r) {
    return r->kind->rule == CM_SPLIT_CLUSTERS ? r->threshold : NULL;
}

static cm_status make_sides(sides *s, const cm_split_request *r, const cm_dataset *d, uint64_t seed,
                            cm_error *error) {
    CM_TRY(cm_groups_make(&s->groups, d, threshold_of(r), error));
    size_t n = (size_t)s->groups.count;
    s->fold[0] = cm_new(n, sizeof(int32_t));
    s->fold[1] = cm_new(n, sizeof(int32_t));
    s->all = cm_new((size_t)d->n_pairs, sizeof *s->all);
    if (!s->fold[0] || !s->fold[1] || !s->all) return cm_fail_memory(error, n * 8);
    for (int64_t i = 0; i < d->n_pairs; i++) s->all[i] = i;
    for (int side = 0; side < 2; side++) {
        int32_t dealt = 0;
        for (size_t g = 0; g < n; g++) s->fold[side][g] = -1;
        if (!r->kind->side[side]) continue;
        CM_TRY(cm_group_folds(&s->groups, d, s->all, d->n_pairs, side, r->folds, seed, s->fold[side], &dealt,
                              error));
        if (dealt < r->folds)
            return cm_fail(error, CM_DATA, NULL, cm_format("side %c", 'A' + side).text,
                           cm_format("a group of molecules for each of %d folds", r->folds).text, "%d groups",
                           (int)dealt);
    }
    return CM_OK;
}

/* The role of a pair where fold want[side] is tested (-1: that side is not cold). */
static uint8_t role_of(const sides *s, const cm_pair *pair, const int want[2]) {
    bool test = true, met = false;
    for (int side = 0; side < 2; side++) {
        if (want[side] < 0) continue;
        int32_t own = s->groups.of[side][pair->entity[side]],
                other = s->groups.of[1 - side][pair->entity[1 - side]];
        test &= s->fold[side][own] == want[side];
        met |= s->fold[side][own] == want[side] || s->fold[side][other] == want[side];
    }
    return test ? CM_TEST : met ? CM_UNUSED : CM_TRAIN;
}

/* Keeps the unit when it tests anything. */
static void add_unit(cm_split *split, const sides *s, const cm_dataset *d, const int want[2]) {
    uint8_t *role = split->role + split->n_units * split->n_pairs;
    bool tests = false;
    for (int64_t i = 0; i < d->n_pairs; i++) {
        role[i] = role_of(s, &d->pairs[i], want);
        tests |= role[i] == CM_TEST;
    }
    split->n_units += tests;
}

static cm_status split_groups(cm_split *split, const cm_split_request *r, const cm_dataset *d, uint64_t seed,
                              int32_t *fold, cm_error *error) {
    (void)fold;
    if (r->folds < 2) return cm_fail(error, CM_USAGE, NULL, NULL, "2 or more folds", "%d", r->folds);
    sides s = {.all = NULL};
    const bool *cold = r->kind->side;
    int counts[2] = {cold[0] ? r->folds : 1, cold[1] ? r->folds : 1};
    cm_status status = make_sides(&s, r, d, seed, error);
    if (status == CM_OK) status = make_room(split, counts[0] * counts[1], d->n_pairs, error);
    if (status == CM_OK) {
        split->n_units = 0;
        for (int i = 0; i < counts[0]; i++)
            for (int j = 0; j < counts[1]; j++)
                add_unit(split, &s, d, (int[2]){cold[0] ? i : -1, cold[1] ? j : -1});
    }
    sides_clear(&s);
    return status;
}

/* ---- all ---- */

static cm_status check_units(const cm_split *split, cm_error *error) {
    for (int u = 0; u < split->n_units; u++) {
        int64_t count[3] = {0};
        for (int64_t i = 0; i < split->n_pairs; i++) count[split->role[u * split->n_pairs + i]]++;
        if (count[CM_TRAIN] == 0 || count[CM_TEST] == 0)
            return cm_fail(error, CM_DATA, NULL, cm_format("fold %d", u + 1).text,
                           "pairs to train on and pairs to test", "%lld to train on, %lld of %lld to test",
                           (long long)count[CM_TRAIN], (long long)count[CM_TEST], (long long)split->n_pairs);
    }
    return CM_OK;
}

cm_status cm_split_make(cm_split *split, const cm_split_request *request, const cm_dataset *dataset,
                        uint64_t seed, cm_error *error) {
    static cm_status (*const makers[])(cm_split *, const cm_split_request *, const cm_dataset *, uint64_t,
                                       int32_t *, cm_error *) = {[CM_SPLIT_PAIRS] = split_pairs,
                                                                 [CM_SPLIT_GIVEN] = split_given,
                                                                 [CM_SPLIT_TEXTS] = split_groups,
                                                                 [CM_SPLIT_CLUSTERS] = split_groups};
    *split = (cm_split){0};
    if (!dataset->options.labels)
        return cm_fail(error, CM_USAGE, NULL, NULL, "a data set with labels", "none to split by");
    int32_t *fold = cm_new((size_t)dataset->n_pairs, sizeof *fold);
    if (!fold) return cm_fail_memory(error, (size_t)dataset->n_pairs * sizeof *fold);
    cm_status status = makers[request->kind->rule](split, request, dataset, seed, fold, error);
    if (status == CM_OK) status = check_units(split, error);
    cm_free(fold);
    if (status != CM_OK) cm_split_clear(split);
    return status;
}

/* ---- inner hold-out ---- */

/* Marks the pairs whose group on a cold side is in the held fold; with two types alike, on either side. True
 * when both parts have pairs, and for a binary task both classes. */
static bool mark_held(const sides *s, const cm_split_request *r, const cm_dataset *d, const int64_t *index,
                      int64_t n, int held_fold, bool *held) {
    int64_t count[2][2] = {{0}};
    for (int64_t i = 0; i < n; i++) {
        const cm_pair *pair = &d->pairs[index[i]];
        held[i] = false;
        for (int side = 0; side < 2; side++)
            for (int on = 0; on < 2 && r->kind->side[side]; on++)
                held[i] |= s->fold[side][s->groups.of[on][pair->entity[on]]] == held_fold;
        count[held[i]][!d->task->affinity && pair->label >= 0.5f]++;
    }
    for (int part = 0; part < 2; part++) {
        if (count[part][0] + count[part][1] == 0) return false;
        if (!d->task->affinity && (count[part][0] == 0 || count[part][1] == 0)) return false;
    }
    return true;
}

static cm_status hold_out(sides *s, const cm_split_request *r, const cm_dataset *d, const int64_t *index,
                          int64_t n, int k, uint64_t seed, bool *trial, bool *done, cm_error *error) {
    CM_TRY(cm_groups_make(&s->groups, d, threshold_of(r), error));
    for (int side = 0; side < 2; side++) {
        s->fold[side] = cm_new((size_t)s->groups.count, sizeof(int32_t));
        int32_t dealt;
        if (!s->fold[side]) return cm_fail_memory(error, (size_t)s->groups.count * sizeof(int32_t));
        if (!r->kind->side[side]) continue;
        CM_TRY(cm_group_folds(&s->groups, d, index, n, side, k, seed, s->fold[side], &dealt, error));
        if (dealt < 2) return CM_OK;
    }
    for (int f = 0; f < k && !*done; f++) *done = mark_held(s, r, d, index, n, f, trial);
    return CM_OK;
}

cm_status cm_split_hold_out_groups(const cm_split_request *request, const cm_dataset *dataset,
                                   const int64_t *index, int64_t n, double share, uint64_t seed, bool *held,
                                   bool *done, cm_error *error) {
    *done = false;
    const cm_split_kind *kind = request->kind;
    if (kind->rule != CM_SPLIT_TEXTS && kind->rule != CM_SPLIT_CLUSTERS) return CM_OK;
    double part = kind->side[0] && kind->side[1] ? share / 2 : share;
    int k = (int)fmin(fmax(llround(1 / part), 2), 1000);
    sides s = {.all = NULL};
    bool *trial = cm_new((size_t)n, sizeof *trial);
    cm_status status = trial ? hold_out(&s, request, dataset, index, n, k, seed, trial, done, error)
                             : cm_fail_memory(error, (size_t)n);
    if (status == CM_OK && *done) memcpy(held, trial, (size_t)n * sizeof *held);
    cm_free(trial);
    sides_clear(&s);
    return status;
}
