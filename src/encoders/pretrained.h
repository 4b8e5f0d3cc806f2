/* A pretrained encoder at work: a family with a checkpoint, a layer and a precision; batching by length, long
 * inputs, the embedding store. */
#ifndef CM_ENCODERS_PRETRAINED_H
#define CM_ENCODERS_PRETRAINED_H

#include "encoders/family.h"
#include "io/embedding_store.h"
#include <crossmamba/runtime.h>
#include <limits.h>

typedef struct cm_pretrained cm_pretrained;

enum { CM_LAST_LAYER = INT_MAX };

typedef enum cm_long_input { CM_LONG_WINDOWS, CM_LONG_REFUSE } cm_long_input;

typedef struct cm_pretrained_options {
    cm_precision precision;
    int layer; /* hidden state, 0 .. layers, negative from the end (-1 the last), or CM_LAST_LAYER */
    cm_long_input long_input;
    size_t max_memory;         /* bytes for one pass besides the weights; 0: 256 MiB */
    const char *store;         /* folder of the embedding store; NULL: none is opened */
    cm_embeddings *embeddings; /* instead of store: one that is open, stays the caller's; NULL: none */
} cm_pretrained_options;

/* reference: see cm_weights_open; "stored" encoders have no checkpoint. CM_USAGE for a layer that there is
 * not, CM_MODEL, CM_DATA otherwise. team stays the caller's and is used in all calls. */
cm_status cm_pretrained_open(cm_pretrained **pretrained, const cm_family *family, const char *reference,
                             const cm_pretrained_options *options, cm_team *team, cm_error *error);
void cm_pretrained_close(cm_pretrained *pretrained); /* NULL is allowed */

/* The identity of its output, the key of the store: "esm2 sha256:<hex> layer 6 f32 windows". */
const char *cm_pretrained_id(const cm_pretrained *pretrained);
int64_t cm_pretrained_width(const cm_pretrained *pretrained);
int cm_pretrained_layers(const cm_pretrained *pretrained);         /* of the checkpoint; layer <= layers */
int cm_pretrained_layer(const cm_pretrained *pretrained);          /* the hidden state that is read */
const char *cm_pretrained_sha256(const cm_pretrained *pretrained); /* of the weights, hex */
const cm_family *cm_pretrained_family(const cm_pretrained *pretrained);
cm_precision cm_pretrained_precision(const cm_pretrained *pretrained); /* never CM_AUTO */

/* Token rows of a molecule without its special tokens (residues, SMILES tokens, atoms), as pooled families
 * that count specials keep them: first and last row are then the specials. At least 1: an empty molecule is
 * one row of zeros. Chains of a sequence ('|') are run one by one and their rows joined. 1 for a text that
 * cannot be read, which encode refuses. */
int64_t cm_pretrained_rows(const cm_pretrained *pretrained, const char *text, int64_t length);

typedef struct cm_pretrained_item {
    const char *text;
    int64_t length;
    float *out;             /* [cm_pretrained_rows, width] */
    cm_token_report report; /* set */
} cm_pretrained_item;

/* Fills out of every item: from the store, else computed (sorted by length, in ragged batches within the
 * memory) and put into the store after each batch. Inputs longer than the model: overlapping windows (windows
 * of the longest length, neighbours overlap by half, each row from the window in which it is farthest from a
 * border), or CM_DATA with CM_LONG_REFUSE. The same bits whatever the batch, the team and the store. Reports
 * progress, stops with CM_INTERRUPTED; what is in the store then stays. */
cm_status cm_pretrained_encode(cm_pretrained *pretrained, cm_pretrained_item *items, int64_t n,
                               const cm_runtime *runtime, cm_error *error);

/* Agreement of another precision with f32 on the built-in probe set of the family's molecules. */
typedef struct cm_precision_report {
    double least, mean; /* cosine similarity over all tokens */
    int64_t tokens;
} cm_precision_report;

/* The least cosine at which CM_AUTO takes a precision. */
#define CM_PRECISION_LEAST 0.9999

/* exact and other: the same checkpoint and layer, exact in f32. Neither reads nor writes a store. */
cm_status cm_pretrained_compare(cm_pretrained *exact, cm_pretrained *other, cm_precision_report *report,
                                cm_error *error);

#endif
