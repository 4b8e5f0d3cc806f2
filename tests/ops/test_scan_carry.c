/* The selective scan run in pieces with attr.carry: the bits of the whole run, for every version, both
 * directions and every team. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"
#include "ops/selective_scan.h"
#include <stdlib.h>
#include <string.h>

enum { MOST_ROWS = 60, MOST_SEGMENTS = 8, CASES = 40 };

/* Inputs of one case; the columns of u, dt, z and the output are those of wider matrices. */
typedef struct scan_case {
    int64_t rows, d, n;
    bool gated, reverse;
    int64_t offsets[MOST_SEGMENTS + 1]; /* empty segments occur, also at both ends */
    cm_mat in[CM_OP_MAX_IN];
    float *memory[CM_OP_MAX_IN];
} scan_case;

static void *zeroed(size_t count, size_t size) {
    void *memory = calloc(count ? count : 1, size);
    assert_non_null(memory);
    return memory;
}

static int by_value(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void make_case(scan_case *c, int index) {
    static const int64_t widths[] = {1, 15, 16, 40, 64, 70, 130}, states[] = {16, 1, 5, 6};
    uint64_t draw = cm_rng_key(5, (uint64_t)index, 0);
    c->rows = index == 0 ? 1 : 1 + (int64_t)cm_rng_below(draw, 0, MOST_ROWS);
    c->d = widths[index % 7];
    c->n = states[index % 4];
    c->gated = index % 3 != 0;
    c->reverse = index & 1;
    for (int s = 0; s <= MOST_SEGMENTS; s++)
        c->offsets[s] = (int64_t)cm_rng_below(draw, (uint64_t)s + 1, (uint64_t)c->rows + 1);
    c->offsets[0] = 0;
    c->offsets[MOST_SEGMENTS] = c->rows;
    qsort(c->offsets, MOST_SEGMENTS + 1, sizeof *c->offsets, by_value);
    const int64_t sizes[CM_OP_MAX_IN][2] = {{c->rows, c->d}, {c->rows, c->d}, {c->d, c->n}, {c->rows, c->n},
                                            {c->rows, c->n}, {1, c->d},       {1, c->d},    {c->rows, c->d}};
    for (int i = 0; i < CM_OP_MAX_IN; i++) {
        int64_t stride = sizes[i][1] + 3, count = sizes[i][0] * stride;
        c->memory[i] = zeroed((size_t)count, sizeof(float));
        for (int64_t e = 0; e < count; e++)
            c->memory[i][e] = (float)cm_rng_normal(cm_rng_key(draw, (uint64_t)i, 1), (uint64_t)e);
        c->in[i] = (cm_mat){c->memory[i], sizes[i][0], sizes[i][1], stride};
    }
}

static void clear_case(scan_case *c) {
    for (int i = 0; i < CM_OP_MAX_IN; i++) free(c->memory[i]);
}

static bool has_rows(int input) {
    return input != CM_SCAN_A && input != CM_SCAN_D && input != CM_SCAN_BIAS;
}

/* Rows [first, end) of the case into the same rows of out. */
static void run_rows(const scan_case *c, const cm_op_version *version, cm_team *team, int64_t first,
                     int64_t end, float *carry, float *out) {
    int64_t begins[MOST_SEGMENTS], ends[MOST_SEGMENTS];
    cm_op_attr attr = {.reverse = c->reverse, .carry = carry};
    cm_op_call call = {.attr = &attr, .n_in = c->gated ? 8 : 7, .team = team};
    for (int s = 0; s < MOST_SEGMENTS; s++) {
        int64_t b = c->offsets[s], e = c->offsets[s + 1];
        begins[s] = (b < first ? first : b > end ? end : b) - first;
        ends[s] = (e < first ? first : e > end ? end : e) - first;
    }
    call.segments[0] = (cm_segments){MOST_SEGMENTS, begins, ends};
    for (int i = 0; i < call.n_in; i++) {
        call.in[i] = c->in[i];
        if (!has_rows(i)) continue;
        call.in[i].data += first * c->in[i].stride;
        call.in[i].rows = end - first;
    }
    call.out = cm_mat_of(out + first * c->d, end - first, c->d);
    cm_op_shape shape;
    assert_int_equal(cm_op_selective_scan.shape(&call, &shape, NULL), CM_OK);
    if (carry) assert_int_equal(shape.saved_floats, 0);
    call.saved = aligned_alloc(64, (shape.saved_floats * sizeof(float) + 64) / 64 * 64);
    call.scratch = aligned_alloc(64, (shape.scratch_floats * sizeof(float) + 64) / 64 * 64);
    assert_true(call.saved && call.scratch);
    version->forward(&call);
    free(call.saved);
    free(call.scratch);
}

/* Whether the run from position on, in the order of the scan, begins a segment. */
static bool begins_segment(const scan_case *c, int64_t position) {
    for (int s = 0; s <= MOST_SEGMENTS; s++)
        if (c->offsets[s] == (c->reverse ? c->rows - position : position)) return true;
    return false;
}

/* Cuts the case at random, into pieces of no rows too, and compares with whole [rows, d]. */
static void check_pieces(const scan_case *c, const cm_op_version *version, cm_team *team, uint64_t key,
                         const float *whole) {
    size_t bytes = (size_t)(c->rows * c->d) * sizeof(float);
    float *out = zeroed((size_t)(c->rows * c->d), sizeof(float));
    float *carry = zeroed((size_t)(c->d * c->n), sizeof(float));
    uint64_t draws = 0;
    for (int64_t done = 0, count; done < c->rows; done += count) {
        count = (int64_t)cm_rng_below(key, draws++, 20);
        if (count > c->rows - done) count = c->rows - done;
        if (begins_segment(c, done)) memset(carry, 0, (size_t)(c->d * c->n) * sizeof(float));
        int64_t first = c->reverse ? c->rows - done - count : done;
        run_rows(c, version, team, first, first + count, carry, out);
    }
    assert_memory_equal(out, whole, bytes);
    free(out);
    free(carry);
}

static void test_pieces(void **state) {
    (void)state;
    cm_team *two = cm_team_create(2);
    assert_non_null(two);
    for (int index = 0; index < CASES; index++) {
        scan_case c;
        make_case(&c, index);
        float *whole = zeroed((size_t)(c.rows * c.d), sizeof(float));
        for (int v = 0; v < 4 && cm_op_selective_scan.versions[v].name; v++) {
            const cm_op_version *version = &cm_op_selective_scan.versions[v];
            if (version->supported && !version->supported()) continue;
            run_rows(&c, version, NULL, 0, c.rows, NULL, whole);
            for (uint64_t cut = 0; cut < 4; cut++)
                check_pieces(&c, version, cut & 1 ? two : NULL, cm_rng_key(9, (uint64_t)index, cut), whole);
        }
        free(whole);
        clear_case(&c);
    }
    cm_team_destroy(two);
}

/* A state that is not zero does change the first segment, and only that. */
static void test_first_segment_continues(void **state) {
    (void)state;
    for (int index = 0; index < CASES; index++) {
        scan_case c;
        make_case(&c, index);
        size_t count = (size_t)(c.rows * c.d);
        float *whole = zeroed(count, sizeof(float)), *out = zeroed(count, sizeof(float));
        float *carry = zeroed((size_t)(c.d * c.n), sizeof(float));
        for (int64_t i = 0; i < c.d * c.n; i++) carry[i] = 1;
        const cm_op_version *version = cm_op_best(&cm_op_selective_scan);
        run_rows(&c, version, NULL, 0, c.rows, NULL, whole);
        run_rows(&c, version, NULL, 0, c.rows, carry, out);
        bool first = true;
        for (int64_t done = 0; done < c.rows; done++) {
            int64_t row = c.reverse ? c.rows - 1 - done : done;
            if (done > 0 && begins_segment(&c, done)) first = false;
            int differs = memcmp(whole + row * c.d, out + row * c.d, (size_t)c.d * sizeof(float)) != 0;
            if (done == 0 || !first) assert_int_equal(differs, done == 0);
        }
        free(whole);
        free(out);
        free(carry);
        clear_case(&c);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_first_segment_continues),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
