/* The table of history columns. For a pair (a, b): n(a) is the number of known pairs of a, E(a) the sum of
 * their labels less the mean label m each, S the similarity of two molecules, p in {2, 8}. */
#include "eval/history.h"
#include <math.h>
#include <string.h>

enum { POWERS = CM_HISTORY_POWERS };

/* Weight of the overall mean beside one molecule's labels, and beside the known pairs of both. */
static const double PRIOR = 1, PAIR_PRIOR = 0.1;
/* Keeps the logarithm of no mass finite. */
static const double LEAST = 0.01;
static const int ranks[] = {2, 4, 8, 16};
enum { RANKS = sizeof ranks / sizeof *ranks };

static const cm_history_side *side_of(const cm_history_view *v, int side) {
    return &v->history->side[side];
}

static bool hidden(const cm_history_view *v, int side) {
    return v->hide >> side & 1;
}

static cm_history_sum own_sum(const cm_history_view *v, int side) {
    const cm_history_side *s = side_of(v, side);
    if (hidden(v, side)) return (cm_history_sum){0, 0};
    return (cm_history_sum){s->count[v->molecule[side]], s->excess[v->molecule[side]]};
}

static double mean_of(cm_history_sum sum, double prior) {
    return sum.excess / (sum.mass + prior);
}

/* ---- which pairs are listed ---- */

static void fill_count(const cm_history_view *v, double *x) {
    for (int side = 0; side < 2; side++) {
        double count = own_sum(v, side).mass;
        x[2 * side] = log1p(count);
        x[2 * side + 1] = count == 0;
    }
}

const cm_history_columns cm_history_count = {
    .name = "count",
    .formula = "each side: log(1 + n(a)); whether n(a) is 0",
    .width = 4,
    .fill = fill_count,
};

static void fill_kin_mass(const cm_history_view *v, double *x) {
    for (int side = 0; side < 2; side++)
        for (int p = 0; p < POWERS; p++)
            x[side * POWERS + p] = log1p(side_of(v, side)->mass[p][v->molecule[side]]);
}

const cm_history_columns cm_history_kin_mass = {
    .name = "kin-mass",
    .formula = "each side: log(1 + sum over other molecules x of S(a, x)^p n(x))",
    .width = 2 * POWERS,
    .fill = fill_kin_mass,
};

static void fill_pair_mass(const cm_history_view *v, double *x) {
    for (int p = 0; p < POWERS; p++)
        for (int q = 0; q < POWERS; q++) x[p * POWERS + q] = log(v->both[p][q].mass + LEAST);
}

const cm_history_columns cm_history_pair_mass = {
    .name = "pair-mass",
    .formula = "log(0.01 + sum over known (x, y) of S(a, x)^p S(b, y)^q)",
    .width = POWERS * POWERS,
    .fill = fill_pair_mass,
};

static void fill_shared_mass(const cm_history_view *v, double *x) {
    for (int side = 0; side < 2; side++)
        for (int p = 0; p < POWERS; p++) x[side * POWERS + p] = log(v->shared[side][p].mass + LEAST);
}

const cm_history_columns cm_history_shared_mass = {
    .name = "shared-mass",
    .formula = "log(0.01 + sum over known (x, b) of S(a, x)^p); the same over known (a, y)",
    .width = 2 * POWERS,
    .fill = fill_shared_mass,
};

static void fill_listed_walk(const cm_history_view *v, double *x) {
    for (int side = 0; side < 2; side++) x[side] = v->listed[side].excess;
}

const cm_history_columns cm_history_listed_walk = {
    .name = "listed-walk",
    .formula =
        "sum over known (x, b) of the cosine of the partner lists of a and x; the same over known (a, y)",
    .width = 2,
    .fill = fill_listed_walk,
};

static void fill_ranks(const cm_history_view *v, int matrix, double *x) {
    for (int r = 0; r < RANKS; r++)
        x[r] = v->hide
                   ? 0
                   : cm_factors_at(&v->history->factors[matrix], v->molecule[0], v->molecule[1], ranks[r]);
}

static void fill_listed_factors(const cm_history_view *v, double *x) {
    fill_ranks(v, 1, x);
}

const cm_history_columns cm_history_listed_factors = {
    .name = "listed-factors",
    .formula = "entry (a, b) of the matrix of listed pairs cut to 2, 4, 8, 16 singular vectors",
    .width = RANKS,
    .fill = fill_listed_factors,
};

enum { LISTS = 3 };

static const cm_history_best *best_of(const cm_history_view *v, int list) {
    return list == 0 ? &v->nearest : &v->nearest_shared[list - 1];
}

static void fill_nearest_listed(const cm_history_view *v, double *x) {
    for (int list = 0; list < LISTS; list++)
        x[list] = fmax(best_of(v, list)->weight[0], best_of(v, list)->weight[1]);
}

const cm_history_columns cm_history_nearest_listed = {
    .name = "nearest-listed",
    .formula = "greatest S(a, x) S(b, y) of known (x, y), S(a, x) of known (x, b), S(b, y) of known (a, y)",
    .width = LISTS,
    .fill = fill_nearest_listed,
};

/* ---- their labels ---- */

