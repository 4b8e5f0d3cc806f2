/* Setting a training run up: the division of the pairs, targets, network and optimiser. */
#include "base/alloc.h"
#include "base/rng.h"
#include "data/split.h"
#include "data/split_kind.h"
#include "train/facts.h"
#include "train/fit_parts.h"
#include <math.h>
#include <string.h>

void cm_fit_clear(cm_fit_run *f) {
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

static float raw_label(const cm_fit_run *f, int64_t pair) {
    return f->request->labels ? f->request->labels[pair] : f->request->dataset->pairs[pair].label;
}
static cm_status choose_loss(cm_fit_run *f, cm_error *error) {
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
static cm_status hold_out(cm_fit_run *f, bool *held, cm_error *error) {
    const cm_fit_request *r = f->request;
    const cm_options *o = f->options;
    bool named = strcmp(o->inner_split, "auto") != 0, done = false;
    const cm_split_kind *kind = cm_split_kind_find(named ? o->inner_split : "random");
    if (!kind)
        return cm_fail(error, CM_USAGE, NULL, "option inner-split", "auto or a kind of split", "%s",
                       o->inner_split);
    uint64_t seed = cm_rng_key((uint64_t)o->seed, CM_KEY_HOLD_OUT, 0);
    cm_split_request split = {.kind = kind};
    cm_split_thresholds(o, split.threshold);
    CM_TRY(cm_split_hold_out_groups(&split, r->dataset, r->index, r->n, o->validation, seed, held, &done,
                                    error));
    if (done) return CM_OK;
    return cm_split_hold_out(r->dataset, r->index, r->n, o->validation, seed, held, error);
}

/* Divides the request's pairs into training and inner validation. */
static cm_status divide(cm_fit_run *f, cm_error *error) {
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
static cm_status copy_division(cm_fit_run *f, cm_error *error) {
    const cm_fit_run *lead = f->lead;
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
static cm_status scale_labels(cm_fit_run *f, cm_error *error) {
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

static cm_status make_targets(cm_fit_run *f, cm_error *error) {
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

static cm_status make_watch(cm_fit_run *f, cm_error *error) {
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

static void note_longest(cm_fit_run *f) {
    const cm_dataset *d = f->request->dataset;
    for (int64_t i = 0; i < f->n_train; i++)
        for (int side = 0; side < 2; side++) {
            int64_t length = d->entities[side][d->pairs[f->train[i]].entity[side]].length;
            if (length > f->model->longest[side]) f->model->longest[side] = length;
        }
}

static cm_status make_engine(cm_fit_run *f, cm_error *error) {
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
    CM_TRY(cm_fit_key(f->request, &f->model->options, "", f->key, error));
    f->checkpoint = (cm_train_checkpoint){.path = f->request->checkpoint_path,
                                          .key = f->key,
                                          .n_steps = f->steps_per_epoch * f->options->epochs,
                                          .epoch_steps = f->steps_per_epoch};
    return CM_OK;
}

cm_status cm_fit_setup(cm_fit_run *f, cm_error *error) {
    const cm_fit_request *r = f->request;
    CM_TRY(choose_loss(f, error));
    CM_TRY(cm_fit_check_labels(r, error));
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
