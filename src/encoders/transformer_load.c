/* Reading a checkpoint for the transformer engine: which tensors there are, whether their shapes and the
 * config agree, and packing them. */
#include "base/alloc.h"
#include "base/buf.h"
#include "encoders/transformer_state.h"
#include <math.h>
#include <string.h>

typedef struct loader {
    cm_transformer *to;
    const cm_weights *weights;
    const json_t *config;
    cm_precision precision;
    const cm_tensor **found; /* [CM_ROLE_COUNT * max(layers, 1)], see tensor() */
    int generation;          /* of the word table's name */
    int64_t size['Z' + 1];   /* of the letters of the shapes, 0: not known yet */
    float *whole;            /* the tensor, or stacked tensors, being packed */
    size_t whole_floats;
    cm_buf problems;
    int n_problems;
    cm_error *error;
} loader;

static const cm_tensor **slot(const loader *l, cm_role role, int64_t layer) {
    return &l->found[layer * CM_ROLE_COUNT + role];
}

static const cm_tensor *tensor(const loader *l, cm_role role, int64_t layer) {
    return *slot(l, role, role < CM_ROLE_FIRST_OF_LAYER ? 0 : layer);
}

static const cm_weight_row *row_of(const loader *l, cm_role role) {
    return &l->to->family->weights[role];
}

/* ---- problems ---- */

/* Begins a problem; the caller appends what it is. */
static cm_buf *problem(loader *l) {
    if (l->n_problems++ > 0) cm_buf_text(&l->problems, "; ");
    return &l->problems;
}

/* The name under which this generation of checkpoints stores role. */
static void append_name(loader *l, cm_role role, int64_t layer) {
    const cm_weight_row *row = row_of(l, role);
    const char *name = row->names[l->generation] ? row->names[l->generation] : row->names[0];
    const char *hole = strstr(name, "{}");
    if (hole)
        cm_buf_printf(&l->problems, "%.*s%lld%s", (int)(hole - name), name, (long long)layer, hole + 2);
    else
        cm_buf_text(&l->problems, name);
}

static cm_status report(loader *l) {
    if (l->n_problems == 0) return CM_OK;
    return cm_fail(l->error, CM_MODEL, cm_weights_folder(l->weights),
                   cm_format("%d problem%s", l->n_problems, l->n_problems > 1 ? "s" : "").text,
                   cm_format("a checkpoint of %s", l->to->family->title).text, "%s",
                   l->problems.failed ? "too many to list" : l->problems.data);
}

/* ---- shapes ---- */

/* Whether tensor has the shape of row; letters that are not known yet become known. */
static bool shape_fits(loader *l, const char *shape, const cm_tensor *t) {
    int64_t size['Z' + 1];
    int dims = 0;
    memcpy(size, l->size, sizeof size);
    for (const char *at = shape; *at; dims++) {
        int64_t factor = 0;
        while (*at >= '0' && *at <= '9') factor = factor * 10 + (*at++ - '0');
        int64_t *letter = *at >= 'A' && *at <= 'Z' ? &size[(unsigned char)*at++] : NULL;
        if (*at == ',') at++;
        if (dims >= t->n_dims || t->dims[dims] < 1) return false;
        if (letter && *letter == 0) *letter = t->dims[dims] / (factor ? factor : 1);
        if (t->dims[dims] != (factor ? factor : 1) * (letter ? *letter : 1)) return false;
    }
    if (dims != t->n_dims) return false;
    memcpy(l->size, size, sizeof size);
    return true;
}

/* "[33, 320]" with the sizes that are known: "V,H" -> "[33, 320]", a letter where one is not. */
static void append_wanted(loader *l, const char *shape) {
    cm_buf_text(&l->problems, "[");
    for (const char *at = shape; *at; at++) {
        int64_t size = *at >= 'A' && *at <= 'Z' ? l->size[(unsigned char)*at] : 0;
        bool multiple = at > shape && at[-1] >= '0' && at[-1] <= '9';
        if (size > 0)
            cm_buf_printf(&l->problems, "%s%lld", multiple ? " x " : "", (long long)size);
        else
            cm_buf_printf(&l->problems, *at == ',' ? "%c " : "%c", *at);
    }
    cm_buf_text(&l->problems, "]");
}

