/* Checkpoints: sealed files with the flat blocks and the counters. */
#include "train/checkpoint.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "base/log.h"
#include "io/sealed.h"
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { FORMAT_VERSION = 2 };

/* ---- what a file holds ---- */

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
    COUNTERS
};
enum { FIRST, SECOND, BEST, PARAMETERS, COUNTER_BLOCK, BLOCKS };

static const char *const counter_names[COUNTERS] = {"step",       "loss_sum",      "loss_steps", "best_loss",
                                                    "best_epoch", "stopped_early", "skipped",    "in_row",
                                                    "roll_backs", "adamw_steps"};
static const char *const block_names[BLOCKS] = {"adamw.m", "adamw.v", "best", "parameters", "counters"};

static void pack_counters(double c[COUNTERS], cm_adamw *adamw, const cm_train_state *s) {
    c[STEP] = (double)s->step;
    c[LOSS_SUM] = s->loss_sum;
    c[LOSS_STEPS] = (double)s->loss_steps;
    c[BEST_LOSS] = s->best_loss;
    c[BEST_EPOCH] = (double)s->best_epoch;
    c[STOPPED_EARLY] = s->stopped_early;
    c[SKIPPED] = (double)s->skipped;
    c[IN_ROW] = (double)s->in_row;
    c[ROLL_BACKS] = (double)s->roll_backs;
    c[ADAMW_STEPS] = (double)cm_adamw_steps(adamw);
}

static void unpack_counters(const double c[COUNTERS], cm_adamw *adamw, cm_train_state *s) {
    s->step = (int64_t)c[STEP];
    s->loss_sum = c[LOSS_SUM];
    s->loss_steps = (int64_t)c[LOSS_STEPS];
    s->best_loss = c[BEST_LOSS];
    s->best_epoch = (int64_t)c[BEST_EPOCH];
    s->stopped_early = c[STOPPED_EARLY] != 0;
    s->skipped = (int64_t)c[SKIPPED];
    s->in_row = (int64_t)c[IN_ROW];
    s->roll_backs = (int64_t)c[ROLL_BACKS];
    cm_adamw_set_steps(adamw, (int64_t)c[ADAMW_STEPS]);
}

/* The blocks of a checkpoint in the order of block_names. */
static void describe_blocks(cm_tensor blocks[BLOCKS], const cm_params *params, cm_adamw *adamw,
                            const cm_train_state *state, double counters[COUNTERS]) {
    int64_t size = cm_params_size(params);
    const float *data[BLOCKS] = {cm_adamw_first(adamw), cm_adamw_second(adamw), state->best,
                                 cm_params_values(params), NULL};
    for (int i = 0; i < BLOCKS; i++)
        blocks[i] = (cm_tensor){.name = block_names[i],
                                .dtype = CM_DTYPE_F32,
                                .n_dims = 1,
                                .dims = {size},
                                .data = data[i],
                                .bytes = (size_t)size * sizeof(float)};
    blocks[COUNTER_BLOCK].dtype = CM_DTYPE_F64;
    blocks[COUNTER_BLOCK].dims[0] = COUNTERS;
    blocks[COUNTER_BLOCK].data = counters;
    blocks[COUNTER_BLOCK].bytes = COUNTERS * sizeof(double);
}

static cm_seal seal_of(const cm_train_checkpoint *checkpoint) {
    return (cm_seal){.format = "crossmamba checkpoint",
                     .version = FORMAT_VERSION,
                     .key = checkpoint->key,
                     .mine = "a checkpoint of this data, these options and this version",
                     .other =
                         "a checkpoint of other data or options (delete it, or give another --checkpoint)"};
}

/* PATH.previous; false: out of memory. */
static bool previous_path(cm_buf *previous, const char *path) {
    return cm_buf_printf(previous, "%s.previous", path);
}

/* ---- writing ---- */

/* What is at PATH becomes the previous state. */
static cm_status keep_current(const char *path, cm_error *error) {
    cm_buf previous = CM_BUF_EMPTY;
    cm_status status = CM_OK;
    if (!previous_path(&previous, path))
        status = cm_fail_memory(error, 0);
    else if (rename(path, previous.data) != 0 && errno != ENOENT)
        status = cm_fail_errno(error, path, "cannot keep the checkpoint before", errno);
    cm_buf_clear(&previous);
    return status;
}

cm_status cm_train_checkpoint_write(cm_train_checkpoint *checkpoint, const cm_params *params, cm_adamw *adamw,
                                    const cm_train_state *state, cm_error *error) {
    double counters[COUNTERS];
    cm_tensor blocks[BLOCKS];
    cm_seal seal = seal_of(checkpoint);
    pack_counters(counters, adamw, state);
    describe_blocks(blocks, params, adamw, state, counters);
    if (checkpoint->current) CM_TRY(keep_current(checkpoint->path, error));
    checkpoint->current = false;
    CM_TRY(cm_sealed_write(checkpoint->path, &seal, blocks, BLOCKS, error));
    checkpoint->current = true;
    return CM_OK;
}

