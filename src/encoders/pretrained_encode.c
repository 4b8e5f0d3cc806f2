/* Encoding with a pretrained encoder: equal texts once, chains one by one, ragged batches within the memory,
 * long inputs by windows, the embedding store. */
#include "base/alloc.h"
#include "base/log.h"
#include "base/map.h"
#include "encoders/pretrained_state.h"
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One text of a pass: a chain of a sequence, or a molecule. */
typedef struct unit {
    const char *text;
    int64_t length;
    int64_t tokens; /* with specials; -1: cannot be read */
    int64_t row;    /* first row among those of its molecule */
    cm_token_report report;
} unit;

/* One distinct text of a call. */
typedef struct molecule {
    cm_pretrained_item *item; /* the first that has the text */
    int64_t first, n_units;
    int64_t tokens, rows;
} molecule;

typedef struct encode_plan {
    cm_pretrained *p;
    int64_t n_units, n_molecules;
    unit *units;         /* those of a molecule stand together */
    molecule *molecules; /* those to compute come first, longest first, once order_work has run */
    int64_t n_work;      /* molecules to compute */
    int64_t *first_item; /* of every item: the first item with its text */
    int64_t tokens, done;
} encode_plan;

/* ---- rows ---- */

static bool has_chains(const cm_pretrained *p) {
    if (p->family->tokenizer == NULL) return false;
    cm_tokenizer_kind kind = p->family->tokenizer->kind;
    return kind == CM_TOKENIZER_ESM || kind == CM_TOKENIZER_RNA || kind == CM_TOKENIZER_LETTERS;
}

/* Rows kept of a text with that many tokens: none when it has nothing but specials. */
static int64_t kept_rows(const cm_pretrained *p, int64_t tokens) {
    int64_t body = tokens - p->begins - p->ends;
    if (body <= 0) return 0;
    return p->family->pool_specials ? tokens : body;
}

/* Length of the chain that begins at text. */
static int64_t chain_length(const cm_pretrained *p, const char *text, int64_t length) {
    const char *bar = has_chains(p) && length > 0 ? memchr(text, '|', (size_t)length) : NULL;
    return bar != NULL ? bar - text : length;
}

int64_t cm_pretrained_rows(const cm_pretrained *p, const char *text, int64_t length) {
    int64_t rows = 0;
    for (int64_t at = 0, n = 0; at <= length; at += n + 1) {
        n = chain_length(p, text + at, length - at);
        rows += kept_rows(p, n > 0 ? p->engine->tokens(p->state, text + at, n, NULL) : 0);
    }
    return rows > 0 ? rows : 1;
}

/* ---- plan ---- */

static void clear_plan(encode_plan *plan) {
    cm_free(plan->units);
    cm_free(plan->molecules);
    cm_free(plan->first_item);
}

/* Distinct texts in the order of their first items. */
static cm_status find_molecules(encode_plan *plan, cm_pretrained_item *items, int64_t n, cm_error *error) {
    plan->molecules = cm_new((size_t)n, sizeof *plan->molecules);
    plan->first_item = cm_new((size_t)n, sizeof *plan->first_item);
    cm_map *seen = cm_map_create();
    bool ok = plan->molecules != NULL && plan->first_item != NULL && seen != NULL;
    for (int64_t i = 0; i < n && ok; i++) {
        size_t length = (size_t)items[i].length;
        plan->first_item[i] = i;
        if (cm_map_get(seen, items[i].text, length, &plan->first_item[i])) continue;
        plan->molecules[plan->n_molecules++].item = &items[i];
        ok = cm_map_put(seen, items[i].text, length, i);
    }
    cm_map_destroy(seen);
    return ok ? CM_OK : cm_fail_memory(error, (size_t)n * sizeof *plan->molecules);
}

