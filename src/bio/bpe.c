/* Byte-level byte pair encoding. */
#include "bio/bpe.h"

#include "base/alloc.h"
#include "bio/unicode.h"
#include <string.h>

enum { MAX_MERGES = 1 << 19, SHORT_PIECE = 256, MAPPED_TOKEN = 1024 };

struct cm_bpe {
    const cm_vocabulary *vocabulary;
    cm_bpe_options options;
    char characters[256][3]; /* byte alphabet: the character of a byte as UTF-8 */
    int32_t byte_ids[256];   /* -1: none */
    cm_map *merges;          /* (left, right) -> rank * CM_VOCABULARY_MOST + merged */
    int64_t n_merges;
};

/* ---- building ---- */

/* Bytes that print stand for themselves, the others for the characters from U+0100 on, in order. */
static void fill_alphabet(cm_bpe *bpe) {
    unsigned next = 256;
    for (unsigned byte = 0; byte < 256; byte++) {
        bool prints = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte != 0xAD);
        unsigned code = prints ? byte : next++;
        char *character = bpe->characters[byte];
        if (code < 0x80) {
            character[0] = (char)code;
        } else {
            character[0] = (char)(0xC0 | code >> 6);
            character[1] = (char)(0x80 | (code & 0x3F));
        }
        bpe->byte_ids[byte] = cm_vocabulary_id(bpe->vocabulary, character, strlen(character));
    }
}

cm_status cm_bpe_create(cm_bpe **bpe, const cm_vocabulary *vocabulary, const cm_bpe_options *options,
                        cm_error *error) {
    cm_bpe *made = cm_new(1, sizeof *made);
    if (made == NULL) return cm_fail_memory(error, sizeof *made);
    made->vocabulary = vocabulary;
    made->options = *options;
    made->merges = cm_map_create();
    if (made->merges == NULL) {
        cm_bpe_destroy(made);
        return cm_fail_memory(error, sizeof(void *));
    }
    fill_alphabet(made);
    *bpe = made;
    return CM_OK;
}

void cm_bpe_destroy(cm_bpe *bpe) {
    if (bpe == NULL) return;
    cm_map_destroy(bpe->merges);
    cm_free(bpe);
}

typedef struct word {
    const char *text;
    size_t length;
} word;

static cm_status add_merge(cm_bpe *bpe, word left, word right, const char *file, const char *place,
                           cm_error *error) {
    char joined[2 * MAPPED_TOKEN];
    int32_t pair[2] = {cm_vocabulary_id(bpe->vocabulary, left.text, left.length),
                       cm_vocabulary_id(bpe->vocabulary, right.text, right.length)};
    int32_t merged = -1;
    if (pair[0] >= 0 && pair[1] >= 0) {
        memcpy(joined, left.text, left.length);
        memcpy(joined + left.length, right.text, right.length);
        merged = cm_vocabulary_id(bpe->vocabulary, joined, left.length + right.length);
    }
    if (merged < 0) {
        return cm_fail(error, CM_DATA, file, place, "two tokens that are in the vocabulary joined and apart",
                       "%.*s and %.*s", (int)(left.length < 64 ? left.length : 64), left.text,
                       (int)(right.length < 64 ? right.length : 64), right.text);
    }
    if (bpe->n_merges >= MAX_MERGES)
        return cm_fail(error, CM_DATA, file, place, cm_format("at most %d merges", MAX_MERGES).text, "more");
    int64_t value = bpe->n_merges++ * CM_VOCABULARY_MOST + merged;
    return cm_map_put(bpe->merges, pair, sizeof pair, value) ? CM_OK : cm_fail_memory(error, sizeof pair);
}

/* "a b" with one blank. */
static cm_status add_line(cm_bpe *bpe, const char *text, size_t length, const char *file, const char *place,
                          cm_error *error) {
    const char *blank = memchr(text, ' ', length);
    size_t left = blank ? (size_t)(blank - text) : 0, rest = blank ? length - left - 1 : 0;
    if (blank == NULL || memchr(blank + 1, ' ', rest) != NULL) {
        return cm_fail(error, CM_DATA, file, place, "two tokens with one blank between them", "%.*s",
                       (int)(length < 64 ? length : 64), text);
    }
    return add_merge(bpe, (word){text, left}, (word){blank + 1, rest}, file, place, error);
}

cm_status cm_bpe_read_merges(cm_bpe *bpe, const char *text, size_t length, const char *file,
                             cm_error *error) {
    size_t at = 0;
    for (long line = 1; at < length; line++) {
        const char *stop = memchr(text + at, '\n', length - at);
        size_t end = stop ? (size_t)(stop - text) : length, next = stop ? end + 1 : length;
        if (end > at && text[end - 1] == '\r') end--;
        bool version = end - at >= 8 && memcmp(text + at, "#version", 8) == 0;
        if (end > at && !version)
            CM_TRY(add_line(bpe, text + at, end - at, file, cm_format("line %ld", line).text, error));
        at = next;
    }
    return CM_OK;
}

