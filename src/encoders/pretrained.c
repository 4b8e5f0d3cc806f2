/* Opening a pretrained encoder: checkpoint, configuration, layer, precision, identity, store. */
#include "encoders/pretrained_state.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "io/json.h"
#include <stdio.h>
#include <string.h>

static const size_t default_memory = (size_t)256 << 20;

/* *config: config.json of the checkpoint's folder, NULL when it has none. */
static cm_status read_config(json_t **config, const cm_weights *weights, cm_error *error) {
    static const char name[] = "config.json";
    char *text = NULL;
    size_t length = 0;
    CM_TRY(cm_weights_text(weights, name, &text, &length, error));
    if (text == NULL) return CM_OK;
    cm_status status = cm_json_parse(config, text, length, cm_weights_folder(weights), name, error);
    cm_free(text);
    if (status == CM_OK && !json_is_object(*config))
        status = cm_fail(error, CM_DATA, cm_weights_folder(weights), name, "an object", "another value");
    return status;
}

/* A configuration that names its model must name one of the family. */
static cm_status check_model_type(const cm_family *family, const json_t *config, const char *folder,
                                  cm_error *error) {
    const json_t *type = json_object_get(config, "model_type");
    if (type == NULL || family->model_types == NULL) return CM_OK;
    const char *found = json_is_string(type) ? json_string_value(type) : "no text";
    cm_buf expected = CM_BUF_EMPTY;
    for (const char *const *known = family->model_types; *known != NULL; known++) {
        if (strcmp(*known, found) == 0) {
            cm_buf_clear(&expected);
            return CM_OK;
        }
        cm_buf_printf(&expected, "%s%s", expected.len > 0 ? ", " : "", *known);
    }
    cm_status status = cm_fail(error, CM_MODEL, folder, "config.json, key model_type",
                               expected.failed ? family->title : expected.data, "%s", found);
    cm_buf_clear(&expected);
    return status;
}

static cm_status resolve_layer(cm_pretrained *p, int asked, const char *folder, cm_error *error) {
    int layer = asked == CM_LAST_LAYER ? p->layers : asked < 0 ? p->layers + 1 + asked : asked;
    if (layer < 0 || layer > p->layers)
        return cm_fail(
            error, CM_USAGE, folder, NULL,
            cm_format("a layer from 0 to %d, or -1 to %d from the end", p->layers, -p->layers - 1).text,
            "layer %d", asked);
    p->layer = layer;
    return CM_OK;
}

static void close_state(cm_pretrained *p) {
    if (p->state != NULL) p->engine->close(p->state);
    p->state = NULL;
}

/* A checkpoint while it is being opened. */
typedef struct opening {
    const cm_weights *weights;
    const json_t *config;
    int layer;
} opening;

static cm_status open_state(cm_pretrained *p, const opening *from, cm_precision precision, cm_error *error) {
    CM_TRY(p->engine->open(&p->state, p->family, from->weights, from->config, precision, error));
    p->precision = precision;
    p->width = p->engine->width(p->state);
    p->layers = p->engine->layers(p->state);
    p->longest = p->engine->longest(p->state);
    return resolve_layer(p, from->layer, cm_weights_folder(from->weights), error);
}

/* The state in the given precision when its probe agrees with exact, else none. */
static cm_status try_precision(cm_pretrained *p, const opening *from, cm_precision precision,
                               const cm_probe *exact, cm_error *error) {
    cm_probe probe = {0};
    cm_precision_report report = {0};
    CM_TRY(open_state(p, from, precision, error));
    cm_status status = cm_probe_run(&probe, p, error);
    if (status == CM_OK) status = cm_probe_compare(exact, &probe, &report, error);
    cm_probe_clear(&probe);
    if (status != CM_OK || !(report.least >= CM_PRECISION_LEAST)) close_state(p);
    return status;
}

/* The fastest precision that keeps the promise of CM_AUTO. The order of speed is fixed, not measured, so
 * that a machine always comes to the same choice and finds its records in the store again. One state is open
 * at a time: the weights of two may not fit. */
