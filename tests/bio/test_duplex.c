/* Duplex energies against hand-computed duplexes and a plain float64 reference; sites, pairs and the other
 * scores. */
#include "base/rng.h"
#include "bio/duplex_site.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static cm_duplex scanned(const char *a, const char *b) {
    cm_duplex d = {0};
    assert_true(cm_duplex_scan(&d, a, (int64_t)strlen(a), b, (int64_t)strlen(b)));
    return d;
}

static int32_t best_of(const char *a, const char *b) {
    cm_duplex d = scanned(a, b);
    int32_t energy = cm_duplex_sites(&d).best.energy;
    cm_duplex_clear(&d);
    return energy;
}

/* ---- by hand ---- */

static void test_by_hand(void **state) {
    (void)state;
    /* ACGAGC with its complement: 4.09 + 0.45 - 2.24 - 2.36 - 2.35 - 2.08 - 3.42 */
    assert_int_equal(best_of("ACGAGC", "GCUCGU"), 409 + 45 - 224 - 236 - 235 - 208 - 342);
    /* a stretch of four G-C stacks */
    assert_int_equal(best_of("GGGGG", "CCCCC"), 409 - 4 * 326);
    /* a G-U pair between two G-C: 5' GGC over 3' CUG */
    assert_int_equal(cm_duplex_stack(CM_NT_G, CM_NT_C, CM_NT_G, CM_NT_U), -153);
    assert_int_equal(cm_duplex_stack(CM_NT_G, CM_NT_U, CM_NT_C, CM_NT_G), -251);
    /* one bulged A in GGGG A GGGG: the stack goes on over it */
    assert_int_equal(best_of("GGGGGGGG", "CCCCACCCC"), 409 - 7 * 326 + 380);
    /* two: no stack over it, but no end terms between G-C pairs */
    assert_int_equal(best_of("GGGGGGGG", "CCCCAACCCC"), 409 - 6 * 326 + 280);
    /* 1x1 A.A, and G.G, between G-C pairs */
    assert_int_equal(best_of("CCCCACCCC", "GGGGAGGGG"), 409 - 6 * 326 + 50);
    assert_int_equal(cm_duplex_single(CM_NT_G, CM_NT_G), -170);
    /* 2x2 with A.G and G.A first mismatches: 1.1 - 0.8 - 0.8 (A over G seen from both sides) */
    assert_int_equal(best_of("CCCCAACCCC", "GGGGAAGGGG"), 409 - 6 * 326 + 110);
    /* nothing pairs with nothing */
    assert_int_equal(best_of("AAAAAAAA", "AAAAAAAAAA"), 0);
    assert_int_equal(best_of("NNNN", "ACGU"), 0);
}

/* ---- the reference: every pair of pairs, float64, its own parameters ---- */

static const char *const stack_names[] = {
    "AA/UU", "AU/UA", "UA/AU", "CU/GA", "CA/GU", "GU/CA", "GA/CU", "CG/GC", "GG/CC", "GC/CG", "AG/UU",
    "AU/UG", "CG/GU", "CU/GG", "GG/CU", "GU/CG", "GA/UU", "GG/UU", "GU/UG", "UA/GU", "UG/GU", "UG/AU"};
static const double stack_values[] = {-0.93, -1.10, -1.33, -2.08, -2.11, -2.24, -2.35, -2.36,
                                      -3.26, -3.42, -0.55, -1.36, -1.41, -2.11, -1.53, -2.51,
                                      -1.27, -0.50, 1.29,  -1.00, 0.30,  -1.00};

static bool pair_letters(char a, char b) {
    const char text[3] = {a, b, 0};
    return strstr("AU UA GC CG GU UG", text) != NULL;
}

/* 5' a c over 3' b d, also read from the other strand. */
static double stack_of(char a, char b, char c, char d) {
    const char one[6] = {a, c, '/', b, d, 0}, other[6] = {d, b, '/', c, a, 0};
    for (size_t i = 0; i < sizeof stack_names / sizeof *stack_names; i++)
        if (strcmp(stack_names[i], one) == 0 || strcmp(stack_names[i], other) == 0) return stack_values[i];
    fail_msg("no stack %s", one);
    return 0;
}

static double weak(char a, char b, double value) {
    return (a == 'G' && b == 'C') || (a == 'C' && b == 'G') ? 0 : value;
}

static double mismatch_of(char a, char b) {
    const char text[3] = {a, b, 0};
    return !strcmp(text, "AG")   ? -0.8
           : !strcmp(text, "GA") ? -1.0
           : !strcmp(text, "GG") ? -1.2
           : !strcmp(text, "UU") ? -0.7
                                 : 0;
}

