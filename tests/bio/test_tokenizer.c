/* Tokenizers against the ids of the reference libraries (tests/fixtures/make_tokenizers.py), and damaged
 * files. */
#include "bio/bpe.h"
#include "bio/tokenizer.h"
#include "bio/vocabularies.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { STRINGS = 10000, BLOCK = 20, SHOWN = 40, MAX_PIECES = 256, ROOM = 8192 };

#define LIKE_ESM "<cls>", "<eos>", "<unk>", "<mask>", "<pad>"
#define LIKE_BPE "<s>", "</s>", "<unk>", "<mask>", "<pad>"
#define LIKE_SMILES "<bos>", "<eos>", "<unk>", "<mask>", "<pad>"

static const cm_tokenizer_spec esm = {CM_TOKENIZER_ESM, LIKE_ESM, false, 0, 0, NULL};
static const cm_tokenizer_spec esm_list = {CM_TOKENIZER_ESM, LIKE_ESM, false, 0, 0, cm_vocabulary_esm};
static const cm_tokenizer_spec rna = {CM_TOKENIZER_RNA, LIKE_ESM, false, 0, 0, NULL};
static const cm_tokenizer_spec rnafm = {CM_TOKENIZER_LETTERS, LIKE_ESM, false, 0, 0, cm_vocabulary_rnafm};
static const cm_tokenizer_spec rinalmo = {CM_TOKENIZER_LETTERS, LIKE_ESM, true, 'U', 'T',
                                          cm_vocabulary_rinalmo};
static const cm_tokenizer_spec rnabert = {CM_TOKENIZER_LETTERS, NULL, NULL, NULL, "MASK", "PAD", false, 0, 0,
                                          cm_vocabulary_rnabert};
static const cm_tokenizer_spec molformer = {CM_TOKENIZER_SMILES, LIKE_SMILES, false, 0, 0, NULL};
static const cm_tokenizer_spec bpe = {CM_TOKENIZER_BPE, LIKE_BPE, false, 0, 0, NULL};

typedef struct parity_case {
    const char *ids; /* folder with ids.txt */
    const cm_tokenizer_spec *spec;
    const char *folder; /* NULL: the published list */
    int32_t size;
} parity_case;

static const parity_case parity_cases[] = {
    {"esm", &esm, "esm", 33},
    {"esm", &esm_list, NULL, 33},
    {"rna_2024_06", &rna, "rna_2024_06", 26},
    {"rna_2024_09", &rna, "rna_2024_09", 26},
    {"rna_2026_05", &rna, "rna_2026_05", 28},
    {"rnafm", &rnafm, NULL, 25},
    {"rinalmo", &rinalmo, NULL, 22},
    {"rnabert", &rnabert, NULL, 6},
    {"molformer", &molformer, "molformer", 30},
    {"molformer", &molformer, "molformer_json", 30},
    {"bpe", &bpe, "bpe", 0},
    {"bpe_prefix", &bpe, "bpe_prefix", 0},
    {"bpe_pair", &bpe, "bpe_pair", 0},
    {"bpe_empty", &bpe, "bpe_empty", 27},
    {"bpe_unknown", &bpe, "bpe_unknown", 27},
};

static const char *fixture(char path[512], const char *folder, const char *file) {
    const char *root = getenv("CROSSMAMBA_SOURCE");
    snprintf(path, 512, "%s/tests/fixtures/tokenizers/%s%s%s", root ? root : ".", folder, file ? "/" : "",
             file ? file : "");
    return path;
}

static cm_tokenizer *open_case(const cm_tokenizer_spec *spec, const char *folder) {
    char path[512];
    cm_tokenizer *tokenizer = NULL;
    cm_error error = {0};
    cm_status status =
        cm_tokenizer_create(&tokenizer, spec, folder ? fixture(path, folder, NULL) : NULL, 0, &error);
    char line[1024];
    if (status != CM_OK) fail_msg("%s", cm_error_line(&error, line, sizeof line));
    return tokenizer;
}

/* ---- the random strings of the fixture ---- */

typedef struct piece_list {
    char bytes[MAX_PIECES][64];
    size_t length[MAX_PIECES], count;
} piece_list;

