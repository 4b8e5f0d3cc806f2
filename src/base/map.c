/* Hash map: entries in insertion order, and a table of entry numbers with linear probing at a load of at
 * most one half. */
#include "base/map.h"

#include "base/alloc.h"
#include <string.h>
#include <xxhash.h>

typedef struct map_entry {
    char *key; /* owned, NUL-terminated; never moves */
    size_t len;
    uint64_t hash;
    int64_t value;
} map_entry;

struct cm_map {
    map_entry *entries;
    size_t count, cap;
    size_t *slots;  /* entry number + 1; 0: free */
    size_t n_slots; /* a power of two, or 0 */
};

cm_map *cm_map_create(void) {
    return cm_new(1, sizeof(cm_map));
}

void cm_map_destroy(cm_map *map) {
    if (!map) return;
    for (size_t i = 0; i < map->count; i++) cm_free(map->entries[i].key);
    cm_free(map->entries);
    cm_free(map->slots);
    cm_free(map);
}

/* Seeded with the map's address, so that a file cannot be prepared whose keys all collide; the order of
 * iteration does not depend on it. */
static uint64_t hash_of(const cm_map *map, const void *key, size_t len) {
    return XXH3_64bits_withSeed(key, len, (uint64_t)(uintptr_t)map);
}

/* The slot of the key, or the free slot where it belongs; n_slots > 0. */
static size_t find_slot(const cm_map *map, const void *key, size_t len, uint64_t hash) {
    size_t slot = hash & (map->n_slots - 1);
    while (map->slots[slot]) {
        const map_entry *entry = &map->entries[map->slots[slot] - 1];
        if (entry->hash == hash && entry->len == len && (len == 0 || memcmp(entry->key, key, len) == 0))
            break;
        slot = (slot + 1) & (map->n_slots - 1);
    }
    return slot;
}

bool cm_map_get(const cm_map *map, const void *key, size_t len, int64_t *value) {
    if (map->n_slots == 0) return false;
    size_t slot = find_slot(map, key, len, hash_of(map, key, len));
    if (!map->slots[slot]) return false;
    if (value) *value = map->entries[map->slots[slot] - 1].value;
    return true;
}

/* Room for one more entry. */
static bool grow_entries(cm_map *map) {
    if (map->count < map->cap) return true;
    size_t cap = map->cap ? 2 * map->cap : 16;
    map_entry *entries = cm_resize(map->entries, cap, sizeof *entries);
    if (!entries) return false;
    map->entries = entries;
    map->cap = cap;
    return true;
}

/* Room for one more entry number at a load of one half. */
static bool grow_slots(cm_map *map) {
    if (map->count + 1 <= map->n_slots / 2) return true;
    size_t n_slots = map->n_slots ? 2 * map->n_slots : 32;
    size_t *slots = cm_new(n_slots, sizeof *slots);
    if (!slots) return false;
    for (size_t i = 0; i < map->count; i++) {
        size_t slot = map->entries[i].hash & (n_slots - 1);
        while (slots[slot]) slot = (slot + 1) & (n_slots - 1);
        slots[slot] = i + 1;
    }
    cm_free(map->slots);
    map->slots = slots;
    map->n_slots = n_slots;
    return true;
}

bool cm_map_put(cm_map *map, const void *key, size_t len, int64_t value) {
    if (!grow_entries(map) || !grow_slots(map)) return false;
    uint64_t hash = hash_of(map, key, len);
    size_t slot = find_slot(map, key, len, hash);
    if (map->slots[slot]) {
        map->entries[map->slots[slot] - 1].value = value;
        return true;
    }
    char *copy = cm_copy_text(key, len);
    if (!copy) return false;
    map->entries[map->count] = (map_entry){.key = copy, .len = len, .hash = hash, .value = value};
    map->slots[slot] = ++map->count;
    return true;
}

size_t cm_map_count(const cm_map *map) {
    return map->count;
}

const char *cm_map_key(const cm_map *map, size_t i, size_t *len, int64_t *value) {
    const map_entry *entry = &map->entries[i];
    if (len) *len = entry->len;
    if (value) *value = entry->value;
    return entry->key;
}
