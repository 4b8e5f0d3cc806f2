/* JSON of strangers, through jansson: duplicate keys, NUL in keys and nesting over 64 refused. */
#ifndef CM_IO_JSON_H
#define CM_IO_JSON_H

#include "base/fail.h"
#include <jansson.h>

/* Parses text[len]; the result is owned by the caller (json_decref). file and place only name the origin in
 * messages. */
cm_status cm_json_parse(json_t **result, const char *text, size_t len, const char *file, const char *place,
                        cm_error *error);

/* Required members with their type; CM_DATA with the key as place. Borrowed. */
cm_status cm_json_member(const json_t *object, const char *key, json_type type, json_t **value,
                         const char *file, cm_error *error);

/* Compact text with sorted keys, NUL-terminated, to be freed with cm_free; NULL when out of memory. */
char *cm_json_text(const json_t *value);

#endif
