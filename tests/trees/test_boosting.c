/* Boosted trees against an exact search over all cuts of all columns, a hand-worked example, and what they
 * must find. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/rng.h"
#include "fail_alloc.h"
#include "tree_table.h"
#include "trees/bins.h"
#include "trees/boosting.h"
#include <float.h>
#include <math.h>
#include <string.h>

enum { LEAVES_MAX = 12 };

/* No column has more distinct values than bins. */
static void fixture_make(fixture *f, uint64_t seed, bool binary) {
    fixture_fill(f, seed, binary, 60, 7, 8);
}

/* Rows and columns are drawn. */
static const cm_boosting_options drawn = {
    .logistic = true, .leaf = 3, .rate = 0.2, .ridge = 1, .columns = 0.5, .rows = 0.7, .seed = 9};

static cm_boosting *fit(const fixture *f, int64_t n, const cm_boosting_options *options, int threads) {
    cm_boosting *boosting = NULL;
    cm_team *team = threads > 1 ? cm_team_create(threads) : NULL;
    assert_int_equal(cm_boosting_fit(&boosting, &f->table, f->label, f->index, n, options, team, NULL),
                     CM_OK);
    cm_team_destroy(team);
    return boosting;
}

/* ---- the plain version ---- */

typedef struct plain_leaf {
    bool has[ROWS];   /* all rows, also those that do not train */
    double gain, cut; /* of its best split: values up to cut go left */
    int column;
} plain_leaf;

typedef struct plain {
    const fixture *f;
    const cm_boosting_options *o;
    int64_t n;                     /* the first n rows train */
    bool row[ROWS], column[WIDTH]; /* drawn */
    double g[ROWS], h[ROWS], score[ROWS];
    plain_leaf leaves[LEAVES_MAX];
} plain;

static double plain_cell(const fixture *f, int c, int64_t row) {
    return (double)(c < OWN ? f->own[c][row] : f->of_item[c - OWN][f->item[row]]);
}

/* Sums over the drawn rows of a leaf with column c up to cut: rows, g, h. */
static void plain_sums(const plain *p, const plain_leaf *leaf, int c, double cut, double out[3]) {
    memset(out, 0, 3 * sizeof *out);
    for (int64_t i = 0; i < p->n; i++) {
        if (!leaf->has[i] || !p->row[i] || plain_cell(p->f, c, i) > cut) continue;
        out[0]++;
        out[1] += p->g[i];
        out[2] += p->h[i];
    }
}

static double plain_quality(const plain *p, double g, double h) {
    return g * g / (h + p->o->ridge);
}

/* Half way to the next greater value of a training row. */
static double plain_cut(const plain *p, int c, double value) {
    double next = INFINITY;
    for (int64_t i = 0; i < p->n; i++)
        if (plain_cell(p->f, c, i) > value) next = fmin(next, plain_cell(p->f, c, i));
    return (double)(float)((value + next) / 2);
}

static void plain_search(const plain *p, plain_leaf *leaf) {
    double all[3], left[3];
    plain_sums(p, leaf, 0, INFINITY, all);
    leaf->gain = 0;
    for (int c = 0; c < WIDTH; c++)
        for (int64_t k = 0; k < p->n && p->column[c]; k++) {
            if (!leaf->has[k] || !p->row[k]) continue;
            plain_sums(p, leaf, c, plain_cell(p->f, c, k), left);
            if (left[0] < (double)p->o->leaf || all[0] - left[0] < (double)p->o->leaf) continue;
            double gain = plain_quality(p, left[1], left[2]) +
                          plain_quality(p, all[1] - left[1], all[2] - left[2]) -
                          plain_quality(p, all[1], all[2]);
            if (gain <= leaf->gain) continue;
            leaf->gain = gain;
            leaf->cut = plain_cut(p, c, plain_cell(p->f, c, k));
            leaf->column = c;
        }
}

static void plain_divide(const plain *p, plain_leaf *from, plain_leaf *right) {
    *right = *from;
    for (int64_t i = 0; i < ROWS; i++) {
        bool goes_left = plain_cell(p->f, from->column, i) <= from->cut;
        right->has[i] = from->has[i] && !goes_left;
        from->has[i] = from->has[i] && goes_left;
    }
    plain_search(p, from);
    plain_search(p, right);
}

