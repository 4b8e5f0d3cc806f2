/* JSON of strangers. jansson refuses duplicate keys, NUL in keys, bad UTF-8 and trailing text; depth and the
 * memory that its values will take are bounded here, before jansson allocates anything. jansson's own memory
 * does not pass the allocation hook: its allocator is a setting of the whole process, which belongs to the
 * program. It is only watched. */
#include "io/json.h"

#include "base/alloc.h"
#include "base/buf.h"
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

enum { MAX_DEPTH = 64 };

/* What jansson 2.14 takes for a value of each kind (measured on arrays and objects of 10^5 of them, rounded
 * up), the slot of its container included. A character of a string is there once and up to twice in the
 * scanner, whose buffer doubles. */
enum {
    OBJECT_BYTES = 230,
    ARRAY_BYTES = 130,
    PAIR_BYTES = 100,
    STRING_BYTES = 50,
    SLOT_BYTES = 45,
    CHARACTER_BYTES = 3
};

/* ---- failed allocations ---- */

static json_malloc_t allocate; /* what the program has given jansson */
static json_free_t release;
static _Thread_local bool failed, parsing;
static _Thread_local void *spare; /* handed out once, for the first allocation of a parse that fails */
static _Thread_local size_t spare_bytes;

static void *take_spare(size_t bytes) {
    void *memory = bytes <= spare_bytes ? spare : NULL;
    if (memory) spare = NULL;
    return memory;
}

/* Once an allocation has failed, a parse gets the spare and no more: see load. */
static void *watched(size_t bytes) {
    if (parsing && failed) return NULL;
    void *memory = allocate(bytes);
    if (memory) return memory;
    failed = true;
    return parsing ? take_spare(bytes) : NULL;
}

