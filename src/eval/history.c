/* Sums of known labels by molecule, by similarity, by pairs of both and along shared partners. */
#include "eval/history.h"
#include "base/alloc.h"
#include <math.h>
#include <string.h>

enum { POWERS = CM_HISTORY_POWERS };

/* S^2 and S^8. */
static void raise_to(double s, double out[POWERS]) {
    double square = s * s, fourth = square * square;
    out[0] = square;
    out[1] = fourth * fourth;
}

/* ---- making ---- */

static cm_status side_make(cm_history_side *s, int64_t molecules, int64_t known, cm_error *error) {
    size_t n = (size_t)molecules;
    bool there = (s->count = cm_new(n, sizeof(double))) && (s->excess = cm_new(n, sizeof(double))) &&
                 (s->start = cm_new(n + 1, sizeof *s->start)) &&
                 (s->partner = cm_new((size_t)known, sizeof *s->partner)) &&
                 (s->value = cm_new((size_t)known, sizeof *s->value));
    for (int k = 0; k < 2 && there; k++)
        there = (s->norm[k] = cm_new(n, sizeof(double))) && (s->dense[k] = cm_new(n, sizeof(double)));
    for (int p = 0; p < POWERS && there; p++)
        there = (s->mass[p] = cm_new(n, sizeof(double))) && (s->kin[p] = cm_new(n, sizeof(double))) &&
                (s->power[p] = cm_new(n, sizeof(double)));
    s->n = molecules;
    return there ? CM_OK : cm_fail_memory(error, n * 100 + (size_t)known * 12);
}

static void side_clear(cm_history_side *s) {
    cm_free(s->count);
    cm_free(s->excess);
    cm_free(s->start);
    cm_free(s->partner);
    cm_free(s->value);
    for (int k = 0; k < 2; k++) {
        cm_free(s->norm[k]);
        cm_free(s->dense[k]);
    }
    for (int p = 0; p < POWERS; p++) {
        cm_free(s->mass[p]);
        cm_free(s->kin[p]);
        cm_free(s->power[p]);
    }
}

/* The known pairs as plain columns. */
typedef struct entries {
    int32_t *molecule[2];
    double *value, *one;
    int64_t n;
} entries;

static void entries_clear(entries *e) {
    cm_free(e->molecule[0]);
    cm_free(e->molecule[1]);
    cm_free(e->value);
    cm_free(e->one);
}

static cm_status entries_make(entries *e, cm_history *h, const int64_t *known, cm_error *error) {
    size_t n = (size_t)h->n;
    *e = (entries){{cm_new(n, sizeof(int32_t)), cm_new(n, sizeof(int32_t))},
                   cm_new(n, sizeof(double)),
                   cm_new(n, sizeof(double)),
                   h->n};
    if (!e->molecule[0] || !e->molecule[1] || !e->value || !e->one) return cm_fail_memory(error, n * 24);
    for (int64_t i = 0; i < h->n; i++) h->mean += (double)h->call->label[known[i]];
    h->mean /= h->n > 0 ? (double)h->n : 1;
    for (int64_t i = 0; i < h->n; i++) {
        const cm_pair *pair = &h->call->dataset->pairs[known[i]];
        e->molecule[0][i] = pair->entity[0];
        e->molecule[1][i] = pair->entity[1];
        e->value[i] = (double)h->call->label[known[i]] - h->mean;
        e->one[i] = 1;
    }
    return CM_OK;
}

/* The known pairs of every molecule side by side, and its own sums. A pair that is listed twice counts twice.
 */
static void list_pairs(cm_history_side *s, const entries *e, int side) {
    for (int64_t i = 0; i < e->n; i++) {
        int32_t molecule = e->molecule[side][i];
        s->count[molecule]++;
        s->excess[molecule] += e->value[i];
        s->start[molecule + 1]++;
    }
    for (int64_t m = 0; m < s->n; m++) s->start[m + 1] += s->start[m];
    for (int64_t i = 0; i < e->n; i++) {
        int64_t at = s->start[e->molecule[side][i]]++;
        s->partner[at] = e->molecule[1 - side][i];
        s->value[at] = e->value[i];
    }
    for (int64_t m = s->n; m > 0; m--) s->start[m] = s->start[m - 1];
    s->start[0] = 0;
    for (int64_t m = 0; m < s->n; m++) {
        double squares = 0;
        for (int64_t k = s->start[m]; k < s->start[m + 1]; k++) squares += s->value[k] * s->value[k];
        s->norm[0][m] = sqrt(squares);
        s->norm[1][m] = sqrt(s->count[m]);
    }
}

static void sum_kin(cm_history_side *s, const cm_similarity *similarity, int side) {
    double w[POWERS];
    for (int64_t i = 0; i < s->n; i++) {
        const float *row = cm_similarity_row(similarity, side, i);
        for (int64_t k = 0; k < s->n; k++) {
            if (k == i || s->count[k] == 0) continue;
            raise_to((double)row[k], w);
            for (int p = 0; p < POWERS; p++) {
                s->mass[p][i] += w[p] * s->count[k];
                s->kin[p][i] += w[p] * s->excess[k];
            }
        }
    }
}

static cm_status fill(cm_history *h, const int64_t *known, cm_error *error) {
    entries e;
    cm_status status = entries_make(&e, h, known, error);
    for (int side = 0; side < 2 && status == CM_OK; side++) {
        status = side_make(&h->side[side], h->call->similarity->n[side], h->n, error);
        if (status != CM_OK) break;
        list_pairs(&h->side[side], &e, side);
        sum_kin(&h->side[side], h->call->similarity, side);
    }
    for (int k = 0; k < 2 && status == CM_OK; k++)
        status = cm_factors_make(&h->factors[k], h->side[0].n, h->side[1].n, e.molecule[0], e.molecule[1],
                                 k ? e.one : e.value, h->n, error);
    entries_clear(&e);
    return status;
}

