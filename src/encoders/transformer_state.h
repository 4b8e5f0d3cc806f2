/* What the transformer engine keeps of a checkpoint. */
#ifndef CM_ENCODERS_TRANSFORMER_STATE_H
#define CM_ENCODERS_TRANSFORMER_STATE_H

#include "encoders/transformer.h"
#include "nn/tape.h"

/* x [T, in] -> [T, out]; bias [out] or NULL. weight NULL: the family has none. */
typedef struct cm_dense {
    cm_packed *weight;
    float *bias;
} cm_dense;

/* weight, bias [H]; weight NULL: the family has none. */
typedef struct cm_layer_norm {
    float *weight, *bias;
} cm_layer_norm;

typedef struct cm_transformer_layer {
    cm_dense qkv;                /* [3H, H] */
    cm_dense out;                /* [H, H] */
    cm_dense inner, gate, outer; /* [F, H], [F, H], [H, F] */
    cm_layer_norm attention_norm, feed_norm;
    float *frequencies; /* [D]; NULL without rotary */
    float *features;    /* [W, R]; NULL without linear attention */
    float *beta;        /* [1]; NULL without gate */
} cm_transformer_layer;

typedef struct cm_transformer {
    const cm_family *family;
    const cm_transformer_rules *rules;
    cm_precision precision;
    cm_tokenizer *tokenizer;
    int32_t mask, padding; /* ids, -1: none */
    int64_t vocabulary, hidden, inner, positions, features, layers;
    int heads;
    float eps, feature_eps;
    bool token_dropout;
    float *word;     /* [vocabulary, hidden] */
    float *position; /* [positions, hidden], NULL without */
    float *type;     /* [1, hidden], the row of type 0; NULL without */
    cm_layer_norm embed_norm, final_norm;
    cm_transformer_layer *layer; /* [layers] */
    /* Of the last run; NULL before the first one. Tapes are kept from batch to batch: fresh memory costs as
     * much as some of the ops. */
    cm_team *team;
    cm_tape *tape; /* runs its ops in the team */
    cm_tape **own; /* [n_own, the team's size], of a member alone */
    int n_own;
} cm_transformer;

/* Fills an empty transformer; what it has taken is cm_transformer_clear's also after a failure. */
cm_status cm_transformer_load(cm_transformer *transformer, const cm_weights *weights, const json_t *config,
                              cm_precision precision, cm_error *error);
void cm_transformer_clear(cm_transformer *transformer);

/* Gives the transformer the team and empty tapes. */
cm_status cm_transformer_ready(cm_transformer *transformer, cm_team *team, cm_error *error);

#endif
