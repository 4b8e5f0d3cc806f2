/* Checkpoints of training: what is read back, what is refused, and which of the two files is taken. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fail_alloc.h"
#include "io/sealed.h"
#include "train/checkpoint.h"
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STEPS = 40, EPOCH = 10 };
static const char KEY[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
static const char OTHER_KEY[] = "1123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

static char folder[64], path[96], previous[112];

static int make_folder(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/test_checkpoint_XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(path, sizeof path, "%s/run.checkpoint", folder);
    snprintf(previous, sizeof previous, "%s.previous", path);
    return 0;
}

static int remove_folder(void **state) {
    (void)state;
    return rmdir(folder);
}

static void remove_files(void) {
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

static run run_create(void) {
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

static void run_clear(run *r) {
    cm_free(r->state.best);
    cm_adamw_destroy(r->adamw);
    cm_params_destroy(r->params);
}

/* The state of a run after a number of steps: every value tells which. */
static void advance(run *r, int step) {
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

static void assert_at(const run *r, int step) {
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

static void write_at(run *r, int step) {
    cm_error error = {0};
    advance(r, step);
    assert_int_equal(cm_train_checkpoint_write(&r->checkpoint, r->params, r->adamw, &r->state, &error),
                     CM_OK);
}

static void keep_log(void *context, cm_log_level level, const char *line) {
    run *r = context;
    snprintf(r->logged + strlen(r->logged), sizeof r->logged - strlen(r->logged), "%s%s\n",
             level == CM_LOG_WARNING ? "warning: " : "", line);
}

static cm_status read_into(run *r, bool *found, cm_error *error) {
    cm_runtime runtime = {.log = keep_log, .context = r};
    r->logged[0] = '\0';
    *error = (cm_error){0};
    return cm_train_checkpoint_read(&r->checkpoint, r->params, r->adamw, &r->state, found, &runtime, error);
}

/* Reads into a run that has made one step; a refusal leaves it at that. */
static cm_status read_fresh(cm_error *error, int step) {
    run r = run_create();
    bool found = false;
    advance(&r, 1);
    cm_status status = read_into(&r, &found, error);
    assert_int_equal(found, status == CM_OK);
    assert_at(&r, status == CM_OK ? step : 1);
    run_clear(&r);
    return status;
}

static void assert_says(const cm_error *error, const char *part) {
    char line[1024];
    cm_error_line(error, line, sizeof line);
    if (!strstr(line, part)) fail_msg("'%s' does not hold '%s'", line, part);
}

/* ---- two files ---- */

static void test_last_two_states(void **state) {
    (void)state;
    run r = run_create();
    cm_error error;
    bool found = true;
    assert_int_equal(read_into(&r, &found, &error), CM_OK);
    assert_false(found);
    write_at(&r, 0); /* moments of 0 */
    assert_int_equal(read_fresh(&error, 0), CM_OK);
    remove_files();
    r.checkpoint.current = false;
    write_at(&r, 7);
    assert_int_equal(access(previous, F_OK), -1);
    for (int step = 8; step <= STEPS; step += 8) {
        write_at(&r, step);
        assert_int_equal(read_fresh(&error, step), CM_OK);
    }
    assert_int_equal(rename(previous, path), 0);
    assert_int_equal(read_fresh(&error, 32), CM_OK);
    write_at(&r, 33);
    assert_int_equal(cm_train_checkpoint_remove(path, &error), CM_OK);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(access(previous, F_OK), -1);
    assert_int_equal(cm_train_checkpoint_remove(path, &error), CM_OK);
    run_clear(&r);
}

/* A run that has not read what is at PATH does not know that it is whole: it is replaced, and what is at
 * PATH.previous stays. */
static void test_first_write_keeps_the_previous(void **state) {
    (void)state;
    run r = run_create();
    cm_error error;
    write_at(&r, 5);
    write_at(&r, 6);
    run_clear(&r);
    r = run_create();
    write_at(&r, 9);
    assert_int_equal(read_fresh(&error, 9), CM_OK);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(read_fresh(&error, 5), CM_OK);
    run_clear(&r);
    remove_files();
}

/* What is done to PATH and PATH.previous, of steps 12 and 11. */
typedef struct fall_row {
    const char *name;
    char last, before; /* w: whole, d: damaged, m: missing, f: of another key, e: empty */
    int step;          /* that is read; 0: none, -1: refused */
    const char *says;  /* the message or the log */
} fall_row;

static const fall_row fall_rows[] = {
    {"both whole", 'w', 'w', 12, ""},
    {"the first one", 'w', 'm', 12, ""},
    {"last damaged", 'd', 'w', 11, "run.checkpoint: sha256: found other contents: the file is damaged"},
    {"last empty", 'e', 'w', 11, "warning: "},
    {"between two renames", 'm', 'w', 11, "the last checkpoint was not finished"},
    {"previous damaged", 'w', 'd', 12, ""},
    {"both damaged", 'd', 'd', -1, "run.checkpoint.previous: sha256"},
    {"last damaged, no other", 'd', 'm', -1, "run.checkpoint: sha256"},
    {"last empty, no other", 'e', 'm', -1, "run.checkpoint: "},
    {"no last, previous damaged", 'm', 'd', -1, "run.checkpoint.previous: sha256"},
    {"last of another run", 'f', 'w', -1, "other data or options"},
    {"previous of another run", 'd', 'f', -1, "run.checkpoint.previous: key"},
    {"neither", 'm', 'm', 0, ""},
};

static void flip(const char *file, long at, int bit) {
    FILE *stream = fopen(file, "r+b");
    assert_non_null(stream);
    assert_int_equal(fseek(stream, at, at < 0 ? SEEK_END : SEEK_SET), 0);
    int byte = fgetc(stream) ^ 1 << bit;
    assert_int_equal(fseek(stream, at, at < 0 ? SEEK_END : SEEK_SET), 0);
    assert_int_equal(fputc(byte, stream), byte);
    assert_int_equal(fclose(stream), 0);
}

static void spoil(const char *file, char how) {
    if (how == 'd') flip(file, -1, 3);
    if (how == 'm') assert_int_equal(unlink(file), 0);
    if (how == 'e') assert_int_equal(truncate(file, 0), 0);
}

static void make_files(const fall_row *row) {
    run r = run_create();
    remove_files();
    if (row->before == 'f') r.checkpoint.key = OTHER_KEY;
    write_at(&r, 11);
    r.checkpoint.key = row->last == 'f' ? OTHER_KEY : KEY;
    write_at(&r, 12);
    spoil(path, row->last);
    spoil(previous, row->before);
    run_clear(&r);
}

static void check_fall(const fall_row *row) {
    run r = run_create();
    cm_error error;
    bool found = false;
    advance(&r, 1);
    cm_status status = read_into(&r, &found, &error);
    if (status != (row->step < 0 ? CM_DATA : CM_OK)) fail_msg("%s: status %d", row->name, (int)status);
    assert_int_equal(found, row->step > 0);
    assert_at(&r, row->step > 0 ? row->step : 1);
    if (row->step < 0)
        assert_says(&error, row->says);
    else if (!strstr(r.logged, row->says) || (row->step == 12 && r.logged[0]))
        fail_msg("%s: logged '%s'", row->name, r.logged);
    if (row->step == 11) assert_non_null(strstr(r.logged, "; going on from /tmp/test_checkpoint_"));
    run_clear(&r);
}

/* The state that was read is at PATH.previous still when the next one has been written beside it. */
static void check_next_write(const fall_row *row) {
    run r = run_create();
    cm_error error;
    bool found = false;
    assert_int_equal(read_into(&r, &found, &error), CM_OK);
    write_at(&r, 13);
    assert_int_equal(read_fresh(&error, 13), CM_OK);
    assert_int_equal(unlink(path), 0);
    if (row->before != 'm' || row->last == 'w') assert_int_equal(read_fresh(&error, row->step), CM_OK);
    run_clear(&r);
}

/* The error record may be missing; one that is given is only filled on failure. */
static void check_record(const fall_row *row) {
    run r = run_create();
    cm_error error = {.status = CM_OK, .found = "as it was"};
    bool found = false;
    cm_status wanted = row->step < 0 ? CM_DATA : CM_OK;
    assert_int_equal(cm_train_checkpoint_read(&r.checkpoint, r.params, r.adamw, &r.state, &found, NULL, NULL),
                     wanted);
    assert_int_equal(
        cm_train_checkpoint_read(&r.checkpoint, r.params, r.adamw, &r.state, &found, NULL, &error), wanted);
    assert_int_equal(error.status, wanted);
    if (row->step >= 0) assert_string_equal(error.found, "as it was");
    run_clear(&r);
}

static void test_which_file_is_taken(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof fall_rows / sizeof *fall_rows; i++) {
        make_files(&fall_rows[i]);
        check_record(&fall_rows[i]);
        check_fall(&fall_rows[i]);
        if (fall_rows[i].step > 0) check_next_write(&fall_rows[i]);
    }
    remove_files();
}

/* ---- damage ---- */

static size_t size_of(const char *file) {
    struct stat info;
    assert_int_equal(stat(file, &info), 0);
    return (size_t)info.st_size;
}

static void test_every_bit(void **state) {
    (void)state;
    run r = run_create();
    cm_error error;
    write_at(&r, 25);
    size_t size = size_of(path);
    for (size_t at = 0; at < size; at++)
        for (int bit = 0; bit < 8; bit++) {
            flip(path, (long)at, bit);
            cm_status status = read_fresh(&error, 25);
            if (status != CM_DATA)
                fail_msg("bit %d of byte %zu of %zu: status %d", bit, at, size, (int)status);
            assert_string_equal(error.file, path);
            flip(path, (long)at, bit);
        }
    assert_int_equal(read_fresh(&error, 25), CM_OK);
    run_clear(&r);
    remove_files();
}

/* A bit of every byte, and all of the version's digit: the previous one is taken. */
static void test_falls_at_every_byte(void **state) {
    (void)state;
    static char bytes[8192];
    run r = run_create();
    cm_error error;
    write_at(&r, 25);
    write_at(&r, 26);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    const char mark[] = "format_version\":\"";
    const char *version = memmem(bytes, size, mark, sizeof mark - 1);
    assert_non_null(version);
    size_t digit = (size_t)(version - bytes) + sizeof mark - 1;
    for (size_t i = 0; i < size + 8; i++) {
        size_t at = i < size ? i : digit;
        int bit = (int)(i < size ? i % 8 : i - size);
        flip(path, (long)at, bit);
        if (read_fresh(&error, 25) != CM_OK) fail_msg("bit %d of byte %zu of %zu", bit, at, size);
        flip(path, (long)at, bit);
    }
    assert_int_equal(read_fresh(&error, 26), CM_OK);
    run_clear(&r);
    remove_files();
}

static void test_every_length(void **state) {
    (void)state;
    run r = run_create();
    cm_error error;
    write_at(&r, 25);
    size_t size = size_of(path);
    assert_int_equal(truncate(path, (off_t)size + 1), 0);
    assert_int_equal(read_fresh(&error, 25), CM_DATA);
    for (size_t length = size; length-- > 0;) {
        assert_int_equal(truncate(path, (off_t)length), 0);
        assert_int_equal(read_fresh(&error, 25), CM_DATA);
        assert_string_equal(error.file, path);
    }
    run_clear(&r);
    remove_files();
}

/* ---- whole files with contents that no run of this kind has ---- */

enum { BLOCKS = 5, FIRST = 0, SECOND, BEST, PARAMETERS, COUNTERS };
enum {
    STEP,
    LOSS_SUM,
    LOSS_STEPS,
    BEST_LOSS,
    BEST_EPOCH,
    STOPPED_EARLY,
    SKIPPED,
    IN_ROW,
    ROLL_BACKS,
    ADAMW_STEPS,
    N_COUNTERS
};

typedef struct crafted {
    cm_tensor blocks[BLOCKS];
    double counters[N_COUNTERS];
    float values[4][64];
    int count, version;
    const char *key, *format;
} crafted;

typedef struct craft_row {
    const char *name;
    void (*change)(crafted *c, const struct craft_row *row);
    int number;
    double value;
    const char *says; /* NULL: accepted */
} craft_row;

static void set_counter(crafted *c, const craft_row *row) {
    c->counters[row->number] = row->value;
}

/* The last value of a block. */
static void set_value(crafted *c, const craft_row *row) {
    int64_t size = c->blocks[row->number].dims[0];
    c->values[row->number][size - 1] = (float)row->value;
}

static void set_version(crafted *c, const craft_row *row) {
    c->version = row->number;
}

static void set_other_key(crafted *c, const craft_row *row) {
    (void)row;
    c->key = OTHER_KEY;
}

static void set_other_format(crafted *c, const craft_row *row) {
    (void)row;
    c->format = "crossmamba something";
}

static void drop_block(crafted *c, const craft_row *row) {
    c->blocks[row->number] = c->blocks[--c->count];
}

/* A network of another size: a value more or less. */
static void resize_block(crafted *c, const craft_row *row) {
    c->blocks[row->number].dims[0] += (int64_t)row->value;
    c->blocks[row->number].bytes = (size_t)c->blocks[row->number].dims[0] * (row->number == COUNTERS ? 8 : 4);
}

static void retype_block(crafted *c, const craft_row *row) {
    cm_tensor *block = &c->blocks[row->number];
    block->dtype = row->value > 0 ? CM_DTYPE_I32 : CM_DTYPE_F16;
    block->dims[0] = (int64_t)(block->bytes / cm_dtype_bytes(block->dtype));
}

static void swap_bytes(crafted *c, const craft_row *row) {
    (void)row;
    unsigned char *bytes = (unsigned char *)c->counters;
    for (int i = 0; i < N_COUNTERS; i++)
        for (int k = 0; k < 4; k++) {
            unsigned char byte = bytes[8 * i + k];
            bytes[8 * i + k] = bytes[8 * i + 7 - k];
            bytes[8 * i + 7 - k] = byte;
        }
}

static const craft_row craft_rows[] = {
    {"as it was", set_counter, STEP, 25, NULL},
    {"a step later", set_counter, STEP, 26, NULL},
    {"the end of an epoch", set_counter, STEP, STEPS,
     "counter loss_steps: found 5, expected a whole number from 0 to 0"},
    {"steps of the loss beyond the epoch", set_counter, LOSS_STEPS, 6,
     "counter loss_steps: found 6, expected a whole number from 0 to 5"},
    {"steps of the loss negative", set_counter, LOSS_STEPS, -1, "counter loss_steps: found -1"},
    {"fewer steps of the loss", set_counter, LOSS_STEPS, 0, NULL},
    {"skipped negative", set_counter, SKIPPED, -1, "counter skipped: found -1"},
    {"skipped more than all", set_counter, SKIPPED, 26,
     "counter skipped: found 26, expected a whole number from 0 to 25"},
    {"skipped and made more than all", set_counter, SKIPPED, 5,
     "counter adamw_steps: found 21, expected a whole number from 0 to 20"},
    {"two in a row", set_counter, IN_ROW, 2, NULL},
    {"three in a row", set_counter, IN_ROW, 3,
     "counter in_row: found 3, expected a whole number from 0 to 2"},
    {"rolled back twice for four", set_counter, ROLL_BACKS, 2,
     "counter roll_backs: found 2, expected a whole number from 0 to 1"},
    {"rolled back a half", set_counter, ROLL_BACKS, 0.5, "counter roll_backs: found 0.5"},
    {"never rolled back", set_counter, ROLL_BACKS, 0, NULL},
    {"step negative", set_counter, STEP, -1, "counter step: found -1, expected a whole number from 0 to 40"},
    {"step beyond the run", set_counter, STEP, STEPS + 1, "counter step: found 41"},
    {"step with a fraction", set_counter, STEP, 25.5, "counter step: found 25.5"},
    {"step nan", set_counter, STEP, NAN, "counter step: found nan"},
    {"step infinite", set_counter, STEP, INFINITY, "counter step: found inf"},
    {"step beyond integers", set_counter, STEP, 1e300, "counter step: found 1e+300"},
    {"best epoch to come", set_counter, BEST_EPOCH, 3,
     "counter best_epoch: found 3, expected a whole number from 0 to 2"},
    {"best epoch negative", set_counter, BEST_EPOCH, -1, "counter best_epoch: found -1"},
    {"best epoch an earlier one", set_counter, BEST_EPOCH, 1, NULL},
    {"no best epoch, but a loss", set_counter, BEST_EPOCH, 0,
     "counter best_loss: found 0.04, expected inf, as there is no best epoch"},
    {"best loss infinite", set_counter, BEST_LOSS, INFINITY,
     "counter best_loss: found inf, expected a number"},
    {"best loss nan", set_counter, BEST_LOSS, NAN, "counter best_loss: found nan"},
    {"best loss negative", set_counter, BEST_LOSS, -0.5, NULL},
    {"loss nan", set_counter, LOSS_SUM, NAN, "counter loss_sum: found nan, expected a number"},
    {"loss infinite", set_counter, LOSS_SUM, -INFINITY, "counter loss_sum: found -inf"},
    {"stopped", set_counter, STOPPED_EARLY, 1, NULL},
    {"stopped 2", set_counter, STOPPED_EARLY, 2, "counter stopped_early: found 2"},
    {"stopped a half", set_counter, STOPPED_EARLY, 0.5, "counter stopped_early: found 0.5"},
    {"optimiser before the run", set_counter, ADAMW_STEPS, 22,
     "counter adamw_steps: found 22, expected a whole number from 0 to 21"},
    {"optimiser anew", set_counter, ADAMW_STEPS, 0, NULL},
    {"optimiser negative", set_counter, ADAMW_STEPS, -25, "counter adamw_steps: found -25"},
    {"weight nan", set_value, PARAMETERS, NAN, "tensor parameters, value "},
    {"weight infinite", set_value, PARAMETERS, INFINITY, ": found inf, expected a finite number"},
    {"best weight nan", set_value, BEST, NAN, "tensor best, value "},
    {"first moment nan", set_value, FIRST, NAN, "tensor adamw.m, value "},
    {"first moment negative", set_value, FIRST, -1, NULL},
    {"second moment infinite", set_value, SECOND, INFINITY, "tensor adamw.v, value "},
    {"second moment negative", set_value, SECOND, -1, "found -1, expected a finite number from 0 on"},
    {"older version", set_version, 1, 0,
     "format_version: found 1: a file of an older crossmamba, expected 2"},
    {"newer version", set_version, 3, 0, "format_version: found 3: a file of a newer crossmamba, expected 2"},
    {"version far away", set_version, 2147483647, 0, "2147483647: a file of a newer crossmamba"},
    {"version 0", set_version, 0, 0, "format_version: found 0, expected 2"},
    {"version negative", set_version, -2, 0, "format_version: found -2, expected 2"},
    {"another key", set_other_key, 0, 0, "key: found a checkpoint of other data or options"},
    {"another kind of file", set_other_format, 0, 0,
     "metadata: found another kind of file, expected a crossmamba checkpoint"},
    {"no counters", drop_block, COUNTERS, 0, "tensor counters: found none"},
    {"no weights", drop_block, PARAMETERS, 0, "tensor parameters: found none"},
    {"no best weights", drop_block, BEST, 0, "tensor best: found none"},
    {"no optimiser", drop_block, SECOND, 0, "tensor adamw.v: found none"},
    {"counter missing", resize_block, COUNTERS, -1,
     "tensor counters: found F64, 72 bytes, expected F64, 80 bytes"},
    {"a larger network", resize_block, PARAMETERS, 1, "tensor parameters: found F32, "},
    {"a smaller network", resize_block, BEST, -1, "tensor best: found F32, "},
    {"another optimiser", resize_block, FIRST, -16, "tensor adamw.m: found F32, "},
    {"half precision", retype_block, PARAMETERS, 0, "tensor parameters: found F16, "},
    {"integers", retype_block, PARAMETERS, 1, "tensor parameters: found I32, "},
    {"the other byte order", swap_bytes, 0, 0, "counter step: found "},
};

/* The blocks of a run after 25 steps. */
static void craft(crafted *c) {
    static const char *const names[BLOCKS] = {"adamw.m", "adamw.v", "best", "parameters", "counters"};
    run r = run_create();
    advance(&r, 25);
    int64_t size = cm_params_size(r.params);
    assert_true(size < 64);
    const float *data[4] = {cm_adamw_first(r.adamw), cm_adamw_second(r.adamw), r.state.best,
                            cm_params_values(r.params)};
    *c = (crafted){.count = BLOCKS, .version = 2, .key = KEY, .format = "crossmamba checkpoint"};
    memcpy(c->counters, (double[]){25, r.state.loss_sum, 5, r.state.best_loss, 2, 0, 4, 0, 1, 21},
           sizeof c->counters);
    for (int i = 0; i < BLOCKS; i++) {
        c->blocks[i] = (cm_tensor){names[i], CM_DTYPE_F32, 1, {size}, c->values[i], (size_t)size * 4};
        if (i < COUNTERS) memcpy(c->values[i], data[i], (size_t)size * 4);
    }
    c->blocks[COUNTERS] =
        (cm_tensor){names[COUNTERS], CM_DTYPE_F64, 1, {N_COUNTERS}, c->counters, sizeof c->counters};
    run_clear(&r);
}

static void check_crafted(const craft_row *row) {
    crafted c;
    run r = run_create();
    cm_error error;
    bool found = false;
    craft(&c);
    row->change(&c, row);
    cm_seal seal = {c.format, c.version, c.key, "", ""};
    assert_int_equal(cm_sealed_write(path, &seal, c.blocks, (size_t)c.count, &error), CM_OK);
    advance(&r, 1);
    cm_status status = read_into(&r, &found, &error);
    if (status != (row->says ? CM_DATA : CM_OK)) fail_msg("%s: status %d", row->name, (int)status);
    if (row->says) {
        assert_says(&error, row->says);
        assert_string_equal(error.file, path);
        assert_at(&r, 1);
    }
    run_clear(&r);
}

static void test_contents(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof craft_rows / sizeof *craft_rows; i++) check_crafted(&craft_rows[i]);
    remove_files();
}

