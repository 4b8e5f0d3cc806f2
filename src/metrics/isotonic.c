/* Isotonic regression by pooling adjacent violators. */
#include "metrics/isotonic.h"
#include "base/alloc.h"
#include <assert.h>
#include <math.h>
#include <stdlib.h>

/* A level: the points from first to last share the mean y. While sorting: one point. */
typedef struct level {
    double first, last, mean, weight;
    int64_t number;
} level;

static int by_place(const void *left, const void *right) {
    const level *a = left, *b = right;
    if (a->first != b->first) return a->first < b->first ? -1 : 1;
    return (a->number > b->number) - (a->number < b->number);
}

static void join(level *into, const level *next) {
    double weight = into->weight + next->weight;
    into->mean += (next->mean - into->mean) * next->weight / weight;
    into->weight = weight;
    into->last = next->last;
}

/* Sorts the points and joins those with equal x; the number of distinct x. */
static int64_t distinct(level *points, int64_t n) {
    qsort(points, (size_t)n, sizeof *points, by_place);
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++) {
        if (count > 0 && points[count - 1].first == points[i].first)
            join(&points[count - 1], &points[i]);
        else
            points[count++] = points[i];
    }
    return count;
}

static int64_t pool(level *levels, int64_t n) {
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++) {
        levels[count++] = levels[i];
        while (count > 1 && levels[count - 2].mean >= levels[count - 1].mean) {
            join(&levels[count - 2], &levels[count - 1]);
            count--;
        }
    }
    return count;
}

static int knots_of(const level *levels, int64_t count) {
    int knots = 0;
    for (int64_t i = 0; i < count; i++) knots += levels[i].first < levels[i].last ? 2 : 1;
    return knots;
}

/* The neighbours whose union adds least to the sum of squares. */
static int64_t cheapest(const level *levels, int64_t count) {
    int64_t best = 0;
    double least = INFINITY;
    for (int64_t i = 0; i + 1 < count; i++) {
        double step = levels[i + 1].mean - levels[i].mean;
        double cost = step * step / (1 / levels[i].weight + 1 / levels[i + 1].weight);
        if (cost < least) least = cost, best = i;
    }
    return best;
}

static int64_t reduce(level *levels, int64_t count, int most) {
    while (knots_of(levels, count) > most) {
        int64_t at = cheapest(levels, count);
        join(&levels[at], &levels[at + 1]);
        for (int64_t i = at + 1; i + 1 < count; i++) levels[i] = levels[i + 1];
        count--;
    }
    return count;
}

cm_status cm_isotonic_fit(const double *x, const double *y, int64_t n, int most, double *at, double *to,
                          int *knots, cm_error *error) {
    assert(n >= 1 && most >= 2);
    level *levels = cm_new((size_t)n, sizeof *levels);
    if (!levels) return cm_fail_memory(error, (size_t)n * sizeof *levels);
    for (int64_t i = 0; i < n; i++) levels[i] = (level){x[i], x[i], y[i], 1, i};
    int64_t count = reduce(levels, pool(levels, distinct(levels, n)), most);
    *knots = 0;
    for (int64_t i = 0; i < count; i++) {
        at[*knots] = levels[i].first;
        to[(*knots)++] = levels[i].mean;
        if (levels[i].first == levels[i].last) continue;
        at[*knots] = levels[i].last;
        to[(*knots)++] = levels[i].mean;
    }
    cm_free(levels);
    return CM_OK;
}

double cm_isotonic_value(const double *at, const double *to, int knots, double x) {
    if (!(x > at[0])) return to[0];
    for (int k = 1; k < knots; k++) {
        if (x >= at[k]) continue;
        return to[k - 1] + (to[k] - to[k - 1]) * (x - at[k - 1]) / (at[k] - at[k - 1]);
    }
    return to[knots - 1];
}
