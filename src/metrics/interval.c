/* Intervals of the metrics by the pigeonhole bootstrap over the molecules of both sides (Owen 2007). */
#include "base/alloc.h"
#include "base/rng.h"
#include "metrics/ranking.h"
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FEWEST_DRAWS = 1000, PURPOSE = 0x626f6f74 };

typedef struct bootstrap {
    cm_ranking ranking;
    const int32_t *entity[2];
    int64_t n_entities[2];
    int32_t *times[2]; /* how often a draw takes an entity */
    int32_t *weight;   /* of a pair: the product */
    double *values;    /* [metrics, draws], NaN: the metric has no value in the draw */
} bootstrap;

/* A Poisson(1) number by inversion. */
static int32_t poisson(double uniform) {
    double term = exp(-1.0), sum = term;
    int32_t k = 0;
    while (uniform >= sum && k < 20) {
        term /= ++k;
        sum += term;
    }
    return k;
}

static int64_t entities_of(const int32_t *entity, int64_t n) {
    int64_t most = 0;
    for (int64_t i = 0; i < n; i++) {
        assert(entity[i] >= 0);
        if (entity[i] >= most) most = (int64_t)entity[i] + 1;
    }
    return most;
}

/* Weights of one draw; false when it takes no pair. */
static bool draw_weights(bootstrap *b, uint64_t seed, int draw) {
    for (int side = 0; side < 2; side++) {
        uint64_t key = cm_rng_key(seed, (uint64_t)draw, PURPOSE + (uint64_t)side);
        for (int64_t e = 0; e < b->n_entities[side]; e++)
            b->times[side][e] = poisson(cm_rng_uniform(key, (uint64_t)e));
    }
    bool any = false;
    for (int64_t i = 0; i < b->ranking.n; i++) {
        b->weight[i] = b->times[0][b->entity[0][i]] * b->times[1][b->entity[1][i]];
        any |= b->weight[i] > 0;
    }
    return any;
}

static int by_size(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* Linear between order statistics. */
static double quantile(const double *sorted, int64_t n, double share) {
    double at = share * (double)(n - 1);
    int64_t low = (int64_t)at;
    if (low + 1 >= n) return sorted[n - 1];
    return sorted[low] + (at - (double)low) * (sorted[low + 1] - sorted[low]);
}

static void limits(double *values, int draws, double *low, double *high) {
    int64_t n = 0;
    for (int i = 0; i < draws; i++)
        if (!isnan(values[i])) values[n++] = values[i];
    *low = *high = NAN;
    if (n == 0) return;
    qsort(values, (size_t)n, sizeof *values, by_size);
    *low = quantile(values, n, 0.025);
    *high = quantile(values, n, 0.975);
}

static cm_status allocate(bootstrap *b, int metrics, int draws, cm_error *error) {
    for (int side = 0; side < 2; side++) {
        b->n_entities[side] = entities_of(b->entity[side], b->ranking.n);
        b->times[side] = cm_new((size_t)b->n_entities[side], sizeof *b->times[side]);
    }
    b->weight = cm_new((size_t)b->ranking.n, sizeof *b->weight);
    b->values = cm_new((size_t)metrics * (size_t)draws, sizeof *b->values);
    if (b->times[0] && b->times[1] && b->weight && b->values) return CM_OK;
    return cm_fail_memory(error, (size_t)draws * sizeof *b->values);
}

static void run_draws(bootstrap *b, bool affinity, double threshold, int draws, uint64_t seed) {
    const int metrics = cm_metrics_count(affinity);
    double out[CM_METRICS_MAX];
    for (int draw = 0; draw < draws; draw++) {
        bool any = draw_weights(b, seed, draw);
        if (any && affinity) cm_ranking_affinity(&b->ranking, b->weight, out);
        if (any && !affinity) cm_ranking_binary(&b->ranking, b->weight, threshold, out);
        for (int m = 0; m < metrics; m++) b->values[(int64_t)m * draws + draw] = any ? out[m] : NAN;
    }
}

cm_status cm_metrics_intervals(bool affinity, const double *value, const double *label, int64_t n,
                               double threshold, const int32_t *entity_a, const int32_t *entity_b, int draws,
                               uint64_t seed, double *low, double *high, cm_error *error) {
    if (draws < FEWEST_DRAWS)
        return cm_fail(error, CM_USAGE, NULL, NULL, cm_format("%d draws or more", FEWEST_DRAWS).text, "%d",
                       draws);
    bootstrap b = {.entity = {entity_a, entity_b}};
    CM_TRY(cm_ranking_create(&b.ranking, affinity, value, label, n, error));
    const int metrics = cm_metrics_count(affinity);
    cm_status status = allocate(&b, metrics, draws, error);
    if (status == CM_OK) {
        run_draws(&b, affinity, threshold, draws, seed);
        for (int m = 0; m < metrics; m++) limits(b.values + (int64_t)m * draws, draws, &low[m], &high[m]);
    }
    cm_free(b.times[0]);
    cm_free(b.times[1]);
    cm_free(b.weight);
    cm_free(b.values);
    cm_ranking_clear(&b.ranking);
    return status;
}
