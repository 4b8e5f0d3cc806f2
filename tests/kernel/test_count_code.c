/* Sparse counts as bytes: what was put comes back, in the bytes that the header promises; damaged code is
 * refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"
#include "kernel/count_code.h"
#include <string.h>

static void entries_by_hand(void **state) {
    (void)state;
    static const struct {
        int64_t left_out, count;
        uint8_t bytes[CM_COUNT_BYTES];
        int n;
    } cases[] = {
        {0, 1, {0x00}, 1},
        {3, 2, {0x31}, 1},
        {14, 15, {0xee}, 1},
        {15, 1, {0xf0, 0}, 2},
        {0, 16, {0x0f, 0}, 2},
        {15 + 127, 16 + 128, {0xff, 127, 0x80, 1}, 4},
        {15 + 300, 2, {0xf1, 0xac, 2}, 3}, /* 300 = 2 * 128 + 44 */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t made[CM_COUNT_BYTES];
        int64_t left_out = -1, count = -1;
        assert_int_equal(cm_count_put(made, cases[i].left_out, cases[i].count), cases[i].n);
        assert_memory_equal(made, cases[i].bytes, (size_t)cases[i].n);
        assert_int_equal(cm_count_get(made, cases[i].n, &left_out, &count), cases[i].n);
        assert_int_equal(left_out, cases[i].left_out);
        assert_int_equal(count, cases[i].count);
    }
}

/* Numbers of all sizes, one after the other; no shorter piece of an entry is one. */
static void entries_come_back(void **state) {
    (void)state;
    for (uint64_t i = 0; i < 20000; i++) {
        int64_t left_out = (int64_t)(cm_rng_below(1, i, 1ULL << 31) >> cm_rng_below(2, i, 32));
        int64_t count = 1 + (int64_t)(cm_rng_below(3, i, CM_COUNT_MOST) >> cm_rng_below(4, i, 25)), got[2];
        uint8_t made[CM_COUNT_BYTES];
        int n = cm_count_put(made, left_out, count);
        assert_in_range(n, 1, CM_COUNT_BYTES);
        assert_int_equal(cm_count_get(made, n, &got[0], &got[1]), n);
        assert_int_equal(got[0], left_out);
        assert_int_equal(got[1], count);
        for (int less = 0; less < n; less++) assert_int_equal(cm_count_get(made, less, &got[0], &got[1]), 0);
    }
}

static void the_largest_entry_has_the_promised_bytes(void **state) {
    (void)state;
    uint8_t made[CM_COUNT_BYTES];
    int64_t got[2];
    assert_in_range(cm_count_put(made, INT32_MAX, CM_COUNT_MOST), 10, CM_COUNT_BYTES);
    /* all that a damaged file can say */
    memset(made, 0xff, sizeof made);
    assert_int_equal(cm_count_get(made, sizeof made, &got[0], &got[1]), 0); /* no end */
    made[5] = made[10] = 0x7f;
    assert_int_equal(cm_count_get(made, sizeof made, &got[0], &got[1]), CM_COUNT_BYTES);
    assert_int_equal(got[0], 15 + (1LL << 35) - 1);
    assert_int_equal(got[1], 16 + (1LL << 35) - 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries_by_hand),
        cmocka_unit_test(entries_come_back),
        cmocka_unit_test(the_largest_entry_has_the_promised_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
