/* Tokenizers: special tokens are found first, what lies between them goes to the kind's own encoder. */
#include "bio/tokenizer.h"

#include "base/alloc.h"
#include "bio/bpe.h"
#include "bio/smiles.h"
#include "bio/token_output.h"
#include "bio/tokenizer_files.h"
#include "bio/unicode.h"
#include <stdlib.h>
#include <string.h>

struct cm_tokenizer {
    cm_tokenizer_kind kind;
    cm_tokenizer_files files;
    cm_added_token *specials; /* [n_specials], by their bytes */
    size_t n_specials;
    size_t first[257];   /* specials that begin with byte b: first[b] .. first[b + 1] */
    int32_t direct[128]; /* the id of an ASCII character after all rewriting, -1: none */
    int32_t begin, end, unknown, mask;
    bool upper;
};

/* ---- building ---- */

static int by_bytes(const void *a, const void *b) {
    const cm_added_token *left = a, *right = b;
    size_t common = left->length < right->length ? left->length : right->length;
    int order = memcmp(left->text, right->text, common);
    return order != 0 ? order : (left->length > right->length) - (left->length < right->length);
}

/* Whether a token of the vocabulary is found wherever it is written. ESM splits at every token; in letters
 * only names in brackets can be told from a sequence ("MASK" is also four letters). */
static bool is_written(const cm_tokenizer_spec *spec, const char *token) {
    const char *names[] = {spec->begin, spec->end, spec->unknown, spec->mask, spec->padding};
    if (token[0] == '\0' || token[1] == '\0') return false;
    if (spec->kind == CM_TOKENIZER_ESM) return true;
    if (spec->kind == CM_TOKENIZER_LETTERS || spec->kind == CM_TOKENIZER_RNA) return token[0] == '<';
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (names[i] != NULL && strcmp(names[i], token) == 0) return true;
    return false;
}

static void index_specials(cm_tokenizer *made) {
    if (made->n_specials > 0) qsort(made->specials, made->n_specials, sizeof *made->specials, by_bytes);
    size_t at = 0, kept = 0;
    for (size_t i = 0; i < made->n_specials; i++) /* a token may be listed twice */
        if (kept == 0 || by_bytes(&made->specials[i], &made->specials[kept - 1]) != 0)
            made->specials[kept++] = made->specials[i];
    made->n_specials = kept;
    for (size_t byte = 0; byte <= 256; byte++) {
        while (at < made->n_specials && (unsigned char)made->specials[at].text[0] < byte) at++;
        made->first[byte] = at;
    }
}

static cm_status collect_specials(cm_tokenizer *made, const cm_tokenizer_spec *spec, cm_error *error) {
    const cm_vocabulary *vocabulary = &made->files.vocabulary;
    bool by_name = spec->kind == CM_TOKENIZER_BPE || spec->kind == CM_TOKENIZER_SMILES;
    bool listed = by_name && made->files.n_added > 0;
    size_t count = listed ? made->files.n_added : (size_t)vocabulary->size;
    made->specials = cm_new(count, sizeof *made->specials);
    if (made->specials == NULL) return cm_fail_memory(error, count * sizeof *made->specials);
    for (size_t i = 0; i < count; i++) {
        const char *token = listed ? made->files.added[i].text : vocabulary->tokens[i];
        if (listed) {
            made->specials[made->n_specials++] = made->files.added[i];
        } else if (token != NULL && is_written(spec, token)) {
            bool blanks = spec->kind == CM_TOKENIZER_BPE && spec->mask && strcmp(token, spec->mask) == 0;
            made->specials[made->n_specials++] =
                (cm_added_token){token, strlen(token), (int32_t)i, blanks, false};
        }
    }
    index_specials(made);
    return CM_OK;
}

/* *id of a token that must be there; -1 for NULL. */
static cm_status find(const cm_tokenizer *made, const char *token, const char *folder, int32_t *id,
                      cm_error *error) {
    *id = token ? cm_tokenizer_id(made, token) : -1;
    if (token == NULL || *id >= 0) return CM_OK;
    return cm_fail(error, CM_DATA, folder ? folder : "the published vocabulary", NULL,
                   cm_format("special token %.64s in the vocabulary", token).text, "none of this name");
}

static cm_status find_names(cm_tokenizer *made, const cm_tokenizer_spec *spec, const char *folder,
                            cm_error *error) {
    int32_t padding = -1;
    const char *unknown = made->files.unknown ? made->files.unknown : spec->unknown;
    CM_TRY(find(made, spec->begin, folder, &made->begin, error));
    CM_TRY(find(made, spec->end, folder, &made->end, error));
    CM_TRY(find(made, unknown, folder, &made->unknown, error));
    CM_TRY(find(made, spec->mask, folder, &made->mask, error));
    return find(made, spec->padding, folder, &padding, error);
}

