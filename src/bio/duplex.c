/* Rows of dynamic programming, vectorised along the target.
 *
 * E(i, j), the best duplex whose last pair is x[i]-t[j], depends on E of earlier query positions only, so a
 * row is a chain of minima over shifted earlier rows. A value carries the span of its duplex in its low bits:
 * energy * 2^SPAN_BITS + span, so the minimum decides ties by the shorter span. */
#include "bio/duplex.h"
#include "base/alloc.h"
#include "ops/vmath.h"
#include <string.h>

enum {
    SPAN_BITS = 11, /* (CM_DUPLEX_QUERY - 1) * (1 + CM_DUPLEX_LOOP) < 2^11 */
    UNIT = 1 << SPAN_BITS,
    NONE = 1 << 29,
    DEPTH = CM_DUPLEX_LOOP + 2, /* rows that a step reaches back, and the one it makes */
    PAD = 8,                    /* columns of NONE before a row; at least CM_DUPLEX_LOOP + 1 */
    CODES = CM_NT_COUNT * CM_NT_COUNT,
};
_Static_assert((CM_DUPLEX_QUERY - 1) * (1 + CM_DUPLEX_LOOP) < (int)UNIT, "a span fits");
_Static_assert((int)PAD > (int)CM_DUPLEX_LOOP, "a step stays inside the padding");

/* What of E a loop adds to on its 5' side of the target. */
enum { ROW_PLAIN, ROW_BULGE, ROW_ONE, ROW_WIDE, ROW_KINDS };
/* Rows beside the ring: minima of three kinds of loops, codes of the target, their pairs, pairs over one. */
enum { BULGE, ONE, WIDE, CODE, CODE2, CODE3, EXTRA_ROWS };

/* One scan: rows of `stride` columns, PAD of them before the target begins. */
typedef struct scan {
    const uint8_t *x; /* the piece, 3' to 5' */
    int64_t m, n, stride;
    int32_t *rows;
} scan;

static int32_t *ring(const scan *s, int64_t i, int kind) {
    return s->rows + ((i % DEPTH) * ROW_KINDS + kind) * s->stride + PAD;
}

static int32_t *extra(const scan *s, int which) {
    return s->rows + (DEPTH * ROW_KINDS + which) * s->stride + PAD;
}

/* ---- row kernels ---- */

/* out[j] = min(out[j], in[j] + c) */
CM_CLONES static void relax(int32_t *restrict out, const int32_t *restrict in, int32_t c, int64_t n) {
    for (int64_t j = 0; j < n; j++) {
        int32_t v = in[j] + c;
        out[j] = v < out[j] ? v : out[j];
    }
}

/* out[j] = min(out[j], in[j] + table[code[j]]) */
CM_CLONES static void relax_by(int32_t *restrict out, const int32_t *restrict in, const int32_t *table,
                               const int32_t *restrict code, int64_t n) {
    for (int64_t j = 0; j < n; j++) {
        int32_t v = in[j] + table[code[j]];
        out[j] = v < out[j] ? v : out[j];
    }
}

/* out[j] += table[code[j]], kept at NONE where that is much or more */
CM_CLONES static void add_by(int32_t *restrict out, const int32_t *restrict in, const int32_t *table,
                             const int32_t *restrict code, int64_t n) {
    for (int64_t j = 0; j < n; j++) {
        int32_t v = in[j] + table[code[j]];
        out[j] = v < NONE / 2 ? v : NONE;
    }
}

CM_CLONES static void fill(int32_t *out, int32_t value, int64_t n) {
    for (int64_t j = 0; j < n; j++) out[j] = value;
}

CM_CLONES static void fill_by(int32_t *restrict out, const int32_t *table, const int32_t *restrict code,
                              int64_t n) {
    for (int64_t j = 0; j < n; j++) out[j] = table[code[j]];
}

/* ---- tables of one row ---- */

static int32_t packed(int32_t energy) {
    return energy >= CM_DUPLEX_NONE ? NONE : energy * UNIT;
}

/* By target code: whether x pairs, its start, its end terms. */
typedef struct single_tables {
    int32_t start[CM_NT_COUNT], end[CM_NT_COUNT], closure[CM_NT_COUNT];
} single_tables;

