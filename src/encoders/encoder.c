/* Token layouts and the joining of parts. */
#include "encoders/encoder.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "encoders/pretrained.h"
#include "encoders/stored_encoder.h"
#include "io/embedding_store.h"
#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { MOST_PARTS = 16 };

/* A part in use. */
typedef struct joined_part {
    const cm_encoder_part *part;
    char *reference;           /* NULL: none */
    cm_pretrained *pretrained; /* a part with a family */
    char *stored_id;           /* the part "stored": the identity of its embeddings */
    int64_t width;
} joined_part;

struct cm_encoder {
    cm_molecule_type type;
    cm_encoder_setup setup;
    cm_embeddings *store; /* opened for the first part that needs it, lent to all */
    int n;
    joined_part parts[MOST_PARTS];
    int64_t width;
    char *identity;
};

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

/* ---- creating ---- */

static bool encodes(const cm_encoder_part *part, cm_molecule_type type) {
    return (part->types >> type & 1u) != 0;
}

static cm_status refuse_name(const cm_encoder_word *word, const char *why, cm_molecule_type type,
                             cm_error *error) {
    cm_buf list = {.ceiling = 4096};
    const cm_encoder_part *part;
    for (int i = 0; (part = cm_encoder_part_at(i)) != NULL; i++)
        if (encodes(part, type))
            cm_buf_printf(&list, "%s%s%s", list.len > 0 ? ", " : "", part->name,
                          part->reference ? ":.." : "");
    size_t length = word->name_length < 80 ? word->name_length : 80;
    cm_error record;
    cm_status status =
        cm_fail(&record, CM_USAGE, NULL, cm_format("encoder of %s", cm_molecule_type_name(type)).text, NULL,
                "'%.*s'%s", (int)length, word->name, why);
    snprintf(record.expected, sizeof record.expected, "one of %s, or several joined by '+'",
             list.data != NULL ? list.data : "");
    if (error != NULL) *error = record;
    cm_buf_clear(&list);
    return status;
}

static cm_status check_reference(const cm_encoder_part *part, const cm_encoder_word *word, cm_error *error) {
    if (part->reference != NULL && word->reference_length == 0)
        return cm_fail(error, CM_USAGE, NULL, cm_format("encoder %s", part->name).text,
                       cm_format("%s:%s", part->name, part->reference).text, "no reference");
    if (part->reference == NULL && word->reference != NULL)
        return cm_fail(error, CM_USAGE, NULL, cm_format("encoder %s", part->name).text,
                       "the name alone: this encoder is built in", "':%.*s'",
                       (int)(word->reference_length < 80 ? word->reference_length : 80), word->reference);
    return CM_OK;
}

/* A process may open a store only once at a time. */
static cm_status open_store(cm_encoder *encoder, cm_error *error) {
    if (encoder->store != NULL || encoder->setup.store == NULL) return CM_OK;
    return cm_embeddings_open(&encoder->store, encoder->setup.store, true, error);
}

static cm_status open_pretrained(cm_encoder *encoder, joined_part *part, cm_error *error) {
    cm_encoder_setup *setup = &encoder->setup;
    CM_TRY(open_store(encoder, error));
    cm_pretrained_options options = {.precision = setup->precision,
                                     .layer = setup->layer == 0 ? CM_LAST_LAYER : -1 - setup->layer,
                                     .max_memory = setup->max_memory,
                                     .embeddings = encoder->store};
    CM_TRY(cm_pretrained_open(&part->pretrained, part->part->family, part->reference, &options, setup->team,
                              error));
    setup->precision = cm_pretrained_precision(part->pretrained);
    part->width = cm_pretrained_width(part->pretrained);
    return CM_OK;
}

static cm_status open_stored(cm_encoder *encoder, joined_part *part, cm_error *error) {
    part->stored_id = cm_stored_id(part->reference);
    if (part->stored_id == NULL) return cm_fail_memory(error, strlen(part->reference));
    if (encoder->setup.store == NULL)
        return cm_fail(error, CM_USAGE, NULL, part->stored_id, "an embedding store", "none");
    CM_TRY(open_store(encoder, error));
    CM_TRY(cm_embeddings_width(encoder->store, part->stored_id, &part->width, error));
    if (part->width > 0) return CM_OK;
    return cm_fail(error, CM_MODEL, encoder->setup.store, part->stored_id,
                   "a name that crossmamba store import has made (see crossmamba store info)",
                   "no such name");
}

