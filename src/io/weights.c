/* The tensors of a checkpoint over its shards, in the order of their names, and their values as f32. */
#include "io/weights.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/sha256.h"
#include "io/json.h"
#include "io/weights_find.h"
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const size_t max_text = 32000000;
static const size_t block = (size_t)1 << 20; /* of the file that is kept while it is read */
enum { MAX_SHARDS = 4096 };

typedef struct wt_entry {
    const cm_tensor *tensor;
    const cm_safetensors *shard;
    const char *file; /* the shard's path */
} wt_entry;

struct cm_weights {
    weights_path folder;
    cm_safetensors **shards;
    char **files; /* their paths */
    size_t n_shards;
    wt_entry *entries; /* by name */
    size_t count, bytes;
    char hex[65]; /* "" until asked for */
};

/* ---- opening ---- */

static int by_name(const void *a, const void *b) {
    return strcmp(((const wt_entry *)a)->tensor->name, ((const wt_entry *)b)->tensor->name);
}

static void sort_entries(cm_weights *weights) {
    if (weights->count > 0) qsort(weights->entries, weights->count, sizeof *weights->entries, by_name);
    for (size_t i = 0; i < weights->count; i++) weights->bytes += weights->entries[i].tensor->bytes;
}

/* Room for so many shards. */
static bool make_shards(cm_weights *weights, size_t most) {
    weights->shards = cm_new(most, sizeof(cm_safetensors *));
    weights->files = cm_new(most, sizeof(char *));
    return weights->shards && weights->files;
}

/* Opens the next shard. */
static cm_status add_shard(cm_weights *weights, const char *path, cm_error *error) {
    char *copy = cm_copy_text(path, strlen(path));
    if (!copy) return cm_fail_memory(error, strlen(path));
    cm_status status = cm_safetensors_open(&weights->shards[weights->n_shards], path, error);
    if (status != CM_OK) {
        cm_free(copy);
        return status;
    }
    weights->files[weights->n_shards++] = copy;
    return CM_OK;
}

static cm_status open_single(cm_weights *weights, const char *path, cm_error *error) {
    if (!make_shards(weights, 1)) return cm_fail_memory(error, 0);
    CM_TRY(add_shard(weights, path, error));
    const cm_safetensors *shard = weights->shards[0];
    size_t count = cm_safetensors_count(shard);
    weights->entries = cm_new(count, sizeof *weights->entries);
    if (!weights->entries) return cm_fail_memory(error, 0);
    for (size_t i = 0; i < count; i++) {
        weights->entries[i] = (wt_entry){cm_safetensors_get(shard, i), shard, weights->files[0]};
    }
    weights->count = count;
    return CM_OK;
}

/* The number of the shard of this name, opened when it is new. names: name -> number. */
static cm_status open_shard(cm_weights *weights, json_t *names, const char *index, const char *name,
                            size_t *shard, cm_error *error) {
    const json_t *known = json_object_get(names, name);
    if (known) {
        *shard = (size_t)json_integer_value(known);
        return CM_OK;
    }
    weights_path path;
    size_t length = strlen(name);
    if (strchr(name, '/') || name[0] == '.' || length < 13 ||
        strcmp(name + length - 12, ".safetensors") != 0) {
        return cm_fail(error, CM_DATA, index, "weight_map",
                       "the name of a .safetensors file beside the index", "%s", name);
    }
    if (weights->n_shards == MAX_SHARDS) {
        return cm_fail(error, CM_DATA, index, "weight_map", cm_format("at most %d files", MAX_SHARDS).text,
                       "more");
    }
    CM_TRY(weights_join(&path, weights->folder.text, name, error));
    if (!weights_is_file(path.text)) {
        return cm_fail(error, CM_MODEL, index, "weight_map", "all files beside the index", "%s is not there",
                       name);
    }
    *shard = weights->n_shards;
    CM_TRY(add_shard(weights, path.text, error));
    if (json_object_set_new(names, name, json_integer((json_int_t)*shard)) != 0) {
        return cm_fail_memory(error, 0);
    }
    return CM_OK;
}

static cm_status read_map(cm_weights *weights, const char *index, const json_t *map, json_t *names,
                          cm_error *error) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)map, key, value) {
        const char *name = json_string_value(value);
        cm_text place = cm_format("tensor %s", key);
        size_t shard = 0;
        if (!name) return cm_fail(error, CM_DATA, index, place.text, "the name of a file", "another value");
        CM_TRY(open_shard(weights, names, index, name, &shard, error));
        const cm_tensor *tensor = cm_safetensors_find(weights->shards[shard], key);
        if (!tensor)
            return cm_fail(error, CM_DATA, index, place.text, "a tensor of the file named", "none in %s",
                           name);
        weights->entries[weights->count++] =
            (wt_entry){tensor, weights->shards[shard], weights->files[shard]};
    }
    return CM_OK;
}