/* Cuts every molecule at its chains. */
static cm_status find_units(encode_plan *plan, cm_error *error) {
    size_t room = 0;
    for (int64_t i = 0; i < plan->n_molecules; i++) {
        const cm_pretrained_item *item = plan->molecules[i].item;
        room++;
        for (int64_t c = 0; c < item->length; c++) room += item->text[c] == '|';
    }
    plan->units = cm_new(room, sizeof *plan->units);
    if (plan->units == NULL) return cm_fail_memory(error, room * sizeof *plan->units);
    for (int64_t i = 0; i < plan->n_molecules; i++) {
        molecule *m = &plan->molecules[i];
        m->first = plan->n_units;
        for (int64_t at = 0, n = 0; at <= m->item->length; at += n + 1) {
            n = chain_length(plan->p, m->item->text + at, m->item->length - at);
            if (n > 0) plan->units[plan->n_units++] = (unit){.text = m->item->text + at, .length = n};
        }
        m->n_units = plan->n_units - m->first;
    }
    return CM_OK;
}

static void count_range(void *context, int64_t begin, int64_t end, int member) {
    encode_plan *plan = context;
    (void)member;
    for (int64_t i = begin; i < end; i++) {
        unit *u = &plan->units[i];
        u->tokens = plan->p->engine->tokens(plan->p->state, u->text, u->length, &u->report);
    }
}

/* A text that cannot be read: the engine says why. */
static cm_status refuse_unreadable(const encode_plan *plan, const unit *u, cm_error *error) {
    const cm_pretrained *p = plan->p;
    float *row = cm_new((size_t)p->width, sizeof *row);
    if (row == NULL) return cm_fail_memory(error, (size_t)p->width * sizeof *row);
    cm_status status = p->engine->run(p->state, p->team, p->layer, 1, &u->text, &u->length, &row, error);
    cm_free(row);
    if (status != CM_OK) return status;
    return cm_fail(error, CM_DATA, NULL, NULL, "a text that the encoder can read", "'%.*s'",
                   (int)(u->length < 60 ? u->length : 60), u->text);
}

/* Whether a model can take the tokens of u at all. */
static cm_status check_unit(const encode_plan *plan, const unit *u, cm_error *error) {
    const cm_pretrained *p = plan->p;
    if (u->tokens < 0) return refuse_unreadable(plan, u, error);
    if (p->longest == 0 || u->tokens <= p->longest) return CM_OK;
    bool windows = p->long_input == CM_LONG_WINDOWS && p->engine->ids != NULL && p->engine->run_ids != NULL &&
                   p->longest > p->begins + p->ends;
    if (windows) return CM_OK;
    return cm_fail(error, CM_DATA, NULL,
                   cm_format("input '%.*s%s'", (int)(u->length < 40 ? u->length : 40), u->text,
                             u->length > 40 ? "..." : "")
                       .text,
                   cm_format("at most %lld tokens, special ones included", (long long)p->longest).text,
                   "%lld tokens", (long long)u->tokens);
}

static void add_report(cm_token_report *sum, const cm_token_report *part) {
    sum->unknown += part->unknown;
    sum->dropped += part->dropped;
    sum->masked += part->masked;
}

static cm_status measure(encode_plan *plan, cm_error *error) {
    cm_team_for(plan->p->team, plan->n_units, 16, count_range, plan);
    for (int64_t i = 0; i < plan->n_molecules; i++) {
        molecule *m = &plan->molecules[i];
        m->item->report = (cm_token_report){0};
        for (unit *u = plan->units + m->first; u < plan->units + m->first + m->n_units; u++) {
            CM_TRY(check_unit(plan, u, error));
            add_report(&m->item->report, &u->report);
            u->row = m->rows;
            m->rows += kept_rows(plan->p, u->tokens);
            m->tokens += u->tokens;
        }
    }
    return CM_OK;
}

/* ---- store ---- */

