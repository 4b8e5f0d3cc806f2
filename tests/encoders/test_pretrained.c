/* Pretrained encoders on an engine that says in every row what it was run on: batches, windows, chains, the
 * store, precisions. */
#include "encoders/pretrained.h"
#include "io/safetensors.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fail_alloc.h"

/* ---- the engine ---- */

enum { WIDTH = 5, LAYERS = 3, MAX_CALLS = 64 };

/* What the engine met since its counters were reset, and how it behaves. */
static struct {
    int opened, closed, runs, windows;
    int64_t tokens[MAX_CALLS]; /* of each run */
    int64_t texts[MAX_CALLS];
    char first[MAX_CALLS]; /* first letter of the first text of each run */
    int64_t longest;
    float error[3]; /* by precision, on one token of every text */
} fake;

static void fake_reset(int64_t longest) {
    memset(&fake, 0, sizeof fake);
    fake.longest = longest;
}

typedef struct fake_state {
    cm_precision precision;
    float scale; /* from the checkpoint */
} fake_state;

static cm_status fake_open(void **state, const cm_family *family, const cm_weights *weights,
                           const json_t *config, cm_precision precision, cm_error *error) {
    (void)family, (void)config;
    const cm_tensor *scale = cm_weights_find(weights, "scale");
    if (scale == NULL) return cm_fail(error, CM_MODEL, NULL, NULL, "scale", "none");
    fake_state *s = cm_new(1, sizeof *s);
    if (s == NULL) return cm_fail_memory(error, sizeof *s);
    s->precision = precision;
    *state = s;
    fake.opened++;
    return cm_weights_f32(weights, scale, 0, 1, &s->scale, error);
}

static void fake_close(void *state) {
    cm_free(state);
    fake.closed++;
}

static int64_t fake_width(const void *state) {
    (void)state;
    return WIDTH;
}

static int fake_layers(const void *state) {
    (void)state;
    return LAYERS;
}

static int64_t fake_longest(const void *state) {
    (void)state;
    return fake.longest;
}

static size_t fake_row_bytes(const void *state) {
    (void)state;
    return 100 - WIDTH * sizeof(float); /* with the rows themselves 100 */
}

/* <cls> is 1, <eos> 2, a letter its code; '_' is dropped, '?' unknown, '!' cannot be read. */
static int64_t fake_ids(const void *state, const char *text, int64_t length, int32_t *ids, int64_t room) {
    (void)state;
    int64_t n = 0;
    if (n++ < room) ids[0] = 1;
    for (int64_t i = 0; i < length; i++) {
        if (text[i] == '_') continue;
        if (n < room) ids[n] = text[i];
        n++;
    }
    if (n < room) ids[n] = 2;
    return n + 1;
}

static int64_t fake_tokens(const void *state, const char *text, int64_t length, cm_token_report *report) {
    if (report != NULL) *report = (cm_token_report){0};
    for (int64_t i = 0; i < length; i++) {
        if (text[i] == '!') return -1;
        if (report == NULL) continue;
        report->dropped += text[i] == '_';
        report->unknown += text[i] == '?';
    }
    return fake_ids(state, text, length, NULL, 0);
}

/* Row of a token: its id, its place in the text that was run, that text's length, the layer, the scale. */
static void fake_fill(const fake_state *state, int layer, const int32_t *ids, int64_t n, float *out) {
    for (int64_t t = 0; t < n; t++) {
        const float row[WIDTH] = {(float)ids[t], (float)t, (float)n, (float)layer, state->scale};
        memcpy(out + t * WIDTH, row, sizeof row);
    }
    out[WIDTH] += fake.error[state->precision];
}

static cm_status fake_run(void *state, cm_team *team, int layer, int64_t n, const char *const *texts,
                          const int64_t *lengths, float *const *out, cm_error *error) {
    (void)team;
    assert_true(fake.runs < MAX_CALLS);
    fake.texts[fake.runs] = n;
    fake.first[fake.runs] = texts[0][0];
    for (int64_t i = 0; i < n; i++) {
        int32_t ids[256];
        if (memchr(texts[i], '!', (size_t)lengths[i]) != NULL)
            return cm_fail(error, CM_DATA, NULL, NULL, "no '!'", "'%.*s'", (int)lengths[i], texts[i]);
        int64_t count = fake_ids(state, texts[i], lengths[i], ids, 256);
        assert_true(count <= 256 && (fake.longest == 0 || count <= fake.longest));
        fake_fill(state, layer, ids, count, out[i]);
        fake.tokens[fake.runs] += count;
    }
    fake.runs++;
    return CM_OK;
}

