/* The kernel of one side between molecules. */
#include "kernel/kernel_side.h"
#include "base/alloc.h"
#include <math.h>
#include <string.h>

/* Squared norms below it are rounding. */
static const double least_square = 1e-9;

static double weight_of(const cm_kernel_features *features, cm_kernel_mix mix) {
    int count = 0;
    for (int k = 0; k < features->n_kernels; k++) count += cm_kernel_in_mix(features->kernel[k], mix);
    return count > 0 ? 1.0 / count : 0;
}

static double mean_of(const double *values, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += values[i];
    return n > 0 ? sum / (double)n : 0;
}

void cm_kernel_side_drop(cm_kernel_side *side) {
    for (int mix = 0; mix < CM_MIXES; mix++) {
        cm_free(side->mixed[mix]);
        side->mixed[mix] = NULL;
    }
}

void cm_kernel_side_clear(cm_kernel_side *side) {
    cm_kernel_side_drop(side);
    for (int k = 0; k < CM_KERNELS_MAX; k++) cm_free(side->row_mean[k]);
    cm_kernel_features_destroy(side->features);
    *side = (cm_kernel_side){0};
}

/* 1 / norm of molecule with mean kernel to the training molecules, 0 for a norm of 0. */
static double inverse_norm(double self, double mean_row, double mean) {
    double square = self - 2 * mean_row + mean;
    return square > least_square ? 1 / sqrt(square) : 0;
}

/* to[m] += weight * correlations of a molecule with kernels raw[m]. */
static void add_row(const cm_kernel_side *side, int k, const double *raw, double mean_row, double scale,
                    const double *inverse, double *to, double weight) {
    const double *means = side->row_mean[k], base = side->mean[k] - mean_row;
    for (int64_t j = 0; j < side->features->n; j++)
        to[j] += weight * (raw[j] + base - means[j]) * scale * inverse[j];
}

/* inverse[m]: 1 / norm of the training molecules under kernel k. */
static void training_norms(const cm_kernel_side *side, int k, double *inverse) {
    for (int64_t j = 0; j < side->features->n; j++)
        inverse[j] = inverse_norm(cm_kernel_self(side->features, k, j), side->row_mean[k][j], side->mean[k]);
}

static cm_status mix_kernel(cm_kernel_side *side, int k, double *raw, double *inverse, cm_team *team,
                            cm_error *error) {
    const cm_kernel_features *f = side->features;
    int64_t m = f->n;
    side->row_mean[k] = cm_new((size_t)m, sizeof(double));
    if (!side->row_mean[k]) return cm_fail_memory(error, (size_t)m * sizeof(double));
    CM_TRY(cm_kernel_cross(f, NULL, m, f, k, raw, team, error));
    for (int64_t i = 0; i < m; i++) side->row_mean[k][i] = mean_of(raw + i * m, m);
    side->mean[k] = mean_of(side->row_mean[k], m);
    training_norms(side, k, inverse);
    for (int mix = 0; mix < CM_MIXES; mix++)
        for (int64_t i = 0; i < m && cm_kernel_in_mix(f->kernel[k], mix); i++)
            add_row(side, k, raw + i * m, side->row_mean[k][i], inverse[i], inverse, side->mixed[mix] + i * m,
                    weight_of(f, mix));
    return CM_OK;
}

cm_status cm_kernel_side_create(cm_kernel_side *side, cm_kernel_features *features, cm_team *team,
                                cm_error *error) {
    *side = (cm_kernel_side){.features = features};
    size_t m = (size_t)features->n, squared;
    cm_status status = cm_size_mul(m, m, &squared) ? CM_OK : cm_fail_memory(error, 0);
    double *raw = status == CM_OK ? cm_new(squared, sizeof *raw) : NULL,
           *inverse = cm_new(m, sizeof *inverse);
    bool there = raw && inverse;
    for (int mix = 0; mix < CM_MIXES && there; mix++)
        there = (side->mixed[mix] = cm_new(squared, sizeof(double))) != NULL;
    if (!there) status = cm_fail_memory(error, squared * sizeof *raw);
    for (int k = 0; k < features->n_kernels && status == CM_OK; k++)
        status = mix_kernel(side, k, raw, inverse, team, error);
    cm_free(raw);
    cm_free(inverse);
    if (status != CM_OK) cm_kernel_side_clear(side);
    return status;
}

