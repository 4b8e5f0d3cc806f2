/* Prediction for a data set: encode, score, calibrate, warn. */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/log.h"
#include "model/network.h"
#include <crossmamba/predict.h>

enum { SINK_PAIRS = 1024 }; /* pairs scored before the sink sees them */

static const double unknown_share_warned = 0.05;

/* Buffers of one prediction. */
typedef struct prediction_run {
    const cm_model *model;
    const cm_dataset *dataset;
    const cm_features *features;
    double *nearest[2]; /* by entity: similarity to the nearest training molecule; NULL: not known */
    double *score, *spread;
    int64_t *index;
} prediction_run;

static void run_clear(prediction_run *run) {
    cm_free(run->nearest[0]);
    cm_free(run->nearest[1]);
    cm_free(run->score);
    cm_free(run->spread);
    cm_free(run->index);
}

static cm_status run_make(prediction_run *run, cm_error *error) {
    const cm_model *m = run->model;
    run->score = cm_new(SINK_PAIRS, sizeof *run->score);
    run->spread = cm_new(SINK_PAIRS, sizeof *run->spread);
    run->index = cm_new(SINK_PAIRS, sizeof *run->index);
    if (!run->score || !run->spread || !run->index)
        return cm_fail_memory(error, SINK_PAIRS * sizeof *run->score);
    for (int side = 0; side < 2; side++) {
        if (m->domain[side].n == 0) continue;
        size_t n = (size_t)run->features->n_entities[side];
        run->nearest[side] = cm_new(n, sizeof *run->nearest[side]);
        if (!run->nearest[side]) return cm_fail_memory(error, n * sizeof *run->nearest[side]);
        CM_TRY(cm_domain_nearest(&m->domain[side], run->features, &m->standard[side], m->options.input_clip,
                                 side, run->nearest[side], error));
    }
    return CM_OK;
}

/* Appends the warnings of one side. */
static void side_warnings(const prediction_run *run, const cm_pair *pair, int side, cm_buf *text) {
    const cm_model *model = run->model;
    const cm_dataset *dataset = run->dataset;
    const cm_entity *entity = &dataset->entities[side][pair->entity[side]];
    char letter = side == 0 ? 'A' : 'B';
    if (model->longest[side] > 0 && entity->length > model->longest[side])
        cm_buf_printf(text, "%s%c longer than trained (%lld > %lld)", text->len ? ";" : "", letter,
                      (long long)entity->length, (long long)model->longest[side]);
    if (entity->unknown > unknown_share_warned)
        cm_buf_printf(text, "%s%c unknown residues %.0f %%", text->len ? ";" : "", letter,
                      100.0 * entity->unknown);
    const double *nearest = run->nearest[side];
    if (nearest && nearest[pair->entity[side]] < model->domain[side].threshold)
        cm_buf_printf(text, "%s%c unlike the training molecules (%.2f < %.2f)", text->len ? ";" : "", letter,
                      nearest[pair->entity[side]], model->domain[side].threshold);
}

static cm_status deliver(const prediction_run *run, int64_t first, int64_t n, cm_prediction_sink sink,
                         void *context, cm_error *error) {
    cm_buf text = CM_BUF_EMPTY;
    cm_status status = CM_OK;
    for (int64_t i = 0; i < n && status == CM_OK; i++) {
        const cm_pair *pair = &run->dataset->pairs[first + i];
        text.len = 0;
        side_warnings(run, pair, 0, &text);
        side_warnings(run, pair, 1, &text);
        double value = cm_model_value(run->model, run->score[i]);
        double half_width = run->model->conformal.half_width; /* NaN for binary tasks */
        cm_prediction prediction = {.id_a = pair->id[0],
                                    .id_b = pair->id[1],
                                    .score = run->score[i],
                                    .value = value,
                                    .warnings = text.len ? text.data : "",
                                    .low = value - half_width,
                                    .high = value + half_width,
                                    .uncertainty = run->spread[i]};
        if (text.failed)
            status = cm_fail_memory(error, 0);
        else if (sink(context, &prediction) != 0)
            status = cm_fail(error, CM_INTERRUPTED, NULL, NULL, NULL,
                             "stopped by the receiver of the predictions");
    }
    cm_buf_clear(&text);
    return status;
}

static cm_status predict_slices(const prediction_run *run, cm_scorer *scorer, cm_prediction_sink sink,
                                void *context, const cm_runtime *runtime, cm_error *error) {
    const cm_dataset *dataset = run->dataset;
    for (int64_t first = 0; first < dataset->n_pairs; first += SINK_PAIRS) {
        int64_t n = dataset->n_pairs - first < SINK_PAIRS ? dataset->n_pairs - first : SINK_PAIRS;
        for (int64_t i = 0; i < n; i++) run->index[i] = first + i;
        CM_TRY(cm_scorer_run(scorer, run->index, n, run->score, run->spread, error));
        CM_TRY(deliver(run, first, n, sink, context, error));
        cm_report(runtime, "predict", (double)(first + n), (double)dataset->n_pairs, "pairs", "");
        if (cm_stopped(runtime))
            return cm_fail(error, CM_INTERRUPTED, NULL, NULL, NULL, "stopped while predicting");
    }
    return CM_OK;
}

static cm_status check_widths(const cm_model *model, const cm_features *features, cm_error *error) {
    static const char *const places[CM_SIDES] = {"encoder of side A", "encoder of side B", "pair encoder"};
    for (int side = 0; side < CM_SIDES; side++)
        if (features->width[side] != model->standard[side].width)
            return cm_fail(error, CM_MODEL, NULL, places[side],
                           cm_format("%lld columns", (long long)model->standard[side].width).text,
                           "%lld columns: the model was made by another version of the encoder",
                           (long long)features->width[side]);
    return CM_OK;
}

cm_status cm_predict(cm_model *model, const cm_dataset *dataset, long batch, cm_prediction_sink sink,
                     void *context, const cm_runtime *runtime, cm_error *error) {
    if (dataset->task != model->task)
        return cm_fail(error, CM_USAGE, NULL, "task", model->task->name, "a data set for %s",
                       dataset->task->name);
    cm_team *team = cm_team_create(runtime && runtime->threads > 1 ? runtime->threads : 1);
    if (!team) return cm_fail_memory(error, 0);
    const cm_expected_encoder expected[2] = {{model->identity[0], model->precision[0]},
                                             {model->identity[1], model->precision[1]}};
    cm_features *features = NULL;
    cm_status status =
        cm_features_create(&features, dataset, &model->options, expected, team, runtime, error);
    if (status == CM_OK) status = check_widths(model, features, error);
    prediction_run run = {.model = model, .dataset = dataset, .features = features};
    if (status == CM_OK) status = run_make(&run, error);
    cm_scorer *scorer = NULL;
    if (status == CM_OK) status = cm_scorer_open(&scorer, model, features, dataset, batch, team, error);
    if (status == CM_OK) status = predict_slices(&run, scorer, sink, context, runtime, error);
    cm_scorer_close(scorer);
    run_clear(&run);
    cm_features_destroy(features);
    cm_team_destroy(team);
    return status;
}
