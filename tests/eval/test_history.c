/* Label history against its formulas, pair by pair, and the factors of a matrix. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "close.h"
#include "eval/history.h"
#include "fail_alloc.h"
#include "synthetic.h"
#include <math.h>

enum { PAIRS = 120, MOST_WIDTH = 128 };

typedef struct trial {
    synthetic s;
    cm_dataset *d;
    cm_similarity *similarity;
    float label[PAIRS];
    int64_t known[PAIRS], n;
    cm_predictor_call call;
} trial;

/* Three of four pairs are known, with random labels. */
static void trial_open(trial *t) {
    *t = (trial){.s = synthetic_make(PAIRS, 61, 0)};
    t->d = synthetic_open(&t->s, 0, NULL);
    assert_int_equal(cm_similarity_create(&t->similarity, t->d, NULL, NULL, NULL), CM_OK);
    for (int64_t i = 0; i < PAIRS; i++) {
        t->label[i] = cm_rng_uniform(62, (uint64_t)i) < 0.4F;
        if (i % 4) t->known[t->n++] = i;
    }
    t->call = (cm_predictor_call){.dataset = t->d, .similarity = t->similarity, .label = t->label};
}

static void trial_close(trial *t) {
    cm_similarity_destroy(t->similarity);
    cm_dataset_destroy(t->d);
    synthetic_remove(&t->s);
}

/* ---- the formulas of history.h, each as a loop over the known pairs ---- */

static double alike(const trial *t, int side, int32_t i, int32_t k, int power) {
    return pow((double)cm_similarity_row(t->similarity, side, i)[k], power == 0 ? 2 : 8);
}

static bool is_hidden(const cm_pair *asked, const cm_pair *known, int hide) {
    return (hide & CM_HIDE_A && known->entity[0] == asked->entity[0]) ||
           (hide & CM_HIDE_B && known->entity[1] == asked->entity[1]);
}

typedef struct expected {
    cm_history_sum both[2][2], shared[2][2], own[2], kin[2][2], walk[2], listed[2];
    double best[3][2]; /* nearest of both, of known (x, b), of known (a, y), by label above the mean */
} expected;

static double excess_of(const trial *t, int64_t i) {
    double mean = 0;
    for (int64_t k = 0; k < t->n; k++) mean += (double)t->label[t->known[k]] / (double)t->n;
    return (double)t->label[i] - mean;
}

/* The entry of the matrix of excesses (ones) at a pair of molecules, side's first. */
static double entry(const trial *t, int side, int32_t own, int32_t partner, bool ones) {
    double sum = 0;
    for (int64_t k = 0; k < t->n; k++) {
        const int32_t *e = t->d->pairs[t->known[k]].entity;
        if (e[side] == own && e[1 - side] == partner) sum += ones ? 1 : excess_of(t, t->known[k]);
    }
    return sum;
}

static double cosine(const trial *t, int side, int32_t i, int32_t k, bool ones) {
    double dot = 0, a = 0, b = 0;
    for (int32_t p = 0; p < t->d->n_entities[1 - side]; p++) {
        double x = entry(t, side, i, p, ones), y = entry(t, side, k, p, ones);
        dot += x * y;
        a += x * x;
        b += y * y;
    }
    return a > 0 && b > 0 ? dot / sqrt(a * b) : 0;
}

static void add(cm_history_sum *sum, double weight, double excess) {
    sum->mass += weight;
    sum->excess += weight * excess;
}

static void see_known(const trial *t, const cm_pair *asked, const cm_pair *pair, double excess, int hide,
                      expected *e) {
    const int32_t *a = asked->entity, *x = pair->entity;
    for (int p = 0; p < 2; p++)
        for (int q = 0; q < 2 && !is_hidden(asked, pair, hide); q++)
            add(&e->both[p][q], alike(t, 0, a[0], x[0], p) * alike(t, 1, a[1], x[1], q), excess);
    double s[2] = {sqrt(alike(t, 0, a[0], x[0], 0)), sqrt(alike(t, 1, a[1], x[1], 0))};
    for (int list = 0; list < 3 && !is_hidden(asked, pair, hide); list++) {
        if (list > 0 && x[2 - list] != a[2 - list]) continue;
        double weight = list == 0 ? s[0] * s[1] : s[list - 1];
        e->best[list][excess > 0] = fmax(e->best[list][excess > 0], weight);
    }
    for (int side = 0; side < 2; side++) {
        bool same = x[side] == a[side], across = x[1 - side] == a[1 - side];
        for (int p = 0; p < 2 && !same; p++)
            add(&e->kin[side][p], alike(t, side, a[side], x[side], p), excess);
        if (same && !(hide >> side & 1)) add(&e->own[side], 1, excess);
        if (!across || is_hidden(asked, pair, hide)) continue;
        for (int p = 0; p < 2; p++) add(&e->shared[side][p], alike(t, side, a[side], x[side], p), excess);
        if (hide) continue;
        double c = cosine(t, side, a[side], x[side], false), l = cosine(t, side, a[side], x[side], true);
        e->walk[side].mass += fabs(c);
        e->walk[side].excess += c * excess;
        e->listed[side].excess += l;
    }
}