static cm_status open_fastest(cm_pretrained *p, const opening *from, cm_error *error) {
    static const cm_precision fastest_first[] = {CM_INT8, CM_BF16};
    cm_probe exact = {0};
    cm_status status = CM_OK;
    for (size_t i = 0; i < sizeof fastest_first / sizeof *fastest_first && status == CM_OK; i++) {
        if (!cm_precision_is_fast(fastest_first[i])) continue;
        if (exact.values == NULL) {
            status = open_state(p, from, CM_F32, error);
            if (status == CM_OK) status = cm_probe_run(&exact, p, error);
            close_state(p);
        }
        if (status == CM_OK) status = try_precision(p, from, fastest_first[i], &exact, error);
        if (p->state != NULL) break;
    }
    cm_probe_clear(&exact);
    return status == CM_OK && p->state == NULL ? open_state(p, from, CM_F32, error) : status;
}

static cm_status make_id(cm_pretrained *p, cm_weights *weights, cm_error *error) {
    const char *hex;
    CM_TRY(cm_weights_sha256(weights, &hex, error));
    snprintf(p->sha256, sizeof p->sha256, "%s", hex);
    cm_buf id = CM_BUF_EMPTY;
    cm_buf_printf(&id, "%s sha256:%s layer %d %s %s", p->family->name, p->sha256, p->layer,
                  cm_precision_name(p->precision), p->long_input == CM_LONG_WINDOWS ? "windows" : "refuse");
    p->id = id.failed ? NULL : cm_copy_text(id.data, id.len);
    cm_buf_clear(&id);
    return p->id != NULL ? CM_OK : cm_fail_memory(error, 0);
}

static cm_status open_checkpoint(cm_pretrained *p, cm_weights *weights, const cm_pretrained_options *options,
                                 cm_error *error) {
    json_t *config = NULL;
    cm_status status = read_config(&config, weights, error);
    if (status == CM_OK) status = check_model_type(p->family, config, cm_weights_folder(weights), error);
    opening from = {weights, config, options->layer};
    if (status == CM_OK)
        status = options->precision == CM_AUTO ? open_fastest(p, &from, error)
                                               : open_state(p, &from, options->precision, error);
    json_decref(config);
    return status == CM_OK ? make_id(p, weights, error) : status;
}

static cm_status open_store(cm_pretrained *p, const cm_pretrained_options *options, cm_error *error) {
    p->store = options->embeddings;
    if (p->store == NULL && options->store != NULL) {
        CM_TRY(cm_embeddings_open(&p->own_store, options->store, true, error));
        p->store = p->own_store;
    }
    if (p->store == NULL) return CM_OK;
    return cm_embeddings_encoder(p->store, p->id, p->width, p->family->title, error);
}

cm_status cm_pretrained_open(cm_pretrained **pretrained, const cm_family *family, const char *reference,
                             const cm_pretrained_options *options, cm_team *team, cm_error *error) {
    const cm_tokenizer_spec *tokenizer = family->tokenizer;
    cm_pretrained *p = cm_new(1, sizeof *p);
    if (p == NULL) return cm_fail_memory(error, sizeof *p);
    *p = (cm_pretrained){.family = family,
                         .engine = family->engine,
                         .team = team,
                         .long_input = options->long_input,
                         .max_memory = options->max_memory > 0 ? options->max_memory : default_memory,
                         .begins = tokenizer != NULL && tokenizer->begin != NULL,
                         .ends = tokenizer != NULL && tokenizer->end != NULL};
    cm_weights *weights = NULL;
    cm_status status = cm_weights_open(&weights, reference, error);
    if (status == CM_OK) status = open_checkpoint(p, weights, options, error);
    if (status == CM_OK) status = open_store(p, options, error);
    cm_weights_close(weights);
    if (status != CM_OK) {
        cm_pretrained_close(p);
        return status;
    }
    *pretrained = p;
    return CM_OK;
}

void cm_pretrained_close(cm_pretrained *p) {
    if (p == NULL) return;
    cm_embeddings_close(p->own_store);
    close_state(p);
    cm_free(p->id);
    cm_free(p);
}

const char *cm_pretrained_id(const cm_pretrained *p) {
    return p->id;
}

int64_t cm_pretrained_width(const cm_pretrained *p) {
    return p->width;
}

int cm_pretrained_layers(const cm_pretrained *p) {
    return p->layers;
}

int cm_pretrained_layer(const cm_pretrained *p) {
    return p->layer;
}

const char *cm_pretrained_sha256(const cm_pretrained *p) {
    return p->sha256;
}

const cm_family *cm_pretrained_family(const cm_pretrained *p) {
    return p->family;
}

cm_precision cm_pretrained_precision(const cm_pretrained *p) {
    return p->precision;
}
