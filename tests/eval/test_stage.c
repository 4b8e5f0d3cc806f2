/* Baselines, memory and stacks: what each must find and must not, same bits for threads, resuming and new
 * ids. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "close.h"
#include "data/dataset.h"
#include "eval/predictor.h"
#include "synthetic.h"
#include "train/inner.h"
#include <math.h>

enum { MOST_LINES = 256, MOST_MODELS = 8 };

/* AUROC, or Pearson's coefficient, of every model in the order of the request; all pooled values. */
typedef struct results {
    double rank[MOST_MODELS], pooled[MOST_LINES], low[MOST_LINES];
    int n_models, n;
} results;

static int keep(void *context, const cm_eval_line *line) {
    results *r = context;
    if (strcmp(line->metric, "AUROC") == 0 || strcmp(line->metric, "Pearson") == 0)
        r->rank[r->n_models++] = line->pooled;
    r->pooled[r->n] = line->pooled;
    r->low[r->n++] = line->low;
    return 0;
}

static results evaluate(cm_dataset *d, int folds, int threads, const char *folder, int n,
                        const char *const *models) {
    cm_eval_request request = {.options = synthetic_options(),
                               .models = models,
                               .n_models = n,
                               .folds = folds,
                               .checkpoint_folder = folder};
    request.options.epochs = 6;
    cm_runtime runtime = {.threads = threads};
    cm_error error = {0};
    results r = {.n = 0};
    if (cm_eval(&request, d, keep, &r, &runtime, &error) != CM_OK)
        fail_msg("%s: expected %s, found %s", error.place, error.expected, error.found);
    assert_int_equal(r.n_models, n);
    return r;
}
#define EVALUATE(d, folds, ...)                                                         \
    evaluate(d, folds, 2, NULL, sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *), \
             (const char *const[]){__VA_ARGS__})

/* The label of a pair follows from its molecule of side alone, by a rule (1: of its sequence, 0: by chance).
 */
static void relabel(cm_dataset *d, int side, bool by_sequence) {
    for (int64_t i = 0; i < d->n_pairs; i++) {
        int32_t molecule = d->pairs[i].entity[side];
        const char *text = d->entities[side][molecule].text;
        int rich = 0;
        for (const char *at = text; *at; at++) rich += strchr("GC", *at) ? 1 : -1;
        d->pairs[i].label = by_sequence ? rich > 0 : cm_rng_uniform(77, (uint64_t)molecule) < 0.5;
    }
}

static void baselines_find_what_they_can(void **state) {
    (void)state;
    synthetic s = synthetic_make(240, 51, 0);
    cm_dataset *d = synthetic_open(&s, 0, NULL);
    /* both sides decide together: no sum of compositions says it, neighbours do */
    results r = EVALUATE(d, 4, "composition", "neighbour");
    assert_true(r.rank[0] < 0.65 && r.rank[1] > 0.9);
    relabel(d, 0, true); /* the richness of A in G and C */
    r = EVALUATE(d, 4, "composition", "neighbour");
    assert_true(r.rank[0] > 0.97 && r.rank[1] > 0.8);
    for (int64_t i = 0; i < d->n_pairs; i++) d->pairs[i].label = cm_rng_uniform(78, (uint64_t)i) < 0.5;
    r = EVALUATE(d, 4, "composition", "neighbour", "id-only", "composition+memory",
                 "stack:composition/neighbour");
    for (int m = 0; m < 5; m++)
        if (r.rank[m] > 0.6) fail_msg("model %d finds %g in labels of chance", m, r.rank[m]);
    cm_dataset_destroy(d);
    synthetic_remove(&s);
    s = synthetic_make(240, 52, 1);
    d = synthetic_open(&s, 1, NULL);
    r = EVALUATE(d, 4, "composition", "neighbour", "neighbour+memory", "stack:composition/neighbour");
    assert_true(r.rank[0] < 0.3 && r.rank[1] > 0.9 && r.rank[2] > r.rank[1] - 0.02 &&
                r.rank[3] > r.rank[1] - 0.01);
    cm_dataset_destroy(d);
    synthetic_remove(&s);
}

