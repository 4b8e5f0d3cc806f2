/* The hash map against plain counting, with every allocation failing once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/map.h"
#include "fail_alloc.h"
#include <stdio.h>
#include <string.h>

static size_t key_of(int i, char *key, size_t size) {
    return (size_t)snprintf(key, size, "key %d", i);
}

static void many_keys(void **state) {
    (void)state;
    enum { N = 20000 };
    cm_map *map = cm_map_create();
    char key[32];
    for (int i = 0; i < N; i++) assert_true(cm_map_put(map, key, key_of(i, key, sizeof key), i));
    for (int i = 0; i < N; i += 2) assert_true(cm_map_put(map, key, key_of(i, key, sizeof key), -i));
    assert_int_equal(cm_map_count(map), N);
    for (int i = 0; i < N; i++) {
        int64_t value = 1, listed = 2;
        size_t len = 0, wanted = key_of(i, key, sizeof key);
        assert_true(cm_map_get(map, key, wanted, &value));
        assert_int_equal(value, i % 2 ? i : -i);
        assert_string_equal(cm_map_key(map, (size_t)i, &len, &listed), key); /* insertion order */
        assert_int_equal(len, wanted);
        assert_int_equal(listed, value);
    }
    assert_false(cm_map_get(map, key, key_of(N, key, sizeof key), NULL));
    cm_map_destroy(map);
}

static void keys_are_bytes_and_copied(void **state) {
    (void)state;
    cm_map *map = cm_map_create();
    char key[] = "a\0b";
    int64_t value = 0;
    assert_false(cm_map_get(map, key, 3, &value));
    assert_true(cm_map_put(map, key, 3, 1));
    assert_true(cm_map_put(map, key, 1, 2));
    assert_true(cm_map_put(map, NULL, 0, 3));
    memset(key, 'x', 3);
    assert_true(cm_map_get(map, "a\0b", 3, &value));
    assert_int_equal(value, 1);
    assert_true(cm_map_get(map, "a", 1, &value));
    assert_int_equal(value, 2);
    assert_true(cm_map_get(map, "", 0, &value));
    assert_int_equal(value, 3);
    assert_false(cm_map_get(map, "xxx", 3, NULL));
    assert_string_equal(cm_map_key(map, 2, NULL, NULL), "");
    cm_map_destroy(map);
    cm_map_destroy(NULL);
}

/* After a failed put the map is as before. */
static void out_of_memory_leaves_the_map(void **state) {
    (void)state;
    enum { N = 100 };
    long n = 0;
    for (bool failed = true; failed; n++) {
        fail_alloc_from(n);
        cm_map *map = cm_map_create();
        int added = 0;
        char key[32];
        while (map && added < N && cm_map_put(map, key, key_of(added, key, sizeof key), added)) added++;
        failed = fail_alloc_stop();
        assert_int_equal(failed, added < N);
        for (int i = 0; i < N && map; i++) {
            assert_int_equal(cm_map_get(map, key, key_of(i, key, sizeof key), NULL), i < added);
        }
        if (map) assert_int_equal(cm_map_count(map), added);
        cm_map_destroy(map);
    }
    assert_true(n > N);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_keys),
        cmocka_unit_test(keys_are_bytes_and_copied),
        cmocka_unit_test(out_of_memory_leaves_the_map),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
