/* Sets of k-mers or fragments, and an index from each of them to the texts that have it. */
#include "bio/sketches.h"
#include "base/alloc.h"
#include "base/rng.h"
#include "bio/chem.h"
#include "bio/sequence.h"
#include <math.h>
#include <string.h>

enum { RNA_K = 8, PROTEIN_K = 4, FRAGMENTS = 2048, LEAST_SHARED = 3 };
enum { MOST_CODES = 1 << 24 };

struct cm_sketches {
    cm_molecule_type type;
    const char *const *texts;
    int64_t n;
    int k;
    uint32_t universe;      /* codes are below */
    int64_t *begin;         /* [n + 1] of each set in code */
    uint32_t *code;         /* distinct in each set */
    int64_t *posting_begin; /* [universe + 1] */
    int32_t *posting;       /* texts that have a code, ascending */
};

/* Codes of residues, -1: none. */
static void residue_codes(cm_molecule_type type, int16_t code[256]) {
    const char *letters = cm_residues(type);
    memset(code, -1, 256 * sizeof *code);
    for (int i = 0; letters[i]; i++) code[(unsigned char)letters[i]] = (int16_t)i;
}

static uint32_t power(uint32_t base, int exponent) {
    uint32_t result = 1;
    while (exponent-- > 0) result *= base;
    return result;
}

/* Marks in seen the k-mers of text and writes the new ones; their number. */
static int64_t list_kmers(const cm_sketches *s, const char *text, uint64_t bound, uint8_t *seen,
                          uint32_t *out) {
    int16_t code[256];
    residue_codes(s->type, code);
    uint32_t base = s->type == CM_RNA ? 4 : 20, value = 0;
    int64_t n = 0;
    int good = 0;
    for (const char *c = text; *c; c++) {
        int residue = code[(unsigned char)*c];
        good = residue < 0 ? 0 : good + 1;
        value = residue < 0 ? 0 : (uint32_t)(((uint64_t)value * base + (uint32_t)residue) % s->universe);
        if (good < s->k || seen[value] || cm_rng_bits(1, value) > bound) continue;
        seen[value] = 1;
        out[n++] = value;
    }
    return n;
}

static cm_status list_fragments(const char *smiles, uint32_t *out, int64_t *n, cm_error *error) {
    float *counts = cm_new(FRAGMENTS, sizeof *counts);
    if (!counts) return cm_fail_memory(error, FRAGMENTS * sizeof *counts);
    cm_status status = cm_chem_morgan(smiles, FRAGMENTS, counts, error);
    *n = 0;
    for (uint32_t f = 0; f < FRAGMENTS && status == CM_OK; f++)
        if (counts[f] > 0) out[(*n)++] = f;
    cm_free(counts);
    return status;
}

/* Fills begin and code; seen has one zero a code. */
static cm_status fill_sets(cm_sketches *s, uint64_t bound, uint8_t *seen, cm_error *error) {
    for (int64_t i = 0; i < s->n; i++) {
        int64_t n = 0;
        uint32_t *out = s->code + s->begin[i];
        if (s->type == CM_MOLECULE)
            CM_TRY(list_fragments(s->texts[i], out, &n, error));
        else
            n = list_kmers(s, s->texts[i], bound, seen, out);
        for (int64_t j = 0; j < n; j++) seen[out[j]] = 0;
        s->begin[i + 1] = s->begin[i] + n;
    }
    return CM_OK;
}

static cm_status index_codes(cm_sketches *s, cm_error *error) {
    s->posting_begin = cm_new((size_t)s->universe + 1, sizeof *s->posting_begin);
    s->posting = cm_new((size_t)s->begin[s->n], sizeof *s->posting);
    if (!s->posting_begin || !s->posting) return cm_fail_memory(error, (size_t)s->universe * 8);
    for (int64_t c = 0; c < s->begin[s->n]; c++) s->posting_begin[s->code[c] + 1]++;
    for (uint32_t u = 0; u < s->universe; u++) s->posting_begin[u + 1] += s->posting_begin[u];
    for (int64_t i = s->n - 1; i >= 0; i--)
        for (int64_t c = s->begin[i]; c < s->begin[i + 1]; c++)
            s->posting[--s->posting_begin[s->code[c] + 1]] = (int32_t)i;
    /* posting_begin[u + 1] is now where u begins */
    memmove(s->posting_begin, s->posting_begin + 1, s->universe * sizeof *s->posting_begin);
    s->posting_begin[s->universe] = s->begin[s->n];
    return CM_OK;
}

