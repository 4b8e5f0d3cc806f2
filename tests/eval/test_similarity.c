/* Similarities: definition on small cases, symmetry, threads, memory. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "close.h"
#include "eval/similarity.h"
#include "fail_alloc.h"
#include <math.h>
#include <string.h>

static cm_dataset *open(const char *task, const char *const (*pairs)[2], int n) {
    cm_dataset_options options = {.task = cm_task_find(task)};
    cm_dataset *d = NULL;
    assert_int_equal(cm_dataset_create(&d, &options, NULL), CM_OK);
    for (int i = 0; i < n; i++)
        assert_int_equal(cm_dataset_add_pair(d, "a", pairs[i][0], "b", pairs[i][1], NULL), CM_OK);
    return d;
}

static void small_cases(void **state) {
    (void)state;
    /* 6-mers: {ACGUAC, CGUACG}, {ACGUAC, CGUACC}, none; 3-mers: {MKV, KVL}, {KVL, VLM}, {WWW x 3} */
    static const char *const pairs[][2] = {{"ACGUACG", "MKVL"}, {"ACGUACC", "KVLM"}, {"ACGU", "WWWWW"}};
    cm_dataset *d = open("rna-protein", pairs, 3);
    cm_similarity *s = NULL;
    assert_int_equal(cm_similarity_create(&s, d, NULL, NULL, NULL), CM_OK);
    for (int side = 0; side < 2; side++) {
        const float expected[9] = {1, 0.5f, 0, 0.5f, 1, 0, 0, 0, 1};
        assert_int_equal(s->n[side], 3);
        for (int i = 0; i < 9; i++) assert_close(s->value[side][i], expected[i], 1e-6);
    }
    cm_similarity_destroy(s);
    cm_dataset_destroy(d);
}

static void molecules(void **state) {
    (void)state;
    static const char *const pairs[][2] = {{"ACGUACG", "CCO"}, {"ACGUACC", "CCCO"}, {"GGGGGGG", "c1ccccc1"}};
    cm_dataset *d = open("rna-molecule", pairs, 3);
    cm_similarity *s = NULL;
    cm_team *team = cm_team_create(2);
    assert_int_equal(cm_similarity_create(&s, d, team, NULL, NULL), CM_OK);
    const float *v = s->value[1];
    assert_true(v[1] > 0.2f && v[1] < 1 && v[1] == v[3] && v[2] < v[1] && v[4] == 1);
    cm_similarity_destroy(s);
    cm_team_destroy(team);
    for (long n = 0;; n++) {
        fail_alloc_from(n);
        cm_similarity *failing = NULL;
        cm_status status = cm_similarity_create(&failing, d, NULL, NULL, NULL);
        bool failed = fail_alloc_stop();
        assert_int_equal(status, failed ? CM_MEMORY : CM_OK);
        cm_similarity_destroy(failing);
        if (!failed) break;
    }
    cm_dataset_destroy(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(small_cases), cmocka_unit_test(molecules)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
