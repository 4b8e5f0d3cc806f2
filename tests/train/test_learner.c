/* Kernel models, boosted trees, stacks and means as model files: what they learn, the round trip of every
 * bit, threads, pair batches and calls, hostile files, names, running out of memory. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/file.h"
#include "close.h"
#include "fail_alloc.h"
#include "io/safetensors.h"
#include "metrics/metrics.h"
#include "model/model_kind.h"
#include "synthetic.h"
#include "train/learner.h"
#include <math.h>
#include <unistd.h>

enum { PAIRS = 160 };

typedef struct collected {
    double score[PAIRS], value[PAIRS], uncertainty[PAIRS], low[PAIRS];
    int n;
} collected;

static int collect(void *context, const cm_prediction *p) {
    collected *c = context;
    c->score[c->n] = p->score;
    c->value[c->n] = p->value;
    c->uncertainty[c->n] = p->uncertainty;
    c->low[c->n++] = p->low;
    return 0;
}

static cm_status train(const synthetic *s, int affinity, const char *predictor, const char *path, int threads,
                       cm_error *error) {
    cm_dataset *d = synthetic_open(s, affinity, NULL);
    cm_runtime runtime = {.threads = threads};
    cm_train_request request = {
        .options = synthetic_options(), .predictor = predictor, .model_path = path, .licence = "free"};
    request.options.epochs = 4;
    cm_status status = cm_train(&request, d, &runtime, error);
    cm_dataset_destroy(d);
    return status;
}

static void predict(const char *path, const synthetic *s, int affinity, int threads, long batch,
                    collected *c) {
    cm_error error = {0};
    cm_model *model = NULL;
    cm_dataset *d = synthetic_open(s, affinity, NULL);
    cm_runtime runtime = {.threads = threads};
    *c = (collected){.n = 0};
    if (cm_model_open(&model, path, &error) != CM_OK) fail_msg("%s: %s", error.place, error.found);
    assert_int_equal(cm_predict(model, d, batch, collect, c, &runtime, &error), CM_OK);
    assert_int_equal(c->n, d->n_pairs);
    cm_model_close(model);
    cm_dataset_destroy(d);
}

static void assert_same_files(const char *a, const char *b) {
    cm_file_map x, y;
    assert_int_equal(cm_file_map_open(&x, a, NULL), CM_OK);
    assert_int_equal(cm_file_map_open(&y, b, NULL), CM_OK);
    assert_int_equal(x.size, y.size);
    assert_memory_equal(x.data, y.data, x.size);
    cm_file_map_close(&x);
    cm_file_map_close(&y);
}

/* A file of every kind and task: trained by one and by three threads, written again after reading: the same
 * bytes; predictions of the labels it has seen are good and do not depend on threads or batches. */
static void files_keep_every_bit(void **state) {
    (void)state;
    static const struct {
        const char *name;
        bool good, parts;
    } cases[] = {{"kernel", true, false},
                 {"boosting", true, false},
                 {"stack:kernel/mlp", true, true},
                 {"mean:kernel/mlp", true, true},
                 {"network", false, false}};
    static collected c[2];
    for (int affinity = 0; affinity < 2; affinity++)
        for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
            synthetic s = synthetic_make(PAIRS, 61, affinity);
            char path[3][128];
            cm_error error = {0};
            for (int i = 0; i < 3; i++) snprintf(path[i], sizeof path[i], "%s/%d.safetensors", s.folder, i);
            for (int i = 0; i < 2; i++)
                if (train(&s, affinity, cases[k].name, path[i], 1 + 2 * i, &error) != CM_OK)
                    fail_msg("%s: %s %s", cases[k].name, error.place, error.found);
            assert_same_files(path[0], path[1]);
            cm_model *model = NULL;
            assert_int_equal(cm_model_open(&model, path[0], &error), CM_OK);
            assert_non_null(strstr(cm_model_card(model), "\"licence\":\"free\""));
            assert_true(model->domain[0].n > 0 && model->domain[1].n > 0 && model->kind->size(model) > 0);
            assert_int_equal(cm_model_save(model, path[2], &error), CM_OK);
            cm_model_close(model);
            assert_same_files(path[0], path[2]);
            predict(path[0], &s, affinity, 1, 0, &c[0]);
            predict(path[2], &s, affinity, 3, 7, &c[1]);
            assert_memory_equal(c[0].score, c[1].score, sizeof c[0].score);
            assert_memory_equal(c[0].value, c[1].value, sizeof c[0].value);
            double out[CM_METRICS_MAX], label[PAIRS];
            cm_dataset *d = synthetic_open(&s, affinity, NULL);
            for (int i = 0; i < PAIRS; i++) label[i] = (double)d->pairs[i].label;
            assert_int_equal(affinity ? cm_metrics_affinity(c[0].value, label, PAIRS, out, NULL)
                                      : cm_metrics_binary(c[0].value, label, PAIRS, 0.5, out, NULL),
                             CM_OK);
            double good = out[affinity ? (int)CM_AFFINITY_pearson : (int)CM_BINARY_mcc];
            if (cases[k].good && !(good > 0.9))
                fail_msg("%s, affinity %d: %g", cases[k].name, affinity, good);
            for (int i = 0; i < PAIRS; i++) {
                assert_true(isnan(c[0].uncertainty[i]) == !cases[k].parts);
                assert_true(isnan(c[0].low[i]) == !affinity);
            }
            cm_dataset_destroy(d);
            synthetic_remove(&s);
        }
}

