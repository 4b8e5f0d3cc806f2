/* Sparse counts as bytes. */
#include "kernel/count_code.h"

enum { HALF = 15, GROUP_BITS = 7, MORE = 1 << GROUP_BITS, MOST_GROUPS = 5 };

static int put_rest(uint8_t *to, int64_t number) {
    int n = 0;
    for (; number >= MORE; number >>= GROUP_BITS) to[n++] = (uint8_t)(number % MORE + MORE);
    to[n++] = (uint8_t)number;
    return n;
}

int cm_count_put(uint8_t to[CM_COUNT_BYTES], int64_t left_out, int64_t count) {
    const int64_t number[2] = {left_out, count - 1};
    int n = 1;
    to[0] = 0;
    for (int i = 0; i < 2; i++) {
        int64_t half = number[i] < HALF ? number[i] : HALF;
        to[0] = (uint8_t)(to[0] << 4 | half);
        if (half == HALF) n += put_rest(to + n, number[i] - HALF);
    }
    return n;
}

/* Adds the rest of a number; returns its bytes or 0. */
static int get_rest(const uint8_t *from, int64_t bytes, int64_t *number) {
    for (int n = 0; n < MOST_GROUPS && n < bytes; n++) {
        *number += (int64_t)(from[n] % MORE) << (GROUP_BITS * n);
        if (from[n] < MORE) return n + 1;
    }
    return 0;
}

int cm_count_get(const uint8_t *from, int64_t bytes, int64_t *left_out, int64_t *count) {
    if (bytes < 1) return 0;
    int64_t number[2] = {from[0] >> 4, from[0] & HALF};
    int n = 1;
    for (int i = 0; i < 2; i++) {
        if (number[i] < HALF) continue;
        int taken = get_rest(from + n, bytes - n, &number[i]);
        if (taken == 0) return 0;
        n += taken;
    }
    *left_out = number[0];
    *count = number[1] + 1;
    return n;
}