static uint64_t splitmix(uint64_t *state) {
    uint64_t z = *state += 0x9E3779B97F4A7C15U;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9U;
    z = (z ^ z >> 27) * 0x94D049BB133111EBU;
    return z ^ z >> 31;
}

static size_t make_string(const piece_list *pieces, uint64_t i, char text[ROOM]) {
    uint64_t state = i << 32, count = splitmix(&state) % 24;
    size_t length = 0;
    for (uint64_t n = 0; n < count; n++) {
        size_t piece = (size_t)(splitmix(&state) % pieces->count);
        memcpy(text + length, pieces->bytes[piece], pieces->length[piece]);
        length += pieces->length[piece];
    }
    return length;
}

static void add_piece(piece_list *pieces, const char *hex) {
    assert_true(pieces->count < MAX_PIECES);
    size_t length = 0;
    unsigned byte = 0;
    for (; sscanf(hex + 2 * length, "%2x", &byte) == 1; length++) {
        assert_true(length < 64);
        pieces->bytes[pieces->count][length] = (char)byte;
    }
    pieces->length[pieces->count++] = length;
}

static uint64_t hash_ids(uint64_t hash, const int32_t *ids, int64_t count) {
    for (int64_t i = 0; i <= count; i++) {
        uint32_t number = i < count ? (uint32_t)ids[i] : UINT32_MAX;
        for (int shift = 0; shift < 32; shift += 8) hash = (hash ^ (number >> shift & 0xFF)) * 0x100000001B3U;
    }
    return hash;
}

static int64_t encode_string(const cm_tokenizer *tokenizer, const piece_list *pieces, int i,
                             int32_t ids[ROOM]) {
    char text[ROOM];
    int64_t length = (int64_t)make_string(pieces, (uint64_t)i, text);
    int64_t count = cm_tokenizer_encode(tokenizer, text, length, ids, ROOM, NULL);
    assert_true(count >= 0 && count <= length + length / 2 + 3);
    return count;
}

static void check_shown(const parity_case *item, int i, const char *line, const int32_t *ids, int64_t count) {
    char *rest = (char *)line;
    for (int64_t n = 0; n < count; n++) {
        long expected = strtol(rest, &rest, 10);
        if (expected != ids[n])
            fail_msg("%s: string %d: id %ld is %d, not %ld", item->ids, i, (long)n, ids[n], expected);
    }
    if (strspn(rest, " \n") != strlen(rest))
        fail_msg("%s: string %d: ids are missing:%s", item->ids, i, rest);
}

static void check_parity(const parity_case *item) {
    static piece_list pieces;
    char path[512], line[4096];
    int32_t ids[ROOM];
    int shown = 0, strings = 0;
    cm_tokenizer *tokenizer = open_case(item->spec, item->folder);
    if (item->size > 0) assert_int_equal(cm_tokenizer_size(tokenizer), item->size);
    FILE *file = fopen(fixture(path, item->ids, "ids.txt"), "r");
    assert_non_null(file);
    pieces.count = 0;
    while (fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, "piece ", 6) == 0) add_piece(&pieces, line + 6);
        if (strncmp(line, "ids", 3) == 0) {
            int64_t count = encode_string(tokenizer, &pieces, shown, ids);
            check_shown(item, shown++, line + 3, ids, count);
        }
        if (strncmp(line, "hash ", 5) != 0) continue;
        uint64_t hash = 0xCBF29CE484222325U;
        for (int end = strings + BLOCK; strings < end; strings++) {
            int64_t count = encode_string(tokenizer, &pieces, strings, ids);
            hash = hash_ids(hash, ids, count);
        }
        if (hash != strtoull(line + 5, NULL, 16))
            fail_msg("%s: strings %d to %d", item->ids, strings - BLOCK, strings - 1);
    }
    fclose(file);
    assert_int_equal(shown, SHOWN);
    assert_int_equal(strings, STRINGS);
    cm_tokenizer_destroy(tokenizer);
}

static void test_parity(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof parity_cases / sizeof *parity_cases; i++) check_parity(&parity_cases[i]);
}

/* ---- the contract ---- */

