/* The distinct numbers of a list. */
#ifndef CM_KERNEL_DISTINCT_H
#define CM_KERNEL_DISTINCT_H

#include "base/fail.h"
#include <stdint.h>

typedef struct cm_distinct {
    int32_t *list;  /* [count] the numbers in order of appearance */
    int32_t *place; /* [n] of each number of the list that was given */
    int64_t count;
} cm_distinct;

/* Of number[n], each in [0, bound). The arrays belong to the caller, who may take them over. On failure they
 * are empty. */
cm_status cm_distinct_make(cm_distinct *distinct, const int32_t *number, int64_t n, int64_t bound,
                           cm_error *error);
void cm_distinct_clear(cm_distinct *distinct);

#endif
