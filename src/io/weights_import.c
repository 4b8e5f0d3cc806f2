/* PyTorch checkpoints turned into safetensors, once. */
#include "io/weights.h"

#include "base/alloc.h"
#include "base/file.h"
#include "io/torch_file.h"
#include "io/weights_find.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char prefix[] = "module."; /* of DataParallel */
static const size_t max_beside = (size_t)64 << 20;

/* What lies beside a checkpoint and is needed to use it. */
static const char *const beside[] = {"config.json", "vocab.txt", "vocab.json", "merges.txt",
                                     "tokenizer.json"};
enum { N_BESIDE = sizeof beside / sizeof beside[0] };

/* ---- where to ---- */

static bool says_nothing(const char *stem) {
    static const char *const names[] = {"pytorch_model", "model", "checkpoint", "weights", "best", "last"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(stem, names[i]) == 0) return true;
    }
    return false;
}

/* ORG/NAME when path goes through models--ORG--NAME of the Hugging Face cache. */
static bool repository_of(const char *path, char *name, size_t size) {
    const char *at = strstr(path, "/models--");
    if (!at || strstr(at, "..")) return false;
    at += strlen("/models--");
    size_t length = strcspn(at, "/");
    if (length == 0 || length >= size || at[length] != '/' || at[0] == '-') return false;
    memcpy(name, at, length);
    name[length] = '\0';
    char *dashes = strstr(name, "--");
    if (dashes && dashes[2]) {
        *dashes = '/';
        memmove(dashes + 1, dashes + 2, strlen(dashes + 2) + 1);
    }
    return true;
}

/* The name under which a file without target is imported. */
static cm_status name_of(const char *source, char *name, size_t size, cm_error *error) {
    char path[PATH_MAX];
    weights_path folder;
    if (!realpath(source, path)) return cm_fail_errno(error, source, "cannot open", errno);
    if (repository_of(source, name, size) || repository_of(path, name, size)) return CM_OK;
    const char *slash = strrchr(source, '/'), *base = slash ? slash + 1 : source;
    snprintf(name, size, "%.*s", (int)(strrchr(base, '.') - base), base);
    if (!says_nothing(name)) return CM_OK;
    CM_TRY(weights_folder_of(&folder, path, error));
    base = strrchr(folder.text, '/') + 1;
    if (base[0]) snprintf(name, size, "%s", base);
    return CM_OK;
}

static cm_status choose_folder(const char *source, const char *target, weights_path *folder,
                               cm_error *error) {
    char name[NAME_MAX + 1];
    weights_path home;
    if (target) {
        int n = snprintf(folder->text, sizeof folder->text, "%s", target);
        return (size_t)n < sizeof folder->text ? CM_OK
                                               : cm_fail_errno(error, target, "cannot use", ENAMETOOLONG);
    }
    CM_TRY(name_of(source, name, sizeof name, error));
    CM_TRY(cm_weights_home(home.text, sizeof home.text, error));
    return weights_join(folder, home.text, name, error);
}

/* The folder and those above it. */
static cm_status make_folder(const char *folder, cm_error *error) {
    weights_path path;
    snprintf(path.text, sizeof path.text, "%s", folder);
    for (char *at = path.text + 1;; at++) {
        if (*at != '/' && *at != '\0') continue;
        char end = *at;
        *at = '\0';
        if (mkdir(path.text, 0777) != 0 && errno != EEXIST) {
            return cm_fail_errno(error, path.text, "cannot create", errno);
        }
        *at = end;
        if (end == '\0') break;
    }
    return weights_is_folder(folder) ? CM_OK : cm_fail_errno(error, folder, "cannot create", ENOTDIR);
}

/* ---- files beside the checkpoint ---- */

static bool same_bytes(const cm_file_map *map, const char *path) {
    cm_file_map other = {0};
    if (!weights_is_file(path) || cm_file_map_open(&other, path, NULL) != CM_OK) return false;
    bool same = map->size == other.size && (map->size == 0 || memcmp(map->data, other.data, map->size) == 0);
    cm_file_map_close(&other);
    return same;
}