static void plain_round(plain *p, uint64_t round) {
    uint64_t rows = cm_rng_key(p->o->seed, 0x626f6f73, round),
             columns = cm_rng_key(p->o->seed, 0x626f6f74, round);
    for (int64_t i = 0; i < p->n; i++) {
        double chance = 1 / (1 + exp(-p->score[i]));
        p->row[i] = cm_rng_uniform(rows, (uint64_t)i) < p->o->rows;
        p->g[i] = (p->o->logistic ? chance : p->score[i]) - p->f->label[i];
        p->h[i] = p->o->logistic ? chance * (1 - chance) : 1;
    }
    for (int c = 0; c < WIDTH; c++) p->column[c] = cm_rng_uniform(columns, (uint64_t)c) < p->o->columns;
    int n = 1;
    for (int64_t i = 0; i < ROWS; i++) p->leaves[0].has[i] = true;
    plain_search(p, &p->leaves[0]);
    while (n < p->o->leaves) {
        int best = 0;
        for (int l = 1; l < n; l++)
            if (p->leaves[l].gain > p->leaves[best].gain) best = l;
        if (p->leaves[best].gain <= 0) break;
        plain_divide(p, &p->leaves[best], &p->leaves[n++]);
    }
    for (int l = 0; l < n; l++) {
        double all[3];
        plain_sums(p, &p->leaves[l], 0, INFINITY, all);
        for (int64_t i = 0; i < ROWS; i++)
            if (p->leaves[l].has[i]) p->score[i] -= p->o->rate * all[1] / (all[2] + p->o->ridge);
    }
}

static double plain_base(const plain *p) {
    double sum = 0, n = (double)p->n;
    for (int64_t i = 0; i < p->n; i++) sum += p->f->label[i];
    return p->o->logistic ? log((sum + 0.5) / (n - sum + 0.5)) : sum / n;
}

/* 150 rows train; the others go the same ways. */
static void same_as_the_plain_version(void **state) {
    (void)state;
    static fixture f;
    static plain p;
    static const int rounds[] = {0, 1, 6};
    double score[3 * ROWS];
    for (uint64_t seed = 0; seed < 12; seed++) {
        fixture_make(&f, 100 * seed, seed % 2);
        cm_boosting_options o = {.logistic = seed % 2,
                                 .rounds = 6,
                                 .leaves = 2 + (int)seed,
                                 .leaf = 4 + (int64_t)seed,
                                 .rate = 0.3,
                                 .ridge = 0.5 + (double)seed,
                                 .columns = seed % 3 ? 0.6 : 1,
                                 .rows = seed % 4 ? 0.8 : 1,
                                 .seed = seed};
        o.leaves = o.leaves > LEAVES_MAX ? LEAVES_MAX : o.leaves;
        cm_boosting *boosting = fit(&f, 150, &o, 1);
        cm_boosting_scores(boosting, &f.table, f.index, ROWS, rounds, 3, score, NULL);
        p = (plain){.f = &f, .o = &o, .n = 150};
        for (int64_t i = 0; i < ROWS; i++) p.score[i] = plain_base(&p);
        for (int stage = 0, round = 0; stage < 3; stage++) {
            for (; round < rounds[stage]; round++) plain_round(&p, (uint64_t)round);
            for (int64_t i = 0; i < ROWS; i++)
                if (!(fabs(score[stage * ROWS + i] - p.score[i]) <= 1e-9))
                    fail_msg("seed %d, round %d, row %d: %g, plain %g", (int)seed, round, (int)i,
                             score[stage * ROWS + i], p.score[i]);
        }
        cm_boosting_destroy(boosting);
    }
}

/* ---- by hand ---- */

/* Six rows, labels 0 0 2 | 6 6 10, mean 4, one column 1 .. 6, ridge 1. Gradients 4 4 2 -2 -2 -6 sum to 0.
 * Gains of the cuts: 1|2: 16/2 + 16/6 = 10.67; 2|3: 64/3 + 64/5 = 34.13; 3|4: 100/4 + 100/4 = 50; 4|5: 64/5 +
 * 64/3; 5|6: 36/6 + 36/2 = 24. So 3|4 with leaves -/+ 10/4. Of the halves, left (4 4 2, G 10, H 3, 25): 1|2:
 * 8 + 12 = 20, 2|3: 64/3 + 2 = 23.3, no gain; right (-2 -2 -6): 4|5: 2 + 64/3, 5|6: 16/3 + 18 = 23.3, no
 * gain. */
