/* train/checkpoint and io/sealed: a checkpoint of training, as it is and sealed anew, so that what lies
 * behind the hash is reached. What is read must be such as a run can have; what is refused must leave the run
 * alone. */
#include "input.h"

#include "io/sealed.h"
#include "train/checkpoint.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SIZE = 16, STEPS = 40, EPOCH = 10 };

#ifdef FUZZ_LIBFUZZER
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed) {
    return fuzz_mutate_header(data, size, max_size, seed);
}
#endif

/* A run of one parameter with SIZE values, made once. */
typedef struct run {
    cm_params *params;
    cm_adamw *adamw;
    cm_train_state state;
    float best[SIZE];
} run;

static void make_run(run *r) {
    r->params = cm_params_create();
    if (!r->params || cm_params_add(r->params, "w", 1, (int64_t[]){SIZE}, true) < 0) abort();
    if (cm_params_seal(r->params, NULL) != CM_OK || cm_params_size(r->params) != SIZE) abort();
    r->adamw = cm_adamw_create(r->params);
    if (!r->adamw) abort();
    r->state.best = r->best;
}

static float *const *blocks_of(const run *r) {
    static float *blocks[4];
    blocks[0] = cm_params_values(r->params);
    blocks[1] = cm_adamw_first(r->adamw);
    blocks[2] = cm_adamw_second(r->adamw);
    blocks[3] = r->state.best;
    return blocks;
}

static void clear_run(run *r) {
    for (int i = 0; i < 4; i++) memset(blocks_of(r)[i], 0, SIZE * sizeof(float));
    cm_adamw_set_steps(r->adamw, 0);
    r->state = (cm_train_state){.best = r->best, .best_loss = INFINITY};
}

static void check_read(const run *r) {
    const cm_train_state *s = &r->state;
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < SIZE; k++)
            if (!isfinite(blocks_of(r)[i][k])) abort();
    if (s->step < 0 || s->step > STEPS || s->best_epoch < 0 || s->best_epoch > s->step / EPOCH) abort();
    if (s->skipped < 0 || s->skipped > s->step || s->in_row < 0 || s->in_row >= CM_SKIPS_IN_ROW) abort();
    if (s->roll_backs < 0 || s->roll_backs > CM_ROLL_BACKS || !isfinite(s->loss_sum)) abort();
    if (cm_adamw_steps(r->adamw) < 0 || cm_adamw_steps(r->adamw) > s->step) abort();
    if (isfinite(s->best_loss) != (s->best_epoch > 0)) abort();
}

static void check_refused(const run *r, const cm_error *error) {
    for (int i = 0; i < 4; i++)
        for (int k = 0; k < SIZE; k++)
            if (blocks_of(r)[i][k] != 0) abort();
    if (r->state.step != 0 || cm_adamw_steps(r->adamw) != 0 || !error->file[0]) abort();
}

static void read_one(const void *data, size_t size) {
    static run r;
    if (!r.params) make_run(&r);
    clear_run(&r);
    cm_train_checkpoint checkpoint = {fuzz_file(0, data, size), "fuzz", STEPS, EPOCH, false};
    cm_error error = {0};
    bool found = false;
    if (cm_train_checkpoint_read(&checkpoint, r.params, r.adamw, &r.state, &found, NULL, &error) == CM_OK)
        check_read(&r);
    else
        check_refused(&r, &error);
}

/* Puts the right hash in the place of the one that the header has; false when it has none. */
static bool seal_anew(uint8_t *data, size_t size) {
    cm_safetensors *file = NULL;
    char hex[65];
    if (cm_safetensors_read(&file, data, size, "input", NULL) != CM_OK) return false;
    const char *old = cm_safetensors_metadata(file, "sha256");
    bool fits = old && strlen(old) == 64 && cm_sealed_hash(file, hex);
    uint8_t *at = fits ? memmem(data, size, old, 64) : NULL;
    if (at) memcpy(at, hex, 64);
    cm_safetensors_close(file);
    return at != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    fuzz_limit_memory(size);
    read_one(data, size);
    uint8_t *copy = malloc(size + 1);
    if (!copy) abort();
    if (size > 0) memcpy(copy, data, size);
    if (seal_anew(copy, size)) read_one(copy, size);
    free(copy);
    return 0;
}
