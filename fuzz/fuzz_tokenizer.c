/* bio/tokenizer_files and bio/tokenizer: the files of a checkpoint that describe its tokenizer, then texts
 * through it. The first byte of an input chooses kind and files; of two files (vocab.json, merges.txt) the
 * second begins behind the first byte 0xff; a text to encode behind the next one. */
#include "input.h"

#include "bio/tokenizer.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const letters[] = {"<cls>", "<pad>", "<eos>", "<unk>", "A", "C", "G", "U", "<mask>", NULL};

static const struct {
    cm_tokenizer_spec spec;
    const char *first, *second; /* names of the files */
} cases[] = {
    {{.kind = CM_TOKENIZER_ESM, .begin = "<cls>", .end = "<eos>", .unknown = "<unk>", .mask = "<mask>"},
     "vocab.txt",
     NULL},
    {{.kind = CM_TOKENIZER_RNA, .begin = "<cls>", .end = "<eos>", .unknown = "<unk>"}, "vocab.txt", NULL},
    {{.kind = CM_TOKENIZER_LETTERS,
      .begin = "<cls>",
      .unknown = "<unk>",
      .upper_case = true,
      .replace_from = 'U',
      .replace_to = 'T',
      .vocabulary = letters},
     "tokenizer.json",
     NULL},
    {{.kind = CM_TOKENIZER_LETTERS, .begin = "<cls>", .unknown = "<unk>", .vocabulary = letters}, NULL, NULL},
    {{.kind = CM_TOKENIZER_SMILES, .begin = "<bos>", .end = "<eos>", .padding = "<pad>"},
     "bert_vocab.txt",
     NULL},
    {{.kind = CM_TOKENIZER_SMILES, .begin = "<bos>", .end = "<eos>"}, "vocab.json", NULL},
    {{.kind = CM_TOKENIZER_BPE, .begin = "<s>", .end = "</s>", .unknown = "<unk>"}, "tokenizer.json", NULL},
    {{.kind = CM_TOKENIZER_BPE}, "tokenizer.json", NULL},
    {{.kind = CM_TOKENIZER_BPE, .begin = "<s>", .end = "</s>"}, "vocab.json", "merges.txt"},
};
enum { N_CASES = sizeof cases / sizeof *cases };

/* A folder with links to the files in memory, made at the first use and left to the system's cleaning of its
 * temporary memory; NULL when the case has no files. */
static const char *folder_of(size_t i, const char *const paths[2]) {
    static char folders[N_CASES][64];
    if (!cases[i].first) return NULL;
    if (folders[i][0]) return folders[i];
    snprintf(folders[i], sizeof folders[i], "/dev/shm/crossmamba-fuzz.%ld.%zu", (long)getpid(), i);
    if (mkdir(folders[i], 0700) != 0) abort();
    for (int k = 0; k < 2; k++) {
        const char *name = k == 0 ? cases[i].first : cases[i].second;
        char link[128];
        snprintf(link, sizeof link, "%s/%s", folders[i], name ? name : "");
        if (name && symlink(paths[k], link) != 0) abort();
    }
    return folders[i];
}

static void remove_folders(void) {
    for (size_t i = 0; i < N_CASES; i++) {
        static const char *const none[2];
        char path[128];
        const char *folder = folder_of(i, none);
        if (!folder) continue;
        snprintf(path, sizeof path, "%s/%s", folder, cases[i].first);
        unlink(path);
        snprintf(path, sizeof path, "%s/%s", folder, cases[i].second ? cases[i].second : "");
        if (cases[i].second) unlink(path);
        rmdir(folder);
    }
}

static void encode(const cm_tokenizer *tokenizer, const char *text, size_t length) {
    cm_token_report report = {0};
    int64_t room = (int64_t)length * 3 / 2 + 3;
    int32_t *ids = malloc((size_t)room * sizeof *ids);
    if (!ids) abort();
    int64_t n = cm_tokenizer_encode(tokenizer, text, (int64_t)length, ids, room, &report);
    if (n > room) abort();
    for (int64_t i = 0; i < n; i++)
        if (ids[i] < 0 || ids[i] >= cm_tokenizer_size(tokenizer)) abort();
    free(ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    cm_error error = {0};
    cm_tokenizer *tokenizer = NULL;
    if (size == 0) return 0;
    size_t i = data[0] % N_CASES;
    const uint8_t *first = data + 1, *end = data + size;
    const uint8_t *split = memchr(first, 0xff, size - 1), *second = split ? split + 1 : end;
    const char *const paths[2] = {fuzz_file(0, first, (size_t)((split ? split : end) - first)),
                                  fuzz_file(1, second, (size_t)(end - second))};
    const uint8_t *text = end > second ? memchr(second, 0xff, (size_t)(end - second)) : NULL;
    if (text && cases[i].second) fuzz_file(1, second, (size_t)(text - second));
    if (!text || !cases[i].second) text = second;
    static bool registered;
    const char *folder = folder_of(i, paths);
    if (!registered) atexit(remove_folders);
    registered = true;
    fuzz_limit_memory(size);
    if (cm_tokenizer_create(&tokenizer, &cases[i].spec, folder, 4096, &error) != CM_OK) return 0;
    if (cm_tokenizer_size(tokenizer) > 4096) abort(); /* ids stay below the rows of the embedding */
    encode(tokenizer, (const char *)text, (size_t)(end - text));
    encode(tokenizer, "ACGUN<mask> [nH]Br.(C)=%12\xc3\xa4", 27);
    cm_tokenizer_destroy(tokenizer);
    return 0;
}