/* Checks whether one file may be written, or writes it. A copy that is there already is left alone. */
static cm_status copy_map(const cm_file_map *map, const char *from, const char *to, bool force, bool write,
                          cm_error *error) {
    struct stat info;
    if (map->size > max_beside)
        return cm_fail(error, CM_DATA, from, NULL, "at most 64 MB", "%zu bytes", map->size);
    if (same_bytes(map, to)) return CM_OK;
    if (!force && lstat(to, &info) == 0) {
        return cm_fail(error, CM_USAGE, to, NULL, "no such file, or --force", "another version");
    }
    const cm_file_part part = {.data = map->data, .size = map->size};
    return write ? cm_file_replace(to, &part, 1, error) : CM_OK;
}

static cm_status copy_beside(const char *source, const char *folder, bool force, bool write,
                             cm_error *error) {
    weights_path from_folder, from, to;
    CM_TRY(weights_folder_of(&from_folder, source, error));
    for (int i = 0; i < N_BESIDE; i++) {
        cm_file_map map = {0};
        CM_TRY(weights_join(&from, from_folder.text, beside[i], error));
        CM_TRY(weights_join(&to, folder, beside[i], error));
        if (!weights_is_file(from.text)) continue;
        CM_TRY(cm_file_map_open(&map, from.text, error));
        cm_status status = copy_map(&map, from.text, to.text, force, write, error);
        cm_file_map_close(&map);
        CM_TRY(status);
    }
    return CM_OK;
}

/* ---- the weights ---- */

/* The tensors under the names they are written with. */
static cm_tensor *rename_tensors(const cm_torch_file *file, cm_weights_imported *done) {
    size_t count = cm_torch_file_count(file);
    cm_tensor *tensors = cm_new(count, sizeof *tensors);
    if (!tensors) return NULL;
    done->tensors = count;
    done->skipped = cm_torch_file_skipped(file);
    done->stripped = count > 0;
    for (size_t i = 0; i < count; i++) {
        tensors[i] = *cm_torch_file_get(file, i);
        done->bytes += tensors[i].bytes;
        if (strncmp(tensors[i].name, prefix, sizeof prefix - 1) != 0) done->stripped = false;
    }
    for (size_t i = 0; i < count && done->stripped; i++) tensors[i].name += sizeof prefix - 1;
    return tensors;
}

static cm_status write_folder(const char *source, const char *folder, const char *weights,
                              const cm_torch_file *file, bool force, cm_weights_imported *done,
                              cm_error *error) {
    static const cm_metadata_entry format = {"format", "pt"};
    cm_tensor *tensors = rename_tensors(file, done);
    if (!tensors) return cm_fail_memory(error, 0);
    cm_status status = make_folder(folder, error);
    if (status == CM_OK) status = copy_beside(source, folder, force, true, error);
    if (status == CM_OK) status = cm_safetensors_write(weights, tensors, done->tensors, &format, 1, error);
    cm_free(tensors);
    return status;
}

/* Refuses before anything is read or written. */
static cm_status check_import(const char *source, const char *folder, const char *weights, bool force,
                              cm_error *error) {
    struct stat info;
    const char *slash = strrchr(source, '/'), *base = slash ? slash + 1 : source;
    if (strstr(base, "-of-")) {
        return cm_fail(error, CM_MODEL, source, NULL, "a checkpoint in one file", "one of several parts");
    }
    if (!force && lstat(weights, &info) == 0) {
        return cm_fail(error, CM_USAGE, weights, NULL, "no such file, or --force", "an imported checkpoint");
    }
    return copy_beside(source, folder, force, false, error);
}

cm_status cm_weights_import(const char *source, const char *target, bool force, cm_weights_imported *done,
                            cm_error *error) {
    weights_path folder, weights;
    cm_torch_file *file = NULL;
    cm_weights_imported result = {0};
    if (!weights_is_torch_name(source)) {
        return cm_fail(error, CM_USAGE, source, NULL, "a .pt, .pth, .bin or .ckpt file", "another name");
    }
    CM_TRY(choose_folder(source, target, &folder, error));
    CM_TRY(weights_join(&weights, folder.text, "model.safetensors", error));
    CM_TRY(check_import(source, folder.text, weights.text, force, error));
    CM_TRY(cm_torch_file_open(&file, source, error));
    cm_status status = write_folder(source, folder.text, weights.text, file, force, &result, error);
    cm_torch_file_close(file);
    if (status != CM_OK) return status;
    memcpy(result.folder, folder.text, sizeof result.folder);
    *done = result;
    return CM_OK;
}
