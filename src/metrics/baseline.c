/* What the identity of the molecules alone predicts. */
#include "metrics/baseline.h"
#include "base/alloc.h"
#include <assert.h>
#include <math.h>
#include <string.h>

/* Inputs of the logistic regression: rate, log count and excess of each side, and a constant. */
enum { PER_SIDE = 3, CONSTANT = 2 * PER_SIDE, FEATURES = CONSTANT + 1 };
enum { MOST_STEPS = 50, ROUNDS = 20 };

/* Counts towards which rates and effects are shrunken, and the penalty of a standardised weight. */
static const double PRIOR_COUNT = 1, PENALTY = 1e-3;

typedef struct pairs {
    const int32_t *molecule[2];
    const double *label;
    const bool *train;
    int64_t n, n_molecules[2], n_train;
    double mean;               /* of the training labels */
    double *sum[2], *count[2]; /* of the training labels of a molecule */
    double effect[FEATURES];   /* weights on standardised inputs */
    double centre[FEATURES], unit[FEATURES];
} pairs;

static cm_status check(pairs *p, cm_error *error) {
    for (int64_t i = 0; i < p->n; i++) {
        for (int side = 0; side < 2; side++)
            assert(p->molecule[side][i] >= 0 && p->molecule[side][i] < p->n_molecules[side]);
        if (!p->train[i]) continue;
        if (!isfinite(p->label[i]))
            return cm_fail(error, CM_NUMERIC, NULL, cm_format("pair %lld", (long long)i + 1).text,
                           "a finite label", "%g", p->label[i]);
        p->n_train++;
        p->mean += p->label[i];
    }
    if (p->n_train == 0) return cm_fail(error, CM_DATA, NULL, NULL, "training pairs", "none");
    p->mean /= (double)p->n_train;
    return CM_OK;
}

static cm_status tally(pairs *p, cm_error *error) {
    for (int side = 0; side < 2; side++) {
        p->sum[side] = cm_new((size_t)p->n_molecules[side], sizeof(double));
        p->count[side] = cm_new((size_t)p->n_molecules[side], sizeof(double));
        if (!p->sum[side] || !p->count[side])
            return cm_fail_memory(error, (size_t)p->n_molecules[side] * sizeof(double));
        for (int64_t i = 0; i < p->n; i++) {
            if (!p->train[i]) continue;
            p->sum[side][p->molecule[side][i]] += p->label[i];
            p->count[side][p->molecule[side][i]]++;
        }
    }
    return CM_OK;
}

/* Inputs of pair i; a training pair does not see its own label. */
static void inputs(const pairs *p, int64_t i, double x[FEATURES]) {
    for (int side = 0; side < 2; side++) {
        double sum = p->sum[side][p->molecule[side][i]], count = p->count[side][p->molecule[side][i]];
        if (p->train[i]) {
            sum -= p->label[i];
            count--;
        }
        x[PER_SIDE * side] = (sum + PRIOR_COUNT * p->mean) / (count + PRIOR_COUNT);
        x[PER_SIDE * side + 1] = log1p(count);
        x[PER_SIDE * side + 2] = sum - count * p->mean;
    }
    x[CONSTANT] = 1;
    for (int f = 0; f < CONSTANT; f++) x[f] = (x[f] - p->centre[f]) / p->unit[f];
}

static void standardise(pairs *p) {
    double sum[FEATURES] = {0}, squares[FEATURES] = {0}, x[FEATURES];
    for (int f = 0; f < FEATURES; f++) p->centre[f] = 0, p->unit[f] = 1;
    for (int64_t i = 0; i < p->n; i++) {
        if (!p->train[i]) continue;
        inputs(p, i, x);
        for (int f = 0; f < CONSTANT; f++) sum[f] += x[f], squares[f] += x[f] * x[f];
    }
    for (int f = 0; f < CONSTANT; f++) {
        double mean = sum[f] / (double)p->n_train;
        double deviation = sqrt(fmax(0, squares[f] / (double)p->n_train - mean * mean));
        p->centre[f] = mean;
        if (deviation > 1e-9) p->unit[f] = deviation;
    }
}

static double linear(const double *weight, const double *x) {
    double sum = 0;
    for (int f = 0; f < FEATURES; f++) sum += weight[f] * x[f];
    return sum;
}

static double logistic(double x) {
    return x >= 0 ? 1 / (1 + exp(-x)) : exp(x) / (1 + exp(x));
}

