/* Inner folds and what is chosen on them. */
#include "train/inner.h"
#include "base/alloc.h"
#include "base/rng.h"
#include "data/split.h"
#include "metrics/metrics.h"
#include <math.h>
#include <string.h>

enum { KEY_INNER = 21, BLOCKS = 3, FEWEST = 10 };

void cm_inner_clear(cm_inner *inner) {
    cm_free(inner->part);
    cm_free(inner->fits);
    *inner = (cm_inner){0};
}

/* ---- which molecules are new ---- */

cm_status cm_inner_new_sides(const cm_dataset *d, const int64_t *train, int64_t n, const int64_t *test,
                             int64_t m, bool new_side[2], cm_error *error) {
    for (int side = 0; side < 2; side++) {
        bool *known = cm_new((size_t)d->n_entities[side], sizeof *known);
        if (!known) return cm_fail_memory(error, (size_t)d->n_entities[side]);
        int64_t fresh = 0;
        for (int64_t i = 0; i < n; i++) known[d->pairs[train[i]].entity[side]] = true;
        for (int64_t i = 0; i < m; i++) fresh += !known[d->pairs[test[i]].entity[side]];
        new_side[side] = 2 * fresh > m;
        cm_free(known);
    }
    return CM_OK;
}

/* Deals the molecules of side that train names, in random order, each to the fold with the fewest pairs. */
static cm_status deal_molecules(const cm_dataset *d, const int64_t *train, int64_t n, int side, int folds,
                                uint64_t seed, int32_t *fold, cm_error *error) {
    int64_t count = d->n_entities[side], load[CM_INNER_MOST] = {0};
    int64_t *order = cm_new((size_t)count, sizeof *order), *pairs = cm_new((size_t)count, sizeof *pairs);
    int32_t *of = cm_new((size_t)count, sizeof *of);
    if (order && pairs && of) {
        for (int64_t i = 0; i < count; i++) order[i] = i;
        for (int64_t i = 0; i < n; i++) pairs[d->pairs[train[i]].entity[side]]++;
        cm_rng_shuffle(cm_rng_key(seed, KEY_INNER, (uint64_t)side), order, count);
        for (int64_t i = 0; i < count; i++) {
            int least = 0;
            for (int f = 1; f < folds; f++)
                if (load[f] < load[least]) least = f;
            of[order[i]] = least;
            load[least] += pairs[order[i]];
        }
        for (int64_t i = 0; i < n; i++) fold[i] = of[d->pairs[train[i]].entity[side]];
    }
    bool done = order && pairs && of;
    cm_free(order);
    cm_free(pairs);
    cm_free(of);
    return done ? CM_OK : cm_fail_memory(error, (size_t)count * 20);
}

/* ---- dividing ---- */

/* Both sides: part = fold of A * BLOCKS + fold of B; else part = fold and everything else fits. */
static void set_fits(cm_inner *inner, bool both) {
    for (int p = 0; p < inner->n_parts; p++)
        for (int64_t i = 0; i < inner->n; i++) {
            int32_t own = inner->part[i];
            inner->fits[p * inner->n + i] =
                both ? own / BLOCKS != p / BLOCKS && own % BLOCKS != p % BLOCKS : own != p;
        }
}

static bool usable(const cm_inner *inner) {
    for (int p = 0; p < inner->n_parts; p++) {
        int64_t fits = 0;
        for (int64_t i = 0; i < inner->n; i++) fits += inner->fits[p * inner->n + i];
        if (fits == 0) return false;
    }
    return true;
}

static cm_status divide_cold(cm_inner *inner, const cm_dataset *d, const int64_t *train,
                             const bool new_side[2], int folds, uint64_t seed, cm_error *error) {
    bool both = new_side[0] && new_side[1];
    inner->n_parts = both ? BLOCKS * BLOCKS : folds;
    CM_TRY(deal_molecules(d, train, inner->n, new_side[0] ? 0 : 1, both ? BLOCKS : folds, seed, inner->part,
                          error));
    if (both) {
        int32_t *other = cm_new((size_t)inner->n, sizeof *other);
        if (!other) return cm_fail_memory(error, (size_t)inner->n * sizeof *other);
        cm_status status = deal_molecules(d, train, inner->n, 1, BLOCKS, seed, other, error);
        for (int64_t i = 0; i < inner->n; i++) inner->part[i] = inner->part[i] * BLOCKS + other[i];
        cm_free(other);
        CM_TRY(status);
    }
    set_fits(inner, both);
    return CM_OK;
}

