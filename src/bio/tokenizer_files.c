/* Reading vocab.txt, bert_vocab.txt, vocab.json, merges.txt, tokenizer.json. */
#include "bio/tokenizer_files.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/file.h"
#include <string.h>
#include <unistd.h>

typedef struct reading {
    cm_tokenizer_files *files;
    const cm_tokenizer_spec *spec;
    int64_t rows;
    cm_error *error;
    const char *path;
    cm_file_map map;
} reading;

typedef cm_status (*reader)(reading *self);

void cm_tokenizer_files_clear(cm_tokenizer_files *files) {
    cm_bpe_destroy(files->bpe);
    cm_vocabulary_clear(&files->vocabulary);
    cm_free(files->added);
    cm_free(files->unknown);
    *files = (cm_tokenizer_files){0};
}

/* *found: whether folder/name is there; it is read then. */
static cm_status read_file(reading *self, const char *folder, const char *name, reader read, bool *found) {
    cm_buf path = CM_BUF_EMPTY;
    cm_status status = CM_OK;
    *found = false;
    if (!cm_buf_printf(&path, "%s/%s", folder, name)) {
        status = cm_fail_memory(self->error, path.len);
    } else if (access(path.data, F_OK) == 0) {
        *found = true;
        self->path = path.data;
        status = cm_file_map_open(&self->map, path.data, self->error);
        if (status == CM_OK) {
            status = read(self);
            cm_file_map_close(&self->map);
        }
    }
    cm_buf_clear(&path);
    return status;
}

static cm_status parse(reading *self, json_t **root) {
    const char *text = self->map.size > 0 ? (const char *)self->map.data : "";
    CM_TRY(cm_json_parse(root, text, self->map.size, self->path, NULL, self->error));
    if (json_is_object(*root)) return CM_OK;
    json_decref(*root);
    return cm_fail(self->error, CM_DATA, self->path, NULL, "an object", "another JSON value");
}

/* ---- plain vocabularies ---- */

static cm_status read_lines(reading *self) {
    CM_TRY(cm_vocabulary_lines(&self->files->vocabulary, (const char *)self->map.data, self->map.size,
                               self->rows, self->path, self->error));
    return cm_vocabulary_finish(&self->files->vocabulary, self->path, self->error);
}

static cm_status copy_unknown(reading *self, const char *name) {
    cm_free(self->files->unknown);
    self->files->unknown = cm_copy_text(name, strlen(name));
    return self->files->unknown ? CM_OK : cm_fail_memory(self->error, strlen(name));
}

/* The vocabulary of MoLFormer's training code, which took the padding for unknown tokens. */
static cm_status read_bert_lines(reading *self) {
    CM_TRY(read_lines(self));
    bool padded = self->spec->kind == CM_TOKENIZER_SMILES && self->spec->padding != NULL;
    return padded ? copy_unknown(self, self->spec->padding) : CM_OK;
}

static cm_status read_object(reading *self) {
    json_t *root = NULL;
    CM_TRY(parse(self, &root));
    cm_status status =
        cm_vocabulary_object(&self->files->vocabulary, root, self->rows, self->path, self->error);
    json_decref(root);
    return status == CM_OK ? cm_vocabulary_finish(&self->files->vocabulary, self->path, self->error) : status;
}

/* ---- tokenizer.json ---- */

static cm_status check_flag(reading *self, const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    if (value == NULL || json_is_boolean(value) || json_is_null(value)) return CM_OK;
    return cm_fail(self->error, CM_DATA, self->path, key, "true or false", "another JSON value");
}