static cm_status fake_run_ids(void *state, cm_team *team, int layer, const int32_t *ids, int64_t n,
                              float *out, cm_error *error) {
    (void)team, (void)error;
    assert_true(n <= fake.longest && ids[0] == 1 && ids[n - 1] == 2);
    fake_fill(state, layer, ids, n, out);
    fake.windows++;
    return CM_OK;
}

static const cm_engine fake_engine = {fake_open,      fake_close,  fake_width, fake_layers, fake_longest,
                                      fake_row_bytes, fake_tokens, fake_run,   fake_ids,    fake_run_ids};
static const cm_tokenizer_spec fake_tokenizer = {.kind = CM_TOKENIZER_ESM, .begin = "<cls>", .end = "<eos>"};
static const cm_tokenizer_spec smiles_tokenizer = {
    .kind = CM_TOKENIZER_SMILES, .begin = "<cls>", .end = "<eos>"};
static const char *const fake_types[] = {"fake", "false", NULL};
static const cm_family sequence_family = {.name = "fake",
                                          .title = "Fake",
                                          .model_types = fake_types,
                                          .tokenizer = &fake_tokenizer,
                                          .engine = &fake_engine};
static const cm_family pooled_family = {.name = "pooled",
                                        .title = "Fake",
                                        .pool_specials = true,
                                        .tokenizer = &smiles_tokenizer,
                                        .engine = &fake_engine};

/* ---- checkpoints and calls ---- */

static char folder[64], checkpoint[96], store[96];

static void write_checkpoint(float scale, const char *config) {
    char path[128];
    const cm_tensor tensor = {"scale", CM_DTYPE_F32, 1, {1}, &scale, sizeof scale};
    snprintf(path, sizeof path, "%s/model.safetensors", checkpoint);
    assert_int_equal(cm_safetensors_write(path, &tensor, 1, NULL, 0, NULL), CM_OK);
    snprintf(path, sizeof path, "%s/config.json", checkpoint);
    remove(path);
    if (config == NULL) return;
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(config, file);
    fclose(file);
}

