/* The table of pair encoders, and what the duplex encoder tells about a pair. */
#include "encoders/pair_encoder.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fail_alloc.h"

static const cm_pair_encoder *find(const char *name) {
    const cm_pair_encoder *encoder = NULL;
    assert_int_equal(cm_pair_encoder_find(&encoder, name, CM_RNA, CM_RNA, NULL), CM_OK);
    return encoder;
}

static void test_names(void **state) {
    (void)state;
    const cm_pair_encoder *encoder = NULL;
    cm_error error;
    assert_string_equal(find("auto")->name, "duplex");
    assert_ptr_equal(find("duplex"), find("auto"));
    assert_null(find("none"));
    assert_int_equal(cm_pair_encoder_find(&encoder, "auto", CM_RNA, CM_PROTEIN, &error), CM_OK);
    assert_null(encoder);
    assert_int_equal(cm_pair_encoder_find(&encoder, "duplex", CM_RNA, CM_PROTEIN, &error), CM_USAGE);
    assert_string_equal(error.found, "'duplex' for RNA and protein");
    assert_int_equal(cm_pair_encoder_find(&encoder, "triplex", CM_RNA, CM_RNA, &error), CM_USAGE);
    cm_table_row row;
    assert_int_equal(cm_pair_encoder_row(0, &row), 1);
    assert_string_equal(row.name, "duplex");
    assert_int_equal(cm_pair_encoder_row(1, &row), 0);
    assert_int_equal(cm_pair_encoder_row(-1, &row), 0);
}

static float *encode(const char *a, const char *b, const char *layout_text, int64_t *tokens) {
    const cm_pair_encoder *encoder = find("duplex");
    cm_layout layout;
    assert_int_equal(cm_layout_parse(&layout, layout_text, NULL), CM_OK);
    int64_t m = (int64_t)strlen(a), n = (int64_t)strlen(b);
    *tokens = encoder->tokens(layout, m, n);
    float *out = malloc((size_t)(*tokens * encoder->width) * sizeof *out);
    assert_non_null(out);
    memset(out, 0xff, (size_t)(*tokens * encoder->width) * sizeof *out);
    void *work = encoder->open();
    assert_int_equal(encoder->encode(work, a, m, b, n, *tokens, out, NULL), CM_OK);
    encoder->close(work);
    for (int64_t i = 0; i < *tokens * encoder->width; i++) assert_true(isfinite(out[i]));
    return out;
}

static int column(const char *help) {
    const cm_pair_encoder *encoder = find("duplex");
    for (int c = 0; c < encoder->width; c++)
        if (strcmp(encoder->columns[c], help) == 0) return c;
    fail_msg("no column %s", help);
    return 0;
}

static const char query[] = "UGAGGUAGUAGGUUGUAUAGUU", site[] = "AACUAUACAACCUACUACCUCA";

static void test_perfect_site(void **state) {
    (void)state;
    char target[101];
    snprintf(target, sizeof target, "%.*s%s%.*s", 40, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", site,
             38, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    int64_t tokens;
    float *x = encode(query, target, "pooled", &tokens), *y = encode(target, query, "residues", &tokens);
    assert_int_equal(tokens, 1);
    assert_memory_equal(x, y, (size_t)find("duplex")->width * sizeof *x); /* either order */
    assert_true(fabs(x[column("lowest energy / that of the query with its perfect complement")] - 1) < 1e-6);
    assert_true(x[column("share of the query that pairs in the best site")] == 1);
    assert_true(x[column("longest helix / query length")] == 1);
    assert_true(x[column("pairs at query positions 2 to 8, share")] == 1);
    assert_true(x[column("least cost by the rules of plant target prediction")] == 0);
    assert_true(x[column("share of the query unpaired inside the site")] == 0);
    assert_true(x[column("share of the query in G-C pairs")] == (float)8 / 22);
    int lowest = column("lowest energy / ln(m n)"),
        window = column("lowest energy in the window of the target / ln(m n)");
    assert_true(x[lowest] < -3 && x[window] == x[lowest]);
    free(x);
    x = encode(query, target, "windows:5", &tokens);
    assert_int_equal(tokens, 5);
    for (int w = 0; w < 5; w++) { /* the site ends at 61: in the fourth window of 20 */
        const float *row = x + w * find("duplex")->width;
        assert_true(row[lowest] == y[lowest]);
        assert_true((row[window] == row[lowest]) == (w == 3));
    }
    free(x);
    free(y);
}

static void test_nothing_binds(void **state) {
    (void)state;
    int64_t tokens;
    float *x = encode("AAAAAAAAAA", "AAAAAAAAAAAAAAAAAAAAAAANNNA", "pooled", &tokens);
    for (int c = 0; c < find("duplex")->width; c++)
        if (c != column("least cost by the rules of plant target prediction")) assert_true(x[c] == 0);
    free(x);
    free(encode("A", "U", "windows:3", &tokens));
    assert_int_equal(tokens, 1);
}

static void test_failing_allocations(void **state) {
    (void)state;
    const cm_pair_encoder *encoder = find("duplex");
    float out[64];
    assert_true(encoder->width <= 64);
    for (long n = 0; n < 20; n++) {
        fail_alloc_from(n);
        void *work = encoder->open();
        cm_status status = work ? encoder->encode(work, query, 22, site, 22, 1, out, NULL) : CM_MEMORY;
        bool failed = fail_alloc_stop();
        encoder->close(work);
        assert_int_equal(status, failed ? CM_MEMORY : CM_OK);
        if (!failed) return;
    }
    fail_msg("it still fails");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_perfect_site),
        cmocka_unit_test(test_nothing_binds),
        cmocka_unit_test(test_failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