static void test_report(void **state) {
    (void)state;
    int32_t ids[16];
    cm_token_report report;
    cm_tokenizer *tokenizer = open_case(&esm_list, NULL);
    assert_int_equal(cm_tokenizer_encode(tokenizer, "MKjj<mask>", 10, ids, 16, &report), 6);
    assert_int_equal(report.unknown, 1);
    assert_int_equal(report.masked, 1);
    assert_int_equal(report.dropped, 0);
    assert_int_equal(cm_tokenizer_encode(tokenizer, "MKjj<mask>", 10, ids, 2, NULL), 6);
    assert_int_equal(cm_tokenizer_encode(tokenizer, "", 0, NULL, 0, NULL), 2);
    assert_int_equal(cm_tokenizer_id(tokenizer, "<mask>"), 32);
    assert_int_equal(cm_tokenizer_id(tokenizer, "J"), -1);
    assert_string_equal(cm_tokenizer_token(tokenizer, 4), "L");
    assert_null(cm_tokenizer_token(tokenizer, 33));
    assert_int_equal(cm_tokenizer_begins(tokenizer), 1);
    cm_tokenizer_destroy(tokenizer);
    tokenizer = open_case(&rnabert, NULL);
    assert_int_equal(cm_tokenizer_encode(tokenizer, "AUGCNT\xc3\xa9", 8, ids, 16, &report), 4);
    assert_int_equal(report.dropped, 3);
    assert_int_equal(cm_tokenizer_ends(tokenizer), 0);
    cm_tokenizer_destroy(tokenizer);
    tokenizer = open_case(&bpe, "bpe_empty");
    assert_int_equal(cm_tokenizer_encode(tokenizer, "[Zn]\xc3\xa9", 6, ids, 16, &report), 5);
    assert_int_equal(report.dropped, 2);
    cm_tokenizer_destroy(tokenizer);
}

/* A piece of many bytes is merged as the short ones: C^n, and its merges take the long way round. */
static void test_long_piece(void **state) {
    (void)state;
    enum { LENGTH = 200000 };
    cm_tokenizer *tokenizer = open_case(&bpe, "bpe");
    char *text = malloc(LENGTH);
    int32_t *ids = malloc(sizeof *ids * (LENGTH + 3));
    assert_true(text != NULL && ids != NULL);
    memset(text, 'C', LENGTH);
    int64_t count = cm_tokenizer_encode(tokenizer, text, LENGTH, ids, LENGTH + 3, NULL);
    int64_t total = 0;
    for (int64_t i = 1; i + 1 < count; i++) total += (int64_t)strlen(cm_tokenizer_token(tokenizer, ids[i]));
    assert_int_equal(total, LENGTH);
    assert_true(count < LENGTH);
    free(text);
    free(ids);
    cm_tokenizer_destroy(tokenizer);
}

static void test_pieces(void **state) {
    (void)state;
    assert_int_equal(cm_bpe_piece("'s a", 4), 2);
    assert_int_equal(cm_bpe_piece(" abc1", 5), 4);
    assert_int_equal(cm_bpe_piece("   a", 4), 2);
    assert_int_equal(cm_bpe_piece("   ", 3), 3);
    assert_int_equal(cm_bpe_piece("\tx", 2), 1);
    assert_int_equal(cm_bpe_piece("\xc3\xa9t1", 4), 3);
}

/* ---- damaged files ---- */

typedef struct bad_case {
    const cm_tokenizer_spec *spec;
    const char *name, *text, *second, *second_text;
    const char *place, *found;
} bad_case;

#define WITH_MODEL(model) "{\"pre_tokenizer\":{\"type\":\"ByteLevel\"},\"model\":{" model "}}"

