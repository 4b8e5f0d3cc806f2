/* The solver for pair kernels against a dense Cholesky solution. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "close.h"
#include "kernel/pair_solver.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct problem {
    int64_t m, q, n;
    double *a, *b, *y, *dense; /* dense [n, n] */
    int32_t *pa, *pb;
    cm_pair_kernel kernel;
    cm_pair_list pairs;
} problem;

/* out[n, n] = F F' / 6 of random F[n, 6], plus a constant */
static double *random_gram(int64_t n, uint64_t key) {
    double *out = cm_new((size_t)(n * n), sizeof *out);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++) {
            for (int64_t k = 0; k < 6; k++)
                out[i * n + j] +=
                    cm_rng_normal(key, (uint64_t)(i * 6 + k)) * cm_rng_normal(key, (uint64_t)(j * 6 + k)) / 6;
            out[i * n + j] += 0.3;
        }
    return out;
}

static problem make(int64_t m, int64_t q, int64_t n, uint64_t seed) {
    problem p = {.m = m, .q = q, .n = n};
    size_t count = (size_t)n;
    p.a = random_gram(m, seed);
    p.b = random_gram(q, seed + 1);
    p.y = cm_new(count, sizeof *p.y);
    p.pa = cm_new(count, sizeof *p.pa);
    p.pb = cm_new(count, sizeof *p.pb);
    p.dense = cm_new(count * count, sizeof *p.dense);
    for (int64_t i = 0; i < n; i++) {
        p.y[i] = cm_rng_normal(seed + 2, (uint64_t)i);
        p.pa[i] = (int32_t)cm_rng_below(seed + 3, (uint64_t)i, (uint64_t)m);
        p.pb[i] = (int32_t)cm_rng_below(seed + 4, (uint64_t)i, (uint64_t)q);
    }
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < n; j++)
            p.dense[i * n + j] = p.a[p.pa[i] * m + p.pa[j]] * p.b[p.pb[i] * q + p.pb[j]];
    p.kernel = (cm_pair_kernel){p.a, p.b, m, q};
    p.pairs = (cm_pair_list){.a = p.pa, .b = p.pb, .n = n};
    return p;
}

static void clear(problem *p) {
    cm_free(p->a);
    cm_free(p->b);
    cm_free(p->y);
    cm_free(p->pa);
    cm_free(p->pb);
    cm_free(p->dense);
}

/* x with (dense + ridge I) x = y. */
static void dense_solution(const problem *p, double ridge, double *x) {
    int64_t n = p->n;
    double *l = cm_new((size_t)(n * n), sizeof *l);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j <= i; j++) {
            double sum = p->dense[i * n + j] + (i == j ? ridge : 0);
            for (int64_t k = 0; k < j; k++) sum -= l[i * n + k] * l[j * n + k];
            l[i * n + j] = i == j ? sqrt(sum) : sum / l[j * n + j];
        }
    for (int64_t i = 0; i < n; i++) {
        x[i] = p->y[i];
        for (int64_t k = 0; k < i; k++) x[i] -= l[i * n + k] * x[k];
        x[i] /= l[i * n + i];
    }
    for (int64_t i = n; i-- > 0;) {
        for (int64_t k = i + 1; k < n; k++) x[i] -= l[k * n + i] * x[k];
        x[i] /= l[i * n + i];
    }
    cm_free(l);
}

static void product_equals_the_dense_one(void **state) {
    (void)state;
    static const int64_t sizes[][3] = {{7, 5, 30}, {1, 1, 1}, {1, 33, 40}, {50, 3, 90}, {40, 70, 20}};
    for (size_t c = 0; c < sizeof sizes / sizeof *sizes; c++) {
        problem p = make(sizes[c][0], sizes[c][1], sizes[c][2], 10 * c + 1);
        cm_pair_solver *solver = NULL;
        double out[90];
        assert_int_equal(cm_pair_solver_create(&solver, p.m, p.q, &p.pairs, NULL), CM_OK);
        cm_pair_apply(solver, &p.kernel, p.y, &p.pairs, out, NULL);
        for (int64_t i = 0; i < p.n; i++) {
            double sum = 0;
            for (int64_t j = 0; j < p.n; j++) sum += p.dense[i * p.n + j] * p.y[j];
            assert_close(out[i], sum, 1e-11);
        }
        cm_pair_solver_destroy(solver);
        clear(&p);
    }
}