cm_status cm_bpe_add_merges(cm_bpe *bpe, const json_t *merges, const char *file, cm_error *error) {
    for (size_t i = 0; i < json_array_size(merges); i++) {
        const json_t *item = json_array_get(merges, i);
        const json_t *left = json_array_get(item, 0), *right = json_array_get(item, 1);
        cm_text place = cm_format("model.merges[%zu]", i);
        if (json_is_string(item)) {
            CM_TRY(add_line(bpe, json_string_value(item), json_string_length(item), file, place.text, error));
        } else if (json_array_size(item) == 2 && json_is_string(left) && json_is_string(right)) {
            CM_TRY(add_merge(bpe, (word){json_string_value(left), json_string_length(left)},
                             (word){json_string_value(right), json_string_length(right)}, file, place.text,
                             error));
        } else {
            return cm_fail(error, CM_DATA, file, place.text, "\"a b\" or [\"a\", \"b\"]",
                           "another JSON value");
        }
    }
    return CM_OK;
}

/* ---- cutting ---- */

typedef enum piece_class { BLANK, LETTER, NUMBER, OTHER } piece_class;

static piece_class class_at(const char *text, size_t left, size_t *size) {
    int32_t code = cm_unicode_next(text, left, size);
    if (cm_unicode_space(code, false)) return BLANK;
    if (cm_unicode_letter(code)) return LETTER;
    return cm_unicode_number(code) ? NUMBER : OTHER;
}

static size_t contraction(const char *text, size_t length) {
    static const char *const endings[] = {"s", "t", "re", "ve", "m", "ll", "d"};
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t size = strlen(endings[i]);
        if (length > size && memcmp(text + 1, endings[i], size) == 0) return size + 1;
    }
    return 0;
}

/* White space up to the end is one piece; before other text its last character is left to what follows. */
static size_t blanks(const char *text, size_t length) {
    size_t at = 0, last = 0, size = 0;
    while (at < length && class_at(text + at, length - at, &size) == BLANK) {
        last = at;
        at += size;
    }
    return at < length && last > 0 ? last : at;
}

size_t cm_bpe_piece(const char *text, size_t length) {
    size_t size = 0, at = 0;
    if (text[0] == '\'' && (at = contraction(text, length)) > 0) return at;
    at = text[0] == ' ' && length > 1;
    piece_class kind = class_at(text + at, length - at, &size);
    if (kind == BLANK) return blanks(text, length);
    while (at < length && class_at(text + at, length - at, &size) == kind) at += size;
    return at;
}

/* ---- merging ---- */

typedef struct symbol {
    int32_t id;             /* -1: merged into another */
    int32_t previous, next; /* -1: none */
} symbol;

/* A pair that can be merged: the one of least rank is next, of these the leftmost. */
typedef struct candidate {
    int64_t merge; /* as in cm_bpe.merges */
    int32_t at;
} candidate;

typedef struct workspace {
    symbol *symbols;
    candidate *heap; /* three a symbol: a pair each at first, two more with each merge */
    size_t n_symbols, n_heap;
} workspace;

static bool before(candidate a, candidate b) {
    int64_t rank_a = a.merge / CM_VOCABULARY_MOST, rank_b = b.merge / CM_VOCABULARY_MOST;
    return rank_a < rank_b || (rank_a == rank_b && a.at < b.at);
}

static void heap_push(workspace *work, candidate item) {
    size_t i = work->n_heap++;
    for (; i > 0 && before(item, work->heap[(i - 1) / 2]); i = (i - 1) / 2)
        work->heap[i] = work->heap[(i - 1) / 2];
    work->heap[i] = item;
}

static candidate heap_pop(workspace *work) {
    candidate top = work->heap[0], item = work->heap[--work->n_heap];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child + 1 < work->n_heap && before(work->heap[child + 1], work->heap[child])) child++;
        if (child >= work->n_heap || !before(work->heap[child], item)) break;
        work->heap[i] = work->heap[child];
        i = child;
    }
    work->heap[i] = item;
    return top;
}

/* The merge of the symbol at and the one behind it, -1: none. */
static int64_t merge_at(const cm_bpe *bpe, const workspace *work, int32_t at) {
    int64_t merge = -1;
    if (at < 0 || work->symbols[at].next < 0) return -1;
    int32_t pair[2] = {work->symbols[at].id, work->symbols[work->symbols[at].next].id};
    return cm_map_get(bpe->merges, pair, sizeof pair, &merge) ? merge : -1;
}

static void consider(const cm_bpe *bpe, workspace *work, int32_t at) {
    int64_t merge = merge_at(bpe, work, at);
    if (merge >= 0) heap_push(work, (candidate){merge, at});
}

