/* Encoding a data set, fitting the standardisation, assembling ragged batches. */
#include "model/features.h"
#include "base/alloc.h"
#include "base/log.h"
#include "model/store_folder.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One side's encoding job. */
typedef struct encode_job {
    const cm_dataset *dataset;
    cm_encoder *encoder;
    cm_layout layout;
    int side;
    cm_tokens *out;
    int64_t *order;    /* entities in the order in which they are encoded */
    const char **name; /* an id of every entity; NULL: with built-in encoders they are not needed */
} encode_job;

static void tokens_clear(cm_tokens *tokens) {
    cm_free(tokens->dense);
    cm_free(tokens->start);
    cm_free(tokens->column);
    cm_free(tokens->value);
    *tokens = (cm_tokens){0};
}

/* Keeps the non-zero entries of dense [tokens, width]. */
static cm_status sparse_from_dense(cm_tokens *out, const float *dense, int64_t tokens, int64_t width,
                                   cm_error *error) {
    int64_t entries = 0;
    for (int64_t i = 0; i < tokens * width; i++) entries += dense[i] != 0.0f;
    if (entries > INT32_MAX)
        return cm_fail(error, CM_DATA, NULL, NULL, "fewer tokens", "a molecule with %lld non-zero features",
                       (long long)entries);
    out->tokens = tokens;
    out->start = cm_new((size_t)tokens + 1, sizeof *out->start);
    out->column = cm_new((size_t)entries, sizeof *out->column);
    out->value = cm_new((size_t)entries, sizeof *out->value);
    if (!out->start || !out->column || !out->value) {
        tokens_clear(out);
        return cm_fail_memory(error, (size_t)entries * 8);
    }
    int32_t at = 0;
    for (int64_t t = 0; t < tokens; t++) {
        out->start[t] = at;
        for (int64_t c = 0; c < width; c++) {
            float v = dense[t * width + c];
            if (v == 0.0f) continue;
            out->column[at] = (int32_t)c;
            out->value[at++] = v;
        }
    }
    out->start[tokens] = at;
    return CM_OK;
}

/* ---- encoding a side in slices ---- */

enum { SLICE = 256, SLICE_FLOATS = 1 << 24 /* temporary floats of a slice, 64 MiB */ };

static bool is_dense(const encode_job *job) {
    return *cm_encoder_identity(job->encoder) != '\0';
}

/* Entities that are encoded together from position first on. */
static int64_t slice_size(const encode_job *job, int64_t first) {
    int64_t left = job->dataset->n_entities[job->side] - first, floats = 0, count = 0;
    if (!is_dense(job)) return left < SLICE ? left : SLICE;
    while (count < left && (count == 0 || floats < SLICE_FLOATS)) {
        const cm_entity *entity = &job->dataset->entities[job->side][job->order[first + count++]];
        floats += cm_encoder_floats(job->encoder, entity->text, entity->length);
    }
    return count;
}

static cm_status slice_items(const encode_job *job, int64_t first, int64_t n, cm_encoder_item *items,
                             cm_error *error) {
    int64_t width = cm_encoder_width(job->encoder);
    for (int64_t i = 0; i < n; i++) {
        int64_t number = job->order[first + i];
        const cm_entity *entity = &job->dataset->entities[job->side][number];
        items[i] = (cm_encoder_item){
            .text = entity->text,
            .length = entity->length,
            .tokens = cm_encoder_tokens(job->encoder, job->layout, entity->text, entity->length),
            .name = job->name ? job->name[number] : NULL};
        size_t floats;
        if (!cm_size_mul((size_t)items[i].tokens, (size_t)width, &floats))
            return cm_fail_memory(error, SIZE_MAX);
        items[i].out = cm_new(floats, sizeof *items[i].out);
        if (!items[i].out) return cm_fail_memory(error, floats * sizeof *items[i].out);
    }
    return CM_OK;
}

/* Takes the matrices over, or their non-zero entries. */
static cm_status keep_items(const encode_job *job, int64_t first, int64_t n, cm_encoder_item *items,
                            cm_error *error) {
    for (int64_t i = 0; i < n; i++) {
        cm_tokens *out = &job->out[job->order[first + i]];
        if (is_dense(job)) {
            *out = (cm_tokens){.tokens = items[i].tokens, .dense = items[i].out};
            items[i].out = NULL;
        } else
            CM_TRY(
                sparse_from_dense(out, items[i].out, items[i].tokens, cm_encoder_width(job->encoder), error));
    }
    return CM_OK;
}

