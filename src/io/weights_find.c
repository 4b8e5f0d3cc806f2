/* The search for a checkpoint: a path, or the name of a repository in the import folder and the Hugging Face
 * cache (layout: huggingface_hub, "Understand caching"). */
#include "io/weights_find.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "io/weights.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What one folder holds. Empty texts: nothing of the kind. */
typedef struct wf_content {
    weights_path safetensors, torch;
    bool index;
} wf_content;

const char *weights_variable(const char *name) {
    const char *value = getenv(name);
    return value && value[0] ? value : NULL;
}

static bool has_mode(const char *path, mode_t type) {
    struct stat info;
    return stat(path, &info) == 0 && (info.st_mode & S_IFMT) == type;
}

bool weights_is_folder(const char *path) {
    return has_mode(path, S_IFDIR);
}

bool weights_is_file(const char *path) {
    return has_mode(path, S_IFREG);
}

static bool ends_with(const char *text, const char *end) {
    size_t a = strlen(text), b = strlen(end);
    return a > b && strcmp(text + a - b, end) == 0;
}

bool weights_is_torch_name(const char *name) {
    return ends_with(name, ".pt") || ends_with(name, ".pth") || ends_with(name, ".bin") ||
           ends_with(name, ".ckpt");
}

cm_status weights_join(weights_path *path, const char *folder, const char *name, cm_error *error) {
    weights_path joined; /* folder may be path itself */
    int n = snprintf(joined.text, sizeof joined.text, "%s/%s", folder, name);
    if (n < 0 || (size_t)n >= sizeof joined.text)
        return cm_fail_errno(error, folder, "cannot use", ENAMETOOLONG);
    *path = joined;
    return CM_OK;
}

cm_status weights_folder_of(weights_path *folder, const char *path, cm_error *error) {
    const char *slash = strrchr(path, '/');
    size_t length = !slash ? 1 : slash == path ? 1 : (size_t)(slash - path);
    if (length >= sizeof folder->text) return cm_fail_errno(error, path, "cannot use", ENAMETOOLONG);
    memcpy(folder->text, slash ? path : ".", length);
    folder->text[length] = '\0';
    return CM_OK;
}

/* ---- one folder ---- */

/* Files that a trainer leaves beside the weights. */
static bool is_trainer_file(const char *name) {
    return strcmp(name, "training_args.bin") == 0 || strncmp(name, "optimizer.", 10) == 0 ||
           strncmp(name, "scheduler.", 10) == 0 || strncmp(name, "rng_state", 9) == 0;
}

/* Takes name for the torch file of the folder unless a better one is known: pytorch_model.bin, then the first
 * in order. */
static bool is_better_torch(const char *name, const char *known) {
    static const char standard[] = "pytorch_model.bin";
    if (!weights_is_torch_name(name) || is_trainer_file(name)) return false;
    if (!known[0] || strcmp(name, standard) == 0) return true;
    return strcmp(known, standard) != 0 && strcmp(name, known) < 0;
}

/* Looks for files by their ends. */
static cm_status scan_folder(const char *folder, wf_content *content, cm_error *error) {
    char only[256] = "", torch[256] = "";
    int n = 0;
    DIR *dir = opendir(folder);
    if (!dir) return cm_fail_errno(error, folder, "cannot open", errno);
    for (const struct dirent *entry; (entry = readdir(dir));) {
        const char *name = entry->d_name;
        if (name[0] == '.') continue;
        if (ends_with(name, ".safetensors") && n++ == 0) snprintf(only, sizeof only, "%s", name);
        if (is_better_torch(name, torch)) snprintf(torch, sizeof torch, "%s", name);
    }
    closedir(dir);
    if (n > 1) {
        return cm_fail(error, CM_MODEL, folder, NULL, "model.safetensors, an index, or one .safetensors file",
                       "%d .safetensors files", n);
    }
    if (n == 1) CM_TRY(weights_join(&content->safetensors, folder, only, error));
    return torch[0] ? weights_join(&content->torch, folder, torch, error) : CM_OK;
}

