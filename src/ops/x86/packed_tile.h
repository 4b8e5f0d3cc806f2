/* What the x86 kernels of packed products share: the steps over a tile. CM_TARGET(isa) asks for an
 * instruction set; a test that emulates the instructions defines it before, and has included their header. */
#ifndef CM_OPS_X86_PACKED_TILE_H
#define CM_OPS_X86_PACKED_TILE_H

#include "ops/packed_kernel.h"
#ifndef CM_TARGET
#include <immintrin.h>
#define CM_TARGET(isa) __attribute__((target(isa)))
#endif
#define CM_TILE_INLINE static inline __attribute__((always_inline))

/* The 4 bytes of a group of x as they lie. */
CM_TILE_INLINE int32_t cm_tile_group(const char *x) {
    int32_t group;
    memcpy(&group, x, sizeof group);
    return group;
}

/* Runs block(tile, row, rows, ...) over all rows, rows a constant at each place. */
#define CM_TILE_ROWS(tile, block, ...)                                        \
    do {                                                                      \
        int64_t row_ = 0;                                                     \
        for (; (tile)->rows - row_ >= CM_PACKED_ROWS; row_ += CM_PACKED_ROWS) \
            block(tile, row_, CM_PACKED_ROWS, __VA_ARGS__);                   \
        switch ((tile)->rows - row_) {                                        \
        case 1:                                                               \
            block(tile, row_, 1, __VA_ARGS__);                                \
            break;                                                            \
        case 2:                                                               \
            block(tile, row_, 2, __VA_ARGS__);                                \
            break;                                                            \
        case 3:                                                               \
            block(tile, row_, 3, __VA_ARGS__);                                \
            break;                                                            \
        case 4:                                                               \
            block(tile, row_, 4, __VA_ARGS__);                                \
            break;                                                            \
        case 5:                                                               \
            block(tile, row_, 5, __VA_ARGS__);                                \
            break;                                                            \
        default:                                                              \
            break;                                                            \
        }                                                                     \
    } while (0)

#endif
