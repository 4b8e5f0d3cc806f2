/* Tokenizers of the published language models: text -> token ids, with the behaviour of the reference library
 * of each (the fast tokenizers of transformers, fair-esm's Alphabet, multimolecule). The vocabulary always
 * comes from the checkpoint's own files where it has them. */
#ifndef CM_BIO_TOKENIZER_H
#define CM_BIO_TOKENIZER_H

#include "base/fail.h"
#include <stdbool.h>
#include <stdint.h>

typedef enum cm_tokenizer_kind {
    CM_TOKENIZER_ESM, /* EsmTokenizer: splits at vocabulary tokens, a run of other characters is one <unk> */
    CM_TOKENIZER_RNA, /* multimolecule RnaTokenizer: upper case, T -> U, one character one token */
    CM_TOKENIZER_LETTERS, /* fair-esm style Alphabet: one character one token, special tokens written out
                             kept; no change of case or of T; the spec says what is replaced first */
    CM_TOKENIZER_SMILES,  /* MoLFormer: the SMILES pattern, characters that match nothing are dropped */
    CM_TOKENIZER_BPE      /* GPT-2 byte-level BPE as the fast RobertaTokenizer */
} cm_tokenizer_kind;

/* What a family fixes about its tokenizer; special tokens by name, looked up in the vocabulary. */
typedef struct cm_tokenizer_spec {
    cm_tokenizer_kind kind;
    const char *begin, *end;       /* added around the text; NULL: none */
    const char *unknown;           /* NULL: unknown tokens are dropped */
    const char *mask, *padding;    /* NULL: none */
    bool upper_case;               /* LETTERS only */
    char replace_from, replace_to; /* LETTERS only: a letter rewritten first ('U' to 'T'); 0: none */
    const char *const *vocabulary; /* the published list, NULL-terminated, for checkpoints without one; NULL:
                                      the files are required */
} cm_tokenizer_spec;

typedef struct cm_tokenizer cm_tokenizer;

/* folder (NULL: none) is searched for vocab.txt, tokenizer.json, vocab.json with merges.txt, bert_vocab.txt;
 * the first that fits the kind is used. rows: rows of the embedding table, above which an id is refused (0:
 * not checked). CM_MODEL when no file is there and the spec has no list, CM_DATA naming file, line or key
 * when a file is damaged or a special token is missing. */
cm_status cm_tokenizer_create(cm_tokenizer **tokenizer, const cm_tokenizer_spec *spec, const char *folder,
                              int64_t rows, cm_error *error);
void cm_tokenizer_destroy(cm_tokenizer *tokenizer);

/* What tokenizing met. */
typedef struct cm_token_report {
    int64_t unknown; /* tokens that became <unk> */
    int64_t dropped; /* characters (code points) that gave no token */
    int64_t masked;  /* <mask> tokens written in the text */
} cm_token_report;

/* Ids of text[length] with begin and end into ids[room]; returns their number, which may exceed room (then
 * only the first room are written: call again). At most length + 3 tokens, where characters above ASCII
 * become upper case (RNA, upper_case) at most 3/2 length + 2. text need not be UTF-8: broken bytes are
 * characters of their own. Special tokens written in the text are kept whole. report may be NULL.
 * Thread-safe. -1 when out of memory, BPE alone: only pieces of more than 256 bytes need some. */
int64_t cm_tokenizer_encode(const cm_tokenizer *tokenizer, const char *text, int64_t length, int32_t *ids,
                            int64_t room, cm_token_report *report);

int32_t cm_tokenizer_size(const cm_tokenizer *tokenizer);                  /* largest id + 1 */
int32_t cm_tokenizer_id(const cm_tokenizer *tokenizer, const char *token); /* -1: none */
const char *cm_tokenizer_token(const cm_tokenizer *tokenizer, int32_t id); /* NULL: none */
int cm_tokenizer_begins(const cm_tokenizer *tokenizer),
    cm_tokenizer_ends(const cm_tokenizer *tokenizer); /* 0, 1 */

#endif
