/* The places of a target where a duplex may form, and how one of them pairs. */
#ifndef CM_BIO_DUPLEX_SITE_H
#define CM_BIO_DUPLEX_SITE_H

#include "bio/duplex.h"

/* One duplex: target positions begin .. end (both inside), energy in hundredths of a kcal/mol. */
typedef struct cm_site {
    int64_t begin, end;
    int32_t energy, piece;
} cm_site;

enum { CM_SITE_LEVELS = 5 };
/* Energies (hundredths) down to which sites are counted. */
extern const int32_t cm_site_levels[CM_SITE_LEVELS];

typedef struct cm_sites {
    cm_site best,
        second; /* second: the best that shares no target position with best; energy 0: none binds */
    int64_t count[CM_SITE_LEVELS];
} cm_sites;

/* From a finished scan. Sites are counted from 5' to 3': of overlapping ones the best of a run counts once.
 */
cm_sites cm_duplex_sites(const cm_duplex *duplex);

/* The lowest energy of the duplexes that end at target positions [from, to), 0 when none binds. */
int32_t cm_duplex_lowest(const cm_duplex *duplex, int64_t from, int64_t to);

/* -RT ln of the sum of exp(-energy / RT) over all target positions, kcal/mol at 37 C; 0 and less. */
double cm_duplex_ensemble(const cm_duplex *duplex);

/* The energy of the query with its perfect complement. */
int32_t cm_duplex_perfect(const cm_duplex *duplex);

/* Across from query nucleotide k (from its 5' end, 0 ..): the target position it pairs with in site, or -1.
 * target_of[query.length]; false: out of memory. site.energy < 0. */
bool cm_duplex_trace(const cm_duplex *duplex, const cm_site *site, int64_t *target_of);

#endif
