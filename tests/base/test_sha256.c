/* SHA-256 against the examples of FIPS 180-2. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/sha256.h"
#include "fail_alloc.h"
#include <string.h>

static void examples(void **state) {
    (void)state;
    char hex[65];
    assert_true(cm_sha256_of("abc", 3, hex));
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_true(cm_sha256_of(NULL, 0, hex));
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

static void a_million_in_pieces(void **state) {
    (void)state;
    char piece[999], hex[65];
    memset(piece, 'a', sizeof piece);
    cm_sha256 *hash = cm_sha256_create();
    assert_non_null(hash);
    for (size_t left = 1000000; left > 0;) {
        size_t n = left < sizeof piece ? left : sizeof piece;
        cm_sha256_add(hash, piece, n);
        left -= n;
    }
    cm_sha256_finish(hash, hex);
    assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void out_of_memory(void **state) {
    (void)state;
    char hex[65];
    fail_alloc_from(0);
    bool done = cm_sha256_of("abc", 3, hex);
    assert_true(fail_alloc_stop());
    assert_false(done);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples),
        cmocka_unit_test(a_million_in_pieces),
        cmocka_unit_test(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
