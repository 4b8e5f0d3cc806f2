/* JSON of strangers, through jansson: duplicate keys, NUL characters, nesting over 64 levels and texts of
 * more than 4 Mi objects and arrays or 16 Mi commas are refused. */
#ifndef CM_IO_JSON_H
#define CM_IO_JSON_H

#include "base/fail.h"
#include <jansson.h>
#include <stdbool.h>

/* Parses text[len]; the result is owned by the caller (json_decref). file and place only name the origin in
 * messages. */
cm_status cm_json_parse(json_t **result, const char *text, size_t len, const char *file, const char *place,
                        cm_error *error);

/* A required member with its type; CM_DATA with the key as place. JSON_REAL takes any number (read it with
 * json_number_value), JSON_TRUE or JSON_FALSE either truth value. Borrowed. */
cm_status cm_json_member(const json_t *object, const char *key, json_type type, json_t **value,
                         const char *file, cm_error *error);

/* True when text is UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, at most U+10FFFF. */
bool cm_is_utf8(const char *text);

/* Compact text with sorted keys, NUL-terminated, to be freed with cm_free; NULL when out of memory. */
char *cm_json_text(const json_t *value);

/* jansson's functions that build a value lose what a failed allocation left out, and those that parse call it
 * bad syntax. Between these two calls every allocation of jansson in this thread is watched: failed tells
 * whether one has failed. The watch chains itself before the allocator that the program has given jansson. */
void cm_json_watch(void);
bool cm_json_failed(void);

#endif
