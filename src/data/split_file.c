/* Reading and writing splits.json. */
#include "data/split_file.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "base/file.h"
#include "io/json.h"
#include <string.h>

/* BUDGET: for about 40 million numbers; every repeat names every pair once. */
enum { MOST_REPEATS = 1000, MOST_UNITS = 1000000, BUDGET = 2000000000 };
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

/* What all checks of one file need. */
typedef struct reader {
    const char *path;
    const cm_dataset *dataset;
    int repeat, unit;
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

static cm_status take_units(reader *r, const json_t *units, cm_split *split, uint8_t *tested) {
    for (r->unit = 0; r->unit < split->n_units; r->unit++) {
        const json_t *unit = json_array_get(units, (size_t)r->unit);
        uint8_t *role = split->role + r->unit * split->n_pairs;
        if (!json_is_object(unit))
            return cm_fail(r->error, CM_DATA, r->path, place_of(r).text, "an object", "something else");
        CM_TRY(take_list(r, unit, "test", CM_TEST, role));
        CM_TRY(take_list(r, unit, "unused", CM_UNUSED, role));
        CM_TRY(check_unit(r, role, tested));
    }
    return CM_OK;
}

static cm_status take_repeat(reader *r, const json_t *units, cm_split *split) {
    size_t n = json_array_size(units); /* 0 for what is no array */
    if (n == 0 || n > MOST_UNITS)
        return cm_fail(r->error, CM_DATA, r->path, cm_format("repeat %d", r->repeat + 1).text,
                       "an array of units", "%zu", n);
    size_t pairs = (size_t)r->dataset->n_pairs;
    *split = (cm_split){.n_units = (int)n, .n_pairs = r->dataset->n_pairs, .role = cm_new(n, pairs)};
    uint8_t *tested = cm_new(pairs, 1);
    cm_status status =
        split->role && tested ? take_units(r, units, split, tested) : cm_fail_memory(r->error, n * pairs);
    cm_free(tested);
    return status;
}

static cm_status check_head(const reader *r, const json_t *root, cm_splits *splits) {
    json_t *format, *data, *pairs, *kind;
    if (!json_is_object(root))
        return cm_fail(r->error, CM_DATA, r->path, NULL, "an object of splits", "something else");
    CM_TRY(cm_json_member(root, "format", JSON_STRING, &format, r->path, r->error));
    CM_TRY(cm_json_member(root, "data", JSON_STRING, &data, r->path, r->error));
    CM_TRY(cm_json_member(root, "pairs", JSON_INTEGER, &pairs, r->path, r->error));
    CM_TRY(cm_json_member(root, "kind", JSON_STRING, &kind, r->path, r->error));
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
    splits->kind = cm_split_kind_find(json_string_value(kind));
    if (splits->kind) return CM_OK;
    return cm_fail(r->error, CM_DATA, r->path, "key kind", "a kind of split", "%.100s",
                   json_string_value(kind));
}

static cm_status take_all(reader *r, const json_t *root, cm_splits *splits) {
    json_t *repeats;
    CM_TRY(check_head(r, root, splits));
    CM_TRY(cm_json_member(root, "repeats", JSON_ARRAY, &repeats, r->path, r->error));
    size_t n = json_array_size(repeats);
    if (n == 0 || n > MOST_REPEATS)
        return cm_fail(r->error, CM_DATA, r->path, "key repeats", "1 to 1000 repeats", "%zu", n);
    splits->repeat = cm_new(n, sizeof *splits->repeat);
    if (!splits->repeat) return cm_fail_memory(r->error, n * sizeof *splits->repeat);
    splits->n_repeats = (int)n;
    for (r->repeat = 0; r->repeat < splits->n_repeats; r->repeat++)
        CM_TRY(take_repeat(r, json_array_get(repeats, (size_t)r->repeat), &splits->repeat[r->repeat]));
    return CM_OK;
}

cm_status cm_splits_read(cm_splits *splits, const char *path, const cm_dataset *dataset, cm_error *error) {
    cm_file_map map;
    json_t *root = NULL;
    reader r = {.path = path, .dataset = dataset, .error = error};
    *splits = (cm_splits){0};
    CM_TRY(cm_file_map_open(&map, path, error));
    cm_status status = cm_json_parse_within(&root, map.data ? (const char *)map.data : "", map.size, BUDGET,
                                            path, NULL, error);
    if (status == CM_OK) status = take_all(&r, root, splits);
    json_decref(root);
    cm_file_map_close(&map);
    if (status != CM_OK) cm_splits_clear(splits);
    return status;
}
