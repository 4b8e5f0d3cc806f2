/* Encoder names that stand for one pretrained encoder. */
#ifndef CM_MODEL_PRETRAINED_PART_H
#define CM_MODEL_PRETRAINED_PART_H

#include "encoders/encoder.h"

typedef struct cm_pretrained_part {
    const cm_family *family;
    const char *reference; /* inside the name */
    cm_molecule_type type;
} cm_pretrained_part;

/* Takes "FAMILY:REFERENCE" apart. CM_USAGE for everything else. */
cm_status cm_pretrained_part_find(const char *encoder, cm_pretrained_part *found, cm_error *error);

#endif
