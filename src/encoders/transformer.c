/* The engine of the transformer families: texts to batches, their embeddings, what comes out. */
#include "encoders/transformer.h"
#include "base/alloc.h"
#include "encoders/transformer_layers.h"
#include <string.h>

/* One pass over the molecules of a batch: ids [offsets[n]], molecule i in [offsets[i], offsets[i + 1]). */
typedef struct batch {
    int64_t n;
    int64_t *offsets;
    int32_t *ids;
} batch;

/* ---- embedding ---- */

/* What ESM-2 multiplies the rows by that are not masked: training hid 12 % of the tokens (0.15 * 0.8), so
 * that inputs are brought to the share of visible tokens that it saw. Rows of masked tokens are 0. */
static float dropout_factor(const cm_transformer *model, const int32_t *ids, int64_t n) {
    int64_t masked = 0;
    for (int64_t i = 0; i < n; i++) masked += ids[i] == model->mask;
    return masked < n ? (float)((1 - 0.15 * 0.8) / (1 - (double)masked / (double)n)) : 0.0f;
}

static void add_row(float *restrict to, const float *restrict row, int64_t n) {
    for (int64_t c = 0; c < n; c++) to[c] += row[c];
}

/* Rows of one molecule [n, H]: word + position + type. A padding token written in the input stands at the
 * padding's position and is not counted, as in RoBERTa and ESM-1b. */
static void embed(const cm_transformer *model, const int32_t *ids, cm_mat rows) {
    int64_t h = model->hidden, next = model->rules->first_position;
    float factor = model->token_dropout ? dropout_factor(model, ids, rows.rows) : 1.0f;
    for (int64_t i = 0; i < rows.rows; i++) {
        float *out = cm_mat_row(rows, i);
        const float *word = model->word + ids[i] * h;
        float by = model->token_dropout && ids[i] == model->mask ? 0.0f : factor;
        for (int64_t c = 0; c < h; c++) out[c] = word[c] * by;
        bool outside = ids[i] == model->padding && model->rules->first_position > 0;
        if (model->position)
            add_row(out, model->position + (outside ? model->rules->first_position - 1 : next++) * h, h);
        if (model->type) add_row(out, model->type, h);
    }
}

/* ---- batches ---- */

static int64_t most_tokens(const cm_transformer *model) {
    return model->position ? model->positions - model->rules->first_position : 0;
}

static cm_status check_ids(const cm_transformer *model, const int32_t *ids, int64_t n, cm_error *error) {
    int64_t most = most_tokens(model);
    if (most > 0 && n > most)
        return cm_fail(error, CM_DATA, NULL, "length", cm_format("at most %lld tokens", (long long)most).text,
                       "%lld", (long long)n);
    for (int64_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= model->vocabulary)
            return cm_fail(error, CM_DATA, NULL, cm_format("token %lld", (long long)i + 1).text,
                           cm_format("an id from 0 to %lld", (long long)model->vocabulary - 1).text, "%d",
                           (int)ids[i]);
    return CM_OK;
}

/* The hidden states of b; the first keep rows of each molecule (NULL: all) to out[i]. */
static cm_status run_batch(cm_transformer *model, cm_team *team, int layer, const batch *b,
                           const int64_t *keep, float *const *out, cm_error *error) {
    CM_TRY(cm_transformer_ready(model, team, error));
    const cm_var *x = cm_tape_blank(model->tape, b->offsets[b->n], model->hidden);
    CM_TRY(cm_tape_status(model->tape, error));
    for (int64_t i = 0; i < b->n; i++)
        embed(model, b->ids + b->offsets[i],
              cm_mat_rows(x->value, b->offsets[i], b->offsets[i + 1] - b->offsets[i]));
    CM_TRY(cm_transformer_layers_run(model, layer, cm_segments_of(b->offsets, b->n), x->value, error));
    for (int64_t i = 0; i < b->n; i++) {
        int64_t rows = keep ? keep[i] : b->offsets[i + 1] - b->offsets[i];
        for (int64_t r = 0; r < rows; r++)
            memcpy(out[i] + r * model->hidden, cm_mat_row(x->value, b->offsets[i] + r),
                   (size_t)model->hidden * sizeof(float));
    }
    return CM_OK;
}

/* One molecule filled up with id 0 to the length of the position table. */
static cm_status run_padded(cm_transformer *model, cm_team *team, int layer, const int32_t *ids, int64_t n,
                            float *out, cm_error *error) {
    int32_t *padded = cm_new((size_t)model->positions, sizeof *padded);
    if (!padded) return cm_fail_memory(error, (size_t)model->positions * sizeof *padded);
    if (n > 0) memcpy(padded, ids, (size_t)n * sizeof *padded);
    int64_t offsets[2] = {0, model->positions};
    batch b = {1, offsets, padded};
    cm_status status = run_batch(model, team, layer, &b, &n, &out, error);
    cm_free(padded);
    return status;
}

