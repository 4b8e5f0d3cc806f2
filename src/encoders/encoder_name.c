/* The table of encoders, names of encoders and precisions. */
#include "encoders/encoder.h"

#include "base/buf.h"
#include <stdio.h>
#include <string.h>

#define X(symbol) extern const cm_encoder_part cm_encoder_##symbol;
#define FAMILY(symbol, type, help_)                                       \
    extern const cm_family cm_family_##symbol;                            \
    static const cm_encoder_part part_##symbol = {                        \
        .name = #symbol,                                                  \
        .help = help_,                                                    \
        .types = 1u << (type),                                            \
        .reference = "FOLDER, .safetensors file or name of a repository", \
        .family = &cm_family_##symbol,                                    \
    };
#include "encoders/encoders.def"

static const cm_encoder_part *const parts[] = {
#define X(symbol) &cm_encoder_##symbol,
#define FAMILY(symbol, type, help) &part_##symbol,
#include "encoders/encoders.def"
};

enum { N_PARTS = sizeof parts / sizeof *parts };

static const char *const precisions[] = {
    [CM_F32] = "f32", [CM_BF16] = "bf16", [CM_INT8] = "int8", [CM_AUTO] = "auto"};

const char *cm_precision_name(cm_precision precision) {
    return precisions[precision];
}

cm_status cm_precision_parse(cm_precision *precision, const char *name, cm_error *error) {
    for (size_t i = 0; i < sizeof precisions / sizeof *precisions; i++)
        if (strcmp(precisions[i], name) == 0) {
            *precision = (cm_precision)i;
            return CM_OK;
        }
    return cm_fail(error, CM_USAGE, NULL, "precision", "auto, f32, bf16 or int8", "'%s'", name);
}

const cm_encoder_part *cm_encoder_part_at(int i) {
    return i >= 0 && i < N_PARTS ? parts[i] : NULL;
}

int cm_encoder_row(int i, cm_table_row *row) {
    const cm_encoder_part *part = cm_encoder_part_at(i);
    if (part == NULL) return 0;
    *row = (cm_table_row){part->name, part->help};
    return 1;
}

const cm_encoder_part *cm_encoder_part_find(const char *name, size_t length) {
    for (int i = 0; i < N_PARTS; i++)
        if (strlen(parts[i]->name) == length && memcmp(parts[i]->name, name, length) == 0) return parts[i];
    return NULL;
}

/* Where the reference that begins at text ends. */
static size_t reference_length(const char *text) {
    for (const char *plus = strchr(text, '+'); plus != NULL; plus = strchr(plus + 1, '+'))
        if (cm_encoder_part_find(plus + 1, strcspn(plus + 1, ":+")) != NULL) return (size_t)(plus - text);
    return strlen(text);
}

cm_encoder_word cm_encoder_next_word(const char **rest) {
    cm_encoder_word word = {.name = *rest, .name_length = strcspn(*rest, ":+")};
    const char *at = *rest + word.name_length;
    if (*at == ':') {
        word.reference = at + 1;
        word.reference_length = reference_length(at + 1);
        at = word.reference + word.reference_length;
    }
    *rest = *at == '+' ? at + 1 : NULL;
    return word;
}

/* Whether two encoder names are made of the same parts in the same order. */
static bool same_parts(const char *a, const char *b) {
    while (a != NULL && b != NULL) {
        cm_encoder_word x = cm_encoder_next_word(&a), y = cm_encoder_next_word(&b);
        if (x.name_length != y.name_length || memcmp(x.name, y.name, x.name_length) != 0 ||
            (x.reference != NULL) != (y.reference != NULL))
            return false;
    }
    return a == NULL && b == NULL;
}

/* name with given in the place of the only reference; false when there is not exactly one. */
static bool replace_reference(const char *name, const char *given, cm_buf *text) {
    int references = 0;
    for (const char *at = name; at != NULL;) {
        cm_encoder_word word = cm_encoder_next_word(&at);
        references += word.reference != NULL;
        cm_buf_append(text, word.name, word.name_length);
        if (word.reference != NULL) cm_buf_printf(text, ":%s", given);
        if (at != NULL) cm_buf_text(text, "+");
    }
    return references == 1;
}

cm_status cm_encoder_relocate(const char *name, const char *given, char *out, size_t size, cm_error *error) {
    cm_buf text = {.ceiling = 4096};
    bool fits = same_parts(name, given) ? cm_buf_text(&text, given) : replace_reference(name, given, &text);
    fits = fits && !text.failed && text.len < size && same_parts(name, text.data);
    if (fits) memcpy(out, text.data, text.len + 1);
    cm_buf_clear(&text);
    return fits ? CM_OK
                : cm_fail(error, CM_USAGE, NULL, cm_format("encoder %s", name).text,
                          "the place of its one checkpoint, or the same parts with other references", "'%s'",
                          given);
}
