/* JSON of strangers. jansson refuses duplicate keys, NUL in keys, bad UTF-8 and trailing text; depth and the
 * number of values are bounded here, before jansson allocates anything: a container costs jansson up to some
 * 250 bytes, another value some 40, so that a text of two-byte values cannot take more than about 2 GB.
 * jansson's own memory does not pass the allocation hook: its allocator is a setting of the whole process,
 * which belongs to the program. It is only watched. */
#include "io/json.h"

#include "base/alloc.h"
#include "base/buf.h"
#include <pthread.h>
#include <stdbool.h>

enum { MAX_DEPTH = 64, MAX_CONTAINERS = 4 << 20, MAX_COMMAS = 16 << 20 };

/* ---- failed allocations ---- */

static json_malloc_t allocate; /* what the program has given jansson */
static _Thread_local bool failed;

static void *watched(size_t bytes) {
    void *memory = allocate(bytes);
    if (!memory) failed = true;
    return memory;
}

static void install(void) {
    json_free_t release;
    json_get_alloc_funcs(&allocate, &release);
    json_set_alloc_funcs(watched, release);
}

void cm_json_watch(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install);
    failed = false;
}

bool cm_json_failed(void) {
    return failed;
}

/* ---- parsing ---- */

typedef struct json_extent {
    size_t depth, containers, commas;
    size_t too_deep; /* offset of the first bracket below MAX_DEPTH, or the length of the text */
} json_extent;

/* Follows brackets and commas outside strings. What is not JSON at all is left for jansson to refuse. */
static json_extent measure(const char *text, size_t len) {
    json_extent extent = {.too_deep = len};
    bool in_string = false;
    for (size_t i = 0; i < len && extent.too_deep == len; i++) {
        char c = text[i];
        if (in_string && c == '\\') {
            i++;
        } else if (c == '"') {
            in_string = !in_string;
        } else if (!in_string && (c == '[' || c == '{')) {
            extent.containers++;
            if (++extent.depth > MAX_DEPTH) extent.too_deep = i;
        } else if (!in_string && (c == ']' || c == '}')) {
            extent.depth -= extent.depth > 0;
        } else if (!in_string && c == ',') {
            extent.commas++;
        }
    }
    return extent;
}

static cm_status check_extent(const char *text, size_t len, const char *file, const char *place,
                              cm_error *error) {
    json_extent extent = measure(text, len);
    if (extent.too_deep < len) {
        return cm_fail(error, CM_DATA, file, place, cm_format("at most %d levels", MAX_DEPTH).text,
                       "deeper nesting in the JSON text at byte %zu", extent.too_deep);
    }
    if (extent.containers > MAX_CONTAINERS || extent.commas > MAX_COMMAS) {
        return cm_fail(error, CM_DATA, file, place,
                       cm_format("at most %d objects and arrays, %d commas", MAX_CONTAINERS, MAX_COMMAS).text,
                       "JSON of %zu objects and arrays, %zu commas", extent.containers, extent.commas);
    }
    return CM_OK;
}

cm_status cm_json_parse(json_t **result, const char *text, size_t len, const char *file, const char *place,
                        cm_error *error) {
    CM_TRY(check_extent(text, len, file, place, error));
    json_error_t problem;
    cm_json_watch();
    json_t *value = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &problem);
    if (!value && cm_json_failed()) return cm_fail_memory(error, 0);
    if (!value) {
        cm_text at = cm_format("line %d column %d", problem.line, problem.column);
        if (!place) return cm_fail(error, CM_DATA, file, at.text, NULL, "not JSON: %s", problem.text);
        return cm_fail(error, CM_DATA, file, place, NULL, "not JSON: %s: %s", at.text, problem.text);
    }
    *result = value;
    return CM_OK;
}

static const char *type_name(json_type type) {
    static const char *const names[] = {
        [JSON_OBJECT] = "an object",    [JSON_ARRAY] = "an array", [JSON_STRING] = "a string",
        [JSON_INTEGER] = "an integer",  [JSON_REAL] = "a number",  [JSON_TRUE] = "true or false",
        [JSON_FALSE] = "true or false", [JSON_NULL] = "null",
    };
    return names[type];
}

static bool has_type(const json_t *value, json_type type) {
    if (type == JSON_REAL) return json_is_number(value);
    if (type == JSON_TRUE || type == JSON_FALSE) return json_is_boolean(value);
    return json_typeof(value) == type;
}

cm_status cm_json_member(const json_t *object, const char *key, json_type type, json_t **value,
                         const char *file, cm_error *error) {
    cm_text place = cm_format("key %s", key);
    json_t *member = json_object_get(object, key);
    if (!member) return cm_fail(error, CM_DATA, file, place.text, type_name(type), "nothing");
    if (!has_type(member, type)) {
        return cm_fail(error, CM_DATA, file, place.text, type_name(type), "%s",
                       type_name(json_typeof(member)));
    }
    *value = member;
    return CM_OK;
}

static int append(const char *text, size_t len, void *buf) {
    return cm_buf_append(buf, text, len) ? 0 : -1;
}

char *cm_json_text(const json_t *value) {
    cm_buf buf = CM_BUF_EMPTY;
    if (json_dump_callback(value, append, &buf, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY) != 0) {
        cm_buf_clear(&buf);
        return NULL;
    }
    return buf.data;
}

bool cm_is_utf8(const char *text) {
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    const unsigned char *c = (const unsigned char *)text;
    while (*c) {
        int more = *c < 0x80 ? 0 : *c >> 5 == 6 ? 1 : *c >> 4 == 14 ? 2 : *c >> 3 == 30 ? 3 : -1;
        if (more < 0) return false;
        uint32_t point = more == 0 ? *c : *c & (0x3fu >> more);
        c++;
        for (int i = 0; i < more; i++, c++) {
            if (*c >> 6 != 2) return false;
            point = point << 6 | (*c & 0x3f);
        }
        if (point < least[more] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000)) return false;
    }
    return true;
}