static void test_files_that_are_none(void **state) {
    (void)state;
    cm_error error;
    assert_int_equal(mkdir(path, 0777), 0);
    assert_int_equal(read_fresh(&error, 0), CM_IO);
    assert_says(&error, "a directory");
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(mkfifo(path, 0666), 0);
    assert_int_equal(read_fresh(&error, 0), CM_IO);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("/dev/zero", path), 0);
    assert_int_equal(read_fresh(&error, 0), CM_IO);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink(path, path), 0); /* not even "not there" */
    assert_int_equal(read_fresh(&error, 0), CM_IO);
    assert_int_equal(unlink(path), 0);
}

/* ---- writing that fails ---- */

/* A full disk: the state before is still there and is read. */
static void test_full_disk(void **state) {
    (void)state;
    run r = run_create();
    cm_error error = {0};
    struct rlimit before, small;
    write_at(&r, 11);
    advance(&r, 12);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 512;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(cm_train_checkpoint_write(&r.checkpoint, r.params, r.adamw, &r.state, &error),
                         CM_IO);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_DFL);
    assert_string_equal(error.file, path);
    assert_int_equal(read_fresh(&error, 11), CM_OK);
    write_at(&r, 13);
    assert_int_equal(read_fresh(&error, 13), CM_OK);
    run_clear(&r);
    remove_files();
}

