/* The arena: a list of chunks of which only the current one is partly used; those before it are full, those
 * after it are empty and wait for reuse. An empty chunk that is too small for a piece is replaced by a larger
 * one, so that the number of chunks is bounded by the largest round, however the sizes vary. */
#include "base/arena.h"

#include "base/alloc.h"
#include <assert.h>

enum { PIECE_ALIGN = 64 };

/* Small enough not to matter, large enough that a round of small pieces stays in few chunks. */
static const size_t chunk_min = (size_t)1 << 20;
static const size_t chunk_max_growth = (size_t)64 << 20;

typedef struct arena_chunk {
    char *data;
    size_t size;
} arena_chunk;

struct cm_arena {
    arena_chunk *chunks;
    size_t n_chunks, cap_chunks;
    cm_arena_mark at;
    size_t held, peak;
};

cm_arena *cm_arena_create(void) {
    return cm_new(1, sizeof(cm_arena));
}

void cm_arena_destroy(cm_arena *arena) {
    if (!arena) return;
    for (size_t i = 0; i < arena->n_chunks; i++) cm_free(arena->chunks[i].data);
    cm_free(arena->chunks);
    cm_free(arena);
}

/* The chunk list grows as the arena does: by doubling, within limits. */
static size_t chunk_size(const cm_arena *arena, size_t bytes) {
    size_t size = arena->held;
    if (size < chunk_min) size = chunk_min;
    if (size > chunk_max_growth) size = chunk_max_growth;
    return size < bytes ? bytes : size;
}

/* Makes chunks[index] hold at least bytes; index <= n_chunks, and nothing lives in that chunk. */
static bool provide_chunk(cm_arena *arena, size_t index, size_t bytes) {
    if (index == arena->cap_chunks) {
        size_t cap = arena->cap_chunks ? 2 * arena->cap_chunks : 8;
        arena_chunk *chunks = cm_resize(arena->chunks, cap, sizeof *chunks);
        if (!chunks) return false;
        arena->chunks = chunks;
        arena->cap_chunks = cap;
    }
    if (index == arena->n_chunks) {
        arena->chunks[index] = (arena_chunk){0};
        arena->n_chunks++;
    }
    arena_chunk *chunk = &arena->chunks[index];
    if (chunk->size >= bytes) return true;
    arena->held -= chunk->size;
    cm_free(chunk->data);
    *chunk = (arena_chunk){0};
    size_t size = chunk_size(arena, bytes);
    chunk->data = cm_new_aligned(size, 1);
    if (!chunk->data) return false;
    chunk->size = size;
    arena->held += size;
    if (arena->held > arena->peak) arena->peak = arena->held;
    return true;
}

void *cm_arena_take(cm_arena *arena, size_t bytes) {
    size_t size;
    if (!cm_size_add(bytes ? bytes : 1, PIECE_ALIGN - 1, &size)) return NULL;
    size = size / PIECE_ALIGN * PIECE_ALIGN;
    size_t index = arena->at.chunk;
    if (index >= arena->n_chunks || size > arena->chunks[index].size - arena->at.used) {
        size_t target = arena->at.used > 0 ? index + 1 : index;
        if (!provide_chunk(arena, target, size)) return NULL;
        arena->at = (cm_arena_mark){.chunk = target, .used = 0};
    }
    char *piece = arena->chunks[arena->at.chunk].data + arena->at.used;
    arena->at.used += size;
    return piece;
}

cm_arena_mark cm_arena_position(const cm_arena *arena) {
    return arena->at;
}

void cm_arena_release(cm_arena *arena, cm_arena_mark mark) {
    assert(mark.chunk < arena->at.chunk || (mark.chunk == arena->at.chunk && mark.used <= arena->at.used));
    arena->at = mark;
}

void cm_arena_reset(cm_arena *arena) {
    arena->at = (cm_arena_mark){0};
}

size_t cm_arena_peak(const cm_arena *arena) {
    return arena->peak;
}