static void memory_helps_where_labels_follow_molecules(void **state) {
    (void)state;
    synthetic s = synthetic_make(480, 53, 0);
    cm_dataset *d = synthetic_open(&s, 0, NULL);
    relabel(d, 1, false);
    results r = EVALUATE(d, 4, "composition", "composition+memory", "id-only");
    if (!(r.rank[1] > 0.9 && r.rank[1] > r.rank[0] + 0.1 && r.rank[2] > 0.9))
        fail_msg("composition %g, with memory %g, id-only %g", r.rank[0], r.rank[1], r.rank[2]);
    cm_dataset_destroy(d);
    synthetic_remove(&s);
}

/* Tested molecules of the given sides are new. */
static void make_cold(cm_dataset *d, bool a, bool b) {
    for (int64_t i = 0; i < d->n_pairs; i++) {
        cm_pair *p = &d->pairs[i];
        p->fold = b && !a ? p->entity[1] % 3 : p->entity[0] % 3;
    }
}

static void memory_hurts_nothing_on_new_molecules(void **state) {
    (void)state;
    synthetic s = synthetic_make(240, 54, 0);
    cm_dataset *d = synthetic_open(&s, 0, "fold");
    for (int side = 0; side < 2; side++) {
        make_cold(d, side == 0, side == 1);
        results r = EVALUATE(d, 0, "neighbour", "neighbour+memory", "mlp", "mlp+memory");
        if (!(r.rank[1] > r.rank[0] - 0.03 && r.rank[3] > r.rank[2] - 0.03))
            fail_msg("side %d: %g %g %g %g", side, r.rank[0], r.rank[1], r.rank[2], r.rank[3]);
    }
    cm_dataset_destroy(d);
    synthetic_remove(&s);
}

static void a_stack_is_as_good_as_its_best_member(void **state) {
    (void)state;
    synthetic s = synthetic_make(240, 55, 0);
    cm_dataset *d = synthetic_open(&s, 0, NULL);
    results r = EVALUATE(d, 4, "composition", "id-only", "neighbour", "stack:composition/id-only/neighbour");
    for (int m = 0; m < 3; m++) assert_true(r.rank[3] > r.rank[m] - 0.01);
    cm_dataset_destroy(d);
    synthetic_remove(&s);
}

/* ---- the mean ---- */

typedef struct pooled_scores {
    char model[32];
    double value[MOST_LINES], score[MOST_LINES], threshold;
    int n;
} pooled_scores;

/* The lines of a model in a file of predictions. */
static pooled_scores read_scores(const char *path, const char *model) {
    pooled_scores out = {.n = 0};
    char line[512], name[64];
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        double label;
        int read = sscanf(line, "%63s %*s %*s %*s %*s %lf %lf %lf %lf", name, &label, &out.score[out.n],
                          &out.value[out.n], &out.threshold);
        if (read == 5 && strcmp(name, model) == 0) out.n++;
    }
    fclose(file);
    return out;
}

static double logit(double p) {
    return log(p / (1 - p));
}

/* Of affinities the mean of scores, as they are; of probabilities the mean of logits. One training of a
 * member a fold, also with fewer pairs than inner folds need. */