static int set_up(void **state) {
    (void)state;
    char command[256];
    strcpy(folder, P_tmpdir "/crossmamba-test-XXXXXX");
    if (mkdtemp(folder) == NULL) return 1;
    snprintf(checkpoint, sizeof checkpoint, "%s/checkpoint", folder);
    snprintf(store, sizeof store, "%s/store", folder);
    snprintf(command, sizeof command, "mkdir '%s'", checkpoint);
    if (system(command) != 0) return 1;
    write_checkpoint(0.5f, "{\"model_type\": \"fake\"}");
    fake_reset(0);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

static cm_pretrained_options plain(void) {
    return (cm_pretrained_options){.precision = CM_F32, .layer = CM_LAST_LAYER};
}

static cm_pretrained *open_with(const cm_family *family, cm_pretrained_options options) {
    cm_pretrained *p = NULL;
    cm_error error;
    if (cm_pretrained_open(&p, family, checkpoint, &options, NULL, &error) != CM_OK)
        fail_msg("%s, expected %s", error.found, error.expected);
    return p;
}

/* Items of the NULL-terminated texts; out filled with NaN. To be freed with free_items. */
static cm_pretrained_item *make_items(const cm_pretrained *p, const char *const *texts, int64_t *n) {
    for (*n = 0; texts[*n] != NULL;) ++*n;
    cm_pretrained_item *items = calloc((size_t)*n + 1, sizeof *items);
    assert_non_null(items);
    for (int64_t i = 0; i < *n; i++) {
        items[i].text = texts[i];
        items[i].length = (int64_t)strlen(texts[i]);
        size_t floats = (size_t)(cm_pretrained_rows(p, texts[i], items[i].length) * WIDTH);
        items[i].out = malloc(floats * sizeof(float));
        assert_non_null(items[i].out);
        for (size_t c = 0; c < floats; c++) items[i].out[c] = NAN;
    }
    return items;
}

static void free_items(cm_pretrained_item *items) {
    for (cm_pretrained_item *item = items; item->text != NULL; item++) free(item->out);
    free(items);
}

static cm_pretrained_item *encode(cm_pretrained *p, const char *const *texts) {
    int64_t n;
    cm_error error;
    cm_pretrained_item *items = make_items(p, texts, &n);
    if (cm_pretrained_encode(p, items, n, NULL, &error) != CM_OK) fail_msg("%s", error.found);
    return items;
}

static void expect_row(const float *row, int id, int place, int tokens) {
    const float expected[WIDTH] = {(float)id, (float)place, (float)tokens, LAYERS, 0.5f};
    for (int c = 0; c < WIDTH; c++)
        if (row[c] != expected[c])
            fail_msg("column %d: %g, expected %g", c, (double)row[c], (double)expected[c]);
}

static void expect_same(const cm_pretrained *p, const cm_pretrained_item *a, const cm_pretrained_item *b) {
    for (; a->text != NULL; a++, b++)
        assert_memory_equal(a->out, b->out,
                            (size_t)(cm_pretrained_rows(p, a->text, a->length) * WIDTH) * sizeof(float));
}

static int64_t rows_of(const cm_pretrained *p, const char *text) {
    return cm_pretrained_rows(p, text, (int64_t)strlen(text));
}

/* ---- opening ---- */

static void test_identity(void **state) {
    (void)state;
    cm_pretrained_options options = plain();
    cm_pretrained *p = open_with(&sequence_family, options);
    char expected[160];
    assert_int_equal(strlen(cm_pretrained_sha256(p)), 64);
    snprintf(expected, sizeof expected, "fake sha256:%s layer 3 f32 windows", cm_pretrained_sha256(p));
    assert_string_equal(cm_pretrained_id(p), expected);
    assert_int_equal(cm_pretrained_width(p), WIDTH);
    assert_int_equal(cm_pretrained_layers(p), LAYERS);
    assert_ptr_equal(cm_pretrained_family(p), &sequence_family);
    options = (cm_pretrained_options){.precision = CM_INT8, .layer = -2, .long_input = CM_LONG_REFUSE};
    cm_pretrained *other = open_with(&sequence_family, options);
    snprintf(expected, sizeof expected, "fake sha256:%s layer 2 int8 refuse", cm_pretrained_sha256(p));
    assert_string_equal(cm_pretrained_id(other), expected);
    assert_int_equal(cm_pretrained_layer(other), 2);
    cm_pretrained_close(other);
    write_checkpoint(0.25f, NULL); /* other weights, another identity; no configuration is needed */
    other = open_with(&sequence_family, plain());
    assert_string_not_equal(cm_pretrained_id(other), cm_pretrained_id(p));
    cm_pretrained_close(other);
    cm_pretrained_close(p);
    cm_pretrained_close(NULL);
    assert_int_equal(fake.opened, fake.closed);
}

static void expect_refused(cm_pretrained_options options, cm_status status, const char *found) {
    cm_pretrained *p = NULL;
    cm_error error;
    assert_int_equal(cm_pretrained_open(&p, &sequence_family, checkpoint, &options, NULL, &error), status);
    assert_null(p);
    if (strstr(error.found, found) == NULL) fail_msg("%s", error.found);
    assert_int_equal(fake.opened, fake.closed);
}

static void test_layers(void **state) {
    (void)state;
    static const struct { int asked, layer; } good[] = {{0, 0}, {3, 3}, {-1, 3}, {-4, 0}, {CM_LAST_LAYER, 3}};
    cm_pretrained_options options = plain();
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        options.layer = good[i].asked;
        cm_pretrained *p = open_with(&sequence_family, options);
        assert_int_equal(cm_pretrained_layer(p), good[i].layer);
        cm_pretrained_close(p);
    }
    options.layer = 4;
    expect_refused(options, CM_USAGE, "layer 4");
    options.layer = -5;
    expect_refused(options, CM_USAGE, "layer -5");
}

