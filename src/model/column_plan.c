/* Settling which columns trees see. */
#include "model/column_plan.h"
#include "base/alloc.h"
#include "base/rng.h"
#include <string.h>

enum { COMMON = 3, WIDEST_SPECTRUM = 400, KEY_LANDMARK = 51 };

/* A side of the training part. */
typedef struct part {
    const cm_dataset *dataset;
    const cm_kernel_features *features;
    const bool *trains; /* [molecules of the side] */
    int side;
    uint64_t seed;
} part;

bool cm_column_whole(const cm_molecule_kernel *kernel) {
    return kernel->width <= WIDEST_SPECTRUM;
}

bool cm_column_common(const cm_column_plan *plan, const cm_molecule_kernel *kernel) {
    return plan->extended && !cm_column_whole(kernel) && kernel->types == 1U << CM_MOLECULE &&
           !kernel->tanimoto && kernel->width <= CM_MORGAN_WIDTH;
}

void cm_column_plan_begin(cm_column_plan *plan, const cm_task *task, int64_t pair_width, bool extended) {
    *plan = (cm_column_plan){.extended = extended, .pair_width = pair_width};
    for (int s = 0; s < 2; s++) {
        plan->side[s].type = s ? task->b : task->a;
        plan->side[s].n_kernels = cm_kernels_of(plan->side[s].type, plan->side[s].kernel);
    }
}

void cm_column_plan_clear(cm_column_plan *plan) {
    for (int s = 0; s < 2; s++) {
        cm_column_side *side = &plan->side[s];
        for (int k = 0; k < CM_KERNELS_MAX; k++) cm_free(side->taken[k]);
        cm_free(side->start);
        cm_free(side->column);
        cm_free(side->count);
    }
    *plan = (cm_column_plan){0};
}

/* ---- room and check ---- */

static bool landmark_room(cm_column_side *side, int n_landmarks, int64_t entries) {
    side->n_landmarks = n_landmarks;
    side->entries = entries;
    side->start = cm_new((size_t)n_landmarks + 1, sizeof *side->start);
    side->column = cm_new((size_t)entries, sizeof *side->column);
    side->count = cm_new((size_t)entries, sizeof *side->count);
    return side->start && side->column && side->count;
}

cm_status cm_column_side_room(cm_column_side *side, int n_landmarks, int64_t entries,
                              const int64_t n_taken[CM_KERNELS_MAX], cm_error *error) {
    if (!landmark_room(side, n_landmarks, entries)) return cm_fail_memory(error, (size_t)entries * 8);
    for (int k = 0; k < side->n_kernels; k++) {
        side->n_taken[k] = n_taken[k];
        side->taken[k] = cm_new((size_t)n_taken[k], sizeof *side->taken[k]);
        if (!side->taken[k]) return cm_fail_memory(error, (size_t)n_taken[k] * sizeof(int32_t));
    }
    return CM_OK;
}

static bool ascending(const int32_t *number, int64_t n, int64_t end) {
    for (int64_t i = 0; i < n; i++)
        if (number[i] < 0 || number[i] >= end || (i > 0 && number[i] <= number[i - 1])) return false;
    return true;
}

static cm_status link_landmark(cm_column_side *side, int l, cm_error *error) {
    int64_t first = side->start[l], end = side->start[l + 1];
    cm_text place = cm_format("landmark %d", l + 1);
    if (first < 0 || end < first || end > side->entries)
        return cm_fail(error, CM_DATA, NULL, place.text,
                       cm_format("counts 0 to %lld", (long long)side->entries).text, "%lld to %lld",
                       (long long)first, (long long)end);
    cm_profile *to = &side->landmark[l];
    *to = (cm_profile){.n = end - first, .column = side->column + first, .count = side->count + first};
    int64_t width = cm_profile_width(side->type);
    if (!ascending(to->column, to->n, width))
        return cm_fail(error, CM_DATA, NULL, place.text,
                       cm_format("ascending columns below %lld", (long long)width).text, "others");
    for (int64_t e = 0; e < to->n; e++)
        if (!(to->count[e] > 0))
            return cm_fail(error, CM_DATA, NULL, place.text, "counts above 0", "%g", (double)to->count[e]);
    cm_profile_measure(to, side->type);
    return CM_OK;
}

cm_status cm_column_side_link(cm_column_side *side, cm_error *error) {
    for (int l = 0; l < side->n_landmarks; l++) CM_TRY(link_landmark(side, l, error));
    for (int k = 0; k < side->n_kernels; k++)
        if (!ascending(side->taken[k], side->n_taken[k], side->kernel[k]->width))
            return cm_fail(error, CM_DATA, NULL, cm_format("features of %s", side->kernel[k]->name).text,
                           cm_format("ascending numbers below %lld", (long long)side->kernel[k]->width).text,
                           "others");
    return CM_OK;
}

