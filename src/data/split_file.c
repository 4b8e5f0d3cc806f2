/* Reading and writing splits.json. */
#include "data/split_file.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "base/file.h"
#include "io/json.h"
#include <string.h>

enum { MOST_REPEATS = 1000, MOST_KEYS = 100 };
static const char FORMAT[] = "crossmamba splits 1";

void cm_splits_clear(cm_splits *splits) {
    for (int r = 0; splits->repeat && r < splits->n_repeats; r++) cm_split_clear(&splits->repeat[r]);
    cm_free(splits->repeat);
    *splits = (cm_splits){0};
}

/* ---- writing ---- */

static void list_role(cm_buf *text, const uint8_t *role, int64_t n, cm_role wanted) {
    const char *before = "";
    for (int64_t i = 0; i < n; i++) {
        if (role[i] != wanted) continue;
        cm_buf_printf(text, "%s%lld", before, (long long)i);
        before = ",";
    }
}

static void append_repeat(cm_buf *text, const cm_split *split) {
    for (int u = 0; u < split->n_units; u++) {
        const uint8_t *role = split->role + u * split->n_pairs;
        cm_buf_text(text, u ? ",\n{\"test\":[" : "{\"test\":[");
        list_role(text, role, split->n_pairs, CM_TEST);
        cm_buf_text(text, "],\"unused\":[");
        list_role(text, role, split->n_pairs, CM_UNUSED);
        cm_buf_text(text, "]}");
    }
}

cm_status cm_splits_write(const char *path, const cm_splits *splits, const cm_dataset *dataset,
                          cm_error *error) {
    cm_buf text = CM_BUF_EMPTY;
    cm_buf_printf(&text, "{\"format\":\"%s\",\"data\":\"%s\",\"pairs\":%lld,\"kind\":\"%s\",\"repeats\":[\n",
                  FORMAT, dataset->hash, (long long)dataset->n_pairs, splits->kind->name);
    for (int r = 0; r < splits->n_repeats; r++) {
        cm_buf_text(&text, r ? ",\n[" : "[");
        append_repeat(&text, &splits->repeat[r]);
        cm_buf_text(&text, "]");
    }
    cm_buf_text(&text, "]}\n");
    cm_file_part part = {text.data, text.len};
    cm_status status = text.failed ? cm_fail_memory(error, text.len) : cm_file_replace(path, &part, 1, error);
    cm_buf_clear(&text);
    return status;
}

/* ---- reading ---- */

/* What all checks of one file need. A unit is parsed at a time: the file may be much larger than the memory
 * that its values would take at once. */
typedef struct reader {
    const char *path;
    const cm_dataset *dataset;
    cm_splits *splits;
    json_t *head;        /* every member but "repeats" */
    const char *repeats; /* the text of that */
    size_t repeats_length;
    int repeat, unit;
    uint8_t *tested; /* pairs that a unit of this repeat has tested */
    cm_error *error;
} reader;

static cm_text place_of(const reader *r) {
    return cm_format("repeat %d, unit %d", r->repeat + 1, r->unit + 1);
}

static cm_status take_list(const reader *r, const json_t *unit, const char *key, cm_role role, uint8_t *out) {
    json_t *list, *item;
    size_t i;
    if (!json_object_get(unit, key) && role == CM_UNUSED) return CM_OK;
    CM_TRY(cm_json_member(unit, key, JSON_ARRAY, &list, r->path, r->error));
    json_array_foreach(list, i, item) {
        json_int_t pair = json_is_integer(item) ? json_integer_value(item) : -1;
        if (pair < 0 || pair >= r->dataset->n_pairs)
            return cm_fail(r->error, CM_DATA, r->path, place_of(r).text,
                           cm_format("pair numbers from 0 to %lld", (long long)r->dataset->n_pairs - 1).text,
                           json_is_integer(item) ? "%lld" : "no integer", (long long)pair);
        if (out[pair] != CM_TRAIN)
            return cm_fail(r->error, CM_DATA, r->path, place_of(r).text, "every pair once", "pair %lld twice",
                           (long long)pair);
        out[pair] = (uint8_t)role;
    }
    return CM_OK;
}

