/* ESM-2 and ESM-1b (Lin et al. 2023, Rives et al. 2021; transformers EsmModel, facebookresearch/esm). */
#include "bio/vocabularies.h"
#include "encoders/transformer.h"

#define LAYER "encoder.layer.{}."
#define OURS "layers.{}." /* the authors' own files */

static const cm_tokenizer_spec tokenizer = {.kind = CM_TOKENIZER_ESM,
                                            .begin = "<cls>",
                                            .end = "<eos>",
                                            .unknown = "<unk>",
                                            .mask = "<mask>",
                                            .padding = "<pad>",
                                            .vocabulary = cm_vocabulary_esm};

/* ESM-2 was trained in fp16, so the frequencies of its formula are those of fp16 (convert_esm.py). */
static const cm_transformer_rules rules = {.norm = CM_NORM_PRE,
                                           .rotary = true,
                                           .half_frequencies = true,
                                           .token_dropout = true,
                                           .heads = 20,
                                           .eps = 1e-5,
                                           .inner_key = "intermediate_size"};

static const cm_transformer_rules rules_1b = {.norm = CM_NORM_PRE,
                                              .token_dropout = true,
                                              .first_position = 2,
                                              .heads = 20,
                                              .eps = 1e-5,
                                              .inner_key = "intermediate_size"};

/* Both generations have these; transformers 5 writes the norms as gamma and beta. */
#define COMMON_ROWS                                                                                          \
    [CM_ROLE_WORD] = {{"embeddings.word_embeddings.weight", "embed_tokens.weight"}, "V,H", false},           \
    [CM_ROLE_FINAL_NORM] = {{"encoder.emb_layer_norm_after.weight", "encoder.emb_layer_norm_after.gamma",    \
                             "emb_layer_norm_after.weight"},                                                 \
                            "H",                                                                             \
                            false},                                                                          \
    [CM_ROLE_FINAL_NORM_BIAS] = {{"encoder.emb_layer_norm_after.bias", "encoder.emb_layer_norm_after.beta",  \
                                  "emb_layer_norm_after.bias"},                                              \
                                 "H",                                                                        \
                                 false},                                                                     \
    [CM_ROLE_QUERY] = {{LAYER "attention.self.query.weight", OURS "self_attn.q_proj.weight"}, "H,H", false}, \
    [CM_ROLE_QUERY_BIAS] = {{LAYER "attention.self.query.bias", OURS "self_attn.q_proj.bias"}, "H", false},  \
    [CM_ROLE_KEY] = {{LAYER "attention.self.key.weight", OURS "self_attn.k_proj.weight"}, "H,H", false},     \
    [CM_ROLE_KEY_BIAS] = {{LAYER "attention.self.key.bias", OURS "self_attn.k_proj.bias"}, "H", false},      \
    [CM_ROLE_VALUE] = {{LAYER "attention.self.value.weight", OURS "self_attn.v_proj.weight"}, "H,H", false}, \
    [CM_ROLE_VALUE_BIAS] = {{LAYER "attention.self.value.bias", OURS "self_attn.v_proj.bias"}, "H", false},  \
    [CM_ROLE_OUT] = {{LAYER "attention.output.dense.weight", OURS "self_attn.out_proj.weight"},              \
                     "H,H",                                                                                  \
                     false},                                                                                 \
    [CM_ROLE_OUT_BIAS] = {{LAYER "attention.output.dense.bias", OURS "self_attn.out_proj.bias"},             \
                          "H",                                                                               \
                          false},                                                                            \
    [CM_ROLE_ATTENTION_NORM] = {{LAYER "attention.LayerNorm.weight", LAYER "attention.LayerNorm.gamma",      \
                                 OURS "self_attn_layer_norm.weight"},                                        \
                                "H",                                                                         \
                                false},                                                                      \
    [CM_ROLE_ATTENTION_NORM_BIAS] = {{LAYER "attention.LayerNorm.bias", LAYER "attention.LayerNorm.beta",    \
                                      OURS "self_attn_layer_norm.bias"},                                     \
                                     "H",                                                                    \
                                     false},                                                                 \
    [CM_ROLE_INNER] = {{LAYER "intermediate.dense.weight", OURS "fc1.weight"}, "F,H", false},                \
    [CM_ROLE_INNER_BIAS] = {{LAYER "intermediate.dense.bias", OURS "fc1.bias"}, "F", false},                 \
    [CM_ROLE_OUTER] = {{LAYER "output.dense.weight", OURS "fc2.weight"}, "H,F", false},                      \
    [CM_ROLE_OUTER_BIAS] = {{LAYER "output.dense.bias", OURS "fc2.bias"}, "H", false},                       \
    [CM_ROLE_FEED_NORM] = {{LAYER "LayerNorm.weight", LAYER "LayerNorm.gamma",                               \
                            OURS "final_layer_norm.weight"},                                                 \
                           "H",                                                                              \
                           false},                                                                           \
    [CM_ROLE_FEED_NORM_BIAS] = {                                                                             \
        {LAYER "LayerNorm.bias", LAYER "LayerNorm.beta", OURS "final_layer_norm.bias"}, "H", false}