static int close_to(const double *x, const double *want, int n, const char *what, int64_t pair) {
    for (int i = 0; i < n; i++)
        if (!(fabs(x[i] - want[i]) <= 1e-9))
            fail_msg("%s of pair %d: %g, not %g", what, (int)pair, x[i], want[i]);
    return n;
}

static double mean_of(cm_history_sum s, double prior) {
    return s.excess / (s.mass + prior);
}

/* Checks the columns of one pair; only the factors are left to another test. */
static void check_columns(const expected *e, const double *x, int64_t pair) {
    double w[16];
    for (int side = 0; side < 2; side++)
        w[2 * side] = log1p(e->own[side].mass), w[2 * side + 1] = e->own[side].mass == 0;
    x += close_to(x, w, 4, "count", pair);
    for (int i = 0; i < 4; i++) w[i] = log1p(e->kin[i / 2][i % 2].mass);
    x += close_to(x, w, 4, "kin-mass", pair);
    for (int i = 0; i < 4; i++) w[i] = log(e->both[i / 2][i % 2].mass + 0.01);
    x += close_to(x, w, 4, "pair-mass", pair);
    for (int i = 0; i < 4; i++) w[i] = log(e->shared[i / 2][i % 2].mass + 0.01);
    x += close_to(x, w, 4, "shared-mass", pair);
    for (int i = 0; i < 2; i++) w[i] = e->listed[i].excess;
    x += close_to(x, w, 2, "listed-walk", pair) + 4;
    for (int i = 0; i < 3; i++) w[i] = fmax(e->best[i][0], e->best[i][1]);
    x += close_to(x, w, 3, "nearest-listed", pair);
    for (int side = 0; side < 2; side++) {
        w[3 * side] = mean_of(e->own[side], 1);
        w[3 * side + 1] = e->own[side].excess;
        w[3 * side + 2] = e->own[side].excess / sqrt(e->own[side].mass + 1);
    }
    x += close_to(x, w, 6, "own", pair);
    for (int i = 0; i < 4; i++) {
        cm_history_sum kin = e->kin[i / 2][i % 2];
        w[3 * i] = mean_of(kin, 1);
        w[3 * i + 1] = kin.excess + e->own[i / 2].excess;
        w[3 * i + 2] = kin.excess / sqrt(kin.mass + 1);
    }
    x += close_to(x, w, 12, "kin", pair);
    for (int i = 0; i < 4; i++) w[i] = mean_of(e->both[i / 2][i % 2], 0.1);
    x += close_to(x, w, 4, "pair", pair);
    for (int i = 0; i < 4; i++) w[i] = mean_of(e->shared[i / 2][i % 2], 0.1);
    x += close_to(x, w, 4, "shared", pair);
    for (int i = 0; i < 2; i++) w[2 * i] = mean_of(e->walk[i], 0.3), w[2 * i + 1] = e->walk[i].excess;
    x += close_to(x, w, 4, "walk", pair) + 4;
    w[0] = mean_of(e->own[0], 1) * mean_of(e->own[1], 1);
    x += close_to(x, w, 1, "both-own", pair);
    for (int i = 0; i < 3; i++) {
        w[3 * i] = e->best[i][0];
        w[3 * i + 1] = e->best[i][1];
        w[3 * i + 2] = e->best[i][1] - e->best[i][0];
    }
    close_to(x, w, 9, "nearest", pair);
}

