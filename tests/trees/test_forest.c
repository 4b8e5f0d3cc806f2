/* Extremely randomised trees against a plain recursive version in double, and what they must find. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "close.h"
#include "fail_alloc.h"
#include "tree_table.h"
#include "trees/forest.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Values on a coarse grid, so that columns are often constant in a node. */
static void fixture_make(fixture *f, uint64_t seed, bool binary) {
    fixture_fill(f, seed, binary, 1000, 3, 143);
}

static cm_forest *grow(const fixture *f, int64_t n, const cm_forest_options *options, int threads) {
    cm_forest *forest = NULL;
    cm_team *team = threads > 1 ? cm_team_create(threads) : NULL;
    assert_int_equal(cm_forest_fit(&forest, &f->table, f->label, f->index, n, options, team, NULL), CM_OK);
    cm_team_destroy(team);
    return forest;
}

/* ---- the plain version ---- */

static double plain_cell(const fixture *f, int c, int64_t row) {
    return (double)(c < OWN ? f->own[c][row] : f->of_item[c - OWN][f->item[row]]);
}

/* The value of the leaf that asked falls into, of a tree on rows[n] with the node's key. */
static double plain_tree(const fixture *f, const int64_t *rows, int64_t n, uint64_t key, int64_t asked,
                         const cm_forest_options *o) {
    double sum = 0, best_gain = -1, best_cut = 0;
    int column[WIDTH], best = -1, tried = 0;
    bool equal = true;
    for (int64_t i = 0; i < n; i++) {
        sum += f->label[rows[i]];
        equal = equal && f->label[rows[i]] == f->label[rows[0]];
    }
    for (int c = 0; c < WIDTH; c++) column[c] = c;
    for (int d = 0; d < WIDTH && tried < o->columns && !equal && n >= 2 * o->leaf; d++) {
        uint64_t draws = cm_rng_key(key, 1, 0);
        int at = d + (int)cm_rng_below(draws, (uint64_t)(2 * d), (uint64_t)(WIDTH - d)), c = column[at];
        column[at] = column[d];
        double low = INFINITY, high = -INFINITY;
        for (int64_t i = 0; i < n; i++) {
            low = fmin(low, plain_cell(f, c, rows[i]));
            high = fmax(high, plain_cell(f, c, rows[i]));
        }
        if (!(low < high)) continue;
        tried++;
        double cut = (double)(float)(low + cm_rng_uniform(draws, (uint64_t)(2 * d + 1)) * (high - low));
        if (cut >= high) cut = low;
        double left = 0, n_left = 0;
        for (int64_t i = 0; i < n; i++) {
            if (plain_cell(f, c, rows[i]) > cut) continue;
            left += f->label[rows[i]];
            n_left++;
        }
        double n_right = (double)n - n_left;
        if (n_left < (double)o->leaf || n_right < (double)o->leaf) continue;
        double gain = left * left / n_left + (sum - left) * (sum - left) / n_right;
        if (gain > best_gain) best_gain = gain, best_cut = cut, best = c;
    }
    if (best < 0) return sum / (double)n;
    bool goes_left = plain_cell(f, best, asked) <= best_cut;
    int64_t *kept = malloc((size_t)n * sizeof *kept), n_kept = 0;
    for (int64_t i = 0; i < n; i++)
        if ((plain_cell(f, best, rows[i]) <= best_cut) == goes_left) kept[n_kept++] = rows[i];
    double value = plain_tree(f, kept, n_kept, cm_rng_key(key, goes_left ? 2 : 3, 0), asked, o);
    free(kept);
    return value;
}

static void same_as_the_plain_version(void **state) {
    (void)state;
    static fixture f;
    double score[ROWS];
    for (uint64_t seed = 0; seed < 12; seed++) {
        fixture_make(&f, 100 * seed, seed % 2);
        cm_forest_options o = {
            .trees = 5, .columns = 1 + (int64_t)seed % WIDTH, .leaf = 1 + (int64_t)seed / 3, .seed = seed};
        cm_forest *forest = grow(&f, 150, &o, 1);
        cm_forest_scores(forest, &f.table, f.index, ROWS, score, NULL);
        for (int64_t i = 0; i < ROWS; i++) {
            double sum = 0;
            for (uint64_t t = 0; t < 5; t++)
                sum += plain_tree(&f, f.index, 150, cm_rng_key(seed, 0x74726565, t), i, &o);
            if (!(fabs(score[i] - sum / 5) <= 1e-6))
                fail_msg("seed %d, row %d: %g, plain %g", (int)seed, (int)i, score[i], sum / 5);
        }
        cm_forest_destroy(forest);
    }
}

