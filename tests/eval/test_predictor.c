/* Every row of the table of predictors: no look at tested labels or ids, same bits every time. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "eval/predictor.h"
#include "synthetic.h"
#include <math.h>

enum { MOST = 256 };

/* A call over a data set: every fourth pair is tested. */
typedef struct trial {
    cm_dataset *dataset;
    cm_features *features;
    cm_similarity *similarity;
    cm_options options;
    float label[MOST];
    int64_t train[MOST], test[MOST];
    double score[MOST], value[MOST], threshold;
    cm_predictor_call call;
} trial;

static void trial_open(trial *t, const synthetic *s, int affinity) {
    memset(t, 0, sizeof *t);
    t->dataset = synthetic_open(s, affinity, NULL);
    t->options = synthetic_options();
    t->options.epochs = 4;
    assert_int_equal(cm_features_create(&t->features, t->dataset, &t->options, NULL, NULL, NULL, NULL),
                     CM_OK);
    assert_int_equal(cm_similarity_create(&t->similarity, t->dataset, NULL, NULL, NULL), CM_OK);
    t->call = (cm_predictor_call){.dataset = t->dataset,
                                  .features = t->features,
                                  .similarity = t->similarity,
                                  .options = &t->options,
                                  .label = t->label,
                                  .train = t->train,
                                  .test = t->test,
                                  .score = t->score,
                                  .value = t->value,
                                  .threshold = &t->threshold};
    for (int64_t i = 0; i < t->dataset->n_pairs; i++) {
        if (i % 4 == 0)
            t->test[t->call.n_test++] = i;
        else
            t->train[t->call.n_train++] = i;
        t->label[i] = i % 4 == 0 ? NAN : t->dataset->pairs[i].label;
    }
}

static void trial_close(trial *t) {
    cm_features_destroy(t->features);
    cm_similarity_destroy(t->similarity);
    cm_dataset_destroy(t->dataset);
}

static void trial_run(trial *t, const char *name) {
    const cm_predictor *predictor;
    cm_error error = {0};
    t->call.name = name;
    t->threshold = 0.5;
    assert_int_equal(cm_predictor_find(&predictor, name, &error), CM_OK);
    if (predictor->run(&t->call, &error) != CM_OK) fail_msg("%s: %s %s", name, error.place, error.found);
}

/* The data set of s with other ids. */
static synthetic renamed(const synthetic *s) {
    synthetic other = *s;
    char command[1024];
    snprintf(other.a, sizeof other.a, "%s/a2.fasta", s->folder);
    snprintf(other.b, sizeof other.b, "%s/b2.fasta", s->folder);
    snprintf(other.pairs, sizeof other.pairs, "%s/pairs2.tsv", s->folder);
    snprintf(command, sizeof command,
             "sed 's/^>r/>same/' %s > %s && sed 's/^>p/>%%x/' %s > %s && "
             "sed -e 's/^r\\([0-9]\\)/same\\1/' -e 's/\\tp/\\t%%x/' %s > %s",
             s->a, other.a, s->b, other.b, s->pairs, other.pairs);
    assert_int_equal(system(command), 0);
    return other;
}

static void check_rows(int affinity) {
    synthetic s = synthetic_make(120, 41, affinity), other = renamed(&s);
    static trial t, u;
    trial_open(&t, &s, affinity);
    trial_open(&u, &other, affinity);
    assert_string_not_equal(t.dataset->pairs[0].id[0], u.dataset->pairs[0].id[0]);
    cm_table_row row;
    for (int i = 0; cm_predictor_row(i, &row); i++) {
        bool similarity = false;
        if (strstr(row.name, "NAME")) continue; /* second stages: test_stage.c */
        if (cm_predictor_check(row.name, affinity != 0, &similarity, NULL) != CM_OK) continue;
        trial_run(&t, row.name);
        trial_run(&u, row.name);
        for (int64_t k = 0; k < t.call.n_test; k++) {
            assert_true(isfinite(t.score[k]) && isfinite(t.value[k]));
            assert_true(t.score[k] == u.score[k] && t.value[k] == u.value[k]);
            if (!affinity) assert_true(t.value[k] >= 0 && t.value[k] <= 1);
        }
        assert_true(t.threshold == u.threshold);
    }
    trial_close(&t);
    trial_close(&u);
    synthetic_remove(&s);
}

static void test_rows_of_binary_tasks(void **state) {
    (void)state;
    check_rows(0);
}

static void test_rows_of_affinities(void **state) {
    (void)state;
    check_rows(1);
}

static void test_names(void **state) {
    (void)state;
    cm_table_row row, other;
    int fusions = 0, count = 0;
    while (cm_fusion_row(fusions, &other)) fusions++;
    for (; cm_predictor_row(count, &row); count++) {
        const cm_predictor *predictor;
        if (!strstr(row.name, "NAME")) assert_int_equal(cm_predictor_find(&predictor, row.name, NULL), CM_OK);
        for (int i = 0; i < count; i++) {
            assert_true(cm_predictor_row(i, &other));
            assert_string_not_equal(row.name, other.name);
        }
    }
    assert_true(count > fusions);
    assert_false(cm_predictor_row(-1, &row));
    const cm_predictor *predictor;
    cm_error error = {0};
    assert_int_equal(cm_predictor_find(&predictor, "transformer", &error), CM_USAGE);
    assert_non_null(strstr(error.expected, "crossmamba"));
    assert_non_null(strstr(error.expected, "id-only"));
    assert_string_equal(error.found, "transformer");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_of_binary_tasks),
        cmocka_unit_test(test_rows_of_affinities),
        cmocka_unit_test(test_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
