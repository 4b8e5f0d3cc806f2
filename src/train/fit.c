/* The training loop. */
#include "train/fit.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/sha256.h"
#include "data/split.h"
#include "data/split_kind.h"
#include "io/json.h"
#include "metrics/metrics.h"
#include "model/model_kind.h"
#include "nn/option_text.h"
#include "train/adamw.h"
#include "train/checkpoint.h"
#include "train/schedule.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* What a counter of the generator is for. */
enum { KEY_HOLD_OUT = 1, KEY_ORDER, KEY_NOISE, KEY_MEMBER };

/* Everything of one run; the clear function frees it at any stage. */
typedef struct fit {
    const cm_fit_request *request;
    const cm_options *options;
    const struct fit
        *lead; /* the first network of the ensemble, whose division this one shares; NULL: itself */
    cm_team *team;
    const cm_runtime *runtime;
    cm_model *model;
    const cm_op *loss;
    cm_calibration_method calibration;
    int64_t *train, *valid, *order; /* pair numbers; order: positions in train */
    int64_t n_train, n_valid;
    float *target;                                   /* by pair: what the network's output is compared with */
    float class_weight[2];                           /* by label, binary */
    int64_t *batch_index;                            /* [max(batch, n_valid)] */
    float *batch_label, *batch_weight;               /* the same */
    double *valid_label, *valid_score, *valid_value; /* [n_valid]: label, raw score, calibrated value */
    double *watch_label, *watch_score;               /* [n_watch] */
    cm_tape *tape, *valid_tape;
    cm_gather *gather;
    cm_adamw *adamw;
    cm_train_state state;
    char key[65];
    int64_t steps_per_epoch;
    struct timespec last_checkpoint;
} fit;

static void fit_clear(fit *f) {
    cm_free(f->train);
    cm_free(f->valid);
    cm_free(f->order);
    cm_free(f->target);
    cm_free(f->batch_index);
    cm_free(f->batch_label);
    cm_free(f->batch_weight);
    cm_free(f->valid_label);
    cm_free(f->valid_score);
    cm_free(f->valid_value);
    cm_free(f->watch_label);
    cm_free(f->watch_score);
    cm_free(f->state.best);
    cm_adamw_destroy(f->adamw);
    cm_gather_destroy(f->gather);
    cm_tape_destroy(f->tape);
    cm_tape_destroy(f->valid_tape);
    cm_model_close(f->model);
}

static float raw_label(const fit *f, int64_t pair) {
    return f->request->labels ? f->request->labels[pair] : f->request->dataset->pairs[pair].label;
}

/* ---- setting up ---- */

static cm_status choose_loss(fit *f, cm_error *error) {
    static const struct {
        const char *name;
        const cm_op *op;
        bool affinity;
    } losses[] = {{"focal", &cm_op_focal_loss, false},
                  {"bce", &cm_op_bce_loss, false},
                  {"mse", &cm_op_mse_loss, true},
                  {"huber", &cm_op_huber_loss, true}};
    bool affinity = f->request->dataset->task->affinity;
    const char *name =
        strcmp(f->options->loss, "auto") == 0 ? (affinity ? "mse" : "focal") : f->options->loss;
    for (size_t i = 0; i < sizeof losses / sizeof *losses; i++)
        if (strcmp(losses[i].name, name) == 0 && losses[i].affinity == affinity) f->loss = losses[i].op;
    if (f->loss) return CM_OK;
    return cm_fail(error, CM_USAGE, NULL, "option loss",
                   affinity ? "mse or huber for an affinity" : "focal or bce for a binary task", "%s", name);
}

/* Holds the inner validation fold out, of the kind that inner_split names; stratified by label where that
 * kind cannot leave both classes on both parts. */