static void test_config(void **state) {
    (void)state;
    write_checkpoint(0.5f, "{\"model_type\": \"bert\"}");
    expect_refused(plain(), CM_MODEL, "bert");
    write_checkpoint(0.5f, "{\"model_type\": 7}");
    expect_refused(plain(), CM_MODEL, "no text");
    write_checkpoint(0.5f, "[]");
    expect_refused(plain(), CM_DATA, "another value");
    write_checkpoint(0.5f, "{\"model_type\": ");
    expect_refused(plain(), CM_DATA, "");
    write_checkpoint(0.5f, "{\"hidden_size\": 5}");
    cm_pretrained_close(open_with(&sequence_family, plain()));
}

/* ---- rows ---- */

static void test_rows(void **state) {
    (void)state;
    cm_pretrained *p = open_with(&sequence_family, plain());
    static const char *const texts[] = {"ABC", "AB|C", "", "__", "A||_|B", "|", "A?_", NULL};
    cm_pretrained_item *items = encode(p, texts);
    assert_int_equal(rows_of(p, "ABC"), 3);
    for (int t = 0; t < 3; t++) expect_row(items[0].out + t * WIDTH, 'A' + t, t + 1, 5);
    assert_int_equal(rows_of(p, "AB|C"), 3);
    expect_row(items[1].out + WIDTH, 'B', 2, 4);
    expect_row(items[1].out + 2 * WIDTH, 'C', 1, 3);
    for (int i = 2; i <= 5; i += i == 3 ? 2 : 1) { /* nothing but specials: one row of zeros */
        assert_int_equal(rows_of(p, texts[i]), 1);
        for (int c = 0; c < WIDTH; c++) assert_true(items[i].out[c] == 0);
    }
    assert_int_equal(rows_of(p, "A||_|B"), 2);
    expect_row(items[4].out, 'A', 1, 3);
    expect_row(items[4].out + WIDTH, 'B', 1, 3);
    assert_int_equal(items[6].report.unknown, 1);
    assert_int_equal(items[6].report.dropped, 1);
    assert_int_equal(items[3].report.dropped, 2);
    assert_int_equal(items[0].report.dropped, 0);
    free_items(items);
    assert_int_equal(cm_pretrained_encode(p, NULL, 0, NULL, NULL), CM_OK);
    cm_pretrained_close(p);
}

/* Families that pool their specials keep them; molecules have no chains. */
static void test_pooled_specials(void **state) {
    (void)state;
    write_checkpoint(0.5f, NULL);
    cm_pretrained *p = open_with(&pooled_family, plain());
    static const char *const texts[] = {"AB|C", "", "_", NULL};
    cm_pretrained_item *items = encode(p, texts);
    assert_int_equal(rows_of(p, "AB|C"), 6);
    static const int ids[] = {1, 'A', 'B', '|', 'C', 2};
    for (int t = 0; t < 6; t++) expect_row(items[0].out + t * WIDTH, ids[t], t, 6);
    for (int i = 1; i < 3; i++) {
        assert_int_equal(rows_of(p, texts[i]), 1);
        for (int c = 0; c < WIDTH; c++) assert_true(items[i].out[c] == 0);
    }
    free_items(items);
    cm_pretrained_close(p);
}

static void test_unreadable(void **state) {
    (void)state;
    cm_pretrained *p = open_with(&sequence_family, plain());
    static const char *const texts[] = {"ABC", "A!", NULL};
    int64_t n;
    cm_error error;
    assert_int_equal(rows_of(p, "A!"), 1);
    cm_pretrained_item *items = make_items(p, texts, &n);
    assert_int_equal(cm_pretrained_encode(p, items, n, NULL, &error), CM_DATA);
    assert_string_equal(error.found, "'A!'");
    assert_int_equal(fake.runs, 0);
    free_items(items);
    cm_pretrained_close(p);
}

/* ---- batches ---- */

static const char *const many[] = {"DDDD",     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                                   "EEEE",     "DDDD",
                                   "F",        "bbbbbb|cccccc",
                                   "GGGGGGGG", "",
                                   "HHHH",     "F",
                                   NULL};

/* Ten rows fit: the longest text runs alone although it does not fit, the others follow by length, equal
 * lengths in the order of the call, repeated texts once. */