/* What a model made of kernel and network says, and what its parts do: scores and values. */
typedef struct taken_apart {
    double whole[PAIRS], score[2][PAIRS], value[2][PAIRS];
} taken_apart;

static cm_model *take_apart(const synthetic *s, int affinity, const char *predictor, taken_apart *t) {
    char path[128];
    cm_error error = {0};
    snprintf(path, sizeof path, "%s/m.safetensors", s->folder);
    unlink(path);
    assert_int_equal(train(s, affinity, predictor, path, 2, &error), CM_OK);
    cm_model *model = NULL;
    cm_features *features = NULL;
    assert_int_equal(cm_model_open(&model, path, &error), CM_OK);
    cm_dataset *d = synthetic_open(s, affinity, NULL);
    assert_int_equal(cm_features_create(&features, d, &model->options, NULL, NULL, NULL, NULL), CM_OK);
    assert_int_equal(model->n_parts, 2);
    assert_string_equal(model->part_name[0], "kernel");
    assert_string_equal(model->part_name[1], "crossmamba");
    assert_int_equal(cm_model_scores(model, features, d, NULL, PAIRS, 0, NULL, t->whole, NULL), CM_OK);
    for (int p = 0; p < 2; p++) {
        assert_int_equal(
            cm_model_scores(model->part[p], features, d, NULL, PAIRS, 0, NULL, t->score[p], NULL), CM_OK);
        for (int i = 0; i < PAIRS; i++) t->value[p][i] = cm_model_value(model->part[p], t->score[p][i]);
    }
    cm_features_destroy(features);
    cm_dataset_destroy(d);
    return model;
}

/* A stack's score is the weighted sum of what its parts say. */
static void stacks_add_their_parts(void **state) {
    (void)state;
    synthetic s = synthetic_make(PAIRS, 62, 0);
    static taken_apart t;
    cm_model *model = take_apart(&s, 0, "stack:kernel/network", &t);
    for (int i = 0; i < PAIRS; i++) {
        double sum = model->part_offset;
        for (int p = 0; p < 2; p++) sum += model->part_weight[p] * cm_model_handed(false, t.value[p][i]);
        assert_true(t.whole[i] == sum);
    }
    assert_true(model->part_weight[0] >= 0 && model->part_weight[1] >= 0);
    cm_model_close(model);
    synthetic_remove(&s);
}

/* A mean is the mean of its parts: of their scores, or of the logits of their probabilities, with the mean of
 * their thresholds. */