static cm_status hold_out(fit *f, bool *held, cm_error *error) {
    const cm_fit_request *r = f->request;
    const cm_options *o = f->options;
    bool named = strcmp(o->inner_split, "auto") != 0, done = false;
    const cm_split_kind *kind = cm_split_kind_find(named ? o->inner_split : "random");
    if (!kind)
        return cm_fail(error, CM_USAGE, NULL, "option inner-split", "auto or a kind of split", "%s",
                       o->inner_split);
    uint64_t seed = cm_rng_key((uint64_t)o->seed, KEY_HOLD_OUT, 0);
    cm_split_request split = {.kind = kind};
    cm_split_thresholds(o, split.threshold);
    CM_TRY(cm_split_hold_out_groups(&split, r->dataset, r->index, r->n, o->validation, seed, held, &done,
                                    error));
    if (done) return CM_OK;
    return cm_split_hold_out(r->dataset, r->index, r->n, o->validation, seed, held, error);
}

/* Divides the request's pairs into training and inner validation. */
static cm_status divide(fit *f, cm_error *error) {
    const cm_fit_request *r = f->request;
    size_t n = (size_t)r->n;
    bool *held = cm_new(n, sizeof *held);
    f->train = cm_new(n, sizeof *f->train);
    f->valid = cm_new(n, sizeof *f->valid);
    f->order = cm_new(n, sizeof *f->order);
    cm_status status = held && f->train && f->valid && f->order ? CM_OK : cm_fail_memory(error, n * 8);
    if (status == CM_OK && f->options->validation > 0) status = hold_out(f, held, error);
    for (int64_t i = 0; status == CM_OK && i < r->n; i++) {
        if (held[i])
            f->valid[f->n_valid++] = r->index[i];
        else
            f->train[f->n_train++] = r->index[i];
    }
    cm_free(held);
    if (status == CM_OK && f->n_train == 0)
        status = cm_fail(error, CM_DATA, NULL, NULL, "at least one training pair", "none of %lld pairs",
                         (long long)r->n);
    return status;
}

/* The members of an ensemble share training pairs and inner fold, so that the inner fold is new to all of
 * them. */
static cm_status copy_division(fit *f, cm_error *error) {
    const fit *lead = f->lead;
    size_t n = (size_t)f->request->n;
    f->train = cm_new(n, sizeof *f->train);
    f->valid = cm_new(n, sizeof *f->valid);
    f->order = cm_new(n, sizeof *f->order);
    if (!f->train || !f->valid || !f->order) return cm_fail_memory(error, n * sizeof *f->train);
    memcpy(f->train, lead->train, n * sizeof *f->train);
    memcpy(f->valid, lead->valid, n * sizeof *f->valid);
    f->n_train = lead->n_train;
    f->n_valid = lead->n_valid;
    return CM_OK;
}

/* The range and scale of the training labels; both classes must be there for a binary task. */
static cm_status scale_labels(fit *f, cm_error *error) {
    cm_model *m = f->model;
    double sum = 0, square = 0, least = INFINITY, most = -INFINITY;
    for (int64_t i = 0; i < f->n_train; i++) {
        double y = (double)raw_label(f, f->train[i]);
        sum += y;
        least = y < least ? y : least;
        most = y > most ? y : most;
    }
    double mean = sum / (double)f->n_train;
    for (int64_t i = 0; i < f->n_train; i++) {
        double d = (double)raw_label(f, f->train[i]) - mean;
        square += d * d;
    }
    if (least == most)
        return cm_fail(error, CM_DATA, NULL, "label",
                       m->task->affinity ? "labels that differ" : "both classes among the training pairs",
                       "only %g in %lld pairs", least, (long long)f->n_train);
    m->label_least = least;
    m->label_most = most;
    f->class_weight[0] = f->class_weight[1] = 1.0f;
    if (m->task->affinity) {
        m->label_mean = mean;
        m->label_sd = sqrt(square / (double)f->n_train);
    } else if (f->options->balance) {
        f->class_weight[0] = (float)(0.5 / (1.0 - mean));
        f->class_weight[1] = (float)(0.5 / mean);
    }
    return CM_OK;
}

