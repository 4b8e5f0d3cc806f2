/* The table of families, and finding their tensors by name. */
#include "encoders/family.h"
#include <stdio.h>
#include <string.h>

#define FAMILY(symbol, type, help) extern const cm_family cm_family_##symbol;
#include "encoders/encoders.def"

static const cm_family *const families[] = {
#define FAMILY(symbol, type, help) &cm_family_##symbol,
#include "encoders/encoders.def"
};

const cm_family *cm_family_row(int index) {
    size_t count = sizeof families / sizeof *families;
    return index >= 0 && (size_t)index < count ? families[index] : NULL;
}

const cm_family *cm_family_find(const char *name) {
    const cm_family *family;
    for (int i = 0; (family = cm_family_row(i)); i++)
        if (strcmp(family->name, name) == 0) return family;
    return NULL;
}

enum { MAX_NAMES = sizeof((cm_weight_row *)0)->names / sizeof(char *), MAX_LAYERS = 1024 };

/* prefix + pattern with the layer number into name[size]; false when it does not fit. */
static bool write_name(char *name, size_t size, const char *prefix, const char *pattern, int64_t layer) {
    const char *hole = strstr(pattern, "{}");
    int written = hole ? snprintf(name, size, "%s%.*s%lld%s", prefix, (int)(hole - pattern), pattern,
                                  (long long)layer, hole + 2)
                       : snprintf(name, size, "%s%s", prefix, pattern);
    return written >= 0 && (size_t)written < size;
}

const cm_tensor *cm_family_tensor(const cm_family *family, const cm_weights *weights,
                                  const cm_weight_row *row, int64_t layer, int *generation) {
    char name[256];
    for (const char *const *prefix = family->prefixes; *prefix; prefix++)
        for (int i = 0; i < MAX_NAMES && row->names[i]; i++) {
            if (!write_name(name, sizeof name, *prefix, row->names[i], layer)) continue;
            const cm_tensor *tensor = cm_weights_find(weights, name);
            if (!tensor) continue;
            if (generation) *generation = i;
            return tensor;
        }
    return NULL;
}

/* Whether name is pattern; *layer is the number at "{}", -1 without one. */
static bool matches(const char *name, const char *pattern, int64_t *layer) {
    const char *hole = strstr(pattern, "{}");
    *layer = -1;
    if (!hole) return strcmp(name, pattern) == 0;
    size_t before = (size_t)(hole - pattern);
    if (strncmp(name, pattern, before) != 0) return false;
    const char *digits = name + before;
    size_t n = strspn(digits, "0123456789");
    if (n < 1 || n > 9 || (n > 1 && digits[0] == '0') || strcmp(digits + n, hole + 2) != 0) return false;
    *layer = 0;
    for (size_t i = 0; i < n; i++) *layer = *layer * 10 + (digits[i] - '0');
    return true;
}

/* Whether some row of the family has this name. */
static bool reads(const cm_family *family, const char *name, int64_t *layer) {
    for (const char *const *prefix = family->prefixes; *prefix; prefix++) {
        size_t n = strlen(*prefix);
        if (strncmp(name, *prefix, n) != 0) continue;
        for (int r = 0; r < family->n_weights; r++)
            for (int i = 0; i < MAX_NAMES && family->weights[r].names[i]; i++)
                if (matches(name + n, family->weights[r].names[i], layer)) return true;
    }
    return false;
}

int64_t cm_family_layers(const cm_family *family, const cm_weights *weights) {
    int64_t layers = 0, layer;
    for (size_t i = 0; i < cm_weights_count(weights); i++) /* numbers beyond MAX_LAYERS are no layers */
        if (reads(family, cm_weights_get(weights, i)->name, &layer) && layer >= layers && layer < MAX_LAYERS)
            layers = layer + 1;
    return layers;
}

const cm_tensor *cm_family_extra(const cm_family *family, const cm_weights *weights, size_t index) {
    int64_t layer;
    for (size_t i = 0; i < cm_weights_count(weights); i++) {
        const cm_tensor *tensor = cm_weights_get(weights, i);
        if (!reads(family, tensor->name, &layer) && index-- == 0) return tensor;
    }
    return NULL;
}
