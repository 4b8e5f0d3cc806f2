/* Encoder "stored:NAME": embeddings that were imported into the embedding store under NAME. */
#ifndef CM_ENCODERS_STORED_ENCODER_H
#define CM_ENCODERS_STORED_ENCODER_H

/* The identity of the embeddings NAME in the store, to be freed with cm_free; NULL when out of memory. */
char *cm_stored_id(const char *name);

#endif
