/* Makes the Nth allocation of the library fail, so that a test can walk through every out-of-memory path:
 *
 *     for (long n = 0;; n++) {
 *         fail_alloc_from(n);
 *         result = call();
 *         if (!fail_alloc_stop()) break;   the call needed n allocations or fewer
 *         the call must have reported CM_MEMORY, and leaked nothing
 *     } */
#ifndef CM_TESTS_FAIL_ALLOC_H
#define CM_TESTS_FAIL_ALLOC_H

#include "base/alloc.h"

typedef struct fail_alloc_state {
    long left; /* allocations that still succeed */
    bool failed;
} fail_alloc_state;

static fail_alloc_state fail_alloc;

static inline bool fail_alloc_hook(size_t bytes, void *context) {
    fail_alloc_state *state = context;
    (void)bytes;
    if (state->left-- > 0) return true;
    state->failed = true;
    return false;
}

/* The first n allocations succeed, all later ones fail. */
static inline void fail_alloc_from(long n) {
    fail_alloc = (fail_alloc_state){.left = n};
    cm_alloc_set_hook(fail_alloc_hook, &fail_alloc);
}

/* Allocations succeed again. True when one has failed since fail_alloc_from. */
static inline bool fail_alloc_stop(void) {
    cm_alloc_set_hook(NULL, NULL);
    return fail_alloc.failed;
}

#endif
