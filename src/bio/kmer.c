/* k-mer spectra. */
#include "bio/kmer.h"

#include <string.h>

enum { MOST_LEVELS = 4, MOST_COLUMNS = 763, UNKNOWN = 255 };

/* The k-mers of one length over one grouping of the residues: columns first .. first + base^k - 1. */
typedef struct level {
    const char *groups; /* residues in order of their digit, ' ' between groups */
    uint32_t k, base, first;
    uint32_t size; /* base^k */
} level;

typedef struct scheme {
    int n_levels;
    level levels[MOST_LEVELS];
} scheme;

#define NUCLEOTIDES "A C G U"
#define AMINO_ACIDS "A C D E F G H I K L M N P Q R S T V W Y"
#define TRIAD_CLASSES "AGV ILFP YMTS HNQW RK DE C" /* Shen et al. 2007 */

static const scheme schemes[] = {
    [CM_RNA] = {4,
                {{NUCLEOTIDES, 1, 4, 0, 4},
                 {NUCLEOTIDES, 2, 4, 4, 16},
                 {NUCLEOTIDES, 3, 4, 20, 64},
                 {NUCLEOTIDES, 4, 4, 84, 256}}},
    [CM_PROTEIN] =
        {3, {{AMINO_ACIDS, 1, 20, 0, 20}, {AMINO_ACIDS, 2, 20, 20, 400}, {TRIAD_CLASSES, 3, 7, 420, 343}}},
};

int64_t cm_kmer_width(cm_molecule_type type) {
    const scheme *s = &schemes[type];
    const level *last = &s->levels[s->n_levels - 1];
    return last->first + last->size;
}

/* digit[residue], UNKNOWN for what is in no group. */
static void fill_digits(const char *groups, uint8_t digit[256]) {
    uint8_t group = 0;
    memset(digit, UNKNOWN, 256);
    for (const char *at = groups; *at != '\0'; at++) {
        if (*at == ' ')
            group++;
        else
            digit[(unsigned char)*at] = group;
    }
}

/* State of the walk from the end of the sequence to its start: code[l] is the k-mer of level l that starts
 * at the current residue, valid when known >= k residues in a row have an identity. */
typedef struct walk {
    uint8_t digit[MOST_LEVELS][256];
    uint32_t code[MOST_LEVELS], known;
} walk;

static void add_residue(const scheme *s, walk *w, unsigned char residue, uint32_t *counts,
                        uint32_t sums[MOST_LEVELS]) {
    if (w->digit[0][residue] == UNKNOWN) {
        memset(w->code, 0, sizeof w->code);
        w->known = 0;
        return;
    }
    w->known++;
    for (int l = 0; l < s->n_levels; l++) {
        const level *at = &s->levels[l];
        w->code[l] = w->digit[l][residue] * (at->size / at->base) + w->code[l] / at->base;
        if (w->known < at->k) continue;
        counts[at->first + w->code[l]]++;
        sums[l]++;
    }
}

static void write_window(const scheme *s, const uint32_t *counts, const uint32_t *sums, float *out) {
    for (int l = 0; l < s->n_levels; l++) {
        const level *at = &s->levels[l];
        double sum = sums[l] > 0 ? sums[l] : 1;
        for (uint32_t c = at->first; c < at->first + at->size; c++) out[c] = (float)(counts[c] / sum);
    }
}

void cm_kmer_spectrum(cm_molecule_type type, const char *sequence, int64_t length, int64_t n, float *out,
                      int64_t stride) {
    const scheme *s = &schemes[type];
    walk w = {.known = 0};
    for (int l = 0; l < s->n_levels; l++) fill_digits(s->levels[l].groups, w.digit[l]);
    int64_t at = length;
    for (int64_t window = n - 1; window >= 0; window--) {
        uint32_t counts[MOST_COLUMNS] = {0}, sums[MOST_LEVELS] = {0};
        for (int64_t begin = window * length / n; at > begin; at--)
            add_residue(s, &w, (unsigned char)sequence[at - 1], counts, sums);
        write_window(s, counts, sums, out + window * stride);
    }
}