cm_status cm_history_create(cm_history **history, const cm_predictor_call *call, const int64_t *known,
                            int64_t n, cm_error *error) {
    cm_history *h = cm_new(1, sizeof *h);
    if (!h) return cm_fail_memory(error, sizeof *h);
    *h = (cm_history){.call = call, .n = n};
    cm_status status = fill(h, known, error);
    if (status == CM_OK)
        *history = h;
    else
        cm_history_destroy(h);
    return status;
}

void cm_history_destroy(cm_history *history) {
    if (!history) return;
    for (int k = 0; k < 2; k++) {
        side_clear(&history->side[k]);
        cm_factors_clear(&history->factors[k]);
    }
    cm_free(history);
}

/* ---- looking at a pair ---- */

static void add(cm_history_sum *sum, double weight, double excess) {
    sum->mass += weight;
    sum->excess += weight * excess;
}

static void keep_best(cm_history_best *best, double weight, double excess) {
    double *kept = &best->weight[excess > 0];
    if (weight > *kept) *kept = weight;
}

static void raise_rows(cm_history *h, const int32_t molecule[2]) {
    for (int side = 0; side < 2; side++) {
        cm_history_side *s = &h->side[side];
        const float *row = cm_similarity_row(h->call->similarity, side, molecule[side]);
        for (int64_t k = 0; k < s->n; k++) {
            double w[POWERS];
            raise_to((double)row[k], w);
            for (int p = 0; p < POWERS; p++) s->power[p][k] = w[p];
        }
    }
}

/* Over all known pairs, molecule by molecule of A. */
static void see_both(const cm_history *h, cm_history_view *v) {
    const cm_history_side *a = &h->side[0], *b = &h->side[1];
    for (int64_t x = 0; x < a->n; x++) {
        cm_history_sum inner[POWERS] = {{0, 0}};
        cm_history_best best = {{0, 0}};
        if (a->start[x] == a->start[x + 1] || (x == v->molecule[0] && v->hide & CM_HIDE_A)) continue;
        for (int64_t k = a->start[x]; k < a->start[x + 1]; k++) {
            if (a->partner[k] == v->molecule[1] && v->hide & CM_HIDE_B) continue;
            for (int q = 0; q < POWERS; q++) add(&inner[q], b->power[q][a->partner[k]], a->value[k]);
            keep_best(&best, b->power[0][a->partner[k]], a->value[k]);
        }
        for (int above = 0; above < 2; above++)
            v->nearest.weight[above] =
                fmax(v->nearest.weight[above], sqrt(a->power[0][x] * best.weight[above]));
        for (int p = 0; p < POWERS; p++)
            for (int q = 0; q < POWERS; q++) {
                v->both[p][q].mass += a->power[p][x] * inner[q].mass;
                v->both[p][q].excess += a->power[p][x] * inner[q].excess;
            }
    }
}

/* The cosine of two molecules' rows of excesses (kind 0) or of ones (kind 1); the first one's lies in dense.
 */
static double row_cosine(const cm_history_side *s, const double *dense, int32_t first, int32_t other,
                         int kind) {
    double sum = 0, norm = s->norm[kind][first] * s->norm[kind][other];
    for (int64_t k = s->start[other]; k < s->start[other + 1]; k++)
        sum += dense[s->partner[k]] * (kind ? 1 : s->value[k]);
    return norm > 0 ? sum / norm : 0;
}

/* Along the known pairs of the molecule opposite to side: their other ends are compared with side's own. */
static void see_partners(cm_history *h, cm_history_view *v, int side) {
    const cm_history_side *own = &h->side[side], *opposite = &h->side[1 - side];
    int32_t first = v->molecule[side], through = v->molecule[1 - side];
    if (v->hide >> (1 - side) & 1) return;
    for (int64_t k = own->start[first]; k < own->start[first + 1]; k++) {
        opposite->dense[0][own->partner[k]] += own->value[k];
        opposite->dense[1][own->partner[k]] += 1;
    }
    for (int64_t k = opposite->start[through]; k < opposite->start[through + 1]; k++) {
        int32_t other = opposite->partner[k];
        if (other == first && v->hide) continue;
        for (int p = 0; p < POWERS; p++) add(&v->shared[side][p], own->power[p][other], opposite->value[k]);
        keep_best(&v->nearest_shared[side], sqrt(own->power[0][other]), opposite->value[k]);
        for (int kind = 0; kind < 2 && !v->hide; kind++) {
            double c = row_cosine(own, opposite->dense[kind], first, other, kind);
            cm_history_sum *sum = kind ? &v->listed[side] : &v->walk[side];
            sum->mass += fabs(c);
            sum->excess += c * (kind ? 1 : opposite->value[k]);
        }
    }
    for (int64_t k = own->start[first]; k < own->start[first + 1]; k++)
        opposite->dense[0][own->partner[k]] = opposite->dense[1][own->partner[k]] = 0;
}

void cm_history_row(cm_history *history, int64_t pair, int hide, bool labels, double *x) {
    const cm_pair *p = &history->call->dataset->pairs[pair];
    cm_history_view view = {.history = history, .molecule = {p->entity[0], p->entity[1]}, .hide = hide};
    raise_rows(history, view.molecule);
    see_both(history, &view);
    for (int side = 0; side < 2; side++) see_partners(history, &view, side);
    cm_history_fill(&view, labels, x);
}
