/* Newton's method for penalised linear models. */
#include "metrics/regression.h"
#include "base/alloc.h"
#include <assert.h>
#include <math.h>
#include <string.h>

enum { SIZE = CM_REGRESSION_WIDTH + 1, MOST_STEPS = 50 };

/* Keeps the offset finite when there is one class only. */
static const double OFFSET_PENALTY = 1e-6;

typedef struct problem {
    bool affinity;
    const double *x, *label;
    const int64_t *index;
    int64_t n, width, size; /* size: width and the offset, which comes last */
    double penalty;
    double (*h)[SIZE]; /* Hessian, lower half */
    double g[SIZE], row[SIZE];
} problem;

static double logistic(double z) {
    return z >= 0 ? 1 / (1 + exp(-z)) : exp(z) / (1 + exp(z));
}

/* Row i of the problem, standardised, with the constant. */
static const double *standard_row(problem *p, const cm_regression *m, int64_t i) {
    const double *x = p->x + p->index[i] * p->width;
    for (int64_t c = 0; c < p->width; c++) p->row[c] = (x[c] - m->centre[c]) / m->unit[c];
    p->row[p->width] = 1;
    return p->row;
}

static double dot(const double *a, const double *b, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

static double penalty_of(const problem *p, int64_t c) {
    return c == p->width ? OFFSET_PENALTY : p->penalty;
}

/* The penalised mean loss at weight. */
static double loss_at(problem *p, const cm_regression *m, const double *weight) {
    double loss = 0, squares = 0;
    for (int64_t i = 0; i < p->n; i++) {
        double z = dot(weight, standard_row(p, m, i), p->size), y = p->label[p->index[i]];
        loss += p->affinity ? (z - y) * (z - y) / 2 : fmax(z, 0) + log1p(exp(-fabs(z))) - y * z;
    }
    for (int64_t c = 0; c < p->width; c++) squares += weight[c] * weight[c];
    return loss / (double)p->n + p->penalty * squares / 2;
}

/* Gradient and Hessian at weight. */
static void derivatives(problem *p, const cm_regression *m, const double *weight) {
    memset(p->g, 0, sizeof p->g);
    memset(p->h, 0, SIZE * sizeof *p->h);
    for (int64_t i = 0; i < p->n; i++) {
        const double *x = standard_row(p, m, i);
        double z = dot(weight, x, p->size), y = p->label[p->index[i]], q = p->affinity ? z : logistic(z);
        double curve = p->affinity ? 1 : q * (1 - q);
        for (int64_t r = 0; r < p->size; r++) {
            p->g[r] += (q - y) * x[r];
            double scaled = curve * x[r];
            for (int64_t c = 0; c <= r; c++) p->h[r][c] += scaled * x[c];
        }
    }
    for (int64_t r = 0; r < p->size; r++) {
        double penalty = penalty_of(p, r);
        for (int64_t c = 0; c <= r; c++) p->h[r][c] /= (double)p->n;
        p->g[r] = p->g[r] / (double)p->n + (r == p->width ? 0 : penalty * weight[r]);
        p->h[r][r] += penalty;
    }
}

/* step = h^-1 g by Cholesky's method, in place. */
static void solve(problem *p, double *step) {
    for (int64_t i = 0; i < p->size; i++)
        for (int64_t j = 0; j <= i; j++) {
            double sum = p->h[i][j] - dot(p->h[i], p->h[j], j);
            p->h[i][j] = i == j ? sqrt(fmax(sum, 1e-14)) : sum / p->h[j][j];
        }
    for (int64_t i = 0; i < p->size; i++) step[i] = (p->g[i] - dot(p->h[i], step, i)) / p->h[i][i];
    for (int64_t i = p->size - 1; i >= 0; i--) {
        for (int64_t k = i + 1; k < p->size; k++) step[i] -= p->h[k][i] * step[k];
        step[i] /= p->h[i][i];
    }
}

/* Newton's method with step halving; the loss is convex. */
static void minimise(problem *p, const cm_regression *m, double *weight) {
    double step[SIZE] = {0}, trial[SIZE], now = loss_at(p, m, weight);
    for (int round = 0; round < MOST_STEPS; round++) {
        derivatives(p, m, weight);
        solve(p, step);
        if (dot(p->g, step, p->size) < 1e-13) return;
        double size = 1, next = now;
        for (; size > 1e-6; size /= 2) {
            for (int64_t c = 0; c < p->size; c++) trial[c] = weight[c] - size * step[c];
            next = loss_at(p, m, trial);
            if (next < now) break;
        }
        if (!(next < now)) return;
        memcpy(weight, trial, (size_t)p->size * sizeof *trial);
        now = next;
    }
}

static void standardise(cm_regression *m, const problem *p) {
    for (int64_t c = 0; c < p->width; c++) {
        double sum = 0, squares = 0;
        for (int64_t i = 0; i < p->n; i++) sum += p->x[p->index[i] * p->width + c];
        m->centre[c] = sum / (double)p->n;
        for (int64_t i = 0; i < p->n; i++) {
            double d = p->x[p->index[i] * p->width + c] - m->centre[c];
            squares += d * d;
        }
        double unit = sqrt(squares / (double)p->n);
        m->unit[c] = unit > 1e-9 ? unit : INFINITY;
    }
}

cm_status cm_regression_fit(cm_regression *model, bool affinity, const double *x, int64_t width,
                            const double *label, const int64_t *index, int64_t n, double penalty,
                            cm_error *error) {
    assert(width <= CM_REGRESSION_WIDTH && n >= 1);
    problem p = {.affinity = affinity,
                 .x = x,
                 .label = label,
                 .index = index,
                 .n = n,
                 .width = width,
                 .size = width + 1,
                 .penalty = penalty,
                 .h = cm_new(SIZE, sizeof *p.h)};
    if (!p.h) return cm_fail_memory(error, SIZE * sizeof *p.h);
    double weight[SIZE] = {0};
    *model = (cm_regression){.width = width};
    standardise(model, &p);
    minimise(&p, model, weight);
    memcpy(model->weight, weight, (size_t)width * sizeof *weight);
    model->offset = weight[width];
    cm_free(p.h);
    return CM_OK;
}

double cm_regression_score(const cm_regression *model, const double *x) {
    double sum = model->offset;
    for (int64_t c = 0; c < model->width; c++)
        sum += model->weight[c] * ((x[c] - model->centre[c]) / model->unit[c]);
    return sum;
}