static void means_are_the_mean_of_their_parts(void **state) {
    (void)state;
    static taken_apart t;
    for (int affinity = 0; affinity < 2; affinity++) {
        synthetic s = synthetic_make(PAIRS, 62, affinity);
        cm_model *model = take_apart(&s, affinity, "mean:kernel/network", &t);
        for (int i = 0; i < PAIRS; i++) {
            double sum = 0;
            for (int p = 0; p < 2; p++)
                sum += affinity ? t.score[p][i] : cm_model_handed(false, t.value[p][i]);
            assert_true(t.whole[i] == sum / 2);
            double value = cm_model_value(model, t.whole[i]),
                   expected = affinity ? fmin(fmax(sum / 2, model->label_least), model->label_most)
                                       : 1 / (1 + exp(-sum / 2));
            assert_close(value, expected, 1e-12);
        }
        double bar = (cm_model_handed(false, model->part[0]->threshold) +
                      cm_model_handed(false, model->part[1]->threshold)) /
                     2;
        assert_close(model->threshold, affinity ? 0.5 : 1 / (1 + exp(-bar)), 1e-12);
        cm_model_close(model);
        synthetic_remove(&s);
    }
}

/* ---- hostile files ---- */

/* Writes the file with bytes of one tensor replaced, or with the tensor left out (count 0), or with another
 * card. */
static void write_changed(const char *from, const char *to, const char *tensor, size_t at, const void *bytes,
                          size_t count, const char *card) {
    static unsigned char copy[1 << 18];
    cm_safetensors *file = NULL;
    cm_tensor tensors[128];
    size_t n = 0;
    assert_int_equal(cm_safetensors_open(&file, from, NULL), CM_OK);
    assert_true(!tensor || cm_safetensors_find(file, tensor));
    for (size_t i = 0; i < cm_safetensors_count(file); i++) {
        cm_tensor t = *cm_safetensors_get(file, i);
        if (tensor && strcmp(t.name, tensor) == 0) {
            if (count == 0) continue;
            assert_true(t.bytes <= sizeof copy && at + count <= t.bytes);
            memcpy(copy, t.data, t.bytes);
            memcpy(copy + at, bytes, count);
            t.data = copy;
        }
        tensors[n++] = t;
    }
    cm_metadata_entry entry = {"crossmamba", card ? card : cm_safetensors_metadata(file, "crossmamba")};
    assert_int_equal(cm_safetensors_write(to, tensors, n, &entry, 1, NULL), CM_OK);
    cm_safetensors_close(file);
}

static void check_refused(const char *path, cm_status expected, const char *part, const char *what) {
    cm_model *model = NULL;
    cm_error error = {0};
    cm_status status = cm_model_open(&model, path, &error);
    assert_null(model);
    if (status != expected) fail_msg("%s: status %d: %s: %s", what, (int)status, error.place, error.found);
    if (!strstr(error.found, part) && !strstr(error.place, part))
        fail_msg("%s: '%s: %s' does not say '%s'", what, error.place, error.found, part);
    assert_string_equal(error.file, path);
}

/* A change to one tensor of a file. */
typedef struct tensor_case {
    const char *tensor;
    size_t at;
    const void *bytes;
    size_t count;
    cm_status status;
    const char *part;
} tensor_case;

static void check_tensors(int affinity, const char *predictor, const tensor_case *cases, size_t n) {
    synthetic s = synthetic_make(PAIRS, 63, affinity);
    char path[128], changed[128];
    cm_error error = {0};
    snprintf(path, sizeof path, "%s/m.safetensors", s.folder);
    snprintf(changed, sizeof changed, "%s/changed.safetensors", s.folder);
    assert_int_equal(train(&s, affinity, predictor, path, 1, &error), CM_OK);
    for (size_t i = 0; i < n; i++) {
        write_changed(path, changed, cases[i].tensor, cases[i].at, cases[i].bytes, cases[i].count, NULL);
        check_refused(changed, cases[i].status, cases[i].part, cases[i].tensor);
    }
    synthetic_remove(&s);
}