static cm_status add_part(cm_encoder *encoder, const cm_encoder_word *word, cm_error *error) {
    const cm_encoder_part *part = cm_encoder_part_find(word->name, word->name_length);
    if (part == NULL || !encodes(part, encoder->type))
        return refuse_name(word, part == NULL ? "" : ", which does not encode it", encoder->type, error);
    for (int i = 0; i < encoder->n; i++) {
        const joined_part *other = &encoder->parts[i];
        if (other->part == part && (other->reference == NULL ||
                                    (strlen(other->reference) == word->reference_length &&
                                     memcmp(other->reference, word->reference, word->reference_length) == 0)))
            return refuse_name(word, " twice", encoder->type, error);
    }
    if (encoder->n == MOST_PARTS)
        return cm_fail(error, CM_USAGE, NULL, "encoder", "at most 16 parts", "more");
    CM_TRY(check_reference(part, word, error));
    joined_part *joined = &encoder->parts[encoder->n++];
    joined->part = part;
    if (part->reference != NULL) {
        joined->reference = cm_copy_text(word->reference, word->reference_length);
        if (joined->reference == NULL) return cm_fail_memory(error, word->reference_length);
    }
    if (part->family != NULL)
        CM_TRY(open_pretrained(encoder, joined, error));
    else if (part->reference != NULL)
        CM_TRY(open_stored(encoder, joined, error));
    else
        joined->width = part->width(encoder->type);
    encoder->width += joined->width;
    return CM_OK;
}

static const char *part_identity(const joined_part *part) {
    return part->pretrained != NULL ? cm_pretrained_id(part->pretrained) : part->stored_id;
}

static cm_status join_identity(cm_encoder *encoder, cm_error *error) {
    cm_buf text = {.ceiling = 1 << 16};
    cm_buf_text(&text, "");
    for (int i = 0; i < encoder->n; i++) {
        const char *id = part_identity(&encoder->parts[i]);
        if (id != NULL) cm_buf_printf(&text, "%s%s", text.len > 0 ? " + " : "", id);
    }
    encoder->identity = text.failed ? NULL : cm_copy_text(text.data != NULL ? text.data : "", text.len);
    cm_buf_clear(&text);
    return encoder->identity != NULL ? CM_OK : cm_fail_memory(error, 0);
}

cm_status cm_encoder_create(cm_encoder **encoder, const char *name, cm_molecule_type type,
                            const cm_encoder_setup *setup, cm_error *error) {
    *encoder = NULL;
    cm_encoder *created = cm_new(1, sizeof *created);
    if (created == NULL) return cm_fail_memory(error, sizeof *created);
    created->type = type;
    if (setup != NULL) created->setup = *setup;
    cm_status status = CM_OK;
    for (const char *at = name; status == CM_OK && at != NULL;) {
        cm_encoder_word word = cm_encoder_next_word(&at);
        status = add_part(created, &word, error);
    }
    if (status == CM_OK) status = join_identity(created, error);
    if (status != CM_OK) {
        cm_encoder_destroy(created);
        return status;
    }
    *encoder = created;
    return CM_OK;
}

void cm_encoder_destroy(cm_encoder *encoder) {
    if (encoder == NULL) return;
    for (int i = 0; i < encoder->n; i++) {
        cm_pretrained_close(encoder->parts[i].pretrained);
        cm_free(encoder->parts[i].stored_id);
        cm_free(encoder->parts[i].reference);
    }
    cm_embeddings_close(encoder->store);
    cm_free(encoder->identity);
    cm_free(encoder);
}

int64_t cm_encoder_width(const cm_encoder *encoder) {
    return encoder->width;
}

const char *cm_encoder_identity(const cm_encoder *encoder) {
    return encoder->identity;
}

cm_precision cm_encoder_precision(const cm_encoder *encoder) {
    for (int i = 0; i < encoder->n; i++)
        if (encoder->parts[i].pretrained != NULL)
            return cm_pretrained_precision(encoder->parts[i].pretrained);
    return CM_F32;
}

/* ---- tokens ---- */

/* Rows of a part that has them: as the checkpoint gives them, special tokens included where it pools them;
 * -1 when the store does not know the text. */
static int64_t all_rows(const cm_encoder *encoder, const joined_part *part, const char *text,
                        int64_t length) {
    if (part->pretrained != NULL) return cm_pretrained_rows(part->pretrained, text, length);
    int64_t rows = -1;
    if (cm_embeddings_get(encoder->store, part->stored_id, text, length, part->width, &rows, NULL, NULL) !=
        CM_OK)
        return -1;
    return rows;
}

/* Special tokens stand at both ends of the rows; an empty molecule is one row without them. */
static bool has_specials(const joined_part *part, int64_t rows) {
    return part->part->family != NULL && part->part->family->pool_specials && rows > 2;
}

static int64_t units(const cm_encoder *encoder, const joined_part *part, const char *text, int64_t length) {
    if (part->part->reference == NULL) return part->part->units(encoder->type, text, length);
    int64_t rows = all_rows(encoder, part, text, length);
    return has_specials(part, rows) ? rows - 2 : rows > 1 ? rows : 1;
}