/* ---- reading ---- */

static cm_status bad_counter(const char *path, int i, const char *expected, double value, cm_error *error) {
    return cm_fail(error, CM_DATA, path, cm_format("counter %s", counter_names[i]).text, expected, "%g",
                   value);
}

/* Counters that a run of this length can have. */
static cm_status check_counters(const cm_train_checkpoint *checkpoint, const double c[COUNTERS],
                                cm_error *error) {
    const double epochs = floor(c[STEP] / (double)checkpoint->epoch_steps);
    const struct {
        int counter;
        double most;
    } whole[] = {{STEP, (double)checkpoint->n_steps},
                 {LOSS_STEPS, c[STEP] - epochs * (double)checkpoint->epoch_steps},
                 {BEST_EPOCH, epochs},
                 {STOPPED_EARLY, 1},
                 {SKIPPED, c[STEP]},
                 {IN_ROW, fmin(c[SKIPPED], CM_SKIPS_IN_ROW - 1)},
                 {ROLL_BACKS, fmin(floor(c[SKIPPED] / CM_SKIPS_IN_ROW), CM_ROLL_BACKS)},
                 {ADAMW_STEPS, c[STEP] - c[SKIPPED]}};
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++) {
        double value = c[whole[i].counter];
        if (!(value >= 0 && value <= whole[i].most) || value != floor(value))
            return bad_counter(checkpoint->path, whole[i].counter,
                               cm_format("a whole number from 0 to %g", whole[i].most).text, value, error);
    }
    if (!isfinite(c[LOSS_SUM]))
        return bad_counter(checkpoint->path, LOSS_SUM, "a number", c[LOSS_SUM], error);
    bool none = c[BEST_EPOCH] == 0;
    if (none ? c[BEST_LOSS] != INFINITY : !isfinite(c[BEST_LOSS]))
        return bad_counter(checkpoint->path, BEST_LOSS, none ? "inf, as there is no best epoch" : "a number",
                           c[BEST_LOSS], error);
    return CM_OK;
}

/* Weights and moments are numbers, second moments not negative. */
static cm_status check_values(const char *path, const cm_tensor *block, bool negative, cm_error *error) {
    const float *values = block->data;
    for (size_t i = 0; i < block->bytes / sizeof *values; i++)
        if (!isfinite(values[i]) || (!negative && values[i] < 0))
            return cm_fail(error, CM_DATA, path, cm_format("tensor %s, value %zu", block->name, i).text,
                           negative ? "a finite number" : "a finite number from 0 on", "%g",
                           (double)values[i]);
    return CM_OK;
}

/* Copies the file's block to where want lies. */
static cm_status copy_block(const cm_safetensors *file, const char *path, const cm_tensor *want,
                            cm_error *error) {
    const cm_tensor *have = cm_safetensors_find(file, want->name);
    if (!have)
        return cm_fail(error, CM_DATA, path, cm_format("tensor %s", want->name).text, "a tensor", "none");
    if (have->dtype != want->dtype || have->bytes != want->bytes)
        return cm_fail(error, CM_DATA, path, cm_format("tensor %s", want->name).text,
                       cm_format("%s, %zu bytes", cm_dtype_name(want->dtype), want->bytes).text,
                       "%s, %zu bytes", cm_dtype_name(have->dtype), have->bytes);
    if (want->bytes > 0) memcpy((void *)(uintptr_t)want->data, have->data, want->bytes);
    return CM_OK;
}

/* The blocks of the sealed file, checked, into memory of their own. */
static cm_status read_blocks(const cm_train_checkpoint *checkpoint, const cm_safetensors *file,
                             const cm_tensor blocks[BLOCKS], cm_error *error) {
    for (int i = 0; i < BLOCKS; i++) CM_TRY(copy_block(file, checkpoint->path, &blocks[i], error));
    CM_TRY(check_counters(checkpoint, blocks[COUNTER_BLOCK].data, error));
    for (int i = 0; i < COUNTER_BLOCK; i++)
        CM_TRY(check_values(checkpoint->path, &blocks[i], i != SECOND, error));
    return CM_OK;
}

/* Fills staged: the blocks one behind another. */
static cm_status read_file(const cm_train_checkpoint *checkpoint, cm_tensor blocks[BLOCKS], float *staged,
                           bool *foreign, cm_error *error) {
    cm_safetensors *file = NULL;
    cm_seal seal = seal_of(checkpoint);
    for (int i = 0; i < COUNTER_BLOCK; i++)
        blocks[i].data = staged + (size_t)i * (blocks[i].bytes / sizeof(float));
    CM_TRY(cm_sealed_open(&file, checkpoint->path, &seal, foreign, error));
    cm_status status = read_blocks(checkpoint, file, blocks, error);
    cm_safetensors_close(file);
    return status;
}