static single_tables make_single(int x) {
    single_tables s;
    for (int t = 0; t < CM_NT_COUNT; t++) {
        bool pairs = cm_duplex_pairs(t, x);
        s.end[t] = pairs ? packed(cm_duplex_end(t, x)) : NONE;
        s.closure[t] = pairs ? packed(cm_duplex_closure(t, x)) : NONE;
        s.start[t] = pairs ? packed(CM_DUPLEX_INITIATION + cm_duplex_end(t, x)) : NONE;
    }
    return s;
}

/* By codes of two target nucleotides (first, second): the stack of first-x0 and second-x1, with extra. */
static void make_stack(int x0, int x1, int32_t extra_energy, int32_t span, int32_t table[CODES]) {
    for (int c = 0; c < CODES; c++) {
        int32_t stack = cm_duplex_stack(c / CM_NT_COUNT, x0, c % CM_NT_COUNT, x1);
        table[c] = stack >= CM_DUPLEX_NONE ? NONE : packed(stack + extra_energy) + span;
    }
}

/* By codes of the target before and at the closing pair: closure and mismatch on the far side of a loop. */
static void make_far(int x_before, int x, int32_t table[CODES]) {
    for (int c = 0; c < CODES; c++) {
        int before = c / CM_NT_COUNT, t = c % CM_NT_COUNT;
        table[c] = cm_duplex_pairs(t, x)
                       ? packed(cm_duplex_closure(t, x) + cm_duplex_mismatch(x_before, before))
                       : NONE;
    }
}

/* By codes of the target at the closing pair and behind it: the near side. */
static void make_near(int x, int x_behind, int32_t table[CODES]) {
    for (int c = 0; c < CODES; c++) {
        int t = c / CM_NT_COUNT, behind = c % CM_NT_COUNT;
        table[c] = cm_duplex_pairs(t, x)
                       ? packed(cm_duplex_closure(t, x) + cm_duplex_mismatch(behind, x_behind))
                       : NONE;
    }
}

/* ---- the energy rows ---- */

/* Minima over the openers of all loops that end in row i, by kind; what depends on the closing pair comes
 * later. */
static void relax_loops(const scan *s, int64_t i) {
    for (int which = BULGE; which <= WIDE; which++) fill(extra(s, which), NONE, s->n);
    for (int n1 = 0; n1 <= CM_DUPLEX_LOOP && n1 < i; n1++)
        for (int n2 = 0; n1 + n2 <= CM_DUPLEX_LOOP; n2++) {
            if (n1 + n2 < 2) continue; /* stacks, also over a bulge of one */
            bool bulge = n1 == 0 || n2 == 0, one = n1 == 1 || n2 == 1;
            int32_t c = packed(bulge ? cm_duplex_bulge(n1 + n2) : cm_duplex_interior(n1, n2)) + n2 + 1;
            const int32_t *in = ring(s, i - n1 - 1, bulge ? ROW_BULGE : one ? ROW_ONE : ROW_WIDE) - n2 - 1;
            if (n1 == 1 && n2 == 1) {
                int32_t table[CM_NT_COUNT];
                for (int t = 0; t < CM_NT_COUNT; t++) table[t] = c + packed(cm_duplex_single(s->x[i - 1], t));
                relax_by(extra(s, ONE), in, table, extra(s, CODE) - 1, s->n);
            } else
                relax(extra(s, bulge ? BULGE : one ? ONE : WIDE), in, c, s->n);
        }
}

/* Stacks on row i: of neighbours, and over a bulge of one on either strand. */
static void relax_stacks(const scan *s, int64_t i, int32_t *row) {
    int32_t table[CODES];
    if (i >= 1) {
        make_stack(s->x[i - 1], s->x[i], 0, 1, table);
        relax_by(row, ring(s, i - 1, ROW_PLAIN) - 1, table, extra(s, CODE2), s->n);
        make_stack(s->x[i - 1], s->x[i], cm_duplex_bulge(1), 2, table);
        relax_by(row, ring(s, i - 1, ROW_PLAIN) - 2, table, extra(s, CODE3), s->n);
    }
    if (i >= 2) {
        make_stack(s->x[i - 2], s->x[i], cm_duplex_bulge(1), 1, table);
        relax_by(row, ring(s, i - 2, ROW_PLAIN) - 1, table, extra(s, CODE2), s->n);
    }
}

