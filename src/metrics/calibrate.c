/* Fits the calibration of scores. */
#include "metrics/calibrate.h"
#include "base/alloc.h"
#include "metrics/isotonic.h"
#include <math.h>
#include <string.h>

enum { FEWEST_PAIRS = 10, MOST_STEPS = 100, FOLDS = 5 };

static const char *const method_names[] = {"platt", "temperature", "isotonic", "auto"};
enum { N_METHODS = sizeof method_names / sizeof *method_names };

const char *cm_calibration_name(cm_calibration_method method) {
    return method_names[method];
}

cm_status cm_calibration_parse(cm_calibration_method *method, const char *name, cm_error *error) {
    for (int i = 0; i < N_METHODS; i++)
        if (strcmp(method_names[i], name) == 0) {
            *method = (cm_calibration_method)i;
            return CM_OK;
        }
    return cm_fail(error, CM_USAGE, NULL, "option calibration", "auto, platt, temperature or isotonic", "%s",
                   name);
}

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
    bool no_offset;   /* temperature: the offset stays where it is */
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

/* Newton's direction; false when there is none. */
static bool direction(const platt *p, const double g[2], const double h[3], double *ds, double *doff) {
    if (p->no_offset) {
        *ds = -g[0] / h[0];
        *doff = 0;
        return fabs(g[0]) >= 1e-10 * (double)p->n;
    }
    double determinant = h[0] * h[2] - h[1] * h[1];
    if (!(determinant > 0) || fabs(g[0]) + fabs(g[1]) < 1e-10 * (double)p->n) return false;
    *ds = -(h[2] * g[0] - h[1] * g[1]) / determinant;
    *doff = -(h[0] * g[1] - h[1] * g[0]) / determinant;
    return true;
}

/* Newton's method with step halving; the loss is convex. */
static void minimise(const platt *p, double *slope, double *offset) {
    double now = loss(p, *slope, *offset);
    for (int step = 0; step < MOST_STEPS; step++) {
        double g[2], h[3], ds, doff;
        derivatives(p, *slope, *offset, g, h);
        if (!direction(p, g, h, &ds, &doff)) return;
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

/* False when one class is missing. */
static bool prepare(platt *p, const double *score, const double *label, int64_t n, double *base) {
    double count[2] = {0, 0}, largest = 0;
    for (int64_t i = 0; i < n; i++) {
        count[label[i] > 0.5]++;
        largest = fmax(largest, fabs(score[i]));
    }
    if (count[0] == 0 || count[1] == 0) return false;
    *p = (platt){.score = score, .label = label, .n = n, .unit = largest > 0 ? largest : 1};
    p->target[0] = 1 / (count[0] + 2);
    p->target[1] = (count[1] + 1) / (count[1] + 2);
    /* without a slope the best offset is the log odds of the mean target */
    double mean = (count[0] * p->target[0] + count[1] * p->target[1]) / (double)n;
    *base = log(mean / (1 - mean));
    return true;
}

static cm_calibration calibrate_platt(const double *score, const double *label, int64_t n) {
    platt p;
    double base, slope = 0;
    if (!prepare(&p, score, label, n, &base)) return (cm_calibration){.slope = 1};
    double offset = base;
    minimise(&p, &slope, &offset);
    if (!(slope > 0)) return (cm_calibration){.slope = 0, .offset = base};
    return (cm_calibration){.slope = slope / p.unit, .offset = offset};
}

static cm_calibration calibrate_temperature(const double *score, const double *label, int64_t n) {
    platt p;
    double base, slope = 0, offset = 0;
    if (!prepare(&p, score, label, n, &base)) return (cm_calibration){.slope = 1};
    p.no_offset = true;
    minimise(&p, &slope, &offset);
    return (cm_calibration){.slope = slope > 0 ? slope / p.unit : 0, .method = CM_CALIBRATION_TEMPERATURE};
}

static cm_status calibrate_isotonic(const double *score, const double *label, int64_t n, cm_calibration *c,
                                    cm_error *error) {
    *c = (cm_calibration){.slope = 1, .method = CM_CALIBRATION_ISOTONIC};
    CM_TRY(cm_isotonic_fit(score, label, n, CM_CALIBRATION_KNOTS, c->at, c->to, &c->knots, error));
    double least = 1 / ((double)n + 2);
    for (int k = 0; k < c->knots; k++) c->to[k] = fmin(1 - least, fmax(least, c->to[k]));
    return CM_OK;
}

static bool usable(const double *score, const double *label, int64_t n) {
    double count[2] = {0, 0};
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(score[i]) || !isfinite(label[i])) return false;
        count[label[i] > 0.5]++;
    }
    return n >= FEWEST_PAIRS && count[0] > 0 && count[1] > 0;
}

