/* The kind "network": a fusion network, or an ensemble whose scores are averaged. */
#include "base/alloc.h"
#include "model/model_kind.h"
#include <math.h>
#include <string.h>

enum {
    BATCH_TOKENS = 4096, /* tokens of both sides in one pass when the caller leaves it open */
    BATCH_PAIRS = 256
};

cm_status cm_model_make_network(cm_model *model, cm_error *error) {
    int64_t width[CM_SIDES];
    for (int side = 0; side < CM_SIDES; side++) width[side] = model->standard[side].width;
    return cm_net_create_sides(&model->net, &model->options, width, error);
}

cm_status cm_model_make_members(cm_model *m, bool networks, cm_error *error) {
    int n = (int)m->options.ensemble - 1;
    m->members = cm_new((size_t)n, sizeof *m->members);
    if (!m->members) return cm_fail_memory(error, (size_t)n * sizeof(cm_net *));
    m->n_members = n;
    for (int k = 0; k < n && networks; k++)
        CM_TRY(cm_net_create_sides(&m->members[k], &m->options, m->net->width, error));
    return CM_OK;
}

static void clear(cm_model *model) {
    cm_net_destroy(model->net);
    for (int k = 0; k < model->n_members; k++) cm_net_destroy(model->members[k]);
    cm_free(model->members);
}

/* ---- the file ---- */

static int64_t size(const cm_model *model) {
    return cm_net_size(model->net) * (1 + model->n_members);
}

static cm_status describe(const cm_model *model, json_t *card, cm_error *error) {
    (void)model, (void)card, (void)error; /* the options say everything */
    return CM_OK;
}

static cm_status check_size(const cm_model *model, const cm_model_source *from, cm_error *error) {
    int64_t values = 0, width[CM_SIDES];
    size_t all;
    for (int side = 0; side < CM_SIDES; side++) width[side] = model->standard[side].width;
    CM_TRY(cm_net_count(&model->options, width, &values, error));
    if (!cm_size_mul((size_t)values, (size_t)model->options.ensemble, &all)) all = SIZE_MAX;
    return cm_model_check_size(from, all, error);
}

static cm_status build(cm_model *model, const cm_model_source *from, cm_error *error) {
    CM_TRY(check_size(model, from, error));
    CM_TRY(cm_model_make_network(model, error));
    return cm_model_make_members(model, true, error);
}

static cm_status list_net(const cm_net *net, const char *prefix, cm_tensor_list *list, cm_error *error) {
    for (int i = 0; i < cm_params_count(net->params); i++) {
        const cm_param *p = cm_params_get(net->params, i);
        cm_tensor tensor = {.dtype = CM_DTYPE_F32,
                            .n_dims = p->n_dims,
                            .data = cm_params_value(net->params, i).data,
                            .bytes = (size_t)p->count * sizeof(float)};
        memcpy(tensor.dims, p->dims, (size_t)p->n_dims * sizeof *p->dims);
        CM_TRY(cm_tensor_list_add(list, prefix, p->name, tensor, error));
    }
    return CM_OK;
}

static cm_status list(const cm_model *model, const char *prefix, cm_tensor_list *tensors, cm_error *error) {
    CM_TRY(list_net(model->net, prefix, tensors, error));
    for (int k = 0; k < model->n_members; k++)
        CM_TRY(list_net(model->members[k], cm_format("%smember.%d.", prefix, k + 2).text, tensors, error));
    return CM_OK;
}

/* ---- scores ---- */

typedef struct engine {
    cm_tape *tape;
    cm_gather *gather;
} engine;

static cm_status open_engine(cm_scorer *scorer, cm_error *error) {
    engine *e = scorer->state = cm_new(1, sizeof *e);
    if (!e) return cm_fail_memory(error, sizeof *e);
    e->tape = cm_tape_create(scorer->team, false);
    if (!e->tape) return cm_fail_memory(error, 0);
    return cm_gather_create(&e->gather, scorer->features, scorer->model->standard,
                            scorer->model->options.input_clip, error);
}

static void close_engine(cm_scorer *scorer) {
    engine *e = scorer->state;
    if (!e) return;
    cm_gather_destroy(e->gather);
    cm_tape_destroy(e->tape);
    cm_free(e);
}