static cm_status open_map(cm_weights *weights, const char *index, const json_t *root, cm_error *error) {
    json_t *map = NULL;
    CM_TRY(cm_json_member(root, "weight_map", JSON_OBJECT, &map, index, error));
    size_t count = json_object_size(map);
    bool room = make_shards(weights, count < MAX_SHARDS ? count : MAX_SHARDS);
    weights->entries = cm_new(count, sizeof *weights->entries);
    json_t *names = json_object();
    cm_status status = room && weights->entries && names ? read_map(weights, index, map, names, error)
                                                         : cm_fail_memory(error, 0);
    json_decref(names);
    return status;
}

static cm_status open_index(cm_weights *weights, const char *index, cm_error *error) {
    cm_file_map map = {0};
    json_t *root = NULL;
    CM_TRY(cm_file_map_open(&map, index, error));
    cm_status status =
        map.size > max_text
            ? cm_fail(error, CM_DATA, index, NULL, "at most 32 MB", "%zu bytes", map.size)
            : cm_json_parse(&root, map.size ? (const char *)map.data : "", map.size, index, NULL, error);
    cm_file_map_close(&map);
    if (status == CM_OK) status = open_map(weights, index, root, error);
    json_decref(root);
    return status;
}

cm_status cm_weights_open(cm_weights **weights, const char *reference, cm_error *error) {
    weights_found found;
    CM_TRY(weights_find(reference, &found, error));
    cm_weights *opened = cm_new(1, sizeof *opened);
    if (!opened) return cm_fail_memory(error, sizeof *opened);
    opened->folder = found.folder;
    cm_status status = found.index ? open_index(opened, found.file.text, error)
                                   : open_single(opened, found.file.text, error);
    if (status != CM_OK) {
        cm_weights_close(opened);
        return status;
    }
    sort_entries(opened);
    *weights = opened;
    return CM_OK;
}

void cm_weights_close(cm_weights *weights) {
    if (!weights) return;
    for (size_t i = 0; i < weights->n_shards; i++) {
        cm_safetensors_close(weights->shards[i]);
        cm_free(weights->files[i]);
    }
    cm_free(weights->shards);
    cm_free(weights->files);
    cm_free(weights->entries);
    cm_free(weights);
}

/* ---- what it holds ---- */

const char *cm_weights_folder(const cm_weights *weights) {
    return weights->folder.text;
}

static cm_status copy_text(const cm_file_map *map, const char *path, char **text, size_t *length,
                           cm_error *error) {
    if (map->size > max_text) {
        return cm_fail(error, CM_DATA, path, NULL, "at most 32 MB", "%zu bytes", map->size);
    }
    char *copy = cm_copy_text(map->size ? (const char *)map->data : "", map->size);
    if (!copy) return cm_fail_memory(error, map->size);
    *text = copy;
    *length = map->size;
    return CM_OK;
}

cm_status cm_weights_text(const cm_weights *weights, const char *name, char **text, size_t *length,
                          cm_error *error) {
    weights_path path;
    cm_file_map map = {0};
    *text = NULL;
    *length = 0;
    if (strchr(name, '/') || strcmp(name, "..") == 0) {
        return cm_fail(error, CM_DATA, weights->folder.text, NULL, "the name of a file of the folder", "%s",
                       name);
    }
    CM_TRY(weights_join(&path, weights->folder.text, name, error));
    if (!weights_is_file(path.text)) return CM_OK;
    CM_TRY(cm_file_map_open(&map, path.text, error));
    cm_status status = copy_text(&map, path.text, text, length, error);
    cm_file_map_close(&map);
    return status;
}

size_t cm_weights_bytes(const cm_weights *weights) {
    return weights->bytes;
}

size_t cm_weights_count(const cm_weights *weights) {
    return weights->count;
}

const cm_tensor *cm_weights_get(const cm_weights *weights, size_t i) {
    return weights->entries[i].tensor;
}

static const wt_entry *find_entry(const cm_weights *weights, const char *name) {
    const cm_tensor named = {.name = name};
    const wt_entry wanted = {.tensor = &named};
    if (weights->count == 0) return NULL;
    return bsearch(&wanted, weights->entries, weights->count, sizeof wanted, by_name);
}

const cm_tensor *cm_weights_find(const cm_weights *weights, const char *name) {
    const wt_entry *entry = find_entry(weights, name);
    return entry ? entry->tensor : NULL;
}

/* Name and dtype with their NULs, then the number of dimensions, the dimensions and the bytes. */
static void hash_tensor(cm_sha256 *hash, const wt_entry *entry) {
    const cm_tensor *tensor = entry->tensor;
    const char *dtype = cm_dtype_name(tensor->dtype);
    const int64_t n_dims = tensor->n_dims;
    cm_sha256_add(hash, tensor->name, strlen(tensor->name) + 1);
    cm_sha256_add(hash, dtype, strlen(dtype) + 1);
    cm_sha256_add(hash, &n_dims, sizeof n_dims);
    cm_sha256_add(hash, tensor->dims, (size_t)n_dims * sizeof *tensor->dims);
    for (size_t at = 0; at < tensor->bytes; at += block) {
        size_t n = tensor->bytes - at < block ? tensor->bytes - at : block;
        const char *part = (const char *)tensor->data + at;
        cm_sha256_add(hash, part, n);
        cm_safetensors_drop(entry->shard, part, n);
    }
}

