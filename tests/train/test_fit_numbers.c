/* Training with losses, gradients, weights and labels that are no numbers. The linker puts this program
 * between the training loop and three functions that it calls (--wrap, see meson.build): cm_schedule tells
 * which step begins, cm_gather_pairs spoils the inputs of a step, cm_adamw_step its gradient or the weights
 * after it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/network.h"
#include "synthetic.h"
#include "train/adamw.h"
#include "train/learner.h"
#include "train/schedule.h"
#include <jansson.h>
#include <math.h>
#include <unistd.h>

enum { EPOCHS = 6, BATCH = 16, PAIRS = 90, MOST_STEPS = 64 };

/* What happens to the steps of a run. */
typedef struct spoiling {
    char
        what[MOST_STEPS + 1]; /* by step from 0: l inputs (loss), g gradient, w weights after it, . nothing */
    long step;                /* of the pass that is being made; -1: none */
    double rate;              /* that the schedule gave for it */
    double rates[MOST_STEPS]; /* that AdamW got, by step; 0: it was not called */
    float *initial;           /* weights before the first step */
    bool rolled, at_initial;  /* the last step of AdamW began anew; with the weights of the beginning */
} spoiling;

static spoiling now;

static bool spoilt(char how) {
    return now.step >= 0 && now.step < (long)strlen(now.what) && now.what[now.step] == how;
}

double __real_cm_schedule(double base, double warmup, int64_t step, int64_t steps);
double __wrap_cm_schedule(double base, double warmup, int64_t step, int64_t steps);
double __wrap_cm_schedule(double base, double warmup, int64_t step, int64_t steps) {
    now.step = (long)step;
    now.rate = __real_cm_schedule(base, warmup, step, steps);
    return now.rate;
}

cm_status __real_cm_gather_pairs(cm_gather *gather, const cm_dataset *dataset, const int64_t *index,
                                 int64_t n, cm_net_input *input, cm_error *error);
cm_status __wrap_cm_gather_pairs(cm_gather *gather, const cm_dataset *dataset, const int64_t *index,
                                 int64_t n, cm_net_input *input, cm_error *error);
cm_status __wrap_cm_gather_pairs(cm_gather *gather, const cm_dataset *dataset, const int64_t *index,
                                 int64_t n, cm_net_input *input, cm_error *error) {
    cm_status status = __real_cm_gather_pairs(gather, dataset, index, n, input, error);
    if (status == CM_OK && spoilt('l')) input->x[0].data[0] = NAN;
    if (spoilt('l')) now.step = -1; /* the inner validation gathers too */
    return status;
}

static bool all_zero(const float *values, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (values[i] != 0) return false;
    return true;
}

/* Whether the step begins after a roll-back, and with which weights. */
static void look_back(cm_adamw *adamw, const cm_params *params) {
    size_t bytes = (size_t)cm_params_size(params) * sizeof(float);
    if (!now.initial) {
        now.initial = malloc(bytes);
        assert_non_null(now.initial);
        memcpy(now.initial, cm_params_values(params), bytes);
    }
    now.rolled = cm_adamw_steps(adamw) == 0 && now.step > 0;
    if (!now.rolled) return;
    assert_true(all_zero(cm_adamw_first(adamw), cm_params_size(params)));
    assert_true(all_zero(cm_adamw_second(adamw), cm_params_size(params)));
    now.at_initial = memcmp(now.initial, cm_params_values(params), bytes) == 0;
}

/* The three blocks that a step changes. */
static void copy_state(float *to, cm_adamw *adamw, const cm_params *params) {
    size_t n = (size_t)cm_params_size(params);
    memcpy(to, cm_params_values(params), n * sizeof *to);
    memcpy(to + n, cm_adamw_first(adamw), n * sizeof *to);
    memcpy(to + 2 * n, cm_adamw_second(adamw), n * sizeof *to);
}

double __real_cm_adamw_step(cm_adamw *adamw, cm_params *params, cm_team *team, double learning_rate,
                            double weight_decay, double clip_norm);
double __wrap_cm_adamw_step(cm_adamw *adamw, cm_params *params, cm_team *team, double learning_rate,
                            double weight_decay, double clip_norm);