/* *found: out was filled from the store. A record of another size is none of this encoder's. */
static cm_status from_store(const encode_plan *plan, const molecule *m, bool *found, cm_error *error) {
    const cm_pretrained *p = plan->p;
    const cm_pretrained_item *item = m->item;
    int64_t rows = -1;
    *found = false;
    if (p->store == NULL) return CM_OK;
    CM_TRY(cm_embeddings_get(p->store, p->id, item->text, item->length, p->width, &rows, NULL, error));
    if (rows != m->rows) return CM_OK;
    CM_TRY(cm_embeddings_get(p->store, p->id, item->text, item->length, p->width, &rows, item->out, error));
    *found = rows == m->rows;
    return CM_OK;
}

static cm_status to_store(const encode_plan *plan, int64_t first, int64_t end, cm_error *error) {
    const cm_pretrained *p = plan->p;
    if (p->store == NULL || first == end) return CM_OK;
    size_t n = (size_t)(end - first);
    cm_embeddings_record *records = cm_new(n, sizeof *records);
    if (records == NULL) return cm_fail_memory(error, n * sizeof *records);
    for (size_t i = 0; i < n; i++) {
        const molecule *m = &plan->molecules[first + (int64_t)i];
        records[i] = (cm_embeddings_record){m->item->text, m->item->length, m->rows, m->item->out};
    }
    cm_status status = cm_embeddings_put(p->store, p->id, p->width, records, (int64_t)n, error);
    cm_free(records);
    return status;
}

/* Longest first, so that a lack of memory shows at once; equal lengths in the order of the items. */
static int compare_work(const void *a, const void *b) {
    const molecule *x = a, *y = b;
    if (x->tokens != y->tokens) return x->tokens > y->tokens ? -1 : 1;
    return x->first < y->first ? -1 : x->first > y->first;
}

/* Fills what needs no computing and brings the other molecules to the front. */
static cm_status order_work(encode_plan *plan, cm_error *error) {
    for (int64_t i = 0; i < plan->n_molecules; i++) {
        const molecule m = plan->molecules[i];
        bool found = m.rows == 0;
        if (found)
            memset(m.item->out, 0, (size_t)plan->p->width * sizeof(float));
        else
            CM_TRY(from_store(plan, &m, &found, error));
        if (found) continue;
        plan->molecules[i] = plan->molecules[plan->n_work];
        plan->molecules[plan->n_work++] = m;
    }
    qsort(plan->molecules, (size_t)plan->n_work, sizeof *plan->molecules, compare_work);
    return CM_OK;
}

/* ---- passes ---- */

static cm_status stopped(const cm_runtime *runtime, cm_error *error) {
    if (!cm_stopped(runtime)) return CM_OK;
    return cm_fail(error, CM_INTERRUPTED, NULL, NULL, NULL, "stopped while encoding");
}

static void report(const encode_plan *plan, const cm_runtime *runtime) {
    cm_text text = cm_format("%lld of %lld molecules from the store",
                             (long long)(plan->n_molecules - plan->n_work), (long long)plan->n_molecules);
    cm_report(runtime, "encode", (double)plan->done, (double)plan->tokens, "tokens",
              plan->p->store != NULL ? text.text : "");
}

static float *unit_out(const cm_pretrained *p, const molecule *m, const unit *u) {
    return m->item->out + u->row * p->width;
}

/* A unit with its molecule, as passes take them. */
typedef struct encode_task {
    const unit *unit;
    const molecule *molecule;
} encode_task;

/* Units of one pass: texts and where their tokens go. */
typedef struct encode_pass {
    int64_t n;
    encode_task *tasks;
    const char **texts;
    int64_t *lengths;
    float **out;
    float *rows; /* [tokens of all, width] */
} encode_pass;

static void clear_pass(encode_pass *pass) {
    cm_free(pass->texts);
    cm_free(pass->lengths);
    cm_free(pass->out);
    cm_free(pass->rows);
}

