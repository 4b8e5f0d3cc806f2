/* Metrics of values against labels. */
#include "metrics/metrics.h"
#include "base/alloc.h"
#include "metrics/bootstrap.h"
#include "metrics/ranking.h"
#include "metrics/reliability.h"
#include <assert.h>
#include <math.h>
#include <string.h>

static const char *const binary_names[CM_BINARY_COUNT] = {
#define X(field, name) [CM_BINARY_##field] = name,
    CM_BINARY_METRICS(X)
#undef X
};
static const char *const affinity_names[CM_AFFINITY_COUNT] = {
#define X(field, name) [CM_AFFINITY_##field] = name,
    CM_AFFINITY_METRICS(X)
#undef X
};

int cm_metrics_count(bool affinity) {
    return affinity ? CM_AFFINITY_COUNT : CM_BINARY_COUNT;
}

const char *cm_metrics_name(bool affinity, int metric) {
    assert(metric >= 0 && metric < cm_metrics_count(affinity));
    return affinity ? affinity_names[metric] : binary_names[metric];
}

int cm_metrics_direction(bool affinity, int metric) {
    bool loss = affinity ? metric == CM_AFFINITY_rmse || metric == CM_AFFINITY_mae
                         : metric == CM_BINARY_brier || metric == CM_BINARY_ece;
    return loss ? -1 : 1;
}

int cm_metrics_main(bool affinity) {
    return affinity ? (int)CM_AFFINITY_pearson : (int)CM_BINARY_mcc;
}

static double ratio(double part, double whole) {
    return whole > 0 ? part / whole : 0;
}

double cm_metrics_mcc(double tp, double fp, double tn, double fn) {
    double margins = sqrt(tp + fp) * sqrt(tp + fn) * sqrt(tn + fp) * sqrt(tn + fn);
    return margins > 0 ? (tp * tn - fp * fn) / margins : 0;
}

static void threshold_metrics(const cm_ranking *r, const int32_t *weight, double threshold, double *out) {
    double count[2][2] = {{0, 0}, {0, 0}}; /* [label][predicted] */
    for (int64_t i = 0; i < r->n; i++) {
        bool positive = r->decision ? r->decision[i] > 0.5 : r->value[i] >= threshold;
        count[r->label[i] > 0.5][positive] += weight[i];
    }
    const double tn = count[0][0], fp = count[0][1], fn = count[1][0], tp = count[1][1];
    out[CM_BINARY_accuracy] = ratio(tp + tn, tp + tn + fp + fn);
    out[CM_BINARY_sensitivity] = ratio(tp, tp + fn);
    out[CM_BINARY_specificity] = ratio(tn, tn + fp);
    out[CM_BINARY_precision] = ratio(tp, tp + fp);
    out[CM_BINARY_f1] = ratio(2 * tp, 2 * tp + fp + fn);
    out[CM_BINARY_mcc] = cm_metrics_mcc(tp, fp, tn, fn);
    out[CM_BINARY_balanced_accuracy] = (out[CM_BINARY_sensitivity] + out[CM_BINARY_specificity]) / 2;
}

/* One walk down the distinct values. AUROC: share of (positive, negative) pairs in the right order, ties
 * half. AUPRC: average precision, the sum over distinct values of the gain in recall times the precision. */
static void rank_metrics(const cm_ranking *r, const int32_t *weight, double *out) {
    double positives = 0, negatives = 0, area = 0, precision_sum = 0;
    for (int64_t end = r->n; end > 0;) {
        int64_t group = r->value_group[r->by_value[end - 1]];
        double here[2] = {0, 0};
        for (; end > 0 && r->value_group[r->by_value[end - 1]] == group; end--) {
            int64_t i = r->by_value[end - 1];
            here[r->label[i] > 0.5] += weight[i];
        }
        area += here[0] * (positives + here[1] / 2);
        positives += here[1];
        negatives += here[0];
        precision_sum += here[1] * ratio(positives, positives + negatives);
    }
    bool both = positives > 0 && negatives > 0;
    out[CM_BINARY_auroc] = both ? area / positives / negatives : NAN;
    out[CM_BINARY_auprc] = both ? precision_sum / positives : NAN;
}

