/* Subspace iteration on a sparse matrix. */
#include "eval/factors.h"
#include "base/alloc.h"
#include "base/rng.h"
#include <math.h>
#include <string.h>

enum { ROUNDS = 6, SWEEPS = 30, KEY_START = 0x73766431 };

typedef double factor_row[CM_FACTORS];

void cm_factors_clear(cm_factors *factors) {
    cm_free(factors->left);
    cm_free(factors->right);
    *factors = (cm_factors){0};
}

double cm_factors_at(const cm_factors *factors, int64_t i, int64_t k, int rank) {
    double sum = 0;
    for (int f = 0; f < rank; f++) sum += factors->left[i][f] * factors->right[k][f];
    return sum;
}

/* to[n] = the matrix (entries to x from) times from. */
static void multiply(factor_row *to, int64_t n, const int32_t *to_at, factor_row *from,
                     const int32_t *from_at, const double *value, int64_t entries) {
    memset(to, 0, (size_t)n * sizeof *to);
    for (int64_t e = 0; e < entries; e++) {
        double *target = to[to_at[e]];
        const double *source = from[from_at[e]];
        for (int f = 0; f < CM_FACTORS; f++) target[f] += value[e] * source[f];
    }
}

static double column_dot(factor_row *x, int64_t n, int f, int g) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i][f] * x[i][g];
    return sum;
}

/* Gram and Schmidt, twice each column; what is left of a dependent column becomes 0. */
static void orthonormalise(factor_row *x, int64_t n) {
    for (int f = 0; f < CM_FACTORS; f++) {
        double before = column_dot(x, n, f, f);
        for (int round = 0; round < 2; round++)
            for (int g = 0; g < f; g++) {
                double share = column_dot(x, n, f, g);
                for (int64_t i = 0; i < n; i++) x[i][f] -= share * x[i][g];
            }
        double square = column_dot(x, n, f, f), scale = square > 1e-20 * before ? 1 / sqrt(square) : 0;
        for (int64_t i = 0; i < n; i++) x[i][f] *= scale;
    }
}

/* One rotation of Jacobi's method: g[p][q] becomes 0; vectors[.][f] follows. */
static void rotate(factor_row *g, factor_row *vectors, int p, int q) {
    if (fabs(g[p][q]) <= 1e-15 * sqrt(fabs(g[p][p] * g[q][q]))) return;
    double theta = (g[q][q] - g[p][p]) / (2 * g[p][q]);
    double t = (theta >= 0 ? 1 : -1) / (fabs(theta) + sqrt(theta * theta + 1));
    double c = 1 / sqrt(t * t + 1), s = t * c;
    for (int k = 0; k < CM_FACTORS; k++) {
        double kp = g[k][p], kq = g[k][q];
        g[k][p] = c * kp - s * kq;
        g[k][q] = s * kp + c * kq;
    }
    for (int k = 0; k < CM_FACTORS; k++) {
        double pk = g[p][k], qk = g[q][k], vp = vectors[k][p], vq = vectors[k][q];
        g[p][k] = c * pk - s * qk;
        g[q][k] = s * pk + c * qk;
        vectors[k][p] = c * vp - s * vq;
        vectors[k][q] = s * vp + c * vq;
    }
}

/* vectors: eigenvectors of the symmetric g as columns, by falling eigenvalue. */
static void eigenvectors(factor_row *g, factor_row *vectors) {
    factor_row sorted[CM_FACTORS];
    memset(vectors, 0, CM_FACTORS * sizeof *vectors);
    for (int f = 0; f < CM_FACTORS; f++) vectors[f][f] = 1;
    for (int sweep = 0; sweep < SWEEPS; sweep++)
        for (int p = 0; p < CM_FACTORS; p++)
            for (int q = p + 1; q < CM_FACTORS; q++) rotate(g, vectors, p, q);
    for (int f = 0; f < CM_FACTORS; f++) {
        int place = 0;
        for (int h = 0; h < CM_FACTORS; h++) place += g[h][h] > g[f][f] || (g[h][h] == g[f][f] && h < f);
        for (int k = 0; k < CM_FACTORS; k++) sorted[k][place] = vectors[k][f];
    }
    memcpy(vectors, sorted, sizeof sorted);
}

/* x = x vectors */
static void turn(factor_row *x, int64_t n, factor_row *vectors) {
    for (int64_t i = 0; i < n; i++) {
        factor_row row = {0};
        for (int k = 0; k < CM_FACTORS; k++)
            for (int f = 0; f < CM_FACTORS; f++) row[f] += x[i][k] * vectors[k][f];
        memcpy(x[i], row, sizeof row);
    }
}

cm_status cm_factors_make(cm_factors *factors, int64_t rows, int64_t columns, const int32_t *row,
                          const int32_t *column, const double *value, int64_t n, cm_error *error) {
    factor_row *left = cm_new((size_t)rows, sizeof *left), *right = cm_new((size_t)columns, sizeof *right);
    *factors = (cm_factors){left, right};
    if (!left || !right) return cm_fail_memory(error, (size_t)(rows + columns) * sizeof *left);
    for (int64_t k = 0; k < columns; k++)
        for (int f = 0; f < CM_FACTORS; f++)
            right[k][f] = cm_rng_normal(KEY_START, (uint64_t)(k * CM_FACTORS + f));
    for (int round = 0; round < ROUNDS; round++) {
        orthonormalise(right, columns);
        multiply(left, rows, row, right, column, value, n);
        orthonormalise(left, rows);
        multiply(right, columns, column, left, row, value, n);
    }
    orthonormalise(right, columns);
    multiply(left, rows, row, right, column, value, n);
    factor_row gram[CM_FACTORS], vectors[CM_FACTORS];
    for (int f = 0; f < CM_FACTORS; f++)
        for (int g = 0; g < CM_FACTORS; g++) gram[f][g] = column_dot(left, rows, f, g);
    eigenvectors(gram, vectors);
    turn(left, rows, vectors);
    turn(right, columns, vectors);
    return CM_OK;
}