static void hostile_tensors_are_refused(void **state) {
    (void)state;
    static const int32_t far = 1 << 30, below = -1;
    static const int64_t beyond = INT64_MAX, back = 0, one = 1;
    static const double nan_value = NAN;
    static const unsigned char endless[] = {0xf0, 0xff, 0xff, 0xff, 0xff, 0xff}, wide[] = {0xf0, 0xff, 0x7f},
                               large[] = {0x0f, 0xff, 0xff, 0xff, 0xff, 0x7f};
    static const tensor_case cases[] = {
        {"kernel.a.place", 8, &far, 4, CM_DATA, "training pair 3"},
        {"kernel.b.place", 0, &below, 4, CM_DATA, "training pair 1"},
        {"kernel.a.start.rna4", 8, &beyond, 8, CM_DATA, "rna4 of training molecule 1"},
        {"kernel.a.start.rna4", 16, &back, 8, CM_DATA, "rna4 of training molecule 2"},
        {"kernel.a.start.rna4", 0, &one, 8, CM_DATA, "left over"},
        {"kernel.a.start.rna4", 0, &below, 4, CM_DATA, "rna4 of training molecule 1"},
        {"kernel.a.code.rna4", 0, endless, sizeof endless, CM_DATA, "ends inside one"},
        {"kernel.a.code.rna4", 0, wide, sizeof wide, CM_DATA, "16398"},
        {"kernel.a.code.rna4", 0, large, sizeof large, CM_DATA, "34359738383"},
        {"kernel.a.code.rna4", 0, NULL, 0, CM_MODEL, "no such tensor"},
        {"kernel.weight", 16, &nan_value, 8, CM_MODEL, "not finite"},
        {"kernel.a.mean.rna4", 0, &nan_value, 8, CM_MODEL, "not finite"},
        {"kernel.a.mean.rna4", 0, NULL, 0, CM_MODEL, "rna4 is missing"},
        {"kernel.a.start.rna4", 0, NULL, 0, CM_MODEL, "no such tensor"},
        {"kernel.weight", 0, NULL, 0, CM_MODEL, "no such tensor"},
        {"domain.a", 0, NULL, 0, CM_MODEL, "domain.a is missing"},
    };
    check_tensors(0, "kernel", cases, sizeof cases / sizeof *cases);
}

static void hostile_trees_are_refused(void **state) {
    (void)state;
    static const int32_t far = 1 << 30, below = -2, same = 0;
    static const int64_t beyond = INT64_MAX, back = 0, one = 1;
    static const double nan_value = NAN;
    static const float none = 0, endless = INFINITY;
    static const tensor_case cases[] = {
        {"boosting.start", 0, &one, 8, CM_DATA, "trees"},
        {"boosting.start", 8, &beyond, 8, CM_DATA, "tree 1"},
        {"boosting.start", 16, &back, 8, CM_DATA, "tree 2"},
        {"boosting.column", 0, &far, 4, CM_DATA, "tree 1, node 0"},
        {"boosting.column", 0, &below, 4, CM_DATA, "tree 1, node 0"},
        {"boosting.left", 0, &same, 4, CM_DATA, "tree 1, node 0"},
        {"boosting.left", 0, &far, 4, CM_DATA, "tree 1, node 0"},
        {"boosting.cut", 0, &endless, 4, CM_MODEL, "not finite"},
        {"boosting.value", 8, &nan_value, 8, CM_MODEL, "not finite"},
        {"boosting.a.landmark.start", 8, &beyond, 8, CM_DATA, "side a, landmark 1"},
        {"boosting.a.landmark.start", 16, &back, 8, CM_DATA, "side a, landmark 2"},
        {"boosting.a.landmark.column", 0, &far, 4, CM_DATA, "side a, landmark 1"},
        {"boosting.b.landmark.column", 4, &same, 4, CM_DATA, "side b, landmark 1"},
        {"boosting.a.landmark.count", 0, &none, 4, CM_DATA, "side a, landmark 1"},
        {"boosting.start", 0, NULL, 0, CM_MODEL, "no such tensor"},
        {"boosting.column", 0, NULL, 0, CM_MODEL, "no such tensor"},
        {"boosting.left", 0, NULL, 0, CM_MODEL, "left is missing"},
        {"boosting.a.landmark.start", 0, NULL, 0, CM_MODEL, "no such tensor"},
        {"boosting.a.landmark.column", 0, NULL, 0, CM_MODEL, "column is missing"},
    };
    check_tensors(1, "boosting", cases, sizeof cases / sizeof *cases);
}

