/* Reading vocabularies. */
#include "bio/vocabulary.h"

#include "base/alloc.h"
#include "bio/unicode.h"
#include <string.h>

/* The largest id bounds what a small file can make a vocabulary cost: some 60 MB. */
enum { MAX_TOKEN = 1024, MAX_ID = CM_VOCABULARY_MOST - 1 };

void cm_vocabulary_clear(cm_vocabulary *vocabulary) {
    cm_map_destroy(vocabulary->ids);
    cm_free(vocabulary->tokens);
    *vocabulary = (cm_vocabulary){0};
}

int32_t cm_vocabulary_id(const cm_vocabulary *vocabulary, const char *token, size_t length) {
    int64_t id = -1;
    if (vocabulary->ids == NULL || !cm_map_get(vocabulary->ids, token, length, &id)) return -1;
    return (int32_t)id;
}

static bool is_text(const char *token, size_t length) {
    size_t size = 0;
    for (size_t i = 0; i < length; i += size) {
        if (cm_unicode_next(token + i, length - i, &size) <= 0) return false;
    }
    return true;
}

cm_status cm_vocabulary_add(cm_vocabulary *vocabulary, const char *token, size_t length, int64_t id,
                            int64_t rows, bool again, const char *file, const char *place, cm_error *error) {
    if (length == 0 || length > MAX_TOKEN || !is_text(token, length)) {
        return cm_fail(error, CM_DATA, file, place, "a token: UTF-8 without NUL, 1 to 1024 bytes",
                       "%zu bytes: %.*s", length, (int)(length < 64 ? length : 64), token);
    }
    int64_t most = rows > 0 && rows - 1 < MAX_ID ? rows - 1 : MAX_ID;
    if (id < 0 || id > most) {
        return cm_fail(error, CM_DATA, file, place, cm_format("an id from 0 to %lld", (long long)most).text,
                       "token %.*s with id %lld", (int)length, token, (long long)id);
    }
    if (vocabulary->ids == NULL) vocabulary->ids = cm_map_create();
    if (vocabulary->ids == NULL) return cm_fail_memory(error, sizeof(void *));
    int64_t old = -1;
    if (cm_map_get(vocabulary->ids, token, length, &old)) {
        if (again && old == id) return CM_OK;
        return cm_fail(error, CM_DATA, file, place, "every token once",
                       "token %.*s again, first with id %lld", (int)length, token, (long long)old);
    }
    return cm_map_put(vocabulary->ids, token, length, id) ? CM_OK : cm_fail_memory(error, length);
}

static bool is_blank(char byte) {
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

cm_status cm_vocabulary_lines(cm_vocabulary *vocabulary, const char *text, size_t length, int64_t rows,
                              const char *file, cm_error *error) {
    size_t at = length >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
    for (int64_t id = 0; at < length; id++) {
        const char *stop = memchr(text + at, '\n', length - at);
        size_t end = stop ? (size_t)(stop - text) : length, next = stop ? end + 1 : length;
        while (at < end && is_blank(text[at])) at++;
        while (end > at && is_blank(text[end - 1])) end--;
        if (end > at) {
            CM_TRY(cm_vocabulary_add(vocabulary, text + at, end - at, id, rows, false, file,
                                     cm_format("line %lld", (long long)id + 1).text, error));
        }
        at = next;
    }
    return CM_OK;
}

cm_status cm_vocabulary_object(cm_vocabulary *vocabulary, const json_t *object, int64_t rows,
                               const char *file, cm_error *error) {
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach((json_t *)object, key, value) {
        cm_text place = cm_format("token %.64s", key);
        if (!json_is_integer(value))
            return cm_fail(error, CM_DATA, file, place.text, "an integer id", "another JSON value");
        CM_TRY(cm_vocabulary_add(vocabulary, key, strlen(key), json_integer_value(value), rows, false, file,
                                 place.text, error));
    }
    return CM_OK;
}

cm_status cm_vocabulary_list(cm_vocabulary *vocabulary, const char *const *tokens, int64_t rows,
                             cm_error *error) {
    for (int64_t i = 0; tokens[i] != NULL; i++) {
        CM_TRY(cm_vocabulary_add(vocabulary, tokens[i], strlen(tokens[i]), i, rows, false,
                                 "the published vocabulary", NULL, error));
    }
    return CM_OK;
}

cm_status cm_vocabulary_finish(cm_vocabulary *vocabulary, const char *file, cm_error *error) {
    size_t count = vocabulary->ids ? cm_map_count(vocabulary->ids) : 0, length = 0;
    int64_t id = 0, largest = -1;
    for (size_t i = 0; i < count; i++) {
        cm_map_key(vocabulary->ids, i, &length, &id);
        if (id > largest) largest = id;
    }
    if (largest < 0) return cm_fail(error, CM_DATA, file, NULL, "a vocabulary", "no token");
    vocabulary->tokens = cm_new((size_t)largest + 1, sizeof *vocabulary->tokens);
    if (vocabulary->tokens == NULL) return cm_fail_memory(error, (size_t)largest + 1);
    vocabulary->size = (int32_t)largest + 1;
    for (size_t i = 0; i < count; i++) {
        const char *token = cm_map_key(vocabulary->ids, i, &length, &id);
        if (vocabulary->tokens[id] != NULL) {
            return cm_fail(error, CM_DATA, file, cm_format("id %lld", (long long)id).text, "one token an id",
                           "tokens %.64s and %.64s", vocabulary->tokens[id], token);
        }
        vocabulary->tokens[id] = token;
    }
    return CM_OK;
}