static cm_status encode_slice(const encode_job *job, int64_t first, int64_t n, const cm_runtime *runtime,
                              cm_error *error) {
    cm_encoder_item *items = cm_new((size_t)n, sizeof *items);
    if (!items) return cm_fail_memory(error, (size_t)n * sizeof *items);
    cm_status status = slice_items(job, first, n, items, error);
    if (status == CM_OK)
        status = cm_encoder_encode_items(job->encoder, job->layout, items, n, runtime, error);
    if (status == CM_OK) status = keep_items(job, first, n, items, error);
    for (int64_t i = 0; i < n; i++) cm_free(items[i].out);
    cm_free(items);
    return status;
}

/* In slices, so that progress and a request to stop come through. */
static cm_status encode_slices(const encode_job *job, const cm_runtime *runtime, cm_error *error) {
    int64_t n = job->dataset->n_entities[job->side], done = 0;
    while (done < n) {
        int64_t count = slice_size(job, done);
        CM_TRY(encode_slice(job, done, count, runtime, error));
        done += count;
        if (cm_stopped(runtime))
            return cm_fail(error, CM_INTERRUPTED, NULL, NULL, NULL, "stopped while encoding");
        cm_report(runtime, job->side == 0 ? "encode A" : "encode B", (double)done, (double)n, "molecules",
                  "");
    }
    return CM_OK;
}

/* ---- preparing a side ---- */

typedef struct length_order {
    int64_t length, number;
} length_order;

