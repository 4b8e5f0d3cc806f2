/* Sparse counts as bytes: words of a sequence are mostly near each other in the table of words and mostly
 * counted once or twice, so that one byte holds most entries.
 *
 * An entry is a byte, whose upper four bits are the number of columns left out since the entry before (at
 * first: since the beginning) and whose lower four are its count less 1. 15 in either stands for 15 and more:
 * what is more follows, first of the columns, then of the count, in groups of 7 bits, the lowest first, with
 * the top bit set in all but the last. */
#ifndef CM_KERNEL_COUNT_CODE_H
#define CM_KERNEL_COUNT_CODE_H

#include <stdint.h>

enum {
    CM_COUNT_BYTES = 11,     /* of an entry, at most */
    CM_COUNT_MOST = 1 << 24, /* up to here a float counts without a gap */
};

/* Writes an entry: left_out below 2^31, count 1 to CM_COUNT_MOST. Returns its bytes. */
int cm_count_put(uint8_t to[CM_COUNT_BYTES], int64_t left_out, int64_t count);

/* Reads an entry from the first of `bytes` bytes. Returns its bytes; 0: they end inside it, or a number has
 * more than 5 groups. Numbers are below 2^36. */
int cm_count_get(const uint8_t *from, int64_t bytes, int64_t *left_out, int64_t *count);

#endif