/* Small molecules: features that several of them have are columns, which the file lists. */
static void files_of_small_molecules(void **state) {
    (void)state;
    static const char *const ends[] = {"CCO", "COC", "CCN", "CNC"}; /* two and two with the same letters */
    cm_dataset_options options = {.task = cm_task_find("rna-molecule")};
    cm_dataset *d = NULL;
    assert_int_equal(cm_dataset_create(&d, &options, NULL), CM_OK);
    for (uint64_t i = 0; i < 120; i++) {
        char rna[32] = "", smiles[32] = "";
        uint64_t r = i % 11, m = i * 7 % 40;
        for (uint64_t k = 0; k < 24; k++) rna[k] = "ACGU"[cm_rng_below(r, k, 4)];
        for (uint64_t k = 0; k < m / 4; k++) strcat(smiles, "C");
        strcat(smiles, ends[m % 4]);
        assert_int_equal(cm_dataset_add_pair(d, "a", rna, "b", smiles, NULL), CM_OK);
        d->pairs[i].label = (float)(4 + 2 * (double)(m % 2) + 0.1 * cm_rng_normal(3, i));
    }
    d->options.labels = 1;
    char folder[] = "/tmp/crossmamba-test-XXXXXX", path[2][64];
    assert_non_null(mkdtemp(folder));
    for (int i = 0; i < 2; i++) snprintf(path[i], sizeof path[i], "%s/%d", folder, i);
    cm_train_request request = {
        .options = synthetic_options(), .predictor = "boosting", .model_path = path[0]};
    cm_model *model = NULL;
    cm_error error = {0};
    if (cm_train(&request, d, NULL, &error) != CM_OK) fail_msg("%s: %s", error.place, error.found);
    static collected c[2];
    for (int i = 0; i < 2; i++) {
        c[i].n = 0;
        assert_int_equal(cm_model_open(&model, path[i], NULL), CM_OK);
        assert_int_equal(cm_predict(model, d, 0, collect, &c[i], NULL, NULL), CM_OK);
        assert_int_equal(cm_model_save(model, path[1], NULL), CM_OK);
        cm_model_close(model);
    }
    assert_same_files(path[0], path[1]);
    assert_memory_equal(c[0].score, c[1].score, sizeof c[0].score);
    static const int32_t far = 1 << 30, same = 0;
    static const struct {
        size_t at, count;
        const int32_t *bytes;
        cm_status status;
        const char *part;
    } cases[] = {{0, 4, &far, CM_DATA, "side b, features of smiles2"},
                 {4, 4, &same, CM_DATA, "side b, features of smiles2"},
                 {0, 0, NULL, CM_MODEL, "no such tensor"}};
    for (int i = 0; i < 3; i++) {
        write_changed(path[0], path[1], "boosting.b.taken.smiles2", cases[i].at, cases[i].bytes,
                      cases[i].count, NULL);
        check_refused(path[1], cases[i].status, cases[i].part, "taken");
    }
    for (int i = 0; i < 2; i++) unlink(path[i]);
    rmdir(folder);
    cm_dataset_destroy(d);
}

/* The card of the file at path with the first from replaced by to. */
static char *card_with(const char *path, const char *from, const char *to) {
    cm_safetensors *file = NULL;
    assert_int_equal(cm_safetensors_open(&file, path, NULL), CM_OK);
    const char *card = cm_safetensors_metadata(file, "crossmamba"), *at = strstr(card, from);
    if (!at) fail_msg("no %s in %s", from, card);
    char *changed = malloc(strlen(card) + strlen(to) + 1);
    sprintf(changed, "%.*s%s%s", (int)(at - card), card, to, at + strlen(from));
    cm_safetensors_close(file);
    return changed;
}

typedef struct card_case {
    const char *from, *to;
    cm_status status;
    const char *part;
} card_case;

static void check_cards(int affinity, const char *predictor, const card_case *cases, size_t n) {
    synthetic s = synthetic_make(PAIRS, 64, affinity);
    char path[128], changed[128];
    cm_error error = {0};
    snprintf(path, sizeof path, "%s/m.safetensors", s.folder);
    snprintf(changed, sizeof changed, "%s/changed.safetensors", s.folder);
    assert_int_equal(train(&s, affinity, predictor, path, 1, &error), CM_OK);
    for (size_t i = 0; i < n; i++) {
        char *card = card_with(path, cases[i].from, cases[i].to);
        write_changed(path, changed, NULL, 0, NULL, 0, card);
        check_refused(changed, cases[i].status, cases[i].part, cases[i].to);
        free(card);
    }
    synthetic_remove(&s);
}