/* Pairs from `from` on that fit into one pass. */
static int64_t pass_size(const cm_features *features, const cm_dataset *dataset, const int64_t *index,
                         int64_t n, int64_t batch) {
    if (batch > 0) return n < batch ? n : batch;
    int64_t tokens = 0, count = 0;
    while (count < n && count < BATCH_PAIRS) {
        tokens += cm_features_tokens(features, &dataset->pairs[index[count]]);
        if (count > 0 && tokens > BATCH_TOKENS) break;
        count++;
    }
    return count;
}

/* Where scores go. */
typedef struct score_target {
    double *score, *spread; /* spread may be NULL */
} score_target;

static const cm_net *net_of(const cm_model *model, int k) {
    return k == 0 ? model->net : model->members[k - 1];
}

/* Raw outputs of one network for a gathered batch into raw[n]. */
static cm_status run_net(const cm_net *net, cm_tape *tape, const cm_net_input *input,
                         const cm_dataset *dataset, const int64_t *index, int64_t n, double *raw,
                         cm_error *error) {
    cm_tape_reset(tape, 0, false);
    const cm_var *out = cm_net_forward(net, tape, input);
    CM_TRY(cm_tape_status(tape, error));
    for (int64_t i = 0; i < n; i++) {
        raw[i] = (double)cm_mat_row(out->value, i)[0];
        if (!isfinite(raw[i]))
            return cm_fail(
                error, CM_NUMERIC, NULL,
                cm_format("pair %s, %s", dataset->pairs[index[i]].id[0], dataset->pairs[index[i]].id[1]).text,
                "a finite score", "%g: the weights or the inputs are broken", raw[i]);
    }
    return CM_OK;
}

/* Mean of the members' scores of one pair, and the standard deviation of their calibrated values. raw:
 * members step apart. */
static void combine(const cm_model *model, const double *raw, int64_t step, double *score, double *spread) {
    int nets = 1 + model->n_members;
    double sum = 0, mean = 0, square = 0;
    for (int k = 0; k < nets; k++) sum += raw[k * step];
    *score = model->label_mean + model->label_sd * (sum / nets);
    if (!spread) return;
    for (int k = 0; k < nets; k++)
        mean += cm_model_value(model, model->label_mean + model->label_sd * raw[k * step]) / nets;
    for (int k = 0; k < nets; k++) {
        double d = cm_model_value(model, model->label_mean + model->label_sd * raw[k * step]) - mean;
        square += d * d;
    }
    *spread = nets > 1 ? sqrt(square / (nets - 1)) : NAN;
}

static cm_status score_pass(const cm_model *model, cm_tape *tape, cm_gather *gather,
                            const cm_dataset *dataset, const int64_t *index, int64_t n, score_target to,
                            cm_error *error) {
    cm_net_input input;
    CM_TRY(cm_gather_pairs(gather, dataset, index, n, &input, error));
    double *raw = cm_new((size_t)n * (size_t)(1 + model->n_members), sizeof *raw);
    if (!raw) return cm_fail_memory(error, (size_t)n * sizeof *raw);
    cm_status status = CM_OK;
    for (int k = 0; k <= model->n_members && status == CM_OK; k++)
        status = run_net(net_of(model, k), tape, &input, dataset, index, n, raw + k * n, error);
    for (int64_t i = 0; i < n && status == CM_OK; i++)
        combine(model, raw + i, n, &to.score[i], to.spread ? &to.spread[i] : NULL);
    cm_free(raw);
    return status;
}

static cm_status score(cm_scorer *scorer, const int64_t *index, int64_t n, double *out, double *spread,
                       cm_error *error) {
    const engine *e = scorer->state;
    for (int64_t done = 0; done < n;) {
        int64_t count = pass_size(scorer->features, scorer->dataset, index + done, n - done, scorer->batch);
        score_target here = {out + done, spread ? spread + done : NULL};
        CM_TRY(
            score_pass(scorer->model, e->tape, e->gather, scorer->dataset, index + done, count, here, error));
        done += count;
    }
    return CM_OK;
}

const cm_model_kind cm_kind_network = {
    .name = "network",
    .help = "a fusion network or an ensemble of them",
    .size = size,
    .describe = describe,
    .build = build,
    .list = list,
    .clear = clear,
    .open = open_engine,
    .score = score,
    .close = close_engine,
};