/* The state in the file of checkpoint, which is there; nothing is touched on failure. */
static cm_status read_state(const cm_train_checkpoint *checkpoint, const cm_params *params, cm_adamw *adamw,
                            cm_train_state *state, bool *foreign, cm_error *error) {
    double counters[COUNTERS];
    cm_tensor own[BLOCKS], in[BLOCKS];
    describe_blocks(own, params, adamw, state, counters);
    memcpy(in, own, sizeof in);
    float *staged = cm_new_aligned(COUNTER_BLOCK * (size_t)cm_params_size(params), sizeof *staged);
    if (!staged) return cm_fail_memory(error, COUNTER_BLOCK * own[0].bytes);
    cm_status status = read_file(checkpoint, in, staged, foreign, error);
    for (int i = 0; i < COUNTER_BLOCK && status == CM_OK; i++)
        memcpy((void *)(uintptr_t)own[i].data, in[i].data, own[i].bytes);
    if (status == CM_OK) unpack_counters(counters, adamw, state);
    cm_free(staged);
    return status;
}

static cm_status is_there(const char *path, bool *there, cm_error *error) {
    *there = access(path, F_OK) == 0;
    return *there || errno == ENOENT ? CM_OK : cm_fail_errno(error, path, "cannot open", errno);
}

static cm_status hand_over(const cm_error *own, cm_error *error) {
    if (error) *error = *own;
    return own->status;
}

/* Reads PATH.previous, in place of a PATH that is not there or of which damage says what is wrong (status
 * CM_OK: nothing). */
static cm_status read_previous(const cm_train_checkpoint *checkpoint, const cm_error *damage,
                               const cm_params *params, cm_adamw *adamw, cm_train_state *state, bool *found,
                               const cm_runtime *runtime, cm_error *error) {
    bool damaged = damage->status != CM_OK, foreign = false;
    char line[1024];
    CM_TRY(is_there(checkpoint->path, found, error));
    if (!*found) return damaged ? hand_over(damage, error) : CM_OK;
    *found = false;
    cm_log(runtime, damaged ? CM_LOG_WARNING : CM_LOG_INFO, "%s; going on from %s",
           damaged ? cm_error_line(damage, line, sizeof line) : "the last checkpoint was not finished",
           checkpoint->path);
    CM_TRY(read_state(checkpoint, params, adamw, state, &foreign, error));
    *found = true;
    return CM_OK;
}

cm_status cm_train_checkpoint_read(cm_train_checkpoint *checkpoint, const cm_params *params, cm_adamw *adamw,
                                   cm_train_state *state, bool *found, const cm_runtime *runtime,
                                   cm_error *error) {
    bool foreign = false;
    cm_error damage = {.status = CM_OK};
    CM_TRY(is_there(checkpoint->path, found, error));
    checkpoint->current = false;
    if (*found) {
        checkpoint->current = read_state(checkpoint, params, adamw, state, &foreign, &damage) == CM_OK;
        if (checkpoint->current) return CM_OK;
        *found = false;
        if (foreign || damage.status == CM_MEMORY) return hand_over(&damage, error);
    }
    cm_buf previous = CM_BUF_EMPTY;
    cm_train_checkpoint older = *checkpoint;
    cm_status status = previous_path(&previous, checkpoint->path) ? CM_OK : cm_fail_memory(error, 0);
    older.path = previous.data;
    if (status == CM_OK) status = read_previous(&older, &damage, params, adamw, state, found, runtime, error);
    cm_buf_clear(&previous);
    return status;
}

bool cm_train_checkpoint_exists(const char *path) {
    cm_buf previous = CM_BUF_EMPTY;
    bool there =
        access(path, F_OK) == 0 || (previous_path(&previous, path) && access(previous.data, F_OK) == 0);
    cm_buf_clear(&previous);
    return there;
}

/* ---- cleaning ---- */

static cm_status remove_file(const char *path, cm_error *error) {
    return unlink(path) == 0 || errno == ENOENT ? CM_OK : cm_fail_errno(error, path, "cannot remove", errno);
}

cm_status cm_train_checkpoint_remove(const char *path, cm_error *error) {
    cm_buf previous = CM_BUF_EMPTY;
    cm_status status =
        previous_path(&previous, path) ? remove_file(previous.data, error) : cm_fail_memory(error, 0);
    if (status == CM_OK) status = remove_file(path, error);
    cm_buf_clear(&previous);
    return status;
}
