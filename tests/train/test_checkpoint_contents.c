/* Checkpoints that are whole, with contents that no run of this kind has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "checkpoint_run.h"
#include "io/sealed.h"

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

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_contents)};
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
