/* The model card: everything of a model file that is not a tensor, as one JSON object. */
#ifndef CM_MODEL_CARD_H
#define CM_MODEL_CARD_H

#include "model/network.h"

enum { CM_MODEL_FORMAT = 1 };

/* The card of model as a new reference, NULL when out of memory. */
json_t *cm_card_make(const cm_model *model);

/* The same for a model inside another, whose card is being made: failed allocations are noticed there
 * (cm_json_watch). */
json_t *cm_card_part(const cm_model *model);

/* The card as text for people, owned by the caller (cm_free), NULL when out of memory. */
char *cm_card_text(const json_t *card);

/* What a loader needs before it can build the model. */
typedef struct cm_card_shape {
    const cm_model_kind *kind;
    const cm_task *task;
    cm_options options;
    int64_t width[CM_SIDES];
} cm_card_shape;

/* Checks format, version, kind, task and options. */
cm_status cm_card_shape_read(const json_t *card, cm_card_shape *shape, const char *file, cm_error *error);

/* Fills the plain fields and the facts of model (made with that shape) from the card. */
cm_status cm_card_apply(const json_t *card, cm_model *model, const char *file, cm_error *error);

#endif