static cm_status make_pass(encode_pass *pass, const cm_pretrained *p, cm_error *error) {
    size_t n = (size_t)pass->n, tokens = 0, floats;
    for (size_t i = 0; i < n; i++) tokens += (size_t)pass->tasks[i].unit->tokens;
    if (!cm_size_mul(tokens, (size_t)p->width, &floats)) return cm_fail_memory(error, SIZE_MAX);
    pass->texts = cm_new(n, sizeof *pass->texts);
    pass->lengths = cm_new(n, sizeof *pass->lengths);
    pass->out = cm_new(n, sizeof *pass->out);
    pass->rows = cm_new_aligned(floats, sizeof *pass->rows);
    if (!pass->texts || !pass->lengths || !pass->out || !pass->rows)
        return cm_fail_memory(error, floats * sizeof *pass->rows);
    float *at = pass->rows;
    for (size_t i = 0; i < n; i++) {
        const unit *u = pass->tasks[i].unit;
        pass->texts[i] = u->text;
        pass->lengths[i] = u->length;
        pass->out[i] = at;
        at += u->tokens * p->width;
    }
    return CM_OK;
}

static cm_status run_pass(const encode_plan *plan, encode_task *tasks, int64_t n, cm_error *error) {
    const cm_pretrained *p = plan->p;
    encode_pass pass = {.n = n, .tasks = tasks};
    cm_status status = make_pass(&pass, p, error);
    if (status == CM_OK)
        status = p->engine->run(p->state, p->team, p->layer, n, pass.texts, pass.lengths, pass.out, error);
    int64_t skipped = p->family->pool_specials ? 0 : p->begins;
    for (int64_t i = 0; i < n && status == CM_OK; i++) {
        const unit *u = tasks[i].unit;
        memcpy(unit_out(p, tasks[i].molecule, u), pass.out[i] + skipped * p->width,
               (size_t)(kept_rows(p, u->tokens) * p->width) * sizeof(float));
    }
    clear_pass(&pass);
    return status;
}

/* ---- windows ---- */

/* The windows of a long text: `room` body tokens each, starts `stride` apart, the last one shifted back to
 * end with the text, so that all are of full length. */
typedef struct windows {
    int64_t body, room, stride, count;
} windows;

static windows make_windows(const cm_pretrained *p, int64_t tokens) {
    windows w = {.body = tokens - p->begins - p->ends, .room = p->longest - p->begins - p->ends};
    w.stride = w.room - w.room / 2;
    w.count = 1 + (w.body - w.room + w.stride - 1) / w.stride;
    return w;
}

static int64_t window_start(const windows *w, int64_t k) {
    int64_t start = k * w->stride, last = w->body - w->room;
    return start < last ? start : last;
}

/* First token taken from window k: in the overlap with the window before, tokens are nearer to its own left
 * border than to that window's right one up to the middle; the middle itself goes to the window before. */
static int64_t window_first(const windows *w, int64_t k) {
    if (k == 0) return 0;
    if (k == w->count) return w->body;
    return (window_start(w, k - 1) + w->room - 1 + window_start(w, k)) / 2 + 1;
}

/* Runs window k of a text with those ids and copies the rows that are taken from it. */
static cm_status run_window(const encode_plan *plan, const windows *w, int64_t k, const encode_task *task,
                            const int32_t *ids, int32_t *window, float *rows, cm_error *error) {
    const cm_pretrained *p = plan->p;
    bool specials = p->family->pool_specials;
    int64_t start = window_start(w, k), first = window_first(w, k), end = window_first(w, k + 1);
    memcpy(window, ids, (size_t)p->begins * sizeof *ids);
    memcpy(window + p->begins, ids + p->begins + start, (size_t)w->room * sizeof *ids);
    memcpy(window + p->begins + w->room, ids + p->begins + w->body, (size_t)p->ends * sizeof *ids);
    CM_TRY(p->engine->run_ids(p->state, p->team, p->layer, window, p->longest, rows, error));
    const float *from = rows + (p->begins + first - start) * p->width;
    float *to = unit_out(p, task->molecule, task->unit) + first * p->width;
    int64_t count = end - first;
    if (specials) {
        to += p->begins * p->width;
        if (k == 0) { /* the begin token before the first row */
            from -= p->begins * p->width;
            to -= p->begins * p->width;
            count += p->begins;
        }
        if (k == w->count - 1) count += p->ends;
    }
    memcpy(to, from, (size_t)(count * p->width) * sizeof *to);
    return CM_OK;
}