static void a_tree_worked_by_hand(void **state) {
    (void)state;
    static const float x[] = {1, 2, 3, 4, 5, 6, 3.4F, 3.6F};
    static const double label[] = {0, 0, 2, 6, 6, 10}, expected[] = {1.5, 1.5, 1.5, 6.5, 6.5, 6.5, 1.5, 6.5};
    static const int64_t index[] = {0, 1, 2, 3, 4, 5, 6, 7};
    const cm_forest_table table = {1, {{1, 8, x, NULL}}};
    const cm_boosting_options o = {
        .rounds = 1, .leaves = 4, .leaf = 1, .rate = 1, .ridge = 1, .columns = 1, .rows = 1};
    cm_boosting *boosting = NULL;
    double score[8];
    assert_int_equal(cm_boosting_fit(&boosting, &table, label, index, 6, &o, NULL, NULL), CM_OK);
    assert_int_equal(boosting->nodes, 3);
    cm_boosting_scores(boosting, &table, index, 8, &o.rounds, 1, score, NULL);
    for (int i = 0; i < 8; i++) assert_true(score[i] == expected[i]);
    cm_boosting_destroy(boosting);
}

/* The cuts 1|2 and 3|4 are equally good, in two columns that differ in the last row alone, which does not
 * train: the lowest cut of the first column wins. */
static void of_equal_gains_the_first_wins(void **state) {
    (void)state;
    static const float x[2][5] = {{1, 2, 3, 4, 0}, {1, 2, 3, 4, 9}};
    static const double label[] = {1, 0, 0, 1};
    static const int64_t index[] = {0, 1, 2, 3, 4};
    const cm_forest_table table = {1, {{2, 5, &x[0][0], NULL}}};
    const cm_boosting_options o = {
        .rounds = 1, .leaves = 2, .leaf = 1, .rate = 1, .ridge = 1, .columns = 1, .rows = 1};
    cm_boosting *boosting = NULL;
    double score[5];
    assert_int_equal(cm_boosting_fit(&boosting, &table, label, index, 4, &o, NULL, NULL), CM_OK);
    cm_boosting_scores(boosting, &table, index, 5, &o.rounds, 1, score, NULL);
    assert_true(score[0] == 0.75 && score[4] == score[0]);
    for (int i = 1; i < 4; i++) assert_true(score[i] == 0.375);
    cm_boosting_destroy(boosting);
}

/* ---- bins ---- */

/* 1,000 rows of 400 values: a tenth of the rows have value 0. */
static void bins_keep_the_order(void **state) {
    (void)state;
    enum { MANY = 1000 };
    static float x[MANY];
    static int64_t index[MANY];
    for (int i = 0; i < MANY; i++) {
        x[i] = i % 10 ? (float)(i % 400) - 200 : 0;
        index[i] = i;
    }
    const cm_forest_table table = {1, {{1, MANY, x, NULL}}};
    cm_bins bins;
    assert_int_equal(cm_bins_make(&bins, &table, index, MANY, NULL, NULL), CM_OK);
    int32_t rows[CM_BINS_MAX] = {0};
    assert_true(bins.count[0] > CM_BINS_MAX * 2 / 3 && bins.count[0] <= CM_BINS_MAX);
    for (int i = 0; i < MANY; i++) {
        int b = bins.of[0][i];
        rows[b]++;
        assert_true(b == 0 || x[i] > bins.cut[b - 1]);
        assert_true(b == bins.count[0] - 1 || x[i] <= bins.cut[b]);
    }
    for (int b = 0; b < bins.count[0]; b++) assert_in_range(rows[b], 1, b == bins.of[0][0] ? 130 : 30);
    cm_bins_clear(&bins);
}

/* Between two neighbouring floats the lower one is the cut, and infinity of their sum is none. */
static void cuts_between_close_and_large_values(void **state) {
    (void)state;
    float x[] = {1, nextafterf(1, 2), FLT_MAX / 2, FLT_MAX};
    int64_t index[] = {0, 1, 2, 3};
    const cm_forest_table table = {1, {{1, 4, x, NULL}}};
    cm_bins bins;
    assert_int_equal(cm_bins_make(&bins, &table, index, 4, NULL, NULL), CM_OK);
    assert_int_equal(bins.count[0], 4);
    for (int i = 0; i < 4; i++) assert_int_equal(bins.of[0][i], i);
    assert_true(bins.cut[0] == 1 && isfinite(bins.cut[2]));
    cm_bins_clear(&bins);
}

