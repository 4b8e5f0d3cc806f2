/* Members, fitted part after part. */
#include "train/members.h"
#include "base/alloc.h"
#include "base/log.h"
#include "io/sealed.h"
#include "model/model_kind.h"
#include "train/checkpoint.h"
#include "train/facts.h"
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char file_format[] = "crossmamba members";

typedef struct work {
    cm_members *to;
    const cm_fit_request *request;
    cm_team *team;
    const cm_runtime *runtime;
    int64_t *fit, *target, *position; /* [pairs] */
    double *score, *joined;           /* [pairs] */
    double parts_done;                /* over all members, in order */
    char key[65];                     /* of the file */
    cm_buf part;                      /* path of the checkpoint of the member at work; empty: none */
} work;

static void members_clear(cm_members *members) {
    cm_inner_clear(&members->inner);
    cm_free(members->label);
    cm_free(members->score);
    cm_free(members->value);
}

bool cm_members_part_path(cm_buf *path, const char *checkpoint_path, int m) {
    path->len = 0;
    return cm_buf_printf(path, "%s.part%d", checkpoint_path, m + 1);
}

static void work_clear(work *w) {
    cm_buf_clear(&w->part);
    cm_free(w->fit);
    cm_free(w->target);
    cm_free(w->position);
    cm_free(w->score);
    cm_free(w->joined);
}

static bool make_room(work *w, size_t n) {
    cm_members *to = w->to;
    w->fit = cm_new(n, sizeof *w->fit);
    w->target = cm_new(n, sizeof *w->target);
    w->position = cm_new(n, sizeof *w->position);
    w->score = cm_new(n, sizeof *w->score);
    w->joined = cm_new(n, sizeof *w->joined);
    to->label = cm_new(n, sizeof *to->label);
    to->score = cm_new(n * (size_t)to->n, sizeof *to->score);
    to->value = cm_new(n * (size_t)to->n, sizeof *to->value);
    return w->fit && w->target && w->position && w->score && w->joined && to->label && to->score && to->value;
}

static cm_status divide(work *w, cm_error *error) {
    const cm_fit_request *r = w->request;
    bool fresh[2];
    if (!make_room(w, (size_t)r->n)) return cm_fail_memory(error, (size_t)r->n * 64);
    for (int64_t i = 0; i < r->n; i++) w->to->label[i] = cm_fit_label(r, i);
    CM_TRY(cm_fit_new_sides(r, fresh, error));
    CM_TRY(cm_inner_divide(&w->to->inner, r->dataset, r->index, r->n, fresh, CM_INNER_FOLDS,
                           (uint64_t)r->options->seed, error));
    if (w->to->inner.n_parts > 0) return CM_OK;
    return cm_fail(error, CM_DATA, NULL, r->name,
                   "10 or more training pairs for inner folds (plain predictors take fewer)", "%lld",
                   (long long)r->n);
}

/* ---- what an unfinished run keeps ---- */

enum { KEPT = 3 };

static void list_kept(work *w, cm_tensor kept[KEPT]) {
    int64_t cells = w->to->n * w->request->n;
    const struct {
        const char *name;
        const double *data;
        int64_t n;
    } rows[KEPT] = {
        {"parts", &w->parts_done, 1}, {"score", w->to->score, cells}, {"value", w->to->value, cells}};
    for (int i = 0; i < KEPT; i++) {
        kept[i] = cm_tensor_of(CM_DTYPE_F64, rows[i].data, rows[i].n);
        kept[i].name = rows[i].name;
    }
}

static cm_seal seal_of(const work *w) {
    return (cm_seal){file_format, 1, w->key, "the finished parts of this run",
                     "those of a run with other data or options"};
}

static cm_status keep(work *w, cm_error *error) {
    cm_tensor kept[KEPT];
    const cm_seal seal = seal_of(w);
    if (!w->request->checkpoint_path) return CM_OK;
    list_kept(w, kept);
    return cm_sealed_write(w->request->checkpoint_path, &seal, kept, KEPT, error);
}

static cm_status copy_kept(work *w, const cm_safetensors *file, cm_error *error) {
    cm_tensor kept[KEPT];
    list_kept(w, kept);
    for (int i = 0; i < KEPT; i++) {
        const cm_tensor *have = cm_safetensors_find(file, kept[i].name);
        if (!have || have->dtype != CM_DTYPE_F64 || have->bytes != kept[i].bytes)
            return cm_fail(error, CM_DATA, w->request->checkpoint_path, kept[i].name,
                           cm_format("%zu bytes of f64", kept[i].bytes).text, "something else");
        memcpy((void *)(uintptr_t)kept[i].data, have->data, have->bytes);
    }
    int all = w->to->n * w->to->inner.n_parts;
    if (w->parts_done >= 0 && w->parts_done <= all) return CM_OK;
    return cm_fail(error, CM_DATA, w->request->checkpoint_path, "parts", cm_format("0 to %d", all).text, "%g",
                   w->parts_done);
}

static cm_status restore(work *w, cm_error *error) {
    const char *path = w->request->checkpoint_path;
    const cm_seal seal = seal_of(w);
    cm_safetensors *file = NULL;
    bool foreign;
    if (!w->request->resume || access(path, F_OK) != 0) return CM_OK;
    cm_status status = cm_sealed_open(&file, path, &seal, &foreign, error);
    if (status == CM_OK) status = copy_kept(w, file, error);
    cm_safetensors_close(file);
    if (status == CM_OK)
        cm_log(w->runtime, CM_LOG_INFO, "going on after %.0f of %d held-out parts", w->parts_done,
               w->to->n * w->to->inner.n_parts);
    return status;
}