static void fill_direct(cm_tokenizer *made, const cm_tokenizer_spec *spec) {
    bool rna = spec->kind == CM_TOKENIZER_RNA, letters = spec->kind == CM_TOKENIZER_LETTERS;
    char from = rna ? 'T' : letters ? spec->replace_from : '\0';
    char to = rna ? 'U' : spec->replace_to;
    made->upper = rna || (letters && spec->upper_case);
    for (int i = 0; i < 128; i++) {
        char character = (char)i;
        if (made->upper && character >= 'a' && character <= 'z') character = (char)(character - 'a' + 'A');
        if (from != '\0' && character == from) character = to;
        made->direct[i] = cm_vocabulary_id(&made->files.vocabulary, &character, 1);
    }
}

cm_status cm_tokenizer_create(cm_tokenizer **tokenizer, const cm_tokenizer_spec *spec, const char *folder,
                              int64_t rows, cm_error *error) {
    cm_tokenizer *made = cm_new(1, sizeof *made);
    if (made == NULL) return cm_fail_memory(error, sizeof *made);
    made->kind = spec->kind;
    cm_status status = cm_tokenizer_files_read(&made->files, spec, folder, rows, error);
    if (status == CM_OK) status = find_names(made, spec, folder, error);
    if (status == CM_OK) status = collect_specials(made, spec, error);
    if (status != CM_OK) {
        cm_tokenizer_destroy(made);
        return status;
    }
    fill_direct(made, spec);
    *tokenizer = made;
    return CM_OK;
}

void cm_tokenizer_destroy(cm_tokenizer *tokenizer) {
    if (tokenizer == NULL) return;
    cm_tokenizer_files_clear(&tokenizer->files);
    cm_free(tokenizer->specials);
    cm_free(tokenizer);
}

/* ---- the kinds ---- */

static void put_unknown(const cm_tokenizer *self, cm_token_output *output) {
    if (self->unknown < 0) {
        output->report.dropped++;
        return;
    }
    cm_token_put(output, self->unknown);
    output->report.unknown++;
}

static void put_character(const cm_tokenizer *self, int32_t id, cm_token_output *output) {
    if (id >= 0)
        cm_token_put(output, id);
    else
        put_unknown(self, output);
}

/* One token a character; upper case may make several of one. */
static void encode_letters(const cm_tokenizer *self, const char *text, size_t length,
                           cm_token_output *output) {
    size_t size = 1;
    for (size_t at = 0; at < length; at += size) {
        size = 1;
        if ((unsigned char)text[at] < 0x80) {
            put_character(self, self->direct[(unsigned char)text[at]], output);
            continue;
        }
        int32_t code = cm_unicode_next(text + at, length - at, &size);
        const cm_unicode_upper *upper = self->upper ? cm_unicode_find_upper(code) : NULL;
        if (upper == NULL)
            put_character(self, cm_vocabulary_id(&self->files.vocabulary, text + at, size), output);
        for (int i = 0; upper != NULL && i < upper->count; i++)
            put_character(self, upper->letters[i] ? self->direct[(int)upper->letters[i]] : -1, output);
    }
}

/* Single letters of the vocabulary; what lies between them and blanks is one unknown token. */
static void encode_esm(const cm_tokenizer *self, const char *text, size_t length, cm_token_output *output) {
    size_t size = 1;
    bool in_unknown = false;
    for (size_t at = 0; at < length; at += size) {
        size = 1;
        unsigned char byte = (unsigned char)text[at];
        if (byte < 0x80 && self->direct[byte] >= 0) {
            cm_token_put(output, self->direct[byte]);
            in_unknown = false;
        } else if (cm_unicode_space(cm_unicode_next(text + at, length - at, &size), true)) {
            in_unknown = false;
        } else if (!in_unknown) {
            put_unknown(self, output);
            in_unknown = true;
        }
    }
}

static int64_t characters(const char *text, size_t length) {
    int64_t count = 0;
    size_t size = 0;
    for (size_t at = 0; at < length; at += size, count++) cm_unicode_next(text + at, length - at, &size);
    return count;
}

static void encode_smiles(const cm_tokenizer *self, const char *text, size_t length,
                          cm_token_output *output) {
    size_t at = 0, start = 0, behind = 0, token = 0;
    while ((token = cm_smiles_next(text, length, &at, &start, NULL)) > 0) {
        if (start > behind) output->report.dropped += characters(text + behind, start - behind);
        behind = at;
        int32_t id = token == 1 ? self->direct[(unsigned char)text[start]]
                                : cm_vocabulary_id(&self->files.vocabulary, text + start, token);
        put_character(self, id, output);
    }
    output->report.dropped += characters(text + behind, length - behind);
}