static void append_shape(loader *l, const cm_tensor *t) {
    cm_buf_text(&l->problems, "[");
    for (int i = 0; i < t->n_dims; i++)
        cm_buf_printf(&l->problems, "%s%lld", i ? ", " : "", (long long)t->dims[i]);
    cm_buf_text(&l->problems, "]");
}

static bool is_float(cm_dtype dtype) {
    return dtype == CM_DTYPE_F32 || dtype == CM_DTYPE_F16 || dtype == CM_DTYPE_BF16 || dtype == CM_DTYPE_F64;
}

static void check_tensor(loader *l, cm_role role, int64_t layer, const cm_tensor *t) {
    const char *shape = row_of(l, role)->shape;
    bool fits = shape_fits(l, shape, t);
    if (fits && is_float(t->dtype)) return;
    cm_buf *text = problem(l);
    append_name(l, role, layer);
    if (!fits) {
        cm_buf_text(text, " is ");
        append_shape(l, t);
        cm_buf_text(text, " instead of ");
        append_wanted(l, shape);
    } else {
        cm_buf_printf(text, " holds %s instead of floats", cm_dtype_name(t->dtype));
    }
}

/* ---- config ---- */

/* What the config says of key; NULL when it says nothing. */
static const json_t *config_value(const loader *l, const char *key) {
    const json_t *value = l->config && key ? json_object_get(l->config, key) : NULL;
    return json_is_null(value) ? NULL : value;
}

/* A whole number above 0 of the config, 0 when it says nothing. */
static int64_t config_number(loader *l, const char *key) {
    const json_t *value = config_value(l, key);
    if (!value) return 0;
    if (json_is_integer(value) && json_integer_value(value) > 0) return json_integer_value(value);
    cm_buf_printf(problem(l), "config %s is no whole number above 0", key);
    return 0;
}

static bool config_truth(const loader *l, const char *key, bool otherwise) {
    const json_t *value = config_value(l, key);
    return json_is_boolean(value) ? json_is_true(value) : otherwise;
}

/* A number in (0, 1), else what the family says. */
static double config_small(loader *l, const char *key, double otherwise) {
    const json_t *value = config_value(l, key);
    if (!value) return otherwise;
    double number = json_is_number(value) ? json_number_value(value) : -1;
    if (number > 0 && number < 1) return number;
    cm_buf_printf(problem(l), "config %s is no number between 0 and 1", key);
    return otherwise;
}

static void check_number(loader *l, const char *key, int64_t have) {
    const json_t *value = config_value(l, key);
    if (!value || have <= 0) return;
    if (!json_is_integer(value))
        cm_buf_printf(problem(l), "config %s is no whole number", key);
    else if (json_integer_value(value) != have)
        cm_buf_printf(problem(l), "config %s %lld, the tensors have %lld", key,
                      (long long)json_integer_value(value), (long long)have);
}

static void check_text(loader *l, const char *key, const char *want) {
    const json_t *value = config_value(l, key);
    if (value && !json_is_string(value))
        cm_buf_printf(problem(l), "config %s is no text", key);
    else if (value && strcmp(json_string_value(value), want) != 0)
        cm_buf_printf(problem(l), "config %s %.40s instead of %s", key, json_string_value(value), want);
}

static void check_truth(loader *l, const char *key) {
    const json_t *value = config_value(l, key);
    if (value && !json_is_boolean(value))
        cm_buf_printf(problem(l), "config %s is neither true nor false", key);
}

static void check_config(loader *l) {
    static const char *const truths[] = {"is_decoder", "learnable_beta", "token_dropout"};
    const cm_transformer_rules *rules = l->to->rules;
    for (int i = 0; i < 3; i++) check_truth(l, truths[i]);
    check_number(l, "num_hidden_layers", l->to->layers);
    check_number(l, "vocab_size", l->size['V']);
    check_number(l, "hidden_size", l->size['H']);
    check_number(l, rules->inner_key, l->size['F']);
    if (!rules->rotary) check_number(l, "max_position_embeddings", l->size['P']);
    check_number(l, "type_vocab_size", l->size['T']);
    check_number(l, "num_random_features", l->size['R']);
    check_text(l, "hidden_act", "gelu");
    check_text(l, "position_embedding_type", rules->rotary ? "rotary" : "absolute");
    check_text(l, "feature_map_kernel", "relu");
    if (config_truth(l, "is_decoder", false)) cm_buf_text(problem(l), "config is_decoder is true");
}