static int by_length(const void *a, const void *b) {
    const length_order *x = a, *y = b;
    if (x->length != y->length) return x->length < y->length ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

/* Pretrained encoders run molecules of similar length together, so those are encoded by length. */
static cm_status order_entities(encode_job *job, cm_error *error) {
    int64_t n = job->dataset->n_entities[job->side];
    length_order *keys = cm_new((size_t)n, sizeof *keys);
    job->order = cm_new((size_t)n, sizeof *job->order);
    if (keys && job->order) {
        for (int64_t i = 0; i < n; i++)
            keys[i] = (length_order){job->dataset->entities[job->side][i].length, i};
        if (is_dense(job)) qsort(keys, (size_t)n, sizeof *keys, by_length);
        for (int64_t i = 0; i < n; i++) job->order[i] = keys[i].number;
    }
    cm_free(keys);
    return keys && job->order ? CM_OK : cm_fail_memory(error, (size_t)n * sizeof *keys);
}

static cm_status name_entities(encode_job *job, cm_error *error) {
    if (!is_dense(job)) return CM_OK;
    size_t n = (size_t)job->dataset->n_entities[job->side];
    job->name = cm_new(n, sizeof *job->name);
    if (!job->name) return cm_fail_memory(error, n * sizeof *job->name);
    for (int64_t i = job->dataset->n_pairs - 1; i >= 0; i--)
        job->name[job->dataset->pairs[i].entity[job->side]] = job->dataset->pairs[i].id[job->side];
    return CM_OK;
}

static cm_status check_identity(const cm_features *features, int side, const char *name,
                                const cm_expected_encoder *expected, cm_error *error) {
    if (!expected || !expected->identity || strcmp(expected->identity, features->identity[side]) == 0)
        return CM_OK;
    return cm_fail(error, CM_MODEL, name, side == 0 ? "encoder of side A" : "encoder of side B",
                   *expected->identity ? expected->identity : "built-in parts only", "%s",
                   features->identity[side]);
}

static cm_status open_encoder(cm_features *features, encode_job *job, const char *name,
                              const cm_encoder_setup *setup, const cm_expected_encoder *expected,
                              cm_error *error) {
    int side = job->side;
    cm_molecule_type type = side == 0 ? job->dataset->task->a : job->dataset->task->b;
    cm_encoder_setup own = *setup;
    if (expected && expected->identity && *expected->identity) own.precision = expected->precision;
    CM_TRY(cm_encoder_create(&job->encoder, name, type, &own, error));
    const char *identity = cm_encoder_identity(job->encoder);
    features->identity[side] = cm_copy_text(identity, strlen(identity));
    if (!features->identity[side]) return cm_fail_memory(error, strlen(identity));
    features->precision[side] = cm_encoder_precision(job->encoder);
    features->width[side] = cm_encoder_width(job->encoder);
    return check_identity(features, side, name, expected, error);
}

static cm_status encode_side(cm_features *features, const cm_dataset *dataset, int side, const char *name,
                             cm_layout layout, const cm_encoder_setup *setup,
                             const cm_expected_encoder *expected, const cm_runtime *runtime,
                             cm_error *error) {
    encode_job job = {.dataset = dataset, .layout = layout, .side = side};
    cm_status status = open_encoder(features, &job, name, setup, expected, error);
    if (status == CM_OK) {
        size_t n = (size_t)dataset->n_entities[side];
        features->n_entities[side] = dataset->n_entities[side];
        job.out = features->entities[side] = cm_new(n, sizeof(cm_tokens));
        if (!job.out) status = cm_fail_memory(error, n * sizeof(cm_tokens));
    }
    if (status == CM_OK) status = order_entities(&job, error);
    if (status == CM_OK) status = name_entities(&job, error);
    if (status == CM_OK) status = encode_slices(&job, runtime, error);
    cm_free(job.order);
    cm_free(job.name);
    cm_encoder_destroy(job.encoder);
    return status;
}

/* Whether any part of an encoder name needs the embedding store. */
static bool needs_store(const char *name) {
    while (name) {
        cm_encoder_word word = cm_encoder_next_word(&name);
        if (word.reference) return true;
    }
    return false;
}

void cm_features_resolve(cm_options *options, const cm_task *task) {
    if (strcmp(options->encoder_a, "auto") == 0)
        snprintf(options->encoder_a, sizeof options->encoder_a, "%s", task->encoder_a);
    if (strcmp(options->encoder_b, "auto") == 0)
        snprintf(options->encoder_b, sizeof options->encoder_b, "%s", task->encoder_b);
    const cm_pair_encoder *pair = NULL;
    if (strcmp(options->pair_encoder, "auto") == 0 &&
        cm_pair_encoder_find(&pair, options->pair_encoder, task->a, task->b, NULL) == CM_OK)
        snprintf(options->pair_encoder, sizeof options->pair_encoder, "%s", pair ? pair->name : "none");
}

cm_status cm_features_create(cm_features **features, const cm_dataset *dataset, const cm_options *options,
                             const cm_expected_encoder expected[2], cm_team *team, const cm_runtime *runtime,
                             cm_error *error) {
    cm_options resolved = *options;
    cm_features_resolve(&resolved, dataset->task);
    cm_layout layout;
    cm_encoder_setup setup = {.team = team};
    char store[CM_STORE_PATH];
    CM_TRY(cm_layout_parse(&layout, resolved.layout, error));
    CM_TRY(cm_precision_parse(&setup.precision, resolved.precision, error));
    if (needs_store(resolved.encoder_a) || needs_store(resolved.encoder_b))
        CM_TRY(cm_store_prepare(runtime, store, &setup.store, error));
    cm_features *f = cm_new(1, sizeof *f);
    if (!f) return cm_fail_memory(error, sizeof *f);
    f->kernels = cm_kernel_inputs_create();
    cm_status status = f->kernels ? CM_OK : cm_fail_memory(error, 0);
    for (int side = 0; side < 2 && status == CM_OK; side++)
        status = encode_side(f, dataset, side, side == 0 ? resolved.encoder_a : resolved.encoder_b, layout,
                             &setup, expected ? &expected[side] : NULL, runtime, error);
    if (status == CM_OK)
        status =
            cm_pair_features_make(&f->pair, dataset, resolved.pair_encoder, layout, team, runtime, error);
    f->width[CM_SIDE_PAIR] = f->pair.width;
    if (status != CM_OK) {
        cm_features_destroy(f);
        return status;
    }
    *features = f;
    return CM_OK;
}

void cm_features_destroy(cm_features *features) {
    if (!features) return;
    for (int side = 0; side < 2; side++) {
        for (int64_t i = 0; features->entities[side] && i < features->n_entities[side]; i++)
            tokens_clear(&features->entities[side][i]);
        cm_free(features->entities[side]);
        cm_free(features->identity[side]);
    }
    cm_pair_features_clear(&features->pair);
    cm_kernel_inputs_destroy(features->kernels);
    cm_free(features);
}

int64_t cm_features_tokens(const cm_features *features, const cm_pair *pair) {
    return features->entities[0][pair->entity[0]].tokens + features->entities[1][pair->entity[1]].tokens;
}

/* ---- standardisation ---- */

cm_status cm_standard_create(cm_standard *standard, int64_t width, cm_error *error) {
    float *block = cm_new((size_t)width * 2, sizeof *block);
    if (!block) return cm_fail_memory(error, (size_t)width * 2 * sizeof *block);
    *standard = (cm_standard){width, block, block + width};
    for (int64_t c = 0; c < width; c++) standard->scale[c] = 1.0f;
    return CM_OK;
}

void cm_standard_clear(cm_standard *standard) {
    cm_free(standard->mean);
    *standard = (cm_standard){0};
}

/* Marks the molecules that the pairs name, so that each counts once and in a fixed order. */
static unsigned char *mark_entities(const cm_dataset *dataset, int side, const int64_t *index, int64_t n) {
    unsigned char *used = cm_new((size_t)dataset->n_entities[side], 1);
    if (!used) return NULL;
    for (int64_t i = 0; i < n; i++) used[dataset->pairs[index[i]].entity[side]] = 1;
    return used;
}

static void add_moments(const cm_tokens *tokens, int64_t width, double *sum, double *square) {
    for (int64_t t = 0; tokens->dense && t < tokens->tokens; t++)
        for (int64_t c = 0; c < width; c++) {
            double v = tokens->dense[t * width + c];
            sum[c] += v;
            square[c] += v * v;
        }
    if (tokens->dense) return;
    for (int32_t e = 0; e < tokens->start[tokens->tokens]; e++) {
        double v = tokens->value[e];
        sum[tokens->column[e]] += v;
        square[tokens->column[e]] += v * v;
    }
}

/* Moments of the tokens of the pairs index[n]; returns how many tokens. */
static double add_pair_moments(const cm_features *f, const int64_t *index, int64_t n, double *sum,
                               double *square) {
    double count = 0;
    for (int64_t i = 0; i < n && f->pair.width > 0; i++) {
        int64_t tokens;
        float *rows = (float *)(uintptr_t)cm_pair_features_of(&f->pair, index[i], &tokens);
        cm_tokens pair = {.tokens = tokens, .dense = rows};
        add_moments(&pair, f->pair.width, sum, square);
        count += (double)tokens;
    }
    return count;
}

cm_status cm_standard_fit(cm_standard *standard, const cm_features *features, const cm_dataset *dataset,
                          int side, const int64_t *index, int64_t n, cm_error *error) {
    int64_t width = features->width[side];
    unsigned char *used = side == CM_SIDE_PAIR ? cm_new(0, 1) : mark_entities(dataset, side, index, n);
    double *sum = cm_new((size_t)width * 2, sizeof *sum);
    cm_status status = used && sum ? cm_standard_create(standard, width, error)
                                   : cm_fail_memory(error, (size_t)width * 2 * sizeof *sum);
    if (status == CM_OK) {
        double *square = sum + width, tokens = 0;
        if (side == CM_SIDE_PAIR) tokens = add_pair_moments(features, index, n, sum, square);
        for (int64_t i = 0; side < CM_SIDE_PAIR && i < features->n_entities[side]; i++) {
            if (!used[i]) continue;
            add_moments(&features->entities[side][i], width, sum, square);
            tokens += (double)features->entities[side][i].tokens;
        }
        for (int64_t c = 0; c < width && tokens > 0; c++) {
            double mean = sum[c] / tokens, variance = square[c] / tokens - mean * mean;
            standard->mean[c] = (float)mean;
            standard->scale[c] = variance > 1e-12 ? (float)(1.0 / sqrt(variance)) : 1.0f;
        }
    }
    cm_free(used);
    cm_free(sum);
    return status;
}

/* ---- batches ---- */

struct cm_gather {
    const cm_features *features;
    const cm_standard *standard;
    float clip;
    float *zero[2]; /* the standardised row of a token without entries */
    float *rows[CM_SIDES];
    size_t rows_room[CM_SIDES];
    int64_t *offsets[CM_SIDES];
    size_t offsets_room;
};

static float standardise(const cm_standard *s, int64_t c, float value, float clip) {
    float z = (value - s->mean[c]) * s->scale[c];
    return z > clip ? clip : z < -clip ? -clip : z;
}

cm_status cm_gather_create(cm_gather **gather, const cm_features *features,
                           const cm_standard standard[CM_SIDES], double clip, cm_error *error) {
    cm_gather *g = cm_new(1, sizeof *g);
    if (!g) return cm_fail_memory(error, sizeof *g);
    *g = (cm_gather){.features = features, .standard = standard, .clip = (float)clip};
    for (int side = 0; side < 2; side++) {
        int64_t width = features->width[side];
        g->zero[side] = cm_new((size_t)width, sizeof(float));
        if (!g->zero[side]) {
            cm_gather_destroy(g);
            return cm_fail_memory(error, (size_t)width * sizeof(float));
        }
        for (int64_t c = 0; c < width; c++) g->zero[side][c] = standardise(&standard[side], c, 0.0f, g->clip);
    }
    *gather = g;
    return CM_OK;
}

void cm_gather_destroy(cm_gather *gather) {
    if (!gather) return;
    for (int side = 0; side < CM_SIDES; side++) {
        if (side < CM_SIDE_PAIR) cm_free(gather->zero[side]);
        cm_free(gather->rows[side]);
        cm_free(gather->offsets[side]);
    }
    cm_free(gather);
}

/* Makes room for count elements of size bytes in *block; contents are lost. */
static cm_status make_room(void **block, size_t *room, size_t count, size_t size, cm_error *error) {
    if (*block && *room >= count) return CM_OK;
    cm_free(*block);
    *block = cm_new_aligned(count, size);
    *room = *block ? count : 0;
    return *block ? CM_OK : cm_fail_memory(error, count * size);
}

static void fill_rows(const cm_gather *g, int side, const cm_tokens *tokens, float *rows) {
    int64_t width = g->features->width[side];
    for (int64_t t = 0; t < tokens->tokens; t++) {
        float *row = rows + t * width;
        if (tokens->dense) {
            for (int64_t c = 0; c < width; c++)
                row[c] = standardise(&g->standard[side], c, tokens->dense[t * width + c], g->clip);
            continue;
        }
        memcpy(row, g->zero[side], (size_t)width * sizeof *row);
        for (int32_t e = tokens->start[t]; e < tokens->start[t + 1]; e++) {
            int32_t c = tokens->column[e];
            row[c] = standardise(&g->standard[side], c, tokens->value[e], g->clip);
        }
    }
}

static cm_status gather_side(cm_gather *g, const cm_dataset *dataset, int side, const int64_t *index,
                             int64_t n, cm_net_input *input, cm_error *error) {
    int64_t width = g->features->width[side], total = 0;
    for (int64_t i = 0; i < n; i++) {
        g->offsets[side][i] = total;
        total += g->features->entities[side][dataset->pairs[index[i]].entity[side]].tokens;
    }
    g->offsets[side][n] = total;
    size_t floats;
    if (!cm_size_mul((size_t)total, (size_t)width, &floats)) return cm_fail_memory(error, SIZE_MAX);
    CM_TRY(make_room((void **)&g->rows[side], &g->rows_room[side], floats, sizeof(float), error));
    for (int64_t i = 0; i < n; i++)
        fill_rows(g, side, &g->features->entities[side][dataset->pairs[index[i]].entity[side]],
                  g->rows[side] + g->offsets[side][i] * width);
    input->x[side] = cm_mat_of(g->rows[side], total, width);
    input->segments[side] = cm_segments_of(g->offsets[side], n);
    return CM_OK;
}

/* The tokens of the pairs themselves. */
static cm_status gather_pair_tokens(cm_gather *g, const int64_t *index, int64_t n, cm_net_input *input,
                                    cm_error *error) {
    enum { SIDE = CM_SIDE_PAIR };
    const cm_pair_features *pair = &g->features->pair;
    int64_t *offset = g->offsets[SIDE], tokens;
    offset[0] = 0;
    for (int64_t i = 0; i < n; i++) {
        cm_pair_features_of(pair, index[i], &tokens);
        offset[i + 1] = offset[i] + tokens;
    }
    size_t floats;
    if (!cm_size_mul((size_t)offset[n], (size_t)pair->width, &floats)) return cm_fail_memory(error, SIZE_MAX);
    CM_TRY(make_room((void **)&g->rows[SIDE], &g->rows_room[SIDE], floats, sizeof(float), error));
    for (int64_t i = 0; i < n; i++) {
        const float *from = cm_pair_features_of(pair, index[i], &tokens);
        float *to = g->rows[SIDE] + offset[i] * pair->width;
        for (int64_t k = 0; k < tokens * pair->width; k++)
            to[k] = standardise(&g->standard[SIDE], k % pair->width, from[k], g->clip);
    }
    input->x[SIDE] = cm_mat_of(g->rows[SIDE], offset[n], pair->width);
    input->segments[SIDE] = cm_segments_of(offset, n);
    return CM_OK;
}

cm_status cm_gather_pairs(cm_gather *g, const cm_dataset *dataset, const int64_t *index, int64_t n,
                          cm_net_input *input, cm_error *error) {
    if (g->offsets_room < (size_t)n + 1) {
        size_t room[CM_SIDES] = {0};
        g->offsets_room = 0;
        for (int side = 0; side < CM_SIDES; side++)
            CM_TRY(make_room((void **)&g->offsets[side], &room[side], (size_t)n + 1, sizeof(int64_t), error));
        g->offsets_room = (size_t)n + 1;
    }
    input->pairs = n;
    for (int side = 0; side < 2; side++) CM_TRY(gather_side(g, dataset, side, index, n, input, error));
    return g->features->pair.width > 0 ? gather_pair_tokens(g, index, n, input, error) : CM_OK;
}
