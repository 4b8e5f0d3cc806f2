/* The engine of the transformer families: an encoder stack whose differences between families are rules and a
 * table of tensors, no code. One block on x [T, H], segment by segment:
 *
 *   pre:   x += out(attention(LN1 x));      x += feed(LN2 x)
 *   post:  x = LN1(x + out(attention x));   x = LN2(x + feed x)
 *
 * q, k, v come from one product with the three weights stacked. feed is W2 gelu(W1 x) or, where the family
 * has a gate, W2 (swish_beta(W1 x) * Wg x). gelu is the exact one. ESM-2 scales q before the rotation, others
 * the scores: rotation is linear, so the engine scales scores always. */
#ifndef CM_ENCODERS_TRANSFORMER_H
#define CM_ENCODERS_TRANSFORMER_H

#include "encoders/family.h"

/* The rows of cm_family.weights; a row without names is a tensor that the family does not have. Letters of
 * the shapes: V vocabulary, H hidden, P positions, T token types, F inner width, W head width, D = W / 2, R
 * random features; "3H" is a multiple. */
typedef enum cm_role {
    CM_ROLE_WORD,
    CM_ROLE_POSITION,
    CM_ROLE_TYPE,
    CM_ROLE_EMBED_NORM,
    CM_ROLE_EMBED_NORM_BIAS,
    CM_ROLE_FINAL_NORM,
    CM_ROLE_FINAL_NORM_BIAS,
    CM_ROLE_FIRST_OF_LAYER, /* from here on one of each layer */
    CM_ROLE_QUERY = CM_ROLE_FIRST_OF_LAYER,
    CM_ROLE_KEY,
    CM_ROLE_VALUE,
    CM_ROLE_QUERY_BIAS,
    CM_ROLE_KEY_BIAS,
    CM_ROLE_VALUE_BIAS,
    CM_ROLE_QKV, /* instead of the three: rows of q, then k, then v */
    CM_ROLE_OUT,
    CM_ROLE_OUT_BIAS,
    CM_ROLE_ATTENTION_NORM, /* LN1 */
    CM_ROLE_ATTENTION_NORM_BIAS,
    CM_ROLE_INNER, /* W1 */
    CM_ROLE_INNER_BIAS,
    CM_ROLE_GATE, /* Wg */
    CM_ROLE_GATE_BIAS,
    CM_ROLE_BETA,  /* of swish; 1 where there is none */
    CM_ROLE_OUTER, /* W2 */
    CM_ROLE_OUTER_BIAS,
    CM_ROLE_FEED_NORM, /* LN2 */
    CM_ROLE_FEED_NORM_BIAS,
    CM_ROLE_FREQUENCIES, /* rotary, radians per position; a formula where there are none */
    CM_ROLE_FEATURES,    /* feature map of linear attention */
    CM_ROLE_COUNT
} cm_role;

typedef enum cm_norm_place {
    CM_NORM_PRE,
    CM_NORM_PRE_RESIDUAL, /* as pre, but the attention's residual is LN1 x, not x (RiNALMo) */
    CM_NORM_POST
} cm_norm_place;

typedef struct cm_transformer_rules {
    cm_norm_place norm;
    bool rotary;           /* else learned positions */
    bool half_frequencies; /* the frequencies' formula rounds to fp16, as the weights were once stored */
    bool linear_attention; /* relu(q W) relu(k W)^T instead of softmax; config "linear_attention_eps" */
    bool token_dropout;    /* unless config "token_dropout" says otherwise */
    bool pads; /* every molecule runs with id 0 up to the length of the position table, without a mask */
    int first_position;    /* row of the position table of the first token */
    int heads;             /* where neither config nor tensors tell */
    double eps;            /* layer norm, unless config "layer_norm_eps" says otherwise */
    const char *inner_key; /* config key of F; NULL: it is something else */
    /* For checkpoints whose word table has its second name (the authors' own files); NULL: no difference. */
    const cm_tokenizer_spec *original_tokenizer;
} cm_transformer_rules;

extern const cm_engine cm_transformer_engine;

#endif