static cm_status make_targets(fit *f, cm_error *error) {
    int64_t n = f->request->dataset->n_pairs;
    int64_t room = f->n_valid > f->options->batch ? f->n_valid : f->options->batch;
    f->target = cm_new((size_t)n, sizeof *f->target);
    f->batch_index = cm_new((size_t)room, sizeof *f->batch_index);
    f->batch_label = cm_new((size_t)room, sizeof *f->batch_label);
    f->batch_weight = cm_new((size_t)room, sizeof *f->batch_weight);
    f->valid_label = cm_new((size_t)f->n_valid, sizeof *f->valid_label);
    f->valid_score = cm_new((size_t)f->n_valid, sizeof *f->valid_score);
    f->valid_value = cm_new((size_t)f->n_valid, sizeof *f->valid_value);
    if (!f->target || !f->batch_index || !f->batch_label || !f->batch_weight || !f->valid_label ||
        !f->valid_score || !f->valid_value)
        return cm_fail_memory(error, (size_t)n * sizeof *f->target);
    for (int64_t i = 0; i < f->n_valid; i++) f->valid_label[i] = (double)raw_label(f, f->valid[i]);
    for (int64_t i = 0; i < f->request->n; i++) {
        int64_t pair = f->request->index[i];
        f->target[pair] = (float)(((double)raw_label(f, pair) - f->model->label_mean) / f->model->label_sd);
    }
    return CM_OK;
}

static cm_status make_watch(fit *f, cm_error *error) {
    const cm_fit_request *r = f->request;
    f->watch_label = cm_new((size_t)r->n_watch, sizeof *f->watch_label);
    f->watch_score = cm_new((size_t)r->n_watch, sizeof *f->watch_score);
    if (!f->watch_label || !f->watch_score)
        return cm_fail_memory(error, (size_t)r->n_watch * sizeof *f->watch_label);
    for (int64_t i = 0; i < r->n_watch; i++) f->watch_label[i] = (double)raw_label(f, r->watch[i]);
    if (!r->curve) return CM_OK;
    r->curve->epochs = cm_new((size_t)f->options->epochs, sizeof *r->curve->epochs);
    return r->curve->epochs ? CM_OK : cm_fail_memory(error, (size_t)f->options->epochs * sizeof(cm_epoch));
}

static void note_longest(fit *f) {
    const cm_dataset *d = f->request->dataset;
    for (int64_t i = 0; i < f->n_train; i++)
        for (int side = 0; side < 2; side++) {
            int64_t length = d->entities[side][d->pairs[f->train[i]].entity[side]].length;
            if (length > f->model->longest[side]) f->model->longest[side] = length;
        }
}

/* Names data, labels, division and options, so that a checkpoint is never continued with others. */
static cm_status make_key(fit *f, cm_error *error) {
    cm_buf text = CM_BUF_EMPTY;
    cm_buf_printf(&text, "%s\n%s\n%s\n", CM_LIBRARY_VERSION, f->model->task->name, f->request->dataset->hash);
    cm_options_append(&f->model->options, &text);
    for (int64_t i = 0; i < f->request->n; i++) {
        float label = raw_label(f, f->request->index[i]);
        cm_buf_append(&text, &f->request->index[i], sizeof *f->request->index);
        cm_buf_append(&text, &label, sizeof label);
    }
    bool done = !text.failed && cm_sha256_of(text.data, text.len, f->key);
    cm_buf_clear(&text);
    return done ? CM_OK : cm_fail_memory(error, 0);
}

static cm_status make_engine(fit *f, cm_error *error) {
    cm_params *params = f->model->net->params;
    cm_net_init(f->model->net, (uint64_t)f->options->seed);
    f->state.best = cm_new((size_t)cm_params_size(params), sizeof(float));
    f->tape = cm_tape_create(f->team, true);
    f->valid_tape = cm_tape_create(f->team, false);
    f->adamw = cm_adamw_create(params);
    if (!f->state.best || !f->tape || !f->valid_tape || !f->adamw) return cm_fail_memory(error, 0);
    CM_TRY(cm_gather_create(&f->gather, f->request->features, f->model->standard, f->options->input_clip,
                            error));
    f->steps_per_epoch = (f->n_train + f->options->batch - 1) / f->options->batch;
    f->state.best_loss = INFINITY;
    return make_key(f, error);
}