static void a_mean_is_a_mean(void **state) {
    (void)state;
    static const char *const models[] = {"neighbour", "composition", "mean:neighbour/composition"};
    for (int affinity = 0; affinity < 2; affinity++) {
        synthetic s = synthetic_make(60, 58, affinity);
        cm_dataset *d = synthetic_open(&s, affinity, NULL);
        char path[128], folder[128];
        snprintf(path, sizeof path, "%s/predictions.tsv", s.folder);
        snprintf(folder, sizeof folder, "%s/units", s.folder);
        cm_eval_request request = {.options = synthetic_options(),
                                   .models = models,
                                   .n_models = 3,
                                   .folds = 3,
                                   .checkpoint_folder = folder,
                                   .predictions_path = path};
        results r = {.n = 0};
        assert_int_equal(cm_eval(&request, d, keep, &r, NULL, NULL), CM_OK);
        assert_int_equal(synthetic_files_in(folder), 2 * 3);
        pooled_scores a = read_scores(path, models[0]), b = read_scores(path, models[1]),
                      mean = read_scores(path, models[2]);
        assert_true(a.n == 60 && b.n == 60 && mean.n == 60);
        for (int i = 0; i < 60; i++) {
            double expected =
                affinity ? (a.score[i] + b.score[i]) / 2 : (logit(a.value[i]) + logit(b.value[i])) / 2;
            assert_close(mean.score[i], expected, 1e-4 * (1 + fabs(expected)));
            if (!affinity) assert_close(logit(mean.value[i]), expected, 1e-3 * (1 + fabs(expected)));
        }
        if (!affinity)
            assert_close(logit(mean.threshold), (logit(a.threshold) + logit(b.threshold)) / 2, 1e-3);
        cm_dataset_destroy(d);
        synthetic_remove(&s);
    }
}

/* Whether all metrics of two models have the same bits. */
static bool same_metrics(const results *r, int a, int b) {
    int lines = r->n / r->n_models;
    return memcmp(r->pooled + a * lines, r->pooled + b * lines, (size_t)lines * sizeof *r->pooled) == 0;
}

/* To memory a mean is one score: that of one member is the member, the order of two does not matter. */
static void memory_takes_a_mean_as_one_score(void **state) {
    (void)state;
    for (int affinity = 0; affinity < 2; affinity++) {
        synthetic s = synthetic_make(240, 59, affinity);
        cm_dataset *d = synthetic_open(&s, affinity, NULL);
        results r = EVALUATE(d, 3, "neighbour+memory", "mean:neighbour+memory",
                             "mean:composition/neighbour+memory", "mean:neighbour/composition+memory",
                             "stack:neighbour/composition+memory", "composition");
        assert_true(same_metrics(&r, 0, 1) && same_metrics(&r, 2, 3));
        assert_false(same_metrics(&r, 2, 0) || same_metrics(&r, 2, 4));
        assert_true(r.rank[2] > r.rank[5] + 0.2);
        cm_dataset_destroy(d);
        synthetic_remove(&s);
    }
}

static void same_bits_for_threads_resuming_and_ids(void **state) {
    (void)state;
    static const char *const models[] = {
        "mlp",          "mlp+memory",     "stack:mlp/neighbour",  "stack:mlp/id-only+memory",
        "trees+memory", "mean:mlp/trees", "mean:mlp/trees+memory"};
    enum { MODELS = sizeof models / sizeof *models };
    synthetic s = synthetic_make(120, 56, 0);
    char folder[96], command[512];
    snprintf(folder, sizeof folder, "%s/units", s.folder);
    cm_dataset *d = synthetic_open(&s, 0, NULL);
    results first = evaluate(d, 3, 1, NULL, MODELS, models);
    for (int round = 0; round < 3; round++) {
        results r = evaluate(d, 3, 2 + round, folder, MODELS, models);
        assert_memory_equal(first.pooled, r.pooled, sizeof r.pooled);
        assert_memory_equal(first.low, r.low, sizeof r.low);
        /* members once per fold on 5 inner parts and the whole: mlp, neighbour and trees are kept */
        assert_int_equal(synthetic_files_in(folder), 3 * 3 * 6);
        if (round > 0) continue; /* lose some, as if interrupted */
        snprintf(command, sizeof command, "cd '%s' && ls | awk 'NR %% 3 == 0' | xargs rm", folder);
        assert_int_equal(system(command), 0);
    }
    cm_dataset_destroy(d);
    snprintf(command, sizeof command,
             "cd '%s' && sed -i 's/^>/>new/' rna.fasta protein.fasta && "
             "sed -i -e '2,$s/^/new/' -e '2,$s/\\t/\\tnew/' pairs.tsv",
             s.folder);
    assert_int_equal(system(command), 0);
    d = synthetic_open(&s, 0, NULL);
    assert_string_equal(d->pairs[0].id[1], "newp1");
    results renamed = evaluate(d, 3, 2, NULL, MODELS, models);
    assert_memory_equal(first.pooled, renamed.pooled, sizeof renamed.pooled);
    cm_dataset_destroy(d);
    synthetic_remove(&s);
}

