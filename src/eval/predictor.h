/* Predictors: what an evaluation compares. Each is one file and one row in predictors.def. */
#ifndef CM_EVAL_PREDICTOR_H
#define CM_EVAL_PREDICTOR_H

#include "data/dataset.h"
#include "eval/similarity.h"
#include "metrics/conformal.h"
#include "model/features.h"
#include "train/fit.h"
#include <crossmamba/eval.h>
#include <crossmamba/options.h>
#include <crossmamba/runtime.h>

/* One training part and its tested pairs. A predictor is a pure function of it: neither threads nor the order
 * of calls changes a bit. It must not look at the label of any pair that is not in train, nor at an id. */
typedef struct cm_predictor_call {
    const char *name; /* under which the predictor was asked for */
    const cm_dataset *dataset;
    const cm_features *features;
    const cm_similarity *similarity;    /* when the predictor asks for it */
    const struct cm_stage_input *stage; /* of a second stage: its members' scores (eval/stage.h) */
    const cm_options *options;          /* with the seed of the repeat */
    const float *label;                 /* by pair of the data set; in place of the data set's own */
    const int64_t *train;               /* [n_train] pairs, ascending: for training and every choice */
    const int64_t *test;                /* [n_test] pairs to predict */
    int64_t n_train, n_test;
    cm_track track;            /* paper: the best epoch is chosen on test; others may ignore it */
    const cm_runtime *runtime; /* to be asked for a stop; runs in one thread, no messages */
    /* results */
    double *score;           /* [n_test] raw score */
    double *value;           /* [n_test] calibrated: probability or affinity */
    double *threshold;       /* binary: class 1 at and above; 0.5 when the predictor leaves it */
    cm_conformal *conformal; /* bounds from inner validation; NaN when the predictor leaves them */
    cm_fit_curve *curve;     /* learning curve; empty when the predictor leaves it */
    cm_fit_trouble *trouble; /* of the training; zeros when the predictor leaves it */
} cm_predictor_call;

/* Kinds of task, for cm_predictor.serves. */
enum { CM_SERVES_BINARY = 1, CM_SERVES_AFFINITY = 2, CM_SERVES_ALL = 3 };

typedef struct cm_predictor {
    const char *name, *help;
    unsigned serves;
    bool similarity; /* looks at how alike molecules are */
    bool stage;      /* runs on the scores of other predictors; the name is a pattern with NAME in it */
    bool whole;      /* of a stage: its members are trained on the whole training part alone */
    bool baseline;   /* sees identity, length or composition of the molecules and no more */
    bool kept;       /* finished units go to the checkpoint folder; false for what is computed in no time */
    /* Row i of a predictor that stands for several names (0 past the end); NULL: it has the one name above.
     */
    int (*row)(int i, cm_table_row *row);
    cm_status (*run)(const cm_predictor_call *call, cm_error *error);
} cm_predictor;

#define CM_PREDICTOR_ROW(name) extern const cm_predictor cm_predictor_##name;
#include "eval/predictors.def"
#undef CM_PREDICTOR_ROW

/* The predictor of a name: NAME, stack:NAME/NAME or mean:NAME/NAME, each also with +memory; CM_USAGE lists
 * the names. */
cm_status cm_predictor_find(const cm_predictor **predictor, const char *name, cm_error *error);

/* CM_USAGE when the predictor, or a member of it, does not serve tasks of this kind. *similarity becomes true
 * when one looks at it. */
cm_status cm_predictor_check(const char *name, bool affinity, bool *similarity, cm_error *error);

#endif