static void test_batches(void **state) {
    (void)state;
    cm_pretrained_options options = plain();
    options.max_memory = 1000;
    cm_pretrained *p = open_with(&sequence_family, options);
    cm_pretrained_item *items = encode(p, many);
    static const char first[] = "abcG";
    static const int tokens[] = {42, 8, 8, 10};
    assert_int_equal(fake.runs, 7);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(fake.first[i], first[i]);
        assert_int_equal(fake.tokens[i], tokens[i]);
    }
    assert_int_equal(fake.first[4], 'D');
    assert_int_equal(fake.first[5], 'E');
    assert_int_equal(fake.first[6], 'H');
    assert_int_equal(fake.texts[6], 2);
    cm_pretrained *whole = open_with(&sequence_family, plain());
    fake.runs = 0;
    cm_pretrained_item *again = encode(whole, many);
    assert_int_equal(fake.runs, 1);
    expect_same(p, items, again);
    assert_memory_equal(items[0].out, items[3].out, 4 * WIDTH * sizeof(float));
    expect_row(items[9].out, 'F', 1, 3);
    free_items(items);
    free_items(again);
    cm_pretrained_close(p);
    cm_pretrained_close(whole);
}

/* ---- windows ---- */

/* Every row of a long text comes from the window in which it is farthest from a cut, and windows are as long
 * as the model allows. */
static void check_windows(const cm_family *family, int64_t longest, int64_t length) {
    char text[201];
    const char *const texts[] = {text, "AB", NULL};
    for (int64_t i = 0; i < length; i++) text[i] = (char)('A' + i % 26);
    text[length] = '\0';
    fake_reset(longest);
    cm_pretrained *p = open_with(family, plain());
    cm_pretrained_item *items = encode(p, texts);
    int64_t room = longest - 2, stride = room - room / 2, special = family->pool_specials;
    assert_int_equal(rows_of(p, text), length + 2 * special);
    if (length <= room) assert_int_equal(fake.windows, 0);
    for (int64_t i = 0; i < length && length > room; i++) {
        const float *row = items[0].out + (i + special) * WIDTH;
        int64_t start = i + 1 - (int64_t)row[1], best = -1, best_start = -1, s = 0;
        expect_row(row, 'A' + (int)(i % 26), (int)row[1], (int)longest);
        for (int64_t k = 0;; k++) {
            s = k * stride < length - room ? k * stride : length - room;
            int64_t left = s == 0 ? length : i - s, right = s == length - room ? length : s + room - 1 - i;
            int64_t far = left < right ? left : right;
            if (i >= s && i < s + room && far > best) best = far, best_start = s;
            if (s == length - room) break;
        }
        assert_int_equal(start, best_start);
    }
    if (special) {
        expect_row(items[0].out, 1, 0, (int)(length <= room ? length + 2 : longest));
        assert_true(items[0].out[(length + 1) * WIDTH] == 2);
    }
    expect_row(items[1].out + special * WIDTH, 'A', 1, 4);
    free_items(items);
    cm_pretrained_close(p);
}

static void test_windows(void **state) {
    (void)state;
    write_checkpoint(0.5f, NULL);
    for (int64_t longest = 4; longest <= 14; longest += longest < 7 ? 1 : 7)
        for (int64_t length = 1; length <= 60; length++) {
            check_windows(&sequence_family, longest, length);
            check_windows(&pooled_family, longest, length);
        }
}

static void test_long_refused(void **state) {
    (void)state;
    cm_pretrained_options options = plain();
    options.long_input = CM_LONG_REFUSE;
    fake_reset(8);
    cm_pretrained *p = open_with(&sequence_family, options);
    static const char *const texts[] = {"ABCDEF", "AB|ABCDEFG", NULL};
    int64_t n;
    cm_error error;
    cm_pretrained_item *items = make_items(p, texts, &n);
    assert_int_equal(cm_pretrained_encode(p, items, 1, NULL, NULL), CM_OK);
    fake.runs = 0;
    assert_int_equal(cm_pretrained_encode(p, items, n, NULL, &error), CM_DATA);
    assert_string_equal(error.found, "9 tokens");
    assert_string_equal(error.place, "input 'ABCDEFG'");
    assert_int_equal(fake.runs, 0);
    free_items(items);
    cm_pretrained_close(p);
}

