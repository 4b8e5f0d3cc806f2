/* The files of a checkpoint folder that describe its tokenizer. */
#ifndef CM_BIO_TOKENIZER_FILES_H
#define CM_BIO_TOKENIZER_FILES_H

#include "bio/bpe.h"
#include "bio/tokenizer.h"
#include "bio/vocabulary.h"

/* A token that is looked for in the text before all else. */
typedef struct cm_added_token {
    const char *text; /* of the vocabulary */
    size_t length;
    int32_t id;
    bool blanks_before, blanks_behind; /* it takes the blanks there with it */
} cm_added_token;

/* bpe borrows vocabulary: the record must not move once it is read. */
typedef struct cm_tokenizer_files {
    cm_vocabulary vocabulary;
    cm_bpe *bpe;           /* kind BPE; NULL: another kind */
    cm_added_token *added; /* [n_added], from tokenizer.json */
    size_t n_added;
    char *unknown; /* the unknown token that the files name; NULL: none */
} cm_tokenizer_files;

/* files: zeros. On failure it is left to be cleared. Errors: see cm_tokenizer_create. */
cm_status cm_tokenizer_files_read(cm_tokenizer_files *files, const cm_tokenizer_spec *spec,
                                  const char *folder, int64_t rows, cm_error *error);
void cm_tokenizer_files_clear(cm_tokenizer_files *files);

#endif