static cm_status run_windows(const encode_plan *plan, const encode_task *task, const cm_runtime *runtime,
                             cm_error *error) {
    const cm_pretrained *p = plan->p;
    const unit *u = task->unit;
    windows w = make_windows(p, u->tokens);
    size_t floats;
    if (!cm_size_mul((size_t)p->longest, (size_t)p->width, &floats)) return cm_fail_memory(error, SIZE_MAX);
    int32_t *ids = cm_new((size_t)u->tokens, sizeof *ids),
            *window = cm_new((size_t)p->longest, sizeof *window);
    float *rows = cm_new_aligned(floats, sizeof *rows);
    cm_status status =
        ids != NULL && window != NULL && rows != NULL ? CM_OK : cm_fail_memory(error, floats * sizeof *rows);
    if (status == CM_OK) {
        int64_t n = p->engine->ids(p->state, u->text, u->length, ids, u->tokens);
        assert(n == u->tokens);
        (void)n;
    }
    for (int64_t k = 0; k < w.count && status == CM_OK; k++) {
        status = stopped(runtime, error);
        if (status == CM_OK) status = run_window(plan, &w, k, task, ids, window, rows, error);
    }
    cm_free(ids);
    cm_free(window);
    cm_free(rows);
    return status;
}

/* ---- batches ---- */

/* The units of all molecules to compute, in their order, without those that give no rows. */
static cm_status make_tasks(encode_plan *plan, encode_task **tasks, int64_t *n, cm_error *error) {
    size_t room = 0;
    for (int64_t i = 0; i < plan->n_work; i++) room += (size_t)plan->molecules[i].n_units;
    *tasks = cm_new(room, sizeof **tasks);
    if (*tasks == NULL) return cm_fail_memory(error, room * sizeof **tasks);
    for (int64_t i = 0; i < plan->n_work; i++) {
        const molecule *m = &plan->molecules[i];
        for (int64_t j = 0; j < m->n_units; j++) {
            const unit *u = &plan->units[m->first + j];
            if (kept_rows(plan->p, u->tokens) == 0) continue;
            (*tasks)[(*n)++] = (encode_task){u, m};
            plan->tokens += u->tokens;
        }
    }
    return CM_OK;
}

static bool is_long(const cm_pretrained *p, const unit *u) {
    return p->longest > 0 && u->tokens > p->longest;
}

static size_t token_bytes(const cm_pretrained *p) {
    return p->engine->row_bytes(p->state) + (size_t)p->width * sizeof(float);
}

/* Tasks of the next batch, at least one: within the memory, and no more than fit into the outer caches unless
 * they are fewer tokens than make reading the weights worth while; a long input is a batch of its own. */
static int64_t batch_size(const cm_pretrained *p, const encode_task *tasks, int64_t left) {
    const size_t near = (size_t)8 << 20, least = 1024;
    size_t most = p->max_memory / token_bytes(p), enough = near / token_bytes(p);
    if (enough < least) enough = least;
    if (most > enough) most = enough;
    size_t used = (size_t)tasks[0].unit->tokens;
    int64_t n = 1;
    if (is_long(p, tasks[0].unit)) return 1;
    for (; n < left && !is_long(p, tasks[n].unit); n++) {
        used += (size_t)tasks[n].unit->tokens;
        if (used > most) break;
    }
    return n;
}