static bool encode_part(const cm_tokenizer *self, const char *text, size_t length, cm_token_output *output) {
    if (length == 0) return true;
    switch (self->kind) {
    case CM_TOKENIZER_ESM:
        encode_esm(self, text, length, output);
        return true;
    case CM_TOKENIZER_RNA:
    case CM_TOKENIZER_LETTERS:
        encode_letters(self, text, length, output);
        return true;
    case CM_TOKENIZER_SMILES:
        encode_smiles(self, text, length, output);
        return true;
    case CM_TOKENIZER_BPE:
        return cm_bpe_encode(self->files.bpe, text, length, output);
    }
    return true;
}

/* ---- special tokens in the text ---- */

/* The first of the specials low .. high, alike up to depth, whose byte there is not less than byte. */
static size_t behind(const cm_tokenizer *self, size_t low, size_t high, size_t depth, unsigned byte) {
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if ((unsigned char)self->specials[middle].text[depth] < byte)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The longest special token at text: the sorted list is narrowed byte by byte. */
static const cm_added_token *special_at(const cm_tokenizer *self, const char *text, size_t length) {
    const cm_added_token *found = NULL;
    size_t low = self->first[(unsigned char)text[0]], high = self->first[(unsigned char)text[0] + 1];
    for (size_t depth = 1; low < high; depth++) {
        if (self->specials[low].length == depth) found = &self->specials[low++];
        if (depth == length) break;
        unsigned char byte = (unsigned char)text[depth];
        low = behind(self, low, high, depth, byte);
        high = behind(self, low, high, depth, (unsigned)byte + 1);
    }
    return found;
}

/* start moved back over the blanks before it, not before least. */
static size_t before_blanks(const char *text, size_t least, size_t start) {
    size_t at = start;
    while (at > least) {
        size_t size = 0, back = at - 1;
        while (back > least && at - back < 4 && ((unsigned char)text[back] & 0xC0) == 0x80) back--;
        if (!cm_unicode_space(cm_unicode_next(text + back, at - back, &size), false) || size != at - back)
            break;
        at = back;
    }
    return at;
}

static size_t behind_blanks(const char *text, size_t length, size_t stop) {
    size_t size = 0;
    while (stop < length && cm_unicode_space(cm_unicode_next(text + stop, length - stop, &size), false))
        stop += size;
    return stop;
}

static bool encode_text(const cm_tokenizer *self, const char *text, size_t length, cm_token_output *output) {
    size_t part = 0, at = 0;
    while (at < length) {
        unsigned char byte = (unsigned char)text[at];
        const cm_added_token *found =
            self->first[byte] < self->first[byte + 1] ? special_at(self, text + at, length - at) : NULL;
        if (found == NULL) {
            at++;
            continue;
        }
        size_t end = found->blanks_before ? before_blanks(text, part, at) : at;
        if (!encode_part(self, text + part, end - part, output)) return false;
        cm_token_put(output, found->id);
        output->report.masked += found->id == self->mask;
        at += found->length;
        part = at = found->blanks_behind ? behind_blanks(text, length, at) : at;
    }
    return encode_part(self, text + part, length - part, output);
}

int64_t cm_tokenizer_encode(const cm_tokenizer *tokenizer, const char *text, int64_t length, int32_t *ids,
                            int64_t room, cm_token_report *report) {
    cm_token_output output = {.ids = ids, .room = room};
    if (tokenizer->begin >= 0) cm_token_put(&output, tokenizer->begin);
    if (!encode_text(tokenizer, text, (size_t)length, &output)) return -1;
    if (tokenizer->end >= 0) cm_token_put(&output, tokenizer->end);
    if (report != NULL) *report = output.report;
    return output.count;
}

/* ---- what it knows ---- */

int32_t cm_tokenizer_size(const cm_tokenizer *tokenizer) {
    return tokenizer->files.vocabulary.size;
}

int32_t cm_tokenizer_id(const cm_tokenizer *tokenizer, const char *token) {
    return cm_vocabulary_id(&tokenizer->files.vocabulary, token, strlen(token));
}

const char *cm_tokenizer_token(const cm_tokenizer *tokenizer, int32_t id) {
    return id >= 0 && id < cm_tokenizer_size(tokenizer) ? tokenizer->files.vocabulary.tokens[id] : NULL;
}

int cm_tokenizer_begins(const cm_tokenizer *tokenizer) {
    return tokenizer->begin >= 0;
}

int cm_tokenizer_ends(const cm_tokenizer *tokenizer) {
    return tokenizer->end >= 0;
}
