/* Ridge regression with a product kernel on pairs. */
#include "kernel/pair_solver.h"
#include "base/alloc.h"
#include "ops/vmath.h"
#include <assert.h>
#include <math.h>
#include <string.h>

struct cm_pair_solver {
    int64_t m, q, n;
    int32_t *a, *b;         /* [n] */
    int64_t *order;         /* [n] of cm_pair_order */
    int64_t *start, *pairs; /* training pairs by their b: pairs[start[b] .. start[b + 1]], in order */
    double *sums;           /* [q, m]: row b, sum over pairs with that b of v A[a] */
    double *turned;         /* [m, q]: its transpose */
};

void cm_pair_solver_destroy(cm_pair_solver *solver) {
    if (!solver) return;
    cm_free(solver->a);
    cm_free(solver->b);
    cm_free(solver->order);
    cm_free(solver->start);
    cm_free(solver->pairs);
    cm_free(solver->sums);
    cm_free(solver->turned);
    cm_free(solver);
}

enum { TILE_NUMBERS = 1 << 16 }; /* of B: half a megabyte, half of a usual second cache */

/* Numbers from[n] (NULL: 0 to n - 1) in the order of place / rows, equal ones as they were; those of place p
 * lie at start[p] to start[p + 1]. start: [places + 1], zeros. */
static void sort_by(const int32_t *place, int64_t rows, int64_t places, const int64_t *from, int64_t n,
                    int64_t *start, int64_t *to) {
    for (int64_t i = 0; i < n; i++) start[place[i] / rows + 1]++;
    for (int64_t p = 0; p < places; p++) start[p + 1] += start[p];
    for (int64_t k = 0; k < n; k++) {
        int64_t i = from ? from[k] : k;
        to[start[place[i] / rows]++] = i;
    }
    for (int64_t p = places; p > 0; p--) start[p] = start[p - 1];
    start[0] = 0;
}

cm_status cm_pair_order(int64_t *order, const cm_pair_list *pairs, int64_t m, int64_t q, cm_error *error) {
    int64_t rows = q < TILE_NUMBERS ? TILE_NUMBERS / q : 1, tiles = (q + rows - 1) / rows, n = pairs->n;
    int64_t *start = cm_new((size_t)(m + tiles) + 2, sizeof *start), *by_a = cm_new((size_t)n, sizeof *by_a);
    if (start && by_a) {
        sort_by(pairs->a, 1, m, NULL, n, start, by_a);
        sort_by(pairs->b, rows, tiles, by_a, n, start + m + 1, order);
    }
    bool done = start && by_a;
    cm_free(start);
    cm_free(by_a);
    return done ? CM_OK : cm_fail_memory(error, (size_t)(m + tiles + n) * sizeof *start);
}

cm_status cm_pair_solver_create(cm_pair_solver **solver, int64_t m, int64_t q, const cm_pair_list *train,
                                cm_error *error) {
    size_t n = (size_t)train->n, cells;
    if (!cm_size_mul((size_t)m, (size_t)q, &cells)) return cm_fail_memory(error, 0);
    cm_pair_solver *s = cm_new(1, sizeof *s);
    if (!s) return cm_fail_memory(error, sizeof *s);
    *s = (cm_pair_solver){.m = m,
                          .q = q,
                          .n = train->n,
                          .a = cm_new(n, sizeof *s->a),
                          .b = cm_new(n, sizeof *s->b),
                          .order = cm_new(n, sizeof *s->order),
                          .start = cm_new((size_t)q + 1, sizeof *s->start),
                          .pairs = cm_new(n, sizeof *s->pairs),
                          .sums = cm_new(cells, sizeof *s->sums),
                          .turned = cm_new(cells, sizeof *s->turned)};
    cm_status status = s->a && s->b && s->order && s->start && s->pairs && s->sums && s->turned
                           ? cm_pair_order(s->order, train, m, q, error)
                           : cm_fail_memory(error, cells * 16 + n * 32);
    if (status != CM_OK) {
        cm_pair_solver_destroy(s);
        return status;
    }
    memcpy(s->a, train->a, n * sizeof *s->a);
    memcpy(s->b, train->b, n * sizeof *s->b);
    sort_by(s->b, 1, q, NULL, s->n, s->start, s->pairs);
    *solver = s;
    return CM_OK;
}