static cm_status look_into(const char *folder, wf_content *content, cm_error *error) {
    static const char *const names[] = {"model.safetensors", "model.safetensors.index.json"};
    *content = (wf_content){0};
    for (int i = 0; i < 2; i++) {
        weights_path path;
        CM_TRY(weights_join(&path, folder, names[i], error));
        if (!weights_is_file(path.text)) continue;
        content->safetensors = path;
        content->index = i == 1;
        return CM_OK;
    }
    return scan_folder(folder, content, error);
}

static cm_status fail_torch(const char *reference, const char *torch, cm_error *error) {
    return cm_fail(error, CM_MODEL, reference, NULL, "safetensors",
                   "a PyTorch file; run: crossmamba models import %s", torch);
}

/* ---- the Hugging Face cache ---- */

static cm_status cache_folder(weights_path *path, cm_error *error) {
    const char *cache = weights_variable("HF_HUB_CACHE"), *home = weights_variable("HF_HOME");
    const char *xdg = weights_variable("XDG_CACHE_HOME"), *user = weights_variable("HOME");
    if (cache) return weights_join(path, cache, "", error);
    if (home) return weights_join(path, home, "hub", error);
    if (xdg) return weights_join(path, xdg, "huggingface/hub", error);
    return weights_join(path, user ? user : "/", ".cache/huggingface/hub", error);
}

/* The name of the snapshot in refs/main; empty when there is none that can be the name of a folder. */
static void read_ref(const char *path, char *name, size_t size) {
    name[0] = '\0';
    if (!weights_is_file(path)) return;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    ssize_t n = read(fd, name, size - 1);
    close(fd);
    name[n > 0 ? n : 0] = '\0';
    name[strcspn(name, " \t\r\n")] = '\0';
    for (const char *c = name; *c; c++) {
        if (!isalnum((unsigned char)*c)) name[0] = '\0';
    }
}

/* The only folder in snapshots; *several when there are more. */
static cm_status only_snapshot(const char *snapshots, weights_path *path, bool *several, cm_error *error) {
    DIR *dir = opendir(snapshots);
    if (!dir) return CM_OK;
    cm_status status = CM_OK;
    for (const struct dirent *entry; status == CM_OK && (entry = readdir(dir));) {
        if (entry->d_name[0] == '.') continue;
        *several = path->text[0] != '\0';
        if (*several) break;
        status = weights_join(path, snapshots, entry->d_name, error);
    }
    closedir(dir);
    return status;
}

/* The snapshot of a repository in the cache; an empty path when there is none. */
static cm_status find_snapshot(const char *cache, const char *repository, weights_path *path,
                               cm_error *error) {
    cm_buf name = CM_BUF_EMPTY;
    weights_path base, refs, snapshots;
    char ref[128];
    bool several = false;
    cm_buf_text(&name, "models--");
    for (const char *c = repository; *c; c++) cm_buf_append(&name, *c == '/' ? "--" : c, *c == '/' ? 2 : 1);
    cm_status status = name.failed ? cm_fail_memory(error, 0) : weights_join(&base, cache, name.data, error);
    cm_buf_clear(&name);
    path->text[0] = '\0';
    CM_TRY(status);
    CM_TRY(weights_join(&refs, base.text, "refs/main", error));
    CM_TRY(weights_join(&snapshots, base.text, "snapshots", error));
    read_ref(refs.text, ref, sizeof ref);
    if (ref[0]) {
        CM_TRY(weights_join(path, snapshots.text, ref, error));
        if (weights_is_folder(path->text)) return CM_OK;
        path->text[0] = '\0';
    }
    CM_TRY(only_snapshot(snapshots.text, path, &several, error));
    if (!several) return CM_OK;
    return cm_fail(error, CM_MODEL, base.text, NULL, "refs/main, or one snapshot", "several snapshots");
}

/* ---- the search ---- */

/* NAME or ORG/NAME in the characters of the Hub. */
static bool is_repository(const char *text) {
    int slashes = 0;
    if (strlen(text) > 200 || strstr(text, "..")) return false;
    for (const char *c = text; *c; c++) {
        if (*c == '/') slashes++;
        if (!isalnum((unsigned char)*c) && !strchr("-_./", *c)) return false;
    }
    return isalnum((unsigned char)text[0]) && slashes <= 1 && text[strlen(text) - 1] != '/';
}