static bool is_positional(const joined_part *part) {
    return part->part->reference != NULL || part->part->units != NULL;
}

/* Most tokens the text can give: the fewest units over the positional parts, 1 without such a part. */
static int64_t most_tokens(const cm_encoder *encoder, const char *text, int64_t length) {
    int64_t most = 0;
    for (int i = 0; i < encoder->n; i++) {
        if (!is_positional(&encoder->parts[i])) continue;
        int64_t own = units(encoder, &encoder->parts[i], text, length);
        if (most == 0 || own < most) most = own;
    }
    return most > 0 ? most : 1;
}

int64_t cm_encoder_tokens(const cm_encoder *encoder, cm_layout layout, const char *text, int64_t length) {
    if (layout.kind == CM_LAYOUT_POOLED) return 1;
    int64_t most = most_tokens(encoder, text, length);
    return layout.kind == CM_LAYOUT_WINDOWS && layout.windows < most ? layout.windows : most;
}

/* ---- built-in parts ---- */

/* Tokens of one built-in part at out, stride floats apart. */
static cm_status encode_part(const cm_encoder *encoder, const joined_part *joined, const char *text,
                             int64_t length, int64_t tokens, float *out, cm_error *error) {
    const cm_encoder_part *part = joined->part;
    int64_t own = part->units != NULL ? tokens : 1, stride = encoder->width;
    CM_TRY(part->encode(encoder->type, text, length, own, out, stride, error));
    for (int64_t row = own; row < tokens; row++)
        memcpy(out + row * stride, out, (size_t)joined->width * sizeof *out);
    return CM_OK;
}

static cm_status encode_built_in(const cm_encoder *encoder, const cm_encoder_item *item, cm_error *error) {
    assert(item->tokens >= 1);
    float *out = item->out;
    for (int i = 0; i < encoder->n; i++) {
        const joined_part *part = &encoder->parts[i];
        if (part->part->reference == NULL)
            CM_TRY(encode_part(encoder, part, item->text, item->length, item->tokens, out, error));
        out += part->width;
    }
    return CM_OK;
}

cm_status cm_encoder_encode(const cm_encoder *encoder, const char *text, int64_t length, int64_t tokens,
                            float *out, cm_error *error) {
    const cm_encoder_item item = {.text = text, .length = length, .tokens = tokens, .out = out};
    assert(*encoder->identity == '\0');
    return encode_built_in(encoder, &item, error);
}

typedef struct built_in_job {
    const cm_encoder *encoder;
    const cm_encoder_item *items;
    cm_error *errors; /* one a member */
} built_in_job;

static void built_in_range(void *context, int64_t begin, int64_t end, int member) {
    const built_in_job *job = context;
    for (int64_t i = begin; i < end; i++)
        if (encode_built_in(job->encoder, &job->items[i], &job->errors[member]) != CM_OK) return;
}

static cm_status encode_built_in_parts(const cm_encoder *encoder, const cm_encoder_item *items, int64_t n,
                                       cm_error *error) {
    int members = cm_team_size(encoder->setup.team);
    built_in_job job = {encoder, items, cm_new((size_t)members, sizeof(cm_error))};
    if (job.errors == NULL) return cm_fail_memory(error, (size_t)members * sizeof(cm_error));
    cm_team_for(encoder->setup.team, n, 8, built_in_range, &job);
    cm_status status = CM_OK;
    for (int m = 0; m < members && status == CM_OK; m++) {
        status = job.errors[m].status;
        if (status != CM_OK && error != NULL) *error = job.errors[m];
    }
    cm_free(job.errors);
    return status;
}

/* ---- parts with rows of their own ---- */

int64_t cm_encoder_floats(const cm_encoder *encoder, const char *text, int64_t length) {
    int64_t most = 0;
    for (int i = 0; i < encoder->n; i++) {
        const joined_part *part = &encoder->parts[i];
        if (part->part->reference == NULL) continue;
        int64_t rows = all_rows(encoder, part, text, length), floats = (rows > 0 ? rows : 1) * part->width;
        if (floats > most) most = floats;
    }
    return most;
}

void cm_window_means(const float *rows, int64_t count, int64_t width, int64_t n, float *out, int64_t stride,
                     double *sum) {
    for (int64_t w = 0; w < n; w++) {
        int64_t begin = w * count / n, end = (w + 1) * count / n;
        memset(sum, 0, (size_t)width * sizeof *sum);
        for (int64_t r = begin; r < end; r++)
            for (int64_t c = 0; c < width; c++) sum[c] += rows[r * width + c];
        for (int64_t c = 0; c < width; c++)
            out[w * stride + c] = end > begin ? (float)(sum[c] / (double)(end - begin)) : 0.0f;
    }
}

