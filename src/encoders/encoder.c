/* The table of encoders and the joining of parts. */
#include "encoders/encoder.h"

#include "base/alloc.h"
#include "base/buf.h"
#include <assert.h>
#include <stdbool.h>
#include <string.h>

#define X(symbol) extern const cm_encoder_part cm_encoder_##symbol;
#include "encoders/encoders.def"
#undef X

static const cm_encoder_part *const parts[] = {
#define X(symbol) &cm_encoder_##symbol,
#include "encoders/encoders.def"
#undef X
};

enum { N_PARTS = sizeof parts / sizeof *parts };

struct cm_encoder {
    cm_molecule_type type;
    int n; /* parts joined */
    const cm_encoder_part *part[N_PARTS];
    int64_t width[N_PARTS], total;
};

int cm_encoder_row(int i, cm_table_row *row) {
    if (i < 0 || i >= N_PARTS) return 0;
    *row = (cm_table_row){parts[i]->name, parts[i]->help};
    return 1;
}

/* 1 .. 65536 in decimal digits, nothing else. */
static bool parse_windows(const char *text, int64_t *windows) {
    int64_t value = 0;
    const char *at = text;
    for (; *at >= '0' && *at <= '9' && value <= 65536; at++) value = value * 10 + (*at - '0');
    if (at == text || *at != '\0' || *text == '0' || value > 65536) return false;
    *windows = value;
    return true;
}

cm_status cm_layout_parse(cm_layout *layout, const char *text, cm_error *error) {
    static const char windows[] = "windows:";
    cm_layout parsed = {CM_LAYOUT_POOLED, 0};
    bool known = true;
    if (strcmp(text, "residues") == 0)
        parsed.kind = CM_LAYOUT_RESIDUES;
    else if (strncmp(text, windows, sizeof windows - 1) == 0) {
        parsed.kind = CM_LAYOUT_WINDOWS;
        known = parse_windows(text + sizeof windows - 1, &parsed.windows);
    } else
        known = strcmp(text, "pooled") == 0;
    if (!known)
        return cm_fail(error, CM_USAGE, NULL, "token layout",
                       "pooled, windows:N (N from 1 to 65536) or residues", "'%s'", text);
    *layout = parsed;
    return CM_OK;
}

static bool encodes(const cm_encoder_part *part, cm_molecule_type type) {
    return (part->types >> type & 1u) != 0;
}

static cm_status refuse_name(const char *name, size_t length, const char *why, cm_molecule_type type,
                             cm_error *error) {
    cm_buf list = {.ceiling = 4096};
    for (int i = 0; i < N_PARTS; i++)
        if (encodes(parts[i], type)) cm_buf_printf(&list, "%s%s", list.len > 0 ? ", " : "", parts[i]->name);
    cm_status status =
        cm_fail(error, CM_USAGE, NULL, cm_format("encoder of %s", cm_molecule_type_name(type)).text,
                cm_format("one of %s, or several joined by '+'", list.data != NULL ? list.data : "").text,
                "'%.*s'%s", (int)(length < 80 ? length : 80), name, why);
    cm_buf_clear(&list);
    return status;
}

static cm_status add_part(cm_encoder *encoder, const char *name, size_t length, cm_error *error) {
    const cm_encoder_part *part = NULL;
    for (int i = 0; i < N_PARTS; i++)
        if (strlen(parts[i]->name) == length && memcmp(parts[i]->name, name, length) == 0) part = parts[i];
    if (part == NULL || !encodes(part, encoder->type))
        return refuse_name(name, length, part == NULL ? "" : ", which does not encode it", encoder->type,
                           error);
    for (int i = 0; i < encoder->n; i++)
        if (encoder->part[i] == part) return refuse_name(name, length, " twice", encoder->type, error);
    encoder->part[encoder->n] = part;
    encoder->width[encoder->n] = part->width(encoder->type);
    encoder->total += encoder->width[encoder->n++];
    return CM_OK;
}

cm_status cm_encoder_create(cm_encoder **encoder, const char *name, cm_molecule_type type, cm_error *error) {
    *encoder = NULL;
    cm_encoder *created = cm_new(1, sizeof *created);
    if (created == NULL) return cm_fail_memory(error, sizeof *created);
    created->type = type;
    cm_status status = CM_OK;
    for (const char *at = name; status == CM_OK && at != NULL;) {
        size_t length = strcspn(at, "+");
        status = add_part(created, at, length, error);
        at = at[length] == '+' ? at + length + 1 : NULL;
    }
    if (status != CM_OK) {
        cm_free(created);
        return status;
    }
    *encoder = created;
    return CM_OK;
}

void cm_encoder_destroy(cm_encoder *encoder) {
    cm_free(encoder);
}

int64_t cm_encoder_width(const cm_encoder *encoder) {
    return encoder->total;
}

/* Most tokens the text can give: the fewest units over the positional parts, 1 without such a part. */
static int64_t most_tokens(const cm_encoder *encoder, const char *text, int64_t length) {
    int64_t most = 0;
    for (int i = 0; i < encoder->n; i++) {
        if (encoder->part[i]->units == NULL) continue;
        int64_t units = encoder->part[i]->units(encoder->type, text, length);
        if (most == 0 || units < most) most = units;
    }
    return most > 0 ? most : 1;
}

int64_t cm_encoder_tokens(const cm_encoder *encoder, cm_layout layout, const char *text, int64_t length) {
    if (layout.kind == CM_LAYOUT_POOLED) return 1;
    int64_t most = most_tokens(encoder, text, length);
    return layout.kind == CM_LAYOUT_WINDOWS && layout.windows < most ? layout.windows : most;
}

cm_status cm_encoder_encode(const cm_encoder *encoder, const char *text, int64_t length, int64_t tokens,
                            float *out, cm_error *error) {
    assert(tokens >= 1);
    int64_t stride = encoder->total;
    for (int i = 0; i < encoder->n; i++) {
        const cm_encoder_part *part = encoder->part[i];
        int64_t own = part->units != NULL ? tokens : 1;
        CM_TRY(part->encode(encoder->type, text, length, own, out, stride, error));
        for (int64_t row = own; row < tokens; row++)
            memcpy(out + row * stride, out, (size_t)encoder->width[i] * sizeof *out);
        out += encoder->width[i];
    }
    return CM_OK;
}
