/* Checkpoints: a safetensors file with the flat blocks and the counters, sealed by a hash. */
#include "train/checkpoint.h"
#include "base/alloc.h"
#include "base/sha256.h"
#include "io/safetensors.h"
#include <math.h>
#include <string.h>
#include <unistd.h>

enum { COUNTERS = 6, BLOCKS = 5 };

static const char *const block_names[BLOCKS] = {"adamw.m", "adamw.v", "best", "counters", "parameters"};

static void pack_counters(double c[COUNTERS], cm_adamw *adamw, const cm_train_state *s) {
    c[0] = (double)s->step;
    c[1] = s->loss_sum;
    c[2] = s->best_loss;
    c[3] = (double)s->best_epoch;
    c[4] = s->stopped_early;
    c[5] = (double)cm_adamw_steps(adamw);
}

/* The blocks of a checkpoint in the order of block_names. */
static void describe_blocks(cm_tensor blocks[BLOCKS], const cm_params *params, cm_adamw *adamw,
                            const cm_train_state *state, double counters[COUNTERS]) {
    int64_t size = cm_params_size(params);
    const float *data[BLOCKS] = {cm_adamw_first(adamw), cm_adamw_second(adamw), state->best, NULL,
                                 cm_params_values(params)};
    for (int i = 0; i < BLOCKS; i++)
        blocks[i] = (cm_tensor){.name = block_names[i],
                                .dtype = CM_DTYPE_F32,
                                .n_dims = 1,
                                .dims = {size},
                                .data = data[i],
                                .bytes = (size_t)size * sizeof(float)};
    blocks[3].dtype = CM_DTYPE_F64;
    blocks[3].dims[0] = COUNTERS;
    blocks[3].data = counters;
    blocks[3].bytes = COUNTERS * sizeof(double);
}

static bool seal(const cm_tensor blocks[BLOCKS], const char *key, char hex[65]) {
    cm_sha256 *hash = cm_sha256_create();
    if (!hash) return false;
    cm_sha256_add(hash, key, strlen(key));
    for (int i = 0; i < BLOCKS; i++) cm_sha256_add(hash, blocks[i].data, blocks[i].bytes);
    cm_sha256_finish(hash, hex);
    return true;
}

cm_status cm_checkpoint_write(const char *path, const char *key, const cm_params *params, cm_adamw *adamw,
                              const cm_train_state *state, cm_error *error) {
    double counters[COUNTERS];
    cm_tensor blocks[BLOCKS];
    char hex[65];
    pack_counters(counters, adamw, state);
    describe_blocks(blocks, params, adamw, state, counters);
    if (!seal(blocks, key, hex)) return cm_fail_memory(error, 0);
    cm_metadata_entry metadata[] = {
        {"format", "crossmamba checkpoint"}, {"format_version", "1"}, {"key", key}, {"sha256", hex}};
    return cm_safetensors_write(path, blocks, BLOCKS, metadata, sizeof metadata / sizeof *metadata, error);
}

static cm_status damaged(const char *path, const char *place, const char *expected, const char *found,
                         cm_error *error) {
    return cm_fail(error, CM_DATA, path, place, expected, "%s", found);
}

/* Every block with its type and size, the key and the hash; *in gets the file's blocks. */
static cm_status check_file(const cm_safetensors *file, const char *path, const char *key,
                            const cm_tensor want[BLOCKS], cm_tensor in[BLOCKS], cm_error *error) {
    const char *format = cm_safetensors_metadata(file, "format");
    const char *found_key = cm_safetensors_metadata(file, "key"),
               *found_hash = cm_safetensors_metadata(file, "sha256");
    if (!format || strcmp(format, "crossmamba checkpoint") != 0 || !found_key || !found_hash)
        return damaged(path, "metadata", "a crossmamba checkpoint", "another kind of file", error);
    if (strcmp(found_key, key) != 0)
        return damaged(path, "key", "a checkpoint of this data, these options and this version",
                       "a checkpoint of other data or options (delete it, or give another --checkpoint)",
                       error);
    for (int i = 0; i < BLOCKS; i++) {
        const cm_tensor *have = cm_safetensors_find(file, want[i].name);
        if (!have || have->dtype != want[i].dtype || have->bytes != want[i].bytes)
            return damaged(path, want[i].name, "a tensor of the network's size", "none of that type and size",
                           error);
        in[i] = *have;
    }
    char hex[65];
    if (!seal(in, key, hex)) return cm_fail_memory(error, 0);
    if (strcmp(hex, found_hash) != 0)
        return damaged(path, "sha256", found_hash, "other contents: the file is damaged", error);
    return CM_OK;
}

cm_status cm_checkpoint_read(const char *path, const char *key, cm_params *params, cm_adamw *adamw,
                             cm_train_state *state, bool *found, cm_error *error) {
    *found = access(path, F_OK) == 0;
    if (!*found) return CM_OK;
    cm_safetensors *file = NULL;
    CM_TRY(cm_safetensors_open(&file, path, error));
    double c[COUNTERS];
    cm_tensor want[BLOCKS], in[BLOCKS];
    describe_blocks(want, params, adamw, state, c);
    cm_status status = check_file(file, path, key, want, in, error);
    if (status == CM_OK) {
        for (int i = 0; i < BLOCKS; i++) memcpy((void *)(uintptr_t)want[i].data, in[i].data, in[i].bytes);
        state->step = (int64_t)c[0];
        state->loss_sum = c[1];
        state->best_loss = c[2];
        state->best_epoch = (int64_t)c[3];
        state->stopped_early = c[4] != 0;
        cm_adamw_set_steps(adamw, (int64_t)c[5]);
    }
    cm_safetensors_close(file);
    return status;
}