cm_status cm_weights_sha256(cm_weights *weights, const char **hex, cm_error *error) {
    if (!weights->hex[0]) {
        cm_sha256 *hash = cm_sha256_create();
        if (!hash) return cm_fail_memory(error, 0);
        for (size_t i = 0; i < weights->count; i++) hash_tensor(hash, &weights->entries[i]);
        cm_sha256_finish(hash, weights->hex);
    }
    *hex = weights->hex;
    return CM_OK;
}

/* ---- values ---- */

/* IEEE binary16 to binary32, exact, without branches: subnormals are whole multiples of 2^-24. */
static float half_value(uint16_t half) {
    uint32_t magnitude = half & 0x7fffu, sign = (uint32_t)(half & 0x8000u) << 16;
    uint32_t normal = (magnitude << 13) + ((uint32_t)(magnitude >= 0x7c00 ? 255 - 31 : 127 - 15) << 23);
    float small = (float)(int32_t)magnitude * 0x1p-24f, value;
    uint32_t small_bits;
    memcpy(&small_bits, &small, 4);
    uint32_t bits = sign | (magnitude < 0x400 ? small_bits : normal);
    memcpy(&value, &bits, 4);
    return value;
}

/* n values from unaligned bytes; data, first and out as below. */
#define CONVERT(type, expression)                      \
    do {                                               \
        for (size_t i = 0; i < n; i++) {               \
            type v;                                    \
            memcpy(&v, from + i * sizeof v, sizeof v); \
            out[i] = (expression);                     \
        }                                              \
    } while (0)

static float bfloat_value(uint16_t half) {
    uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

static void convert(cm_dtype dtype, const char *from, size_t n, float *out) {
    if (dtype == CM_DTYPE_F32) {
        memcpy(out, from, n * sizeof *out);
    } else if (dtype == CM_DTYPE_F64) {
        CONVERT(double, (float)v);
    } else if (dtype == CM_DTYPE_F16) {
        CONVERT(uint16_t, half_value(v));
    } else {
        CONVERT(uint16_t, bfloat_value(v));
    }
}

/* The number of the first value that is not finite, n when all are. */
static size_t first_not_finite(const float *values, size_t n) {
    unsigned bad = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], 4);
        bad |= (bits & 0x7f800000u) == 0x7f800000u;
    }
    if (!bad) return n;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], 4);
        if ((bits & 0x7f800000u) == 0x7f800000u) return i;
    }
    return n;
}

/* Gives back the blocks of the file that the reading of bytes [from, to) of the tensor has finished; the last
 * one when the tensor ends. */
static void drop_blocks(const wt_entry *entry, size_t from, size_t to) {
    size_t begin = from / block * block, end = to == entry->tensor->bytes ? to : to / block * block;
    if (end > begin)
        cm_safetensors_drop(entry->shard, (const char *)entry->tensor->data + begin, end - begin);
}

/* Elements [at, at + n) of a tensor. */
static cm_status read_elements(const wt_entry *entry, size_t at, size_t n, float *out, cm_error *error) {
    const cm_tensor *tensor = entry->tensor;
    size_t size = cm_dtype_bytes(tensor->dtype), step = block / size;
    for (size_t done = 0; done < n; done += step) {
        size_t m = n - done < step ? n - done : step, from = (at + done) * size;
        convert(tensor->dtype, (const char *)tensor->data + from, m, out + done);
        drop_blocks(entry, from, from + m * size);
        size_t bad = first_not_finite(out + done, m);
        if (bad < m) {
            return cm_fail(error, CM_NUMERIC, entry->file, cm_format("tensor %s", tensor->name).text,
                           "finite numbers", "another value at element %zu", at + done + bad);
        }
    }
    return CM_OK;
}

cm_status cm_weights_f32(const cm_weights *weights, const cm_tensor *tensor, int64_t first, int64_t rows,
                         float *out, cm_error *error) {
    const wt_entry *entry = find_entry(weights, tensor->name);
    cm_dtype dtype = tensor->dtype;
    int64_t n_rows = tensor->n_dims ? tensor->dims[0] : 1;
    assert(entry && entry->tensor == tensor && first >= 0 && rows >= 0 && first <= n_rows &&
           rows <= n_rows - first);
    if (dtype != CM_DTYPE_F32 && dtype != CM_DTYPE_F16 && dtype != CM_DTYPE_BF16 && dtype != CM_DTYPE_F64) {
        return cm_fail(error, CM_DATA, entry->file, cm_format("tensor %s", tensor->name).text,
                       "F32, F16, BF16 or F64", "%s", cm_dtype_name(dtype));
    }
    if (tensor->bytes == 0) return CM_OK;
    size_t width = tensor->bytes / cm_dtype_bytes(dtype) / (size_t)n_rows;
    return read_elements(entry, (size_t)first * width, (size_t)rows * width, out, error);
}