static cm_status find_finished(work *w, cm_error *error) {
    if (!w->request->checkpoint_path) return CM_OK;
    CM_TRY(cm_fit_key(w->request, w->request->options, w->request->name, w->key, error));
    return restore(w, error);
}

/* The checkpoints of a network, an ensemble perhaps, that has come to its end. */
static cm_status remove_part(const work *w, cm_error *error) {
    cm_buf path = CM_BUF_EMPTY;
    cm_status status = w->part.len ? cm_train_checkpoint_remove(w->part.data, error) : CM_OK;
    for (int k = 1; w->part.len && k < w->request->options->ensemble && status == CM_OK; k++)
        status = cm_fit_member_path(&path, w->part.data, k) ? cm_train_checkpoint_remove(path.data, error)
                                                            : cm_fail_memory(error, 0);
    cm_buf_clear(&path);
    return status;
}

/* ---- fitting ---- */

static cm_status fit_member(work *w, int m, const int64_t *index, int64_t n, cm_model **model,
                            cm_error *error) {
    const cm_learner *learner;
    cm_fit_request own = *w->request;
    own.name = w->to->name[m];
    own.index = index;
    own.n = n;
    own.curve = NULL;
    if (own.checkpoint_path) {
        if (!cm_members_part_path(&w->part, own.checkpoint_path, m)) return cm_fail_memory(error, 0);
        own.checkpoint_path = w->part.data;
        own.resume = own.resume && cm_train_checkpoint_exists(w->part.data);
    }
    CM_TRY(cm_learner_find(&learner, own.name, error));
    return learner->fit(model, &own, w->team, w->runtime, error);
}

/* What member m, fitted without part p, gives the pairs of that part. */
static cm_status hold_out(work *w, int m, int p, cm_error *error) {
    const cm_fit_request *r = w->request;
    int64_t n = cm_inner_list(&w->to->inner, p, false, w->fit),
            count = cm_inner_list(&w->to->inner, p, true, w->position);
    for (int64_t i = 0; i < n; i++) w->fit[i] = r->index[w->fit[i]];
    for (int64_t i = 0; i < count; i++) w->target[i] = r->index[w->position[i]];
    if (count == 0) return CM_OK;
    cm_model *model = NULL;
    CM_TRY(fit_member(w, m, w->fit, n, &model, error));
    cm_status status =
        cm_model_scores(model, r->features, r->dataset, w->target, count, 0, w->team, w->score, error);
    for (int64_t i = 0; i < count && status == CM_OK; i++) {
        int64_t at = m * r->n + w->position[i];
        w->to->score[at] = w->score[i];
        w->to->value[at] = cm_model_value(model, w->score[i]);
    }
    cm_model_close(model);
    return status == CM_OK ? remove_part(w, error) : status;
}

static cm_status hold_out_all(work *w, cm_error *error) {
    int parts = w->to->inner.n_parts;
    for (int at = (int)w->parts_done; at < w->to->n * parts; at++) {
        cm_log(w->runtime, CM_LOG_INFO, "%s without held-out part %d of %d", w->to->name[at / parts],
               at % parts + 1, parts);
        CM_TRY(hold_out(w, at / parts, at % parts, error));
        w->parts_done = at + 1;
        CM_TRY(keep(w, error));
    }
    return CM_OK;
}

static cm_status fit_all(work *w, cm_model *model, cm_error *error) {
    const cm_fit_request *r = w->request;
    for (int m = 0; m < w->to->n; m++) {
        const char *name = w->to->name[m];
        cm_log(w->runtime, CM_LOG_INFO, "%s with all pairs", name);
        CM_TRY(fit_member(w, m, r->index, r->n, &model->part[m], error));
        snprintf(model->part_name[m], CM_PART_NAME, "%.31s",
                 strcmp(name, cm_learner_network.name) == 0 ? r->options->fusion : name);
        model->n_parts = m + 1;
    }
    return CM_OK;
}

/* Members held out and whole, then joined. */
static cm_status make(work *w, cm_model *model, cm_members_join *join, cm_error *error) {
    CM_TRY(divide(w, error));
    CM_TRY(find_finished(w, error));
    CM_TRY(hold_out_all(w, error));
    CM_TRY(fit_all(w, model, error));
    CM_TRY(join(model, w->to, w->joined, w->runtime, error));
    return cm_fit_note(model,
                       json_pack("{s:I, s:i}", "training_pairs", (json_int_t)w->request->n, "inner_parts",
                                 w->to->inner.n_parts),
                       error);
}

cm_status cm_members_fit(cm_model **model, const cm_model_kind *kind, const char *prefix,
                         cm_members_join *join, const cm_fit_request *request, cm_team *team,
                         const cm_runtime *runtime, cm_error *error) {
    cm_model *m = NULL;
    CM_TRY(cm_fit_begin(&m, kind, request, error));
    cm_members members = {0};
    members.n = cm_member_names(prefix, request->name, NULL, members.name);
    work w = {.to = &members, .request = request, .team = team, .runtime = runtime};
    cm_status status = make(&w, m, join, error);
    work_clear(&w);
    members_clear(&members);
    if (status == CM_OK)
        *model = m;
    else
        cm_model_close(m);
    return status;
}