double __wrap_cm_adamw_step(cm_adamw *adamw, cm_params *params, cm_team *team, double learning_rate,
                            double weight_decay, double clip_norm) {
    size_t n = (size_t)cm_params_size(params);
    float *states = malloc(6 * n * sizeof *states);
    assert_non_null(states);
    look_back(adamw, params);
    now.rates[now.step] = learning_rate / now.rate;
    if (spoilt('g')) cm_params_grads(params)[n / 2] = INFINITY;
    copy_state(states, adamw, params);
    int64_t steps = cm_adamw_steps(adamw);
    double norm = __real_cm_adamw_step(adamw, params, team, learning_rate, weight_decay, clip_norm);
    copy_state(states + 3 * n, adamw, params);
    bool same = memcmp(states, states + 3 * n, 3 * n * sizeof *states) == 0;
    assert_int_equal(same, spoilt('g'));
    assert_int_equal(cm_adamw_steps(adamw) - steps, spoilt('g') ? 0 : 1);
    if (spoilt('w')) cm_params_values(params)[0] = INFINITY;
    free(states);
    return norm;
}

/* ---- runs ---- */

typedef struct run {
    char path[128], log[8192];
    int polls; /* left before the run is stopped */
} run;

static void keep_log(void *context, cm_log_level level, const char *line) {
    run *r = context;
    size_t length = strlen(r->log);
    if (level == CM_LOG_WARNING) snprintf(r->log + length, sizeof r->log - length, "%s\n", line);
}

static int stop_after(void *context) {
    run *r = context;
    return --r->polls < 0;
}

static cm_options options_of(bool validation) {
    cm_options o = synthetic_options();
    snprintf(o.encoder_a, sizeof o.encoder_a, "onehot");
    snprintf(o.encoder_b, sizeof o.encoder_b, "onehot");
    o.dim = 8;
    o.epochs = EPOCHS;
    o.patience = EPOCHS;
    o.batch = BATCH;
    o.dropout = 0.1;
    o.validation = validation ? 0.2 : 0;
    return o;
}

static cm_status train(run *r, const synthetic *s, const cm_options *o, int threads, bool resume,
                       cm_error *error) {
    cm_dataset *d = synthetic_open(s, 0, NULL);
    cm_runtime runtime = {.threads = threads, .stop = stop_after, .log = keep_log, .context = r};
    cm_train_request request = {
        .options = *o, .model_path = r->path, .resume = resume, .checkpoint_seconds = 1e9};
    *error = (cm_error){0};
    cm_status status = cm_train(&request, d, &runtime, error);
    cm_dataset_destroy(d);
    return status;
}

static cm_status train_spoilt(run *r, const synthetic *s, const cm_options *o, const char *what,
                              cm_error *error) {
    free(now.initial);
    now = (spoiling){.step = -1};
    snprintf(now.what, sizeof now.what, "%s", what);
    snprintf(r->path, sizeof r->path, "%s/m.safetensors", s->folder);
    r->log[0] = '\0';
    r->polls = 1 << 20;
    return train(r, s, o, 1, false, error);
}

static char *bytes_of(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char *bytes = malloc(1 << 20);
    assert_non_null(bytes);
    *size = fread(bytes, 1, 1 << 20, file);
    fclose(file);
    return bytes;
}

/* The same run stopped and resumed after steps first .. last, with other threads: the same bytes. */
static void check_resumes(run *r, const synthetic *s, const cm_options *o, int first, int last) {
    size_t size, other;
    cm_error error;
    char *bytes = bytes_of(r->path, &size);
    for (int at = first; at <= last; at++) {
        unlink(r->path);
        r->polls = at;
        assert_int_equal(train(r, s, o, 1 + at % 2, false, &error), CM_INTERRUPTED);
        r->polls = 1 << 20;
        assert_int_equal(train(r, s, o, 1 + at % 3, true, &error), CM_OK);
        char *again = bytes_of(r->path, &other);
        if (size != other || memcmp(bytes, again, size) != 0)
            fail_msg("stopped after step %d: another model", at);
        free(again);
    }
    free(bytes);
}

/* A count of the card's facts of the training; 0: it has none. */
static int noted(const char *path, const char *key) {
    cm_model *model = NULL;
    cm_error error;
    assert_int_equal(cm_model_open(&model, path, &error), CM_OK);
    json_t *card = json_loads(cm_model_card(model), 0, NULL);
    assert_non_null(card);
    int count = (int)json_integer_value(json_object_get(json_object_get(card, "training"), key));
    json_decref(card);
    cm_model_close(model);
    return count;
}

/* ---- what must come of it ---- */

