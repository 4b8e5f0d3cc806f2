/* Sorting of values and labels, and the checks before it. */
#include "metrics/ranking.h"
#include "base/alloc.h"
#include <math.h>
#include <stdlib.h>

typedef struct item {
    double key;
    int64_t at;
} item;

static int by_key(const void *left, const void *right) {
    const item *a = left, *b = right;
    if (a->key != b->key) return a->key < b->key ? -1 : 1;
    return (a->at > b->at) - (a->at < b->at);
}

static cm_status check(bool affinity, const double *value, const double *label, int64_t n, cm_error *error) {
    if (n < 1) return cm_fail(error, CM_DATA, NULL, NULL, "at least one value to judge", "none");
    for (int64_t i = 0; i < n; i++) {
        cm_text place = {0};
        if (!isfinite(value[i]) || !isfinite(label[i]) || (!affinity && label[i] != 0 && label[i] != 1))
            place = cm_format("pair %lld", (long long)i + 1);
        else
            continue;
        if (!isfinite(value[i]))
            return cm_fail(error, CM_NUMERIC, NULL, place.text, "a finite value", "%g", value[i]);
        if (!isfinite(label[i]))
            return cm_fail(error, CM_NUMERIC, NULL, place.text, "a finite label", "%g", label[i]);
        return cm_fail(error, CM_DATA, NULL, place.text, "label 0 or 1", "%g", label[i]);
    }
    return CM_OK;
}

/* order: positions by ascending key; group[i]: number of the distinct key of i. Returns the distinct keys. */
static int64_t sort(const double *key, int64_t n, item *items, int64_t *order, int64_t *group) {
    for (int64_t i = 0; i < n; i++) items[i] = (item){key[i], i};
    qsort(items, (size_t)n, sizeof *items, by_key);
    int64_t groups = 0;
    for (int64_t i = 0; i < n; i++) {
        if (i > 0 && items[i].key != items[i - 1].key) groups++;
        order[i] = items[i].at;
        group[items[i].at] = groups;
    }
    return groups + 1;
}

cm_status cm_ranking_create(cm_ranking *ranking, bool affinity, const double *value, const double *label,
                            int64_t n, cm_error *error) {
    CM_TRY(check(affinity, value, label, n, error));
    cm_ranking r = {.n = n, .value = value, .label = label};
    const size_t count = (size_t)n;
    item *items = cm_new(count, sizeof *items);
    r.by_value = cm_new(count, sizeof *r.by_value);
    r.value_group = cm_new(count, sizeof *r.value_group);
    bool ok = items && r.by_value && r.value_group;
    if (affinity) {
        r.by_label = cm_new(count, sizeof *r.by_label);
        r.label_group = cm_new(count, sizeof *r.label_group);
        r.value_rank = cm_new(count, sizeof *r.value_rank);
        r.label_rank = cm_new(count, sizeof *r.label_rank);
        r.tree = cm_new(count + 1, sizeof *r.tree);
        r.weight_of = cm_new(count + 1, sizeof *r.weight_of);
        ok = ok && r.by_label && r.label_group && r.value_rank && r.label_rank && r.tree && r.weight_of;
    }
    if (!ok) {
        cm_free(items);
        cm_ranking_clear(&r);
        return cm_fail_memory(error, count * sizeof *items);
    }
    r.n_groups = sort(value, n, items, r.by_value, r.value_group);
    if (affinity) sort(label, n, items, r.by_label, r.label_group);
    cm_free(items);
    *ranking = r;
    return CM_OK;
}

void cm_ranking_clear(cm_ranking *ranking) {
    cm_free(ranking->by_value);
    cm_free(ranking->by_label);
    cm_free(ranking->value_group);
    cm_free(ranking->label_group);
    cm_free(ranking->value_rank);
    cm_free(ranking->label_rank);
    cm_free(ranking->tree);
    cm_free(ranking->weight_of);
    *ranking = (cm_ranking){0};
}