static cm_status add_token(reading *self, const json_t *item) {
    json_t *content = NULL, *id = NULL;
    static const char *const flags[] = {"lstrip", "rstrip", "single_word"};
    if (!json_is_object(item))
        return cm_fail(self->error, CM_DATA, self->path, "added_tokens", "objects", "another JSON value");
    CM_TRY(cm_json_member(item, "content", JSON_STRING, &content, self->path, self->error));
    CM_TRY(cm_json_member(item, "id", JSON_INTEGER, &id, self->path, self->error));
    for (size_t i = 0; i < 3; i++) CM_TRY(check_flag(self, item, flags[i]));
    if (json_is_true(json_object_get(item, "single_word"))) {
        return cm_fail(self->error, CM_DATA, self->path, "added_tokens", "no single_word",
                       "token %.64s that is a word by itself only", json_string_value(content));
    }
    CM_TRY(cm_vocabulary_add(&self->files->vocabulary, json_string_value(content),
                             json_string_length(content), json_integer_value(id), self->rows, true,
                             self->path, "added_tokens", self->error));
    self->files->added[self->files->n_added++] = (cm_added_token){
        .length = json_string_length(content),
        .id = (int32_t)json_integer_value(id),
        .blanks_before = json_is_true(json_object_get(item, "lstrip")),
        .blanks_behind = json_is_true(json_object_get(item, "rstrip")),
    };
    return CM_OK;
}

static cm_status add_tokens(reading *self, const json_t *root) {
    const json_t *list = json_object_get(root, "added_tokens");
    size_t count = json_array_size(list);
    if (list != NULL && !json_is_array(list) && !json_is_null(list))
        return cm_fail(self->error, CM_DATA, self->path, "added_tokens", "an array", "another JSON value");
    self->files->added = cm_new(count, sizeof *self->files->added);
    if (self->files->added == NULL) return cm_fail_memory(self->error, count);
    for (size_t i = 0; i < count; i++) CM_TRY(add_token(self, json_array_get(list, i)));
    CM_TRY(cm_vocabulary_finish(&self->files->vocabulary, self->path, self->error));
    for (size_t i = 0; i < count; i++)
        self->files->added[i].text = self->files->vocabulary.tokens[self->files->added[i].id];
    return CM_OK;
}

/* The ByteLevel step of a pre-tokenizer: itself or the only member of a Sequence. NULL: none. */
static const json_t *byte_level(const json_t *step) {
    const json_t *list = json_object_get(step, "pretokenizers");
    if (json_array_size(list) == 1) step = json_array_get(list, 0);
    const char *type = json_string_value(json_object_get(step, "type"));
    return type != NULL && strcmp(type, "ByteLevel") == 0 ? step : NULL;
}

static bool is_absent(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    return value == NULL || json_is_null(value) || json_is_false(value) || json_string_length(value) == 0;
}

static cm_status check_bpe(reading *self, const json_t *root, const json_t *model) {
    static const char *const refused[] = {"continuing_subword_prefix", "end_of_word_suffix", "byte_fallback"};
    const json_t *normalizer = json_object_get(root, "normalizer");
    for (size_t i = 0; i < 3; i++) {
        const json_t *value = json_object_get(model, refused[i]);
        if (json_is_true(value) || (json_is_string(value) && !is_absent(model, refused[i])))
            return cm_fail(self->error, CM_DATA, self->path, refused[i], "byte-level BPE without it",
                           "a value");
    }
    if (normalizer != NULL && !json_is_null(normalizer))
        return cm_fail(self->error, CM_DATA, self->path, "normalizer", "null", "a normalizer");
    if (byte_level(json_object_get(root, "pre_tokenizer")) == NULL)
        return cm_fail(self->error, CM_DATA, self->path, "pre_tokenizer", "ByteLevel alone", "another");
    return CM_OK;
}

static cm_status read_bpe(reading *self, const json_t *root, const json_t *model) {
    const json_t *step = byte_level(json_object_get(root, "pre_tokenizer"));
    const json_t *unknown = json_object_get(model, "unk_token");
    json_t *merges = NULL;
    CM_TRY(check_bpe(self, root, model));
    CM_TRY(cm_json_member(model, "merges", JSON_ARRAY, &merges, self->path, self->error));
    cm_bpe_options options = {
        .unknown = -1,
        .fuse_unknown = json_is_true(json_object_get(model, "fuse_unk")),
        .ignore_merges = json_is_true(json_object_get(model, "ignore_merges")),
        .prefix_space = json_is_true(json_object_get(step, "add_prefix_space")),
        .whole_text = json_is_false(json_object_get(step, "use_regex")),
    };
    if (json_is_string(unknown)) {
        const char *name = json_string_value(unknown);
        options.unknown = cm_vocabulary_id(&self->files->vocabulary, name, strlen(name));
        if (options.unknown < 0)
            return cm_fail(self->error, CM_DATA, self->path, "unk_token", "a token of the vocabulary",
                           "%.64s", name);
    }
    CM_TRY(cm_bpe_create(&self->files->bpe, &self->files->vocabulary, &options, self->error));
    return cm_bpe_add_merges(self->files->bpe, merges, self->path, self->error);
}