/* Molecules filled up one by one, so that memory does not depend on how many short ones there are. */
static cm_status run_any(cm_transformer *model, cm_team *team, int layer, const batch *b, float *const *out,
                         cm_error *error) {
    for (int64_t i = 0; i < b->n; i++)
        CM_TRY(check_ids(model, b->ids + b->offsets[i], b->offsets[i + 1] - b->offsets[i], error));
    if (!model->rules->pads) return run_batch(model, team, layer, b, NULL, out, error);
    for (int64_t i = 0; i < b->n; i++)
        CM_TRY(run_padded(model, team, layer, b->ids + b->offsets[i], b->offsets[i + 1] - b->offsets[i],
                          out[i], error));
    return CM_OK;
}

/* ---- the engine ---- */

static void close_state(void *state) {
    if (!state) return;
    cm_transformer_clear(state);
    cm_free(state);
}

static cm_status open_state(void **state, const cm_family *family, const cm_weights *weights,
                            const json_t *config, cm_precision precision, cm_error *error) {
    cm_transformer *model = cm_new(1, sizeof *model);
    if (!model) return cm_fail_memory(error, sizeof *model);
    model->family = family;
    model->rules = family->rules;
    model->precision = precision;
    cm_status status = cm_transformer_load(model, weights, config, precision, error);
    if (status == CM_OK)
        *state = model;
    else
        close_state(model);
    return status;
}

static int64_t width(const void *state) {
    return ((const cm_transformer *)state)->hidden;
}

static int layers(const void *state) {
    return (int)((const cm_transformer *)state)->layers;
}

static int64_t longest(const void *state) {
    return most_tokens(state);
}

/* x, q k v, heads, and what the attention keeps per row; linear attention keeps sums per segment, which has
 * at least two rows. Then what a block of rows needs: LN x, inner (two more with a gate) and the rows of
 * products. */
static size_t row_bytes(const void *state) {
    const cm_transformer *model = state;
    size_t h = (size_t)model->hidden, f = (size_t)model->inner, heads = (size_t)model->heads;
    size_t whole = 5 * h + h / heads + 4 * heads + (size_t)model->features * (h + heads) / 2;
    return (whole + h + 4 * f) * sizeof(float) + 2 * sizeof(int32_t);
}

static int64_t tokens(const void *state, const char *text, int64_t length, cm_token_report *report) {
    return cm_tokenizer_encode(((const cm_transformer *)state)->tokenizer, text, length, NULL, 0, report);
}

static int64_t ids_of(const void *state, const char *text, int64_t length, int32_t *ids, int64_t room) {
    return cm_tokenizer_encode(((const cm_transformer *)state)->tokenizer, text, length, ids, room, NULL);
}

static cm_status count_tokens(const cm_transformer *model, int64_t n, const char *const *texts,
                              const int64_t *lengths, batch *b, cm_error *error) {
    for (int64_t i = 0; i < n; i++) {
        int64_t count = tokens(model, texts[i], lengths[i], NULL);
        if (count < 0) return cm_fail_memory(error, (size_t)lengths[i]);
        b->offsets[i + 1] = b->offsets[i] + count;
    }
    return CM_OK;
}

/* Offsets and ids of the texts; b's memory is the caller's to free also after a failure. */
static cm_status tokenize(const cm_transformer *model, int64_t n, const char *const *texts,
                          const int64_t *lengths, batch *b, cm_error *error) {
    b->n = n;
    b->offsets = cm_new((size_t)n + 1, sizeof *b->offsets);
    if (!b->offsets) return cm_fail_memory(error, 0);
    CM_TRY(count_tokens(model, n, texts, lengths, b, error));
    b->ids = cm_new((size_t)b->offsets[n], sizeof *b->ids);
    if (!b->ids) return cm_fail_memory(error, (size_t)b->offsets[n] * sizeof *b->ids);
    for (int64_t i = 0; i < n; i++) {
        int64_t count = b->offsets[i + 1] - b->offsets[i];
        if (ids_of(model, texts[i], lengths[i], b->ids + b->offsets[i], count) != count)
            return cm_fail_memory(error, (size_t)lengths[i]);
    }
    return CM_OK;
}

static cm_status run(void *state, cm_team *team, int layer, int64_t n, const char *const *texts,
                     const int64_t *lengths, float *const *out, cm_error *error) {
    batch b = {0};
    cm_status status = tokenize(state, n, texts, lengths, &b, error);
    if (status == CM_OK) status = run_any(state, team, layer, &b, out, error);
    cm_free(b.offsets);
    cm_free(b.ids);
    return status;
}

static cm_status run_ids(void *state, cm_team *team, int layer, const int32_t *ids, int64_t n, float *out,
                         cm_error *error) {
    int64_t offsets[2] = {0, n};
    batch b = {1, offsets, (int32_t *)(uintptr_t)ids};
    return run_any(state, team, layer, &b, &out, error);
}

const cm_engine cm_transformer_engine = {
    .open = open_state,
    .close = close_state,
    .width = width,
    .layers = layers,
    .longest = longest,
    .row_bytes = row_bytes,
    .tokens = tokens,
    .run = run,
    .ids = ids_of,
    .run_ids = run_ids,
};
