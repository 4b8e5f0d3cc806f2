/* Checkpoints as crossmamba/embed.h shows them: the inside. */
#ifndef CM_MODEL_CHECKPOINTS_H
#define CM_MODEL_CHECKPOINTS_H

#include "io/weights.h"
#include <crossmamba/embed.h>

/* The line of an open checkpoint; its texts are valid until close. */
void cm_checkpoint_summary(const cm_checkpoint *checkpoint, cm_checkpoint_line *line);

#endif
