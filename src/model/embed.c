/* Embedding a file with a pretrained encoder, a slice at a time. */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/log.h"
#include "encoders/encoder.h"
#include "encoders/pretrained.h"
#include "model/molecule_stream.h"
#include "model/pretrained_part.h"
#include "model/store_folder.h"
#include <crossmamba/embed.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { SLICE_RECORDS = 4096, SLICE_FLOATS = 1 << 24 /* 64 MiB */ };

struct cm_embedder {
    cm_pretrained *pretrained;
    cm_molecule_type type;
    cm_team *team;
    bool raw;
};

cm_status cm_pretrained_part_find(const char *encoder, cm_pretrained_part *found, cm_error *error) {
    const char *rest = encoder;
    cm_encoder_word word = cm_encoder_next_word(&rest);
    const cm_encoder_part *part = cm_encoder_part_find(word.name, word.name_length);
    if (!part || !part->family || rest || word.reference_length == 0)
        return cm_fail(error, CM_USAGE, NULL, "encoder",
                       "FAMILY:REFERENCE, one pretrained encoder (crossmamba models list shows the families)",
                       "'%s'", encoder);
    found->family = part->family;
    found->reference = word.reference;
    found->type = CM_RNA;
    while (!(part->types >> found->type & 1u)) found->type++;
    return CM_OK;
}

static cm_pretrained_options pretrained_options(const cm_embed_options *options, const char *store) {
    return (cm_pretrained_options){.precision = options->precision,
                                   .layer = options->layer == 0 ? CM_LAST_LAYER : -1 - options->layer,
                                   .long_input = options->refuse_long ? CM_LONG_REFUSE : CM_LONG_WINDOWS,
                                   .max_memory = options->max_memory,
                                   .store = store};
}

cm_status cm_embedder_open(cm_embedder **embedder, const cm_embed_options *options, const cm_runtime *runtime,
                           cm_error *error) {
    cm_pretrained_part part = {0};
    char folder[CM_STORE_PATH];
    const char *store = NULL;
    CM_TRY(cm_pretrained_part_find(options->encoder, &part, error));
    CM_TRY(cm_store_prepare(runtime, folder, &store, error));
    cm_embedder *e = cm_new(1, sizeof *e);
    if (!e) return cm_fail_memory(error, sizeof *e);
    *e = (cm_embedder){.type = part.type, .raw = options->raw};
    e->team = cm_team_create(runtime && runtime->threads > 1 ? runtime->threads : 1);
    cm_pretrained_options own = pretrained_options(options, store);
    cm_status status =
        e->team ? cm_pretrained_open(&e->pretrained, part.family, part.reference, &own, e->team, error)
                : cm_fail_memory(error, 0);
    if (status != CM_OK) {
        cm_embedder_close(e);
        return status;
    }
    *embedder = e;
    return CM_OK;
}

void cm_embedder_close(cm_embedder *embedder) {
    if (!embedder) return;
    cm_pretrained_close(embedder->pretrained);
    cm_team_destroy(embedder->team);
    cm_free(embedder);
}

void cm_embedder_describe(const cm_embedder *embedder, cm_embedder_info *info) {
    const cm_pretrained *p = embedder->pretrained;
    const cm_family *family = cm_pretrained_family(p);
    *info = (cm_embedder_info){.id = cm_pretrained_id(p),
                               .family = family->name,
                               .title = family->title,
                               .licence = family->licence,
                               .pooling = family->pooling,
                               .sha256 = cm_pretrained_sha256(p),
                               .width = (long)cm_pretrained_width(p),
                               .layers = cm_pretrained_layers(p),
                               .layer = cm_pretrained_layer(p),
                               .type = embedder->type,
                               .precision = cm_pretrained_precision(p)};
}

/* ---- slices ---- */

typedef struct slice {
    cm_molecule_text *molecules; /* [SLICE_RECORDS] */
    cm_pretrained_item *items;   /* [SLICE_RECORDS] distinct texts */
    int64_t *rows;               /* [SLICE_RECORDS] of the items */
    int64_t *item_of;            /* [SLICE_RECORDS] the item of a molecule */
    int64_t n, n_items, floats;
    cm_map *text; /* text -> item */
    float *data, *pooled;
    double *sum;
} slice;

static void slice_empty(slice *s) {
    for (int64_t i = 0; i < s->n; i++) {
        cm_free(s->molecules[i].id);
        cm_free(s->molecules[i].text);
    }
    cm_map_destroy(s->text);
    cm_free(s->data);
    s->text = NULL;
    s->data = NULL;
    s->n = s->n_items = s->floats = 0;
}

static void slice_clear(slice *s) {
    slice_empty(s);
    cm_free(s->molecules);
    cm_free(s->items);
    cm_free(s->rows);
    cm_free(s->item_of);
    cm_free(s->pooled);
    cm_free(s->sum);
}

