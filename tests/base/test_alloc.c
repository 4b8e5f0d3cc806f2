/* Checked sizes, the allocators and their hook. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/alloc.h"
#include <string.h>

static void sizes_are_checked(void **state) {
    (void)state;
    size_t result = 7;
    assert_true(cm_size_mul(6, 7, &result));
    assert_int_equal(result, 42);
    assert_false(cm_size_mul(SIZE_MAX / 2, 3, &result));
    assert_int_equal(result, 42);
    assert_true(cm_size_mul(SIZE_MAX, 0, &result));
    assert_int_equal(result, 0);
    assert_true(cm_size_add(SIZE_MAX - 1, 1, &result));
    assert_true(result == SIZE_MAX);
    assert_false(cm_size_add(SIZE_MAX, 1, &result));
    assert_true(result == SIZE_MAX);
}

static void new_memory_is_zero(void **state) {
    (void)state;
    unsigned char *memory = cm_new(1000, 3);
    assert_non_null(memory);
    for (int i = 0; i < 3000; i++) assert_int_equal(memory[i], 0);
    cm_free(memory);
}

static void empty_sizes_give_memory(void **state) {
    (void)state;
    void *pieces[] = {cm_new(0, 8), cm_new(8, 0), cm_new_aligned(0, 0), cm_resize(NULL, 0, 1)};
    for (int i = 0; i < 4; i++) {
        assert_non_null(pieces[i]);
        cm_free(pieces[i]);
    }
    cm_free(NULL);
}

static void overflow_fails(void **state) {
    (void)state;
    char *old = cm_new(1, 1);
    size_t half = SIZE_MAX / 2 + 1; /* not a constant to the compiler's size check */
    assert_null(cm_new(half, 2));
    assert_null(cm_new_aligned(half, 1));
    assert_null(cm_resize(old, half, 2));
    assert_null(cm_copy_text("", SIZE_MAX));
    old[0] = 'x'; /* still valid */
    cm_free(old);
}

static void aligned_memory_is_aligned(void **state) {
    (void)state;
    for (size_t n = 1; n < 300; n += 37) {
        char *memory = cm_new_aligned(n, 1);
        assert_int_equal((uintptr_t)memory % 64, 0);
        memset(memory, 1, n);
        cm_free(memory);
    }
}

static void large_memory_begins_a_huge_page(void **state) {
    (void)state;
    const size_t huge = (size_t)2 << 20, sizes[] = {huge, huge + 1, 3 * huge - 64};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char *memory = cm_new_aligned(sizes[i], 1);
        assert_non_null(memory);
        assert_int_equal((uintptr_t)memory % huge, 0);
        memory[0] = memory[sizes[i] - 1] = 1;
        cm_free(memory);
    }
}

static void resize_keeps_content(void **state) {
    (void)state;
    int32_t *items = cm_new(2, sizeof *items);
    items[1] = 5;
    items = cm_resize(items, 1000, sizeof *items);
    assert_int_equal(items[1], 5);
    cm_free(items);
}

static void copied_text_ends(void **state) {
    (void)state;
    char *text = cm_copy_text("abcdef", 3), *empty = cm_copy_text(NULL, 0);
    assert_string_equal(text, "abc");
    assert_string_equal(empty, "");
    cm_free(text);
    cm_free(empty);
}

typedef struct hook_record {
    size_t bytes;
    bool allow;
} hook_record;

static bool record_hook(size_t bytes, void *context) {
    hook_record *record = context;
    record->bytes = bytes;
    return record->allow;
}

static void hook_sees_and_stops(void **state) {
    (void)state;
    hook_record record = {.allow = true};
    cm_alloc_set_hook(record_hook, &record);
    void *memory = cm_new(3, 5);
    size_t seen = record.bytes;
    record.allow = false;
    void *refused[] = {cm_new(1, 1), cm_new_aligned(1, 1), cm_resize(memory, 2, 2), cm_copy_text("a", 1)};
    cm_alloc_set_hook(NULL, NULL);
    assert_non_null(memory);
    assert_int_equal(seen, 15);
    for (int i = 0; i < 4; i++) assert_null(refused[i]);
    cm_free(memory);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_checked),         cmocka_unit_test(new_memory_is_zero),
        cmocka_unit_test(empty_sizes_give_memory),   cmocka_unit_test(overflow_fails),
        cmocka_unit_test(aligned_memory_is_aligned), cmocka_unit_test(large_memory_begins_a_huge_page),
        cmocka_unit_test(resize_keeps_content),      cmocka_unit_test(copied_text_ends),
        cmocka_unit_test(hook_sees_and_stops),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
