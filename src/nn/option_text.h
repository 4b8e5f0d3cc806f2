/* Options as text, for keys that name everything a result depends on. */
#ifndef CM_NN_OPTION_TEXT_H
#define CM_NN_OPTION_TEXT_H

#include "base/buf.h"
#include <crossmamba/options.h>

/* Appends one line "name=value" for every row of options.def; a failure stays in text->failed. */
void cm_options_append(const cm_options *options, cm_buf *text);

#endif