static cm_status fit_setup(fit *f, cm_error *error) {
    const cm_fit_request *r = f->request;
    CM_TRY(choose_loss(f, error));
    CM_TRY(cm_calibration_parse(&f->calibration, f->options->calibration, error));
    CM_TRY(f->lead ? copy_division(f, error) : divide(f, error));
    CM_TRY(cm_model_create(&f->model, &cm_kind_network, r->dataset->task, f->options, r->features->width,
                           error));
    CM_TRY(cm_model_make_network(f->model, error));
    CM_TRY(scale_labels(f, error));
    CM_TRY(make_targets(f, error));
    CM_TRY(make_watch(f, error));
    note_longest(f);
    for (int side = 0; side < CM_SIDES; side++) {
        cm_standard_clear(&f->model->standard[side]);
        CM_TRY(cm_standard_fit(&f->model->standard[side], r->features, r->dataset, side, f->train, f->n_train,
                               error));
    }
    return make_engine(f, error);
}

/* ---- one pass ---- */

/* The mean loss of the network's scores of pairs index[n]. */
static cm_var *batch_loss(fit *f, cm_tape *tape, cm_var *scores, const int64_t *index, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        f->batch_label[i] = f->target[index[i]];
        f->batch_weight[i] = f->class_weight[f->batch_label[i] > 0.5f];
    }
    bool weighted = !f->model->task->affinity && f->options->balance;
    cm_apply with = {.attr = {.gamma = (float)f->options->focal_gamma,
                              .alpha = (float)f->options->focal_alpha,
                              .delta = (float)f->options->huber_delta}};
    cm_var *in[3] = {scores, cm_tape_input(tape, cm_mat_of(f->batch_label, n, 1)),
                     weighted ? cm_tape_input(tape, cm_mat_of(f->batch_weight, n, 1)) : NULL};
    return cm_tape_apply(tape, f->loss, &with, weighted ? 3 : 2, in);
}

static cm_status train_step(fit *f, cm_error *error) {
    int64_t first = f->state.step % f->steps_per_epoch * f->options->batch;
    int64_t n = f->n_train - first < f->options->batch ? f->n_train - first : f->options->batch;
    for (int64_t i = 0; i < n; i++) f->batch_index[i] = f->train[f->order[first + i]];
    cm_net_input input;
    CM_TRY(cm_gather_pairs(f->gather, f->request->dataset, f->batch_index, n, &input, error));
    cm_tape_reset(f->tape, cm_rng_key((uint64_t)f->options->seed, KEY_NOISE, (uint64_t)f->state.step), true);
    cm_var *scores = cm_net_forward(f->model->net, f->tape, &input);
    cm_var *loss = batch_loss(f, f->tape, scores, f->batch_index, n);
    CM_TRY(cm_tape_status(f->tape, error));
    CM_TRY(cm_tape_backward(f->tape, f->model->net->params, loss, error));
    double rate = cm_schedule(f->options->learning_rate, f->options->warmup, f->state.step,
                              f->steps_per_epoch * f->options->epochs);
    double norm = cm_adamw_step(f->adamw, f->model->net->params, f->team, rate, f->options->weight_decay,
                                f->options->clip_norm);
    if (!isfinite(norm))
        return cm_fail(error, CM_NUMERIC, NULL, cm_format("step %lld", (long long)f->state.step + 1).text,
                       "a finite gradient (try a lower --learning-rate)", "a gradient of norm %g", norm);
    f->state.loss_sum += (double)loss->value.data[0];
    f->state.step++;
    return CM_OK;
}

/* ---- the end of an epoch ---- */

/* Runs the network over the inner validation fold. */
static cm_status score_validation(fit *f, cm_error *error) {
    return cm_model_scores(f->model, f->request->features, f->request->dataset, f->valid, f->n_valid, 0,
                           f->team, f->valid_score, error);
}

/* The loss of the scored inner validation fold, on the scale of the network. */
static cm_status validation_loss(fit *f, double *loss, cm_error *error) {
    float *raw = cm_new((size_t)f->n_valid, sizeof *raw);
    if (!raw) return cm_fail_memory(error, (size_t)f->n_valid * sizeof *raw);
    for (int64_t i = 0; i < f->n_valid; i++)
        raw[i] = (float)((f->valid_score[i] - f->model->label_mean) / f->model->label_sd);
    cm_tape_reset(f->valid_tape, 0, false);
    cm_var *scores = cm_tape_input(f->valid_tape, cm_mat_of(raw, f->n_valid, 1));
    const cm_var *out = batch_loss(f, f->valid_tape, scores, f->valid, f->n_valid);
    cm_status status = cm_tape_status(f->valid_tape, error);
    if (status == CM_OK) *loss = (double)out->value.data[0];
    cm_free(raw);
    return status;
}