/* x 3' to 5', t 5' to 3'. */
static double step_of(const char *x, const char *t, int i, int j, int p, int q) {
    static const double bulge[] = {0, 3.8, 2.8, 3.2, 3.6, 4.0, 4.4},
                        interior[] = {0, 0, 0.5, 1.7, 1.1, 2.0, 2.0};
    int n1 = p - i - 1, n2 = q - j - 1;
    if (n1 + n2 == 0) return stack_of(t[j], x[i], t[q], x[p]);
    if (n1 == 0 || n2 == 0)
        return n1 + n2 == 1 ? 3.8 + stack_of(t[j], x[i], t[q], x[p])
                            : bulge[n1 + n2] + weak(t[j], x[i], 0.45) + weak(t[q], x[p], 0.45);
    double e = interior[n1 + n2] + 0.6 * abs(n1 - n2) + weak(t[j], x[i], 0.7) + weak(t[q], x[p], 0.7);
    if (n1 == 1 && n2 == 1) return e + (x[i + 1] == 'G' && t[j + 1] == 'G' ? -1.7 : 0);
    if (n1 == 1 || n2 == 1) return e;
    return e + mismatch_of(t[j + 1], x[i + 1]) + mismatch_of(x[p - 1], t[q - 1]);
}

enum { MOST = 90 };

/* lowest[q]: of all duplexes whose last pair is at target position q. */
static void reference(const char *query, const char *t, double *lowest) {
    static double e[MOST][MOST];
    char x[MOST] = {0};
    int m = (int)strlen(query), n = (int)strlen(t);
    for (int i = 0; i < m; i++) x[i] = query[m - 1 - i];
    for (int q = 0; q < n; q++) lowest[q] = INFINITY;
    for (int p = 0; p < m; p++)
        for (int q = 0; q < n; q++) {
            e[p][q] = INFINITY;
            if (!pair_letters(t[q], x[p])) continue;
            e[p][q] = 4.09 + weak(t[q], x[p], 0.45);
            for (int i = p - 1; i >= 0; i--)
                for (int j = q - 1; j >= 0; j--)
                    if (p - i + q - j - 2 <= 6 && isfinite(e[i][j]))
                        e[p][q] = fmin(e[p][q], e[i][j] + step_of(x, t, i, j, p, q));
            lowest[q] = fmin(lowest[q], e[p][q] + weak(t[q], x[p], 0.45));
        }
}

static void random_rna(char *text, int length, uint64_t key, const char *letters) {
    for (int i = 0; i < length; i++) text[i] = letters[cm_rng_below(key, (uint64_t)i, strlen(letters))];
    text[length] = 0;
}

static void test_reference(void **state) {
    (void)state;
    for (int trial = 0; trial < 60; trial++) {
        char a[MOST], b[MOST];
        uint64_t key = cm_rng_key(5, (uint64_t)trial, 0);
        int m = 1 + (int)cm_rng_below(key, 1000, 26),
            n = m + (int)cm_rng_below(key, 1001, (uint64_t)(MOST - 1 - m));
        const char *letters = trial % 3 ? "ACGU" : trial % 2 ? "GUGC" : "ACGUN";
        random_rna(a, m, cm_rng_key(key, 1, 0), letters);
        random_rna(b, n, cm_rng_key(key, 2, 0), letters);
        double lowest[MOST];
        reference(a, b, lowest);
        cm_duplex d = scanned(a, b);
        for (int j = 0; j < n; j++) {
            if (isinf(lowest[j]))
                assert_true(d.energy[j] >= CM_DUPLEX_NONE);
            else
                assert_true(fabs(d.energy[j] / 100.0 - lowest[j]) < 1e-6);
        }
        cm_duplex other = scanned(b, a); /* the longer one is the target, whichever comes first */
        if (m < n) assert_memory_equal(d.energy, other.energy, (size_t)n * sizeof *d.energy);
        cm_duplex_clear(&other);
        cm_duplex_clear(&d);
    }
}

