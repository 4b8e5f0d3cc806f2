/* The training loop. */
#include "base/alloc.h"
#include "base/log.h"
#include "base/rng.h"
#include "io/json.h"
#include "metrics/metrics.h"
#include "train/fit_parts.h"
#include "train/schedule.h"
#include <math.h>
#include <string.h>

/* The mean loss of the network's scores of pairs index[n]. */
static cm_var *batch_loss(cm_fit_run *f, cm_tape *tape, cm_var *scores, const int64_t *index, int64_t n) {
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

/* ---- steps without numbers ---- */

static bool all_finite(const float *values, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(values[i])) return false;
    return true;
}

/* Best weights so far, or those of the beginning; AdamW anew. */
static cm_status roll_back(cm_fit_run *f, cm_error *error) {
    cm_net *net = f->model->net;
    cm_text place = cm_format("step %lld", (long long)f->state.step);
    if (f->state.roll_backs == CM_ROLL_BACKS)
        return cm_fail(
            error, CM_NUMERIC, NULL, place.text, "finite losses and gradients (try a lower --learning-rate)",
            "%d steps in a row without, after %d roll-backs and with the learning rate %g", CM_SKIPS_IN_ROW,
            CM_ROLL_BACKS, ldexp(f->options->learning_rate, -(int)f->state.roll_backs));
    f->state.roll_backs++;
    if (f->request->trouble) f->request->trouble->roll_backs++;
    f->state.in_row = 0;
    if (f->state.best_epoch > 0)
        memcpy(cm_params_values(net->params), f->state.best,
               (size_t)cm_params_size(net->params) * sizeof(float));
    else
        cm_net_init(net, (uint64_t)f->options->seed);
    cm_adamw_reset(f->adamw);
    cm_log(f->runtime, CM_LOG_WARNING,
           "%s: %d skipped in a row: back to the weights of epoch %lld, learning rate %g from here on",
           place.text, CM_SKIPS_IN_ROW, (long long)f->state.best_epoch,
           ldexp(f->options->learning_rate, -(int)f->state.roll_backs));
    return CM_OK;
}

static cm_status skip_step(cm_fit_run *f, const char *what, double value, cm_error *error) {
    f->state.step++;
    f->state.skipped++;
    if (f->request->trouble) f->request->trouble->skipped++;
    f->state.in_row++;
    cm_log(f->runtime, CM_LOG_WARNING, "step %lld: %s %g: skipped (%lld so far)", (long long)f->state.step,
           what, isnan(value) ? NAN /* without its sign */ : value, (long long)f->state.skipped);
    return f->state.in_row < CM_SKIPS_IN_ROW ? CM_OK : roll_back(f, error);
}

/* ---- one step ---- */

/* The loss of the step's batch, on the tape. */
static cm_status step_loss(cm_fit_run *f, cm_var **loss, cm_error *error) {
    int64_t first = f->state.step % f->steps_per_epoch * f->options->batch;
    int64_t n = f->n_train - first < f->options->batch ? f->n_train - first : f->options->batch;
    for (int64_t i = 0; i < n; i++) f->batch_index[i] = f->train[f->order[first + i]];
    cm_net_input input;
    CM_TRY(cm_gather_pairs(f->gather, f->request->dataset, f->batch_index, n, &input, error));
    cm_tape_reset(f->tape, cm_rng_key((uint64_t)f->options->seed, CM_KEY_NOISE, (uint64_t)f->state.step),
                  true);
    cm_var *scores = cm_net_forward(f->model->net, f->tape, &input);
    *loss = batch_loss(f, f->tape, scores, f->batch_index, n);
    return cm_tape_status(f->tape, error);
}