/* ---- collecting ---- */

static bool has(const loader *l, cm_role role) {
    return row_of(l, role)->names[0] != NULL;
}

/* Whether a checkpoint without this tensor is complete. */
static bool may_lack(const loader *l, cm_role role, int64_t layer) {
    if (row_of(l, role)->optional) return true;
    if (role == CM_ROLE_BETA) return !config_truth(l, "learnable_beta", true);
    bool one_of_three = role == CM_ROLE_QUERY || role == CM_ROLE_KEY || role == CM_ROLE_VALUE;
    return one_of_three && tensor(l, CM_ROLE_QKV, layer) != NULL;
}

static void collect(loader *l, int first, int end, int64_t layer) {
    for (int role = first; role < end; role++)
        if (has(l, (cm_role)role))
            *slot(l, (cm_role)role, layer) =
                cm_family_tensor(l->to->family, l->weights, row_of(l, (cm_role)role), layer, NULL);
    for (int role = first; role < end; role++) {
        const cm_tensor *t = *slot(l, (cm_role)role, layer);
        if (t) {
            check_tensor(l, (cm_role)role, layer, t);
        } else if (has(l, (cm_role)role) && !may_lack(l, (cm_role)role, layer)) {
            problem(l);
            append_name(l, (cm_role)role, layer);
            cm_buf_text(&l->problems, " is missing");
        }
    }
}

/* Head count and width: config, else the tensors that have the head width, else the family's. */
static void settle_heads(loader *l) {
    int64_t heads = config_number(l, "num_attention_heads"), width = l->size['H'];
    if (width == 0) return;
    const cm_tensor *frequencies = l->to->layers > 0 ? tensor(l, CM_ROLE_FREQUENCIES, 0) : NULL;
    const cm_tensor *features = l->to->layers > 0 ? tensor(l, CM_ROLE_FEATURES, 0) : NULL;
    if (heads == 0 && frequencies && frequencies->n_dims == 1 && frequencies->dims[0] > 0)
        heads = width / 2 / frequencies->dims[0];
    if (heads == 0 && features && features->n_dims == 2 && features->dims[0] > 0)
        heads = width / features->dims[0];
    if (heads == 0) heads = l->to->rules->heads;
    if (width % heads != 0 || (l->to->rules->rotary && width / heads % 2 != 0)) {
        cm_buf_printf(problem(l), "%lld heads do not divide width %lld%s", (long long)heads, (long long)width,
                      l->to->rules->rotary ? " into even parts" : "");
        return;
    }
    l->to->heads = (int)heads;
    l->size['W'] = width / heads;
    l->size['D'] = width / heads / 2;
}

/* Tensors of the first layer that say the head width must be found before they are checked against it. */
static void find_head_tensors(loader *l) {
    static const cm_role roles[] = {CM_ROLE_FREQUENCIES, CM_ROLE_FEATURES};
    for (int i = 0; i < 2 && l->to->layers > 0; i++)
        if (has(l, roles[i]))
            *slot(l, roles[i], 0) = cm_family_tensor(l->to->family, l->weights, row_of(l, roles[i]), 0, NULL);
}

static cm_status check(loader *l) {
    cm_family_tensor(l->to->family, l->weights, row_of(l, CM_ROLE_WORD), 0, &l->generation);
    collect(l, 0, CM_ROLE_FIRST_OF_LAYER, 0);
    find_head_tensors(l);
    settle_heads(l);
    if (l->to->layers == 0) cm_buf_text(problem(l), "there are no layers");
    for (int64_t i = 0; i < l->to->layers; i++) collect(l, CM_ROLE_FIRST_OF_LAYER, CM_ROLE_COUNT, i);
    check_config(l);
    l->to->eps = (float)config_small(l, "layer_norm_eps", l->to->rules->eps);
    l->to->feature_eps = (float)config_small(l, "linear_attention_eps", 1e-6);
    l->to->token_dropout = config_truth(l, "token_dropout", l->to->rules->token_dropout);
    return report(l);
}