static void install(void) {
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

typedef struct source {
    const char *at, *end;
} source;

static size_t next_byte(void *buffer, size_t room, void *context) {
    source *from = context;
    if (failed || room == 0 || from->at == from->end) return 0;
    *(char *)buffer = *from->at++;
    return 1;
}

typedef struct json_extent {
    size_t depth, bytes; /* bytes: what the values will take */
    size_t too_deep;     /* offset of the first bracket below MAX_DEPTH, or the length of the text */
    size_t word;         /* characters of the longest number, literal or word outside strings */
} json_extent;

/* What the scanner grows to for a word of so many characters; at first it has room for 16. */
static size_t word_bytes(const json_extent *extent) {
    return 2 * extent->word + 64;
}

/* jansson 2.14 does not look whether its scanner could keep a character: it goes on with a string that lacks
 * it, reads beyond its end, or stops at an assertion when it was the one behind a word, which it puts back.
 * So it gets the text byte by byte, and none after a failed allocation: it then sees a text that ends too
 * early. Where that allocation was for the character behind a word, there is spare memory. NULL with `failed`
 * then. */
static json_t *load(const char *text, size_t len, const json_extent *extent, json_error_t *problem) {
    source from = {text, text + len};
    cm_json_watch();
    spare_bytes = word_bytes(extent);
    spare = allocate(spare_bytes);
    failed = !spare;
    if (failed) return NULL;
    parsing = true;
    json_t *value = json_load_callback(next_byte, &from, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, problem);
    parsing = false;
    release(spare);
    if (!failed) return value;
    json_decref(value);
    return NULL;
}

static size_t bytes_of(char c) {
    switch (c) {
    case '{':
        return OBJECT_BYTES;
    case '[':
        return ARRAY_BYTES;
    case ':': /* its key was counted as a string */
        return PAIR_BYTES - STRING_BYTES;
    case ',':
        return SLOT_BYTES;
    default:
        return 0;
    }
}

/* Follows brackets, commas and colons outside strings. What is not JSON at all is left for jansson to refuse.
 */
static json_extent measure(const char *text, size_t len) {
    json_extent extent = {.too_deep = len};
    bool in_string = false;
    size_t word = 0;
    for (size_t i = 0; i < len && extent.too_deep == len; i++) {
        char c = text[i];
        word = in_string || strchr(" \t\r\n[]{}:,\"", c) ? 0 : word + 1; /* a NUL ends one as well */
        if (word > extent.word) extent.word = word;
        if (in_string && c == '\\') {
            i++;
        } else if (c == '"') {
            if (!in_string) extent.bytes += STRING_BYTES;
            in_string = !in_string;
        } else if (in_string) {
            extent.bytes += CHARACTER_BYTES;
        } else {
            extent.bytes += bytes_of(c);
            if ((c == '[' || c == '{') && ++extent.depth > MAX_DEPTH) extent.too_deep = i;
            if (c == ']' || c == '}') extent.depth -= extent.depth > 0;
        }
    }
    return extent;
}

static cm_status check_extent(json_extent *extent, const char *text, size_t len, const char *file,
                              const char *place, cm_error *error) {
    *extent = measure(text, len);
    size_t bytes = extent->bytes + 2 * word_bytes(extent); /* of the scanner, and spare */
    if (extent->too_deep < len) {
        return cm_fail(error, CM_DATA, file, place, cm_format("at most %d levels", MAX_DEPTH).text,
                       "deeper nesting in the JSON text at byte %zu", extent->too_deep);
    }
    if (bytes > CM_JSON_BUDGET) {
        return cm_fail(error, CM_DATA, file, place,
                       cm_format("at most %d MB of JSON values", CM_JSON_BUDGET / 1000000).text,
                       "JSON whose values take about %zu MB of memory", bytes / 1000000);
    }
    return CM_OK;
}

cm_status cm_json_parse(json_t **result, const char *text, size_t len, const char *file, const char *place,
                        cm_error *error) {
    json_extent extent;
    CM_TRY(check_extent(&extent, text, len, file, place, error));
    json_error_t problem;
    json_t *value = load(text, len, &extent, &problem);
    if (failed) return cm_fail_memory(error, 0);
    if (!value) {
        cm_text at = cm_format("line %d column %d", problem.line, problem.column);
        if (!place) return cm_fail(error, CM_DATA, file, at.text, NULL, "not JSON: %s", problem.text);
        return cm_fail(error, CM_DATA, file, place, NULL, "not JSON: %s: %s", at.text, problem.text);
    }
    *result = value;
    return CM_OK;
}

/* ---- one member after the other ---- */

typedef struct member_scan {
    const char *text;
    size_t len, at;
    const char *file, *place;
    cm_error *error;
} member_scan;

static void skip_blanks(member_scan *scan) {
    static const char blanks[] = {' ', '\t', '\r', '\n'};
    while (scan->at < scan->len && memchr(blanks, scan->text[scan->at], sizeof blanks)) scan->at++;
}

static cm_status not_json(const member_scan *scan, size_t at, const char *what) {
    return cm_fail(scan->error, CM_DATA, scan->file, scan->place, NULL, "not JSON: byte %zu: %s", at, what);
}

/* The next byte behind blanks, NUL at the end. */
static char peek(member_scan *scan) {
    skip_blanks(scan);
    return scan->at < scan->len ? scan->text[scan->at] : '\0';
}

/* Where the value at scan->at ends: behind its closing quote or bracket, or before what ends a number or a
 * word; the end of the text when it is not closed. Whether it is a value at all is for jansson to say. */
static size_t value_end(const member_scan *scan) {
    size_t depth = 0, i = scan->at;
    bool in_string = false;
    for (; i < scan->len; i++) {
        char c = scan->text[i];
        if (in_string && c == '\\') {
            i++;
        } else if (c == '"') {
            in_string = !in_string;
            if (!in_string && depth == 0) return i + 1;
        } else if (!in_string && (c == '{' || c == '[')) {
            depth++;
        } else if (!in_string && (c == '}' || c == ']')) {
            if (depth <= 1) return depth ? i + 1 : i;
            depth--;
        } else if (!in_string && depth == 0 &&
                   (c == ',' || c == ' ' || c == '\t' || c == '\r' || c == '\n')) {
            return i;
        }
    }
    return scan->len;
}

/* Parses the len bytes of the scan's text from on. */
static cm_status parse_span(const member_scan *scan, size_t from, size_t len, json_t **value) {
    const char *text = scan->text + from;
    json_extent extent;
    json_error_t problem;
    CM_TRY(check_extent(&extent, text, len, scan->file, scan->place, scan->error));
    *value = load(text, len, &extent, &problem);
    if (failed) return cm_fail_memory(scan->error, 0);
    return *value ? CM_OK : not_json(scan, from + (size_t)problem.position, problem.text);
}

/* The key of a member and the colon behind it. */
static cm_status take_key(member_scan *scan, json_t **key) {
    if (peek(scan) != '"') return not_json(scan, scan->at, "a key in quotes expected");
    size_t from = scan->at, end = value_end(scan);
    CM_TRY(parse_span(scan, from, end - from, key));
    scan->at = end;
    if (peek(scan) != ':') return not_json(scan, scan->at, "':' expected behind a key");
    scan->at++;
    return CM_OK;
}

static cm_status visit_part(member_scan *scan, bool object, cm_json_part visit, void *context) {
    json_t *key = NULL;
    cm_status status = object ? take_key(scan, &key) : CM_OK;
    skip_blanks(scan);
    size_t from = scan->at;
    if (status == CM_OK) scan->at = value_end(scan);
    if (status == CM_OK)
        status = visit(context, object ? json_string_value(key) : NULL, scan->text + from, scan->at - from,
                       scan->error);
    json_decref(key);
    return status;
}

cm_status cm_json_each_part(const char *text, size_t len, const char *file, const char *place,
                            cm_json_part visit, void *context, cm_error *error) {
    member_scan scan = {.text = text, .len = len, .file = file, .place = place, .error = error};
    char open = peek(&scan), close = open == '{' ? '}' : ']';
    if (open != '{' && open != '[') return not_json(&scan, scan.at, "an object or an array expected");
    scan.at++;
    if (peek(&scan) == close) {
        scan.at++;
    } else {
        for (char c = ','; c == ',';) {
            CM_TRY(visit_part(&scan, open == '{', visit, context));
            c = peek(&scan);
            if (c != ',' && c != close)
                return not_json(&scan, scan.at, open == '{' ? "',' or '}' expected" : "',' or ']' expected");
            scan.at++;
        }
    }
    skip_blanks(&scan);
    return scan.at == len ? CM_OK : not_json(&scan, scan.at, "end of the text expected");
}

typedef struct member_visit {
    member_scan scan; /* of the whole text */
    cm_json_visit visit;
    void *context;
} member_visit;

static cm_status visit_member(void *context, const char *key, const char *text, size_t len, cm_error *error) {
    const member_visit *with = context;
    json_t *value = NULL;
    CM_TRY(parse_span(&with->scan, (size_t)(text - with->scan.text), len, &value));
    cm_status status = with->visit(with->context, key, value, error);
    json_decref(value);
    return status;
}

cm_status cm_json_each_member(const char *text, size_t len, const char *file, const char *place,
                              cm_json_visit visit, void *context, cm_error *error) {
    member_visit with = {
        {.text = text, .len = len, .file = file, .place = place, .error = error}, visit, context};
    if (peek(&with.scan) != '{') return not_json(&with.scan, with.scan.at, "an object expected");
    return cm_json_each_part(text, len, file, place, visit_member, &with, error);
}

size_t cm_json_count_members(const char *text, size_t len) {
    size_t depth = 0, members = 0;
    bool in_string = false;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (in_string && c == '\\')
            i++;
        else if (c == '"')
            in_string = !in_string;
        else if (!in_string && (c == '{' || c == '['))
            depth++;
        else if (!in_string && (c == '}' || c == ']'))
            depth -= depth > 0;
        else if (!in_string && c == ':' && depth == 1)
            members++;
    }
    return members;
}

/* ---- members ---- */

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