static cm_status read_model(reading *self, const json_t *root) {
    json_t *model = NULL, *vocabulary = NULL;
    CM_TRY(cm_json_member(root, "model", JSON_OBJECT, &model, self->path, self->error));
    CM_TRY(cm_json_member(model, "vocab", JSON_OBJECT, &vocabulary, self->path, self->error));
    CM_TRY(cm_vocabulary_object(&self->files->vocabulary, vocabulary, self->rows, self->path, self->error));
    CM_TRY(add_tokens(self, root));
    const char *unknown = json_string_value(json_object_get(model, "unk_token"));
    if (self->spec->kind == CM_TOKENIZER_BPE) return read_bpe(self, root, model);
    return unknown != NULL && unknown[0] != '\0' ? copy_unknown(self, unknown) : CM_OK;
}

static cm_status read_tokenizer(reading *self) {
    json_t *root = NULL;
    CM_TRY(parse(self, &root));
    cm_status status = read_model(self, root);
    json_decref(root);
    return status;
}

/* ---- all of them ---- */

static cm_status read_merges(reading *self) {
    cm_bpe_options options = {.unknown = -1};
    CM_TRY(cm_bpe_create(&self->files->bpe, &self->files->vocabulary, &options, self->error));
    return cm_bpe_read_merges(self->files->bpe, (const char *)self->map.data, self->map.size, self->path,
                              self->error);
}

typedef struct source {
    const char *name;
    reader read;
} source;

/* tokenizer.json is last: where a plain vocabulary lies beside it, that one is the checkpoint's own. */
static const source plain_sources[] = {
    {"vocab.txt", read_lines},
    {"vocab.json", read_object},
    {"tokenizer.json", read_tokenizer},
    {"bert_vocab.txt", read_bert_lines},
};

static cm_status read_plain(reading *self, const char *folder, bool *found) {
    for (size_t i = 0; i < sizeof plain_sources / sizeof *plain_sources && !*found; i++)
        CM_TRY(read_file(self, folder, plain_sources[i].name, plain_sources[i].read, found));
    return CM_OK;
}

static cm_status read_pair(reading *self, const char *folder, bool *found) {
    bool merges = false;
    CM_TRY(read_file(self, folder, "tokenizer.json", read_tokenizer, found));
    if (*found) return CM_OK;
    CM_TRY(read_file(self, folder, "vocab.json", read_object, found));
    if (!*found) return CM_OK;
    CM_TRY(read_file(self, folder, "merges.txt", read_merges, &merges));
    if (merges) return CM_OK;
    return cm_fail(self->error, CM_MODEL, folder, NULL, "merges.txt beside vocab.json", "none");
}

cm_status cm_tokenizer_files_read(cm_tokenizer_files *files, const cm_tokenizer_spec *spec,
                                  const char *folder, int64_t rows, cm_error *error) {
    reading self = {.files = files, .spec = spec, .rows = rows, .error = error};
    bool found = false;
    if (folder != NULL)
        CM_TRY(spec->kind == CM_TOKENIZER_BPE ? read_pair(&self, folder, &found)
                                              : read_plain(&self, folder, &found));
    if (found) return CM_OK;
    if (spec->vocabulary == NULL) {
        const char *wanted = spec->kind == CM_TOKENIZER_BPE ? "tokenizer.json, or vocab.json and merges.txt"
                                                            : "vocab.txt, vocab.json or tokenizer.json";
        return cm_fail(error, CM_MODEL, folder, NULL, wanted, "none of them");
    }
    CM_TRY(cm_vocabulary_list(&files->vocabulary, spec->vocabulary, rows, error));
    return cm_vocabulary_finish(&files->vocabulary, "the published vocabulary", error);
}
