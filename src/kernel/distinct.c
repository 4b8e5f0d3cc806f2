/* The distinct numbers of a list. */
#include "kernel/distinct.h"
#include "base/alloc.h"
#include <stdbool.h>

void cm_distinct_clear(cm_distinct *distinct) {
    cm_free(distinct->list);
    cm_free(distinct->place);
    *distinct = (cm_distinct){0};
}

cm_status cm_distinct_make(cm_distinct *distinct, const int32_t *number, int64_t n, int64_t bound,
                           cm_error *error) {
    *distinct = (cm_distinct){cm_new((size_t)n, sizeof(int32_t)), cm_new((size_t)n, sizeof(int32_t)), 0};
    int32_t *slot = cm_new((size_t)bound, sizeof *slot);
    bool there = distinct->list && distinct->place && slot;
    for (int64_t i = 0; i < n && there; i++) {
        if (slot[number[i]] == 0) {
            distinct->list[distinct->count++] = number[i];
            slot[number[i]] = (int32_t)distinct->count;
        }
        distinct->place[i] = slot[number[i]] - 1;
    }
    cm_free(slot);
    if (there) return CM_OK;
    cm_distinct_clear(distinct);
    return cm_fail_memory(error, (size_t)(n + bound) * 4);
}