static void merge_all(const cm_bpe *bpe, workspace *work) {
    for (size_t i = 0; i + 1 < work->n_symbols; i++) consider(bpe, work, (int32_t)i);
    while (work->n_heap > 0) {
        candidate top = heap_pop(work);
        symbol *left = &work->symbols[top.at];
        int32_t merged = (int32_t)(top.merge % CM_VOCABULARY_MOST);
        int64_t now = left->id < 0 ? -1 : merge_at(bpe, work, top.at);
        if (now < 0 || now % CM_VOCABULARY_MOST != merged) continue; /* its symbols have changed since */
        symbol *right = &work->symbols[left->next];
        left->id = merged;
        left->next = right->next;
        right->id = -1;
        if (left->next >= 0) work->symbols[left->next].previous = top.at;
        consider(bpe, work, left->previous);
        consider(bpe, work, top.at);
    }
}

/* ---- encoding ---- */

static void append_symbol(workspace *work, int32_t id) {
    int32_t at = (int32_t)work->n_symbols++;
    work->symbols[at] = (symbol){id, at - 1, -1};
    if (at > 0) work->symbols[at - 1].next = at;
}

/* The first symbols of a piece, one a byte; bytes without a token as the options say. */
static void fill_symbols(const cm_bpe *bpe, const char *text, size_t length, workspace *work,
                         cm_token_report *report) {
    size_t size = 0;
    bool in_unknown = false;
    for (size_t at = 0; at < length; at += size) {
        bool lost = true;
        cm_unicode_next(text + at, length - at, &size);
        for (size_t i = 0; i < size; i++) {
            int32_t id = bpe->byte_ids[(unsigned char)text[at + i]];
            bool unknown = id < 0 && bpe->options.unknown >= 0;
            lost = lost && id < 0 && !unknown;
            if (id >= 0) append_symbol(work, id);
            if (unknown && !(in_unknown && bpe->options.fuse_unknown)) {
                append_symbol(work, bpe->options.unknown);
                report->unknown++;
            }
            in_unknown = unknown;
        }
        report->dropped += lost;
    }
}

/* The id of the piece as one token, -1: none. */
static int32_t whole_token(const cm_bpe *bpe, const char *text, size_t length) {
    char mapped[MAPPED_TOKEN];
    size_t used = 0;
    for (size_t i = 0; i < length; i++) {
        const char *character = bpe->characters[(unsigned char)text[i]];
        if (used + 2 > sizeof mapped) return -1;
        for (; *character != '\0'; character++) mapped[used++] = *character;
    }
    return cm_vocabulary_id(bpe->vocabulary, mapped, used);
}

static void merge_piece(const cm_bpe *bpe, const char *text, size_t length, workspace *work,
                        cm_token_output *output) {
    fill_symbols(bpe, text, length, work, &output->report);
    merge_all(bpe, work);
    if (work->n_symbols == 0) return;
    for (int32_t at = 0; at >= 0; at = work->symbols[at].next) cm_token_put(output, work->symbols[at].id);
}

static bool encode_piece(const cm_bpe *bpe, const char *text, size_t length, cm_token_output *output) {
    symbol symbols[SHORT_PIECE];
    candidate heap[3 * SHORT_PIECE];
    workspace work = {.symbols = symbols, .heap = heap};
    int32_t whole = bpe->options.ignore_merges ? whole_token(bpe, text, length) : -1;
    if (whole >= 0) {
        cm_token_put(output, whole);
        return true;
    }
    if (length <= SHORT_PIECE) {
        merge_piece(bpe, text, length, &work, output);
        return true;
    }
    size_t candidates = 0;
    bool fits = length < INT32_MAX && cm_size_mul(length, 3, &candidates);
    work.symbols = fits ? cm_new(length, sizeof *symbols) : NULL;
    work.heap = fits ? cm_new(candidates, sizeof *heap) : NULL;
    bool made = work.symbols != NULL && work.heap != NULL;
    if (made) merge_piece(bpe, text, length, &work, output);
    cm_free(work.symbols);
    cm_free(work.heap);
    return made;
}

/* The first piece with a blank before it, of a text that does not begin with one. */
static bool encode_prefixed(const cm_bpe *bpe, const char *text, size_t length, size_t *piece,
                            cm_token_output *output) {
    size_t room = 0;
    char *prefixed = cm_size_add(length, 1, &room) ? cm_new(room, 1) : NULL;
    if (prefixed == NULL) return false;
    prefixed[0] = ' ';
    memcpy(prefixed + 1, text, length);
    size_t first = bpe->options.whole_text ? room : cm_bpe_piece(prefixed, room);
    bool made = encode_piece(bpe, prefixed, first, output);
    *piece = first - 1;
    cm_free(prefixed);
    return made;
}

bool cm_bpe_encode(const cm_bpe *bpe, const char *text, size_t length, cm_token_output *output) {
    size_t at = 0;
    if (bpe->options.prefix_space && length > 0 && text[0] != ' ' &&
        !encode_prefixed(bpe, text, length, &at, output))
        return false;
    while (at < length) {
        size_t piece = bpe->options.whole_text ? length - at : cm_bpe_piece(text + at, length - at);
        if (!encode_piece(bpe, text + at, piece, output)) return false;
        at += piece;
    }
    return true;
}