/* Eight sums at a time in vector registers; the same bits on every machine. */
typedef double eight __attribute__((vector_size(64), aligned(8), may_alias));

CM_CLONES static void add_scaled(double *restrict to, const double *restrict x, double scale, int64_t n) {
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) *(eight *)(to + i) += *(const eight *)(x + i) * scale;
    for (; i < n; i++) to[i] += x[i] * scale;
}

/* The sum of s[8], and of x[i] y[i] for i from `from`. */
static inline double finish_dot(const double *s, const double *x, const double *y, int64_t from, int64_t n) {
    double sum = ((s[0] + s[4]) + (s[1] + s[5])) + ((s[2] + s[6]) + (s[3] + s[7]));
    for (int64_t i = from; i < n; i++) sum += x[i] * y[i];
    return sum;
}

CM_CLONES static double dot(const double *restrict x, const double *restrict y, int64_t n) {
    eight sums = {0}, more = {0};
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        sums += *(const eight *)(x + i) * *(const eight *)(y + i);
        more += *(const eight *)(x + i + 8) * *(const eight *)(y + i + 8);
    }
    sums += more;
    return finish_dot((const double *)&sums, x, y, i, n);
}

/* dot(x, y) and dot(x, z), bit for bit, faster: one waits for its sums where the other adds. */
CM_CLONES static void two_dots(const double *restrict x, const double *restrict y, const double *restrict z,
                               int64_t n, double *with_y, double *with_z) {
    eight sums = {0}, more = {0}, other_sums = {0}, other_more = {0};
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) {
        eight first = *(const eight *)(x + i), second = *(const eight *)(x + i + 8);
        sums += first * *(const eight *)(y + i);
        more += second * *(const eight *)(y + i + 8);
        other_sums += first * *(const eight *)(z + i);
        other_more += second * *(const eight *)(z + i + 8);
    }
    sums += more;
    other_sums += other_more;
    *with_y = finish_dot((const double *)&sums, x, y, i, n);
    *with_z = finish_dot((const double *)&other_sums, x, z, i, n);
}

typedef struct product {
    cm_pair_solver *solver;
    const cm_pair_kernel *kernel;
    const double *v;
    const cm_pair_list *asked;
    double *out;
} product;

static void sum_rows(void *context, int64_t begin, int64_t end, int member) {
    (void)member;
    const product *p = context;
    const cm_pair_solver *s = p->solver;
    for (int64_t b = begin; b < end; b++) {
        double *to = s->sums + b * s->m;
        memset(to, 0, (size_t)s->m * sizeof *to);
        for (int64_t e = s->start[b]; e < s->start[b + 1]; e++) {
            int64_t i = s->pairs[e];
            add_scaled(to, p->kernel->a + s->a[i] * s->m, p->v[i], s->m);
        }
    }
}

static void turn_rows(void *context, int64_t begin, int64_t end, int member) {
    (void)member;
    const product *p = context;
    const cm_pair_solver *s = p->solver;
    enum { TILE = 16 };
    for (int64_t from = 0; from < s->q; from += TILE)
        for (int64_t a = begin; a < end; a++)
            for (int64_t b = from; b < from + TILE && b < s->q; b++)
                s->turned[a * s->q + b] = s->sums[b * s->m + a];
}

static void read_pairs(void *context, int64_t begin, int64_t end, int member) {
    (void)member;
    const product *p = context;
    const cm_pair_solver *s = p->solver;
    const int32_t *a = p->asked->a, *b = p->asked->b;
    for (int64_t k = begin; k < end;) {
        int64_t i = p->asked->order ? p->asked->order[k] : k;
        int64_t j = k + 1 == end ? -1 : p->asked->order ? p->asked->order[k + 1] : k + 1;
        const double *sums = s->turned + a[i] * s->q, *row = p->kernel->b + b[i] * s->q;
        if (j >= 0 && a[j] == a[i]) {
            two_dots(sums, row, p->kernel->b + b[j] * s->q, s->q, &p->out[i], &p->out[j]);
            k += 2;
        } else {
            p->out[i] = dot(sums, row, s->q);
            k++;
        }
    }
}

/* Multiplications below which waking other threads costs more than they save. */
static const int64_t worth_a_team = 1 << 22;

