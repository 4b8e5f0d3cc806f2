/* Hash map from a byte string to an int64. Keys are copied. Iteration follows insertion order. */
#ifndef CM_BASE_MAP_H
#define CM_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct cm_map cm_map;

cm_map *cm_map_create(void); /* NULL when out of memory */
void cm_map_destroy(cm_map *map);

/* True and *value when the key is there. value may be NULL. */
bool cm_map_get(const cm_map *map, const void *key, size_t len, int64_t *value);

/* Adds or replaces. False when out of memory. */
bool cm_map_put(cm_map *map, const void *key, size_t len, int64_t value);

size_t cm_map_count(const cm_map *map);

/* The i-th key in insertion order, i < count. The key ends with a NUL that *len does not count. */
const char *cm_map_key(const cm_map *map, size_t i, size_t *len, int64_t *value);

#endif
