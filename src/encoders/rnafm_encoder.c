/* RNA-FM (Chen et al. 2022; ml4bio/RNA-FM and its multimolecule form): ESM-1b for RNA without token
 * dropout. */
#include "bio/vocabularies.h"
#include "encoders/transformer.h"

#define LAYER "encoder.layer.{}."
#define OURS "layers.{}." /* the authors' own files */

static const cm_tokenizer_spec tokenizer = {.kind = CM_TOKENIZER_RNA,
                                            .begin = "<cls>",
                                            .end = "<eos>",
                                            .unknown = "<unk>",
                                            .mask = "<mask>",
                                            .padding = "<pad>"};

/* The authors' alphabet neither changes case nor reads T. */
static const cm_tokenizer_spec original_tokenizer = {.kind = CM_TOKENIZER_LETTERS,
                                                     .begin = "<cls>",
                                                     .end = "<eos>",
                                                     .unknown = "<unk>",
                                                     .mask = "<mask>",
                                                     .padding = "<pad>",
                                                     .vocabulary = cm_vocabulary_rnafm};

static const cm_transformer_rules rules = {.norm = CM_NORM_PRE,
                                           .first_position = 2,
                                           .heads = 20,
                                           .eps = 1e-5,
                                           .inner_key = "intermediate_size",
                                           .original_tokenizer = &original_tokenizer};

static const cm_weight_row weights[CM_ROLE_COUNT] = {
    [CM_ROLE_WORD] = {{"embeddings.word_embeddings.weight", "embed_tokens.weight"}, "V,H", false},
    [CM_ROLE_POSITION] = {{"embeddings.position_embeddings.weight", "embed_positions.weight"}, "P,H", false},
    [CM_ROLE_EMBED_NORM] = {{"embeddings.layer_norm.weight", "emb_layer_norm_before.weight"}, "H", false},
    [CM_ROLE_EMBED_NORM_BIAS] = {{"embeddings.layer_norm.bias", "emb_layer_norm_before.bias"}, "H", false},
    [CM_ROLE_FINAL_NORM] = {{"encoder.layer_norm.weight", "emb_layer_norm_after.weight",
                             "encoder.emb_layer_norm_after.weight"},
                            "H",
                            false},
    [CM_ROLE_FINAL_NORM_BIAS] = {{"encoder.layer_norm.bias", "emb_layer_norm_after.bias",
                                  "encoder.emb_layer_norm_after.bias"},
                                 "H",
                                 false},
    [CM_ROLE_QUERY] = {{LAYER "attention.self.query.weight", OURS "self_attn.q_proj.weight"}, "H,H", false},
    [CM_ROLE_QUERY_BIAS] = {{LAYER "attention.self.query.bias", OURS "self_attn.q_proj.bias"}, "H", false},
    [CM_ROLE_KEY] = {{LAYER "attention.self.key.weight", OURS "self_attn.k_proj.weight"}, "H,H", false},
    [CM_ROLE_KEY_BIAS] = {{LAYER "attention.self.key.bias", OURS "self_attn.k_proj.bias"}, "H", false},
    [CM_ROLE_VALUE] = {{LAYER "attention.self.value.weight", OURS "self_attn.v_proj.weight"}, "H,H", false},
    [CM_ROLE_VALUE_BIAS] = {{LAYER "attention.self.value.bias", OURS "self_attn.v_proj.bias"}, "H", false},
    [CM_ROLE_OUT] = {{LAYER "attention.output.dense.weight", OURS "self_attn.out_proj.weight"}, "H,H", false},
    [CM_ROLE_OUT_BIAS] = {{LAYER "attention.output.dense.bias", OURS "self_attn.out_proj.bias"}, "H", false},
    [CM_ROLE_ATTENTION_NORM] = {{LAYER "attention.layer_norm.weight", OURS "self_attn_layer_norm.weight"},
                                "H",
                                false},
    [CM_ROLE_ATTENTION_NORM_BIAS] = {{LAYER "attention.layer_norm.bias", OURS "self_attn_layer_norm.bias"},
                                     "H",
                                     false},
    [CM_ROLE_INNER] = {{LAYER "intermediate.dense.weight", OURS "fc1.weight"}, "F,H", false},
    [CM_ROLE_INNER_BIAS] = {{LAYER "intermediate.dense.bias", OURS "fc1.bias"}, "F", false},
    [CM_ROLE_OUTER] = {{LAYER "output.dense.weight", OURS "fc2.weight"}, "H,F", false},
    [CM_ROLE_OUTER_BIAS] = {{LAYER "output.dense.bias", OURS "fc2.bias"}, "H", false},
    [CM_ROLE_FEED_NORM] = {{LAYER "layer_norm.weight", OURS "final_layer_norm.weight"}, "H", false},
    [CM_ROLE_FEED_NORM_BIAS] = {{LAYER "layer_norm.bias", OURS "final_layer_norm.bias"}, "H", false},
};

static const char *const model_types[] = {"rnafm", NULL};
static const char *const prefixes[] = {"rnafm.", "model.", "", "encoder.sentence_encoder.", "encoder.", NULL};

const cm_family cm_family_rnafm = {.name = "rnafm",
                                   .title = "RNA-FM (Chen et al. 2022)",
                                   .licence = "MIT; multimolecule's copies AGPL-3.0",
                                   .pooling = "mean over nucleotides",
                                   .model_types = model_types,
                                   .prefixes = prefixes,
                                   .tokenizer = &tokenizer,
                                   .engine = &cm_transformer_engine,
                                   .rules = &rules,
                                   .weights = weights,
                                   .n_weights = CM_ROLE_COUNT};