/* Epochs have 6 steps without validation (90 pairs by 16) and 5 with it. */
typedef struct row {
    const char *name, *what;
    bool validation;
    cm_status status;
    int skipped, roll_backs;
    const char *says; /* part of the warnings, or of the error */
} row;

static const row rows[] = {
    {"undisturbed", "", true, CM_OK, 0, 0, ""},
    {"one loss", "..l", true, CM_OK, 1, 0, "step 3: a loss of nan: skipped (1 so far)\n1 steps were skipped"},
    {"one gradient", "...g", true, CM_OK, 1, 0, "step 4: a gradient of norm inf: skipped (1 so far)"},
    {"two in a row, and again", ".lg..gl..l", true, CM_OK, 5, 0,
     "skipped (5 so far)\n5 steps were skipped for a loss or gradient that is no number, with 0 roll-backs"},
    {"a whole epoch but two", "g.gg.g", true, CM_OK, 4, 0, "4 steps were skipped"},
    {"three in a row in the first epoch", ".lgl", true, CM_OK, 3, 1,
     "step 4: 3 skipped in a row: back to the weights of epoch 0, learning rate 0.0015 from here on"},
    {"the first three", "ggg", true, CM_OK, 3, 1,
     "step 3: 3 skipped in a row: back to the weights of epoch 0"},
    {"three in a row over an epoch's end", "....lll", true, CM_OK, 3, 1, "back to the weights of epoch 1"},
    {"three in a row later", "............ggg", true, CM_OK, 3, 1,
     "back to the weights of epoch 2, learning rate 0.0015"},
    {"twice three in a row", "............gggggg", true, CM_OK, 6, 2,
     "learning rate 0.00075 from here on\n6 steps were skipped"},
    {"three times, then two", ".ggggggggg.gg", true, CM_OK, 11, 3, "learning rate 0.000375"},
    {"once too often", ".gggggggggggg", true, CM_NUMERIC, 0, 0,
     "step 13: found 3 steps in a row without, after 3 roll-backs and with the learning rate 0.000375, "
     "expected finite losses and gradients (try a lower --learning-rate)"},
    {"weights", ".......w", true, CM_OK, 3, 1, "step 9: a loss of nan: skipped (1 so far)"},
    {"weights at the end of an epoch", ".........w", true, CM_OK, 3, 1,
     "epoch 2: scores that are no finite numbers: not kept"},
    {"weights at the end", ".............................w", true, CM_OK, 0, 0,
     "epoch 6: scores that are no finite numbers: not kept"},
    {"without validation", "..l", false, CM_OK, 1, 0, "step 3: a loss of nan: skipped"},
    {"without validation, weights at the end of an epoch", "...........w", false, CM_OK, 3, 1,
     "back to the weights of epoch 1"},
    {"without validation, weights at the end", "...................................w", false, CM_OK, 0, 0,
     ""},
    {"never a number", "llllllllllllllllllllllllllllllllllllllll", true, CM_NUMERIC, 0, 0,
     "step 12: found 3 steps in a row without"},
};

static void check_row(const row *w, const synthetic *s) {
    static run r;
    cm_error error;
    char line[1024];
    int length = (int)strlen(w->what), most = EPOCHS * (w->validation ? 5 : 6);
    cm_options o = options_of(w->validation);
    cm_status status = train_spoilt(&r, s, &o, w->what, &error);
    if (status != w->status)
        fail_msg("%s: status %d: %s", w->name, (int)status, cm_error_line(&error, line, sizeof line));
    const char *said = status == CM_OK ? r.log : cm_error_line(&error, line, sizeof line);
    if (!strstr(said, w->says) || (status == CM_OK && !w->says[0] && said[0]))
        fail_msg("%s: said '%s'", w->name, said);
    if (status == CM_OK) {
        if (noted(r.path, "skipped_steps") != w->skipped || noted(r.path, "roll_backs") != w->roll_backs)
            fail_msg("%s: %d skipped, %d roll-backs", w->name, noted(r.path, "skipped_steps"),
                     noted(r.path, "roll_backs"));
        check_resumes(&r, s, &o, length > 3 ? length - 2 : 1, length < most ? length + 1 : most - 1);
    } else
        assert_int_equal(access(r.path, F_OK), -1);
    unlink(r.path);
}

static void test_rows(void **state) {
    (void)state;
    synthetic s = synthetic_make(PAIRS, 12, 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char command[128];
        check_row(&rows[i], &s);
        snprintf(command, sizeof command, "rm -f %s/m.safetensors*", s.folder);
        assert_int_equal(system(command), 0);
    }
    synthetic_remove(&s);
}