static void calibrate_values(fit *f) {
    for (int64_t i = 0; i < f->n_valid; i++) f->valid_value[i] = cm_model_value(f->model, f->valid_score[i]);
}

/* All metrics of the calibrated values of the inner validation fold. */
static cm_status validation_metrics(const fit *f, double *out, cm_error *error) {
    return f->model->task->affinity
               ? cm_metrics_affinity(f->valid_value, f->valid_label, f->n_valid, out, error)
               : cm_metrics_binary(f->valid_value, f->valid_label, f->n_valid, f->model->threshold, out,
                                   error);
}

static void report_epoch(const fit *f, double loss, double valid_loss, double metric) {
    bool affinity = f->model->task->affinity;
    int64_t epoch = f->state.step / f->steps_per_epoch;
    cm_text text = f->n_valid ? cm_format("epoch %lld loss %.4f validation %.4f %s %.3f", (long long)epoch,
                                          loss, valid_loss, affinity ? "Pearson" : "MCC", metric)
                              : cm_format("epoch %lld loss %.4f", (long long)epoch, loss);
    cm_report(f->runtime, "train", (double)epoch * (double)f->n_train,
              (double)f->options->epochs * (double)f->n_train, "pairs", text.text);
}

/* The metric of the watched pairs: MCC at probability 0.5, or Pearson. */
static cm_status watched_metric(fit *f, double *metric, cm_error *error) {
    const cm_fit_request *r = f->request;
    bool affinity = f->model->task->affinity;
    double out[CM_METRICS_MAX];
    CM_TRY(cm_model_scores(f->model, r->features, r->dataset, r->watch, r->n_watch, 0, f->team,
                           f->watch_score, error));
    CM_TRY(affinity ? cm_metrics_affinity(f->watch_score, f->watch_label, r->n_watch, out, error)
                    : cm_metrics_binary(f->watch_score, f->watch_label, r->n_watch, 0, out, error));
    *metric = out[cm_metrics_main(affinity)];
    return CM_OK;
}

/* Keeps the weights when the criterion (the inner validation loss) is the lowest so far, else counts towards
 * patience. */
static void judge_epoch(fit *f, double criterion) {
    const cm_params *params = f->model->net->params;
    int64_t epoch = f->state.step / f->steps_per_epoch;
    bool watched = f->request->n_watch > 0;
    if ((f->n_valid == 0 && !watched) || criterion < f->state.best_loss) {
        f->state.best_loss = criterion;
        f->state.best_epoch = epoch;
        memcpy(f->state.best, cm_params_values(params), (size_t)cm_params_size(params) * sizeof(float));
    }
    f->state.stopped_early = !watched && epoch - f->state.best_epoch >= f->options->patience;
}

static cm_status end_epoch(fit *f, cm_error *error) {
    double valid_loss = 0, metrics[CM_METRICS_MAX] = {0};
    if (f->n_valid > 0) {
        CM_TRY(score_validation(f, error));
        CM_TRY(validation_loss(f, &valid_loss, error));
        calibrate_values(f);
        CM_TRY(validation_metrics(f, metrics, error));
    }
    double loss = f->state.loss_sum / (double)f->steps_per_epoch, watched = NAN;
    if (f->request->n_watch > 0) CM_TRY(watched_metric(f, &watched, error));
    if (f->request->curve)
        f->request->curve->epochs[f->request->curve->n++] =
            (cm_epoch){loss, f->n_valid > 0 ? valid_loss : NAN, watched};
    judge_epoch(f, f->request->n_watch > 0 ? -watched : valid_loss);
    report_epoch(f, loss, valid_loss,
                 metrics[f->model->task->affinity ? (int)CM_AFFINITY_pearson : (int)CM_BINARY_mcc]);
    f->state.loss_sum = 0;
    return CM_OK;
}

/* ---- the loop ---- */