/* ---- properties ---- */

static void same_bits_for_any_number_of_threads(void **state) {
    (void)state;
    static fixture f;
    double first[ROWS], score[ROWS];
    fixture_make(&f, 7, true);
    cm_boosting_options o = drawn;
    o.rounds = 40;
    o.leaves = 8;
    for (int threads = 1; threads <= 4; threads++) {
        cm_boosting *boosting = fit(&f, ROWS, &o, threads);
        cm_team *team = cm_team_create(threads);
        cm_boosting_scores(boosting, &f.table, f.index, ROWS, &o.rounds, 1, threads == 1 ? first : score,
                           team);
        cm_team_destroy(team);
        cm_boosting_destroy(boosting);
        if (threads > 1) assert_memory_equal(first, score, sizeof first);
    }
    o.seed++;
    cm_boosting *other = fit(&f, ROWS, &o, 1);
    cm_boosting_scores(other, &f.table, f.index, ROWS, &o.rounds, 1, score, NULL);
    assert_memory_not_equal(first, score, sizeof first);
    cm_boosting_destroy(other);
}

/* The label is the exclusive or of two columns. */
static void finds_what_no_single_column_says(void **state) {
    (void)state;
    static fixture f;
    double score[ROWS];
    fixture_make(&f, 21, true);
    for (int64_t i = 0; i < ROWS; i++) {
        f.own[1][i] = (float)cm_rng_below(31, (uint64_t)i, 10);
        f.own[2][i] = (float)cm_rng_below(32, (uint64_t)i, 10);
        f.label[i] = (f.own[1][i] > 4) != (f.own[2][i] > 4);
    }
    cm_boosting_options o = {.logistic = true,
                             .rounds = 60,
                             .leaves = 6,
                             .leaf = 3,
                             .rate = 0.3,
                             .ridge = 1,
                             .columns = 1,
                             .rows = 0.8};
    cm_boosting *boosting = fit(&f, 160, &o, 2);
    cm_boosting_scores(boosting, &f.table, f.index, ROWS, &o.rounds, 1, score, NULL);
    int right = 0;
    for (int64_t i = 0; i < ROWS; i++)
        if (i < 160)
            assert_true((score[i] > 0) == (f.label[i] > 0.5));
        else
            right += (score[i] > 0) == (f.label[i] > 0.5);
    assert_true(right >= 36);
    cm_boosting_destroy(boosting);
}

/* One row, equal columns, labels of one class: the base alone, and finite. */
static void small_and_plain_cases(void **state) {
    (void)state;
    static fixture f;
    double score[ROWS];
    cm_boosting_options o = {
        .rounds = 3, .leaves = 4, .leaf = 1, .rate = 0.5, .ridge = 1, .columns = 1, .rows = 1};
    fixture_make(&f, 41, false);
    cm_boosting *one = fit(&f, 1, &o, 1);
    cm_boosting_scores(one, &f.table, f.index, ROWS, &o.rounds, 1, score, NULL);
    for (int64_t i = 0; i < ROWS; i++) assert_true(score[i] == f.label[0]);
    assert_int_equal(one->nodes, 3);
    cm_boosting_destroy(one);
    for (int64_t i = 0; i < ROWS; i++) f.label[i] = 1;
    o.logistic = true;
    cm_boosting *sure = fit(&f, ROWS, &o, 1);
    cm_boosting_scores(sure, &f.table, f.index, ROWS, &o.rounds, 1, score, NULL);
    assert_true(isfinite(score[0]) && score[0] >= log(ROWS / 0.5));
    cm_boosting_destroy(sure);
    fixture_make(&f, 42, false);
    memset(f.own, 0, sizeof f.own);
    memset(f.of_item, 0, sizeof f.of_item);
    o.logistic = false;
    cm_boosting *flat = fit(&f, ROWS, &o, 1);
    assert_int_equal(flat->nodes, 3);
    cm_boosting_destroy(flat);
}

