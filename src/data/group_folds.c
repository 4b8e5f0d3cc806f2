/* Greedy balancing of groups over folds. */
#include "data/group_folds.h"
#include "base/alloc.h"
#include "base/rng.h"
#include <stdlib.h>

/* Strata of labels: two classes, or quintiles of an affinity. */
enum { STRATA = 5 };
/* Purposes in the key of the random numbers. */
enum { PURPOSE_ORDER = 0x67726f75, PURPOSE_TIES = 0x74696573 };

/* A group and its pairs by stratum. */
typedef struct tally {
    int32_t group;
    double key; /* size times a random factor: the order of dealing */
    double pairs[STRATA];
} tally;

static int by_value(const void *left, const void *right) {
    float a = *(const float *)left, b = *(const float *)right;
    return (a > b) - (a < b);
}

static int by_key(const void *left, const void *right) {
    const tally *a = left, *b = right;
    if (a->key != b->key) return a->key > b->key ? -1 : 1;
    return (a->group > b->group) - (a->group < b->group);
}

/* Upper ends of the strata. */
static cm_status cut_labels(const cm_dataset *d, const int64_t *index, int64_t n, float end[STRATA],
                            cm_error *error) {
    if (!d->task->affinity) {
        for (int s = 0; s < STRATA; s++) end[s] = s == 0 ? 0.5f : 2;
        return CM_OK;
    }
    float *label = cm_new((size_t)n, sizeof *label);
    if (!label) return cm_fail_memory(error, (size_t)n * sizeof *label);
    for (int64_t i = 0; i < n; i++) label[i] = d->pairs[index[i]].label;
    qsort(label, (size_t)n, sizeof *label, by_value);
    for (int s = 0; s < STRATA; s++) end[s] = label[(n - 1) * (s + 1) / STRATA];
    cm_free(label);
    return CM_OK;
}

static int stratum_of(const float end[STRATA], float label) {
    int s = 0;
    while (s < STRATA - 1 && label > end[s]) s++;
    return s;
}

/* What adding the group to a fold costs: the growth of the sums of squares, each stratum on its own scale. */
static double cost(const double *load, const double *pairs, const double *total) {
    double sum = 0, all_load = 0, all_pairs = 0, all = 0;
    for (int s = 0; s < STRATA; s++) {
        if (total[s] > 0) sum += pairs[s] * (2 * load[s] + pairs[s]) / (total[s] * total[s]);
        all_load += load[s];
        all_pairs += pairs[s];
        all += total[s];
    }
    return sum + 2 * all_pairs * (2 * all_load + all_pairs) / (all * all);
}

static void deal(const tally *tallies, int32_t n, int k, const double *total, uint64_t seed, double *load,
                 int32_t *fold) {
    for (int32_t t = 0; t < n; t++) {
        int best = -1;
        double least = 0;
        int first = (int)cm_rng_below(cm_rng_key(seed, PURPOSE_TIES, 0), (uint64_t)t, (uint64_t)k);
        for (int i = 0; i < k; i++) {
            int f = (first + i) % k;
            double c = cost(load + f * STRATA, tallies[t].pairs, total);
            if (best < 0 || c < least - 1e-15) best = f, least = c;
        }
        for (int s = 0; s < STRATA; s++) load[best * STRATA + s] += tallies[t].pairs[s];
        fold[tallies[t].group] = best;
    }
}

/* The groups with pairs, in dealing order; their number. */
static int32_t count_groups(const cm_groups *g, const cm_dataset *d, const int64_t *index, int64_t n,
                            int side, const float *end, uint64_t seed, tally *tallies, double *total) {
    for (int32_t i = 0; i < g->count; i++) tallies[i].group = i;
    for (int64_t i = 0; i < n; i++) {
        const cm_pair *pair = &d->pairs[index[i]];
        tally *t = &tallies[g->of[side][pair->entity[side]]];
        int s = stratum_of(end, pair->label);
        t->pairs[s]++;
        t->key++;
        total[s]++;
    }
    uint64_t key = cm_rng_key(seed, PURPOSE_ORDER, (uint64_t)side);
    for (int32_t i = 0; i < g->count; i++) tallies[i].key *= 0.75 + 0.5 * cm_rng_uniform(key, (uint64_t)i);
    qsort(tallies, (size_t)g->count, sizeof *tallies, by_key);
    int32_t used = 0;
    while (used < g->count && tallies[used].key > 0) used++;
    return used;
}

cm_status cm_group_folds(const cm_groups *groups, const cm_dataset *dataset, const int64_t *index, int64_t n,
                         int side, int k, uint64_t seed, int32_t *fold, int32_t *n_dealt, cm_error *error) {
    float end[STRATA];
    double total[STRATA] = {0};
    CM_TRY(cut_labels(dataset, index, n, end, error));
    tally *tallies = cm_new((size_t)groups->count, sizeof *tallies);
    double *load = cm_new((size_t)k * STRATA, sizeof *load);
    cm_status status =
        tallies && load ? CM_OK : cm_fail_memory(error, (size_t)groups->count * sizeof *tallies);
    if (status == CM_OK) {
        for (int32_t i = 0; i < groups->count; i++) fold[i] = -1;
        *n_dealt = count_groups(groups, dataset, index, n, side, end, seed, tallies, total);
        deal(tallies, *n_dealt, k, total, seed, load, fold);
    }
    cm_free(tallies);
    cm_free(load);
    return status;
}