static cm_status train_step(cm_fit_run *f, cm_error *error) {
    cm_var *loss;
    double rate = cm_schedule(f->options->learning_rate, f->options->warmup, f->state.step,
                              f->steps_per_epoch * f->options->epochs);
    CM_TRY(step_loss(f, &loss, error));
    double value = (double)loss->value.data[0];
    if (!isfinite(value)) return skip_step(f, "a loss of", value, error);
    CM_TRY(cm_tape_backward(f->tape, f->model->net->params, loss, error));
    double norm =
        cm_adamw_step(f->adamw, f->model->net->params, f->team, ldexp(rate, -(int)f->state.roll_backs),
                      f->options->weight_decay, f->options->clip_norm);
    if (!isfinite(norm)) return skip_step(f, "a gradient of norm", norm, error);
    f->state.loss_sum += value;
    f->state.loss_steps++;
    f->state.in_row = 0;
    f->state.step++;
    return CM_OK;
}

/* ---- the end of an epoch ---- */

/* Runs the network over the inner validation fold. */
static cm_status score_validation(cm_fit_run *f, cm_error *error) {
    return cm_model_scores(f->model, f->request->features, f->request->dataset, f->valid, f->n_valid, 0,
                           f->team, f->valid_score, error);
}

/* The loss of the scored inner validation fold, on the scale of the network. */
static cm_status validation_loss(cm_fit_run *f, double *loss, cm_error *error) {
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

static void calibrate_values(cm_fit_run *f) {
    for (int64_t i = 0; i < f->n_valid; i++) f->valid_value[i] = cm_model_value(f->model, f->valid_score[i]);
}

/* All metrics of the calibrated values of the inner validation fold. */
static cm_status validation_metrics(const cm_fit_run *f, double *out, cm_error *error) {
    return f->model->task->affinity
               ? cm_metrics_affinity(f->valid_value, f->valid_label, f->n_valid, out, error)
               : cm_metrics_binary(f->valid_value, f->valid_label, f->n_valid, f->model->threshold, out,
                                   error);
}

static void report_epoch(const cm_fit_run *f, double loss, double valid_loss, double metric) {
    bool affinity = f->model->task->affinity;
    int64_t epoch = f->state.step / f->steps_per_epoch;
    cm_text text = f->n_valid ? cm_format("epoch %lld loss %.4f validation %.4f %s %.3f", (long long)epoch,
                                          loss, valid_loss, affinity ? "Pearson" : "MCC", metric)
                              : cm_format("epoch %lld loss %.4f", (long long)epoch, loss);
    cm_report(f->runtime, "train", (double)epoch * (double)f->n_train,
              (double)f->options->epochs * (double)f->n_train, "pairs", text.text);
}

/* The metric of the watched pairs: MCC at probability 0.5, or Pearson. */
static cm_status watched_metric(cm_fit_run *f, double *metric, cm_error *error) {
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
static void judge_epoch(cm_fit_run *f, double criterion) {
    const cm_params *params = f->model->net->params;
    int64_t epoch = f->state.step / f->steps_per_epoch;
    bool watched = f->request->n_watch > 0;
    bool better = (f->n_valid == 0 && !watched) || criterion < f->state.best_loss;
    if (better && all_finite(cm_params_values(params), cm_params_size(params))) {
        f->state.best_loss = criterion;
        f->state.best_epoch = epoch;
        memcpy(f->state.best, cm_params_values(params), (size_t)cm_params_size(params) * sizeof(float));
    }
    f->state.stopped_early = !watched && epoch - f->state.best_epoch >= f->options->patience;
}

/* A network whose scores are no numbers has no loss and no metric; the epoch is not kept. */
static cm_status without_numbers(const cm_fit_run *f, cm_status status, const cm_error *why, double *value,
                                 cm_error *error) {
    if (status != CM_NUMERIC) {
        if (status != CM_OK && error) *error = *why;
        return status;
    }
    *value = NAN;
    cm_log(f->runtime, CM_LOG_WARNING, "epoch %lld: scores that are no finite numbers: not kept",
           (long long)(f->state.step / f->steps_per_epoch));
    return CM_OK;
}

static cm_status judge_validation(cm_fit_run *f, double *loss, double *metrics, cm_error *error) {
    CM_TRY(score_validation(f, error));
    CM_TRY(validation_loss(f, loss, error));
    calibrate_values(f);
    return validation_metrics(f, metrics, error);
}

static cm_status end_epoch(cm_fit_run *f, cm_error *error) {
    double valid_loss = 0, watched = NAN, metrics[CM_METRICS_MAX] = {0};
    double loss = f->state.loss_sum / (double)f->state.loss_steps;
    cm_error own = {.status = CM_OK};
    if (f->n_valid > 0)
        CM_TRY(without_numbers(f, judge_validation(f, &valid_loss, metrics, &own), &own, &valid_loss, error));
    if (f->request->n_watch > 0)
        CM_TRY(without_numbers(f, watched_metric(f, &watched, &own), &own, &watched, error));
    if (f->request->curve)
        f->request->curve->epochs[f->request->curve->n++] =
            (cm_epoch){loss, f->n_valid > 0 ? valid_loss : NAN, watched};
    judge_epoch(f, f->request->n_watch > 0 ? -watched : valid_loss);
    report_epoch(f, loss, valid_loss,
                 metrics[f->model->task->affinity ? (int)CM_AFFINITY_pearson : (int)CM_BINARY_mcc]);
    f->state.loss_sum = 0;
    f->state.loss_steps = 0;
    return CM_OK;
}

/* ---- the loop ---- */

/* Not while weights or moments are no numbers, before the run rolls back: the checkpoint before leads there
 * too. */
static cm_status write_checkpoint(cm_fit_run *f, cm_error *error) {
    const cm_params *params = f->model->net->params;
    int64_t n = cm_params_size(params);
    clock_gettime(CLOCK_MONOTONIC, &f->last_checkpoint);
    if (!f->checkpoint.path || !all_finite(cm_params_values(params), n) ||
        !all_finite(cm_adamw_first(f->adamw), n) || !all_finite(cm_adamw_second(f->adamw), n))
        return CM_OK;
    return cm_train_checkpoint_write(&f->checkpoint, f->model->net->params, f->adamw, &f->state, error);
}

static bool checkpoint_due(const cm_fit_run *f) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    double seconds = (double)(now.tv_sec - f->last_checkpoint.tv_sec) +
                     1e-9 * (double)(now.tv_nsec - f->last_checkpoint.tv_nsec);
    return f->checkpoint.path && seconds >= f->request->checkpoint_seconds;
}

static cm_status stop_here(cm_fit_run *f, cm_error *error) {
    CM_TRY(write_checkpoint(f, error));
    return cm_fail(error, CM_INTERRUPTED, f->checkpoint.path, NULL, NULL,
                   "stopped after %lld of at most %lld steps%s", (long long)f->state.step,
                   (long long)(f->steps_per_epoch * f->options->epochs),
                   f->checkpoint.path ? "; continue with --resume" : "");
}

static void order_epoch(cm_fit_run *f) {
    for (int64_t i = 0; i < f->n_train; i++) f->order[i] = i;
    uint64_t epoch = (uint64_t)(f->state.step / f->steps_per_epoch);
    cm_rng_shuffle(cm_rng_key((uint64_t)f->options->seed, CM_KEY_ORDER, epoch), f->order, f->n_train);
}

static cm_status run_steps(cm_fit_run *f, cm_error *error) {
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
static cm_status choose_calibration(cm_fit_run *f, double *metrics, cm_error *error) {
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
static cm_status note_facts(const cm_fit_run *f, const double *metrics, cm_error *error) {
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
    if (f->state.skipped > 0) {
        json_object_set_new(training, "skipped_steps", json_integer(f->state.skipped));
        json_object_set_new(training, "roll_backs", json_integer(f->state.roll_backs));
    }
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
static cm_status finish(cm_fit_run *f, cm_error *error) {
    double metrics[CM_METRICS_MAX] = {0};
    if (f->n_valid > 0) CM_TRY(choose_calibration(f, metrics, error));
    cm_log(f->runtime, CM_LOG_INFO,
           "%lld training and %lld inner validation pairs, best epoch %lld of %lld, validation loss %.4f",
           (long long)f->n_train, (long long)f->n_valid, (long long)f->state.best_epoch,
           (long long)(f->state.step / f->steps_per_epoch), f->state.best_loss);
    if (f->state.skipped > 0)
        cm_log(f->runtime, CM_LOG_WARNING,
               "%lld steps were skipped for a loss or gradient that is no number, with %lld roll-backs",
               (long long)f->state.skipped, (long long)f->state.roll_backs);
    return note_facts(f, metrics, error);
}

/* Trains one network and leaves it with the weights of its best epoch. A member of an ensemble ends with a
 * checkpoint, so that a run stopped in a later member does not repeat it. */
static cm_status train_network(cm_fit_run *f, cm_error *error) {
    CM_TRY(cm_fit_setup(f, error));
    if (f->request->resume && f->checkpoint.path) {
        bool found;
        CM_TRY(cm_train_checkpoint_read(&f->checkpoint, f->model->net->params, f->adamw, &f->state, &found,
                                        f->runtime, error));
        cm_log(f->runtime, CM_LOG_INFO,
               found ? "resuming after step %lld" : "no checkpoint yet: starting at step %lld",
               (long long)f->state.step);
    }
    CM_TRY(run_steps(f, error));
    if (f->state.best_epoch == 0 && f->request->n_watch == 0)
        return cm_fail(error, CM_NUMERIC, NULL, "training",
                       "an epoch with finite weights and validation loss (try a lower --learning-rate)",
                       "none in %lld", (long long)(f->state.step / f->steps_per_epoch));
    if (f->options->ensemble > 1) CM_TRY(write_checkpoint(f, error));
    const cm_params *params = f->model->net->params;
    memcpy(cm_params_values(params), f->state.best, (size_t)cm_params_size(params) * sizeof(float));
    return CM_OK;
}

/* Trains member k (from 1) of an ensemble and hands its network to the first one's model. */
static cm_status add_member(cm_fit_run *lead, int k, cm_error *error) {
    cm_options options = *lead->options;
    cm_fit_request request = *lead->request;
    cm_buf path = CM_BUF_EMPTY;
    options.seed = (long)(cm_rng_key((uint64_t)lead->options->seed, CM_KEY_MEMBER, (uint64_t)k) & 0x7fffffff);
    request.options = &options;
    request.curve = NULL;
    if (request.checkpoint_path) {
        if (!cm_fit_member_path(&path, request.checkpoint_path, k)) return cm_fail_memory(error, 0);
        request.checkpoint_path = path.data;
    }
    cm_fit_run member = {
        .request = &request, .options = &options, .lead = lead, .team = lead->team, .runtime = lead->runtime};
    cm_status status = train_network(&member, error);
    if (status == CM_OK) {
        lead->state.skipped += member.state.skipped;
        lead->state.roll_backs += member.state.roll_backs;
        lead->model->members[k - 1] = member.model->net;
        member.model->net = NULL;
    }
    cm_fit_clear(&member);
    cm_buf_clear(&path);
    return status;
}

bool cm_fit_member_path(cm_buf *path, const char *checkpoint_path, int k) {
    path->len = 0;
    return cm_buf_printf(path, "%s.member%d", checkpoint_path, k + 1);
}

/* The other networks, at work together with the first one only when all are there. */
static cm_status add_members(cm_fit_run *f, cm_error *error) {
    CM_TRY(cm_model_make_members(f->model, false, error));
    int n = f->model->n_members;
    cm_status status = CM_OK;
    for (int k = 1; k <= n && status == CM_OK; k++) status = add_member(f, k, error);
    return status;
}

static cm_status fit_run(cm_fit_run *f, cm_error *error) {
    CM_TRY(train_network(f, error));
    if (f->options->ensemble > 1) CM_TRY(add_members(f, error));
    return finish(f, error);
}

cm_status cm_fit(cm_model **model, const cm_fit_request *request, cm_team *team, const cm_runtime *runtime,
                 cm_error *error) {
    cm_fit_run f = {.request = request, .options = request->options, .team = team, .runtime = runtime};
    cm_status status = fit_run(&f, error);
    if (status == CM_OK) {
        *model = f.model;
        f.model = NULL;
    }
    cm_fit_clear(&f);
    return status;
}