/* Brier score and expected calibration error over bins (b/15, (b+1)/15], the first with 0. */
static void probability_metrics(const cm_ranking *r, const int32_t *weight, double *out) {
    double squares = 0, total = 0, excess[CM_RELIABILITY_BINS] = {0};
    for (int64_t i = 0; i < r->n; i++) {
        double difference = r->value[i] - r->label[i];
        squares += weight[i] * difference * difference;
        total += weight[i];
        excess[cm_reliability_bin_of(r->value[i])] += weight[i] * difference;
    }
    double sum = 0;
    for (int b = 0; b < CM_RELIABILITY_BINS; b++) sum += fabs(excess[b]);
    out[CM_BINARY_brier] = squares / total;
    out[CM_BINARY_ece] = sum / total;
}

void cm_ranking_binary(const cm_ranking *ranking, const int32_t *weight, double threshold,
                       double out[CM_BINARY_COUNT]) {
    threshold_metrics(ranking, weight, threshold, out);
    rank_metrics(ranking, weight, out);
    probability_metrics(ranking, weight, out);
}

/* Weighted Pearson correlation; 0 when either is constant. */
static double correlation(const double *x, const double *y, const int32_t *weight, int64_t n) {
    double total = 0, sum_x = 0, sum_y = 0;
    double low_x = INFINITY, high_x = -INFINITY, low_y = INFINITY, high_y = -INFINITY;
    for (int64_t i = 0; i < n; i++) {
        if (weight[i] == 0) continue;
        total += weight[i];
        sum_x += weight[i] * x[i];
        sum_y += weight[i] * y[i];
        low_x = fmin(low_x, x[i]), high_x = fmax(high_x, x[i]);
        low_y = fmin(low_y, y[i]), high_y = fmax(high_y, y[i]);
    }
    if (low_x == high_x || low_y == high_y) return 0;
    double xx = 0, yy = 0, xy = 0;
    for (int64_t i = 0; i < n; i++) {
        double dx = x[i] - sum_x / total, dy = y[i] - sum_y / total;
        xx += weight[i] * dx * dx;
        yy += weight[i] * dy * dy;
        xy += weight[i] * dx * dy;
    }
    double scale = sqrt(xx) * sqrt(yy);
    return scale > 0 ? fmax(-1, fmin(1, xy / scale)) : 0;
}

/* Mean rank among the repeats, ties share theirs. */
static void ranks(const int64_t *order, const int64_t *group, const int32_t *weight, int64_t n,
                  double *rank) {
    double before = 0;
    for (int64_t begin = 0, end; begin < n; begin = end) {
        double here = 0;
        for (end = begin; end < n && group[order[end]] == group[order[begin]]; end++)
            here += weight[order[end]];
        for (int64_t i = begin; i < end; i++) rank[order[i]] = before + (here + 1) / 2;
        before += here;
    }
}

/* Share of pairs with different labels whose values are in the same order, equal values half (Harrell's C
 * without censoring), by a Fenwick tree over the distinct values: labels ascend, an element meets those with
 * smaller labels. 0.5 without such pairs. */
static double concordance(const cm_ranking *r, const int32_t *weight) {
    int64_t *tree = r->tree, *here = r->weight_of;
    memset(tree, 0, (size_t)(r->n_groups + 1) * sizeof *tree);
    memset(here, 0, (size_t)(r->n_groups + 1) * sizeof *here);
    double concordant = 0, comparable = 0;
    int64_t seen = 0;
    for (int64_t begin = 0, end; begin < r->n; begin = end) {
        int64_t group = r->label_group[r->by_label[begin]];
        for (end = begin; end < r->n && r->label_group[r->by_label[end]] == group; end++) {
            int64_t i = r->by_label[end], below = 0;
            if (weight[i] == 0) continue;
            for (int64_t at = r->value_group[i]; at > 0; at &= at - 1) below += tree[at];
            concordant += weight[i] * ((double)below + 0.5 * (double)here[r->value_group[i]]);
            comparable += weight[i] * (double)seen;
        }
        for (int64_t j = begin; j < end; j++) {
            int64_t i = r->by_label[j];
            if (weight[i] == 0) continue;
            for (int64_t at = r->value_group[i] + 1; at <= r->n_groups; at += at & -at) tree[at] += weight[i];
            here[r->value_group[i]] += weight[i];
            seen += weight[i];
        }
    }
    return comparable > 0 ? concordant / comparable : 0.5;
}