/* ---- reading ---- */

static size_t elements(const cm_tensor *t) {
    size_t count = 1;
    for (int i = 0; i < t->n_dims; i++) count *= (size_t)t->dims[i]; /* the file holds them */
    return count;
}

/* The first rows of t (all of them: -1) into new memory; *out NULL when t is. */
static cm_status read_rows(loader *l, const cm_tensor *t, int64_t rows, float **out) {
    if (!t) return CM_OK;
    *out = cm_new(elements(t), sizeof **out);
    if (!*out) return cm_fail_memory(l->error, elements(t) * sizeof **out);
    return cm_weights_f32(l->weights, t, 0, rows < 0 ? t->dims[0] : rows, *out, l->error);
}

static cm_status read_norm(loader *l, cm_role role, int64_t layer, cm_layer_norm *norm) {
    CM_TRY(read_rows(l, tensor(l, role, layer), -1, &norm->weight));
    return read_rows(l, tensor(l, (cm_role)(role + 1), layer), -1, &norm->bias);
}

/* The tensors roles[n] on top of each other into to [sum of their rows, cols]. */
static cm_status read_stacked(loader *l, const cm_role *roles, int n, int64_t layer, int64_t cols,
                              float *to) {
    for (int i = 0; i < n; i++) {
        const cm_tensor *t = tensor(l, roles[i], layer);
        CM_TRY(cm_weights_f32(l->weights, t, 0, t->dims[0], to, l->error));
        to += t->dims[0] * cols;
    }
    return CM_OK;
}

/* One array for all tensors in turn: arrays of their own would leave holes between the packed weights. */
static cm_status provide_whole(loader *l, size_t floats) {
    if (floats <= l->whole_floats) return CM_OK;
    cm_free(l->whole);
    l->whole_floats = 0;
    l->whole = cm_new(floats, sizeof *l->whole);
    if (!l->whole) return cm_fail_memory(l->error, floats * sizeof *l->whole);
    l->whole_floats = floats;
    return CM_OK;
}

/* Packs the tensors weights[n] on top of each other. */
static cm_status pack(loader *l, const cm_role *weights, int n, int64_t layer, cm_packed **packed) {
    int64_t in = tensor(l, weights[0], layer)->dims[1], out = 0;
    for (int i = 0; i < n; i++) out += tensor(l, weights[i], layer)->dims[0];
    CM_TRY(provide_whole(l, (size_t)out * (size_t)in)); /* the file holds that many */
    CM_TRY(read_stacked(l, weights, n, layer, in, l->whole));
    return cm_packed_create(packed, l->precision, out, in, l->whole, in, l->error);
}

/* weight and (when the first is there) bias of a product whose rows are the tensors weights[n]. */
static cm_status read_dense(loader *l, const cm_role *weights, const cm_role *biases, int n, int64_t layer,
                            cm_dense *dense) {
    if (!tensor(l, weights[0], layer)) return CM_OK;
    CM_TRY(pack(l, weights, n, layer, &dense->weight));
    if (!biases || !tensor(l, biases[0], layer)) return CM_OK;
    size_t out = (size_t)cm_packed_out(dense->weight);
    dense->bias = cm_new(out, sizeof(float));
    if (!dense->bias) return cm_fail_memory(l->error, out * sizeof(float));
    return read_stacked(l, biases, n, layer, 1, dense->bias);
}

static cm_status read_one(loader *l, cm_role weight, int64_t layer, cm_dense *dense) {
    cm_role bias = (cm_role)(weight + 1);
    return read_dense(l, &weight, &bias, 1, layer, dense);
}

