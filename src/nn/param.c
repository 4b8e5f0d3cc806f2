/* Named parameters in one flat block. */
#include "nn/param.h"
#include "base/alloc.h"
#include "base/map.h"
#include "base/rng.h"
#include <string.h>

enum { CM_PARAM_ALIGNMENT = 16 /* floats: 64 bytes */ };

struct cm_params {
    cm_param *items;
    int count, capacity;
    cm_map *numbers; /* name -> number */
    float *values, *grads;
    int64_t size;
    bool failed, sealed;
};

cm_params *cm_params_create(void) {
    cm_params *params = cm_new(1, sizeof *params);
    if (!params) return NULL;
    params->numbers = cm_map_create();
    if (!params->numbers) {
        cm_free(params);
        return NULL;
    }
    return params;
}

void cm_params_destroy(cm_params *params) {
    if (!params) return;
    for (int i = 0; i < params->count; i++) cm_free(params->items[i].name);
    cm_free(params->items);
    cm_map_destroy(params->numbers);
    cm_free(params->values);
    cm_free(params->grads);
    cm_free(params);
}

/* Elements of dims rounded up to the alignment in *padded; false when they do not fit. */
static bool count_elements(int n_dims, const int64_t *dims, int64_t *count, int64_t *padded) {
    size_t product = 1, bytes;
    for (int i = 0; i < n_dims; i++)
        if (dims[i] <= 0 || !cm_size_mul(product, (size_t)dims[i], &product)) return false;
    if (!cm_size_mul(product, 2 * sizeof(float), &bytes) || bytes > INT64_MAX) return false;
    *count = (int64_t)product;
    *padded = (*count + CM_PARAM_ALIGNMENT - 1) / CM_PARAM_ALIGNMENT * CM_PARAM_ALIGNMENT;
    return true;
}

static bool make_room(cm_params *params) {
    if (params->count < params->capacity) return true;
    int capacity = params->capacity ? 2 * params->capacity : 64;
    cm_param *items = cm_resize(params->items, (size_t)capacity, sizeof *items);
    if (!items) return false;
    params->items = items;
    params->capacity = capacity;
    return true;
}

static int add(cm_params *params, const char *name, int n_dims, const int64_t *dims, bool decay) {
    int64_t count, padded;
    size_t length = strlen(name);
    if (params->sealed || n_dims < 1 || n_dims > 3 || cm_params_find(params, name) >= 0) return -1;
    if (!count_elements(n_dims, dims, &count, &padded) || params->size > INT64_MAX / 8 - padded) return -1;
    if (!make_room(params)) return -1;
    cm_param item = {.n_dims = n_dims, .offset = params->size, .count = count, .decay = decay};
    memcpy(item.dims, dims, (size_t)n_dims * sizeof *dims);
    item.name = cm_copy_text(name, length);
    if (!item.name) return -1;
    if (!cm_map_put(params->numbers, name, length, params->count)) {
        cm_free(item.name);
        return -1;
    }
    params->items[params->count] = item;
    params->size += padded;
    return params->count++;
}

int cm_params_add(cm_params *params, const char *name, int n_dims, const int64_t *dims, bool decay) {
    int index = add(params, name, n_dims, dims, decay);
    if (index < 0) params->failed = true;
    return index;
}

cm_status cm_params_seal(cm_params *params, cm_error *error) {
    if (params->failed || params->sealed) return cm_fail_memory(error, 0);
    size_t size = (size_t)params->size;
    params->values = cm_new_aligned(size, sizeof(float));
    if (!params->values) return cm_fail_memory(error, size * sizeof(float));
    memset(params->values, 0, size * sizeof(float));
    params->sealed = true;
    return CM_OK;
}

cm_status cm_params_open_gradients(cm_params *params, cm_error *error) {
    size_t size = (size_t)params->size;
    if (params->grads) return CM_OK;
    params->grads = cm_new_aligned(size, sizeof(float));
    if (!params->grads) return cm_fail_memory(error, size * sizeof(float));
    memset(params->grads, 0, size * sizeof(float));
    return CM_OK;
}

bool cm_params_failed(const cm_params *params) {
    return params->failed;
}

int cm_params_count(const cm_params *params) {
    return params->count;
}

const cm_param *cm_params_get(const cm_params *params, int index) {
    return &params->items[index];
}

int cm_params_find(const cm_params *params, const char *name) {
    int64_t index;
    return cm_map_get(params->numbers, name, strlen(name), &index) ? (int)index : -1;
}

static cm_mat matrix(const cm_param *item, float *block) {
    int64_t rows = item->n_dims == 1 ? 1 : item->dims[0];
    return cm_mat_of(block + item->offset, rows, item->count / rows);
}

cm_mat cm_params_value(const cm_params *params, int index) {
    return matrix(&params->items[index], params->values);
}

cm_mat cm_params_grad(const cm_params *params, int index) {
    return matrix(&params->items[index], params->grads);
}

float *cm_params_values(const cm_params *params) {
    return params->values;
}

float *cm_params_grads(const cm_params *params) {
    return params->grads;
}

int64_t cm_params_size(const cm_params *params) {
    return params->size;
}

/* FNV-1a over the name (64 bits), mixed with the seed. */
uint64_t cm_params_key(const cm_params *params, int index, uint64_t seed) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (const char *c = params->items[index].name; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 0x100000001b3u;
    return cm_rng_key(seed, hash, 0);
}

void cm_params_init_uniform(cm_params *params, int index, uint64_t seed, double bound) {
    const cm_param *item = &params->items[index];
    uint64_t key = cm_params_key(params, index, seed);
    float *values = params->values + item->offset;
    for (int64_t i = 0; i < item->count; i++)
        values[i] = (float)(bound * (2 * cm_rng_uniform(key, (uint64_t)i) - 1));
}

void cm_params_init_constant(cm_params *params, int index, float value) {
    const cm_param *item = &params->items[index];
    for (int64_t i = 0; i < item->count; i++) params->values[item->offset + i] = value;
}