static cm_status fill(cm_sketches *s, cm_error *error) {
    s->k = s->type == CM_RNA ? RNA_K : s->type == CM_PROTEIN ? PROTEIN_K : 1;
    s->universe = s->type == CM_MOLECULE ? FRAGMENTS : power(s->type == CM_RNA ? 4 : 20, s->k);
    size_t room = 0;
    for (int64_t i = 0; i < s->n; i++) room += s->type == CM_MOLECULE ? FRAGMENTS : strlen(s->texts[i]);
    uint64_t bound = room > MOST_CODES ? UINT64_MAX / room * MOST_CODES : UINT64_MAX;
    s->begin = cm_new((size_t)s->n + 1, sizeof *s->begin);
    s->code = cm_new(room, sizeof *s->code);
    uint8_t *seen = cm_new(s->universe, sizeof *seen);
    cm_status status =
        s->begin && s->code && seen ? fill_sets(s, bound, seen, error) : cm_fail_memory(error, room * 4);
    cm_free(seen);
    return status == CM_OK ? index_codes(s, error) : status;
}

cm_status cm_sketches_create(cm_sketches **sketches, cm_molecule_type type, const char *const *texts,
                             int64_t n, cm_error *error) {
    *sketches = NULL;
    cm_sketches *s = cm_new(1, sizeof *s);
    if (!s) return cm_fail_memory(error, sizeof *s);
    *s = (cm_sketches){.type = type, .texts = texts, .n = n};
    cm_status status = fill(s, error);
    if (status == CM_OK)
        *sketches = s;
    else
        cm_sketches_destroy(s);
    return status;
}

void cm_sketches_destroy(cm_sketches *sketches) {
    if (!sketches) return;
    cm_free(sketches->begin);
    cm_free(sketches->code);
    cm_free(sketches->posting_begin);
    cm_free(sketches->posting);
    cm_free(sketches);
}

static double likeness(const cm_sketches *s, int64_t a, int64_t b, int32_t shared) {
    double n_a = (double)(s->begin[a + 1] - s->begin[a]), n_b = (double)(s->begin[b + 1] - s->begin[b]);
    double fewer = fmin(n_a, n_b);
    if (s->type == CM_MOLECULE) return shared / (n_a + n_b - shared);
    if (shared < LEAST_SHARED && shared < fewer) return 0;
    double chance = fmin(fmax(n_a, n_b) / s->universe, 0.99);
    double above = (shared / fewer - chance) / (1 - chance);
    return above > 0 ? pow(above, 1.0 / s->k) : 0;
}

void cm_sketches_row(const cm_sketches *sketches, int64_t i, int32_t *count, float *similarity) {
    const cm_sketches *s = sketches;
    for (int64_t c = s->begin[i]; c < s->begin[i + 1]; c++)
        for (int64_t p = s->posting_begin[s->code[c]]; p < s->posting_begin[s->code[c] + 1]; p++)
            count[s->posting[p]]++;
    for (int64_t j = 0; j < s->n; j++) {
        similarity[j] = count[j] ? (float)likeness(s, i, j, count[j]) : 0;
        if (j == i || (s->begin[i] == s->begin[i + 1] && strcmp(s->texts[i], s->texts[j]) == 0))
            similarity[j] = 1;
        count[j] = 0;
    }
}

static int32_t root(int32_t *parent, int32_t i) {
    while (parent[i] != i) i = parent[i] = parent[parent[i]];
    return i;
}

static void join_alike(const cm_sketches *s, double threshold, int32_t *count, float *row, int32_t *parent) {
    for (int64_t i = 0; i < s->n; i++) parent[i] = (int32_t)i;
    for (int64_t i = 0; i < s->n; i++) {
        cm_sketches_row(s, i, count, row);
        for (int64_t j = 0; j < i; j++) {
            if ((double)row[j] < threshold) continue;
            int32_t a = root(parent, (int32_t)i), b = root(parent, (int32_t)j);
            parent[a > b ? a : b] = a > b ? b : a;
        }
    }
}

cm_status cm_sketches_components(const cm_sketches *sketches, double threshold, int32_t *group,
                                 int32_t *n_groups, cm_error *error) {
    size_t n = (size_t)sketches->n;
    int32_t *count = cm_new(n, sizeof *count), *parent = cm_new(n, sizeof *parent);
    float *row = cm_new(n, sizeof *row);
    cm_status status = count && parent && row ? CM_OK : cm_fail_memory(error, n * 12);
    *n_groups = 0;
    if (status == CM_OK) join_alike(sketches, threshold, count, row, parent);
    /* a root is the first of its component, so its number is there before it is asked for */
    for (int32_t i = 0; status == CM_OK && i < (int32_t)n; i++) {
        int32_t top = root(parent, i);
        group[i] = top == i ? (*n_groups)++ : group[top];
    }
    cm_free(count);
    cm_free(parent);
    cm_free(row);
    return status;
}
