/* The table of encoders: text of a molecule -> token matrix [T, width].
 *
 * A new encoder is one file and one row in encoders.def. A row is built in, or a family of pretrained
 * encoders that needs a checkpoint. */
#ifndef CM_ENCODERS_ENCODER_H
#define CM_ENCODERS_ENCODER_H

#include "base/fail.h"
#include "base/team.h"
#include "encoders/family.h"
#include <crossmamba/runtime.h>
#include <crossmamba/tables.h>
#include <stdbool.h>
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
    unsigned types;          /* bit 1 << cm_molecule_type: what it can encode */
    const char *reference;   /* what REFERENCE of NAME:REFERENCE is; NULL: the part takes none */
    const cm_family *family; /* pretrained: run by encoders/pretrained.h; NULL: built in */
    /* The rest is for built-in parts without a reference. */
    int64_t (*width)(cm_molecule_type type);
    /* Units that can be tokens of their own (residues, SMILES tokens); NULL: the molecule as a whole only,
     * its vector is repeated on every token when joined to a positional encoder. */
    int64_t (*units)(cm_molecule_type type, const char *text, int64_t length);
    /* Writes tokens n rows of width columns at out (stride floats apart); 1 <= n <= units. */
    cm_status (*encode)(cm_molecule_type type, const char *text, int64_t length, int64_t n, float *out,
                        int64_t stride, cm_error *error);
} cm_encoder_part;

/* Row i of the table, NULL past its end; the row of that name, NULL when there is none. */
const cm_encoder_part *cm_encoder_part_at(int i);
const cm_encoder_part *cm_encoder_part_find(const char *name, size_t length);

/* One part of an encoder name; points into it. */
typedef struct cm_encoder_word {
    const char *name, *reference; /* reference NULL: none was given */
    size_t name_length, reference_length;
} cm_encoder_word;

/* Takes the first part off *rest; *rest is then behind its '+', or NULL at the end. A name is parts NAME or
 * NAME:REFERENCE joined by '+'. A reference may hold '+' itself: it ends only where the name of a row
 * and then ':', '+' or the end follow the '+' (a path that ends in "+kmer" is therefore written "+kmer/"). */
cm_encoder_word cm_encoder_next_word(const char **rest);

/* name with the references that are to be used on this machine, into out[size]. given is another encoder name
 * with the same parts, or just the reference of the one part of name that has one. CM_USAGE when it fits
 * neither way. */
cm_status cm_encoder_relocate(const char *name, const char *given, char *out, size_t size, cm_error *error);

/* How pretrained parts are run; NULL or zero: f32, last layer, no store, 256 MiB, one thread. */
typedef struct cm_encoder_setup {
    cm_precision precision;
    int layer;         /* hidden state counted back from the last: 0 the last, 1 the one before, .. */
    const char *store; /* folder of the embedding store; NULL: none */
    size_t max_memory; /* bytes of one pass besides the weights; 0: 256 MiB */
    cm_team *team;     /* stays the caller's, must outlive the encoder */
} cm_encoder_setup;

/* Parts joined by '+', for one molecule type. */
typedef struct cm_encoder cm_encoder;

/* name "kmer+onehot", "esm2:facebook/esm2_t6_8M_UR50D+kmer". CM_USAGE when a part is unknown, does not encode
 * that type (the message lists those that do) or misses its reference; else what opening a checkpoint
 * gives. With CM_AUTO all pretrained parts run in the precision that is chosen for the first. */
cm_status cm_encoder_create(cm_encoder **encoder, const char *name, cm_molecule_type type,
                            const cm_encoder_setup *setup, cm_error *error);
void cm_encoder_destroy(cm_encoder *encoder);

int64_t cm_encoder_width(const cm_encoder *encoder);
/* The identities of the parts that depend on files, joined by " + "; "" when all parts are built in. */
const char *cm_encoder_identity(const cm_encoder *encoder);
/* What pretrained parts run in, never CM_AUTO; CM_F32 without any. */
cm_precision cm_encoder_precision(const cm_encoder *encoder);

/* Tokens that text gives in layout, at least 1: as many as every part that has positions can give. (1 when a
 * part's store does not know text; encoding it then fails.) */
int64_t cm_encoder_tokens(const cm_encoder *encoder, cm_layout layout, const char *text, int64_t length);
/* Fills out [tokens, width]; tokens from cm_encoder_tokens. text is normalised (sequences) or canonical
 * (SMILES). Thread-safe. Only for encoders whose parts are all built in. */
cm_status cm_encoder_encode(const cm_encoder *encoder, const char *text, int64_t length, int64_t tokens,
                            float *out, cm_error *error);

/* Temporary floats that encoding text needs besides its tokens, 0 with built-in parts alone. */
int64_t cm_encoder_floats(const cm_encoder *encoder, const char *text, int64_t length);

/* Token w of n is the mean of rows [w * count / n, (w + 1) * count / n) of rows [count, width], to out,
 * stride floats apart; sum [width] is scratch. */
void cm_window_means(const float *rows, int64_t count, int64_t width, int64_t n, float *out, int64_t stride,
                     double *sum);

typedef struct cm_encoder_item {
    const char *text;
    int64_t length, tokens; /* tokens from cm_encoder_tokens */
    float *out;             /* [tokens, width] */
    const char *name;       /* for messages; NULL: the text's beginning */
} cm_encoder_item;

/* Fills out of every item with any encoder: built-in parts over the team, pretrained parts in batches. Pooled
 * tokens of a pretrained part are means over its rows as the family pools (special tokens count where the
 * family says so); windows and residues leave special tokens out and cut as cm_kmer_spectrum does. Uses
 * runtime's log and stop. CM_DATA naming the item that a part's store does not know. */
cm_status cm_encoder_encode_items(cm_encoder *encoder, cm_layout layout, const cm_encoder_item *items,
                                  int64_t n, const cm_runtime *runtime, cm_error *error);

#endif