/* The pairs of a site add up to its energy. */
static void test_trace(void **state) {
    (void)state;
    for (int trial = 0; trial < 40; trial++) {
        char a[MOST], b[MOST];
        random_rna(a, 22, cm_rng_key(6, (uint64_t)trial, 1), "ACGU");
        random_rna(b, 80, cm_rng_key(6, (uint64_t)trial, 2), "ACGU");
        cm_duplex d = scanned(a, b);
        cm_sites s = cm_duplex_sites(&d);
        assert_true(s.best.energy < 0);
        int64_t target_of[22], before = -1, from = -1;
        assert_true(cm_duplex_trace(&d, &s.best, target_of));
        int32_t energy = CM_DUPLEX_INITIATION;
        for (int k = 21; k >= 0; k--) { /* from the query's 3' end the target rises */
            int64_t j = target_of[k], i = 21 - k;
            if (j < 0) continue;
            energy += before < 0 ? cm_duplex_end(d.target.code[j], d.query.code[i])
                                 : cm_duplex_step(d.query.code, d.target.code, from, before, i, j);
            assert_true(before < 0 ? j == s.best.begin : j > before);
            before = j;
            from = i;
        }
        energy += cm_duplex_end(d.target.code[before], d.query.code[from]);
        assert_int_equal(before, s.best.end);
        assert_int_equal(energy, s.best.energy);
        assert_true(s.second.energy >= s.best.energy);
        assert_true(s.second.energy == 0 || s.second.end < s.best.begin || s.second.begin > s.best.end);
        cm_duplex_clear(&d);
    }
}

/* Two perfect sites are counted, found and ranked; the other scores know the perfect case. */
static void test_sites(void **state) {
    (void)state;
    const char *query = "UGAGGUAGUAGGUUGUAUAGUU", *site = "AACUAUACAACCUACUACCUCA";
    char target[200];
    snprintf(target, sizeof target, "AAAAAAAAAA%sAAAAAAAAAAAAAAA%sAAAAA", site, site);
    cm_duplex d = scanned(query, target);
    cm_sites s = cm_duplex_sites(&d);
    int32_t perfect = cm_duplex_perfect(&d);
    assert_int_equal(s.best.energy, perfect);
    assert_int_equal(s.second.energy, perfect);
    assert_int_equal(s.best.begin, 10);
    assert_int_equal(s.best.end, 31);
    assert_int_equal(s.second.begin, 47);
    assert_int_equal(s.count[2], 2);
    assert_int_equal(cm_duplex_lowest(&d, 0, 20) < 0, 0 > cm_duplex_lowest(&d, 0, 20));
    assert_int_equal(cm_duplex_lowest(&d, 20, 40), perfect);
    assert_true(cm_duplex_ensemble(&d) < perfect / 100.0);
    assert_true(cm_duplex_ensemble(&d) > perfect / 100.0 - 2);
    int64_t at = -1;
    assert_int_equal(cm_duplex_rule(&d, &at), 0);
    assert_int_equal(at, 31);
    assert_int_equal(cm_duplex_local(&d), 5 * 22);
    cm_duplex_clear(&d);
    /* a mismatch at query position 10 costs 1.5, a G-U at 15 costs 0.5: in quarters of a point 6 and 2 */
    char worse[] = "AACUAUACAACCUACUACCUCA";
    worse[22 - 10] = 'G'; /* across from A */
    worse[22 - 15] = 'U'; /* across from G: position 15 of the query */
    d = scanned(query, worse);
    int32_t mismatch = query[9] == 'U' ? 3 : 6, wobble = query[14] == 'G' ? 2 : 4;
    assert_int_equal(cm_duplex_rule(&d, &at), mismatch + wobble);
    cm_duplex_clear(&d);
}

/* A query in pieces finds what one piece finds, anywhere in it. */
static void test_pieces(void **state) {
    (void)state;
    enum { LONG = 1500 };
    static char a[LONG + 1], b[LONG + 301];
    random_rna(a, LONG, 71, "ACG"); /* pairs with the site alone */
    random_rna(b, LONG + 300, 72, "A");
    static const char complement[] = {['A'] = 'U', ['C'] = 'G', ['G'] = 'C', ['U'] = 'A'};
    for (int place = 0; place + 30 <= LONG; place += 147) {
        static char c[LONG + 301];
        memcpy(c, b, sizeof c);
        for (int i = 0; i < 30; i++) c[700 + i] = complement[(unsigned char)a[place + 29 - i]];
        cm_duplex d = scanned(a, c);
        cm_site best = cm_duplex_sites(&d).best;
        assert_true(best.begin <= 700 + 4 && best.end >= 729 - 4);
        static int64_t target_of[LONG];
        assert_true(cm_duplex_trace(&d, &best, target_of));
        assert_int_equal(target_of[place + 15], 700 + 14);
        cm_duplex_clear(&d);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_hand), cmocka_unit_test(test_reference), cmocka_unit_test(test_trace),
        cmocka_unit_test(test_sites),   cmocka_unit_test(test_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