/* The factor on the learning rate of every step, and where a roll-back leads. */
static void test_roll_backs(void **state) {
    (void)state;
    synthetic s = synthetic_make(PAIRS, 12, 0);
    static run r;
    cm_error error;
    cm_options o = options_of(true);
    assert_int_equal(train_spoilt(&r, &s, &o, "lll", &error), CM_OK);
    for (int step = 0; step < 5 * EPOCHS; step++) assert_true(now.rates[step] == (step < 3 ? 0 : 0.5));
    assert_int_equal(train_spoilt(&r, &s, &o, ".ggg.l", &error), CM_OK);
    assert_true(now.rates[0] == 1 && now.rates[3] == 1 && now.rates[4] == 0.5 && now.rates[5] == 0);
    o.epochs = 1;
    o.batch = 20; /* 4 steps: the one after the roll-back is the last that AdamW makes */
    assert_int_equal(train_spoilt(&r, &s, &o, ".ggg", &error), CM_OK);
    assert_false(now.rolled);
    o.batch = 16;
    assert_int_equal(train_spoilt(&r, &s, &o, ".ggg", &error), CM_OK);
    assert_true(now.rolled && now.at_initial);
    o.epochs = 2;
    assert_int_equal(train_spoilt(&r, &s, &o, "......lll", &error), CM_OK);
    assert_true(now.rolled && !now.at_initial);
    free(now.initial);
    now = (spoiling){.step = -1};
    synthetic_remove(&s);
}

/* Weights that overflow by themselves. */
static void test_divergence(void **state) {
    (void)state;
    synthetic s = synthetic_make(PAIRS, 12, 0);
    static run r;
    cm_error error;
    cm_options o = options_of(true);
    o.learning_rate = 1e37;
    o.weight_decay = 0;
    assert_int_equal(train_spoilt(&r, &s, &o, "", &error), CM_NUMERIC);
    assert_non_null(strstr(error.expected, "try a lower --learning-rate"));
    assert_non_null(strstr(r.log, "back to the weights of epoch 0, learning rate 5e+36 from here on"));
    assert_int_equal(access(r.path, F_OK), -1);
    synthetic_remove(&s);
}

/* An ensemble counts the steps of all its networks. */
static void test_ensemble(void **state) {
    (void)state;
    synthetic s = synthetic_make(PAIRS, 12, 0);
    static run r;
    cm_error error;
    cm_options o = options_of(true);
    o.ensemble = 2;
    o.epochs = 3;
    assert_int_equal(train_spoilt(&r, &s, &o, ".ggg.l", &error), CM_OK);
    assert_int_equal(noted(r.path, "skipped_steps"), 8);
    assert_int_equal(noted(r.path, "roll_backs"), 2);
    check_resumes(&r, &s, &o, 16, 20); /* in the second network */
    synthetic_remove(&s);
}

/* ---- an evaluation ---- */

static int no_line(void *context, const cm_eval_line *line) {
    (void)context;
    (void)line;
    return 0;
}

/* The count in fold f of model m on the first track; -1: it has none. */
static int recorded(const char *path, size_t m, size_t f, const char *key) {
    json_t *record = json_load_file(path, 0, NULL);
    const json_t *result = json_array_get(json_object_get(record, "results"), m);
    assert_non_null(result);
    const json_t *count = json_object_get(json_array_get(json_object_get(result, "folds"), f), key);
    int value = count ? (int)json_integer_value(count) : -1;
    json_decref(record);
    return value;
}

static void evaluate(run *r, const synthetic *s, const char *what) {
    static const char *const models[] = {"mlp", "kernel", "mean:mlp/kernel", "stack:mlp/kernel"};
    cm_dataset *d = synthetic_open(s, 0, NULL);
    cm_eval_request request = {.options = options_of(true), .models = models, .n_models = 4, .folds = 2};
    char folder[96];
    cm_error error = {0};
    snprintf(r->path, sizeof r->path, "%s/record.json", s->folder);
    snprintf(folder, sizeof folder, "%s/units", s->folder);
    request.record_path = r->path;
    request.checkpoint_folder = folder;
    free(now.initial);
    now = (spoiling){.step = -1};
    snprintf(now.what, sizeof now.what, "%s", what);
    r->log[0] = '\0';
    r->polls = 1 << 20;
    cm_runtime runtime = {.threads = 1, .stop = stop_after, .log = keep_log, .context = r};
    assert_int_equal(cm_eval(&request, d, no_line, NULL, &runtime, &error), CM_OK);
    cm_dataset_destroy(d);
}

