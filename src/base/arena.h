/* A region of memory from which pieces are taken and given back all together. Pieces are 64-byte
 * aligned and not zeroed. Not thread-safe. Chunks are kept over a reset, so a steady loop allocates
 * nothing. */
#ifndef CM_BASE_ARENA_H
#define CM_BASE_ARENA_H

#include <stddef.h>

typedef struct cm_arena cm_arena;

/* A position to which the arena can be rolled back. */
typedef struct cm_arena_mark {
    size_t chunk, used;
} cm_arena_mark;

/* NULL when out of memory. */
cm_arena *cm_arena_create(void);
void cm_arena_destroy(cm_arena *arena); /* NULL is allowed */

/* bytes of memory valid until the reset or the release of an earlier mark; NULL when out of memory. */
void *cm_arena_take(cm_arena *arena, size_t bytes);

cm_arena_mark cm_arena_position(const cm_arena *arena);
void cm_arena_release(cm_arena *arena, cm_arena_mark mark);
void cm_arena_reset(cm_arena *arena);

/* Most bytes ever held by the chunks. */
size_t cm_arena_peak(const cm_arena *arena);

#endif