static void columns_follow_their_formulas(void **state) {
    (void)state;
    trial t;
    trial_open(&t);
    cm_history *history = NULL;
    double x[MOST_WIDTH], presence[MOST_WIDTH];
    assert_true(cm_history_width(true) <= MOST_WIDTH);
    assert_int_equal(cm_history_create(&history, &t.call, t.known, t.n, NULL), CM_OK);
    for (int64_t i = 0; i < PAIRS; i += 4)
        for (int hide = 0; hide <= CM_HIDE_BOTH; hide++) {
            expected e = {0};
            for (int64_t k = 0; k < t.n; k++)
                see_known(&t, &t.d->pairs[i], &t.d->pairs[t.known[k]], excess_of(&t, t.known[k]), hide, &e);
            cm_history_row(history, i, hide, true, x);
            check_columns(&e, x, i);
            cm_history_row(history, i, hide, false, presence);
            assert_memory_equal(presence, x, (size_t)cm_history_width(false) * sizeof *x);
        }
    cm_history_destroy(history);
    trial_close(&t);
}

/* Other labels of the known pairs change the columns that look at labels and no other; labels of the rest
 * change nothing. */
static void presence_sees_no_label(void **state) {
    (void)state;
    trial t;
    trial_open(&t);
    double x[2][MOST_WIDTH], all[2][MOST_WIDTH];
    for (int round = 0; round < 2; round++) {
        cm_history *history = NULL;
        for (int64_t i = 0; i < PAIRS; i += 4) t.label[i] = NAN;
        if (round)
            for (int64_t i = 0; i < t.n; i++) t.label[t.known[i]] = 1 - t.label[t.known[i]];
        assert_int_equal(cm_history_create(&history, &t.call, t.known, t.n, NULL), CM_OK);
        cm_history_row(history, 0, CM_HIDE_NONE, false, x[round]);
        cm_history_row(history, 0, CM_HIDE_NONE, true, all[round]);
        cm_history_destroy(history);
    }
    assert_memory_equal(x[0], x[1], (size_t)cm_history_width(false) * sizeof **x);
    int changed = 0;
    for (int64_t c = cm_history_width(false); c < cm_history_width(true); c++)
        changed += all[0][c] != all[1][c];
    assert_true(changed > 20);
    trial_close(&t);
}

/* ---- factors ---- */

/* A matrix of rank 3 comes back; cut to rank 1 it leaves the other singular values. */
static void factors_give_a_matrix_back(void **state) {
    (void)state;
    enum { R = 30, C = 21 };
    static const double size[3] = {9, 4, 1};
    int32_t row[R * C], column[R * C];
    double value[R * C], left[3][R], right[3][C];
    for (int f = 0; f < 3; f++) { /* cosines of different frequencies are orthogonal */
        for (int i = 0; i < R; i++) left[f][i] = sqrt(2.0 / R) * cos(M_PI * (f + 1) * (i + 0.5) / R);
        for (int k = 0; k < C; k++) right[f][k] = sqrt(2.0 / C) * cos(M_PI * (f + 1) * (k + 0.5) / C);
    }
    for (int i = 0; i < R * C; i++) {
        row[i] = i / C;
        column[i] = i % C;
        value[i] = 0;
        for (int f = 0; f < 3; f++) value[i] += size[f] * left[f][i / C] * right[f][i % C];
    }
    cm_factors factors;
    assert_int_equal(cm_factors_make(&factors, R, C, row, column, value, (int64_t)R * C, NULL), CM_OK);
    double rest[3] = {0};
    for (int i = 0; i < R * C; i++) {
        assert_close(cm_factors_at(&factors, row[i], column[i], CM_FACTORS), value[i], 1e-10);
        for (int rank = 0; rank < 3; rank++)
            rest[rank] += pow(value[i] - cm_factors_at(&factors, row[i], column[i], rank), 2);
    }
    assert_close(rest[0], 81 + 16 + 1, 1e-8);
    assert_close(rest[1], 16 + 1, 1e-8);
    assert_close(rest[2], 1, 1e-8);
    cm_factors_clear(&factors);
    assert_int_equal(cm_factors_make(&factors, R, C, row, column, value, 0, NULL), CM_OK); /* nothing known */
    assert_true(cm_factors_at(&factors, 3, 4, CM_FACTORS) == 0);
    cm_factors_clear(&factors);
}

static void every_failed_allocation_is_reported(void **state) {
    (void)state;
    trial t;
    trial_open(&t);
    long n = 0;
    for (bool failed = true; failed; n++) {
        cm_history *history = NULL;
        fail_alloc_from(n);
        cm_status status = cm_history_create(&history, &t.call, t.known, t.n, NULL);
        failed = fail_alloc_stop();
        assert_int_equal(status, failed ? CM_MEMORY : CM_OK);
        cm_history_destroy(history);
    }
    assert_true(n > 30);
    trial_close(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_follow_their_formulas),
        cmocka_unit_test(presence_sees_no_label),
        cmocka_unit_test(factors_give_a_matrix_back),
        cmocka_unit_test(every_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
