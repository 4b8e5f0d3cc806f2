/* RiNALMo (Penic et al. 2024; lbcb-sci/RiNALMo and its multimolecule form). The attention's residual starts
 * from the normalised input in both. */
#include "bio/vocabularies.h"
#include "encoders/transformer.h"

#define LAYER "encoder.layer.{}."
#define OURS "transformer.blocks.{}." /* the authors' own files */

static const cm_tokenizer_spec tokenizer = {.kind = CM_TOKENIZER_RNA,
                                            .begin = "<cls>",
                                            .end = "<eos>",
                                            .unknown = "<unk>",
                                            .mask = "<mask>",
                                            .padding = "<pad>"};

static const cm_tokenizer_spec original_tokenizer = {.kind = CM_TOKENIZER_LETTERS,
                                                     .begin = "<cls>",
                                                     .end = "<eos>",
                                                     .unknown = "<unk>",
                                                     .mask = "<mask>",
                                                     .padding = "<pad>",
                                                     .upper_case = true,
                                                     .replace_from = 'U',
                                                     .replace_to = 'T',
                                                     .vocabulary = cm_vocabulary_rinalmo};

/* The inner width is 2/3 of config "intermediate_size". */
static const cm_transformer_rules rules = {.norm = CM_NORM_PRE_RESIDUAL,
                                           .rotary = true,
                                           .token_dropout = true,
                                           .heads = 20,
                                           .eps = 1e-5,
                                           .original_tokenizer = &original_tokenizer};

static const cm_weight_row weights[CM_ROLE_COUNT] = {
    [CM_ROLE_WORD] = {{"embeddings.word_embeddings.weight", "embedding.weight"}, "V,H", false},
    [CM_ROLE_FINAL_NORM] = {{"encoder.layer_norm.weight", "transformer.final_layer_norm.weight"}, "H", false},
    [CM_ROLE_FINAL_NORM_BIAS] = {{"encoder.layer_norm.bias", "transformer.final_layer_norm.bias"},
                                 "H",
                                 false},
    [CM_ROLE_QUERY] = {{LAYER "attention.self.query.weight", OURS "mh_attn.mh_attn.to_q.weight"},
                       "H,H",
                       false},
    [CM_ROLE_KEY] = {{LAYER "attention.self.key.weight", OURS "mh_attn.mh_attn.to_k.weight"}, "H,H", false},
    [CM_ROLE_VALUE] = {{LAYER "attention.self.value.weight", OURS "mh_attn.mh_attn.to_v.weight"},
                       "H,H",
                       false},
    [CM_ROLE_QKV] = {{OURS "mh_attn.Wqkv.weight"}, "3H,H", true},
    [CM_ROLE_OUT] = {{LAYER "attention.output.dense.weight", OURS "mh_attn.out_proj.weight",
                      OURS "mh_attn.mh_attn.out_proj.weight"},
                     "H,H",
                     false},
    [CM_ROLE_ATTENTION_NORM] = {{LAYER "attention.layer_norm.weight", OURS "attn_layer_norm.weight"},
                                "H",
                                false},
    [CM_ROLE_ATTENTION_NORM_BIAS] = {{LAYER "attention.layer_norm.bias", OURS "attn_layer_norm.bias"},
                                     "H",
                                     false},
    [CM_ROLE_INNER] = {{LAYER "intermediate.linear.weight", OURS "transition.0.linear.weight"}, "F,H", false},
    [CM_ROLE_INNER_BIAS] = {{LAYER "intermediate.linear.bias", OURS "transition.0.linear.bias"}, "F", false},
    [CM_ROLE_GATE] = {{LAYER "intermediate.linear_gate.weight", OURS "transition.0.linear_gate.weight"},
                      "F,H",
                      false},
    [CM_ROLE_GATE_BIAS] = {{LAYER "intermediate.linear_gate.bias", OURS "transition.0.linear_gate.bias"},
                           "F",
                           false},
    [CM_ROLE_BETA] = {{LAYER "intermediate.bias", OURS "transition.0.beta", LAYER "intermediate.beta"},
                      "1",
                      false},
    [CM_ROLE_OUTER] = {{LAYER "output.dense.weight", OURS "transition.2.weight"}, "H,F", false},
    [CM_ROLE_OUTER_BIAS] = {{LAYER "output.dense.bias", OURS "transition.2.bias"}, "H", false},
    [CM_ROLE_FEED_NORM] = {{LAYER "layer_norm.weight", OURS "out_layer_norm.weight"}, "H", false},
    [CM_ROLE_FEED_NORM_BIAS] = {{LAYER "layer_norm.bias", OURS "out_layer_norm.bias"}, "H", false},
    [CM_ROLE_FREQUENCIES] = {{LAYER "attention.self.rotary_embeddings.inv_freq",
                              OURS "mh_attn.rotary_emb.inv_freq", OURS "mh_attn.mh_attn.rotary_emb.inv_freq"},
                             "D",
                             true},
};

static const char *const model_types[] = {"rinalmo", NULL};
static const char *const prefixes[] = {"rinalmo.", "model.", "", "lm.", NULL};

const cm_family cm_family_rinalmo = {.name = "rinalmo",
                                     .title = "RiNALMo (Penic et al. 2024)",
                                     .licence = "code Apache-2.0, weights see zenodo.org/records/15043668; "
                                                "multimolecule's copies AGPL-3.0",
                                     .pooling = "mean over nucleotides",
                                     .model_types = model_types,
                                     .prefixes = prefixes,
                                     .tokenizer = &tokenizer,
                                     .engine = &cm_transformer_engine,
                                     .rules = &rules,
                                     .weights = weights,
                                     .n_weights = CM_ROLE_COUNT};
