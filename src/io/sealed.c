/* Sealed files. The hash is that of format, version and key, each with a NUL, then of every tensor in the
 * order of names: its name with a NUL, its bytes. Type and shape of a tensor are its reader's to check. */
#include "io/sealed.h"
#include "base/alloc.h"
#include "base/sha256.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const sealed_keys[] = {"format", "format_version", "key"};
enum { SEALED_KEYS = sizeof sealed_keys / sizeof *sealed_keys };

static int by_name(const void *a, const void *b) {
    return strcmp((*(const cm_tensor *const *)a)->name, (*(const cm_tensor *const *)b)->name);
}

/* Sorts list. */
static bool hash_of(const char *const values[SEALED_KEYS], const cm_tensor **list, size_t count,
                    char hex[65]) {
    cm_sha256 *hash = cm_sha256_create();
    if (!hash) return false;
    for (int i = 0; i < SEALED_KEYS; i++) cm_sha256_add(hash, values[i], strlen(values[i]) + 1);
    if (count > 0) qsort(list, count, sizeof *list, by_name);
    for (size_t i = 0; i < count; i++) {
        cm_sha256_add(hash, list[i]->name, strlen(list[i]->name) + 1);
        if (list[i]->bytes > 0) cm_sha256_add(hash, list[i]->data, list[i]->bytes);
    }
    cm_sha256_finish(hash, hex);
    return true;
}

bool cm_sealed_hash(const cm_safetensors *file, char hex[65]) {
    size_t count = cm_safetensors_count(file);
    const char *values[SEALED_KEYS];
    const cm_tensor **list = cm_new(count, sizeof *list);
    if (!list) return false;
    for (int i = 0; i < SEALED_KEYS; i++) {
        const char *value = cm_safetensors_metadata(file, sealed_keys[i]);
        values[i] = value ? value : "";
    }
    for (size_t i = 0; i < count; i++) list[i] = cm_safetensors_get(file, i);
    bool done = hash_of(values, list, count, hex);
    cm_free(list);
    return done;
}

cm_status cm_sealed_write(const char *path, const cm_seal *seal, const cm_tensor *tensors, size_t count,
                          cm_error *error) {
    char version[16], hex[65];
    snprintf(version, sizeof version, "%d", seal->version);
    const char *const values[SEALED_KEYS] = {seal->format, version, seal->key};
    const cm_tensor **list = cm_new(count, sizeof *list);
    if (!list) return cm_fail_memory(error, count * sizeof *list);
    for (size_t i = 0; i < count; i++) list[i] = &tensors[i];
    bool done = hash_of(values, list, count, hex);
    cm_free(list);
    if (!done) return cm_fail_memory(error, 0);
    cm_metadata_entry metadata[SEALED_KEYS + 1] = {{"sha256", hex}};
    for (int i = 0; i < SEALED_KEYS; i++) metadata[i + 1] = (cm_metadata_entry){sealed_keys[i], values[i]};
    return cm_safetensors_write(path, tensors, count, metadata, SEALED_KEYS + 1, error);
}

/* The hash of the file against the one it holds, whatever its version. */
static cm_status check_hash(const cm_safetensors *file, const char *path, cm_error *error) {
    char hex[65];
    const char *known = cm_safetensors_metadata(file, "sha256");
    if (!cm_sealed_hash(file, hex)) return cm_fail_memory(error, 0);
    if (known && strcmp(known, hex) == 0) return CM_OK;
    return cm_fail(error, CM_DATA, path, "sha256", known ? known : "a hash",
                   known ? "other contents: the file is damaged" : "none: the file is damaged");
}

static cm_status check_version(const cm_safetensors *file, const char *path, const cm_seal *seal,
                               bool *foreign, cm_error *error) {
    const char *version = cm_safetensors_metadata(file, "format_version");
    char *end = NULL;
    long number = version ? strtol(version, &end, 10) : 0;
    if (!version || number < 1 || *end)
        return cm_fail(error, CM_DATA, path, "format_version", cm_format("%d", seal->version).text, "%s",
                       version ? version : "none");
    *foreign = number != seal->version;
    if (!*foreign) return CM_OK;
    return cm_fail(error, CM_DATA, path, "format_version", cm_format("%d", seal->version).text,
                   "%ld: a file of %s crossmamba", number, number > seal->version ? "a newer" : "an older");
}

/* The hash before the version: a damaged digit is no other version. */
static cm_status check_seal(const cm_safetensors *file, const char *path, const cm_seal *seal, bool *foreign,
                            cm_error *error) {
    const char *format = cm_safetensors_metadata(file, "format"), *key = cm_safetensors_metadata(file, "key");
    if (!format || strcmp(format, seal->format) != 0)
        return cm_fail(error, CM_DATA, path, "metadata", cm_format("a %s", seal->format).text,
                       "another kind of file");
    CM_TRY(check_hash(file, path, error));
    CM_TRY(check_version(file, path, seal, foreign, error));
    *foreign = !key || strcmp(key, seal->key) != 0;
    if (!*foreign) return CM_OK;
    return cm_fail(error, CM_DATA, path, "key", seal->mine, "%s", seal->other);
}

cm_status cm_sealed_open(cm_safetensors **file, const char *path, const cm_seal *seal, bool *foreign,
                         cm_error *error) {
    cm_safetensors *opened = NULL;
    *foreign = false;
    CM_TRY(cm_safetensors_open(&opened, path, error));
    cm_status status = check_seal(opened, path, seal, foreign, error);
    if (status == CM_OK)
        *file = opened;
    else
        cm_safetensors_close(opened);
    return status;
}
