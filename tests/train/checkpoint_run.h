/* A run of training with two parameters, and its checkpoint in a folder of its own: what the tests of
 * train/checkpoint share. Include after cmocka.h. */
#ifndef TESTS_CHECKPOINT_RUN_H
#define TESTS_CHECKPOINT_RUN_H

#include "base/alloc.h"
#include "train/checkpoint.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { STEPS = 40, EPOCH = 10 };
static const char KEY[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
static const char OTHER_KEY[] = "1123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

static char folder[64], path[96], previous[112];

static inline int make_folder(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/test_checkpoint_XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/run.checkpoint", folder);
    snprintf(previous, sizeof previous, "%s.previous", path);
    return 0;
}

static inline int remove_folder(void **state) {
    (void)state;
    return rmdir(folder);
}

static inline void remove_files(void) {
    unlink(path);
    unlink(previous);
}

/* ---- a run ---- */

typedef struct run {
    cm_params *params;
    cm_adamw *adamw;
    cm_train_state state;
    cm_train_checkpoint checkpoint;
    char logged[2048];
} run;

static inline run run_create(void) {
    run r = {.params = cm_params_create(), .checkpoint = {path, KEY, STEPS, EPOCH, false}};
    assert_true(cm_params_add(r.params, "w", 2, (int64_t[]){3, 7}, true) >= 0);
    assert_true(cm_params_add(r.params, "b", 1, (int64_t[]){3}, false) >= 0);
    assert_int_equal(cm_params_seal(r.params, NULL), CM_OK);
    r.adamw = cm_adamw_create(r.params);
    assert_non_null(r.adamw);
    r.state.best = cm_new((size_t)cm_params_size(r.params), sizeof(float));
    r.state.best_loss = INFINITY;
    return r;
}

static inline void run_clear(run *r) {
    cm_free(r->state.best);
    cm_adamw_destroy(r->adamw);
    cm_params_destroy(r->params);
}

/* The state of a run after a number of steps: every value tells which. */
static inline void advance(run *r, int step) {
    for (int64_t i = 0; i < cm_params_size(r->params); i++) {
        float x = (float)step + (float)i / 64;
        cm_params_values(r->params)[i] = -x;
        cm_adamw_first(r->adamw)[i] = x / 2;
        cm_adamw_second(r->adamw)[i] = x / 4;
        r->state.best[i] = x + 1000;
    }
    r->state.step = step;
    r->state.loss_sum = 0.125 * step;
    r->state.loss_steps = step % EPOCH;
    r->state.skipped = step / 6;
    r->state.in_row = step > 12 ? step % 5 / 2 : 0;
    r->state.roll_backs = r->state.skipped / CM_SKIPS_IN_ROW;
    cm_adamw_set_steps(r->adamw, step - r->state.skipped);
    r->state.best_epoch = step / EPOCH;
    r->state.best_loss = r->state.best_epoch > 0 ? 1.0 / step : INFINITY;
    r->state.stopped_early = false;
}

static inline void assert_at(const run *r, int step) {
    run wanted = run_create();
    size_t bytes = (size_t)cm_params_size(r->params) * sizeof(float);
    advance(&wanted, step);
    assert_memory_equal(cm_params_values(r->params), cm_params_values(wanted.params), bytes);
    assert_memory_equal(cm_adamw_first(r->adamw), cm_adamw_first(wanted.adamw), bytes);
    assert_memory_equal(cm_adamw_second(r->adamw), cm_adamw_second(wanted.adamw), bytes);
    assert_memory_equal(r->state.best, wanted.state.best, bytes);
    assert_int_equal(cm_adamw_steps(r->adamw), cm_adamw_steps(wanted.adamw));
    assert_int_equal(r->state.step, step);
    assert_int_equal(r->state.loss_steps, wanted.state.loss_steps);
    assert_int_equal(r->state.skipped, wanted.state.skipped);
    assert_int_equal(r->state.in_row, wanted.state.in_row);
    assert_int_equal(r->state.roll_backs, wanted.state.roll_backs);
    assert_true(r->state.loss_sum == wanted.state.loss_sum && r->state.best_loss == wanted.state.best_loss);
    assert_int_equal(r->state.best_epoch, wanted.state.best_epoch);
    assert_int_equal(r->state.stopped_early, wanted.state.stopped_early);
    run_clear(&wanted);
}

static inline void write_at(run *r, int step) {
    cm_error error = {0};
    advance(r, step);
    assert_int_equal(cm_train_checkpoint_write(&r->checkpoint, r->params, r->adamw, &r->state, &error),
                     CM_OK);
}

static inline void keep_log(void *context, cm_log_level level, const char *line) {
    run *r = context;
    snprintf(r->logged + strlen(r->logged), sizeof r->logged - strlen(r->logged), "%s%s\n",
             level == CM_LOG_WARNING ? "warning: " : "", line);
}

static inline cm_status read_into(run *r, bool *found, cm_error *error) {
    cm_runtime runtime = {.log = keep_log, .context = r};
    r->logged[0] = '\0';
    *error = (cm_error){0};
    return cm_train_checkpoint_read(&r->checkpoint, r->params, r->adamw, &r->state, found, &runtime, error);
}

/* Reads into a run that has made one step; a refusal leaves it at that. */
static inline cm_status read_fresh(cm_error *error, int step) {
    run r = run_create();
    bool found = false;
    advance(&r, 1);
    cm_status status = read_into(&r, &found, error);
    assert_int_equal(found, status == CM_OK);
    assert_at(&r, status == CM_OK ? step : 1);
    run_clear(&r);
    return status;
}

static inline void assert_says(const cm_error *error, const char *part) {
    char line[1024];
    cm_error_line(error, line, sizeof line);
    if (!strstr(line, part)) fail_msg("'%s' does not hold '%s'", line, part);
}

#endif