static cm_status read_stored(const cm_encoder *encoder, const joined_part *part, const cm_encoder_item *item,
                             int64_t rows, float *out, cm_error *error) {
    int64_t found = rows;
    if (rows >= 0)
        CM_TRY(cm_embeddings_get(encoder->store, part->stored_id, item->text, item->length, part->width,
                                 &found, out, error));
    if (found == rows && rows >= 0) return CM_OK;
    int shown = (int)(item->length < 40 ? item->length : 40);
    return cm_fail(error, CM_DATA, NULL, part->stored_id, "an embedding of every molecule",
                   "none of %s%.*s%s", item->name != NULL ? item->name : "", item->name != NULL ? 0 : shown,
                   item->text, item->name == NULL && shown < item->length ? ".." : "");
}

/* The rows of every item, one after the other in memory. */
typedef struct row_block {
    int64_t *rows; /* [n] */
    float *data;
    cm_pretrained_item *items; /* [n], for pretrained parts */
    double *sum;               /* [width] */
} row_block;

static void block_clear(row_block *block) {
    cm_free(block->rows);
    cm_free(block->data);
    cm_free(block->items);
    cm_free(block->sum);
}

static cm_status block_create(row_block *block, const cm_encoder *encoder, const joined_part *part,
                              const cm_encoder_item *items, int64_t n, cm_error *error) {
    *block = (row_block){.rows = cm_new((size_t)n, sizeof *block->rows),
                         .items = cm_new((size_t)n, sizeof *block->items),
                         .sum = cm_new((size_t)part->width, sizeof *block->sum)};
    if (!block->rows || !block->items || !block->sum) return cm_fail_memory(error, 0);
    size_t total = 0, floats;
    for (int64_t i = 0; i < n; i++) {
        block->rows[i] = all_rows(encoder, part, items[i].text, items[i].length);
        total += (size_t)(block->rows[i] > 0 ? block->rows[i] : 1);
    }
    if (!cm_size_mul(total, (size_t)part->width, &floats)) return cm_fail_memory(error, SIZE_MAX);
    block->data = cm_new_aligned(floats, sizeof *block->data);
    return block->data != NULL ? CM_OK : cm_fail_memory(error, floats * sizeof *block->data);
}

static cm_status block_fill(row_block *block, const cm_encoder *encoder, const joined_part *part,
                            const cm_encoder_item *items, int64_t n, const cm_runtime *runtime,
                            cm_error *error) {
    float *at = block->data;
    for (int64_t i = 0; i < n; i++) {
        block->items[i] = (cm_pretrained_item){.text = items[i].text, .length = items[i].length, .out = at};
        if (part->pretrained == NULL)
            CM_TRY(read_stored(encoder, part, &items[i], block->rows[i], at, error));
        at += (block->rows[i] > 0 ? block->rows[i] : 1) * part->width;
    }
    return part->pretrained != NULL ? cm_pretrained_encode(part->pretrained, block->items, n, runtime, error)
                                    : CM_OK;
}

/* Tokens of a part with rows; column is its first one in the joined tokens. */
static cm_status encode_rows(const cm_encoder *encoder, const joined_part *part, int64_t column,
                             cm_layout layout, const cm_encoder_item *items, int64_t n,
                             const cm_runtime *runtime, cm_error *error) {
    row_block block;
    cm_status status = block_create(&block, encoder, part, items, n, error);
    if (status == CM_OK) status = block_fill(&block, encoder, part, items, n, runtime, error);
    for (int64_t i = 0; i < n && status == CM_OK; i++) {
        bool inner = layout.kind != CM_LAYOUT_POOLED && has_specials(part, block.rows[i]);
        cm_window_means(block.items[i].out + (inner ? part->width : 0), block.rows[i] - (inner ? 2 : 0),
                        part->width, items[i].tokens, items[i].out + column, encoder->width, block.sum);
    }
    block_clear(&block);
    return status;
}

cm_status cm_encoder_encode_items(cm_encoder *encoder, cm_layout layout, const cm_encoder_item *items,
                                  int64_t n, const cm_runtime *runtime, cm_error *error) {
    CM_TRY(encode_built_in_parts(encoder, items, n, error));
    /* progress is the caller's matter: it knows how much there is in all */
    cm_runtime quiet = {0};
    if (runtime != NULL)
        quiet = (cm_runtime){.log = runtime->log, .stop = runtime->stop, .context = runtime->context};
    int64_t column = 0;
    for (int i = 0; i < encoder->n; i++) {
        const joined_part *part = &encoder->parts[i];
        if (part->part->reference != NULL)
            CM_TRY(encode_rows(encoder, part, column, layout, items, n, &quiet, error));
        column += part->width;
    }
    return CM_OK;
}
