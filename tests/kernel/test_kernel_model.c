/* The kernel model: finds a product of two sides that no sum of them has, in both kinds of task; does not
 * depend on threads; takes odd data. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/rng.h"
#include "fail_alloc.h"
#include "kernel/kernel_model.h"
#include "metrics/metrics.h"
#include <math.h>
#include <string.h>

enum { MOLECULES = 40, PAIRS = 300, TESTED = 150, LETTERS = 60 };

/* RNAs rich in G and C or in A and U, proteins rich in K and R or in D and E; a pair of rich ones or of poor
 * ones binds, so neither side alone says anything. */
typedef struct made {
    char text[2][MOLECULES][LETTERS + 1];
    cm_kernel_features *features[2];
    int32_t column[2][PAIRS + TESTED];
    double label[PAIRS + TESTED];
    bool affinity;
} made;

static void write_text(char *out, uint64_t key, const char *rich, const char *poor) {
    for (int i = 0; i < LETTERS; i++) {
        const char *letters = cm_rng_uniform(key, (uint64_t)i * 2) < 0.7 ? rich : poor;
        out[i] = letters[cm_rng_below(key, (uint64_t)i * 2 + 1, strlen(letters))];
    }
    out[LETTERS] = '\0';
}

static void make(made *s, bool affinity) {
    *s = (made){.affinity = affinity};
    const char *list[2][MOLECULES];
    int64_t length[MOLECULES];
    for (int i = 0; i < MOLECULES; i++) {
        write_text(s->text[0][i], cm_rng_key(1, 2, (uint64_t)i), i % 2 ? "GC" : "AU", i % 2 ? "AU" : "GC");
        write_text(s->text[1][i], cm_rng_key(3, 4, (uint64_t)i), i % 2 ? "KR" : "DE", "ACFGHILMNPQSTVWY");
        list[0][i] = s->text[0][i];
        list[1][i] = s->text[1][i];
        length[i] = LETTERS;
    }
    for (int side = 0; side < 2; side++)
        assert_int_equal(cm_kernel_features_create(&s->features[side], side ? CM_PROTEIN : CM_RNA,
                                                   CM_EVERY_MIX, list[side], length, MOLECULES, NULL),
                         CM_OK);
    for (int i = 0; i < PAIRS + TESTED; i++) {
        for (uint64_t side = 0; side < 2; side++)
            s->column[side][i] = (int32_t)cm_rng_below(77, (uint64_t)i * 2 + side, MOLECULES);
        int binds = s->column[0][i] % 2 == s->column[1][i] % 2;
        s->label[i] = affinity ? 2 + 3 * binds + 0.2 * cm_rng_normal(9, (uint64_t)i) : binds;
    }
}

static void clear(made *s) {
    cm_kernel_features_destroy(s->features[0]);
    cm_kernel_features_destroy(s->features[1]);
}

static cm_kernel_request request_of(const made *s, int64_t n) {
    return (cm_kernel_request){.affinity = s->affinity,
                               .features = {s->features[0], s->features[1]},
                               .train = {.a = s->column[0], .b = s->column[1], .n = n},
                               .label = s->label,
                               .seed = 5};
}

static void scores_of(const made *s, const cm_kernel_model *model, double *score, cm_team *team) {
    cm_pair_list asked = {.a = s->column[0] + PAIRS, .b = s->column[1] + PAIRS, .n = TESTED};
    assert_int_equal(cm_kernel_scores(model,
                                      (const cm_kernel_features *const[2]){s->features[0], s->features[1]},
                                      &asked, score, team, NULL),
                     CM_OK);
}

static void finds_a_product(void **state) {
    (void)state;
    static made s;
    for (int affinity = 0; affinity < 2; affinity++)
        for (int cold = 0; cold < 4; cold++) {
            make(&s, affinity);
            cm_kernel_request r = request_of(&s, PAIRS);
            r.cold = (cm_kernel_cold)cold;
            cm_kernel_model *model = NULL;
            double value[TESTED], out[CM_METRICS_MAX];
            assert_int_equal(cm_kernel_fit(&model, &r, NULL), CM_OK);
            scores_of(&s, model, value, NULL);
            for (int i = 0; i < TESTED; i++)
                value[i] = cm_calibrated(&model->calibration, affinity, value[i]);
            if (affinity)
                assert_int_equal(cm_metrics_affinity(value, s.label + PAIRS, TESTED, out, NULL), CM_OK);
            else
                assert_int_equal(
                    cm_metrics_binary(value, s.label + PAIRS, TESTED, model->threshold, out, NULL), CM_OK);
            double good = affinity ? out[CM_AFFINITY_pearson] : out[CM_BINARY_mcc];
            if (!(good > 0.9)) fail_msg("%s, cold %d: %g", affinity ? "Pearson" : "MCC", cold, good);
            int64_t held = 0;
            for (int64_t i = 0; i < model->n_train; i++) held += !isnan(model->inner_score[i]);
            if (cold < 3) assert_int_equal(held, PAIRS);
            cm_kernel_model_destroy(model);
            clear(&s);
        }
}

static void threads_change_nothing(void **state) {
    (void)state;
    static made s;
    make(&s, false);
    double first[TESTED], other[TESTED];
    for (int threads = 1; threads <= 3; threads++) {
        cm_kernel_request r = request_of(&s, PAIRS);
        r.team = cm_team_create(threads);
        cm_kernel_model *model = NULL;
        assert_int_equal(cm_kernel_fit(&model, &r, NULL), CM_OK);
        scores_of(&s, model, threads == 1 ? first : other, r.team);
        if (threads > 1) assert_memory_equal(first, other, sizeof first);
        cm_kernel_model_destroy(model);
        cm_team_destroy(r.team);
    }
    clear(&s);
}

static void odd_data(void **state) {
    (void)state;
    static made s;
    double score[TESTED];
    cm_kernel_model *model = NULL;
    cm_error error = {0};
    make(&s, false);
    cm_kernel_request r = request_of(&s, 0);
    assert_int_equal(cm_kernel_fit(&model, &r, &error), CM_DATA);
    for (int64_t n = 1; n <= 5; n++) {
        r = request_of(&s, n);
        assert_int_equal(cm_kernel_fit(&model, &r, NULL), CM_OK);
        scores_of(&s, model, score, NULL);
        for (int i = 0; i < TESTED; i++) assert_true(isfinite(score[i]));
        cm_kernel_model_destroy(model);
    }
    for (int i = 0; i < PAIRS; i++) s.label[i] = 1; /* one class only */
    r = request_of(&s, PAIRS);
    assert_int_equal(cm_kernel_fit(&model, &r, NULL), CM_OK);
    scores_of(&s, model, score, NULL);
    for (int i = 0; i < TESTED; i++) assert_true(cm_calibrated(&model->calibration, false, score[i]) >= 0.5);
    cm_kernel_model_destroy(model);
    clear(&s);
}

static void memory_may_end_anywhere(void **state) {
    (void)state;
    static made s;
    make(&s, true);
    long n = 0;
    for (bool failed = true; failed; n += 7) {
        cm_kernel_request r = request_of(&s, 12);
        cm_kernel_model *model = NULL;
        fail_alloc_from(n);
        cm_status status = cm_kernel_fit(&model, &r, NULL);
        failed = fail_alloc_stop();
        assert_int_equal(status, failed ? CM_MEMORY : CM_OK);
        if (failed) assert_null(model);
        if (!failed) cm_kernel_model_destroy(model);
    }
    clear(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_a_product),
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(odd_data),
        cmocka_unit_test(memory_may_end_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