void cm_kernel_side_restore(cm_kernel_side *side, cm_kernel_mix mix) {
    for (int k = 0; k < side->features->n_kernels; k++)
        if (cm_kernel_in_mix(side->features->kernel[k], mix))
            side->mean[k] = mean_of(side->row_mean[k], side->features->n);
}

/* Turns correlations row[m] of a molecule with self self_x into K. self[m]: of the training molecules. */
static void shape_row(const cm_kernel_shape *shape, double self_x, const double *self, double *row,
                      int64_t m) {
    for (int64_t j = 0; j < m; j++) {
        double value = row[j];
        if (shape->gamma > 0) value = exp(-shape->gamma * fmax(0, self_x + self[j] - 2 * value));
        row[j] = value + shape->constant;
    }
}

void cm_kernel_side_gram(const cm_kernel_side *side, const cm_kernel_shape *shape, double *out) {
    int64_t m = side->features->n;
    const double *g = side->mixed[shape->mix];
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j <= i; j++) {
            double value = g[i * m + j];
            if (shape->gamma > 0)
                value = exp(-shape->gamma * fmax(0, g[i * m + i] + g[j * m + j] - 2 * value));
            out[i * m + j] = out[j * m + i] = value + shape->constant;
        }
}

/* Work space of the cross kernel. */
typedef struct work {
    double *raw;           /* [n, m] */
    double *inverse;       /* [m] */
    double *self, *self_x; /* [m], [n]: g(x, x) */
} work;

static void mix_cross(const cm_kernel_side *side, const cm_kernel_features *x, const int32_t *row, int64_t n,
                      int k, double weight, const work *w, double *out) {
    int64_t m = side->features->n;
    training_norms(side, k, w->inverse);
    for (int64_t j = 0; j < m; j++) w->self[j] += w->inverse[j] > 0 ? weight : 0;
    for (int64_t i = 0; i < n; i++) {
        double mean_row = mean_of(w->raw + i * m, m);
        double scale = inverse_norm(cm_kernel_self(x, k, row ? row[i] : i), mean_row, side->mean[k]);
        w->self_x[i] += scale > 0 ? weight : 0;
        add_row(side, k, w->raw + i * m, mean_row, scale, w->inverse, out + i * m, weight);
    }
}

cm_status cm_kernel_side_cross(const cm_kernel_side *side, const cm_kernel_shape *shape,
                               const cm_kernel_features *x, const int32_t *row, int64_t n, double *out,
                               cm_team *team, cm_error *error) {
    int64_t m = side->features->n;
    work w = {cm_new((size_t)(n * m), sizeof(double)), cm_new((size_t)m, sizeof(double)),
              cm_new((size_t)m, sizeof(double)), cm_new((size_t)n, sizeof(double))};
    cm_status status =
        w.raw && w.inverse && w.self && w.self_x ? CM_OK : cm_fail_memory(error, (size_t)(n * m) * 8);
    memset(out, 0, (size_t)(n * m) * sizeof *out);
    for (int k = 0; k < x->n_kernels && status == CM_OK; k++) {
        if (!cm_kernel_in_mix(x->kernel[k], shape->mix)) continue;
        status = cm_kernel_cross(x, row, n, side->features, k, w.raw, team, error);
        if (status == CM_OK) mix_cross(side, x, row, n, k, weight_of(x, shape->mix), &w, out);
    }
    for (int64_t i = 0; i < n && status == CM_OK; i++) shape_row(shape, w.self_x[i], w.self, out + i * m, m);
    cm_free(w.raw);
    cm_free(w.inverse);
    cm_free(w.self);
    cm_free(w.self_x);
    return status;
}
