/* Creating a model and running its network over pairs. */
#include "model/network.h"
#include "base/alloc.h"
#include <math.h>
#include <string.h>

enum {
    BATCH_TOKENS = 4096, /* tokens of both sides in one pass when the caller leaves it open */
    BATCH_PAIRS = 256
};

cm_status cm_model_create(cm_model **model, const cm_task *task, const cm_options *options, int64_t width_a,
                          int64_t width_b, cm_error *error) {
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
        m->facts ? cm_net_create(&m->net, &m->options, width_a, width_b, error) : cm_fail_memory(error, 0);
    if (status == CM_OK) status = cm_standard_create(&m->standard[0], width_a, error);
    if (status == CM_OK) status = cm_standard_create(&m->standard[1], width_b, error);
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
    cm_standard_clear(&model->standard[0]);
    cm_standard_clear(&model->standard[1]);
    cm_free(model->identity[0]);
    cm_free(model->identity[1]);
    json_decref(model->facts);
    cm_free(model->card);
    cm_free(model->card_text);
    cm_free(model);
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

static cm_status score_pass(const cm_model *model, cm_tape *tape, cm_gather *gather,
                            const cm_dataset *dataset, const int64_t *index, int64_t n, double *score,
                            cm_error *error) {
    cm_net_input input;
    CM_TRY(cm_gather_pairs(gather, dataset, index, n, &input, error));
    cm_tape_reset(tape, 0, false);
    const cm_var *out = cm_net_forward(model->net, tape, &input);
    CM_TRY(cm_tape_status(tape, error));
    for (int64_t i = 0; i < n; i++) {
        double raw = (double)cm_mat_row(out->value, i)[0];
        if (!isfinite(raw))
            return cm_fail(
                error, CM_NUMERIC, NULL,
                cm_format("pair %s, %s", dataset->pairs[index[i]].id[0], dataset->pairs[index[i]].id[1]).text,
                "a finite score", "%g: the weights or the inputs are broken", raw);
        score[i] = model->label_mean + model->label_sd * raw;
    }
    return CM_OK;
}

static cm_status score_all(const cm_model *model, const cm_features *features, const cm_dataset *dataset,
                           const int64_t *index, int64_t n, int64_t batch, cm_tape *tape, cm_gather *gather,
                           double *score, cm_error *error) {
    for (int64_t done = 0; done < n;) {
        int64_t count = pass_size(features, dataset, index + done, n - done, batch);
        CM_TRY(score_pass(model, tape, gather, dataset, index + done, count, score + done, error));
        done += count;
    }
    return CM_OK;
}

cm_status cm_model_scores(const cm_model *model, const cm_features *features, const cm_dataset *dataset,
                          const int64_t *index, int64_t n, int64_t batch, cm_team *team, double *score,
                          cm_error *error) {
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
        status = score_all(model, features, dataset, index, n, batch, tape, gather, score, error);
    cm_gather_destroy(gather);
    cm_tape_destroy(tape);
    cm_free(all);
    return status;
}
