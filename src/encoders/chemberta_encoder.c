/* ChemBERTa (Chithrananda et al. 2020, Ahmad et al. 2022; transformers RobertaModel). Norm parameters of
 * checkpoints that came through TensorFlow are named gamma and beta. */
#include "encoders/transformer.h"

#define LAYER "encoder.layer.{}."

static const cm_tokenizer_spec tokenizer = {.kind = CM_TOKENIZER_BPE,
                                            .begin = "<s>",
                                            .end = "</s>",
                                            .unknown = "<unk>",
                                            .mask = "<mask>",
                                            .padding = "<pad>"};

static const cm_transformer_rules rules = {
    .norm = CM_NORM_POST, .first_position = 2, .heads = 12, .eps = 1e-12, .inner_key = "intermediate_size"};

static const cm_weight_row weights[CM_ROLE_COUNT] = {
    [CM_ROLE_WORD] = {{"embeddings.word_embeddings.weight"}, "V,H", false},
    [CM_ROLE_POSITION] = {{"embeddings.position_embeddings.weight"}, "P,H", false},
    [CM_ROLE_TYPE] = {{"embeddings.token_type_embeddings.weight"}, "T,H", false},
    [CM_ROLE_EMBED_NORM] = {{"embeddings.LayerNorm.weight", "embeddings.LayerNorm.gamma"}, "H", false},
    [CM_ROLE_EMBED_NORM_BIAS] = {{"embeddings.LayerNorm.bias", "embeddings.LayerNorm.beta"}, "H", false},
    [CM_ROLE_QUERY] = {{LAYER "attention.self.query.weight"}, "H,H", false},
    [CM_ROLE_QUERY_BIAS] = {{LAYER "attention.self.query.bias"}, "H", false},
    [CM_ROLE_KEY] = {{LAYER "attention.self.key.weight"}, "H,H", false},
    [CM_ROLE_KEY_BIAS] = {{LAYER "attention.self.key.bias"}, "H", false},
    [CM_ROLE_VALUE] = {{LAYER "attention.self.value.weight"}, "H,H", false},
    [CM_ROLE_VALUE_BIAS] = {{LAYER "attention.self.value.bias"}, "H", false},
    [CM_ROLE_OUT] = {{LAYER "attention.output.dense.weight"}, "H,H", false},
    [CM_ROLE_OUT_BIAS] = {{LAYER "attention.output.dense.bias"}, "H", false},
    [CM_ROLE_ATTENTION_NORM] =
        {{LAYER "attention.output.LayerNorm.weight", LAYER "attention.output.LayerNorm.gamma"}, "H", false},
    [CM_ROLE_ATTENTION_NORM_BIAS] =
        {{LAYER "attention.output.LayerNorm.bias", LAYER "attention.output.LayerNorm.beta"}, "H", false},
    [CM_ROLE_INNER] = {{LAYER "intermediate.dense.weight"}, "F,H", false},
    [CM_ROLE_INNER_BIAS] = {{LAYER "intermediate.dense.bias"}, "F", false},
    [CM_ROLE_OUTER] = {{LAYER "output.dense.weight"}, "H,F", false},
    [CM_ROLE_OUTER_BIAS] = {{LAYER "output.dense.bias"}, "H", false},
    [CM_ROLE_FEED_NORM] = {{LAYER "output.LayerNorm.weight", LAYER "output.LayerNorm.gamma"}, "H", false},
    [CM_ROLE_FEED_NORM_BIAS] = {{LAYER "output.LayerNorm.bias", LAYER "output.LayerNorm.beta"}, "H", false},
};

static const char *const model_types[] = {"roberta", NULL};
static const char *const prefixes[] = {"roberta.", "", NULL};

const cm_family cm_family_chemberta = {.name = "chemberta",
                                       .title = "ChemBERTa (Chithrananda et al. 2020)",
                                       .licence = "unknown",
                                       .pooling = "mean over SMILES tokens",
                                       .model_types = model_types,
                                       .prefixes = prefixes,
                                       .tokenizer = &tokenizer,
                                       .engine = &cm_transformer_engine,
                                       .rules = &rules,
                                       .weights = weights,
                                       .n_weights = CM_ROLE_COUNT};