/* Weights that are numbers can give values that are none; they are neither handed on nor stored. */
static cm_status check_numbers(const encode_plan *plan, const encode_task *tasks, int64_t n,
                               cm_error *error) {
    for (int64_t i = 0; i < n; i++) {
        const unit *u = tasks[i].unit;
        const float *out = unit_out(plan->p, tasks[i].molecule, u);
        int64_t count = kept_rows(plan->p, u->tokens) * plan->p->width;
        for (int64_t k = 0; k < count; k++)
            if (!isfinite(out[k]))
                return cm_fail(error, CM_NUMERIC, NULL,
                               cm_format("input '%.*s%s', token %lld", (int)(u->length < 40 ? u->length : 40),
                                         u->text, u->length > 40 ? "..." : "",
                                         (long long)(k / plan->p->width + 1))
                                   .text,
                               "finite embeddings of the encoder", "%g", (double)out[k]);
    }
    return CM_OK;
}

static cm_status run_next(const encode_plan *plan, encode_task *tasks, int64_t size,
                          const cm_runtime *runtime, cm_error *error) {
    CM_TRY(stopped(runtime, error));
    CM_TRY(is_long(plan->p, tasks[0].unit) ? run_windows(plan, tasks, runtime, error)
                                           : run_pass(plan, tasks, size, error));
    return check_numbers(plan, tasks, size, error);
}

/* Runs the tasks batch by batch. Complete molecules go to the store when batches have come through that would
 * fill the memory, because each time costs a write to the disk, and at the end, whether all went well or not.
 */
static cm_status run_tasks(encode_plan *plan, encode_task *tasks, int64_t n, const cm_runtime *runtime,
                           cm_error *error) {
    int64_t stored = 0, complete = 0, waiting = 0;
    cm_status status = CM_OK;
    report(plan, runtime);
    for (int64_t at = 0, size = 0; at < n && status == CM_OK; at += size) {
        size = batch_size(plan->p, tasks + at, n - at);
        status = run_next(plan, tasks + at, size, runtime, error);
        if (status != CM_OK) break;
        complete = at + size < n ? tasks[at + size].molecule - plan->molecules : plan->n_work;
        for (int64_t i = at; i < at + size; i++) {
            plan->done += tasks[i].unit->tokens;
            waiting += tasks[i].unit->tokens;
        }
        if ((size_t)waiting >= plan->p->max_memory / token_bytes(plan->p)) {
            status = to_store(plan, stored, complete, error);
            stored = complete;
            waiting = 0;
        }
        report(plan, runtime);
    }
    cm_error second;
    cm_status last = to_store(plan, stored, complete, status == CM_OK ? error : &second);
    return status == CM_OK ? last : status;
}

static cm_status run_work(encode_plan *plan, const cm_runtime *runtime, cm_error *error) {
    encode_task *tasks = NULL;
    int64_t n = 0;
    cm_status status = make_tasks(plan, &tasks, &n, error);
    if (status == CM_OK && n > 0) status = run_tasks(plan, tasks, n, runtime, error);
    cm_free(tasks);
    return status;
}

/* Gives the items that repeat a text what the first one with it has. */
static void copy_repeats(const encode_plan *plan, cm_pretrained_item *items, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        const cm_pretrained_item *first = &items[plan->first_item[i]];
        if (first == &items[i]) continue;
        int64_t rows = cm_pretrained_rows(plan->p, first->text, first->length);
        items[i].report = first->report;
        memcpy(items[i].out, first->out, (size_t)(rows * plan->p->width) * sizeof(float));
    }
}

cm_status cm_pretrained_encode(cm_pretrained *p, cm_pretrained_item *items, int64_t n,
                               const cm_runtime *runtime, cm_error *error) {
    if (n == 0) return CM_OK;
    encode_plan plan = {.p = p};
    cm_status status = find_molecules(&plan, items, n, error);
    if (status == CM_OK) status = find_units(&plan, error);
    if (status == CM_OK) status = measure(&plan, error);
    if (status == CM_OK) status = order_work(&plan, error);
    if (status == CM_OK) status = run_work(&plan, runtime, error);
    if (status == CM_OK) copy_repeats(&plan, items, n);
    clear_plan(&plan);
    return status;
}