static void energy_row(const scan *s, int64_t i) {
    single_tables single = make_single(s->x[i]);
    int32_t table[CODES], *row = ring(s, i, ROW_PLAIN);
    const int32_t *code = extra(s, CODE);
    fill_by(row, single.start, code, s->n);
    relax_stacks(s, i, row);
    if (i >= 1) {
        relax_loops(s, i);
        make_far(s->x[i - 1], s->x[i], table);
        relax_by(row, extra(s, BULGE), single.end, code, s->n);
        relax_by(row, extra(s, ONE), single.closure, code, s->n);
        relax_by(row, extra(s, WIDE), table, extra(s, CODE2), s->n);
    }
    add_by(ring(s, i, ROW_BULGE), row, single.end, code, s->n);
    add_by(ring(s, i, ROW_ONE), row, single.closure, code, s->n);
    make_near(s->x[i], i + 1 < s->m ? s->x[i + 1] : CM_NT_NONE, table);
    add_by(ring(s, i, ROW_WIDE), row, table, extra(s, CODE2) + 1, s->n);
}

/* ---- memory ---- */

void cm_duplex_clear(cm_duplex *duplex) {
    cm_free(duplex->query.code);
    cm_free(duplex->target.code);
    cm_free(duplex->memory);
    *duplex = (cm_duplex){0};
}

static bool make_room(cm_duplex *d, int64_t m, int64_t n) {
    size_t strand = (size_t)n + 1, rows, stride = (size_t)n + PAD + 1;
    if (strand > d->strand_room) {
        cm_free(d->query.code);
        cm_free(d->target.code);
        d->strand_room = 0;
        d->query.code = cm_new(strand, 1);
        d->target.code = cm_new(strand, 1);
        if (!d->query.code || !d->target.code) return false;
        d->strand_room = strand;
    }
    d->query.length = m;
    d->target.length = n;
    if (!cm_size_mul(stride, DEPTH * ROW_KINDS + EXTRA_ROWS + 3, &rows)) return false;
    if (rows > d->room) {
        cm_free(d->memory);
        d->room = 0;
        d->memory = cm_new_aligned(rows, sizeof *d->memory);
        if (!d->memory) return false;
        d->room = rows;
    }
    d->energy = d->memory;
    d->span = d->energy + stride;
    d->piece = d->span + stride;
    return true;
}

static scan scan_of(cm_duplex *d) {
    int64_t stride = d->target.length + PAD + 1;
    return (scan){.n = d->target.length, .stride = stride, .rows = d->memory + 3 * stride};
}

/* Codes of the target by themselves, with the one before, with the one two before. */
static void fill_codes(const cm_duplex *d, const scan *s) {
    int32_t *code = extra(s, CODE), *two = extra(s, CODE2), *three = extra(s, CODE3);
    for (int64_t j = -PAD; j <= s->n; j++) {
        bool inside = j >= 0 && j < s->n;
        code[j] = inside ? d->target.code[j] : CM_NT_NONE;
        two[j] = (j > -PAD ? code[j - 1] : CM_NT_NONE) * CM_NT_COUNT + code[j];
        three[j] = (j > 1 - PAD ? code[j - 2] : CM_NT_NONE) * CM_NT_COUNT + code[j];
    }
}

static void clear_ring(const scan *s) {
    for (int r = 0; r < DEPTH * ROW_KINDS; r++) fill(s->rows + r * s->stride, NONE, s->stride);
}

/* ---- the scan ---- */

/* Takes the duplexes that end in row i over into the best by target position. */
static void take_row(cm_duplex *d, const scan *s, int64_t i, int32_t first) {
    const int32_t *row = ring(s, i, ROW_BULGE); /* with the end term */
    for (int64_t j = 0; j < s->n; j++) {
        int32_t energy = row[j] >> SPAN_BITS, span = row[j] & (UNIT - 1);
        bool better = energy < d->energy[j] || (energy == d->energy[j] && span < d->span[j]);
        d->energy[j] = better ? energy : d->energy[j];
        d->span[j] = better ? span : d->span[j];
        d->piece[j] = better ? first : d->piece[j];
    }
}