static cm_status read_qkv(loader *l, int64_t layer, cm_dense *dense) {
    static const cm_role fused = CM_ROLE_QKV, weights[] = {CM_ROLE_QUERY, CM_ROLE_KEY, CM_ROLE_VALUE},
                         biases[] = {CM_ROLE_QUERY_BIAS, CM_ROLE_KEY_BIAS, CM_ROLE_VALUE_BIAS};
    if (tensor(l, CM_ROLE_QKV, layer)) return read_dense(l, &fused, NULL, 1, layer, dense);
    return read_dense(l, weights, biases, 3, layer, dense);
}

/* x to the nearest fp16, ties to even; x in the range of normal fp16 numbers. */
static float round_to_half(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits += 0xfff + (bits >> 13 & 1);
    bits &= ~(uint32_t)0x1fff;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* 1 / 10000^(2 i / W), in f32 as the reference libraries compute it. */
static cm_status make_frequencies(loader *l, float **frequencies) {
    int64_t count = l->size['D'];
    *frequencies = cm_new((size_t)count, sizeof **frequencies);
    if (!*frequencies) return cm_fail_memory(l->error, (size_t)count * sizeof **frequencies);
    for (int64_t i = 0; i < count; i++) {
        float f = 1.0f / powf(10000.0f, (float)(2 * i) / (float)(2 * count));
        (*frequencies)[i] = l->to->rules->half_frequencies ? round_to_half(f) : f;
    }
    return CM_OK;
}

static cm_status make_beta(loader *l, float **beta) {
    *beta = cm_new(1, sizeof **beta);
    if (!*beta) return cm_fail_memory(l->error, sizeof **beta);
    **beta = 1;
    return CM_OK;
}

static cm_status read_layer(loader *l, int64_t i) {
    cm_transformer_layer *layer = &l->to->layer[i];
    CM_TRY(read_qkv(l, i, &layer->qkv));
    CM_TRY(read_one(l, CM_ROLE_OUT, i, &layer->out));
    CM_TRY(read_one(l, CM_ROLE_INNER, i, &layer->inner));
    CM_TRY(read_one(l, CM_ROLE_GATE, i, &layer->gate));
    CM_TRY(read_one(l, CM_ROLE_OUTER, i, &layer->outer));
    CM_TRY(read_norm(l, CM_ROLE_ATTENTION_NORM, i, &layer->attention_norm));
    CM_TRY(read_norm(l, CM_ROLE_FEED_NORM, i, &layer->feed_norm));
    CM_TRY(read_rows(l, tensor(l, CM_ROLE_FREQUENCIES, i), -1, &layer->frequencies));
    if (!layer->frequencies && l->to->rules->rotary) CM_TRY(make_frequencies(l, &layer->frequencies));
    CM_TRY(read_rows(l, tensor(l, CM_ROLE_FEATURES, i), -1, &layer->features));
    CM_TRY(read_rows(l, tensor(l, CM_ROLE_BETA, i), -1, &layer->beta));
    return layer->gate.weight && !layer->beta ? make_beta(l, &layer->beta) : CM_OK;
}

static cm_status read_all(loader *l) {
    cm_transformer *to = l->to;
    to->vocabulary = l->size['V'];
    to->hidden = l->size['H'];
    to->inner = l->size['F'];
    to->positions = l->size['P'];
    to->features = l->size['R'];
    CM_TRY(read_rows(l, tensor(l, CM_ROLE_WORD, 0), -1, &to->word));
    CM_TRY(read_rows(l, tensor(l, CM_ROLE_POSITION, 0), -1, &to->position));
    CM_TRY(read_rows(l, tensor(l, CM_ROLE_TYPE, 0), 1, &to->type));
    CM_TRY(read_norm(l, CM_ROLE_EMBED_NORM, 0, &to->embed_norm));
    CM_TRY(read_norm(l, CM_ROLE_FINAL_NORM, 0, &to->final_norm));
    for (int64_t i = 0; i < to->layers; i++) CM_TRY(read_layer(l, i));
    return CM_OK;
}

static cm_status open_tokenizer(loader *l) {
    cm_transformer *to = l->to;
    const cm_tokenizer_spec *spec = to->family->tokenizer;
    if (l->generation > 0 && to->rules->original_tokenizer) spec = to->rules->original_tokenizer;
    CM_TRY(
        cm_tokenizer_create(&to->tokenizer, spec, cm_weights_folder(l->weights), to->vocabulary, l->error));
    to->mask = spec->mask ? cm_tokenizer_id(to->tokenizer, spec->mask) : -1;
    to->padding = spec->padding ? cm_tokenizer_id(to->tokenizer, spec->padding) : -1;
    return CM_OK;
}

static cm_status load(loader *l) {
    size_t layers = (size_t)l->to->layers;
    l->found = cm_new(layers > 0 ? layers : 1, CM_ROLE_COUNT * sizeof(const cm_tensor *));
    l->to->layer = cm_new(layers, sizeof *l->to->layer);
    if (!l->found || !l->to->layer) return cm_fail_memory(l->error, 0);
    CM_TRY(check(l));
    CM_TRY(open_tokenizer(l));
    return read_all(l);
}

cm_status cm_transformer_load(cm_transformer *transformer, const cm_weights *weights, const json_t *config,
                              cm_precision precision, cm_error *error) {
    loader l = {.to = transformer,
                .weights = weights,
                .config = json_is_object(config) ? config : NULL,
                .precision = precision,
                .problems = CM_BUF_EMPTY,
                .error = error};
    transformer->layers = cm_family_layers(transformer->family, weights);
    cm_status status = load(&l);
    cm_free(l.found);
    cm_free(l.whole);
    cm_buf_clear(&l.problems);
    return status;
}

static void clear_dense(cm_dense *dense) {
    cm_packed_destroy(dense->weight);
    cm_free(dense->bias);
}

static void clear_norm(cm_layer_norm *norm) {
    cm_free(norm->weight);
    cm_free(norm->bias);
}

static void clear_layer(cm_transformer_layer *layer) {
    clear_dense(&layer->qkv);
    clear_dense(&layer->out);
    clear_dense(&layer->inner);
    clear_dense(&layer->gate);
    clear_dense(&layer->outer);
    clear_norm(&layer->attention_norm);
    clear_norm(&layer->feed_norm);
    cm_free(layer->frequencies);
    cm_free(layer->features);
    cm_free(layer->beta);
}

static void clear_tapes(cm_transformer *transformer) {
    cm_tape_destroy(transformer->tape);
    for (int i = 0; i < transformer->n_own; i++) cm_tape_destroy(transformer->own[i]);
    cm_free(transformer->own);
    transformer->tape = NULL;
    transformer->own = NULL;
    transformer->n_own = 0;
}

static bool make_tapes(cm_transformer *transformer) {
    int size = cm_team_size(transformer->team);
    transformer->tape = cm_tape_create(transformer->team, false);
    transformer->own = cm_new((size_t)size, sizeof(cm_tape *));
    if (!transformer->tape || !transformer->own) return false;
    for (; transformer->n_own < size; transformer->n_own++) {
        transformer->own[transformer->n_own] = cm_tape_create(NULL, false);
        if (!transformer->own[transformer->n_own]) return false;
    }
    return true;
}

cm_status cm_transformer_ready(cm_transformer *transformer, cm_team *team, cm_error *error) {
    if (!transformer->tape || transformer->team != team || transformer->n_own != cm_team_size(team)) {
        clear_tapes(transformer);
        transformer->team = team;
        if (make_tapes(transformer)) return CM_OK;
        clear_tapes(transformer);
        return cm_fail_memory(error, 0);
    }
    cm_tape_reset(transformer->tape, 0, false);
    for (int i = 0; i < transformer->n_own; i++) cm_tape_reset(transformer->own[i], 0, false);
    return CM_OK;
}

void cm_transformer_clear(cm_transformer *transformer) {
    for (int64_t i = 0; transformer->layer && i < transformer->layers; i++)
        clear_layer(&transformer->layer[i]);
    cm_free(transformer->layer);
    cm_free(transformer->word);
    cm_free(transformer->position);
    cm_free(transformer->type);
    clear_norm(&transformer->embed_norm);
    clear_norm(&transformer->final_norm);
    cm_tokenizer_destroy(transformer->tokenizer);
    clear_tapes(transformer);
}
