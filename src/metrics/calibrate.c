/* Fits the calibration of scores. */
#include "metrics/calibrate.h"
#include <math.h>

enum { FEWEST_PAIRS = 10, MOST_STEPS = 100 };

static double logistic(double x) {
    if (x >= 0) return 1 / (1 + exp(-x));
    double e = exp(x);
    return e / (1 + e);
}

/* log(1 + exp(x)) without overflow */
static double softplus(double x) {
    return fmax(x, 0) + log1p(exp(-fabs(x)));
}

/* Platt's targets, (positives + 1) / (positives + 2) and 1 / (negatives + 2). */
typedef struct platt {
    const double *score, *label;
    int64_t n;
    double target[2]; /* by class */
    double unit;      /* scores are divided by it, for a well-conditioned fit */
} platt;

/* Negative log-likelihood. */
static double loss(const platt *p, double slope, double offset) {
    double sum = 0;
    for (int64_t i = 0; i < p->n; i++) {
        double f = slope * p->score[i] / p->unit + offset;
        sum += softplus(f) - p->target[p->label[i] > 0.5] * f;
    }
    return sum;
}

/* Gradient g and Hessian h (xx, x1, 11) of the loss. */
static void derivatives(const platt *p, double slope, double offset, double g[2], double h[3]) {
    g[0] = g[1] = 0;
    h[0] = h[2] = 1e-12;
    h[1] = 0;
    for (int64_t i = 0; i < p->n; i++) {
        double x = p->score[i] / p->unit, q = logistic(slope * x + offset);
        double d = q - p->target[p->label[i] > 0.5], w = q * (1 - q);
        g[0] += d * x;
        g[1] += d;
        h[0] += w * x * x;
        h[1] += w * x;
        h[2] += w;
    }
}

/* Newton's method with step halving; the loss is convex. */
static void minimise(const platt *p, double *slope, double *offset) {
    double now = loss(p, *slope, *offset);
    for (int step = 0; step < MOST_STEPS; step++) {
        double g[2], h[3];
        derivatives(p, *slope, *offset, g, h);
        double determinant = h[0] * h[2] - h[1] * h[1];
        if (!(determinant > 0) || fabs(g[0]) + fabs(g[1]) < 1e-10 * (double)p->n) return;
        double ds = -(h[2] * g[0] - h[1] * g[1]) / determinant;
        double doff = -(h[0] * g[1] - h[1] * g[0]) / determinant;
        double size = 1, next = 0;
        for (; size > 1e-10; size /= 2) {
            next = loss(p, *slope + size * ds, *offset + size * doff);
            if (next <= now + 1e-4 * size * (g[0] * ds + g[1] * doff)) break;
        }
        if (size <= 1e-10) return;
        *slope += size * ds;
        *offset += size * doff;
        now = next;
    }
}

static cm_calibration calibrate_binary(const double *score, const double *label, int64_t n) {
    double count[2] = {0, 0}, largest = 0;
    for (int64_t i = 0; i < n; i++) {
        count[label[i] > 0.5]++;
        largest = fmax(largest, fabs(score[i]));
    }
    if (count[0] == 0 || count[1] == 0) return (cm_calibration){.slope = 1};
    platt p = {.score = score, .label = label, .n = n, .unit = largest > 0 ? largest : 1};
    p.target[0] = 1 / (count[0] + 2);
    p.target[1] = (count[1] + 1) / (count[1] + 2);
    /* without a slope the best offset is the log odds of the mean target */
    double mean = (count[0] * p.target[0] + count[1] * p.target[1]) / (double)n;
    double base = log(mean / (1 - mean)), slope = 0, offset = base;
    minimise(&p, &slope, &offset);
    if (!(slope > 0)) return (cm_calibration){.slope = 0, .offset = base};
    return (cm_calibration){.slope = slope / p.unit, .offset = offset};
}

static double residual_spread(const double *score, const double *label, int64_t n, double slope,
                              double offset) {
    double squares = 0;
    for (int64_t i = 0; i < n; i++) {
        double d = label[i] - (slope * score[i] + offset);
        squares += d * d;
    }
    return n > 0 ? sqrt(squares / (double)n) : 0;
}

static cm_calibration calibrate_affinity(const double *score, const double *label, int64_t n) {
    double x = 0, y = 0, low = INFINITY, high = -INFINITY;
    for (int64_t i = 0; i < n; i++) {
        x += score[i] / (double)n;
        y += label[i] / (double)n;
        low = fmin(low, score[i]);
        high = fmax(high, score[i]);
    }
    double xx = 0, xy = 0;
    for (int64_t i = 0; i < n; i++) {
        xx += (score[i] - x) * (score[i] - x);
        xy += (score[i] - x) * (label[i] - y);
    }
    double slope = low < high && xx > 0 ? fmin(2, fmax(0.5, xy / xx)) : 1, offset = y - slope * x;
    return (cm_calibration){slope, offset, residual_spread(score, label, n, slope, offset)};
}

cm_calibration cm_calibrate(bool affinity, const double *score, const double *label, int64_t n) {
    bool finite = true;
    for (int64_t i = 0; i < n; i++) finite = finite && isfinite(score[i]) && isfinite(label[i]);
    if (!finite) return (cm_calibration){.slope = 1};
    if (n < FEWEST_PAIRS)
        return (cm_calibration){.slope = 1, .spread = affinity ? residual_spread(score, label, n, 1, 0) : 0};
    return affinity ? calibrate_affinity(score, label, n) : calibrate_binary(score, label, n);
}

double cm_calibrated(const cm_calibration *calibration, bool affinity, double score) {
    double value = calibration->slope * score + calibration->offset;
    return affinity ? value : logistic(value);
}