void cm_pair_apply(cm_pair_solver *solver, const cm_pair_kernel *kernel, const double *v,
                   const cm_pair_list *asked, double *out, cm_team *team) {
    assert(kernel->m == solver->m && kernel->q == solver->q);
    product p = {solver, kernel, v, asked, out};
    if (solver->n * (solver->m + solver->q) < worth_a_team) team = NULL;
    cm_team_for(team, solver->q, 16, sum_rows, &p);
    cm_team_for(team, solver->m, 16, turn_rows, &p);
    cm_team_for(team, asked->n, 64, read_pairs, &p);
}

/* ---- conjugate gradients with shifts (Jegerlehner 1996) ----
 * The residuals of all shifted systems are multiples zeta of the residual r of the smallest ridge. */

typedef struct shifted {
    double shift; /* ridge - smallest ridge */
    double zeta, zeta_before;
    double *direction, *weights; /* [n] */
} shifted;

typedef struct descent {
    double *residual, *direction, *image; /* [n] */
    double *directions;                   /* [count, n] */
    shifted systems[CM_RIDGES_MAX];
    int count;
    int64_t n;
    double step_before, turn_before; /* alpha and beta of the step before */
} descent;

/* weights += alpha_l p_l and p_l = zeta r + beta_l p_l with the residual after this step. */
static void advance(const descent *d, shifted *s, double step, double turn) {
    double denominator = d->step_before * s->zeta_before * (1 + step * s->shift) +
                         step * d->turn_before * (s->zeta_before - s->zeta);
    double next = s->zeta * s->zeta_before * d->step_before / denominator;
    if (!isfinite(next) || fabs(next) < 1e-30) next = 0;
    double ratio = s->zeta != 0 ? next / s->zeta : 0;
    add_scaled(s->weights, s->direction, step * ratio, d->n);
    for (int64_t i = 0; i < d->n; i++)
        s->direction[i] = next * d->residual[i] + turn * ratio * ratio * s->direction[i];
    s->zeta_before = s->zeta;
    s->zeta = next;
}

static void descend(cm_pair_solver *solver, const cm_pair_kernel *kernel, const cm_ridge_path *path,
                    descent *d, cm_team *team) {
    const cm_pair_list own = {solver->a, solver->b, solver->n, solver->order};
    double square = dot(d->residual, d->residual, d->n), least = square * path->tolerance * path->tolerance;
    for (int step_number = 0; step_number < path->most && square > least; step_number++) {
        cm_pair_apply(solver, kernel, d->direction, &own, d->image, team);
        add_scaled(d->image, d->direction, path->ridge[0], d->n);
        double curve = dot(d->direction, d->image, d->n);
        if (!(curve > 0)) return;
        double step = square / curve, before = square;
        add_scaled(d->residual, d->image, -step, d->n);
        square = dot(d->residual, d->residual, d->n);
        double turn = square / before;
        for (int l = 0; l < d->count; l++)
            if (d->systems[l].zeta != 0) advance(d, &d->systems[l], step, turn);
        for (int64_t i = 0; i < d->n; i++) d->direction[i] = d->residual[i] + turn * d->direction[i];
        d->step_before = step;
        d->turn_before = turn;
    }
}

cm_status cm_pair_ridge(cm_pair_solver *solver, const cm_pair_kernel *kernel, const cm_ridge_path *path,
                        const double *y, double *weights, cm_team *team, cm_error *error) {
    assert(path->count >= 1 && path->count <= CM_RIDGES_MAX && path->ridge[0] > 0);
    size_t n = (size_t)solver->n, count = (size_t)path->count;
    double *room = cm_new((3 + count) * n, sizeof *room);
    if (!room) return cm_fail_memory(error, (3 + count) * n * sizeof *room);
    descent d = {.residual = room,
                 .direction = room + n,
                 .image = room + 2 * n,
                 .directions = room + 3 * n,
                 .count = path->count,
                 .n = solver->n,
                 .step_before = 1};
    memset(weights, 0, count * n * sizeof *weights);
    memcpy(d.residual, y, n * sizeof *y);
    memcpy(d.direction, y, n * sizeof *y);
    for (size_t l = 0; l < count; l++) {
        d.systems[l] =
            (shifted){path->ridge[l] - path->ridge[0], 1, 1, d.directions + l * n, weights + l * n};
        memcpy(d.systems[l].direction, y, n * sizeof *y);
    }
    descend(solver, kernel, path, &d, team);
    cm_free(room);
    return CM_OK;
}
