/* Finding the checkpoints that lie on this machine. */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/fail.h"
#include "model/checkpoints.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct finder {
    cm_checkpoint_sink sink;
    void *context;
    bool known_only; /* leave out what belongs to no family: a cache holds everybody's models */
} finder;

static bool is_folder(const char *path) {
    struct stat facts;
    return stat(path, &facts) == 0 && S_ISDIR(facts.st_mode);
}

/* Calls visit with each folder of path in alphabetical order. */
typedef cm_status (*folder_visit)(const finder *f, const char *path, const char *name, cm_error *error);
static cm_status each_folder(const finder *f, const char *path, folder_visit visit, cm_error *error) {
    struct dirent **entries;
    int count = scandir(path, &entries, NULL, alphasort);
    cm_status status = CM_OK;
    for (int i = 0; i < count; i++) {
        cm_buf full = CM_BUF_EMPTY;
        const char *name = entries[i]->d_name;
        if (status == CM_OK && *name != '.') {
            if (!cm_buf_printf(&full, "%s/%s", path, name))
                status = cm_fail_memory(error, 0);
            else if (is_folder(full.data))
                status = visit(f, full.data, name, error);
        }
        cm_buf_clear(&full);
        free(entries[i]);
    }
    if (count >= 0) free(entries);
    return status;
}

static bool has_weights(const char *path) {
    static const char *const ends[] = {".safetensors", ".safetensors.index.json"};
    DIR *folder = opendir(path);
    bool found = false;
    for (const struct dirent *entry; folder && !found && (entry = readdir(folder));)
        for (size_t i = 0; i < 2; i++) {
            size_t length = strlen(entry->d_name), end = strlen(ends[i]);
            found |= length > end && strcmp(entry->d_name + length - end, ends[i]) == 0;
        }
    if (folder) closedir(folder);
    return found;
}

static cm_status show(const finder *f, const char *reference, const char *name, cm_error *error) {
    cm_checkpoint *checkpoint = NULL;
    cm_error reason = {0};
    char problem[1024];
    cm_checkpoint_line line = {.name = name, .family = "", .path = reference, .problem = problem};
    cm_status status = cm_checkpoint_open(&checkpoint, reference, &reason);
    if (status == CM_MEMORY) {
        if (error) *error = reason;
        return status;
    }
    if (status == CM_OK) {
        cm_checkpoint_summary(checkpoint, &line);
        line.name = name;
    } else
        cm_error_line(&reason, problem, sizeof problem);
    bool wanted = !f->known_only || *line.family != '\0';
    int stopped = wanted ? f->sink(f->context, &line) : 0;
    cm_checkpoint_close(checkpoint);
    return stopped ? cm_fail(error, CM_INTERRUPTED, NULL, NULL, NULL, "stopped by the receiver") : CM_OK;
}

/* ORG/NAME of the import folder: path is the folder of NAME. */
static cm_status visit_inner(const finder *f, const char *path, const char *name, cm_error *error) {
    if (!has_weights(path)) return CM_OK;
    size_t length = strlen(path) - strlen(name) - 1, start = length;
    while (start > 0 && path[start - 1] != '/') start--;
    cm_buf full = CM_BUF_EMPTY;
    cm_status status = cm_buf_printf(&full, "%.*s/%s", (int)(length - start), path + start, name)
                           ? show(f, path, full.data, error)
                           : cm_fail_memory(error, 0);
    cm_buf_clear(&full);
    return status;
}

static cm_status visit_home(const finder *f, const char *path, const char *name, cm_error *error) {
    return has_weights(path) ? show(f, path, name, error) : each_folder(f, path, visit_inner, error);
}

/* "models--ORG--NAME" of the cache stands for ORG/NAME. */
static cm_status visit_cache(const finder *f, const char *path, const char *name, cm_error *error) {
    static const char prefix[] = "models--";
    (void)path;
    if (strncmp(name, prefix, sizeof prefix - 1) != 0) return CM_OK;
    char *repository = cm_copy_text(name + sizeof prefix - 1, strlen(name) - (sizeof prefix - 1));
    if (!repository) return cm_fail_memory(error, 0);
    char *dashes = strstr(repository, "--");
    if (dashes) {
        *dashes = '/';
        memmove(dashes + 1, dashes + 2, strlen(dashes + 2) + 1);
    }
    cm_status status = show(f, repository, repository, error);
    cm_free(repository);
    return status;
}

/* The hub folder of the Hugging Face cache. */
static bool cache_folder(char *path, size_t size) {
    static const struct {
        const char *variable, *below;
    } places[] = {{"HF_HUB_CACHE", ""},
                  {"HF_HOME", "/hub"},
                  {"XDG_CACHE_HOME", "/huggingface/hub"},
                  {"HOME", "/.cache/huggingface/hub"}};
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        const char *value = getenv(places[i].variable);
        if (value && *value) {
            int length = snprintf(path, size, "%s%s", value, places[i].below);
            return length > 0 && (size_t)length < size;
        }
    }
    return false;
}

cm_status cm_checkpoint_list(cm_checkpoint_sink sink, void *context, cm_error *error) {
    char path[4096];
    finder f = {sink, context, false};
    if (cm_weights_home(path, sizeof path, NULL) == CM_OK) CM_TRY(each_folder(&f, path, visit_home, error));
    f.known_only = true;
    return cache_folder(path, sizeof path) ? each_folder(&f, path, visit_cache, error) : CM_OK;
}
