/* Pair encoder "duplex": how two RNAs may pair with each other (bio/duplex.h).
 *
 * Energies grow with the logarithm of both lengths m and n by chance alone; divided by ln(m n) they follow
 * one distribution for all lengths (Rehmsmeier et al., RNA 10 (2004) 1507), so that no column tells how long
 * the longer molecule is. */
#include "base/alloc.h"
#include "bio/duplex_site.h"
#include "encoders/pair_encoder.h"
#include <math.h>

#define COLUMNS(X)                                                            \
    X(best, "lowest energy / ln(m n)")                                        \
    X(ensemble, "free energy of all sites / ln(m n)")                         \
    X(second, "lowest energy of another site / ln(m n)")                      \
    X(ratio, "lowest energy / that of the query with its perfect complement") \
    X(rule, "least cost by the rules of plant target prediction")             \
    X(local, "highest local complementarity / ln(m n)")                       \
    X(paired, "share of the query that pairs in the best site")               \
    X(wobble, "share of the query in G-U pairs")                              \
    X(strong, "share of the query in G-C pairs")                              \
    X(open, "share of the query unpaired inside the site")                    \
    X(bulged, "target nucleotides unpaired inside the site")                  \
    X(helix, "longest helix / query length")                                  \
    X(seed, "pairs at query positions 2 to 8, share")                         \
    X(middle, "pairs at positions 9 to 11, share")                            \
    X(tail, "pairs at positions 13 to 16, share")                             \
    X(first, "position 1 pairs")                                              \
    X(sites10, "ln(1 + sites of -10 kcal/mol or less a kilobase)")            \
    X(sites15, "the same of -15")                                             \
    X(sites20, "the same of -20")                                             \
    X(sites25, "the same of -25")                                             \
    X(window, "lowest energy in the window of the target / ln(m n)")

#define NAME(name, help) COLUMN_##name,
enum { COLUMNS(NAME) WIDTH };
#undef NAME
#define HELP(name, help) help,
static const char *const columns[] = {COLUMNS(HELP)};
#undef HELP

static void *open_state(void) {
    return cm_new(1, sizeof(cm_duplex));
}

static void close_state(void *state) {
    if (state) cm_duplex_clear(state);
    cm_free(state);
}

static int64_t tokens(cm_layout layout, int64_t length_a, int64_t length_b) {
    int64_t target = length_a > length_b ? length_a : length_b;
    if (layout.kind != CM_LAYOUT_WINDOWS) return 1;
    return target < layout.windows ? target : layout.windows;
}

/* Share of query positions [from, to) (from 0, clipped to its length) that pair. */
static float share(const int64_t *target_of, int64_t m, int64_t from, int64_t to) {
    int64_t pairs = 0, end = to < m ? to : m;
    for (int64_t k = from; k < end; k++) pairs += target_of[k] >= 0;
    return end > from ? (float)pairs / (float)(end - from) : 0;
}

/* The columns of one site's pairs. */
static void describe_pairs(const cm_duplex *d, const int64_t *target_of, float *out) {
    int64_t m = d->query.length, pairs = 0, wobbles = 0, strong = 0, open = 0, bulged = 0, run = 0, helix = 0,
            last = -1;
    for (int64_t k = 0; k < m; k++) {
        int64_t j = target_of[k];
        if (j < 0) continue;
        int x = d->query.code[m - 1 - k], t = d->target.code[j];
        bool wobble = x + t == CM_NT_G + CM_NT_U && (x == CM_NT_G || t == CM_NT_G);
        int64_t skipped = last < 0 ? 0 : target_of[last] - j - 1;
        pairs++;
        wobbles += wobble;
        strong += !wobble && (x == CM_NT_G || x == CM_NT_C);
        open += last < 0 ? 0 : k - last - 1;
        bulged += skipped;
        run = last == k - 1 && skipped == 0 && last >= 0 ? run + 1 : 1;
        helix = run > helix ? run : helix;
        last = k;
    }
    float length = (float)m;
    out[COLUMN_paired] = (float)pairs / length;
    out[COLUMN_wobble] = (float)wobbles / length;
    out[COLUMN_strong] = (float)strong / length;
    out[COLUMN_open] = (float)open / length;
    out[COLUMN_bulged] = (float)bulged;
    out[COLUMN_helix] = (float)helix / length;
    out[COLUMN_seed] = share(target_of, m, 1, 8);
    out[COLUMN_middle] = share(target_of, m, 8, 11);
    out[COLUMN_tail] = share(target_of, m, 12, 16);
    out[COLUMN_first] = share(target_of, m, 0, 1);
}

static cm_status describe_site(const cm_duplex *d, const cm_site *site, float *out, cm_error *error) {
    if (site->energy >= 0) return CM_OK; /* nothing binds: zeros */
    size_t m = (size_t)d->query.length;
    int64_t *target_of = cm_new(m, sizeof *target_of);
    bool done = target_of && cm_duplex_trace(d, site, target_of);
    if (done) describe_pairs(d, target_of, out);
    cm_free(target_of);
    return done ? CM_OK : cm_fail_memory(error, m * sizeof *target_of);
}

static void describe_energies(const cm_duplex *d, const cm_sites *sites, float norm, float *out) {
    int32_t perfect = cm_duplex_perfect(d);
    out[COLUMN_best] = (float)sites->best.energy / 100 / norm;
    out[COLUMN_second] = (float)sites->second.energy / 100 / norm;
    out[COLUMN_ensemble] = (float)cm_duplex_ensemble(d) / norm;
    out[COLUMN_ratio] = perfect < 0 ? (float)sites->best.energy / (float)perfect : 0;
    for (int level = 0; level < 4; level++)
        out[COLUMN_sites10 + level] =
            (float)log1p((double)sites->count[level] * 1000 / (double)d->target.length);
}

static float norm_of(const cm_duplex *d) {
    double product = (double)d->query.length * (double)d->target.length;
    return (float)log(product > 2 ? product : 2);
}

static cm_status encode(void *state, const char *a, int64_t length_a, const char *b, int64_t length_b,
                        int64_t n, float *out, cm_error *error) {
    cm_duplex *d = state;
    if (!cm_duplex_scan(d, a, length_a, b, length_b)) return cm_fail_memory(error, 0);
    cm_sites sites = cm_duplex_sites(d);
    float norm = norm_of(d), whole[WIDTH] = {0};
    int64_t at = 0;
    describe_energies(d, &sites, norm, whole);
    CM_TRY(describe_site(d, &sites.best, whole, error));
    whole[COLUMN_local] = (float)cm_duplex_local(d) / norm;
    whole[COLUMN_rule] = (float)cm_duplex_rule(d, &at) / 4;
    for (int64_t w = 0; w < n; w++) {
        int64_t from = w * d->target.length / n, to = (w + 1) * d->target.length / n;
        for (int c = 0; c < WIDTH; c++) out[w * WIDTH + c] = whole[c];
        out[w * WIDTH + COLUMN_window] = (float)cm_duplex_lowest(d, from, to) / 100 / norm;
    }
    return CM_OK;
}

const cm_pair_encoder cm_pair_encoder_duplex = {
    .name = "duplex",
    .help = "pairing of two RNAs: nearest-neighbour energies of the best sites, their pairs, site counts",
    .a = CM_RNA,
    .b = CM_RNA,
    .columns = columns,
    .width = WIDTH,
    .open = open_state,
    .close = close_state,
    .tokens = tokens,
    .encode = encode,
};