/* ---- properties ---- */

static void same_bits_for_any_number_of_threads(void **state) {
    (void)state;
    static fixture f;
    double first[ROWS], score[ROWS];
    fixture_make(&f, 7, false);
    cm_forest_options o = {.trees = 40, .leaf = 2, .seed = 9};
    for (int threads = 1; threads <= 4; threads++) {
        cm_forest *forest = grow(&f, ROWS, &o, threads);
        cm_team *team = cm_team_create(threads);
        cm_forest_scores(forest, &f.table, f.index, ROWS, threads == 1 ? first : score, team);
        cm_team_destroy(team);
        cm_forest_destroy(forest);
        if (threads > 1) assert_memory_equal(first, score, sizeof first);
    }
    o.seed++;
    cm_forest *other = grow(&f, ROWS, &o, 1);
    cm_forest_scores(other, &f.table, f.index, ROWS, score, NULL);
    assert_memory_not_equal(first, score, sizeof first);
    cm_forest_destroy(other);
}

/* Leaves of one row give the labels back; the label is the exclusive or of two columns. */
static void finds_what_no_single_column_says(void **state) {
    (void)state;
    static fixture f;
    double score[ROWS];
    fixture_make(&f, 21, true);
    for (int64_t i = 0; i < ROWS; i++) {
        f.own[1][i] = (float)cm_rng_uniform(31, (uint64_t)i);
        f.own[2][i] = (float)cm_rng_uniform(32, (uint64_t)i);
        f.label[i] = (f.own[1][i] > 0.5F) != (f.own[2][i] > 0.5F);
    }
    cm_forest_options o = {.trees = 200, .columns = WIDTH, .leaf = 1, .seed = 1};
    cm_forest *forest = grow(&f, 160, &o, 2);
    cm_forest_scores(forest, &f.table, f.index, ROWS, score, NULL);
    int right = 0;
    for (int64_t i = 0; i < ROWS; i++) {
        if (i < 160) assert_true(score[i] == f.label[i]);
        if (i >= 160) right += (score[i] > 0.5) == (f.label[i] > 0.5);
    }
    assert_true(right >= 34);
    cm_forest_destroy(forest);
}

static void small_and_plain_cases(void **state) {
    (void)state;
    static fixture f;
    double score[ROWS];
    fixture_make(&f, 41, false);
    cm_forest_options o = {.trees = 3, .leaf = 1, .seed = 1};
    cm_forest *one = grow(&f, 1, &o, 1);
    cm_forest_scores(one, &f.table, f.index, ROWS, score, NULL);
    for (int64_t i = 0; i < ROWS; i++) assert_true(score[i] == (double)(float)f.label[0]);
    assert_int_equal(cm_forest_nodes(one), 3);
    cm_forest_destroy(one);
    memset(f.own, 0, sizeof f.own); /* nothing divides the rows: the mean */
    memset(f.of_item, 0, sizeof f.of_item);
    double mean = 0;
    for (int64_t i = 0; i < ROWS; i++) mean += f.label[i] / ROWS;
    cm_forest *flat = grow(&f, ROWS, &o, 1);
    cm_forest_scores(flat, &f.table, f.index, 5, score, NULL);
    assert_close(score[4], mean, 1e-6);
    assert_int_equal(cm_forest_nodes(flat), 3);
    cm_forest_destroy(flat);
}

static void every_failed_allocation_is_reported(void **state) {
    (void)state;
    static fixture f;
    fixture_make(&f, 51, true);
    cm_forest_options o = {.trees = 2, .leaf = 1, .seed = 1};
    long n = 0;
    for (bool failed = true; failed; n++) {
        cm_forest *forest = NULL;
        fail_alloc_from(n);
        cm_status status = cm_forest_fit(&forest, &f.table, f.label, f.index, ROWS, &o, NULL, NULL);
        failed = fail_alloc_stop();
        assert_int_equal(status, failed ? CM_MEMORY : CM_OK);
        assert_true(failed == !forest);
        cm_forest_destroy(forest);
    }
    assert_true(n > 15);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_as_the_plain_version),
        cmocka_unit_test(same_bits_for_any_number_of_threads),
        cmocka_unit_test(finds_what_no_single_column_says),
        cmocka_unit_test(small_and_plain_cases),
        cmocka_unit_test(every_failed_allocation_is_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
