/* The profile of every molecule, then all against all. */
#include "eval/similarity.h"
#include "base/alloc.h"
#include "base/log.h"
#include "bio/profile.h"

typedef struct job {
    cm_molecule_type type;
    cm_profile *profiles;
    int64_t n, width;
    float *out;
    float *dense; /* [members, width] */
    const cm_runtime *runtime;
} job;

static cm_status make_profiles(job *j, const cm_entity *entities, cm_error *error) {
    for (int64_t i = 0; i < j->n; i++)
        CM_TRY(
            cm_profile_make(&j->profiles[i], j->type, entities[i].text, entities[i].length, j->dense, error));
    return CM_OK;
}

static void compare_rows(void *context, int64_t begin, int64_t end, int member) {
    const job *j = context;
    float *dense = j->dense + member * j->width;
    for (int64_t i = begin; i < end && !cm_stopped(j->runtime); i++) {
        const cm_profile *own = &j->profiles[i];
        cm_profile_spread(own, dense);
        for (int64_t k = 0; k < j->n; k++)
            j->out[i * j->n + k] = i == k ? 1 : cm_profile_alike(j->type, dense, own->norm, &j->profiles[k]);
        cm_profile_wipe(own, dense);
    }
}

static cm_status fill_side(job *j, const cm_entity *entities, cm_team *team, cm_error *error) {
    CM_TRY(make_profiles(j, entities, error));
    cm_team_for(team, j->n, 8, compare_rows, j);
    return cm_stopped(j->runtime) ? cm_fail(error, CM_INTERRUPTED, NULL, NULL, NULL, "stopped") : CM_OK;
}

static cm_status make_side(cm_similarity *s, const cm_dataset *dataset, int side, cm_team *team,
                           const cm_runtime *runtime, cm_error *error) {
    job j = {.type = side == 0 ? dataset->task->a : dataset->task->b,
             .n = dataset->n_entities[side],
             .runtime = runtime};
    size_t cells, n = (size_t)j.n;
    s->n[side] = j.n;
    j.width = cm_profile_width(j.type);
    if (!cm_size_mul(n, n, &cells)) return cm_fail_memory(error, SIZE_MAX);
    j.out = s->value[side] = cm_new(cells, sizeof(float));
    j.profiles = cm_new(n, sizeof *j.profiles);
    j.dense = cm_new((size_t)j.width * (size_t)cm_team_size(team), sizeof(float));
    cm_status status = j.out && j.profiles && j.dense ? fill_side(&j, dataset->entities[side], team, error)
                                                      : cm_fail_memory(error, cells * sizeof(float));
    for (int64_t i = 0; j.profiles && i < j.n; i++) cm_profile_clear(&j.profiles[i]);
    cm_free(j.profiles);
    cm_free(j.dense);
    return status;
}

cm_status cm_similarity_create(cm_similarity **similarity, const cm_dataset *dataset, cm_team *team,
                               const cm_runtime *runtime, cm_error *error) {
    cm_similarity *s = cm_new(1, sizeof *s);
    if (!s) return cm_fail_memory(error, sizeof *s);
    cm_status status = CM_OK;
    for (int side = 0; side < 2 && status == CM_OK; side++)
        status = make_side(s, dataset, side, team, runtime, error);
    if (status != CM_OK) {
        cm_similarity_destroy(s);
        return status;
    }
    *similarity = s;
    return CM_OK;
}

void cm_similarity_destroy(cm_similarity *similarity) {
    if (!similarity) return;
    cm_free(similarity->value[0]);
    cm_free(similarity->value[1]);
    cm_free(similarity);
}