/* A unit tests and trains something, and tests nothing that another unit tests. */
static cm_status check_unit(const reader *r, const uint8_t *role, uint8_t *tested) {
    int64_t count[3] = {0};
    for (int64_t i = 0; i < r->dataset->n_pairs; i++) {
        count[role[i]]++;
        if (role[i] != CM_TEST) continue;
        if (tested[i])
            return cm_fail(r->error, CM_DATA, r->path, place_of(r).text, "every pair tested once a repeat",
                           "pair %lld in an earlier unit too", (long long)i);
        tested[i] = 1;
    }
    if (count[CM_TRAIN] > 0 && count[CM_TEST] > 0) return CM_OK;
    return cm_fail(r->error, CM_DATA, r->path, place_of(r).text, "pairs to train on and pairs to test",
                   "%lld to train on, %lld to test", (long long)count[CM_TRAIN], (long long)count[CM_TEST]);
}

static cm_status take_unit(void *context, const char *key, const char *text, size_t len, cm_error *error) {
    reader *r = context;
    cm_split *split = &r->splits->repeat[r->repeat];
    uint8_t *role = split->role + r->unit * split->n_pairs;
    json_t *unit = NULL;
    (void)key;
    CM_TRY(cm_json_parse(&unit, text, len, r->path, place_of(r).text, error));
    cm_status status = CM_OK;
    if (!json_is_object(unit))
        status = cm_fail(error, CM_DATA, r->path, place_of(r).text, "an object", "something else");
    if (status == CM_OK) status = take_list(r, unit, "test", CM_TEST, role);
    if (status == CM_OK) status = take_list(r, unit, "unused", CM_UNUSED, role);
    if (status == CM_OK) status = check_unit(r, role, r->tested);
    json_decref(unit);
    r->unit++;
    return status;
}

static cm_status count_part(void *context, const char *key, const char *text, size_t len, cm_error *error) {
    (void)key;
    (void)text;
    (void)len;
    (void)error;
    ++*(int64_t *)context;
    return CM_OK;
}

/* Every unit tests a pair of its own. */
static cm_status take_repeat(void *context, const char *key, const char *text, size_t len, cm_error *error) {
    reader *r = context;
    cm_text place = cm_format("repeat %d", r->repeat + 1);
    int64_t n = 0, pairs = r->dataset->n_pairs;
    cm_split *split = &r->splits->repeat[r->repeat];
    (void)key;
    if (len == 0 || text[0] != '[')
        return cm_fail(error, CM_DATA, r->path, place.text, "an array of units", "something else");
    CM_TRY(cm_json_each_part(text, len, r->path, place.text, count_part, &n, error));
    if (n == 0 || n > pairs)
        return cm_fail(error, CM_DATA, r->path, place.text,
                       cm_format("1 to %lld units", (long long)pairs).text, "%lld", (long long)n);
    *split = (cm_split){.n_units = (int)n, .n_pairs = pairs, .role = cm_new((size_t)n, (size_t)pairs)};
    r->tested = cm_new((size_t)pairs, 1);
    r->unit = 0;
    cm_status status = split->role && r->tested
                           ? cm_json_each_part(text, len, r->path, place.text, take_unit, r, error)
                           : cm_fail_memory(error, (size_t)n * (size_t)pairs);
    cm_free(r->tested);
    r->repeat++;
    return status;
}