static void test_folder_removed(void **state) {
    (void)state;
    run r = run_create();
    cm_error error = {0};
    write_at(&r, 11);
    remove_files();
    assert_int_equal(rmdir(folder), 0);
    assert_int_equal(cm_train_checkpoint_write(&r.checkpoint, r.params, r.adamw, &r.state, &error), CM_IO);
    assert_string_equal(error.file, path);
    assert_int_equal(cm_train_checkpoint_remove(path, &error), CM_OK);
    assert_int_equal(mkdir(folder, 0777), 0);
    run_clear(&r);
}

static void test_previous_cannot_be_kept(void **state) {
    (void)state;
    run r = run_create();
    cm_error error = {0};
    char inside[128];
    snprintf(inside, sizeof inside, "%s/x", previous);
    write_at(&r, 11);
    assert_int_equal(mkdir(previous, 0777), 0);
    assert_int_equal(mkdir(inside, 0777), 0);
    advance(&r, 12);
    assert_int_equal(cm_train_checkpoint_write(&r.checkpoint, r.params, r.adamw, &r.state, &error), CM_IO);
    assert_says(&error, "cannot keep the checkpoint before");
    assert_int_equal(cm_train_checkpoint_remove(path, &error), CM_IO);
    assert_says(&error, "cannot remove");
    assert_int_equal(rmdir(inside), 0);
    assert_int_equal(rmdir(previous), 0);
    assert_int_equal(read_fresh(&error, 11), CM_OK);
    run_clear(&r);
    remove_files();
}

