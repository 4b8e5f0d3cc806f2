/* Training a model file from a data set. */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/lock.h"
#include "base/log.h"
#include "io/json.h"
#include "train/checkpoint.h"
#include "train/learner.h"
#include "train/members.h"
#include <crossmamba/train.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

static cm_status set_text(json_t *facts, const char *key, const char *text, cm_error *error) {
    if (!text) return CM_OK;
    cm_json_watch();
    json_t *value = json_string(text);
    if (!value && cm_json_failed()) return cm_fail_memory(error, strlen(text));
    if (!value) return cm_fail(error, CM_USAGE, NULL, key, "UTF-8 text", "other bytes");
    return json_object_set_new(facts, key, value) == 0 ? CM_OK : cm_fail_memory(error, 0);
}

static cm_status add_facts(cm_model *model, const cm_train_request *request, const cm_dataset *dataset,
                           cm_error *error) {
    json_t *data = json_pack("{s:I, s:I, s:I, s:s}", "pairs", (json_int_t)dataset->n_pairs, "molecules_a",
                             (json_int_t)dataset->n_entities[0], "molecules_b",
                             (json_int_t)dataset->n_entities[1], "sha256", dataset->hash);
    if (json_object_set_new(model->facts, "data", data) != 0) return cm_fail_memory(error, 0);
    CM_TRY(set_text(model->facts, "notes", request->notes, error));
    CM_TRY(set_text(model->facts, "evaluation", request->evaluation, error));
    return set_text(model->facts, "licence", request->licence, error);
}

/* ---- the files of a run ---- */

/* The model file, and what a run that has not come to its end keeps beside it. */
typedef struct run_files {
    const char *model;
    cm_buf checkpoint, lock; /* paths */
    cm_lock *held;
    int members; /* of an ensemble, beside the first: each has its own checkpoint */
} run_files;

typedef cm_status path_use(const char *path, cm_error *error);

/* Calls use with the path of a checkpoint, and with those of the further members of an ensemble. */
static cm_status each_member(const run_files *files, const char *base, path_use *use, cm_error *error) {
    cm_buf path = CM_BUF_EMPTY;
    cm_status status = use(base, error);
    for (int k = 1; k <= files->members && status == CM_OK; k++)
        status = cm_fit_member_path(&path, base, k) ? use(path.data, error) : cm_fail_memory(error, 0);
    cm_buf_clear(&path);
    return status;
}

/* With all paths that a checkpoint may have: that of the run, and those of the parts of a model made of
 * models. */
static cm_status each_path(const run_files *files, path_use *use, cm_error *error) {
    cm_buf path = CM_BUF_EMPTY;
    cm_status status = each_member(files, files->checkpoint.data, use, error);
    for (int m = 0; m < CM_MEMBERS_MAX && status == CM_OK; m++)
        status = cm_members_part_path(&path, files->checkpoint.data, m)
                     ? each_member(files, path.data, use, error)
                     : cm_fail_memory(error, 0);
    cm_buf_clear(&path);
    return status;
}

/* What a killed run has left half written goes when the next one starts. */
static cm_status sweep(const char *path, cm_error *error) {
    (void)error;
    cm_file_sweep(path);
    return CM_OK;
}

/* Takes the run's lock: a second run with the same checkpoint is refused. */
static cm_status open_files(run_files *files, const cm_train_request *request, cm_error *error) {
    const char *given = request->checkpoint_path;
    *files = (run_files){.model = request->model_path, .members = request->options.ensemble - 1};
    if (!cm_buf_printf(&files->checkpoint, "%s%s", given ? given : request->model_path,
                       given ? "" : ".checkpoint") ||
        !cm_buf_printf(&files->lock, "%s.lock", files->checkpoint.data))
        return cm_fail_memory(error, 0);
    CM_TRY(cm_lock_take(&files->held, files->lock.data, "held: another run is at work on this checkpoint",
                        "one run at a time (wait for its end, or give another --checkpoint)", error));
    cm_file_sweep(files->model);
    return each_path(files, sweep, error);
}

/* The status, or that of a lock that could not be removed. */
static cm_status close_files(run_files *files, cm_status status, cm_error *error) {
    cm_status released = cm_lock_release(files->held, status == CM_OK ? error : NULL);
    cm_buf_clear(&files->checkpoint);
    cm_buf_clear(&files->lock);
    return status == CM_OK ? released : status;
}

