/* Groups of molecules by text or by similarity. */
#include "data/groups.h"
#include "base/alloc.h"
#include "base/map.h"
#include "bio/sketches.h"
#include <string.h>

/* Distinct texts of one type, from one side or both. */
typedef struct texts {
    const char **text;
    int32_t *group;
    int32_t n;
    cm_map *number_of;
} texts;

static void texts_clear(texts *t) {
    cm_free(t->text);
    cm_free(t->group);
    cm_map_destroy(t->number_of);
}

/* of[side] becomes the number of each molecule's text in t. */
static cm_status list_side(texts *t, const cm_dataset *d, int side, int32_t *of, cm_error *error) {
    for (int64_t i = 0; i < d->n_entities[side]; i++) {
        const cm_entity *e = &d->entities[side][i];
        int64_t number;
        if (!cm_map_get(t->number_of, e->text, (size_t)e->length, &number)) {
            number = t->n;
            t->text[t->n++] = e->text;
            if (!cm_map_put(t->number_of, e->text, (size_t)e->length, number))
                return cm_fail_memory(error, (size_t)e->length);
        }
        of[i] = (int32_t)number;
    }
    return CM_OK;
}

static cm_status cluster(texts *t, cm_molecule_type type, const double *threshold, int32_t *count,
                         cm_error *error) {
    *count = t->n;
    for (int32_t i = 0; i < t->n; i++) t->group[i] = i;
    if (!threshold) return CM_OK;
    cm_sketches *sketches = NULL;
    CM_TRY(cm_sketches_create(&sketches, type, t->text, t->n, error));
    cm_status status = cm_sketches_components(sketches, threshold[type], t->group, count, error);
    cm_sketches_destroy(sketches);
    return status;
}

/* Groups of the sides [first, last]; they are numbered from groups->count. */
static cm_status add_sides(cm_groups *g, const cm_dataset *d, int first, int last, const double *threshold,
                           cm_error *error) {
    size_t room = 0;
    for (int side = first; side <= last; side++) room += (size_t)d->n_entities[side];
    texts t = {.text = cm_new(room, sizeof *t.text),
               .group = cm_new(room, sizeof *t.group),
               .number_of = cm_map_create()};
    cm_status status = t.text && t.group && t.number_of ? CM_OK : cm_fail_memory(error, room * 12);
    for (int side = first; side <= last && status == CM_OK; side++)
        status = list_side(&t, d, side, g->of[side], error);
    int32_t count = 0;
    if (status == CM_OK) status = cluster(&t, first ? d->task->b : d->task->a, threshold, &count, error);
    for (int side = first; side <= last && status == CM_OK; side++)
        for (int64_t i = 0; i < d->n_entities[side]; i++) g->of[side][i] = g->count + t.group[g->of[side][i]];
    g->count += count;
    texts_clear(&t);
    return status;
}

cm_status cm_groups_make(cm_groups *groups, const cm_dataset *dataset, const double threshold[3],
                         cm_error *error) {
    *groups = (cm_groups){.count = 0};
    for (int side = 0; side < 2; side++)
        groups->of[side] = cm_new((size_t)dataset->n_entities[side], sizeof *groups->of[side]);
    cm_status status = groups->of[0] && groups->of[1] ? CM_OK : cm_fail_memory(error, 0);
    if (status == CM_OK && dataset->task->a == dataset->task->b) {
        status = add_sides(groups, dataset, 0, 1, threshold, error);
    } else if (status == CM_OK) {
        status = add_sides(groups, dataset, 0, 0, threshold, error);
        if (status == CM_OK) status = add_sides(groups, dataset, 1, 1, threshold, error);
    }
    if (status != CM_OK) cm_groups_clear(groups);
    return status;
}

void cm_groups_clear(cm_groups *groups) {
    cm_free(groups->of[0]);
    cm_free(groups->of[1]);
    *groups = (cm_groups){.count = 0};
}