static cm_status write_checkpoint(fit *f, cm_error *error) {
    clock_gettime(CLOCK_MONOTONIC, &f->last_checkpoint);
    if (!f->request->checkpoint_path) return CM_OK;
    return cm_checkpoint_write(f->request->checkpoint_path, f->key, f->model->net->params, f->adamw,
                               &f->state, error);
}

static bool checkpoint_due(const fit *f) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    double seconds = (double)(now.tv_sec - f->last_checkpoint.tv_sec) +
                     1e-9 * (double)(now.tv_nsec - f->last_checkpoint.tv_nsec);
    return f->request->checkpoint_path && seconds >= f->request->checkpoint_seconds;
}

static cm_status stop_here(fit *f, cm_error *error) {
    CM_TRY(write_checkpoint(f, error));
    return cm_fail(error, CM_INTERRUPTED, f->request->checkpoint_path, NULL, NULL,
                   "stopped after %lld of at most %lld steps%s", (long long)f->state.step,
                   (long long)(f->steps_per_epoch * f->options->epochs),
                   f->request->checkpoint_path ? "; continue with --resume" : "");
}

static void order_epoch(fit *f) {
    for (int64_t i = 0; i < f->n_train; i++) f->order[i] = i;
    uint64_t epoch = (uint64_t)(f->state.step / f->steps_per_epoch);
    cm_rng_shuffle(cm_rng_key((uint64_t)f->options->seed, KEY_ORDER, epoch), f->order, f->n_train);
}

static cm_status run_steps(fit *f, cm_error *error) {
    int64_t total = f->steps_per_epoch * f->options->epochs;
    clock_gettime(CLOCK_MONOTONIC, &f->last_checkpoint);
    order_epoch(f);
    while (f->state.step < total && !f->state.stopped_early) {
        CM_TRY(train_step(f, error));
        if (f->state.step % f->steps_per_epoch == 0) {
            CM_TRY(end_epoch(f, error));
            order_epoch(f);
        }
        if (cm_stopped(f->runtime)) return stop_here(f, error);
        if (checkpoint_due(f)) CM_TRY(write_checkpoint(f, error));
    }
    return CM_OK;
}

/* Calibration, threshold and conformal bounds from the inner validation fold, and its metrics with them. */
static cm_status choose_calibration(fit *f, double *metrics, cm_error *error) {
    cm_model *m = f->model;
    CM_TRY(score_validation(f, error));
    if (m->task->affinity)
        m->calibration = cm_calibrate(true, f->valid_score, f->valid_label, f->n_valid);
    else
        CM_TRY(cm_calibrate_by(f->calibration, f->valid_score, f->valid_label, f->n_valid, &m->calibration,
                               error));
    calibrate_values(f);
    CM_TRY(cm_conformal_fit(m->task->affinity, f->valid_score, f->valid_value, f->valid_label, f->n_valid,
                            &m->conformal, error));
    if (!m->task->affinity)
        CM_TRY(cm_metrics_best_threshold(f->valid_value, f->valid_label, f->n_valid, &m->threshold, error));
    return validation_metrics(f, metrics, error);
}

/* What the card says of the training and of the inner validation fold. */
static cm_status note_facts(const fit *f, const double *metrics, cm_error *error) {
    cm_model *m = f->model;
    bool affinity = m->task->affinity;
    cm_json_watch();
    json_t *values = json_object();
    for (int i = 0; i < cm_metrics_count(affinity) && f->n_valid > 0; i++)
        if (isfinite(metrics[i]))
            json_object_set_new(values, cm_metrics_name(affinity, i), json_real(metrics[i]));
    json_t *training =
        json_pack("{s:I, s:I, s:I, s:I, s:f}", "training_pairs", (json_int_t)f->n_train, "validation_pairs",
                  (json_int_t)f->n_valid, "epochs", (json_int_t)(f->state.step / f->steps_per_epoch),
                  "best_epoch", (json_int_t)f->state.best_epoch, "validation_loss", f->state.best_loss);
    json_t *metrics_by_fold = json_object();
    bool kept = json_object_set_new(metrics_by_fold,
                                    "inner validation (optimistic: epoch, calibration "
                                    "and threshold were chosen on it)",
                                    values) == 0;
    /* every value is given away, whatever failed before it */
    kept &= json_object_set_new(m->facts, "training", training) == 0;
    kept &= json_object_set_new(m->facts, "metrics", metrics_by_fold) == 0;
    return kept && !cm_json_failed() ? CM_OK : cm_fail_memory(error, 0);
}

