/* Sites of a finished scan and the pairs of one of them. */
#include "bio/duplex_site.h"
#include "base/alloc.h"
#include <math.h>

const int32_t cm_site_levels[CM_SITE_LEVELS] = {-1000, -1500, -2000, -2500, -3000};

static cm_site site_at(const cm_duplex *d, int64_t j) {
    return (cm_site){j - d->span[j], j, d->energy[j], d->piece[j]};
}

static void count_site(cm_sites *sites, const cm_site *site) {
    for (int level = 0; level < CM_SITE_LEVELS; level++)
        sites->count[level] += site->energy <= cm_site_levels[level];
}

/* Runs of overlapping duplexes, each by its best. */
static void count_runs(const cm_duplex *d, cm_sites *sites) {
    cm_site run = {0};
    for (int64_t j = 0; j < d->target.length; j++) {
        if (d->energy[j] > cm_site_levels[0]) continue;
        cm_site site = site_at(d, j);
        if (run.energy < 0 && site.begin <= run.end) {
            if (site.energy < run.energy) run = site;
            continue;
        }
        if (run.energy < 0) count_site(sites, &run);
        run = site;
    }
    if (run.energy < 0) count_site(sites, &run);
}

cm_sites cm_duplex_sites(const cm_duplex *d) {
    cm_sites sites = {0};
    for (int64_t j = 0; j < d->target.length; j++)
        if (d->energy[j] < sites.best.energy) sites.best = site_at(d, j);
    for (int64_t j = 0; j < d->target.length; j++) {
        bool apart = j < sites.best.begin || j - d->span[j] > sites.best.end;
        if (apart && d->energy[j] < sites.second.energy) sites.second = site_at(d, j);
    }
    count_runs(d, &sites);
    return sites;
}

int32_t cm_duplex_lowest(const cm_duplex *d, int64_t from, int64_t to) {
    int32_t lowest = 0;
    for (int64_t j = from; j < to; j++) lowest = d->energy[j] < lowest ? d->energy[j] : lowest;
    return lowest;
}

double cm_duplex_ensemble(const cm_duplex *d) {
    const double rt = 0.0019872 * 310.15;
    double lowest = cm_duplex_lowest(d, 0, d->target.length) / 100.0, sum = 0;
    for (int64_t j = 0; j < d->target.length; j++)
        if (d->energy[j] < 0) sum += exp((lowest - d->energy[j] / 100.0) / rt);
    return sum > 0 ? lowest - rt * log(sum) : 0;
}

int32_t cm_duplex_perfect(const cm_duplex *d) {
    static const int complement[CM_NT_COUNT] = {CM_NT_U, CM_NT_G, CM_NT_C, CM_NT_A, CM_NT_NONE};
    const uint8_t *x = d->query.code;
    int64_t m = d->query.length;
    int32_t energy = CM_DUPLEX_INITIATION + cm_duplex_end(x[0], complement[x[0]]) +
                     cm_duplex_end(x[m - 1], complement[x[m - 1]]);
    for (int64_t i = 0; i + 1 < m; i++) {
        int32_t stack = cm_duplex_stack(complement[x[i]], x[i], complement[x[i + 1]], x[i + 1]);
        if (stack < CM_DUPLEX_NONE) energy += stack;
    }
    return energy;
}

/* ---- the pairs of one site ---- */

/* Energies of duplexes that begin inside the window of one site, by last pair. */
typedef struct trace {
    const uint8_t *x, *t; /* x: the piece, t: the window */
    int64_t m, n;
    int32_t *energy; /* [m, n] */
} trace;

/* The best duplex that ends with pair (p, q), and the pair before it (-1: none) in *i, *j. */
static int32_t best_step(const trace *w, int64_t p, int64_t q, int64_t *i, int64_t *j) {
    int32_t best = CM_DUPLEX_INITIATION + cm_duplex_end(w->t[q], w->x[p]);
    *i = *j = -1;
    for (int64_t n1 = 0; n1 <= CM_DUPLEX_LOOP && n1 < p; n1++)
        for (int64_t n2 = 0; n1 + n2 <= CM_DUPLEX_LOOP && n2 < q; n2++) {
            int32_t before = w->energy[(p - n1 - 1) * w->n + q - n2 - 1];
            if (before >= CM_DUPLEX_NONE) continue;
            int32_t energy = before + cm_duplex_step(w->x, w->t, p - n1 - 1, q - n2 - 1, p, q);
            if (energy >= best) continue;
            best = energy;
            *i = p - n1 - 1;
            *j = q - n2 - 1;
        }
    return best;
}

static void fill_trace(trace *w) {
    int64_t i, j;
    for (int64_t p = 0; p < w->m; p++)
        for (int64_t q = 0; q < w->n; q++)
            w->energy[p * w->n + q] =
                cm_duplex_pairs(w->x[p], w->t[q]) ? best_step(w, p, q, &i, &j) : CM_DUPLEX_NONE;
}

/* The query position of the last pair: at the window's last column, of lowest energy. */
static int64_t last_pair(const trace *w) {
    int64_t last = 0;
    int32_t lowest = CM_DUPLEX_NONE;
    for (int64_t p = 0; p < w->m; p++) {
        int32_t energy = w->energy[p * w->n + w->n - 1];
        if (energy < CM_DUPLEX_NONE) energy += cm_duplex_end(w->t[w->n - 1], w->x[p]);
        if (energy < lowest) {
            lowest = energy;
            last = p;
        }
    }
    return last;
}

bool cm_duplex_trace(const cm_duplex *d, const cm_site *site, int64_t *target_of) {
    int64_t m = d->query.length, left = m - site->piece;
    trace w = {.x = d->query.code + site->piece,
               .t = d->target.code + site->begin,
               .m = left < CM_DUPLEX_QUERY ? left : CM_DUPLEX_QUERY,
               .n = site->end - site->begin + 1};
    w.energy = cm_new((size_t)(w.m * w.n), sizeof *w.energy);
    if (!w.energy) return false;
    for (int64_t k = 0; k < m; k++) target_of[k] = -1;
    fill_trace(&w);
    for (int64_t p = last_pair(&w), q = w.n - 1, i, j; p >= 0; p = i, q = j) {
        target_of[m - 1 - (site->piece + p)] = site->begin + q;
        best_step(&w, p, q, &i, &j);
    }
    cm_free(w.energy);
    return true;
}
