/* Creating a model and running its network over pairs. */
#include "model/network.h"
#include "base/alloc.h"
#include <math.h>
#include <string.h>

enum {
    BATCH_TOKENS = 4096, /* tokens of both sides in one pass when the caller leaves it open */
    BATCH_PAIRS = 256
};

cm_status cm_model_create(cm_model **model, const cm_task *task, const cm_options *options,
                          const int64_t width[CM_SIDES], cm_error *error) {
    cm_model *m = cm_new(1, sizeof *m);
    if (!m) return cm_fail_memory(error, sizeof *m);
    m->task = task;
    m->options = *options;
    cm_features_resolve(&m->options, task);
    m->label_sd = 1.0;
    m->threshold = 0.5;
    m->calibration = (cm_calibration){.slope = 1.0};
    m->conformal = (cm_conformal){NAN, {NAN, NAN}};
    m->facts = json_object();
    cm_status status =
        m->facts ? cm_net_create_sides(&m->net, &m->options, width, error) : cm_fail_memory(error, 0);
    for (int side = 0; side < CM_SIDES && status == CM_OK; side++)
        status = cm_standard_create(&m->standard[side], width[side], error);
    if (status != CM_OK) {
        cm_model_close(m);
        return status;
    }
    *model = m;
    return CM_OK;
}

void cm_model_close(cm_model *model) {
    if (!model) return;
    cm_net_destroy(model->net);
    for (int k = 0; k < model->n_members; k++) cm_net_destroy(model->members[k]);
    cm_free(model->members);
    cm_domain_clear(&model->domain[0]);
    cm_domain_clear(&model->domain[1]);
    for (int side = 0; side < CM_SIDES; side++) cm_standard_clear(&model->standard[side]);
    cm_free(model->identity[0]);
    cm_free(model->identity[1]);
    json_decref(model->facts);
    cm_free(model->card);
    cm_free(model->card_text);
    cm_free(model);
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

cm_status cm_model_note_encoders(cm_model *model, const cm_features *features, cm_error *error) {
    for (int side = 0; side < 2; side++) {
        cm_free(model->identity[side]);
        model->identity[side] = cm_copy_text(features->identity[side], strlen(features->identity[side]));
        if (!model->identity[side]) return cm_fail_memory(error, 0);
        model->precision[side] = features->precision[side];
    }
    return CM_OK;
}

cm_status cm_model_locate_encoder(cm_model *model, int side, const char *reference, cm_error *error) {
    char *name = side == 0 ? model->options.encoder_a : model->options.encoder_b;
    return cm_encoder_relocate(name, reference, name, sizeof model->options.encoder_a, error);
}

const cm_task *cm_model_task(const cm_model *model) {
    return model->task;
}

const cm_options *cm_model_options(const cm_model *model) {
    return &model->options;
}

double cm_model_value(const cm_model *model, double score) {
    double value = cm_calibrated(&model->calibration, model->task->affinity, score);
    if (!model->task->affinity) return value;
    return value < model->label_least  ? model->label_least
           : value > model->label_most ? model->label_most
                                       : value;
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

static cm_status score_all(const cm_model *model, const cm_features *features, const cm_dataset *dataset,
                           const int64_t *index, int64_t n, int64_t batch, cm_tape *tape, cm_gather *gather,
                           score_target to, cm_error *error) {
    for (int64_t done = 0; done < n;) {
        int64_t count = pass_size(features, dataset, index + done, n - done, batch);
        score_target here = {to.score + done, to.spread ? to.spread + done : NULL};
        CM_TRY(score_pass(model, tape, gather, dataset, index + done, count, here, error));
        done += count;
    }
    return CM_OK;
}

cm_status cm_model_scores(const cm_model *model, const cm_features *features, const cm_dataset *dataset,
                          const int64_t *index, int64_t n, int64_t batch, cm_team *team, double *score,
                          cm_error *error) {
    return cm_model_scores_spread(model, features, dataset, index, n, batch, team, score, NULL, error);
}

cm_status cm_model_scores_spread(const cm_model *model, const cm_features *features,
                                 const cm_dataset *dataset, const int64_t *index, int64_t n, int64_t batch,
                                 cm_team *team, double *score, double *spread, cm_error *error) {
    int64_t *all = NULL;
    if (!index) {
        all = cm_new((size_t)n, sizeof *all);
        if (!all) return cm_fail_memory(error, (size_t)n * sizeof *all);
        for (int64_t i = 0; i < n; i++) all[i] = i;
        index = all;
    }
    cm_tape *tape = cm_tape_create(team, false);
    cm_gather *gather = NULL;
    cm_status status =
        tape ? cm_gather_create(&gather, features, model->standard, model->options.input_clip, error)
             : cm_fail_memory(error, 0);
    if (status == CM_OK)
        status = score_all(model, features, dataset, index, n, batch, tape, gather,
                           (score_target){score, spread}, error);
    cm_gather_destroy(gather);
    cm_tape_destroy(tape);
    cm_free(all);
    return status;
}
