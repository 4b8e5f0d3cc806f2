/* Prediction for a data set: encode, score, calibrate, warn. */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/log.h"
#include "model/network.h"
#include <crossmamba/predict.h>

enum { SINK_PAIRS = 1024 }; /* pairs scored before the sink sees them */

static const double unknown_share_warned = 0.05;

/* Appends the warnings of one side. */
static void side_warnings(const cm_model *model, const cm_dataset *dataset, const cm_pair *pair, int side,
                          cm_buf *text) {
    const cm_entity *entity = &dataset->entities[side][pair->entity[side]];
    char letter = side == 0 ? 'A' : 'B';
    if (model->longest[side] > 0 && entity->length > model->longest[side])
        cm_buf_printf(text, "%s%c longer than trained (%lld > %lld)", text->len ? ";" : "", letter,
                      (long long)entity->length, (long long)model->longest[side]);
    if (entity->unknown > unknown_share_warned)
        cm_buf_printf(text, "%s%c unknown residues %.0f %%", text->len ? ";" : "", letter,
                      100.0 * entity->unknown);
}

static cm_status deliver(const cm_model *model, const cm_dataset *dataset, int64_t first, int64_t n,
                         const double *score, cm_prediction_sink sink, void *context, cm_error *error) {
    cm_buf text = CM_BUF_EMPTY;
    cm_status status = CM_OK;
    for (int64_t i = 0; i < n && status == CM_OK; i++) {
        const cm_pair *pair = &dataset->pairs[first + i];
        text.len = 0;
        side_warnings(model, dataset, pair, 0, &text);
        side_warnings(model, dataset, pair, 1, &text);
        cm_prediction prediction = {pair->id[0], pair->id[1], score[i], cm_model_value(model, score[i]),
                                    text.len ? text.data : ""};
        if (text.failed)
            status = cm_fail_memory(error, 0);
        else if (sink(context, &prediction) != 0)
            status = cm_fail(error, CM_INTERRUPTED, NULL, NULL, NULL,
                             "stopped by the receiver of the predictions");
    }
    cm_buf_clear(&text);
    return status;
}

static cm_status predict_slices(const cm_model *model, const cm_dataset *dataset, const cm_features *features,
                                int64_t batch, cm_team *team, double *score, int64_t *index,
                                cm_prediction_sink sink, void *context, const cm_runtime *runtime,
                                cm_error *error) {
    for (int64_t first = 0; first < dataset->n_pairs; first += SINK_PAIRS) {
        int64_t n = dataset->n_pairs - first < SINK_PAIRS ? dataset->n_pairs - first : SINK_PAIRS;
        for (int64_t i = 0; i < n; i++) index[i] = first + i;
        CM_TRY(cm_model_scores(model, features, dataset, index, n, batch, team, score, error));
        CM_TRY(deliver(model, dataset, first, n, score, sink, context, error));
        cm_report(runtime, "predict", (double)(first + n), (double)dataset->n_pairs, "pairs", "");
        if (cm_stopped(runtime))
            return cm_fail(error, CM_INTERRUPTED, NULL, NULL, NULL, "stopped while predicting");
    }
    return CM_OK;
}

static cm_status check_widths(const cm_model *model, const cm_features *features, cm_error *error) {
    for (int side = 0; side < 2; side++)
        if (features->width[side] != model->standard[side].width)
            return cm_fail(error, CM_MODEL, NULL, side == 0 ? "encoder of side A" : "encoder of side B",
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
    double *score = cm_new(SINK_PAIRS, sizeof *score);
    int64_t *index = cm_new(SINK_PAIRS, sizeof *index);
    cm_status status = score && index ? CM_OK : cm_fail_memory(error, SINK_PAIRS * sizeof *score);
    if (status == CM_OK)
        status = cm_features_create(&features, dataset, &model->options, expected, team, runtime, error);
    if (status == CM_OK) status = check_widths(model, features, error);
    if (status == CM_OK)
        status = predict_slices(model, dataset, features, batch, team, score, index, sink, context, runtime,
                                error);
    cm_features_destroy(features);
    cm_free(score);
    cm_free(index);
    cm_team_destroy(team);
    return status;
}