/* Looks into one folder of the search. *done when it has safetensors; the first torch file is kept. */
static cm_status try_folder(const char *folder, weights_found *found, weights_path *torch, bool *done,
                            cm_error *error) {
    wf_content content;
    if (!folder[0] || !weights_is_folder(folder)) return CM_OK;
    CM_TRY(look_into(folder, &content, error));
    *done = content.safetensors.text[0] != '\0';
    if (*done) {
        snprintf(found->folder.text, sizeof found->folder.text, "%s", folder);
        found->file = content.safetensors;
        found->index = content.index;
    } else if (!torch->text[0]) {
        *torch = content.torch;
    }
    return CM_OK;
}

static cm_status search(const char *repository, weights_found *found, cm_error *error) {
    weights_path home, imported, cache, snapshot, torch = {""};
    bool done = false;
    CM_TRY(cm_weights_home(home.text, sizeof home.text, error));
    CM_TRY(weights_join(&imported, home.text, repository, error));
    CM_TRY(try_folder(imported.text, found, &torch, &done, error));
    if (done) return CM_OK;
    CM_TRY(cache_folder(&cache, error));
    CM_TRY(find_snapshot(cache.text, repository, &snapshot, error));
    CM_TRY(try_folder(snapshot.text, found, &torch, &done, error));
    if (done) return CM_OK;
    if (torch.text[0]) return fail_torch(repository, torch.text, error);
    char places[256];
    snprintf(places, sizeof places, "a path, or a repository in %.100s or %.100s", home.text, cache.text);
    return cm_fail(error, CM_MODEL, repository, NULL, places, "no such checkpoint");
}

static cm_status find_file(const char *path, weights_found *found, cm_error *error) {
    if (weights_is_torch_name(path)) return fail_torch(path, path, error);
    if (!ends_with(path, ".safetensors")) {
        return cm_fail(error, CM_MODEL, path, NULL, "a folder or a .safetensors file", "another file");
    }
    CM_TRY(weights_folder_of(&found->folder, path, error));
    snprintf(found->file.text, sizeof found->file.text, "%s", path);
    found->index = false;
    return CM_OK;
}

cm_status weights_find(const char *reference, weights_found *found, cm_error *error) {
    struct stat info;
    if (strlen(reference) >= sizeof found->file.text) {
        return cm_fail_errno(error, reference, "cannot use", ENAMETOOLONG);
    }
    if (stat(reference, &info) != 0) {
        if (errno != ENOENT && errno != ENOTDIR) return cm_fail_errno(error, reference, "cannot open", errno);
        if (is_repository(reference)) return search(reference, found, error);
        return cm_fail(error, CM_MODEL, reference, NULL, "a folder, a .safetensors file or a repository",
                       "no such file");
    }
    if (S_ISREG(info.st_mode)) return find_file(reference, found, error);
    if (!S_ISDIR(info.st_mode)) return cm_fail(error, CM_IO, reference, NULL, "a folder or file", "a device");
    weights_path torch = {""};
    bool done = false;
    CM_TRY(try_folder(reference, found, &torch, &done, error));
    if (done) return CM_OK;
    if (torch.text[0]) return fail_torch(reference, torch.text, error);
    return cm_fail(error, CM_MODEL, reference, NULL, "a folder with model.safetensors",
                   "a folder without weights");
}

cm_status cm_weights_home(char *path, size_t size, cm_error *error) {
    const char *own = weights_variable("CROSSMAMBA_CHECKPOINTS"), *xdg = weights_variable("XDG_DATA_HOME");
    const char *user = weights_variable("HOME");
    int n;
    if (own) {
        n = snprintf(path, size, "%s", own);
    } else if (xdg && xdg[0] == '/') {
        n = snprintf(path, size, "%s/crossmamba/checkpoints", xdg);
    } else if (user) {
        n = snprintf(path, size, "%s/.local/share/crossmamba/checkpoints", user);
    } else {
        return cm_fail(error, CM_USAGE, NULL, NULL, "CROSSMAMBA_CHECKPOINTS or HOME", "neither is set");
    }
    return n >= 0 && (size_t)n < size ? CM_OK : cm_fail_errno(error, own, "cannot use", ENAMETOOLONG);
}