static cm_status fit_method(cm_calibration_method method, const double *score, const double *label, int64_t n,
                            cm_calibration *c, cm_error *error) {
    if (method == CM_CALIBRATION_ISOTONIC) return calibrate_isotonic(score, label, n, c, error);
    *c = method == CM_CALIBRATION_PLATT ? calibrate_platt(score, label, n)
                                        : calibrate_temperature(score, label, n);
    return CM_OK;
}

/* Sum of the log losses of the pairs of one fold, by a map fitted to the others. work: [4 * n] */
static cm_status fold_loss(cm_calibration_method method, const double *score, const double *label, int64_t n,
                           int fold, double *work, double *loss, cm_error *error) {
    double *x = work, *y = work + n, *held_x = work + 2 * n, *held_y = work + 3 * n;
    int64_t kept = 0, held = 0, seen[2] = {0, 0};
    for (int64_t i = 0; i < n; i++) {
        if (seen[label[i] > 0.5]++ % FOLDS == fold) {
            held_x[held] = score[i], held_y[held++] = label[i];
        } else {
            x[kept] = score[i], y[kept++] = label[i];
        }
    }
    cm_calibration c;
    CM_TRY(fit_method(method, x, y, kept, &c, error));
    for (int64_t i = 0; i < held; i++) {
        double p = fmin(1 - 1e-12, fmax(1e-12, cm_calibrated(&c, false, held_x[i])));
        *loss -= held_y[i] > 0.5 ? log(p) : log1p(-p);
    }
    return CM_OK;
}

/* The method with the lowest cross-validated log loss. */
static cm_status choose_method(const double *score, const double *label, int64_t n,
                               cm_calibration_method *method, cm_error *error) {
    double *work = cm_new((size_t)n, 4 * sizeof *work), best = INFINITY;
    cm_status status = work ? CM_OK : cm_fail_memory(error, (size_t)n * 4 * sizeof *work);
    for (int m = 0; m < CM_CALIBRATION_AUTO && status == CM_OK; m++) {
        double loss = 0;
        for (int fold = 0; fold < FOLDS && status == CM_OK; fold++)
            status = fold_loss((cm_calibration_method)m, score, label, n, fold, work, &loss, error);
        if (status == CM_OK && loss < best) best = loss, *method = (cm_calibration_method)m;
    }
    cm_free(work);
    return status;
}

cm_status cm_calibrate_by(cm_calibration_method method, const double *score, const double *label, int64_t n,
                          cm_calibration *calibration, cm_error *error) {
    *calibration = (cm_calibration){.slope = 1};
    if (!usable(score, label, n)) return CM_OK;
    if (method == CM_CALIBRATION_AUTO) {
        method = CM_CALIBRATION_PLATT;
        CM_TRY(choose_method(score, label, n, &method, error));
    }
    return fit_method(method, score, label, n, calibration, error);
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
    return (cm_calibration){
        .slope = slope, .offset = offset, .spread = residual_spread(score, label, n, slope, offset)};
}

cm_calibration cm_calibrate(bool affinity, const double *score, const double *label, int64_t n) {
    bool finite = true;
    for (int64_t i = 0; i < n; i++) finite = finite && isfinite(score[i]) && isfinite(label[i]);
    if (!finite) return (cm_calibration){.slope = 1};
    if (n < FEWEST_PAIRS)
        return (cm_calibration){.slope = 1, .spread = affinity ? residual_spread(score, label, n, 1, 0) : 0};
    return affinity ? calibrate_affinity(score, label, n) : calibrate_platt(score, label, n);
}

double cm_calibrated(const cm_calibration *calibration, bool affinity, double score) {
    if (calibration->knots > 0)
        return cm_isotonic_value(calibration->at, calibration->to, calibration->knots, score);
    double value = calibration->slope * score + calibration->offset;
    return affinity ? value : logistic(value);
}
