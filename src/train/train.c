/* Training a model file from a data set. */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/log.h"
#include "io/json.h"
#include "train/learner.h"
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

/* The checkpoints of a run that has its model file. */
static void remove_checkpoints(const char *checkpoint, int members) {
    cm_buf path = CM_BUF_EMPTY;
    unlink(checkpoint);
    for (int k = 1; k <= members; k++)
        if (cm_fit_member_path(&path, checkpoint, k)) unlink(path.data);
    cm_buf_clear(&path);
}

/* What a killed run has left half written goes when the next one starts. */
static void sweep_files(const cm_train_request *request, const char *checkpoint) {
    cm_buf path = CM_BUF_EMPTY;
    cm_file_sweep(request->model_path);
    cm_file_sweep(checkpoint);
    for (int k = 1; k < request->options.ensemble; k++)
        if (cm_fit_member_path(&path, checkpoint, k)) cm_file_sweep(path.data);
    cm_buf_clear(&path);
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
                            const cm_dataset *dataset, const char *checkpoint, const cm_features *features,
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
                          .checkpoint_path = checkpoint,
                          .checkpoint_seconds = request->checkpoint_seconds,
                          .resume = request->resume};
    cm_model *model = NULL;
    cm_status status = learner->fit(&model, &fit, team, runtime, error);
    if (status == CM_OK) status = cm_model_note_encoders(model, features, error);
    if (status == CM_OK) status = note_domain(model, features, dataset, index, error);
    if (status == CM_OK) status = add_facts(model, request, dataset, error);
    if (status == CM_OK) status = cm_model_save(model, request->model_path, error);
    if (status == CM_OK) {
        remove_checkpoints(checkpoint, model->n_members);
        cm_log(runtime, CM_LOG_INFO, "wrote %s (crossmamba models info %s prints its card)",
               request->model_path, request->model_path);
    }
    cm_model_close(model);
    cm_free(index);
    return status;
}

cm_status cm_train(const cm_train_request *request, const cm_dataset *dataset, const cm_runtime *runtime,
                   cm_error *error) {
    const cm_learner *learner;
    CM_TRY(check_request(request, dataset, error));
    CM_TRY(cm_learner_find(&learner, name_of(request), error));
    cm_buf path = CM_BUF_EMPTY;
    if (!cm_buf_printf(&path, "%s%s",
                       request->checkpoint_path ? request->checkpoint_path : request->model_path,
                       request->checkpoint_path ? "" : ".checkpoint"))
        return cm_fail_memory(error, 0);
    sweep_files(request, path.data);
    cm_team *team = cm_team_create(runtime && runtime->threads > 1 ? runtime->threads : 1);
    cm_features *features = NULL;
    cm_status status =
        team ? cm_features_create(&features, dataset, &request->options, NULL, team, runtime, error)
             : cm_fail_memory(error, 0);
    if (status == CM_OK)
        status = train_with(request, learner, dataset, path.data, features, team, runtime, error);
    cm_features_destroy(features);
    cm_team_destroy(team);
    cm_buf_clear(&path);
    return status;
}
