/* RNABERT (Akiyama, Sakakibara 2022; mana438/RNABERT, the authors' own files). Every molecule is filled up to
 * 440 tokens with id 0 and no mask tells attention of it, so the published vectors depend on the filling. */
#include "bio/vocabularies.h"
#include "encoders/transformer.h"

#define LAYER "encoder.layer.{}."

/* A letter that is not A, C, G or U becomes MASK, which keeps the others in their places. */
static const cm_tokenizer_spec tokenizer = {.kind = CM_TOKENIZER_LETTERS,
                                            .unknown = "MASK",
                                            .mask = "MASK",
                                            .padding = "PAD",
                                            .upper_case = true,
                                            .replace_from = 'T',
                                            .replace_to = 'U',
                                            .vocabulary = cm_vocabulary_rnabert};

static const cm_transformer_rules rules = {
    .norm = CM_NORM_POST, .pads = true, .heads = 12, .eps = 1e-12, .inner_key = "intermediate_size"};

static const cm_weight_row weights[CM_ROLE_COUNT] = {
    [CM_ROLE_WORD] = {{"embeddings.word_embeddings.weight"}, "V,H", false},
    [CM_ROLE_POSITION] = {{"embeddings.position_embeddings.weight"}, "P,H", false},
    [CM_ROLE_TYPE] = {{"embeddings.token_type_embeddings.weight"}, "T,H", false},
    [CM_ROLE_EMBED_NORM] = {{"embeddings.LayerNorm.gamma"}, "H", false},
    [CM_ROLE_EMBED_NORM_BIAS] = {{"embeddings.LayerNorm.beta"}, "H", false},
    [CM_ROLE_QUERY] = {{LAYER "attention.selfattn.query.weight"}, "H,H", false},
    [CM_ROLE_QUERY_BIAS] = {{LAYER "attention.selfattn.query.bias"}, "H", false},
    [CM_ROLE_KEY] = {{LAYER "attention.selfattn.key.weight"}, "H,H", false},
    [CM_ROLE_KEY_BIAS] = {{LAYER "attention.selfattn.key.bias"}, "H", false},
    [CM_ROLE_VALUE] = {{LAYER "attention.selfattn.value.weight"}, "H,H", false},
    [CM_ROLE_VALUE_BIAS] = {{LAYER "attention.selfattn.value.bias"}, "H", false},
    [CM_ROLE_OUT] = {{LAYER "attention.output.dense.weight"}, "H,H", false},
    [CM_ROLE_OUT_BIAS] = {{LAYER "attention.output.dense.bias"}, "H", false},
    [CM_ROLE_ATTENTION_NORM] = {{LAYER "attention.output.LayerNorm.gamma"}, "H", false},
    [CM_ROLE_ATTENTION_NORM_BIAS] = {{LAYER "attention.output.LayerNorm.beta"}, "H", false},
    [CM_ROLE_INNER] = {{LAYER "intermediate.dense.weight"}, "F,H", false},
    [CM_ROLE_INNER_BIAS] = {{LAYER "intermediate.dense.bias"}, "F", false},
    [CM_ROLE_OUTER] = {{LAYER "output.dense.weight"}, "H,F", false},
    [CM_ROLE_OUTER_BIAS] = {{LAYER "output.dense.bias"}, "H", false},
    [CM_ROLE_FEED_NORM] = {{LAYER "output.LayerNorm.gamma"}, "H", false},
    [CM_ROLE_FEED_NORM_BIAS] = {{LAYER "output.LayerNorm.beta"}, "H", false},
};

/* The first columns of the published output for AAA (mana438/RNABERT), with the published weights. */
static const float golden_values[] = {-0.010992482f, 0.006789595f, 0.0f, -0.044140987f, -0.04634976f,
                                      -0.016011378f, 0.00753054f,  0.0f, -0.03916449f,  -0.06578387f,
                                      -0.007768147f, 0.013152838f, 0.0f, -0.05018366f,  -0.03933338f};
static const cm_golden golden[] = {
    {.checkpoint = "mana438/RNABERT",
     .sha256 = "7f7dea5240dc6573d57efa250201d38d8655cf13f6b65c582863016f5e503902",
     .text = "AAA",
     .rows = 3,
     .cols = 5,
     .values = golden_values,
     .tolerance = 1e-6},
    {.checkpoint = NULL}};

static const char *const model_types[] = {"rnabert", NULL};
static const char *const prefixes[] = {"bert.", "module.bert.", "", NULL};

const cm_family cm_family_rnabert = {.name = "rnabert",
                                     .title = "RNABERT (Akiyama and Sakakibara 2022)",
                                     .licence = "unknown",
                                     .pooling = "mean over nucleotides",
                                     .model_types = model_types,
                                     .prefixes = prefixes,
                                     .tokenizer = &tokenizer,
                                     .golden = golden,
                                     .engine = &cm_transformer_engine,
                                     .rules = &rules,
                                     .weights = weights,
                                     .n_weights = CM_ROLE_COUNT};