/* Members of the file: what is small is parsed at once. */
static cm_status take_member(void *context, const char *key, const char *text, size_t len, cm_error *error) {
    reader *r = context;
    json_t *value = NULL;
    if (!key) return cm_fail(error, CM_DATA, r->path, NULL, "an object of splits", "an array");
    bool repeats = strcmp(key, "repeats") == 0;
    if (json_object_size(r->head) >= MOST_KEYS)
        return cm_fail(error, CM_DATA, r->path, NULL, "at most 100 keys", "more");
    if (json_object_get(r->head, key) || (repeats && r->repeats))
        return cm_fail(error, CM_DATA, r->path, cm_format("key %s", key).text, "each key once", "it twice");
    if (repeats) {
        r->repeats = text;
        r->repeats_length = len;
        return CM_OK;
    }
    CM_TRY(cm_json_parse(&value, text, len, r->path, cm_format("key %s", key).text, error));
    return json_object_set_new(r->head, key, value) == 0 ? CM_OK : cm_fail_memory(error, 0);
}

static cm_status check_head(const reader *r) {
    json_t *format, *data, *pairs, *kind;
    CM_TRY(cm_json_member(r->head, "format", JSON_STRING, &format, r->path, r->error));
    CM_TRY(cm_json_member(r->head, "data", JSON_STRING, &data, r->path, r->error));
    CM_TRY(cm_json_member(r->head, "pairs", JSON_INTEGER, &pairs, r->path, r->error));
    CM_TRY(cm_json_member(r->head, "kind", JSON_STRING, &kind, r->path, r->error));
    if (strcmp(json_string_value(format), FORMAT) != 0)
        return cm_fail(r->error, CM_DATA, r->path, "key format", FORMAT, "%.100s", json_string_value(format));
    if (strcmp(json_string_value(data), r->dataset->hash) != 0 ||
        json_integer_value(pairs) != r->dataset->n_pairs)
        return cm_fail(r->error, CM_DATA, r->path, "key data",
                       cm_format("splits of this data set (%.12s, %lld pairs)", r->dataset->hash,
                                 (long long)r->dataset->n_pairs)
                           .text,
                       "of another one (%.12s, %lld pairs)", json_string_value(data),
                       (long long)json_integer_value(pairs));
    r->splits->kind = cm_split_kind_find(json_string_value(kind));
    if (r->splits->kind) return CM_OK;
    return cm_fail(r->error, CM_DATA, r->path, "key kind", "a kind of split", "%.100s",
                   json_string_value(kind));
}

static cm_status take_repeats(reader *r) {
    int64_t n = 0;
    if (r->repeats_length == 0 || r->repeats[0] != '[')
        return cm_fail(r->error, CM_DATA, r->path, "key repeats", "an array",
                       r->repeats ? "something else" : "nothing");
    CM_TRY(
        cm_json_each_part(r->repeats, r->repeats_length, r->path, "key repeats", count_part, &n, r->error));
    if (n == 0 || n > MOST_REPEATS)
        return cm_fail(r->error, CM_DATA, r->path, "key repeats", "1 to 1000 repeats", "%lld", (long long)n);
    r->splits->repeat = cm_new((size_t)n, sizeof *r->splits->repeat);
    if (!r->splits->repeat) return cm_fail_memory(r->error, (size_t)n * sizeof *r->splits->repeat);
    r->splits->n_repeats = (int)n;
    return cm_json_each_part(r->repeats, r->repeats_length, r->path, "key repeats", take_repeat, r, r->error);
}

static cm_status take_all(reader *r, const char *text, size_t size) {
    cm_json_watch();
    r->head = json_object();
    if (!r->head) return cm_fail_memory(r->error, 0);
    CM_TRY(cm_json_each_part(text, size, r->path, NULL, take_member, r, r->error));
    CM_TRY(check_head(r));
    return take_repeats(r);
}

cm_status cm_splits_read(cm_splits *splits, const char *path, const cm_dataset *dataset, cm_error *error) {
    cm_file_map map;
    reader r = {.path = path, .dataset = dataset, .splits = splits, .error = error};
    *splits = (cm_splits){0};
    CM_TRY(cm_file_map_open(&map, path, error));
    cm_status status = take_all(&r, map.data ? (const char *)map.data : "", map.size);
    json_decref(r.head);
    cm_file_map_close(&map);
    if (status != CM_OK) cm_splits_clear(splits);
    return status;
}
