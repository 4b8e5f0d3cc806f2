/* Published vocabularies in the order of their ids, each NULL-terminated, for checkpoints that come without
 * one. MoLFormer's 2,362 tokens are read from the checkpoint alone. */
#ifndef CM_BIO_VOCABULARIES_H
#define CM_BIO_VOCABULARIES_H

extern const char *const cm_vocabulary_esm[];     /* 33: ESM-1b, ESM-2 */
extern const char *const cm_vocabulary_rinalmo[]; /* 22: RiNALMo as published (T, no U) */
extern const char *const cm_vocabulary_rnafm[];   /* 25: RNA-FM as published */
extern const char *const cm_vocabulary_rnabert[]; /* 6: RNABERT as published */

#endif