/* Rows of B as long as half a tile and longer than a tile, so that tiles hold two rows and one. */
static void order_changes_no_bit(void **state) {
    (void)state;
    enum { N = 60 };
    static const int64_t sizes[] = {5, 1 << 15, 70000};
    for (size_t c = 0; c < sizeof sizes / sizeof *sizes; c++) {
        int64_t q = sizes[c], order[N], at[N], seen[N] = {0};
        double plain[N], ordered[N];
        problem p = make(4, 5, N, 3);
        assert_int_equal(cm_pair_order(order, &p.pairs, p.m, q, NULL), CM_OK);
        int64_t rows = q < 1 << 16 ? (1 << 16) / q : 1;
        for (int64_t k = 0; k < N; k++) {
            seen[order[k]]++;
            at[k] = (p.pb[order[k]] / rows * p.m + p.pa[order[k]]) * N + order[k];
        }
        for (int64_t k = 0; k < N; k++) assert_true(seen[k] == 1 && (k == 0 || at[k - 1] < at[k]));
        cm_pair_solver *solver = NULL;
        assert_int_equal(cm_pair_solver_create(&solver, p.m, p.q, &p.pairs, NULL), CM_OK);
        cm_pair_apply(solver, &p.kernel, p.y, &p.pairs, plain, NULL);
        p.pairs.order = order;
        cm_pair_apply(solver, &p.kernel, p.y, &p.pairs, ordered, NULL);
        assert_memory_equal(plain, ordered, sizeof plain);
        cm_pair_solver_destroy(solver);
        clear(&p);
    }
}

static void weights_equal_the_cholesky_solution(void **state) {
    (void)state;
    static const double ridge[] = {0.01, 0.1, 0.5, 2, 30};
    for (uint64_t seed = 1; seed < 5; seed++) {
        problem p = make(9 + (int64_t)seed, 14, 110, 100 * seed);
        cm_pair_solver *solver = NULL;
        double weights[5 * 110], exact[110];
        cm_ridge_path path = {.ridge = ridge, .count = 5, .tolerance = 1e-14, .most = 1000};
        assert_int_equal(cm_pair_solver_create(&solver, p.m, p.q, &p.pairs, NULL), CM_OK);
        assert_int_equal(cm_pair_ridge(solver, &p.kernel, &path, p.y, weights, NULL, NULL), CM_OK);
        for (int l = 0; l < 5; l++) {
            dense_solution(&p, ridge[l], exact);
            double scale = 0, worst = 0;
            for (int64_t i = 0; i < p.n; i++) {
                scale = fmax(scale, fabs(exact[i]));
                worst = fmax(worst, fabs(exact[i] - weights[l * p.n + i]));
            }
            if (worst > 1e-8 * scale) fail_msg("ridge %g: off by %g of %g", ridge[l], worst, scale);
        }
        cm_pair_solver_destroy(solver);
        clear(&p);
    }
}

static void threads_change_nothing(void **state) {
    (void)state;
    static const double ridge[] = {0.05, 1};
    problem p = make(60, 75, 700, 9);
    cm_ridge_path path = {.ridge = ridge, .count = 2, .tolerance = 1e-6, .most = 100};
    double *first = cm_new(1400, sizeof *first), *other = cm_new(1400, sizeof *other);
    for (int threads = 1; threads <= 4; threads++) {
        cm_team *team = cm_team_create(threads);
        cm_pair_solver *solver = NULL;
        assert_int_equal(cm_pair_solver_create(&solver, p.m, p.q, &p.pairs, NULL), CM_OK);
        assert_int_equal(
            cm_pair_ridge(solver, &p.kernel, &path, p.y, threads == 1 ? first : other, team, NULL), CM_OK);
        if (threads > 1) assert_memory_equal(first, other, 1400 * sizeof *first);
        cm_pair_solver_destroy(solver);
        cm_team_destroy(team);
    }
    cm_free(first);
    cm_free(other);
    clear(&p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(product_equals_the_dense_one),
        cmocka_unit_test(order_changes_no_bit),
        cmocka_unit_test(weights_equal_the_cholesky_solution),
        cmocka_unit_test(threads_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