/* Its trainings say nothing: it tells at the end, and its record tells by fold. Twice: from finished units,
 * too. */
static void test_evaluation(void **state) {
    (void)state;
    static run r;
    static const char says[] = "mlp: 8 steps were skipped for a loss or gradient that is no number, with 2 "
                               "roll-backs, first in fold 1 "
                               "of repeat 1\n"
                               "mean:mlp/kernel: 8 steps were skipped for a loss or gradient that is no "
                               "number, with 2 roll-backs, first "
                               "in fold 1 of repeat 1\n"
                               "stack:mlp/kernel: 48 steps were skipped for a loss or gradient that is no "
                               "number, with 12 roll-backs, "
                               "first in fold 1 of repeat 1\n";
    for (int spoil = 0; spoil < 2; spoil++) {
        synthetic s = synthetic_make(PAIRS, 12, 0);
        for (int again = 0; again < 2; again++) {
            evaluate(&r, &s, spoil ? ".ggg.l" : "");
            assert_string_equal(r.log, spoil ? says : "");
            for (size_t f = 0; f < 2; f++) {
                static const int skipped[] = {4, -1, 4, 24}; /* a stack: five inner parts and the whole */
                for (size_t m = 0; m < 4; m++) {
                    assert_int_equal(recorded(r.path, m, f, "skipped_steps"), spoil ? skipped[m] : -1);
                    assert_int_equal(recorded(r.path, m, f, "roll_backs"),
                                     spoil && skipped[m] > 0 ? skipped[m] / 4 : -1);
                }
            }
        }
        synthetic_remove(&s);
    }
}

/* No epoch with finite weights: no model. */
static void test_no_epoch(void **state) {
    (void)state;
    synthetic s = synthetic_make(PAIRS, 12, 0);
    static run r;
    cm_error error;
    for (int validation = 0; validation < 2; validation++) {
        cm_options o = options_of(validation);
        o.epochs = 1;
        assert_int_equal(train_spoilt(&r, &s, &o, validation ? "....w" : ".....w", &error), CM_NUMERIC);
        assert_string_equal(error.place, "training");
        assert_string_equal(error.found, "none in 1");
        assert_int_equal(access(r.path, F_OK), -1);
    }
    synthetic_remove(&s);
}

/* Labels from a caller; those of files are the reader's to check. */
static void test_labels(void **state) {
    (void)state;
    static const char *const learners[] = {"network", "kernel", "boosting", "stack:mlp/kernel",
                                           "mean:mlp/boosting"};
    synthetic s = synthetic_make(PAIRS, 12, 0);
    cm_dataset *d = synthetic_open(&s, 0, NULL);
    cm_options o = options_of(true);
    cm_features *features = NULL;
    cm_error error;
    float labels[PAIRS];
    int64_t index[PAIRS];
    assert_int_equal(cm_features_create(&features, d, &o, NULL, NULL, NULL, &error), CM_OK);
    for (int64_t i = 0; i < d->n_pairs; i++) {
        index[i] = i;
        labels[i] = d->pairs[i].label;
    }
    labels[77] = NAN;
    for (size_t i = 0; i < sizeof learners / sizeof *learners; i++) {
        const cm_learner *learner;
        cm_model *model = NULL;
        cm_fit_request request = {.name = learners[i],
                                  .options = &o,
                                  .dataset = d,
                                  .features = features,
                                  .index = index,
                                  .n = d->n_pairs,
                                  .labels = labels};
        assert_int_equal(cm_learner_find(&learner, learners[i], &error), CM_OK);
        assert_int_equal(learner->fit(&model, &request, NULL, NULL, &error), CM_NUMERIC);
        assert_string_equal(error.place,
                            cm_format("pair %s, %s", d->pairs[77].id[0], d->pairs[77].id[1]).text);
        assert_string_equal(error.expected, "a finite label");
    }
    cm_features_destroy(features);
    cm_dataset_destroy(d);
    synthetic_remove(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),       cmocka_unit_test(test_roll_backs),
        cmocka_unit_test(test_divergence), cmocka_unit_test(test_ensemble),
        cmocka_unit_test(test_no_epoch),   cmocka_unit_test(test_labels),
        cmocka_unit_test(test_evaluation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
