/* Encoding the pairs of a data set. */
#include "model/pair_features.h"
#include "base/alloc.h"
#include "base/log.h"
#include "base/map.h"
#include <stdatomic.h>

enum { SLICE = 512 };

/* One run of the pair encoder over the distinct pairs. */
typedef struct pair_job {
    const cm_dataset *dataset;
    const cm_pair_encoder *encoder;
    cm_pair_features *features;
    const int64_t *first; /* [distinct] a pair of the data set with those molecules */
    int64_t begin;        /* of the slice */
    void **states;        /* one a team member */
    atomic_bool failed;
    cm_error *errors; /* one a team member */
} pair_job;

static const cm_entity *molecule(const cm_dataset *d, int64_t pair, int side) {
    return &d->entities[side][d->pairs[pair].entity[side]];
}

static void encode_range(void *context, int64_t begin, int64_t end, int member) {
    pair_job *job = context;
    cm_pair_features *f = job->features;
    for (int64_t i = job->begin + begin; i < job->begin + end && !atomic_load(&job->failed); i++) {
        const cm_entity *a = molecule(job->dataset, job->first[i], 0),
                        *b = molecule(job->dataset, job->first[i], 1);
        if (job->encoder->encode(job->states[member], a->text, a->length, b->text, b->length,
                                 f->offset[i + 1] - f->offset[i], f->rows + f->offset[i] * f->width,
                                 &job->errors[member]) != CM_OK)
            atomic_store(&job->failed, true);
    }
}

static cm_status first_error(const pair_job *job, int members, cm_error *error) {
    for (int m = 0; m < members; m++)
        if (job->errors[m].status != CM_OK) {
            if (error) *error = job->errors[m];
            return job->errors[m].status;
        }
    return CM_OK;
}

static cm_status encode_slices(pair_job *job, int64_t distinct, cm_team *team, const cm_runtime *runtime,
                               cm_error *error) {
    for (job->begin = 0; job->begin < distinct; job->begin += SLICE) {
        int64_t n = distinct - job->begin < SLICE ? distinct - job->begin : SLICE;
        cm_team_for(team, n, 8, encode_range, job);
        CM_TRY(first_error(job, cm_team_size(team), error));
        if (cm_stopped(runtime))
            return cm_fail(error, CM_INTERRUPTED, NULL, NULL, NULL, "stopped while encoding pairs");
        cm_report(runtime, "encode pairs", (double)(job->begin + n), (double)distinct, "pairs", "");
    }
    return CM_OK;
}

static cm_status encode_pairs(pair_job *job, int64_t distinct, cm_team *team, const cm_runtime *runtime,
                              cm_error *error) {
    int members = cm_team_size(team);
    job->states = cm_new((size_t)members, sizeof *job->states);
    job->errors = cm_new((size_t)members, sizeof *job->errors);
    bool ready = job->states && job->errors;
    for (int m = 0; ready && m < members; m++) ready = (job->states[m] = job->encoder->open()) != NULL;
    cm_status status = ready ? encode_slices(job, distinct, team, runtime, error) : cm_fail_memory(error, 0);
    for (int m = 0; job->states && m < members; m++) job->encoder->close(job->states[m]);
    cm_free(job->states);
    cm_free(job->errors);
    return status;
}

/* Numbers the distinct pairs of molecules in order of appearance; first[number] is where each appears. */
static cm_status number_pairs(cm_pair_features *f, const cm_dataset *d, int64_t *first, int64_t *distinct,
                              cm_error *error) {
    cm_map *map = cm_map_create();
    bool done = map != NULL;
    *distinct = 0;
    for (int64_t i = 0; done && i < d->n_pairs; i++) {
        const int32_t *key = d->pairs[i].entity;
        if (cm_map_get(map, key, 2 * sizeof *key, &f->number[i])) continue;
        f->number[i] = *distinct;
        first[(*distinct)++] = i;
        done = cm_map_put(map, key, 2 * sizeof *key, f->number[i]);
    }
    cm_map_destroy(map);
    return done ? CM_OK : cm_fail_memory(error, 0);
}

static cm_status lay_out(pair_job *job, int64_t distinct, cm_layout layout, cm_error *error) {
    cm_pair_features *f = job->features;
    size_t floats = 0;
    f->offset = cm_new((size_t)distinct + 1, sizeof *f->offset);
    if (!f->offset) return cm_fail_memory(error, (size_t)distinct * sizeof *f->offset);
    for (int64_t i = 0; i < distinct; i++)
        f->offset[i + 1] =
            f->offset[i] + job->encoder->tokens(layout, molecule(job->dataset, job->first[i], 0)->length,
                                                molecule(job->dataset, job->first[i], 1)->length);
    if (cm_size_mul((size_t)f->offset[distinct], (size_t)f->width, &floats))
        f->rows = cm_new(floats, sizeof *f->rows);
    return f->rows ? CM_OK : cm_fail_memory(error, floats * sizeof *f->rows);
}

cm_status cm_pair_features_make(cm_pair_features *features, const cm_dataset *dataset, const char *name,
                                cm_layout layout, cm_team *team, const cm_runtime *runtime, cm_error *error) {
    const cm_pair_encoder *encoder;
    *features = (cm_pair_features){0};
    CM_TRY(cm_pair_encoder_find(&encoder, name, dataset->task->a, dataset->task->b, error));
    if (!encoder) return CM_OK;
    size_t n = (size_t)dataset->n_pairs;
    int64_t *first = cm_new(n, sizeof *first), distinct = 0;
    features->width = encoder->width;
    features->number = cm_new(n, sizeof *features->number);
    pair_job job = {.dataset = dataset, .encoder = encoder, .features = features, .first = first};
    cm_status status = first && features->number ? number_pairs(features, dataset, first, &distinct, error)
                                                 : cm_fail_memory(error, n * sizeof *first);
    if (status == CM_OK) status = lay_out(&job, distinct, layout, error);
    if (status == CM_OK) status = encode_pairs(&job, distinct, team, runtime, error);
    cm_free(first);
    return status;
}

void cm_pair_features_clear(cm_pair_features *features) {
    cm_free(features->number);
    cm_free(features->offset);
    cm_free(features->rows);
    *features = (cm_pair_features){0};
}

const float *cm_pair_features_of(const cm_pair_features *features, int64_t pair, int64_t *tokens) {
    int64_t i = features->number[pair];
    if (tokens) *tokens = features->offset[i + 1] - features->offset[i];
    return features->rows + features->offset[i] * features->width;
}
