/* Byte-level byte pair encoding as GPT-2 and RoBERTa use it (Radford et al. 2019; the `tokenizers` library):
 * the text is cut by the GPT-2 pattern, each byte of a piece becomes a character of the byte alphabet, and
 * neighbours are merged in the order of the merges. Characters without a token are dropped or become unknown.
 */
#ifndef CM_BIO_BPE_H
#define CM_BIO_BPE_H

#include "bio/token_output.h"
#include "bio/vocabulary.h"

typedef struct cm_bpe_options {
    int32_t unknown;    /* id for characters without a token; -1: they are dropped */
    bool fuse_unknown;  /* a run of them is one token */
    bool prefix_space;  /* a blank is put before a text that does not begin with one */
    bool whole_text;    /* the text is not cut */
    bool ignore_merges; /* a piece that is a token is not merged from its characters */
} cm_bpe_options;

typedef struct cm_bpe cm_bpe;

/* vocabulary is borrowed and must stay unchanged. */
cm_status cm_bpe_create(cm_bpe **bpe, const cm_vocabulary *vocabulary, const cm_bpe_options *options,
                        cm_error *error);
void cm_bpe_destroy(cm_bpe *bpe);

/* merges.txt: an optional line "#version ..", then two tokens and a blank between them a line. */
cm_status cm_bpe_read_merges(cm_bpe *bpe, const char *text, size_t length, const char *file, cm_error *error);
/* model.merges of tokenizer.json: an array of "a b" or ["a", "b"]. */
cm_status cm_bpe_add_merges(cm_bpe *bpe, const json_t *merges, const char *file, cm_error *error);

/* Appends the ids of text[length]. False when out of memory (pieces of more than 256 bytes need some). */
bool cm_bpe_encode(const cm_bpe *bpe, const char *text, size_t length, cm_token_output *output);

/* Length of the piece at the beginning of text[length], length > 0: the pattern
 * '(s|t|re|ve|m|ll|d) | ?L+ | ?N+ | ?[^\s L N]+ | \s+(?!\S) | \s+ */
size_t cm_bpe_piece(const char *text, size_t length);

#endif