static cm_status slice_create(slice *s, int64_t width, cm_error *error) {
    *s = (slice){.molecules = cm_new(SLICE_RECORDS, sizeof *s->molecules),
                 .items = cm_new(SLICE_RECORDS, sizeof *s->items),
                 .rows = cm_new(SLICE_RECORDS, sizeof *s->rows),
                 .item_of = cm_new(SLICE_RECORDS, sizeof *s->item_of),
                 .pooled = cm_new((size_t)width, sizeof *s->pooled),
                 .sum = cm_new((size_t)width, sizeof *s->sum)};
    return s->molecules && s->items && s->rows && s->item_of && s->pooled && s->sum
               ? CM_OK
               : cm_fail_memory(error, SLICE_RECORDS * sizeof *s->items);
}

/* The number of the molecule's text among the distinct ones of the slice. */
static cm_status add_item(slice *s, const cm_pretrained *pretrained, const cm_molecule_text *molecule,
                          cm_error *error) {
    int64_t item;
    if (!cm_map_get(s->text, molecule->text, (size_t)molecule->length, &item)) {
        item = s->n_items++;
        s->items[item] = (cm_pretrained_item){.text = molecule->text, .length = molecule->length};
        s->rows[item] = cm_pretrained_rows(pretrained, molecule->text, molecule->length);
        s->floats += s->rows[item] * cm_pretrained_width(pretrained);
        if (!cm_map_put(s->text, molecule->text, (size_t)molecule->length, item))
            return cm_fail_memory(error, 0);
    }
    s->item_of[s->n - 1] = item;
    return CM_OK;
}

static cm_status slice_read(slice *s, const cm_embedder *embedder, cm_molecule_stream *stream, bool *more,
                            cm_error *error) {
    s->text = cm_map_create();
    if (!s->text) return cm_fail_memory(error, 0);
    while (s->n < SLICE_RECORDS && s->floats < SLICE_FLOATS) {
        CM_TRY(cm_molecule_stream_next(stream, &s->molecules[s->n], more, error));
        if (!*more) break;
        s->n++;
        CM_TRY(add_item(s, embedder->pretrained, &s->molecules[s->n - 1], error));
    }
    return CM_OK;
}

static cm_status slice_encode(slice *s, const cm_embedder *embedder, const cm_runtime *runtime,
                              cm_error *error) {
    s->data = cm_new_aligned((size_t)s->floats, sizeof *s->data);
    if (!s->data) return cm_fail_memory(error, (size_t)s->floats * sizeof *s->data);
    float *at = s->data;
    for (int64_t i = 0; i < s->n_items; i++) {
        s->items[i].out = at;
        at += s->rows[i] * cm_pretrained_width(embedder->pretrained);
    }
    return cm_pretrained_encode(embedder->pretrained, s->items, s->n_items, runtime, error);
}

static void describe_report(const cm_token_report *report, cm_buf *text) {
    text->len = 0;
    cm_buf_text(text, "");
    if (report->unknown > 0) cm_buf_printf(text, "unknown tokens %lld", (long long)report->unknown);
    if (report->dropped > 0)
        cm_buf_printf(text, "%sdropped characters %lld", text->len > 0 ? "; " : "",
                      (long long)report->dropped);
}

static int deliver_one(slice *s, const cm_embedder *embedder, int64_t i, cm_buf *warnings,
                       cm_embedding_sink sink, void *context) {
    const cm_pretrained_item *item = &s->items[s->item_of[i]];
    int64_t rows = s->rows[s->item_of[i]], width = cm_pretrained_width(embedder->pretrained);
    bool specials = cm_pretrained_family(embedder->pretrained)->pool_specials && rows > 2;
    cm_window_means(item->out, rows, width, 1, s->pooled, width, s->sum);
    describe_report(&item->report, warnings);
    const cm_embedding embedding = {.id = s->molecules[i].id,
                                    .text = s->molecules[i].text,
                                    .rows = (long)(specials ? rows - 2 : rows),
                                    .width = (long)width,
                                    .tokens = item->out + (specials ? width : 0),
                                    .pooled = s->pooled,
                                    .warnings = warnings->len > 0 ? warnings->data : ""};
    return sink(context, &embedding);
}

static cm_status slice_deliver(slice *s, const cm_embedder *embedder, cm_embedding_sink sink, void *context,
                               cm_error *error) {
    cm_buf warnings = {.ceiling = 4096};
    int stopped = 0;
    for (int64_t i = 0; i < s->n && !stopped; i++)
        stopped = deliver_one(s, embedder, i, &warnings, sink, context);
    cm_buf_clear(&warnings);
    return stopped
               ? cm_fail(error, CM_INTERRUPTED, NULL, NULL, NULL, "stopped by the receiver of the embeddings")
               : CM_OK;
}

/* ---- files ---- */

/* Records of a file that can be read twice, for the progress; 0: not known. A fault of the file shows here,
 * before anything is computed. */
