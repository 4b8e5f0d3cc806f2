/* Where the parts of the tokenizer put ids. */
#ifndef CM_BIO_TOKEN_OUTPUT_H
#define CM_BIO_TOKEN_OUTPUT_H

#include "bio/tokenizer.h"

typedef struct cm_token_output {
    int32_t *ids;        /* [room] */
    int64_t room, count; /* count may exceed room: what does not fit is only counted */
    cm_token_report report;
} cm_token_output;

static inline void cm_token_put(cm_token_output *output, int32_t id) {
    if (output->count < output->room) output->ids[output->count] = id;
    output->count++;
}

#endif