cm_status cm_inner_divide(cm_inner *inner, const cm_dataset *dataset, const int64_t *train, int64_t n,
                          const bool new_side[2], int folds, uint64_t seed, cm_error *error) {
    *inner = (cm_inner){.n = n};
    if (n < FEWEST) return CM_OK;
    inner->part = cm_new((size_t)n, sizeof *inner->part);
    inner->fits = cm_new((size_t)n * CM_INNER_MOST, sizeof *inner->fits);
    if (!inner->part || !inner->fits) return cm_fail_memory(error, (size_t)n * (4 + CM_INNER_MOST));
    if (new_side[0] || new_side[1]) {
        CM_TRY(divide_cold(inner, dataset, train, new_side, folds, seed, error));
        if (usable(inner)) return CM_OK;
    }
    inner->n_parts = folds;
    CM_TRY(cm_split_folds(dataset, train, n, folds, cm_rng_key(seed, KEY_INNER, 2), inner->part, error));
    set_fits(inner, false);
    return CM_OK;
}

cm_status cm_inner_make(cm_inner *inner, const cm_dataset *dataset, const int64_t *train, int64_t n,
                        const int64_t *test, int64_t m, int folds, uint64_t seed, cm_error *error) {
    bool new_side[2];
    *inner = (cm_inner){.n = n};
    CM_TRY(cm_inner_new_sides(dataset, train, n, test, m, new_side, error));
    return cm_inner_divide(inner, dataset, train, n, new_side, folds, seed, error);
}

int64_t cm_inner_list(const cm_inner *inner, int p, bool held, int64_t *index) {
    int64_t count = 0;
    for (int64_t i = 0; i < inner->n; i++)
        if (held ? inner->part[i] == p : inner->fits[p * inner->n + i]) index[count++] = i;
    return count;
}

/* ---- choices ---- */

double cm_inner_loss(bool affinity, const double *score, const double *label, int64_t n) {
    cm_calibration calibration = cm_calibrate(affinity, score, label, n);
    double sum = 0;
    for (int64_t i = 0; i < n; i++) {
        double value = cm_calibrated(&calibration, affinity, score[i]);
        double p = fmin(fmax(label[i] > 0.5 ? value : 1 - value, 1e-12), 1);
        sum += affinity ? (value - label[i]) * (value - label[i]) : -log(p);
    }
    return n > 0 ? sum / (double)n : 0;
}

static bool both_classes(const double *label, int64_t n) {
    for (int64_t i = 1; i < n; i++)
        if (label[i] != label[0]) return true;
    return false;
}

cm_status cm_inner_threshold(const cm_calibration *calibration, const double *score, const double *label,
                             int64_t n, double *threshold, cm_error *error) {
    *threshold = 0.5;
    if (!both_classes(label, n)) return CM_OK;
    double *value = cm_new((size_t)n, sizeof *value);
    if (!value) return cm_fail_memory(error, (size_t)n * sizeof *value);
    for (int64_t i = 0; i < n; i++) value[i] = cm_calibrated(calibration, false, score[i]);
    cm_status status = cm_metrics_best_threshold(value, label, n, threshold, error);
    cm_free(value);
    return status;
}

cm_status cm_inner_finish(bool affinity, const double *score, const double *label, int64_t n,
                          const double *test, int64_t m, double *value, double *threshold, cm_error *error) {
    cm_calibration calibration = cm_calibrate(affinity, score, label, n);
    double least = INFINITY, most = -INFINITY;
    for (int64_t i = 0; i < n; i++) {
        least = fmin(least, label[i]);
        most = fmax(most, label[i]);
    }
    for (int64_t i = 0; i < m; i++) {
        double v = cm_calibrated(&calibration, affinity, test[i]);
        value[i] = affinity && n > 0 ? fmin(fmax(v, least), most) : v;
    }
    return affinity ? CM_OK : cm_inner_threshold(&calibration, score, label, n, threshold, error);
}
