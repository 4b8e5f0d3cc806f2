/* Members, fitted part after part. */
#include "train/members.h"
#include "base/alloc.h"
#include "base/log.h"
#include "train/facts.h"
#include <stdio.h>
#include <string.h>

typedef struct work {
    cm_members *to;
    const cm_fit_request *request;
    cm_team *team;
    const cm_runtime *runtime;
    int64_t *fit, *target, *position; /* [pairs] */
    double *score;                    /* [pairs] */
} work;

void cm_members_clear(cm_members *members) {
    cm_inner_clear(&members->inner);
    cm_free(members->label);
    cm_free(members->score);
    cm_free(members->value);
}

static void work_clear(work *w) {
    cm_free(w->fit);
    cm_free(w->target);
    cm_free(w->position);
    cm_free(w->score);
}

static bool make_room(work *w, size_t n) {
    cm_members *to = w->to;
    w->fit = cm_new(n, sizeof *w->fit);
    w->target = cm_new(n, sizeof *w->target);
    w->position = cm_new(n, sizeof *w->position);
    w->score = cm_new(n, sizeof *w->score);
    to->label = cm_new(n, sizeof *to->label);
    to->score = cm_new(n * (size_t)to->n, sizeof *to->score);
    to->value = cm_new(n * (size_t)to->n, sizeof *to->value);
    return w->fit && w->target && w->position && w->score && to->label && to->score && to->value;
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
    return cm_fail(error, CM_DATA, NULL, r->name, "10 or more training pairs for inner folds", "%lld",
                   (long long)r->n);
}

static cm_status fit_member(const work *w, int m, const int64_t *index, int64_t n, cm_model **model,
                            cm_error *error) {
    const cm_learner *learner;
    cm_fit_request own = *w->request;
    own.name = w->to->name[m];
    own.index = index;
    own.n = n;
    own.checkpoint_path = NULL;
    own.curve = NULL;
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
    return status;
}

static cm_status fit_all(work *w, cm_model *model, cm_error *error) {
    const cm_fit_request *r = w->request;
    for (int m = 0; m < w->to->n; m++) {
        const char *name = w->to->name[m];
        for (int p = 0; p < w->to->inner.n_parts; p++) CM_TRY(hold_out(w, m, p, error));
        CM_TRY(fit_member(w, m, r->index, r->n, &model->part[m], error));
        snprintf(model->part_name[m], CM_PART_NAME, "%.31s",
                 strcmp(name, cm_learner_network.name) == 0 ? r->options->fusion : name);
        model->n_parts = m + 1;
    }
    return CM_OK;
}

cm_status cm_members_fit(cm_members *members, cm_model *model, const char *prefix,
                         const cm_fit_request *request, cm_team *team, const cm_runtime *runtime,
                         cm_error *error) {
    *members = (cm_members){0};
    members->n = cm_member_names(prefix, request->name, NULL, members->name);
    work w = {.to = members, .request = request, .team = team, .runtime = runtime};
    cm_status status = divide(&w, error);
    if (status == CM_OK) status = fit_all(&w, model, error);
    work_clear(&w);
    return status;
}
