/* Random splits of pairs, stratified by label. */
#include "data/split.h"
#include "base/alloc.h"
#include "base/rng.h"
#include <assert.h>
#include <math.h>
#include <stdlib.h>

/* Strata of affinities. */
enum { QUANTILES = 5 };
/* Purposes in the key of the random numbers. */
enum { PURPOSE_FOLDS = 0x666f6c64, PURPOSE_HOLD_OUT = 0x686f6c64 };

typedef struct item {
    float label;
    int64_t at; /* position in the caller's list */
} item;

/* Positions 0..n-1 of the caller's list, grouped by stratum and shuffled inside each. */
typedef struct strata {
    int64_t *order;
    int64_t end[QUANTILES]; /* of each stratum in order */
    int count;
} strata;

static int by_label(const void *left, const void *right) {
    const item *a = left, *b = right;
    if (a->label != b->label) return a->label < b->label ? -1 : 1;
    return (a->at > b->at) - (a->at < b->at);
}

/* The ends of the strata in items sorted by label: the classes, or quintiles of at least two. */
static void cut(strata *s, const item *items, int64_t n, bool affinity) {
    if (affinity) {
        s->count = n >= 2 * QUANTILES ? QUANTILES : 1;
        for (int i = 0; i < s->count; i++) s->end[i] = n * (i + 1) / s->count;
        return;
    }
    int64_t negatives = 0;
    while (negatives < n && items[negatives].label < 0.5f) negatives++;
    s->count = 2;
    s->end[0] = negatives;
    s->end[1] = n;
}

static cm_status make_strata(strata *s, const cm_dataset *dataset, const int64_t *index, int64_t n,
                             uint64_t seed, uint64_t purpose, cm_error *error) {
    if (!dataset->options.labels)
        return cm_fail(error, CM_USAGE, NULL, NULL, "a data set with labels", "none to split by");
    item *items = cm_new((size_t)n, sizeof *items);
    s->order = cm_new((size_t)n, sizeof *s->order);
    if (!items || !s->order) {
        cm_free(items);
        cm_free(s->order);
        return cm_fail_memory(error, (size_t)n * sizeof *items);
    }
    for (int64_t i = 0; i < n; i++) {
        int64_t pair = index ? index[i] : i;
        assert(pair >= 0 && pair < dataset->n_pairs);
        items[i] = (item){.label = dataset->pairs[pair].label, .at = i};
    }
    qsort(items, (size_t)n, sizeof *items, by_label);
    cut(s, items, n, dataset->task->affinity);
    for (int64_t i = 0; i < n; i++) s->order[i] = items[i].at;
    cm_free(items);
    int64_t begin = 0;
    for (int i = 0; i < s->count; begin = s->end[i++])
        cm_rng_shuffle(cm_rng_key(seed, purpose, (uint64_t)i), s->order + begin, s->end[i] - begin);
    return CM_OK;
}

cm_status cm_split_folds(const cm_dataset *dataset, const int64_t *index, int64_t n, int k, uint64_t seed,
                         int32_t *fold, cm_error *error) {
    if (k < 2) return cm_fail(error, CM_USAGE, NULL, NULL, "2 or more folds", "%d", k);
    if (n < k)
        return cm_fail(error, CM_DATA, NULL, NULL, cm_format("a pair for each of %d folds", k).text,
                       "%lld pairs", (long long)n);
    strata s;
    CM_TRY(make_strata(&s, dataset, index, n, seed, PURPOSE_FOLDS, error));
    /* dealing runs on from stratum to stratum: sizes differ by one at most, in each stratum and in all */
    for (int64_t i = 0; i < n; i++) fold[s.order[i]] = (int32_t)(i % k);
    cm_free(s.order);
    return CM_OK;
}

/* How many of stratum i are held out: the strata share target in proportion, by cumulative rounding. */
static int64_t held_of(const strata *s, int i, int64_t n, int64_t target, bool affinity) {
    int64_t begin = i ? s->end[i - 1] : 0, size = s->end[i] - begin;
    double rate = (double)target / (double)n;
    int64_t held = llround(rate * (double)s->end[i]) - llround(rate * (double)begin);
    if (affinity) return held;
    if (size < 2) return 0;
    return held < 1 ? 1 : held > size - 1 ? size - 1 : held;
}

cm_status cm_split_hold_out(const cm_dataset *dataset, const int64_t *index, int64_t n, double share,
                            uint64_t seed, bool *held, cm_error *error) {
    if (!(share > 0 && share < 1))
        return cm_fail(error, CM_USAGE, NULL, NULL, "a share between 0 and 1", "%g", share);
    if (n < 2)
        return cm_fail(error, CM_DATA, NULL, "inner validation", "2 or more training pairs, or no validation",
                       "%lld", (long long)n);
    strata s;
    CM_TRY(make_strata(&s, dataset, index, n, seed, PURPOSE_HOLD_OUT, error));
    int64_t target = llround(share * (double)n), begin = 0;
    target = target < 1 ? 1 : target > n - 1 ? n - 1 : target;
    for (int i = 0; i < s.count; begin = s.end[i++]) {
        int64_t out = held_of(&s, i, n, target, dataset->task->affinity);
        for (int64_t j = begin; j < s.end[i]; j++) held[s.order[j]] = j < begin + out;
    }
    cm_free(s.order);
    return CM_OK;
}
