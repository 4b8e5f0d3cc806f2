/* A vocabulary: tokens and their ids, read from the files of a checkpoint. Tokens are well-formed UTF-8 of at
 * most 1,024 bytes; a token or an id that is there twice is refused. */
#ifndef CM_BIO_VOCABULARY_H
#define CM_BIO_VOCABULARY_H

#include "base/fail.h"
#include "base/map.h"
#include "io/json.h"
#include <stdint.h>

enum { CM_VOCABULARY_MOST = 1 << 19 }; /* ids are below */

typedef struct cm_vocabulary {
    cm_map *ids;         /* token -> id */
    const char **tokens; /* [size], of ids' keys; NULL: no token has the id */
    int32_t size;        /* largest id + 1 */
} cm_vocabulary;

void cm_vocabulary_clear(cm_vocabulary *vocabulary);

/* Adds one token. rows: as cm_tokenizer_create. A token that is there with the same id is left alone when
 * again is true. file and place name its origin. */
cm_status cm_vocabulary_add(cm_vocabulary *vocabulary, const char *token, size_t length, int64_t id,
                            int64_t rows, bool again, const char *file, const char *place, cm_error *error);

/* A line a token, its number from 0 its id; blanks around it and a byte order mark are not part of it; a line
 * without anything has an id that no token has. */
cm_status cm_vocabulary_lines(cm_vocabulary *vocabulary, const char *text, size_t length, int64_t rows,
                              const char *file, cm_error *error);

/* An object token -> id (vocab.json, model.vocab of tokenizer.json). */
cm_status cm_vocabulary_object(cm_vocabulary *vocabulary, const json_t *object, int64_t rows,
                               const char *file, cm_error *error);

/* A NULL-terminated list, ids from 0. */
cm_status cm_vocabulary_list(cm_vocabulary *vocabulary, const char *const *tokens, int64_t rows,
                             cm_error *error);

/* Fills tokens and size; after the last token was added. */
cm_status cm_vocabulary_finish(cm_vocabulary *vocabulary, const char *file, cm_error *error);

/* The id, -1: none. */
int32_t cm_vocabulary_id(const cm_vocabulary *vocabulary, const char *token, size_t length);

#endif