/* Which molecules the model has seen, so that a prediction can say how near a new one lies. */
static cm_status note_domain(cm_model *model, const cm_features *features, const cm_dataset *dataset,
                             const int64_t *index, cm_error *error) {
    for (int side = 0; side < 2; side++)
        CM_TRY(cm_domain_fit(&model->domain[side], features, &model->standard[side],
                             model->options.input_clip, dataset, side, index, dataset->n_pairs, error));
    return CM_OK;
}

/* Hours of training must not end at a folder that cannot be written. */
static cm_status check_folder(const char *path, cm_error *error) {
    const char *slash = strrchr(path, '/');
    cm_buf folder = CM_BUF_EMPTY;
    cm_status status = CM_OK;
    if (!(slash ? cm_buf_append(&folder, path, (size_t)(slash - path) + 1) : cm_buf_text(&folder, ".")))
        status = cm_fail_memory(error, strlen(path));
    else if (access(folder.data, W_OK | X_OK) != 0)
        status = cm_fail_errno(error, folder.data, "cannot write into this folder", errno);
    cm_buf_clear(&folder);
    return status;
}

static cm_status check_request(const cm_train_request *request, const cm_dataset *dataset, cm_error *error) {
    if (!request->model_path)
        return cm_fail(error, CM_USAGE, NULL, "model path", "a path to write to", "none");
    if (!dataset->options.labels)
        return cm_fail(error, CM_USAGE, NULL, "data set", "a data set with labels", "none");
    if (dataset->n_pairs < 2)
        return cm_fail(error, CM_DATA, NULL, "data set", "at least two pairs", "%lld",
                       (long long)dataset->n_pairs);
    return check_folder(request->model_path, error);
}

static const char *name_of(const cm_train_request *request) {
    return request->predictor ? request->predictor : cm_learner_network.name;
}

static cm_status train_with(const cm_train_request *request, const cm_learner *learner,
                            const cm_dataset *dataset, const run_files *files, const cm_features *features,
                            cm_team *team, const cm_runtime *runtime, cm_error *error) {
    int64_t *index = cm_new((size_t)dataset->n_pairs, sizeof *index);
    if (!index) return cm_fail_memory(error, (size_t)dataset->n_pairs * sizeof *index);
    for (int64_t i = 0; i < dataset->n_pairs; i++) index[i] = i;
    cm_fit_request fit = {.name = name_of(request),
                          .options = &request->options,
                          .dataset = dataset,
                          .features = features,
                          .index = index,
                          .n = dataset->n_pairs,
                          .checkpoint_path = files->checkpoint.data,
                          .checkpoint_seconds = request->checkpoint_seconds,
                          .resume = request->resume};
    cm_model *model = NULL;
    cm_status status = learner->fit(&model, &fit, team, runtime, error);
    if (status == CM_OK) status = cm_model_note_encoders(model, features, error);
    if (status == CM_OK) status = note_domain(model, features, dataset, index, error);
    if (status == CM_OK) status = add_facts(model, request, dataset, error);
    if (status == CM_OK) status = cm_model_save(model, request->model_path, error);
    if (status == CM_OK) status = each_path(files, cm_train_checkpoint_remove, error);
    if (status == CM_OK)
        cm_log(runtime, CM_LOG_INFO, "wrote %s (crossmamba models info %s prints its card)",
               request->model_path, request->model_path);
    cm_model_close(model);
    cm_free(index);
    return status;
}

cm_status cm_train(const cm_train_request *request, const cm_dataset *dataset, const cm_runtime *runtime,
                   cm_error *error) {
    const cm_learner *learner;
    CM_TRY(check_request(request, dataset, error));
    CM_TRY(cm_learner_find(&learner, name_of(request), error));
    run_files files;
    cm_team *team = NULL;
    cm_features *features = NULL;
    cm_status status = open_files(&files, request, error);
    if (status == CM_OK) {
        team = cm_team_create(runtime && runtime->threads > 1 ? runtime->threads : 1);
        status = team ? cm_features_create(&features, dataset, &request->options, NULL, team, runtime, error)
                      : cm_fail_memory(error, 0);
    }
    if (status == CM_OK)
        status = train_with(request, learner, dataset, &files, features, team, runtime, error);
    cm_features_destroy(features);
    cm_team_destroy(team);
    return close_files(&files, status, error);
}
