/* The inside of a model: a network with everything that turns molecules into calibrated values. */
#ifndef CM_MODEL_NETWORK_H
#define CM_MODEL_NETWORK_H

#include "metrics/calibrate.h"
#include "metrics/conformal.h"
#include "model/domain.h"
#include "model/features.h"
#include <crossmamba/model.h>
#include <jansson.h>

struct cm_model {
    const cm_task *task;
    cm_options options; /* encoders resolved */
    cm_net *net;
    cm_net **members; /* the further networks of an ensemble, whose scores are averaged with net's */
    int n_members;
    cm_domain domain[2];            /* which molecules of each side the model has seen */
    cm_standard standard[CM_SIDES]; /* of CM_SIDE_PAIR: width 0 without a pair channel */
    double label_mean, label_sd;    /* affinity: score = mean + sd * network; binary: 0 and 1 */
    double label_least, label_most; /* affinity: values are clipped to this range of the training labels */
    int64_t longest[2];             /* longest training molecule of each side */
    cm_calibration calibration;
    cm_conformal conformal;    /* 90 % intervals or sets, from the inner validation fold */
    double threshold;          /* binary: class 1 at and above; chosen on the inner validation fold */
    char *identity[2];         /* of the checkpoints behind each side's encoder; NULL or "": built in */
    cm_precision precision[2]; /* in which they ran */
    json_t *facts;             /* object: data, training, metrics, licence, notes of the card */
    char *card, *card_text;    /* as JSON, and as text for people */
};

/* A model with the network of options for inputs of these widths (cm_net_create_sides); all weights 0, no
 * standardisation yet. */
cm_status cm_model_create(cm_model **model, const cm_task *task, const cm_options *options,
                          const int64_t width[CM_SIDES], cm_error *error);

/* Makes room for the further networks that options.ensemble asks for, NULL; or also the networks. */
cm_status cm_model_make_members(cm_model *model, bool networks, cm_error *error);

/* Takes over which checkpoints, in which precision, made features. */
cm_status cm_model_note_encoders(cm_model *model, const cm_features *features, cm_error *error);

/* Writes the model file, atomically; the same model gives the same bytes. */
cm_status cm_model_save(cm_model *model, const char *path, cm_error *error);

/* Raw scores of pairs index[n] (NULL: pairs 0..n-1) into score[n]; batch pairs a pass at most (0: chosen by
 * tokens). Neither batch nor team changes a bit. CM_NUMERIC when a score is not finite. */
cm_status cm_model_scores(const cm_model *model, const cm_features *features, const cm_dataset *dataset,
                          const int64_t *index, int64_t n, int64_t batch, cm_team *team, double *score,
                          cm_error *error);

/* The same, and into spread[n] the standard deviation of the members' calibrated values (NaN for one
 * network). */
cm_status cm_model_scores_spread(const cm_model *model, const cm_features *features,
                                 const cm_dataset *dataset, const int64_t *index, int64_t n, int64_t batch,
                                 cm_team *team, double *score, double *spread, cm_error *error);

/* The calibrated value of a raw score: probability, or affinity inside the training range. */
double cm_model_value(const cm_model *model, double score);

#endif