/* Every pair is held out once, by a part that fits none of its new molecules. */
static void inner_parts_ask_what_the_test_asks(void **state) {
    (void)state;
    synthetic s = synthetic_make(240, 57, 0);
    cm_dataset *d = synthetic_open(&s, 0, NULL);
    for (int cold = 0; cold < 4; cold++) {
        int64_t train[240], test[240], list[240], n = 0, m = 0;
        for (int64_t i = 0; i < d->n_pairs; i++) {
            bool new_a = d->pairs[i].entity[0] % 4 == 0, new_b = d->pairs[i].entity[1] % 4 == 0;
            if (cold == 0 ? i % 4 == 0 : (!(cold & 1) || new_a) && (!(cold & 2) || new_b))
                test[m++] = i;
            else if (cold == 0 || (!(cold & 1 && new_a) && !(cold & 2 && new_b)))
                train[n++] = i;
        }
        cm_inner inner;
        assert_int_equal(cm_inner_make(&inner, d, train, n, test, m, CM_INNER_FOLDS, 1, NULL), CM_OK);
        assert_int_equal(inner.n_parts, cold == 3 ? 9 : 5);
        int64_t held = 0;
        for (int p = 0; p < inner.n_parts; p++) held += cm_inner_list(&inner, p, true, list);
        assert_int_equal(held, n);
        for (int64_t i = 0; i < n; i++)
            for (int64_t k = 0; k < n; k++) {
                if (!inner.fits[inner.part[i] * n + k]) continue;
                assert_true(k != i);
                for (int side = 0; side < 2; side++)
                    if (cold >> side & 1)
                        assert_true(d->pairs[train[i]].entity[side] != d->pairs[train[k]].entity[side]);
            }
        cm_inner_clear(&inner);
    }
    cm_dataset_destroy(d);
    synthetic_remove(&s);
}

static void names_of_stages(void **state) {
    (void)state;
    static const char *const good[] = {"mlp+memory",         "stack:mlp/neighbour",
                                       "stack:mlp",          "stack:mlp/id-only+memory",
                                       "mean:mlp/neighbour", "mean:mlp/neighbour+memory"};
    static const char *const bad[] = {"+memory",
                                      "stack:",
                                      "stack:mlp/",
                                      "stack:mlp/mlp",
                                      "mlp+memory+memory",
                                      "stack:mlp/other",
                                      "memory",
                                      "NAME+memory",
                                      "stack:mlp+memory/neighbour",
                                      "mean:",
                                      "mean:mlp/mlp",
                                      "mean:mlp/other",
                                      "mean:mlp/other+memory",
                                      "mean:+memory",
                                      "stack:mean:mlp/neighbour",
                                      "stack:a/b/c/d/e/f/g/h/i"};
    const cm_predictor *predictor;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(cm_predictor_find(&predictor, good[i], NULL), CM_OK);
        assert_true(predictor->stage);
    }
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(cm_predictor_find(&predictor, bad[i], NULL), CM_USAGE);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(baselines_find_what_they_can),
        cmocka_unit_test(memory_helps_where_labels_follow_molecules),
        cmocka_unit_test(memory_hurts_nothing_on_new_molecules),
        cmocka_unit_test(a_stack_is_as_good_as_its_best_member),
        cmocka_unit_test(a_mean_is_a_mean),
        cmocka_unit_test(memory_takes_a_mean_as_one_score),
        cmocka_unit_test(same_bits_for_threads_resuming_and_ids),
        cmocka_unit_test(inner_parts_ask_what_the_test_asks),
        cmocka_unit_test(names_of_stages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
