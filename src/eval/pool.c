/* Tested pairs of several units side by side. */
#include "base/alloc.h"
#include "eval/result.h"

cm_status cm_pool_create(cm_pool *p, int64_t room, cm_error *error) {
    size_t n = (size_t)room;
    *p = (cm_pool){.value = cm_new(n, sizeof(double)),
                   .decision = cm_new(n, sizeof(double)),
                   .label = cm_new(n, sizeof(double)),
                   .entity = {cm_new(n, sizeof(int32_t)), cm_new(n, sizeof(int32_t))},
                   .pair = cm_new(n, sizeof(int64_t))};
    if (p->value && p->decision && p->label && p->entity[0] && p->entity[1] && p->pair) return CM_OK;
    cm_pool_clear(p);
    return cm_fail_memory(error, n * 40);
}

void cm_pool_clear(cm_pool *p) {
    cm_free(p->value);
    cm_free(p->decision);
    cm_free(p->label);
    cm_free(p->entity[0]);
    cm_free(p->entity[1]);
    cm_free(p->pair);
    *p = (cm_pool){0};
}

void cm_pool_add(cm_pool *p, const cm_eval_group *group, const cm_eval_unit *unit,
                 const cm_dataset *dataset) {
    for (int64_t i = 0; i < unit->n_test; i++) {
        const cm_pair *pair = &dataset->pairs[unit->test[i]];
        if (group->given_fold >= 0 && pair->fold != group->given_fold) continue;
        p->value[p->n] = unit->value[i];
        p->decision[p->n] = unit->value[i] >= unit->threshold;
        p->label[p->n] = (double)group->label[unit->test[i]];
        p->entity[0][p->n] = pair->entity[0];
        p->entity[1][p->n] = pair->entity[1];
        p->pair[p->n++] = unit->test[i];
    }
}

/* Each unit decides at its own threshold, so decisions are pooled as 0 and 1. */
cm_sample cm_pool_sample(const cm_pool *p, bool affinity) {
    return (cm_sample){.affinity = affinity,
                       .n = p->n,
                       .value = p->value,
                       .label = p->label,
                       .decision = affinity ? NULL : p->decision,
                       .threshold = 0.5,
                       .entity = {p->entity[0], p->entity[1]}};
}
