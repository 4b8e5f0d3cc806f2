/* JSON of strangers, through jansson: duplicate keys, NUL characters, nesting over 64 levels and texts whose
 * values would take more memory than CM_JSON_BUDGET beside the text are refused. */
#ifndef CM_IO_JSON_H
#define CM_IO_JSON_H

#include "base/fail.h"
#include <jansson.h>
#include <stdbool.h>

/* Parses text[len]; the result is owned by the caller (json_decref). file and place only name the origin in
 * messages. */
cm_status cm_json_parse(json_t **result, const char *text, size_t len, const char *file, const char *place,
                        cm_error *error);

/* What the values of a text may take. A file of few megabytes of brackets can stand for gigabytes of values.
 */
enum { CM_JSON_BUDGET = 48000000 };

/* Calls visit with the text of each value of the object or array that text[len] is, in order, so that a file
 * of a million values takes only the memory of the one that is looked at. key is NULL in an array. What is in
 * a value is not looked at: whether it is JSON is for visit to find out, and members with the same key are
 * for visit to refuse. */
typedef cm_status (*cm_json_part)(void *context, const char *key, const char *text, size_t len,
                                  cm_error *error);
cm_status cm_json_each_part(const char *text, size_t len, const char *file, const char *place,
                            cm_json_part visit, void *context, cm_error *error);

/* The same with the values of an object, each of which keeps CM_JSON_BUDGET. key and value are borrowed. */
typedef cm_status (*cm_json_visit)(void *context, const char *key, json_t *value, cm_error *error);
cm_status cm_json_each_member(const char *text, size_t len, const char *file, const char *place,
                              cm_json_visit visit, void *context, cm_error *error);
/* The number of members of such an object; of a text that is none any number up to its length. */
size_t cm_json_count_members(const char *text, size_t len);

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