static void test_out_of_memory(void **state) {
    (void)state;
    run r = run_create();
    cm_error error = {0};
    write_at(&r, 11);
    write_at(&r, 12);
    for (long n = 0;; n++) {
        bool found;
        run fresh = run_create();
        advance(&fresh, 1);
        fail_alloc_from(n);
        cm_status status = read_into(&fresh, &found, &error);
        bool failed = fail_alloc_stop();
        assert_int_equal(status, failed ? CM_MEMORY : CM_OK);
        assert_at(&fresh, failed ? 1 : 12);
        run_clear(&fresh);
        if (!failed) break;
    }
    for (long n = 0;; n++) {
        advance(&r, 13);
        fail_alloc_from(n);
        cm_status status = cm_train_checkpoint_write(&r.checkpoint, r.params, r.adamw, &r.state, &error);
        if (!fail_alloc_stop()) break;
        assert_int_equal(status, CM_MEMORY);
        assert_int_equal(read_fresh(&error, 12), CM_OK);
    }
    run_clear(&r);
    remove_files();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_last_two_states),
        cmocka_unit_test(test_first_write_keeps_the_previous),
        cmocka_unit_test(test_which_file_is_taken),
        cmocka_unit_test(test_every_bit),
        cmocka_unit_test(test_falls_at_every_byte),
        cmocka_unit_test(test_every_length),
        cmocka_unit_test(test_contents),
        cmocka_unit_test(test_files_that_are_none),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_folder_removed),
        cmocka_unit_test(test_previous_cannot_be_kept),
        cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
