/* MoLFormer-XL (Ross et al. 2022; ibm/MoLFormer-XL-both-10pct): linear attention over the random features
 * that the checkpoint stores, so that a molecule has one vector (as the reference with deterministic_eval).
 * The last hidden state is the one after the final norm. */
#include "encoders/transformer.h"

#define LAYER "encoder.layer.{}."
#define OURS "blocks.layers.{}." /* the authors' training checkpoints */

static const cm_tokenizer_spec tokenizer = {.kind = CM_TOKENIZER_SMILES,
                                            .begin = "<bos>",
                                            .end = "<eos>",
                                            .unknown = "<unk>",
                                            .mask = "<mask>",
                                            .padding = "<pad>"};

/* The training vocabulary knows no <unk>; <pad> stood for it. */
static const cm_tokenizer_spec original_tokenizer = {.kind = CM_TOKENIZER_SMILES,
                                                     .begin = "<bos>",
                                                     .end = "<eos>",
                                                     .unknown = "<pad>",
                                                     .mask = "<mask>",
                                                     .padding = "<pad>"};

static const cm_transformer_rules rules = {.norm = CM_NORM_POST,
                                           .rotary = true,
                                           .linear_attention = true,
                                           .heads = 12,
                                           .eps = 1e-12,
                                           .inner_key = "intermediate_size",
                                           .original_tokenizer = &original_tokenizer};

static const cm_weight_row weights[CM_ROLE_COUNT] = {
    [CM_ROLE_WORD] = {{"embeddings.word_embeddings.weight", "tok_emb.weight"}, "V,H", false},
    [CM_ROLE_FINAL_NORM] = {{"LayerNorm.weight", "blocks.norm.weight"}, "H", false},
    [CM_ROLE_FINAL_NORM_BIAS] = {{"LayerNorm.bias", "blocks.norm.bias"}, "H", false},
    [CM_ROLE_QUERY] = {{LAYER "attention.self.query.weight", OURS "attention.query_projection.weight"},
                       "H,H",
                       false},
    [CM_ROLE_QUERY_BIAS] = {{LAYER "attention.self.query.bias", OURS "attention.query_projection.bias"},
                            "H",
                            false},
    [CM_ROLE_KEY] = {{LAYER "attention.self.key.weight", OURS "attention.key_projection.weight"},
                     "H,H",
                     false},
    [CM_ROLE_KEY_BIAS] = {{LAYER "attention.self.key.bias", OURS "attention.key_projection.bias"},
                          "H",
                          false},
    [CM_ROLE_VALUE] = {{LAYER "attention.self.value.weight", OURS "attention.value_projection.weight"},
                       "H,H",
                       false},
    [CM_ROLE_VALUE_BIAS] = {{LAYER "attention.self.value.bias", OURS "attention.value_projection.bias"},
                            "H",
                            false},
    [CM_ROLE_OUT] = {{LAYER "attention.output.dense.weight", OURS "attention.out_projection.weight"},
                     "H,H",
                     false},
    [CM_ROLE_OUT_BIAS] = {{LAYER "attention.output.dense.bias", OURS "attention.out_projection.bias"},
                          "H",
                          false},
    [CM_ROLE_ATTENTION_NORM] = {{LAYER "attention.output.LayerNorm.weight", OURS "norm1.weight"}, "H", false},
    [CM_ROLE_ATTENTION_NORM_BIAS] = {{LAYER "attention.output.LayerNorm.bias", OURS "norm1.bias"},
                                     "H",
                                     false},
    [CM_ROLE_INNER] = {{LAYER "intermediate.dense.weight", OURS "linear1.weight"}, "F,H", false},
    [CM_ROLE_INNER_BIAS] = {{LAYER "intermediate.dense.bias", OURS "linear1.bias"}, "F", false},
    [CM_ROLE_OUTER] = {{LAYER "output.dense.weight", OURS "linear2.weight"}, "H,F", false},
    [CM_ROLE_OUTER_BIAS] = {{LAYER "output.dense.bias", OURS "linear2.bias"}, "H", false},
    [CM_ROLE_FEED_NORM] = {{LAYER "output.LayerNorm.weight", OURS "norm2.weight"}, "H", false},
    [CM_ROLE_FEED_NORM_BIAS] = {{LAYER "output.LayerNorm.bias", OURS "norm2.bias"}, "H", false},
    [CM_ROLE_FREQUENCIES] = {{LAYER "attention.self.rotary_embeddings.inv_freq"}, "D", true},
    [CM_ROLE_FEATURES] = {{LAYER "attention.self.feature_map.weight",
                           OURS "attention.inner_attention.feature_map.omega"},
                          "W,R",
                          false},
};

static const char *const model_types[] = {"molformer", NULL};
static const char *const prefixes[] = {"molformer.", "", NULL};

/* transformers tests/models/molformer/test_modeling_molformer.py has logits and a mean only, none of a hidden
 * state. */
const cm_family cm_family_molformer = {.name = "molformer",
                                       .title = "MoLFormer-XL (Ross et al. 2022)",
                                       .licence = "Apache-2.0",
                                       .pooling = "mean over tokens, begin and end included",
                                       .pool_specials = true,
                                       .model_types = model_types,
                                       .prefixes = prefixes,
                                       .tokenizer = &tokenizer,
                                       .engine = &cm_transformer_engine,
                                       .rules = &rules,
                                       .weights = weights,
                                       .n_weights = CM_ROLE_COUNT};