static const cm_weight_row weights[CM_ROLE_COUNT] = {
    COMMON_ROWS,
    /* one per layer in files of transformers 4 and of the authors, one for all since transformers 5 */
    [CM_ROLE_FREQUENCIES] = {{LAYER "attention.self.rotary_embeddings.inv_freq",
                              OURS "self_attn.rot_emb.inv_freq", "rotary_embeddings.inv_freq"},
                             "D",
                             true},
};

static const cm_weight_row weights_1b[CM_ROLE_COUNT] = {
    COMMON_ROWS,
    [CM_ROLE_POSITION] = {{"embeddings.position_embeddings.weight", "embed_positions.weight"}, "P,H", false},
    [CM_ROLE_EMBED_NORM] = {{"embeddings.layer_norm.weight", "emb_layer_norm_before.weight"}, "H", false},
    [CM_ROLE_EMBED_NORM_BIAS] = {{"embeddings.layer_norm.bias", "emb_layer_norm_before.bias"}, "H", false},
};

static const char *const model_types[] = {"esm", NULL};
static const char *const prefixes[] = {"esm.", "", "encoder.sentence_encoder.", "encoder.", NULL};

/* transformers tests/models/esm/test_modeling_esm.py, last_hidden_state[0, :3, :3] */
static const int32_t golden_ids[] = {0, 6, 4, 13, 5, 4, 16, 12, 11, 7, 2};
static const float golden_values[] = {0.1444f, 0.5413f, 0.3248f,  0.3034f, 0.0053f,
                                      0.3108f, 0.3228f, -0.2499f, 0.3415f};
static const cm_golden golden[] = {{.checkpoint = "facebook/esm2_t6_8M_UR50D",
                                    .ids = golden_ids,
                                    .n_ids = sizeof golden_ids / sizeof *golden_ids,
                                    .rows = 3,
                                    .cols = 3,
                                    .values = golden_values,
                                    .tolerance = 1e-4},
                                   {.checkpoint = NULL}};

const cm_family cm_family_esm2 = {.name = "esm2",
                                  .title = "ESM-2 (Lin et al. 2023)",
                                  .licence = "MIT",
                                  .pooling = "mean over residues",
                                  .model_types = model_types,
                                  .prefixes = prefixes,
                                  .tokenizer = &tokenizer,
                                  .golden = golden,
                                  .engine = &cm_transformer_engine,
                                  .rules = &rules,
                                  .weights = weights,
                                  .n_weights = CM_ROLE_COUNT};

const cm_family cm_family_esm1b = {.name = "esm1b",
                                   .title = "ESM-1b (Rives et al. 2021)",
                                   .licence = "MIT",
                                   .pooling = "mean over residues",
                                   .model_types = model_types,
                                   .prefixes = prefixes,
                                   .tokenizer = &tokenizer,
                                   .engine = &cm_transformer_engine,
                                   .rules = &rules_1b,
                                   .weights = weights_1b,
                                   .n_weights = CM_ROLE_COUNT};
