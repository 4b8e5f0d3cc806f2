/* The arena: alignment, rollback, reuse of chunks, bounded growth. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/arena.h"
#include "fail_alloc.h"
#include <string.h>

static void pieces_are_apart_and_aligned(void **state) {
    (void)state;
    enum { N = 200 };
    cm_arena *arena = cm_arena_create();
    unsigned char *pieces[N];
    for (int i = 0; i < N; i++) {
        pieces[i] = cm_arena_take(arena, (size_t)i * 501);
        assert_int_equal((uintptr_t)pieces[i] % 64, 0);
        memset(pieces[i], i, (size_t)i * 501);
    }
    for (int i = 0; i < N; i++) {
        for (int j = 0; j < i * 501; j++) assert_int_equal(pieces[i][j], i);
    }
    assert_true(cm_arena_peak(arena) >= (size_t)501 * N * (N - 1) / 2);
    cm_arena_destroy(arena);
    cm_arena_destroy(NULL);
}

static void empty_pieces_are_distinct(void **state) {
    (void)state;
    cm_arena *arena = cm_arena_create();
    void *first = cm_arena_take(arena, 0), *second = cm_arena_take(arena, 0);
    assert_non_null(first);
    assert_ptr_not_equal(first, second);
    cm_arena_destroy(arena);
}

static void release_gives_back(void **state) {
    (void)state;
    cm_arena *arena = cm_arena_create();
    cm_arena_mark empty = cm_arena_position(arena);
    char *kept = cm_arena_take(arena, 100);
    memset(kept, 'k', 100);
    cm_arena_mark mark = cm_arena_position(arena);
    void *first = cm_arena_take(arena, 100);
    assert_non_null(cm_arena_take(arena, 5 << 20));
    cm_arena_release(arena, mark);
    void *again = cm_arena_take(arena, 100);
    assert_ptr_equal(first, again);
    assert_int_equal(kept[99], 'k');
    cm_arena_release(arena, empty);
    assert_ptr_equal(cm_arena_take(arena, 1), kept);
    cm_arena_destroy(arena);
}

/* One round of pieces, the sizes depending on seed. */
static void take_round(cm_arena *arena, unsigned seed) {
    for (unsigned i = 0; i < 40; i++) {
        cm_arena_mark mark = cm_arena_position(arena);
        assert_non_null(cm_arena_take(arena, 1000u * (1 + (i * 7919 + seed) % 2000)));
        if (i % 3 == 0) cm_arena_release(arena, mark);
    }
    cm_arena_reset(arena);
}

static void steady_loop_allocates_nothing(void **state) {
    (void)state;
    cm_arena *arena = cm_arena_create();
    for (int i = 0; i < 4; i++) take_round(arena, 1);
    fail_alloc_from(0);
    take_round(arena, 1);
    assert_false(fail_alloc_stop());
    cm_arena_destroy(arena);
}

/* Slowly growing pieces must not leave all their predecessors' chunks behind. */
static void varying_rounds_stay_bounded(void **state) {
    (void)state;
    cm_arena *arena = cm_arena_create();
    for (size_t round = 0; round < 200; round++) {
        for (int i = 0; i < 4; i++) assert_non_null(cm_arena_take(arena, ((size_t)2 << 20) + round * 4096));
        cm_arena_reset(arena);
    }
    assert_true(cm_arena_peak(arena) < (size_t)64 << 20);
    cm_arena_destroy(arena);
}

static void out_of_memory_is_null(void **state) {
    (void)state;
    fail_alloc_from(0);
    cm_arena *none = cm_arena_create();
    fail_alloc_stop();
    assert_null(none);
    cm_arena *arena = cm_arena_create();
    for (long n = 0; n < 2; n++) {
        fail_alloc_from(n);
        void *piece = cm_arena_take(arena, 100);
        assert_true(fail_alloc_stop());
        assert_null(piece);
    }
    assert_null(cm_arena_take(arena, SIZE_MAX));
    assert_null(cm_arena_take(arena, SIZE_MAX - 64));
    assert_non_null(cm_arena_take(arena, 100)); /* usable afterwards */
    cm_arena_destroy(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_apart_and_aligned), cmocka_unit_test(empty_pieces_are_distinct),
        cmocka_unit_test(release_gives_back),           cmocka_unit_test(steady_loop_allocates_nothing),
        cmocka_unit_test(varying_rounds_stay_bounded),  cmocka_unit_test(out_of_memory_is_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