static cm_status count_records(const cm_embedder *embedder, const char *path, cm_bad_records bad_records,
                               int64_t *count, cm_error *error) {
    struct stat facts;
    *count = 0;
    if (strcmp(path, "-") == 0 || stat(path, &facts) != 0 || !S_ISREG(facts.st_mode)) return CM_OK;
    cm_molecule_stream *stream = NULL;
    CM_TRY(cm_molecule_stream_open(&stream, embedder->type, path, true, bad_records, error));
    cm_status status = CM_OK;
    for (bool more = true; status == CM_OK && more;) {
        cm_molecule_text molecule;
        status = cm_molecule_stream_next(stream, &molecule, &more, error);
        if (status != CM_OK || !more) break;
        cm_free(molecule.id);
        cm_free(molecule.text);
        ++*count;
    }
    cm_molecule_stream_close(stream);
    return status;
}

static cm_status embed_stream(cm_embedder *embedder, cm_molecule_stream *stream, int64_t total,
                              cm_embedding_sink sink, void *context, const cm_runtime *runtime,
                              cm_error *error) {
    cm_runtime quiet = {0};
    if (runtime)
        quiet = (cm_runtime){.log = runtime->log, .stop = runtime->stop, .context = runtime->context};
    slice s;
    cm_status status = slice_create(&s, cm_pretrained_width(embedder->pretrained), error);
    int64_t done = 0;
    for (bool more = true; status == CM_OK && more;) {
        status = slice_read(&s, embedder, stream, &more, error);
        if (status == CM_OK) status = slice_encode(&s, embedder, &quiet, error);
        if (status == CM_OK) status = slice_deliver(&s, embedder, sink, context, error);
        done += s.n;
        slice_empty(&s);
        if (status == CM_OK && more && cm_stopped(runtime))
            status = cm_fail(error, CM_INTERRUPTED, NULL, NULL, NULL, "stopped while embedding");
        if (total > 0) cm_report(runtime, "embed", (double)done, (double)total, "molecules", "");
    }
    slice_clear(&s);
    return status;
}

cm_status cm_embed_file(cm_embedder *embedder, const char *path, cm_bad_records bad_records,
                        cm_embedding_sink sink, void *context, const cm_runtime *runtime, cm_error *error) {
    int64_t total;
    cm_molecule_stream *stream = NULL;
    CM_TRY(count_records(embedder, path, bad_records, &total, error));
    CM_TRY(cm_molecule_stream_open(&stream, embedder->type, path, embedder->raw, bad_records, error));
    if (total > 0) cm_report(runtime, "embed", 0, (double)total, "molecules", "");
    cm_status status = embed_stream(embedder, stream, total, sink, context, runtime, error);
    if (status == CM_OK) cm_molecule_stream_warn(stream, runtime);
    cm_molecule_stream_close(stream);
    return status;
}

/* ---- precision ---- */

static cm_status open_precision(cm_pretrained **pretrained, const cm_embed_options *options,
                                cm_precision precision, cm_team *team, cm_error *error) {
    cm_pretrained_part part = {0};
    CM_TRY(cm_pretrained_part_find(options->encoder, &part, error));
    cm_pretrained_options own = pretrained_options(options, NULL);
    own.precision = precision;
    return cm_pretrained_open(pretrained, part.family, part.reference, &own, team, error);
}

static cm_status compare_one(cm_pretrained *exact, const cm_embed_options *options, cm_precision precision,
                             cm_team *team, cm_precision_line *line, cm_error *error) {
    cm_pretrained *other = NULL;
    cm_precision_report report = {0};
    CM_TRY(open_precision(&other, options, precision, team, error));
    cm_status status = cm_pretrained_compare(exact, other, &report, error);
    cm_precision_report same;
    struct timespec begin, end;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    if (status == CM_OK) status = cm_pretrained_compare(other, other, &same, error);
    clock_gettime(CLOCK_MONOTONIC, &end);
    cm_pretrained_close(other);
    /* a comparison with itself runs the probe set twice */
    double elapsed = (double)(end.tv_sec - begin.tv_sec) + 1e-9 * (double)(end.tv_nsec - begin.tv_nsec);
    double seconds = elapsed / 2;
    *line = (cm_precision_line){.precision = precision,
                                .least = report.least,
                                .mean = report.mean,
                                .tokens = (long)report.tokens,
                                .tokens_per_second = seconds > 0 ? (double)report.tokens / seconds : 0,
                                .fast = precision == CM_F32 || cm_precision_is_fast(precision)};
    return status;
}

cm_status cm_embedder_precisions(const cm_embed_options *options, cm_precision_sink sink, void *context,
                                 const cm_runtime *runtime, cm_error *error) {
    cm_team *team = cm_team_create(runtime && runtime->threads > 1 ? runtime->threads : 1);
    cm_pretrained *exact = NULL;
    cm_status status = team ? open_precision(&exact, options, CM_F32, team, error) : cm_fail_memory(error, 0);
    static const cm_precision precisions[] = {CM_F32, CM_BF16, CM_INT8};
    for (int i = 0; i < 3 && status == CM_OK; i++) {
        cm_precision_line line;
        status = compare_one(exact, options, precisions[i], team, &line, error);
        if (status == CM_OK && (sink(context, &line) != 0 || cm_stopped(runtime)))
            status = cm_fail(error, CM_INTERRUPTED, NULL, NULL, NULL, "stopped while comparing");
    }
    cm_pretrained_close(exact);
    cm_team_destroy(team);
    return status;
}