static void fill_own(const cm_history_view *v, double *x) {
    for (int side = 0; side < 2; side++) {
        cm_history_sum own = own_sum(v, side);
        x[3 * side] = mean_of(own, PRIOR);
        x[3 * side + 1] = own.excess;
        x[3 * side + 2] = own.excess / sqrt(own.mass + 1);
    }
}

const cm_history_columns cm_history_own = {
    .name = "own",
    .formula = "each side: E(a) / (n(a) + 1), E(a), E(a) / sqrt(n(a) + 1)",
    .labels = true,
    .width = 6,
    .fill = fill_own,
};

static void fill_kin(const cm_history_view *v, double *x) {
    for (int side = 0; side < 2; side++)
        for (int p = 0; p < POWERS; p++, x += 3) {
            const cm_history_side *s = side_of(v, side);
            int32_t molecule = v->molecule[side];
            cm_history_sum kin = {s->mass[p][molecule], s->kin[p][molecule]};
            x[0] = mean_of(kin, PRIOR);
            x[1] = own_sum(v, side).excess + kin.excess;
            x[2] = kin.excess / sqrt(kin.mass + 1);
        }
}

const cm_history_columns cm_history_kin = {
    .name = "kin",
    .formula = "each side, M and K the sums over other molecules x of S(a, x)^p n(x) and S(a, x)^p E(x): "
               "K / (M + 1), E(a) + K, K / sqrt(M + 1)",
    .labels = true,
    .width = 6 * POWERS,
    .fill = fill_kin,
};

static void fill_pair(const cm_history_view *v, double *x) {
    for (int p = 0; p < POWERS; p++)
        for (int q = 0; q < POWERS; q++) x[p * POWERS + q] = mean_of(v->both[p][q], PAIR_PRIOR);
}

const cm_history_columns cm_history_pair = {
    .name = "pair",
    .formula = "mean over known (x, y) of label - m with weight S(a, x)^p S(b, y)^q and weight 0.1 on 0",
    .labels = true,
    .width = POWERS * POWERS,
    .fill = fill_pair,
};

static void fill_shared(const cm_history_view *v, double *x) {
    for (int side = 0; side < 2; side++)
        for (int p = 0; p < POWERS; p++) x[side * POWERS + p] = mean_of(v->shared[side][p], PAIR_PRIOR);
}

const cm_history_columns cm_history_shared = {
    .name = "shared",
    .formula = "mean over known (x, b) of label - m with weight S(a, x)^p and weight 0.1 on 0; the same over "
               "known (a, y)",
    .labels = true,
    .width = 2 * POWERS,
    .fill = fill_shared,
};

static void fill_walk(const cm_history_view *v, double *x) {
    for (int side = 0; side < 2; side++) {
        x[2 * side] = mean_of(v->walk[side], 0.3);
        x[2 * side + 1] = v->walk[side].excess;
    }
}

const cm_history_columns cm_history_walk = {
    .name = "walk",
    .formula = "W the sum over known (x, b) of C(a, x) (label - m), C the cosine of the rows of labels - m "
               "of a and x: "
               "W / (0.3 + sum of |C|), W; the same over known (a, y)",
    .labels = true,
    .width = 4,
    .fill = fill_walk,
};

static void fill_factors(const cm_history_view *v, double *x) {
    fill_ranks(v, 0, x);
}

const cm_history_columns cm_history_factors = {
    .name = "factors",
    .formula =
        "entry (a, b) of the matrix of labels - m (0 where not known) cut to 2, 4, 8, 16 singular vectors",
    .labels = true,
    .width = RANKS,
    .fill = fill_factors,
};

static void fill_both_own(const cm_history_view *v, double *x) {
    x[0] = mean_of(own_sum(v, 0), PRIOR) * mean_of(own_sum(v, 1), PRIOR);
}

const cm_history_columns cm_history_both_own = {
    .name = "both-own",
    .formula = "E(a) / (n(a) + 1) * E(b) / (n(b) + 1)",
    .labels = true,
    .width = 1,
    .fill = fill_both_own,
};

static void fill_nearest(const cm_history_view *v, double *x) {
    for (int list = 0; list < LISTS; list++, x += 3) {
        const cm_history_best *best = best_of(v, list);
        x[0] = best->weight[0];
        x[1] = best->weight[1];
        x[2] = best->weight[1] - best->weight[0];
    }
}

const cm_history_columns cm_history_nearest = {
    .name = "nearest",
    .formula = "the weights of nearest-listed apart for labels at most m and above, and the difference",
    .labels = true,
    .width = 3 * LISTS,
    .fill = fill_nearest,
};

/* ---- the table ---- */

static const cm_history_columns *const table[] = {
#define CM_HISTORY_ROW(name) &cm_history_##name,
#include "eval/history_columns.def"
#undef CM_HISTORY_ROW
};
enum { ROWS = sizeof table / sizeof *table };

int64_t cm_history_width(bool labels) {
    int64_t width = 0;
    for (int r = 0; r < ROWS; r++) width += labels || !table[r]->labels ? table[r]->width : 0;
    return width;
}

void cm_history_fill(const cm_history_view *view, bool labels, double *x) {
    for (int r = 0; r < ROWS; r++) {
        if (table[r]->labels && !labels) continue;
        table[r]->fill(view, x);
        x += table[r]->width;
    }
}