bool cm_duplex_scan(cm_duplex *d, const char *a, int64_t length_a, const char *b, int64_t length_b) {
    bool swap = length_a > length_b;
    const char *query = swap ? b : a, *target = swap ? a : b;
    int64_t m = swap ? length_b : length_a, n = swap ? length_a : length_b;
    if (!make_room(d, m, n)) return false;
    for (int64_t i = 0; i < m; i++) d->query.code[i] = (uint8_t)cm_duplex_code(query[m - 1 - i]);
    for (int64_t j = 0; j < n; j++) d->target.code[j] = (uint8_t)cm_duplex_code(target[j]);
    scan s = scan_of(d);
    fill_codes(d, &s);
    for (int64_t j = 0; j < n; j++) {
        d->energy[j] = NONE >> SPAN_BITS;
        d->span[j] = d->piece[j] = 0;
    }
    for (int64_t first = 0;; first += CM_DUPLEX_QUERY - CM_DUPLEX_OVERLAP) {
        s.x = d->query.code + first;
        s.m = m - first < CM_DUPLEX_QUERY ? m - first : CM_DUPLEX_QUERY;
        clear_ring(&s);
        for (int64_t i = 0; i < s.m; i++) {
            energy_row(&s, i);
            take_row(d, &s, i, (int32_t)first);
        }
        if (first + s.m >= m) return true;
    }
}

/* ---- complementarity without energies ---- */

enum { RULE_GAP = 2, LOCAL_GAP = 4, GAP_RING = LOCAL_GAP + 2 };

static bool is_wobble(int x, int t) {
    return (x == CM_NT_G && t == CM_NT_U) || (x == CM_NT_U && t == CM_NT_G);
}

/* Row i of an alignment with bounded gaps, in row kind 0 of the ring: pair[t[j]] + the least of the diagonal,
 * gaps of up to `most` on either strand (open, then extend for each more) and, with a fresh start, of 0. */
static void align_row(const scan *s, int64_t i, const int32_t *pair, int most, int32_t open, int32_t extend,
                      bool fresh) {
    int32_t *least = extra(s, BULGE), *row = ring(s, i, ROW_PLAIN);
    fill(least, fresh ? 0 : NONE, s->n);
    for (int g = 0; i > 0 && g <= most; g++) {
        int32_t c = g ? open + extend * (g - 1) : 0;
        relax(least, ring(s, i - 1, ROW_PLAIN) - 1 - g, c, s->n);
        if (g > 0 && i > g) relax(least, ring(s, i - 1 - g, ROW_PLAIN) - 1, c, s->n);
    }
    add_by(row, least, pair, extra(s, CODE), s->n);
}

int32_t cm_duplex_rule(cm_duplex *d, int64_t *at) {
    scan s = scan_of(d);
    s.m = d->query.length < CM_DUPLEX_SEEN ? d->query.length : CM_DUPLEX_SEEN;
    s.x = d->query.code + d->query.length - s.m;
    clear_ring(&s);
    for (int64_t i = 0; i < s.m; i++) {
        int64_t position = s.m - i; /* of the query from its 5' end, from 1 */
        int32_t weight = position >= 2 && position <= 13 ? 3 : 2, pair[CM_NT_COUNT];
        for (int t = 0; t < CM_NT_COUNT; t++)
            pair[t] = !cm_duplex_pairs(s.x[i], t) ? 2 * weight : is_wobble(s.x[i], t) ? weight : 0;
        align_row(&s, i, pair, RULE_GAP, 4 * weight, weight, i == 0);
    }
    int32_t best = NONE;
    const int32_t *row = ring(&s, s.m - 1, ROW_PLAIN);
    for (int64_t j = 0; j < s.n; j++)
        if (row[j] < best) {
            best = row[j];
            *at = j;
        }
    return best;
}

int32_t cm_duplex_local(cm_duplex *d) {
    scan s = scan_of(d);
    s.m = d->query.length;
    s.x = d->query.code;
    clear_ring(&s);
    int32_t best = 0;
    for (int64_t i = 0; i < s.m; i++) {
        int32_t pair[CM_NT_COUNT];
        for (int t = 0; t < CM_NT_COUNT; t++)
            pair[t] = !cm_duplex_pairs(s.x[i], t) ? 3 : is_wobble(s.x[i], t) ? -1 : -5;
        align_row(&s, i, pair, LOCAL_GAP, 8, 2, true);
        const int32_t *row = ring(&s, i, ROW_PLAIN);
        for (int64_t j = 0; j < s.n; j++) best = row[j] < best ? row[j] : best;
    }
    return -best;
}
