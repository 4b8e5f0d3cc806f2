/* The inside of a pretrained encoder, shared by its three files: opening (pretrained.c), the choice of a
 * precision (pretrained_probe.c) and encoding (pretrained_encode.c). */
#ifndef CM_ENCODERS_PRETRAINED_STATE_H
#define CM_ENCODERS_PRETRAINED_STATE_H

#include "encoders/pretrained.h"
#include "io/embedding_store.h"

struct cm_pretrained {
    const cm_family *family;
    const cm_engine *engine;
    void *state; /* of the engine; NULL while there is none */
    cm_team *team;
    int layers, layer;
    cm_precision precision;
    cm_long_input long_input;
    size_t max_memory;
    int64_t width, longest; /* longest: tokens with specials, 0: any number */
    int begins, ends;       /* special tokens around every text, 0 or 1 each */
    char sha256[65];
    char *id;
    cm_embeddings *store;     /* NULL: none */
    cm_embeddings *own_store; /* the same when it was opened here, else NULL */
};

/* Hidden states of the probe set, every token with its specials: [rows, width]. */
typedef struct cm_probe {
    int64_t rows, width;
    float *values;
} cm_probe;

cm_status cm_probe_run(cm_probe *probe, cm_pretrained *pretrained, cm_error *error);
void cm_probe_clear(cm_probe *probe);
/* CM_USAGE when the two have not the same shape. */
cm_status cm_probe_compare(const cm_probe *exact, const cm_probe *other, cm_precision_report *report,
                           cm_error *error);

#endif