/* ---- store, progress, stop ---- */

static void test_store(void **state) {
    (void)state;
    cm_pretrained_options options = plain();
    cm_pretrained *plain_p = open_with(&sequence_family, options);
    options.store = store;
    cm_pretrained *p = open_with(&sequence_family, options);
    cm_pretrained_item *fresh = encode(plain_p, many), *first = encode(p, many);
    cm_pretrained_close(p);
    fake.runs = 0;
    p = open_with(&sequence_family, options);
    cm_pretrained_item *second = encode(p, many);
    assert_int_equal(fake.runs, 0);
    expect_same(p, fresh, first);
    expect_same(p, fresh, second);
    cm_pretrained_close(p);
    options.layer = 1; /* another layer shares nothing; the store may be lent */
    options.store = NULL;
    assert_int_equal(cm_embeddings_open(&options.embeddings, store, false, NULL), CM_OK);
    p = open_with(&sequence_family, options);
    cm_pretrained_item *third = encode(p, many);
    assert_int_equal(fake.runs, 1);
    assert_true(third[0].out[3] == 1);
    free_items(fresh);
    free_items(first);
    free_items(second);
    free_items(third);
    cm_pretrained_close(p);
    int64_t width = 0;
    assert_int_equal(cm_embeddings_width(options.embeddings, cm_pretrained_id(plain_p), &width, NULL), CM_OK);
    assert_int_equal(width, WIDTH);
    cm_embeddings_close(options.embeddings);
    cm_pretrained_close(plain_p);
}

typedef struct watch {
    double done, total;
    int reports, stop_after;
    int polls, polls_left; /* 0: any number */
} watch;

static void watch_progress(void *context, const cm_progress *report) {
    watch *w = context;
    assert_string_equal(report->phase, "encode");
    assert_string_equal(report->unit, "tokens");
    assert_true(report->done >= w->done && report->done <= report->total);
    w->done = report->done;
    w->total = report->total;
    w->reports++;
}

static int watch_stop(void *context) {
    watch *w = context;
    w->polls++;
    return (w->stop_after > 0 && w->reports > w->stop_after) ||
           (w->polls_left > 0 && w->polls > w->polls_left);
}

/* A run that was stopped goes on where it was: what its batches gave is in the store. */
static void test_stop_and_resume(void **state) {
    (void)state;
    cm_pretrained_options options = plain();
    options.max_memory = 1000;
    options.store = store;
    watch w = {.stop_after = 4};
    cm_runtime runtime = {.progress = watch_progress, .stop = watch_stop, .context = &w};
    cm_pretrained *p = open_with(&sequence_family, options);
    int64_t n;
    cm_pretrained_item *items = make_items(p, many, &n);
    assert_int_equal(cm_pretrained_encode(p, items, n, &runtime, NULL), CM_INTERRUPTED);
    assert_int_equal(fake.runs, 4);
    assert_true(w.done == 68 && w.total == 89);
    w = (watch){0};
    fake.runs = 0;
    assert_int_equal(cm_pretrained_encode(p, items, n, &runtime, NULL), CM_OK);
    assert_int_equal(fake.runs, 3);
    assert_int_equal(fake.first[0], 'D');
    assert_true(w.done == 21 && w.total == 21);
    free_items(items);
    cm_pretrained_close(p);
}

/* A stop between two windows of one text. */
static void test_stop_in_windows(void **state) {
    (void)state;
    fake_reset(6);
    watch w = {.polls_left = 3}; /* before the batch and the first two windows */
    cm_runtime runtime = {.progress = watch_progress, .stop = watch_stop, .context = &w};
    cm_pretrained *p = open_with(&sequence_family, plain());
    static const char *const texts[] = {"ABCDEFGHIJKLMNOP", NULL};
    int64_t n;
    cm_pretrained_item *items = make_items(p, texts, &n);
    assert_int_equal(cm_pretrained_encode(p, items, n, &runtime, NULL), CM_INTERRUPTED);
    assert_int_equal(fake.windows, 2);
    free_items(items);
    cm_pretrained_close(p);
}