static const bad_case bad_cases[] = {
    {&esm, "vocab.txt", "", NULL, NULL, "", "no token"},
    {&esm, "vocab.txt", "<cls>\nA\nA\n", NULL, NULL, "line 3", "again"},
    {&esm, "vocab.txt", "<cls>\n\xff\n", NULL, NULL, "line 2", "bytes"},
    {&esm, "vocab.txt", "A\nC\n", NULL, NULL, "", "none of this name"},
    {&molformer, "vocab.json", "[1]", NULL, NULL, "", "another JSON"},
    {&molformer, "vocab.json", "{\"C\":1.5}", NULL, NULL, "token C", "another JSON"},
    {&molformer, "vocab.json", "{\"C\":-1}", NULL, NULL, "token C", "id -1"},
    {&molformer, "vocab.json", "{\"C\":4000000000}", NULL, NULL, "token C", "4000000000"},
    {&molformer, "vocab.json", "{\"C\":1,\"N\":1}", NULL, NULL, "id 1", "tokens C and N"},
    {&molformer, "vocab.json", "{\"C\":1,\"C\":2}", NULL, NULL, "line", "duplicate"},
    {&molformer, "vocab.json", "{\"C\":1", NULL, NULL, "line", "not JSON"},
    {&molformer, "tokenizer.json", "{}", NULL, NULL, "model", ""},
    {&molformer, "tokenizer.json", "{\"model\":{\"vocab\":[]}}", NULL, NULL, "vocab", ""},
    {&molformer, "tokenizer.json", "{\"model\":{\"vocab\":{\"C\":0}},\"added_tokens\":[1]}", NULL, NULL,
     "added", ""},
    {&bpe, "vocab.json", "{\"a\":0}", NULL, NULL, "", "none"},
    {&bpe, "vocab.json", "{\"a\":0}", "merges.txt", "#version\na a\n", "line 2", "a and a"},
    {&bpe, "vocab.json", "{\"a\":0}", "merges.txt", "aa\n", "line 1", "aa"},
    {&bpe, "vocab.json", "{\"a\":0}", "merges.txt", "a a a\n", "line 1", "a a a"},
    {&bpe, "tokenizer.json", "{\"model\":{\"vocab\":{\"a\":0},\"merges\":[]}}", NULL, NULL, "pre_tokenizer",
     "another"},
    {&bpe, "tokenizer.json", WITH_MODEL("\"vocab\":{\"a\":0}"), NULL, NULL, "merges", ""},
    {&bpe, "tokenizer.json", WITH_MODEL("\"vocab\":{\"a\":0},\"merges\":[7]"), NULL, NULL, "model.merges[0]",
     ""},
    {&bpe, "tokenizer.json", WITH_MODEL("\"vocab\":{\"a\":0},\"merges\":[],\"unk_token\":\"u\""), NULL, NULL,
     "unk_token", "u"},
};

static void put_file(const char *folder, const char *name, const char *text) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void drop_file(const char *folder, const char *name) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    unlink(path);
}

static void test_bad_files(void **state) {
    (void)state;
    char folder[] = "/tmp/crossmamba_tokenizer_XXXXXX";
    assert_non_null(mkdtemp(folder));
    for (size_t i = 0; i < sizeof bad_cases / sizeof *bad_cases; i++) {
        const bad_case *item = &bad_cases[i];
        cm_tokenizer *tokenizer = NULL;
        cm_error error = {0};
        put_file(folder, item->name, item->text);
        if (item->second) put_file(folder, item->second, item->second_text);
        cm_status status = cm_tokenizer_create(&tokenizer, item->spec, folder, 0, &error);
        if (status == CM_OK || tokenizer != NULL || strstr(error.place, item->place) == NULL ||
            strstr(error.found, item->found) == NULL || strncmp(error.file, folder, strlen(folder)) != 0)
            fail_msg("case %zu: %s|%s|%s|%s", i, error.file, error.place, error.found, error.expected);
        drop_file(folder, item->name);
        if (item->second) drop_file(folder, item->second);
    }
    cm_error error = {0};
    cm_tokenizer *tokenizer = NULL;
    assert_int_equal(cm_tokenizer_create(&tokenizer, &esm, folder, 0, &error), CM_MODEL);
    assert_int_equal(cm_tokenizer_create(&tokenizer, &esm_list, folder, 32, &error), CM_DATA);
    assert_non_null(strstr(error.found, "<mask> with id 32"));
    assert_int_equal(cm_tokenizer_create(&tokenizer, &esm_list, folder, 33, &error), CM_OK);
    cm_tokenizer_destroy(tokenizer);
    rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parity), cmocka_unit_test(test_report),    cmocka_unit_test(test_long_piece),
        cmocka_unit_test(test_pieces), cmocka_unit_test(test_bad_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
