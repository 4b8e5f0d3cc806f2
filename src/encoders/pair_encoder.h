/* The table of pair encoders: texts of both molecules of a pair -> tokens [T, width] of the pair itself.
 *
 * A new pair encoder is one file and one row in pair_encoders.def. */
#ifndef CM_ENCODERS_PAIR_ENCODER_H
#define CM_ENCODERS_PAIR_ENCODER_H

#include "encoders/encoder.h"

typedef struct cm_pair_encoder {
    const char *name, *help;
    cm_molecule_type a, b;      /* what the two molecules must be */
    const char *const *columns; /* names of the columns, [width] */
    int64_t width;
    /* Working memory of one thread, freed with close; NULL: out of memory. */
    void *(*open)(void);
    void (*close)(void *state);
    /* Tokens in layout, at least 1. */
    int64_t (*tokens)(cm_layout layout, int64_t length_a, int64_t length_b);
    /* Fills out [tokens, width] for two normalised texts. */
    cm_status (*encode)(void *state, const char *a, int64_t length_a, const char *b, int64_t length_b,
                        int64_t tokens, float *out, cm_error *error);
} cm_pair_encoder;

/* The row that name means for a pair of these types: NULL for "none" and for an "auto" that no row fits.
 * CM_USAGE when there is no such row or it does not fit. */
cm_status cm_pair_encoder_find(const cm_pair_encoder **encoder, const char *name, cm_molecule_type a,
                               cm_molecule_type b, cm_error *error);

#endif
