/* Encoding a data set, fitting the standardisation, assembling ragged batches. */
#include "model/features.h"
#include "base/alloc.h"
#include "base/log.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

/* One side's encoding job, shared by the team. */
typedef struct encode_job {
    const cm_dataset *dataset;
    const cm_encoder *encoder;
    cm_layout layout;
    int side;
    int64_t first;
    cm_sparse_tokens *out;
    cm_error *errors; /* one a member */
} encode_job;

static void sparse_clear(cm_sparse_tokens *tokens) {
    cm_free(tokens->start);
    cm_free(tokens->column);
    cm_free(tokens->value);
    *tokens = (cm_sparse_tokens){0};
}

/* Keeps the non-zero entries of dense [tokens, width]. */
static cm_status sparse_from_dense(cm_sparse_tokens *out, const float *dense, int64_t tokens, int64_t width,
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
        sparse_clear(out);
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

static cm_status encode_one(const encode_job *job, int64_t i, cm_error *error) {
    const cm_entity *entity = &job->dataset->entities[job->side][i];
    int64_t width = cm_encoder_width(job->encoder);
    int64_t tokens = cm_encoder_tokens(job->encoder, job->layout, entity->text, entity->length);
    size_t floats;
    if (!cm_size_mul((size_t)tokens, (size_t)width, &floats)) return cm_fail_memory(error, SIZE_MAX);
    float *dense = cm_new(floats, sizeof *dense);
    if (!dense) return cm_fail_memory(error, floats * sizeof *dense);
    cm_status status = cm_encoder_encode(job->encoder, entity->text, entity->length, tokens, dense, error);
    if (status == CM_OK) status = sparse_from_dense(&job->out[i], dense, tokens, width, error);
    cm_free(dense);
    return status;
}

static void encode_range(void *context, int64_t begin, int64_t end, int member) {
    encode_job *job = context;
    for (int64_t i = begin; i < end; i++) {
        if (encode_one(job, job->first + i, &job->errors[member]) != CM_OK) return;
    }
}

/* Encodes the side in slices so that progress and a request to stop come through. */
static cm_status encode_slices(encode_job *job, cm_team *team, const cm_runtime *runtime, cm_error *error) {
    enum { SLICE = 256 };
    int64_t n = job->dataset->n_entities[job->side];
    for (job->first = 0; job->first < n; job->first += SLICE) {
        int64_t count = n - job->first < SLICE ? n - job->first : SLICE;
        cm_team_for(team, count, 8, encode_range, job);
        for (int m = 0; m < cm_team_size(team); m++) {
            if (job->errors[m].status == CM_OK) continue;
            if (error) *error = job->errors[m];
            return job->errors[m].status;
        }
        if (cm_stopped(runtime))
            return cm_fail(error, CM_INTERRUPTED, NULL, NULL, NULL, "stopped while encoding");
        cm_report(runtime, job->side == 0 ? "encode A" : "encode B", (double)(job->first + count), (double)n,
                  "molecules", "");
    }
    return CM_OK;
}

static cm_status encode_side(cm_features *features, const cm_dataset *dataset, int side, const char *name,
                             cm_layout layout, cm_team *team, const cm_runtime *runtime, cm_error *error) {
    cm_encoder *encoder = NULL;
    cm_molecule_type type = side == 0 ? dataset->task->a : dataset->task->b;
    CM_TRY(cm_encoder_create(&encoder, name, type, error));
    int64_t n = dataset->n_entities[side];
    features->width[side] = cm_encoder_width(encoder);
    features->n_entities[side] = n;
    features->entities[side] = cm_new((size_t)n, sizeof(cm_sparse_tokens));
    encode_job job = {.dataset = dataset,
                      .encoder = encoder,
                      .layout = layout,
                      .side = side,
                      .out = features->entities[side],
                      .errors = cm_new((size_t)cm_team_size(team), sizeof(cm_error))};
    cm_status status = job.out && job.errors ? encode_slices(&job, team, runtime, error)
                                             : cm_fail_memory(error, (size_t)n * sizeof(cm_sparse_tokens));
    cm_free(job.errors);
    cm_encoder_destroy(encoder);
    return status;
}

void cm_features_resolve(cm_options *options, const cm_task *task) {
    if (strcmp(options->encoder_a, "auto") == 0)
        snprintf(options->encoder_a, sizeof options->encoder_a, "%s", task->encoder_a);
    if (strcmp(options->encoder_b, "auto") == 0)
        snprintf(options->encoder_b, sizeof options->encoder_b, "%s", task->encoder_b);
}

cm_status cm_features_create(cm_features **features, const cm_dataset *dataset, const cm_options *options,
                             cm_team *team, const cm_runtime *runtime, cm_error *error) {
    cm_options resolved = *options;
    cm_features_resolve(&resolved, dataset->task);
    cm_layout layout;
    CM_TRY(cm_layout_parse(&layout, resolved.layout, error));
    cm_features *f = cm_new(1, sizeof *f);
    if (!f) return cm_fail_memory(error, sizeof *f);
    cm_status status = encode_side(f, dataset, 0, resolved.encoder_a, layout, team, runtime, error);
    if (status == CM_OK)
        status = encode_side(f, dataset, 1, resolved.encoder_b, layout, team, runtime, error);
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
            sparse_clear(&features->entities[side][i]);
        cm_free(features->entities[side]);
    }
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

static void add_moments(const cm_sparse_tokens *tokens, double *sum, double *square) {
    for (int32_t e = 0; e < tokens->start[tokens->tokens]; e++) {
        double v = tokens->value[e];
        sum[tokens->column[e]] += v;
        square[tokens->column[e]] += v * v;
    }
}

cm_status cm_standard_fit(cm_standard *standard, const cm_features *features, const cm_dataset *dataset,
                          int side, const int64_t *index, int64_t n, cm_error *error) {
    int64_t width = features->width[side];
    unsigned char *used = mark_entities(dataset, side, index, n);
    double *sum = cm_new((size_t)width * 2, sizeof *sum);
    cm_status status = used && sum ? cm_standard_create(standard, width, error)
                                   : cm_fail_memory(error, (size_t)width * 2 * sizeof *sum);
    if (status == CM_OK) {
        double *square = sum + width, tokens = 0;
        for (int64_t i = 0; i < features->n_entities[side]; i++) {
            if (!used[i]) continue;
            add_moments(&features->entities[side][i], sum, square);
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
    float *rows[2];
    size_t rows_room[2];
    int64_t *offsets[2];
    size_t offsets_room;
};

static float standardise(const cm_standard *s, int64_t c, float value, float clip) {
    float z = (value - s->mean[c]) * s->scale[c];
    return z > clip ? clip : z < -clip ? -clip : z;
}

cm_status cm_gather_create(cm_gather **gather, const cm_features *features, const cm_standard standard[2],
                           double clip, cm_error *error) {
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
    for (int side = 0; side < 2; side++) {
        cm_free(gather->zero[side]);
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

static void fill_rows(const cm_gather *g, int side, const cm_sparse_tokens *tokens, float *rows) {
    int64_t width = g->features->width[side];
    for (int64_t t = 0; t < tokens->tokens; t++) {
        float *row = rows + t * width;
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

cm_status cm_gather_pairs(cm_gather *g, const cm_dataset *dataset, const int64_t *index, int64_t n,
                          cm_net_input *input, cm_error *error) {
    if (g->offsets_room < (size_t)n + 1) {
        size_t room[2] = {0, 0};
        g->offsets_room = 0;
        for (int side = 0; side < 2; side++)
            CM_TRY(make_room((void **)&g->offsets[side], &room[side], (size_t)n + 1, sizeof(int64_t), error));
        g->offsets_room = (size_t)n + 1;
    }
    input->pairs = n;
    for (int side = 0; side < 2; side++) CM_TRY(gather_side(g, dataset, side, index, n, input, error));
    return CM_OK;
}
