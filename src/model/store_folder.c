/* Finding and preparing the folder of the embedding store. */
#include "model/store_folder.h"
#include "base/log.h"
#include "io/embedding_store.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static bool is_set(const char *text) {
    return text != NULL && *text != '\0';
}

void cm_store_folder(const char *store, char *path) {
    const char *own = getenv("CROSSMAMBA_STORE"), *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int length = 0;
    if (store != NULL)
        length = snprintf(path, CM_STORE_PATH, "%s", store);
    else if (is_set(own))
        length = snprintf(path, CM_STORE_PATH, "%s", own);
    else if (is_set(cache))
        length = snprintf(path, CM_STORE_PATH, "%s/crossmamba/store", cache);
    else if (is_set(home))
        length = snprintf(path, CM_STORE_PATH, "%s/.cache/crossmamba/store", home);
    if (length <= 0 || length >= CM_STORE_PATH) *path = '\0';
}

void cm_store_make_parents(const char *path) {
    char part[CM_STORE_PATH];
    snprintf(part, sizeof part, "%s", path);
    for (char *slash = strchr(part + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(part, 0777);
        *slash = '/';
    }
}

cm_status cm_store_prepare(const cm_runtime *runtime, char *path, const char **folder, cm_error *error) {
    const char *given = runtime != NULL ? runtime->store : NULL;
    *folder = NULL;
    cm_store_folder(given, path);
    if (*path == '\0') return CM_OK;
    cm_store_make_parents(path);
    cm_embeddings *store = NULL;
    cm_error reason = {0};
    cm_status status = cm_embeddings_open(&store, path, true, &reason);
    cm_embeddings_close(store);
    if (status == CM_OK) {
        *folder = path;
        return CM_OK;
    }
    if (given != NULL) {
        if (error != NULL) *error = reason;
        return status;
    }
    char line[512];
    cm_log(runtime, CM_LOG_WARNING, "embeddings are not kept: %s", cm_error_line(&reason, line, sizeof line));
    return CM_OK;
}