/* What is chosen for the network or the whole ensemble, and the facts of the card. */
static cm_status finish(fit *f, cm_error *error) {
    double metrics[CM_METRICS_MAX] = {0};
    if (f->n_valid > 0) CM_TRY(choose_calibration(f, metrics, error));
    cm_log(f->runtime, CM_LOG_INFO,
           "%lld training and %lld inner validation pairs, best epoch %lld of %lld, validation loss %.4f",
           (long long)f->n_train, (long long)f->n_valid, (long long)f->state.best_epoch,
           (long long)(f->state.step / f->steps_per_epoch), f->state.best_loss);
    return note_facts(f, metrics, error);
}

/* Trains one network and leaves it with the weights of its best epoch. A member of an ensemble ends with a
 * checkpoint, so that a run stopped in a later member does not repeat it. */
static cm_status train_network(fit *f, cm_error *error) {
    CM_TRY(fit_setup(f, error));
    if (f->request->resume && f->request->checkpoint_path) {
        bool found;
        CM_TRY(cm_checkpoint_read(f->request->checkpoint_path, f->key, f->model->net->params, f->adamw,
                                  &f->state, &found, error));
        cm_log(f->runtime, CM_LOG_INFO,
               found ? "resuming after step %lld" : "no checkpoint yet: starting at step %lld",
               (long long)f->state.step);
    }
    CM_TRY(run_steps(f, error));
    if (f->options->ensemble > 1) CM_TRY(write_checkpoint(f, error));
    const cm_params *params = f->model->net->params;
    memcpy(cm_params_values(params), f->state.best, (size_t)cm_params_size(params) * sizeof(float));
    return CM_OK;
}

/* Trains member k (from 1) of an ensemble and hands its network to the first one's model. */
static cm_status add_member(fit *lead, int k, cm_error *error) {
    cm_options options = *lead->options;
    cm_fit_request request = *lead->request;
    cm_buf path = CM_BUF_EMPTY;
    options.seed = (long)(cm_rng_key((uint64_t)lead->options->seed, KEY_MEMBER, (uint64_t)k) & 0x7fffffff);
    request.options = &options;
    request.curve = NULL;
    if (request.checkpoint_path) {
        if (!cm_fit_member_path(&path, request.checkpoint_path, k)) return cm_fail_memory(error, 0);
        request.checkpoint_path = path.data;
    }
    fit member = {
        .request = &request, .options = &options, .lead = lead, .team = lead->team, .runtime = lead->runtime};
    cm_status status = train_network(&member, error);
    if (status == CM_OK) {
        lead->model->members[k - 1] = member.model->net;
        member.model->net = NULL;
    }
    fit_clear(&member);
    cm_buf_clear(&path);
    return status;
}

bool cm_fit_member_path(cm_buf *path, const char *checkpoint_path, int k) {
    path->len = 0;
    return cm_buf_printf(path, "%s.member%d", checkpoint_path, k + 1);
}

/* The other networks, at work together with the first one only when all are there. */
static cm_status add_members(fit *f, cm_error *error) {
    CM_TRY(cm_model_make_members(f->model, false, error));
    int n = f->model->n_members;
    cm_status status = CM_OK;
    for (int k = 1; k <= n && status == CM_OK; k++) status = add_member(f, k, error);
    return status;
}

static cm_status fit_run(fit *f, cm_error *error) {
    CM_TRY(train_network(f, error));
    if (f->options->ensemble > 1) CM_TRY(add_members(f, error));
    return finish(f, error);
}

cm_status cm_fit(cm_model **model, const cm_fit_request *request, cm_team *team, const cm_runtime *runtime,
                 cm_error *error) {
    fit f = {.request = request, .options = request->options, .team = team, .runtime = runtime};
    cm_status status = fit_run(&f, error);
    if (status == CM_OK) {
        *model = f.model;
        f.model = NULL;
    }
    fit_clear(&f);
    return status;
}
