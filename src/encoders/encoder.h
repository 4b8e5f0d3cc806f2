/* The table of encoders: text of a molecule -> token matrix [T, width].
 *
 * A new encoder is one file and one row in encoders.def. */
#ifndef CM_ENCODERS_ENCODER_H
#define CM_ENCODERS_ENCODER_H

#include "base/fail.h"
#include <crossmamba/tables.h>
#include <stdint.h>

/* Token layout: how many tokens a molecule gives. */
typedef struct cm_layout {
    enum { CM_LAYOUT_POOLED, CM_LAYOUT_WINDOWS, CM_LAYOUT_RESIDUES } kind;
    int64_t windows; /* most windows, CM_LAYOUT_WINDOWS */
} cm_layout;

/* "pooled", "windows:N" (1 <= N <= 65536), "residues". */
cm_status cm_layout_parse(cm_layout *layout, const char *text, cm_error *error);

typedef struct cm_encoder_part {
    const char *name, *help;
    unsigned types; /* bit 1 << cm_molecule_type: what it can encode */
    int64_t (*width)(cm_molecule_type type);
    /* Units that can be tokens of their own (residues, SMILES tokens); NULL: the molecule as a whole only,
     * its vector is repeated on every token when joined to a positional encoder. */
    int64_t (*units)(cm_molecule_type type, const char *text, int64_t length);
    /* Writes tokens n rows of width columns at out (stride floats apart); 1 <= n <= units. */
    cm_status (*encode)(cm_molecule_type type, const char *text, int64_t length, int64_t n, float *out,
                        int64_t stride, cm_error *error);
} cm_encoder_part;

/* Parts joined by '+', for one molecule type. */
typedef struct cm_encoder cm_encoder;

/* name "kmer+onehot". CM_USAGE when a part is unknown or does not encode that type; the message lists those
 * that do. */
cm_status cm_encoder_create(cm_encoder **encoder, const char *name, cm_molecule_type type, cm_error *error);
void cm_encoder_destroy(cm_encoder *encoder);

int64_t cm_encoder_width(const cm_encoder *encoder);
/* Tokens that text gives in layout, at least 1. */
int64_t cm_encoder_tokens(const cm_encoder *encoder, cm_layout layout, const char *text, int64_t length);
/* Fills out [tokens, width]; tokens from cm_encoder_tokens. text is normalised (sequences) or canonical
 * (SMILES). Thread-safe. */
cm_status cm_encoder_encode(const cm_encoder *encoder, const char *text, int64_t length, int64_t tokens,
                            float *out, cm_error *error);

#endif
