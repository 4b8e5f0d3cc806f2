/* Encoder "stored": embeddings made elsewhere, for encoders that have no family here. */
#include "encoders/stored_encoder.h"

#include "base/alloc.h"
#include "encoders/encoder.h"
#include <string.h>

char *cm_stored_id(const char *name) {
    static const char prefix[] = "stored:";
    size_t length = strlen(name);
    char *id = cm_new(sizeof prefix + length, 1);
    if (id == NULL) return NULL;
    memcpy(id, prefix, sizeof prefix - 1);
    memcpy(id + sizeof prefix - 1, name, length + 1);
    return id;
}

const cm_encoder_part cm_encoder_stored = {
    .name = "stored",
    .help = "embeddings imported with crossmamba store import",
    .types = 1u << CM_RNA | 1u << CM_PROTEIN | 1u << CM_MOLECULE,
    .reference = "NAME of an import",
};