static void error_metrics(const cm_ranking *r, const int32_t *weight, double *out) {
    double total = 0, sum = 0, low = INFINITY, high = -INFINITY;
    for (int64_t i = 0; i < r->n; i++) {
        if (weight[i] == 0) continue;
        total += weight[i];
        sum += weight[i] * r->label[i];
        low = fmin(low, r->label[i]), high = fmax(high, r->label[i]);
    }
    double squares = 0, absolute = 0, spread = 0;
    for (int64_t i = 0; i < r->n; i++) {
        double difference = r->value[i] - r->label[i], centred = r->label[i] - sum / total;
        squares += weight[i] * difference * difference;
        absolute += weight[i] * fabs(difference);
        spread += weight[i] * centred * centred;
    }
    out[CM_AFFINITY_rmse] = sqrt(squares / total);
    out[CM_AFFINITY_mae] = absolute / total;
    out[CM_AFFINITY_r2] = low < high ? 1 - squares / spread : 0;
}

void cm_ranking_affinity(const cm_ranking *ranking, const int32_t *weight, double out[CM_AFFINITY_COUNT]) {
    const cm_ranking *r = ranking;
    out[CM_AFFINITY_pearson] = correlation(r->value, r->label, weight, r->n);
    ranks(r->by_value, r->value_group, weight, r->n, r->value_rank);
    ranks(r->by_label, r->label_group, weight, r->n, r->label_rank);
    out[CM_AFFINITY_spearman] = correlation(r->value_rank, r->label_rank, weight, r->n);
    error_metrics(r, weight, out);
    out[CM_AFFINITY_ci] = concordance(r, weight);
}

cm_status cm_metrics_binary(const double *value, const double *label, int64_t n, double threshold,
                            double out[CM_BINARY_COUNT], cm_error *error) {
    cm_sample sample = {.n = n, .value = value, .label = label, .threshold = threshold};
    return cm_sample_metrics(&sample, out, error);
}

cm_status cm_metrics_affinity(const double *value, const double *label, int64_t n,
                              double out[CM_AFFINITY_COUNT], cm_error *error) {
    cm_sample sample = {.affinity = true, .n = n, .value = value, .label = label};
    return cm_sample_metrics(&sample, out, error);
}

/* A threshold in (below, above]: 0.5 when it lies there, else the middle. */
static double between(double below, double above) {
    if (below < 0.5 && above >= 0.5) return 0.5;
    double middle = below + (above - below) / 2;
    return middle > below ? middle : above;
}

cm_status cm_metrics_best_threshold(const double *value, const double *label, int64_t n, double *threshold,
                                    cm_error *error) {
    cm_ranking r;
    CM_TRY(cm_ranking_create(&r, false, value, label, n, error));
    double below[2] = {0, 0}, all[2] = {0, 0}; /* by label */
    for (int64_t i = 0; i < n; i++) all[label[i] > 0.5]++;
    double best = 0, at = 0.5; /* one class for all: MCC 0 */
    for (int64_t i = 1; i < n; i++) {
        int64_t last = r.by_value[i - 1], next = r.by_value[i];
        below[label[last] > 0.5]++;
        if (value[last] == value[next]) continue;
        double mcc = cm_metrics_mcc(all[1] - below[1], all[0] - below[0], below[0], below[1]);
        double cut = between(value[last], value[next]);
        if (mcc > best || (mcc == best && fabs(cut - 0.5) < fabs(at - 0.5))) {
            best = mcc;
            at = cut;
        }
    }
    *threshold = at;
    cm_ranking_clear(&r);
    return CM_OK;
}