static void hostile_cards_are_refused(void **state) {
    (void)state;
    static const card_case stack[] = {
        {"\"predictor\":\"stack\"", "\"predictor\":\"oracle\"", CM_MODEL, "oracle"},
        {"\"predictor\":\"stack\"", "\"predictor\":\"kernel\"", CM_DATA, "kernel"},
        {"\"predictor\":\"stack\"", "\"predictor\":7", CM_DATA, "predictor"},
        {"\"predictor\":\"kernel\"", "\"predictor\":\"stack\"", CM_DATA, "a stack"},
        {"\"mix\":\"", "\"mix\":\"x", CM_DATA, "mix"},
        {"\"gamma\":", "\"gamma\":-", CM_DATA, "gamma"},
        {"\"rna4\"", "\"rna9\"", CM_MODEL, "another version"},
        {"\"parts\":[", "\"parts\":[7,", CM_DATA, "name"},
        {"\"parts\":[", "\"parts\":[],\"rest\":[", CM_DATA, "0"},
    };
    static const card_case mean[] = {
        {"\"predictor\":\"mean\"", "\"predictor\":\"stack\"", CM_DATA, "stack"},
        {"\"predictor\":\"boosting\"", "\"predictor\":\"mean\"", CM_DATA, "a mean"},
        {"\"predictor\":\"boosting\"", "\"predictor\":\"stack\"", CM_DATA, "a stack"},
        {"\"columns\":\"", "\"columns\":\"x", CM_DATA, "columns"},
        {"\"base\":", "\"base\":\"0\",\"old\":", CM_DATA, "base"},
        {"\"rna4\"", "\"rna9\"", CM_MODEL, "another version"},
        {"\"parts\":[", "\"parts\":[],\"rest\":[", CM_DATA, "0"},
    };
    check_cards(0, "stack:kernel/mlp", stack, sizeof stack / sizeof *stack);
    check_cards(1, "mean:boosting/mlp", mean, sizeof mean / sizeof *mean);
}

/* ---- names, odd data, memory ---- */

static void names_are_checked(void **state) {
    (void)state;
    const cm_learner *learner = NULL;
    cm_error error = {0};
    cm_table_row row;
    for (int i = 0; cm_learner_row(i, &row); i++)
        assert_int_equal(cm_learner_find(&learner, row.name, NULL), CM_OK);
    assert_false(cm_learner_row(-1, &row));
    for (int i = 0; i < 2; i++) {
        const cm_learner *const joins[] = {&cm_learner_stack, &cm_learner_mean};
        assert_int_equal(
            cm_learner_find(&learner, i ? "mean:boosting/network" : "stack:kernel/network", NULL), CM_OK);
        assert_ptr_equal(learner, joins[i]);
        assert_true(cm_learner_join_row(i, &row));
        assert_string_equal(row.name, joins[i]->name);
    }
    assert_false(cm_learner_join_row(2, &row) || cm_learner_join_row(-1, &row));
    static const char *const bad[] = {"neighbour",
                                      "stack:",
                                      "stack:kernel/",
                                      "stack:kernel/oracle",
                                      "stack:kernel/kernel",
                                      "mean:",
                                      "mean:kernel/kernel",
                                      "mean:stack:kernel/mlp",
                                      "kernel+memory",
                                      "",
                                      "stack:kernel/mlp/gated/bilinear/crossmamba/gated-static/network/x/y"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(cm_learner_find(&learner, bad[i], &error), CM_USAGE);
    synthetic s = synthetic_make(PAIRS, 65, 0);
    char path[128];
    snprintf(path, sizeof path, "%s/m.safetensors", s.folder);
    assert_int_equal(train(&s, 0, "neighbour", path, 1, &error), CM_USAGE);
    assert_non_null(strstr(error.expected, "kernel"));
    assert_int_equal(access(path, F_OK), -1);
    synthetic_remove(&s);
}

/* Few pairs, or one label only: a model or a plain refusal. */
static void odd_data(void **state) {
    (void)state;
    static const char *const names[] = {"kernel", "stack:kernel/mlp", "boosting", "mean:kernel/boosting"};
    synthetic s = synthetic_make(PAIRS, 66, 0);
    cm_dataset *d = synthetic_open(&s, 0, NULL);
    cm_options options = synthetic_options();
    options.epochs = 2;
    cm_features *features = NULL;
    int64_t index[PAIRS];
    float label[PAIRS];
    assert_int_equal(cm_features_create(&features, d, &options, NULL, NULL, NULL, NULL), CM_OK);
    for (int64_t i = 0; i < PAIRS; i++) {
        index[i] = i;
        label[i] = 1;
    }
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        const cm_learner *learner;
        cm_model *model = NULL;
        cm_error error = {0};
        cm_fit_request r = {
            .name = names[k], .options = &options, .dataset = d, .features = features, .index = index};
        assert_int_equal(cm_learner_find(&learner, names[k], NULL), CM_OK);
        assert_int_equal(learner->fit(&model, &r, NULL, NULL, &error), CM_DATA);
        r.n = PAIRS;
        r.labels = label;
        assert_int_equal(learner->fit(&model, &r, NULL, NULL, &error), CM_DATA);
        assert_non_null(strstr(error.expected, "labels"));
        assert_null(model);
    }
    cm_features_destroy(features);
    cm_dataset_destroy(d);
    synthetic_remove(&s);
}

