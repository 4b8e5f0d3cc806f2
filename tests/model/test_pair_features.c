/* The pair channel through training, the model file and prediction. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "model/network.h"
#include "synthetic.h"

enum { PAIRS = 160, SHORT = 21, LONG = 150 };

static void random_rna(char *text, int length, uint64_t key) {
    for (int i = 0; i < length; i++) text[i] = "ACGU"[cm_rng_below(key, (uint64_t)i, 4)];
    text[length] = 0;
}

/* Pairs of a short and a long RNA; those of label 1 have a perfect site. prefix is the beginning of every id.
 */
static cm_dataset *make_set(const char *prefix) {
    synthetic s = synthetic_make(4, 1, 0); /* its folder and file names */
    FILE *a = fopen(s.a, "w"), *pairs = fopen(s.pairs, "w");
    assert_true(a && pairs);
    fprintf(pairs, "id_a\tid_b\tlabel\n");
    for (int i = 0; i < PAIRS; i++) {
        char query[SHORT + 1], target[LONG + 1];
        random_rna(query, SHORT, cm_rng_key(3, (uint64_t)i, 0));
        random_rna(target, LONG, cm_rng_key(3, (uint64_t)i, 1));
        for (int k = 0; k < SHORT && i % 2; k++) {
            char x = query[SHORT - 1 - k];
            target[40 + k] = x == 'A' ? 'U' : x == 'U' ? 'A' : x == 'C' ? 'G' : 'C';
        }
        fprintf(a, ">%sq%d\n%s\n>%st%d\n%s\n", prefix, i, query, prefix, i, target);
        fprintf(pairs, "%sq%d\t%st%d\t%d\n", prefix, i, prefix, i, i % 2);
    }
    fclose(a);
    fclose(pairs);
    cm_dataset_options options = {.task = cm_task_find("rna-rna"), .labels = 1};
    cm_dataset *dataset = NULL;
    assert_int_equal(cm_dataset_create(&dataset, &options, NULL), CM_OK);
    assert_int_equal(cm_dataset_add_files(dataset, s.a, s.a, s.pairs, NULL, NULL), CM_OK);
    synthetic_remove(&s);
    return dataset;
}

static cm_options pair_options(void) {
    cm_options o = synthetic_options();
    snprintf(o.encoder_a, sizeof o.encoder_a, "none");
    snprintf(o.encoder_b, sizeof o.encoder_b, "none");
    o.ensemble = 2;
    return o;
}

typedef struct scores {
    double score[PAIRS];
    int n;
} scores;

static int keep(void *context, const cm_prediction *p) {
    scores *s = context;
    s->score[s->n++] = p->score;
    return 0;
}

/* Learns what only the pair shows; file, threads and ids change no bit. */
static void test_model(void **state) {
    (void)state;
    cm_dataset *d = make_set("x"), *renamed = make_set("another-");
    char path[] = "/tmp/crossmamba-pair-XXXXXX.safetensors";
    int file = mkstemps(path, 12);
    assert_true(file >= 0);
    fclose(fdopen(file, "w"));
    cm_error error = {0};
    cm_train_request request = {.options = pair_options(), .model_path = path};
    assert_int_equal(cm_train(&request, d, NULL, &error), CM_OK);
    cm_model *model = NULL;
    assert_int_equal(cm_model_open(&model, path, &error), CM_OK);
    assert_string_equal(cm_model_options(model)->pair_encoder, "duplex");
    assert_non_null(strstr(cm_model_card(model), "\"encoder\":\"duplex\""));
    scores one = {.n = 0}, three = {.n = 0};
    cm_runtime runtime = {.threads = 3};
    assert_int_equal(cm_predict(model, d, 0, keep, &one, NULL, &error), CM_OK);
    assert_int_equal(cm_predict(model, renamed, 7, keep, &three, &runtime, &error), CM_OK);
    assert_memory_equal(one.score, three.score, sizeof one.score);
    int right = 0;
    for (int i = 0; i < PAIRS; i++) right += (cm_model_value(model, one.score[i]) >= 0.5) == i % 2;
    assert_true(right >= PAIRS * 95 / 100);
    cm_model_close(model);
    remove(path);
    cm_dataset_destroy(d);
    cm_dataset_destroy(renamed);
}

/* Every distinct pair once, whatever the team; none without a pair encoder. */
static void test_features(void **state) {
    (void)state;
    cm_dataset *d = make_set("x");
    cm_team *team = cm_team_create(3);
    cm_pair_features alone, shared, none;
    cm_layout layout = {.kind = CM_LAYOUT_WINDOWS, .windows = 3};
    assert_int_equal(cm_pair_features_make(&alone, d, "auto", layout, NULL, NULL, NULL), CM_OK);
    assert_int_equal(cm_pair_features_make(&shared, d, "duplex", layout, team, NULL, NULL), CM_OK);
    for (int64_t i = 0; i < PAIRS; i++) {
        int64_t tokens, others;
        const float *a = cm_pair_features_of(&alone, i, &tokens),
                    *b = cm_pair_features_of(&shared, i, &others);
        assert_int_equal(tokens, 3);
        assert_int_equal(others, 3);
        assert_memory_equal(a, b, (size_t)(3 * alone.width) * sizeof *a);
    }
    assert_int_equal(cm_pair_features_make(&none, d, "none", layout, team, NULL, NULL), CM_OK);
    assert_int_equal(none.width, 0);
    cm_pair_features_clear(&alone);
    cm_pair_features_clear(&shared);
    cm_pair_features_clear(&none);
    cm_team_destroy(team);
    cm_dataset_destroy(d);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_model), cmocka_unit_test(test_features)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
