/* The layers of a transformer on a ragged batch. */
#ifndef CM_ENCODERS_TRANSFORMER_LAYERS_H
#define CM_ENCODERS_TRANSFORMER_LAYERS_H

#include "encoders/transformer_state.h"

/* x [T, H], the embeddings of segments that touch, becomes the hidden state after `layers` layers (0 to the
 * model's), in place; after all of them with the final norm. The model has its team and tapes. Each row has
 * the same bits for any team and whatever else is in the batch. CM_MEMORY. */
cm_status cm_transformer_layers_run(cm_transformer *model, int layers, cm_segments segments, cm_mat x,
                                    cm_error *error);

#endif