static void memory_may_end_anywhere(void **state) {
    (void)state;
    static const char *const names[] = {"kernel", "mean:boosting/mlp"};
    for (int k = 0; k < 2; k++) {
        synthetic s = synthetic_make(24, 67, k);
        char path[128];
        snprintf(path, sizeof path, "%s/m.safetensors", s.folder);
        assert_int_equal(train(&s, k, names[k], path, 1, NULL), CM_OK);
        cm_dataset *d = synthetic_open(&s, k, NULL);
        long n = 0;
        for (bool failed = true; failed; n += 5) {
            cm_model *model = NULL;
            static collected c;
            c.n = 0;
            fail_alloc_from(n);
            cm_status status = cm_model_open(&model, path, NULL);
            if (status == CM_OK) status = cm_predict(model, d, 0, collect, &c, NULL, NULL);
            failed = fail_alloc_stop();
            assert_int_equal(status, failed ? CM_MEMORY : CM_OK);
            cm_model_close(model);
        }
        cm_dataset_destroy(d);
        synthetic_remove(&s);
    }
}

/* Boosted trees of few pairs see lengths or composition alone, and their file then holds no molecule. */
static void small_trees_hold_no_landmarks(void **state) {
    (void)state;
    int small = 0;
    for (uint64_t seed = 70; seed < 76; seed++) {
        synthetic s = synthetic_make(20, seed, 0);
        char path[128];
        snprintf(path, sizeof path, "%s/m.safetensors", s.folder);
        assert_int_equal(train(&s, 0, "boosting", path, 1, NULL), CM_OK);
        cm_model *model = NULL;
        cm_safetensors *file = NULL;
        assert_int_equal(cm_model_open(&model, path, NULL), CM_OK);
        assert_int_equal(cm_safetensors_open(&file, path, NULL), CM_OK);
        bool all = strstr(cm_model_card(model), "\"columns\":\"all\"") != NULL;
        assert_true((cm_safetensors_find(file, "boosting.a.landmark.count") != NULL) == all);
        small += !all;
        cm_safetensors_close(file);
        cm_model_close(model);
        static collected c;
        predict(path, &s, 0, 1, 0, &c);
        synthetic_remove(&s);
    }
    assert_true(small > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_keep_every_bit),
        cmocka_unit_test(files_of_small_molecules),
        cmocka_unit_test(stacks_add_their_parts),
        cmocka_unit_test(means_are_the_mean_of_their_parts),
        cmocka_unit_test(hostile_tensors_are_refused),
        cmocka_unit_test(hostile_trees_are_refused),
        cmocka_unit_test(hostile_cards_are_refused),
        cmocka_unit_test(names_are_checked),
        cmocka_unit_test(odd_data),
        cmocka_unit_test(memory_may_end_anywhere),
        cmocka_unit_test(small_trees_hold_no_landmarks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