/* ---- features ---- */

static cm_status take_features(cm_column_side *to, int k, const part *p, cm_error *error) {
    const cm_kernel_rows *rows = &p->features->rows[k];
    int64_t width = to->kernel[k]->width;
    int32_t *molecules = cm_new((size_t)width, sizeof *molecules);
    to->taken[k] = cm_new((size_t)width, sizeof *to->taken[k]);
    bool done = molecules && to->taken[k];
    for (int64_t i = 0; done && i < p->features->n; i++)
        for (int64_t e = rows->start[i]; p->trains[i] && e < rows->start[i + 1]; e++)
            molecules[rows->column[e]]++;
    for (int64_t f = 0; done && f < width; f++)
        if (molecules[f] >= COMMON) to->taken[k][to->n_taken[k]++] = (int32_t)f;
    cm_free(molecules);
    return done ? CM_OK : cm_fail_memory(error, (size_t)width * sizeof *molecules);
}

/* ---- landmarks ---- */

/* The profiles of those training molecules that come first in a random order. */
typedef struct chosen {
    cm_profile profile[CM_LANDMARKS];
    int n;
    int64_t *order; /* [molecules] */
    float *dense;
} chosen;

static cm_status choose_landmarks(chosen *c, cm_molecule_type type, const part *p, cm_error *error) {
    int64_t n = p->dataset->n_entities[p->side];
    for (int64_t i = 0; i < n; i++) c->order[i] = i;
    cm_rng_shuffle(cm_rng_key(p->seed, KEY_LANDMARK, (uint64_t)p->side), c->order, n);
    for (int64_t i = 0; i < n && c->n < CM_LANDMARKS; i++) {
        const cm_entity *entity = &p->dataset->entities[p->side][c->order[i]];
        if (p->trains[c->order[i]])
            CM_TRY(cm_profile_make(&c->profile[c->n++], type, entity->text, entity->length, c->dense, error));
    }
    return CM_OK;
}

static cm_status copy_landmarks(cm_column_side *to, const chosen *c, cm_error *error) {
    int64_t entries = 0;
    for (int l = 0; l < c->n; l++) entries += c->profile[l].n;
    if (!landmark_room(to, c->n, entries)) return cm_fail_memory(error, (size_t)entries * 8);
    for (int l = 0; l < c->n; l++) {
        const cm_profile *from = &c->profile[l];
        int64_t first = to->start[l];
        to->start[l + 1] = first + from->n;
        for (int64_t e = 0; e < from->n; e++) {
            to->column[first + e] = from->column[e];
            to->count[first + e] = from->count[e];
        }
    }
    return cm_column_side_link(to, error);
}

static cm_status take_landmarks(cm_column_side *to, const part *p, cm_error *error) {
    size_t n = (size_t)p->dataset->n_entities[p->side];
    chosen c = {.order = cm_new(n, sizeof *c.order),
                .dense = cm_new((size_t)cm_profile_width(to->type), sizeof *c.dense)};
    cm_status status = c.order && c.dense ? choose_landmarks(&c, to->type, p, error)
                                          : cm_fail_memory(error, n * sizeof *c.order);
    if (status == CM_OK) status = copy_landmarks(to, &c, error);
    for (int l = 0; l < c.n; l++) cm_profile_clear(&c.profile[l]);
    cm_free(c.order);
    cm_free(c.dense);
    return status;
}

/* ---- both ---- */

static cm_status learn_side(cm_column_plan *plan, const part *p, cm_error *error) {
    cm_column_side *to = &plan->side[p->side];
    for (int k = 0; k < to->n_kernels; k++)
        if (cm_column_common(plan, to->kernel[k])) CM_TRY(take_features(to, k, p, error));
    return take_landmarks(to, p, error);
}

cm_status cm_column_plan_learn(cm_column_plan *plan, const cm_dataset *dataset,
                               const cm_kernel_features *const features[2], int64_t pair_width, bool extended,
                               const int64_t *index, int64_t n, uint64_t seed, cm_error *error) {
    cm_status status = CM_OK;
    cm_column_plan_begin(plan, dataset->task, pair_width, extended);
    for (int side = 0; side < 2 && status == CM_OK; side++) {
        size_t molecules = (size_t)dataset->n_entities[side];
        bool *trains = cm_new(molecules, sizeof *trains);
        if (!trains) return cm_fail_memory(error, molecules);
        for (int64_t i = 0; i < n; i++) trains[dataset->pairs[index[i]].entity[side]] = true;
        part p = {dataset, features[side], trains, side, seed};
        status = learn_side(plan, &p, error);
        cm_free(trains);
    }
    return status;
}