/* Penalised mean log loss with its gradient g and Hessian h at weight. */
static double log_loss(const pairs *p, const double *weight, double g[FEATURES],
                       double h[FEATURES][FEATURES]) {
    double loss = 0, x[FEATURES];
    memset(g, 0, FEATURES * sizeof *g);
    memset(h, 0, FEATURES * sizeof *h);
    for (int64_t i = 0; i < p->n; i++) {
        if (!p->train[i]) continue;
        inputs(p, i, x);
        double z = linear(weight, x), q = logistic(z), slope = q * (1 - q);
        loss += fmax(z, 0) + log1p(exp(-fabs(z))) - p->label[i] * z;
        for (int f = 0; f < FEATURES; f++) {
            g[f] += (q - p->label[i]) * x[f];
            for (int e = 0; e <= f; e++) h[f][e] += slope * x[f] * x[e];
        }
    }
    for (int f = 0; f < FEATURES; f++) {
        double penalty = f == CONSTANT ? 1e-9 : PENALTY;
        for (int e = 0; e <= f; e++) h[f][e] /= (double)p->n_train;
        g[f] = g[f] / (double)p->n_train + penalty * weight[f];
        h[f][f] += penalty;
        loss += (double)p->n_train * penalty * weight[f] * weight[f] / 2;
    }
    return loss / (double)p->n_train;
}

/* step = h^-1 g by Cholesky; h (lower half) is positive definite and is overwritten. */
static void solve(double h[FEATURES][FEATURES], const double *g, double *step) {
    for (int i = 0; i < FEATURES; i++)
        for (int j = 0; j <= i; j++) {
            double sum = h[i][j];
            for (int k = 0; k < j; k++) sum -= h[i][k] * h[j][k];
            h[i][j] = i == j ? sqrt(fmax(sum, 1e-12)) : sum / h[j][j];
        }
    for (int i = 0; i < FEATURES; i++) {
        step[i] = g[i];
        for (int k = 0; k < i; k++) step[i] -= h[i][k] * step[k];
        step[i] /= h[i][i];
    }
    for (int i = FEATURES - 1; i >= 0; i--) {
        for (int k = i + 1; k < FEATURES; k++) step[i] -= h[k][i] * step[k];
        step[i] /= h[i][i];
    }
}

/* Newton's method with step halving. */
static void fit_logistic(pairs *p) {
    double g[FEATURES], h[FEATURES][FEATURES], step[FEATURES], trial[FEATURES];
    double now = log_loss(p, p->effect, g, h);
    for (int round = 0; round < MOST_STEPS; round++) {
        solve(h, g, step);
        double decrease = 0;
        for (int f = 0; f < FEATURES; f++) decrease += g[f] * step[f];
        if (decrease < 1e-14) return;
        double size = 1, next = now;
        for (; size > 1e-6; size /= 2) {
            for (int f = 0; f < FEATURES; f++) trial[f] = p->effect[f] - size * step[f];
            next = log_loss(p, trial, g, h);
            if (next < now) break;
        }
        if (!(next < now)) return;
        memcpy(p->effect, trial, sizeof trial);
        now = next;
    }
}

static void predict_binary(pairs *p, double *value) {
    bool one_class = p->mean <= 0 || p->mean >= 1;
    double base = (p->mean * (double)p->n_train + 1) / ((double)p->n_train + 2), x[FEATURES];
    if (!one_class) {
        standardise(p);
        fit_logistic(p);
    }
    for (int64_t i = 0; i < p->n; i++) {
        if (p->train[i]) continue;
        if (!one_class) inputs(p, i, x);
        value[i] = one_class ? base : logistic(linear(p->effect, x));
    }
}

/* label = mean + effect of A + effect of B, each effect shrunken by PRIOR_COUNT, by backfitting; sum becomes
 * the effect. */
static void predict_affinity(pairs *p, double *value) {
    for (int side = 0; side < 2; side++)
        memset(p->sum[side], 0, (size_t)p->n_molecules[side] * sizeof(double));
    for (int round = 0; round < ROUNDS; round++)
        for (int side = 0; side < 2; side++) {
            double *effect = p->sum[side];
            const double *other = p->sum[1 - side];
            memset(effect, 0, (size_t)p->n_molecules[side] * sizeof(double));
            for (int64_t i = 0; i < p->n; i++)
                if (p->train[i])
                    effect[p->molecule[side][i]] += p->label[i] - p->mean - other[p->molecule[1 - side][i]];
            for (int64_t m = 0; m < p->n_molecules[side]; m++) effect[m] /= p->count[side][m] + PRIOR_COUNT;
        }
    for (int64_t i = 0; i < p->n; i++)
        if (!p->train[i]) value[i] = p->mean + p->sum[0][p->molecule[0][i]] + p->sum[1][p->molecule[1][i]];
}

cm_status cm_baseline_identity(bool affinity, const int32_t *a, const int32_t *b, const double *label,
                               const bool *train, int64_t n, int64_t n_a, int64_t n_b, double *value,
                               cm_error *error) {
    pairs p = {.molecule = {a, b}, .label = label, .train = train, .n = n, .n_molecules = {n_a, n_b}};
    CM_TRY(check(&p, error));
    cm_status status = tally(&p, error);
    if (status == CM_OK && affinity) predict_affinity(&p, value);
    if (status == CM_OK && !affinity) predict_binary(&p, value);
    for (int side = 0; side < 2; side++) {
        cm_free(p.sum[side]);
        cm_free(p.count[side]);
    }
    return status;
}
