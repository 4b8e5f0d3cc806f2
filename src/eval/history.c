/* Sums of known labels by molecule, by similarity and by pairs of both. */
#include "eval/history.h"
#include "base/alloc.h"
#include <math.h>
#include <string.h>

enum { POWERS = 2, COMBINATIONS = 4 };

/* similarity^2 and ^8 of the sides' alike columns; (p, q) of the columns of both, as numbers of powers. */
static const int power_of[POWERS] = {2, 8};
static const int combination_of[COMBINATIONS][2] = {{0, 0}, {0, 1}, {1, 0}, {1, 1}};
static const double PRIOR = 1, PAIR_PRIOR = 0.1;

typedef struct side_sums {
    int64_t n;
    double *count, *sum;                     /* [n] of the known labels of a molecule */
    double *mass[POWERS], *weighted[POWERS]; /* [n] the same over other molecules, by similarity */
    float *power[POWERS];                    /* [n, n] similarity^p */
} side_sums;

struct cm_history {
    const cm_predictor_call *call;
    const int64_t *known;
    int64_t n;
    double mean;
    side_sums side[2];
};

static double raise(double s, int power) {
    double square = s * s;
    return power == 2 ? square : square * square * square * square;
}

static cm_status side_make(side_sums *s, const cm_history *h, int side, cm_error *error) {
    size_t n = (size_t)h->call->similarity->n[side];
    s->n = (int64_t)n;
    s->count = cm_new(n, sizeof *s->count);
    s->sum = cm_new(n, sizeof *s->sum);
    if (!s->count || !s->sum) return cm_fail_memory(error, n * 16);
    for (int p = 0; p < POWERS; p++) {
        s->mass[p] = cm_new(n, sizeof(double));
        s->weighted[p] = cm_new(n, sizeof(double));
        s->power[p] = cm_new(n * n, sizeof(float));
        if (!s->mass[p] || !s->weighted[p] || !s->power[p]) return cm_fail_memory(error, n * n * 4);
    }
    return CM_OK;
}

static void side_fill(side_sums *s, const cm_history *h, int side) {
    for (int64_t i = 0; i < h->n; i++) {
        int32_t molecule = h->call->dataset->pairs[h->known[i]].entity[side];
        s->count[molecule]++;
        s->sum[molecule] += (double)h->call->label[h->known[i]];
    }
    for (int64_t i = 0; i < s->n; i++) {
        const float *row = cm_similarity_row(h->call->similarity, side, i);
        for (int p = 0; p < POWERS; p++)
            for (int64_t k = 0; k < s->n; k++) {
                double w = raise((double)row[k], power_of[p]);
                s->power[p][i * s->n + k] = (float)w;
                if (k == i) continue;
                s->mass[p][i] += w * s->count[k];
                s->weighted[p][i] += w * s->sum[k];
            }
    }
}

static void side_clear(side_sums *s) {
    cm_free(s->count);
    cm_free(s->sum);
    for (int p = 0; p < POWERS; p++) {
        cm_free(s->mass[p]);
        cm_free(s->weighted[p]);
        cm_free(s->power[p]);
    }
}

cm_status cm_history_create(cm_history **history, const cm_predictor_call *call, const int64_t *known,
                            int64_t n, cm_error *error) {
    cm_history *h = cm_new(1, sizeof *h);
    if (!h) return cm_fail_memory(error, sizeof *h);
    *h = (cm_history){.call = call, .known = known, .n = n};
    for (int64_t i = 0; i < n; i++) h->mean += (double)call->label[known[i]] / (double)n;
    cm_status status = CM_OK;
    for (int side = 0; side < 2 && status == CM_OK; side++) {
        status = side_make(&h->side[side], h, side, error);
        if (status == CM_OK) side_fill(&h->side[side], h, side);
    }
    if (status != CM_OK) {
        cm_history_destroy(h);
        return status;
    }
    *history = h;
    return CM_OK;
}

void cm_history_destroy(cm_history *history) {
    if (!history) return;
    side_clear(&history->side[0]);
    side_clear(&history->side[1]);
    cm_free(history);
}

