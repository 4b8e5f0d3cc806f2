/* The inside of a model: what scores pairs (a network, a kernel model, boosted trees, models of models:
 * model/model_kind.h) with everything that turns molecules into calibrated values. */
#ifndef CM_MODEL_NETWORK_H
#define CM_MODEL_NETWORK_H

#include "kernel/kernel_model.h"
#include "metrics/calibrate.h"
#include "metrics/conformal.h"
#include "model/domain.h"
#include "model/features.h"
#include <crossmamba/model.h>
#include <jansson.h>

typedef struct cm_model_kind cm_model_kind;
typedef struct cm_scorer cm_scorer;

enum { CM_PARTS_MAX = 8, CM_PART_NAME = 32 };

struct cm_model {
    const cm_task *task;
    const cm_model_kind *kind;
    cm_options options; /* encoders resolved */
    /* a network */
    cm_net *net;
    cm_net **members; /* the further networks of an ensemble, whose scores are averaged with net's */
    int n_members;
    /* a kernel model */
    cm_kernel_model *kernel;
    /* boosted trees */
    struct cm_boosted *boosted;
    /* a stack or a mean: whole models by name; a stack's score = part_offset + sum of part_weight *
     * cm_model_handed of a part's value */
    cm_model *part[CM_PARTS_MAX];
    char part_name[CM_PARTS_MAX][CM_PART_NAME];
    int n_parts;
    double part_weight[CM_PARTS_MAX], part_offset;
    /* every model */
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
    char predictor[CM_PARTS_MAX * CM_PART_NAME + 8]; /* cm_model_predictor; set with the card */
};

/* A model of a kind for inputs of these widths, empty inside; no standardisation yet. */
cm_status cm_model_create(cm_model **model, const cm_model_kind *kind, const cm_task *task,
                          const cm_options *options, const int64_t width[CM_SIDES], cm_error *error);

/* Gives it the network of its options (cm_net_create_sides), all weights 0. */
cm_status cm_model_make_network(cm_model *model, cm_error *error);

/* Makes room for the further networks that options.ensemble asks for, NULL; or also the networks. */
cm_status cm_model_make_members(cm_model *model, bool networks, cm_error *error);

/* Takes over which checkpoints, in which precision, made features. */
cm_status cm_model_note_encoders(cm_model *model, const cm_features *features, cm_error *error);

/* Writes the model file, atomically; the same model gives the same bytes. */
cm_status cm_model_save(cm_model *model, const char *path, cm_error *error);

/* Scores pairs of a data set, call by call; features are of the same data set. batch pairs a pass at most (0:
 * chosen). Neither batch nor team nor the division into calls changes a bit. */
cm_status cm_scorer_open(cm_scorer **scorer, const cm_model *model, const cm_features *features,
                         const cm_dataset *dataset, int64_t batch, cm_team *team, cm_error *error);
void cm_scorer_close(cm_scorer *scorer);

/* Raw scores of pairs index[n] into score[n], and into spread[n] (or NULL) the standard deviation of the
 * members' calibrated values (of an ensemble's networks, of a model's parts; NaN: there is one alone).
 * CM_NUMERIC when a score is not finite. */
cm_status cm_scorer_run(cm_scorer *scorer, const int64_t *index, int64_t n, double *score, double *spread,
                        cm_error *error);

/* All at once; index NULL: pairs 0..n-1. */
cm_status cm_model_scores(const cm_model *model, const cm_features *features, const cm_dataset *dataset,
                          const int64_t *index, int64_t n, int64_t batch, cm_team *team, double *score,
                          cm_error *error);

/* What a stack takes from a model's calibrated value: the logit of a probability, or the affinity itself.
 * Logits are on one scale in all parts of a training set, since each part was calibrated by itself. */
double cm_model_handed(bool affinity, double value);

/* The calibrated value of a raw score: probability, or affinity inside the training range. */
double cm_model_value(const cm_model *model, double score);

#endif