/* The first trees of many are the few that were asked for. */
static void fewer_rounds_are_the_first(void **state) {
    (void)state;
    static fixture f;
    double first[ROWS], score[ROWS];
    fixture_make(&f, 8, true);
    cm_boosting_options o = drawn;
    o.rounds = 3;
    o.leaves = 5;
    cm_boosting *few = fit(&f, ROWS, &o, 1);
    cm_boosting_scores(few, &f.table, f.index, ROWS, &o.rounds, 1, first, NULL);
    o.rounds = 9;
    cm_boosting *many = fit(&f, ROWS, &o, 1);
    cm_boosting_keep(many, 3);
    assert_int_equal(many->nodes, few->nodes);
    cm_boosting_scores(many, &f.table, f.index, ROWS, &many->rounds, 1, score, NULL);
    assert_memory_equal(first, score, sizeof first);
    cm_boosting_destroy(few);
    cm_boosting_destroy(many);
}

/* Trees from outside: what would lead out of a tree, round and round, or to no column, is refused. */
static void trees_from_outside_are_checked(void **state) {
    (void)state;
    cm_boosting *b = NULL;
    assert_int_equal(cm_boosting_room(&b, 4, 2, 6, NULL), CM_OK);
    const int64_t start[] = {0, 5, 6};
    const int32_t column[] = {0, 3, CM_LEAF, CM_LEAF, CM_LEAF, CM_LEAF}, left[] = {1, 3, 0, 0, 0, 0};
    memcpy(b->start, start, sizeof start);
    memcpy(b->column, column, sizeof column);
    memcpy(b->left, left, sizeof left);
    assert_int_equal(cm_boosting_check(b, NULL), CM_OK);
    static const struct {
        int at;
        int32_t column, left;
        const char *place;
    } nodes[] = {{0, 4, 1, "tree 1, node 0"}, {0, -2, 1, "tree 1, node 0"},
                 {0, 0, 0, "tree 1, node 0"}, {1, 3, 1, "tree 1, node 1"},
                 {1, 3, 4, "tree 1, node 1"}, {1, 3, -1, "tree 1, node 1"},
                 {4, 0, 5, "tree 1, node 4"}, {5, 0, 0, "tree 2, node 0"},
                 {5, 0, 1, "tree 2, node 0"}, {1, 3, INT32_MAX, "tree 1, node 1"}};
    for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++) {
        cm_error error = {0};
        b->column[nodes[i].at] = nodes[i].column;
        b->left[nodes[i].at] = nodes[i].left;
        assert_int_equal(cm_boosting_check(b, &error), CM_DATA);
        assert_string_equal(error.place, nodes[i].place);
        b->column[nodes[i].at] = column[nodes[i].at];
        b->left[nodes[i].at] = left[nodes[i].at];
    }
    static const int64_t starts[][3] = {{1, 5, 6}, {0, 5, 7}, {0, 5, 5}, {0, 0, 6}, {0, -1, 6}, {0, 7, 6}};
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
        memcpy(b->start, starts[i], sizeof start);
        assert_int_equal(cm_boosting_check(b, NULL), CM_DATA);
    }
    cm_boosting_destroy(b);
}

static void every_failed_allocation_is_reported(void **state) {
    (void)state;
    static fixture f;
    fixture_make(&f, 51, true);
    cm_boosting_options o = {.logistic = true,
                             .rounds = 2,
                             .leaves = 3,
                             .leaf = 1,
                             .rate = 0.1,
                             .ridge = 1,
                             .columns = 1,
                             .rows = 1};
    long n = 0;
    for (bool failed = true; failed; n++) {
        cm_boosting *boosting = NULL;
        fail_alloc_from(n);
        cm_status status = cm_boosting_fit(&boosting, &f.table, f.label, f.index, ROWS, &o, NULL, NULL);
        failed = fail_alloc_stop();
        assert_int_equal(status, failed ? CM_MEMORY : CM_OK);
        assert_true(failed == !boosting);
        cm_boosting_destroy(boosting);
    }
    assert_true(n > 25);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_as_the_plain_version),
        cmocka_unit_test(a_tree_worked_by_hand),
        cmocka_unit_test(of_equal_gains_the_first_wins),
        cmocka_unit_test(bins_keep_the_order),
        cmocka_unit_test(cuts_between_close_and_large_values),
        cmocka_unit_test(same_bits_for_any_number_of_threads),
        cmocka_unit_test(finds_what_no_single_column_says),
        cmocka_unit_test(small_and_plain_cases),
        cmocka_unit_test(fewer_rounds_are_the_first),
        cmocka_unit_test(trees_from_outside_are_checked),
        cmocka_unit_test(every_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