/* ---- the columns ---- */

static double shrunken(double sum, double mass, double mean, double prior) {
    return (sum + prior * mean) / (mass + prior) - mean;
}

static void exact_columns(const cm_history *h, int side, int32_t molecule, bool hidden, double *x) {
    const side_sums *s = &h->side[side];
    double count = hidden ? 0 : s->count[molecule], excess = hidden ? 0 : s->sum[molecule] - count * h->mean;
    x[0] = hidden ? 0 : shrunken(s->sum[molecule], count, h->mean, PRIOR);
    x[1] = log1p(count);
    x[2] = excess;
    x[3] = excess / sqrt(count + 1);
    x[4] = tanh(excess);
    x[5] = count == 0;
}

static void alike_columns(const cm_history *h, int side, int32_t molecule, double own, double *x) {
    const side_sums *s = &h->side[side];
    for (int p = 0; p < POWERS; p++) {
        double mass = s->mass[p][molecule], sum = s->weighted[p][molecule];
        x[3 * p] = shrunken(sum, mass, h->mean, PRIOR);
        x[3 * p + 1] = log1p(mass);
        x[3 * p + 2] = (sum - mass * h->mean) / sqrt(mass + 1);
        x[3 * POWERS] = tanh(own + sum - mass * h->mean);
    }
}

/* Sums over the known pairs, apart for those that share neither molecule, A, B or both with the pair. */
typedef struct pair_sums {
    double mass[COMBINATIONS][CM_HIDES], sum[COMBINATIONS][CM_HIDES];
} pair_sums;

static void sum_pairs(const cm_history *h, const cm_pair *pair, pair_sums *sums) {
    memset(sums, 0, sizeof *sums);
    const float *row[2][POWERS];
    for (int side = 0; side < 2; side++)
        for (int p = 0; p < POWERS; p++)
            row[side][p] = h->side[side].power[p] + pair->entity[side] * h->side[side].n;
    for (int64_t i = 0; i < h->n; i++) {
        const int32_t *other = h->call->dataset->pairs[h->known[i]].entity;
        double label = (double)h->call->label[h->known[i]];
        int shared =
            (other[0] == pair->entity[0] ? CM_HIDE_A : 0) | (other[1] == pair->entity[1] ? CM_HIDE_B : 0);
        for (int c = 0; c < COMBINATIONS; c++) {
            double w = (double)row[0][combination_of[c][0]][other[0]] *
                       (double)row[1][combination_of[c][1]][other[1]];
            sums->mass[c][shared] += w;
            sums->sum[c][shared] += w * label;
        }
    }
}

static void pair_columns(const cm_history *h, const pair_sums *sums, int hide, double *x) {
    for (int c = 0; c < COMBINATIONS; c++) {
        double mass = 0, sum = 0;
        for (int shared = 0; shared < CM_HIDES; shared++) {
            if (shared & hide) continue;
            mass += sums->mass[c][shared];
            sum += sums->sum[c][shared];
        }
        x[2 * c] = shrunken(sum, mass, h->mean, PAIR_PRIOR);
        x[2 * c + 1] = log(mass + 0.01);
    }
}

void cm_history_rows(const cm_history *history, int64_t pair, double *out) {
    const cm_pair *p = &history->call->dataset->pairs[pair];
    pair_sums sums;
    sum_pairs(history, p, &sums);
    for (int hide = 0; hide < CM_HIDES; hide++) {
        double *x = out + hide * CM_HISTORY_WIDTH;
        for (int side = 0; side < 2; side++) {
            double *own = x + side * (CM_HISTORY_EXACT + CM_HISTORY_ALIKE);
            exact_columns(history, side, p->entity[side], hide >> side & 1, own);
            alike_columns(history, side, p->entity[side], own[2], own + CM_HISTORY_EXACT);
        }
        double *both = x + 2 * (CM_HISTORY_EXACT + CM_HISTORY_ALIKE);
        pair_columns(history, &sums, hide, both);
        both[2 * COMBINATIONS] = x[0] * x[CM_HISTORY_EXACT + CM_HISTORY_ALIKE];
    }
}
