/* How two RNAs may pair with each other: duplexes of lowest energy, ungapped and gapped complementarity.
 *
 * The shorter molecule is the query, the longer one the target. One pass over the target gives, for every
 * target position, the best duplex that ends there; its cost is query length x target length, and its memory
 * is that of a few rows of the target. A query of more than CM_DUPLEX_QUERY nucleotides is taken in
 * overlapping pieces. */
#ifndef CM_BIO_DUPLEX_H
#define CM_BIO_DUPLEX_H

#include "bio/duplex_energy.h"
#include <stddef.h>

enum {
    CM_DUPLEX_QUERY = 256,  /* longest piece of a query */
    CM_DUPLEX_OVERLAP = 32, /* of neighbouring pieces */
    CM_DUPLEX_SEEN = 20     /* query nucleotides from its 5' end that the rule score looks at */
};

/* One strand, as codes. */
typedef struct cm_strand {
    uint8_t *code;
    int64_t length;
} cm_strand;

/* Best duplexes by target position; see cm_duplex_scan. Owns its memory, which the next scan overwrites. */
typedef struct cm_duplex {
    cm_strand query, target; /* query reversed: 3' to 5'; target 5' to 3' */
    int32_t *energy; /* [target.length] of the best duplex whose last pair is there; > 0: none that binds */
    int32_t *span;   /* [target.length] its first pair is at j - span[j] */
    int32_t *piece;  /* [target.length] first query code (in query.code) of the piece it was found with */
    int32_t *memory;
    size_t room, strand_room;
} cm_duplex;

void cm_duplex_clear(cm_duplex *duplex); /* of a zeroed or used record */

/* Fills duplex for two normalised RNA sequences. Of duplexes with the same energy the shortest on the target
 * counts. false: out of memory. */
bool cm_duplex_scan(cm_duplex *duplex, const char *a, int64_t length_a, const char *b, int64_t length_b);

/* The lowest cost of the query's first CM_DUPLEX_SEEN nucleotides against any place of the scanned target, by
 * the rules of plant target prediction (Dai, Zhuang, Zhao 2018): mismatch 4, G-U 2, opening a gap 8,
 * extending it 2, each 1.5 times at query positions 2 to 13; gaps of at most 2; in quarters. *at: target
 * position across from query position 1. */
int32_t cm_duplex_rule(cm_duplex *duplex, int64_t *at);

/* The highest local complementarity score: A-U, G-C 5, G-U 1, mismatch -3, gap of n (at most 4) -8 - 2 (n -
 * 1). */
int32_t cm_duplex_local(cm_duplex *duplex);

#endif