/* ---- precisions ---- */

static void test_compare(void **state) {
    (void)state;
    cm_pretrained_options options = plain();
    fake.error[CM_BF16] = 1000;
    cm_pretrained *exact = open_with(&sequence_family, options);
    options.precision = CM_BF16;
    cm_pretrained *rough = open_with(&sequence_family, options);
    options.precision = CM_INT8;
    cm_pretrained *same = open_with(&sequence_family, options);
    cm_precision_report report;
    assert_int_equal(cm_pretrained_compare(exact, same, &report, NULL), CM_OK);
    assert_true(fabs(report.least - 1) < 1e-12 && fabs(report.mean - 1) < 1e-12);
    assert_true(report.tokens > 100);
    assert_int_equal(cm_pretrained_compare(exact, rough, &report, NULL), CM_OK);
    /* one token of each text is off: its row is [id + 1000, 1, n, 3, 0.5] instead of [id, 1, n, 3, 0.5] */
    assert_true(report.least < 0.9999 && report.least > 0.5);
    assert_true(report.mean < 1 && report.mean > report.least);
    options.layer = 1;
    cm_pretrained *layer = open_with(&sequence_family, options);
    assert_int_equal(cm_pretrained_compare(exact, layer, &report, NULL), CM_USAGE);
    cm_pretrained_close(exact);
    cm_pretrained_close(rough);
    cm_pretrained_close(same);
    cm_pretrained_close(layer);
}

/* The fastest precision that this machine has instructions for and that agrees with f32. */
static void test_auto(void **state) {
    (void)state;
    cm_pretrained_options options = plain();
    options.precision = CM_AUTO;
    for (int bad = 0; bad < 4; bad++) {
        fake_reset(bad * 8); /* 8 and 24: probes are cut to what the model can take */
        fake.error[CM_INT8] = bad & 1 ? 1000 : 0;
        fake.error[CM_BF16] = bad & 2 ? 1000 : 0;
        cm_precision expected = CM_F32;
        if (cm_precision_is_fast(CM_BF16) && !(bad & 2)) expected = CM_BF16;
        if (cm_precision_is_fast(CM_INT8) && !(bad & 1)) expected = CM_INT8;
        cm_pretrained *p = open_with(&sequence_family, options);
        assert_int_equal(cm_pretrained_precision(p), expected);
        bool fast = cm_precision_is_fast(CM_BF16) || cm_precision_is_fast(CM_INT8);
        if (!fast) assert_int_equal(fake.runs, 0);
        cm_pretrained_close(p);
        assert_int_equal(fake.opened, fake.closed);
    }
}

/* ---- out of memory ---- */

static void test_memory(void **state) {
    (void)state;
    fake_reset(12);
    cm_pretrained_options options = plain();
    cm_pretrained *p = NULL;
    for (long k = 0; p == NULL; k++) {
        fail_alloc_from(k);
        cm_status status = cm_pretrained_open(&p, &sequence_family, checkpoint, &options, NULL, NULL);
        if (fail_alloc_stop())
            assert_int_equal(status, CM_MEMORY);
        else
            assert_int_equal(status, CM_OK);
        assert_true(p == NULL || status == CM_OK);
    }
    int64_t n;
    cm_pretrained_item *items = make_items(p, many, &n);
    for (long k = 0;; k++) {
        fail_alloc_from(k);
        cm_status status = cm_pretrained_encode(p, items, n, NULL, NULL);
        if (!fail_alloc_stop()) {
            assert_int_equal(status, CM_OK);
            break;
        }
        assert_int_equal(status, CM_MEMORY);
    }
    assert_true(fake.windows > 0);
    free_items(items);
    cm_pretrained_close(p);
    assert_int_equal(fake.opened, fake.closed);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_identity),        TEST(test_layers),
        TEST(test_config),          TEST(test_rows),
        TEST(test_pooled_specials), TEST(test_unreadable),
        TEST(test_batches),         TEST(test_windows),
        TEST(test_long_refused),    TEST(test_store),
        TEST(test_stop_and_resume), TEST(test_stop_in_windows),
        TEST(test_compare),         TEST(test_auto),
        TEST(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
