/* The kinds of models. Each kind is one file and one row in model_kinds.def, and says how its models score
 * pairs, what they add to the card, which tensors they keep, and how they are put together from a file.
 * Everything else of a model (calibration, intervals, domain, card, prediction, evaluation) is common and
 * asks the kind through this record. How a kind is fitted is a learner's business (train/learner.h). */
#ifndef CM_MODEL_MODEL_KIND_H
#define CM_MODEL_MODEL_KIND_H

#include "io/safetensors.h"
#include "model/network.h"

/* The tensors of a model, with names of their own. */
typedef struct cm_tensor_list {
    cm_tensor *tensors;
    char (*names)[128];
    size_t count, room;
} cm_tensor_list;

/* Adds a tensor called prefix and name. tensor.data points into the model: what is written, and where a
 * reader copies to; tensor.name is ignored. */
cm_status cm_tensor_list_add(cm_tensor_list *list, const char *prefix, const char *name, cm_tensor tensor,
                             cm_error *error);
void cm_tensor_list_clear(cm_tensor_list *list);

/* A plain array as tensor [count]. */
cm_tensor cm_tensor_of(cm_dtype dtype, const void *data, int64_t count);

/* What a model is put together from: its card, and the file in which its tensors are called prefix and their
 * name. path names the file in messages. */
typedef struct cm_model_source {
    const json_t *card;
    const cm_safetensors *file;
    const char *prefix, *path;
} cm_model_source;

/* A card can name sizes of any number: before memory is taken for values numbers of 4 bytes, the file must
 * have tensors of about that size. What is missing of a small model is better told tensor by tensor.
 * CM_MODEL. */
cm_status cm_model_check_size(const cm_model_source *from, size_t values, cm_error *error);

/* The length of a tensor of the file that must have one dimension, of least to most; the rest is checked when
 * it is read. CM_MODEL. */
cm_status cm_model_tensor_length(const cm_model_source *from, const char *name, int64_t least, int64_t most,
                                 int64_t *length, cm_error *error);

/* A model at work on the pairs of a data set. */
struct cm_scorer {
    const cm_model *model;
    const cm_features *features;
    const cm_dataset *dataset;
    int64_t batch; /* pairs a pass at most; 0: chosen */
    cm_team *team;
    void *state; /* the kind's */
};

struct cm_model_kind {
    const char *name; /* in the card, key "predictor"; a card without the key is a network's */
    const char *help;
    /* The number of learnt values. */
    int64_t (*size)(const cm_model *model);
    /* Adds what build needs to the card. */
    cm_status (*describe)(const cm_model *model, json_t *card, cm_error *error);
    /* Makes room for all tensors; sizes come from the card or from the file's tensors, whose extent is
     * checked. */
    cm_status (*build)(cm_model *model, const cm_model_source *from, cm_error *error);
    cm_status (*list)(const cm_model *model, const char *prefix, cm_tensor_list *list, cm_error *error);
    /* After the tensors were read, which are finite: checks what the kind relies on, derives the rest. NULL:
     * nothing. */
    cm_status (*finish)(cm_model *model, const cm_model_source *from, cm_error *error);
    void (*clear)(cm_model *model);
    cm_status (*open)(cm_scorer *scorer, cm_error *error);
    /* As cm_scorer_run. */
    cm_status (*score)(cm_scorer *scorer, const int64_t *index, int64_t n, double *score, double *spread,
                       cm_error *error);
    void (*close)(cm_scorer *scorer);
};

#define CM_MODEL_KIND_ROW(name) extern const cm_model_kind cm_kind_##name;
#include "model/model_kinds.def"

/* The kind of a name, NULL: there is none. */
const cm_model_kind *cm_model_kind_find(const char *name);

/* The common part of a model and of every model inside it, as far as a file is concerned: puts one together
 * from a source without reading tensors, lists all tensors, and finishes. */
cm_status cm_model_build(cm_model **model, const cm_model_source *from, cm_error *error);
cm_status cm_model_list(const cm_model *model, const char *prefix, cm_tensor_list *list, cm_error *error);
cm_status cm_model_finish(cm_model *model, const cm_model_source *from, cm_error *error);

#endif
