/* Scores for pairs. */
#ifndef CROSSMAMBA_PREDICT_H
#define CROSSMAMBA_PREDICT_H

#include <crossmamba/dataset.h>
#include <crossmamba/error.h>
#include <crossmamba/export.h>
#include <crossmamba/model.h>
#include <crossmamba/runtime.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct cm_prediction {
    const char *id_a, *id_b;
    double score;         /* the model's raw output: a logit or margin, or the affinity before calibration */
    double value;         /* calibrated: probability of interaction, or affinity in the task's unit */
    const char *warnings; /* "" or for example "A longer than trained;B unknown residues 12 %", "A unlike the
                             training molecules (0.31 < 0.52)" */
    double low, high;     /* affinity: 90 % conformal interval of value; NaN: none */
    double uncertainty;   /* standard deviation of value between an ensemble's networks or a stack's or mean's
                             parts; NaN: one alone */
} cm_prediction;

/* Called once a pair in the data set's order; returning non-zero stops with CM_INTERRUPTED. */
typedef int (*cm_prediction_sink)(void *context, const cm_prediction *prediction);

/* Scores every pair of dataset (made for the model's task). batch: pairs per pass (0: chosen); neither it
 * nor the number of threads changes a bit of the result. */
CM_API cm_status cm_predict(cm_model *model, const cm_dataset *dataset, long batch, cm_prediction_sink sink,
                            void *context, const cm_runtime *runtime, cm_error *error);

#ifdef __cplusplus
}
#endif
#endif
