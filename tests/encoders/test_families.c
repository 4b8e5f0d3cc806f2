/* The transformer families against what the reference libraries compute with tiny random checkpoints
 * (tests/fixtures/make_encoders.py), damaged checkpoints, and RNABERT with its published weights. */
#include "base/alloc.h"
#include "encoders/family.h"
#include "encoders/transformer.h"
#include "io/json.h"
#include "io/safetensors.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "fail_alloc.h"

static const char *const fixtures[] = {"esm2-layers",
                                       "esm2-shared",
                                       "esm2-formula",
                                       "esm2-original",
                                       "esm1b-original",
                                       "esm1b-narrow",
                                       "esm1b-wide",
                                       "rinalmo-model",
                                       "rinalmo-rinalmo",
                                       "rinalmo-bare",
                                       "rinalmo-original-fused",
                                       "rinalmo-original-split",
                                       "rnafm-model",
                                       "rnafm-old",
                                       "rnafm-dropout",
                                       "rnafm-original",
                                       "molformer-hub",
                                       "molformer-wide",
                                       "molformer-original",
                                       "chemberta-prefix",
                                       "chemberta-gamma",
                                       "chemberta-eps",
                                       "rnabert-bert",
                                       "rnabert-module",
                                       "rnabert-bare"};
enum { FIXTURES = sizeof fixtures / sizeof *fixtures, MAX_INPUTS = 16, MAX_TOKENS = 512 };

static char *fixture_path(char *path, size_t size, const char *name, const char *suffix) {
    const char *root = getenv("CROSSMAMBA_SOURCE");
    snprintf(path, size, "%s/tests/fixtures/encoders/%s%s", root ? root : ".", name, suffix);
    return path;
}

static void check(cm_status status, const cm_error *error) {
    char line[1024];
    if (status != CM_OK) fail_msg("%s", cm_error_line(error, line, sizeof line));
}

/* ---- a checkpoint at work ---- */

typedef struct model {
    const cm_family *family;
    cm_weights *weights;
    json_t *config;
    void *state;
} model;

static cm_status open_folder(model *m, const char *family, const char *folder, cm_precision precision,
                             cm_error *error) {
    char *text = NULL;
    size_t length = 0;
    *m = (model){.family = cm_family_find(family)};
    assert_non_null(m->family);
    CM_TRY(cm_weights_open(&m->weights, folder, error));
    CM_TRY(cm_weights_text(m->weights, "config.json", &text, &length, error));
    cm_status status = CM_OK;
    if (text) status = cm_json_parse(&m->config, text, length, "config.json", NULL, error);
    cm_free(text);
    if (status != CM_OK) return status;
    return m->family->engine->open(&m->state, m->family, m->weights, m->config, precision, error);
}

static void close_model(model *m) {
    if (m->family) m->family->engine->close(m->state);
    cm_weights_close(m->weights);
    json_decref(m->config);
}

/* ---- parity ---- */

typedef struct input {
    int32_t *ids;
    const char *text; /* NULL: ids alone */
    int64_t n;
    float *out;
} input;

typedef struct trial {
    const char *name;
    cm_safetensors *reference;
    model m;
    input inputs[MAX_INPUTS];
    int n_inputs;
} trial;

static void open_trial(trial *t, const char *name, cm_precision precision) {
    char path[4096];
    cm_error error;
    *t = (trial){.name = name};
    check(cm_safetensors_open(&t->reference, fixture_path(path, sizeof path, name, ".reference.safetensors"),
                              &error),
          &error);
    const char *family = cm_safetensors_metadata(t->reference, "family");
    check(open_folder(&t->m, family, fixture_path(path, sizeof path, name, ""), precision, &error), &error);
    int64_t width = t->m.family->engine->width(t->m.state);
    for (; t->n_inputs < MAX_INPUTS; t->n_inputs++) {
        input *in = &t->inputs[t->n_inputs];
        const cm_tensor *ids = cm_safetensors_find(t->reference, cm_format("%d.ids", t->n_inputs).text);
        if (!ids) break;
        in->n = ids->dims[0];
        in->text = cm_safetensors_metadata(t->reference, cm_format("%d.text", t->n_inputs).text);
        in->ids = malloc(ids->bytes + 1);
        in->out = malloc((size_t)(in->n * width) * sizeof *in->out + 1);
        if (ids->bytes) memcpy(in->ids, ids->data, ids->bytes);
    }
    assert_in_range(t->n_inputs, 4, MAX_INPUTS - 1);
}

static void close_trial(trial *t) {
    for (int i = 0; i < t->n_inputs; i++) {
        free(t->inputs[i].ids);
        free(t->inputs[i].out);
    }
    close_model(&t->m);
    cm_safetensors_close(t->reference);
}

/* Largest difference of each row of out from the stored layer, divided by the largest stored value of all
 * rows; rows[n] may be NULL. Returns the largest of the rows. */
static double difference(const trial *t, int i, int layer, double *rows) {
    const input *in = &t->inputs[i];
    const cm_tensor *want = cm_safetensors_find(t->reference, cm_format("%d.layer.%d", i, layer).text);
    if (!want || in->n == 0) return 0;
    size_t count = want->bytes / sizeof(float), width = count / (size_t)in->n;
    double largest = 1e-30, most = 0;
    for (int pass = 0; pass < 2; pass++)
        for (size_t j = 0; j < count; j++) {
            float value;
            memcpy(&value, (const char *)want->data + j * sizeof value, sizeof value);
            largest = fmax(largest, fabs((double)value));
            if (pass == 0) continue;
            double apart = fabs((double)in->out[j] - (double)value) / largest;
            most = apart <= most ? most : apart; /* NaN stays */
            if (!rows) continue;
            double *row = &rows[j / width], before = j % width ? *row : 0;
            *row = apart <= before ? before : apart;
        }
    return most;
}

static bool stored(const trial *t, int layer) {
    return cm_safetensors_find(t->reference, cm_format("0.layer.%d", layer).text) != NULL;
}

static void compare(const trial *t, int i, int layer, const char *how) {
    double apart = difference(t, i, layer, NULL);
    if (!(apart <= 1e-5)) fail_msg("%s: input %d, layer %d, %s: %.3g", t->name, i, layer, how, apart);
}

/* Every input by its ids, one at a time. */
static void test_ids(void **state) {
    (void)state;
    for (int f = 0; f < FIXTURES; f++) {
        trial t;
        cm_error error;
        open_trial(&t, fixtures[f], CM_F32);
        const cm_engine *engine = t.m.family->engine;
        int layers = engine->layers(t.m.state), compared = 0;
        for (int layer = 0; layer <= layers; layer++) {
            if (!stored(&t, layer)) continue;
            for (int i = 0; i < t.n_inputs; i++, compared++) {
                check(engine->run_ids(t.m.state, NULL, layer, t.inputs[i].ids, t.inputs[i].n, t.inputs[i].out,
                                      &error),
                      &error);
                compare(&t, i, layer, "ids");
            }
        }
        assert_true(compared >= 2 * t.n_inputs && stored(&t, layers));
        close_trial(&t);
    }
}

/* All texts of a checkpoint in one batch with two threads: the reference's numbers, and the bits of each
 * text run alone by its ids. */
static void test_texts(void **state) {
    (void)state;
    cm_team *team = cm_team_create(2);
    for (int f = 0; f < FIXTURES; f++) {
        trial t;
        cm_error error;
        open_trial(&t, fixtures[f], CM_F32);
        const cm_engine *engine = t.m.family->engine;
        const char *texts[MAX_INPUTS];
        int64_t lengths[MAX_INPUTS], n = 0, width = engine->width(t.m.state);
        float *out[MAX_INPUTS];
        int layers = engine->layers(t.m.state), number[MAX_INPUTS];
        for (int i = 0; i < t.n_inputs; i++) {
            const char *text = t.inputs[i].text;
            if (!text) continue;
            int64_t length = (int64_t)strlen(text), tokens = engine->tokens(t.m.state, text, length, NULL);
            if (tokens != t.inputs[i].n)
                fail_msg("%s: '%s' has %lld tokens instead of %lld", t.name, text, (long long)tokens,
                         (long long)t.inputs[i].n);
            texts[n] = text, lengths[n] = length, out[n] = t.inputs[i].out, number[n++] = i;
        }
        check(engine->run(t.m.state, team, layers, n, texts, lengths, out, &error), &error);
        for (int64_t j = 0; j < n; j++) {
            const input *in = &t.inputs[number[j]];
            size_t bytes = (size_t)(in->n * width) * sizeof(float);
            float *alone = malloc(bytes + 1);
            compare(&t, number[j], layers, "text");
            check(engine->run_ids(t.m.state, NULL, layers, in->ids, in->n, alone, &error), &error);
            assert_memory_equal(alone, in->out, bytes);
            free(alone);
        }
        close_trial(&t);
    }
    cm_team_destroy(team);
}

/* Every text of a checkpoint so often that the batch has at least so many tokens; the results lie in the
 * caller's rows one after the other. */
typedef struct crowd {
    const char **texts;
    int64_t *lengths, n, tokens;
    float **out, *rows;
} crowd;

static crowd make_crowd(const trial *t, int64_t tokens) {
    int64_t width = t->m.family->engine->width(t->m.state), once = 0, k = 0;
    crowd c = {.n = 0};
    for (int i = 0; i < t->n_inputs; i++) once += t->inputs[i].text ? t->inputs[i].n : 0;
    int64_t times = once > 0 ? (tokens + once - 1) / once : 0, room = times * t->n_inputs;
    c.texts = malloc((size_t)room * sizeof *c.texts + 1);
    c.lengths = malloc((size_t)room * sizeof *c.lengths + 1);
    c.out = malloc((size_t)room * sizeof *c.out + 1);
    c.rows = malloc((size_t)(times * once * width) * sizeof *c.rows + 1);
    for (; k < room; k++) {
        const input *in = &t->inputs[k % t->n_inputs];
        if (!in->text) continue;
        c.texts[c.n] = in->text;
        c.lengths[c.n] = (int64_t)strlen(in->text);
        c.out[c.n++] = c.rows + c.tokens * width;
        c.tokens += in->n;
    }
    return c;
}

static void free_crowd(crowd *c) {
    free(c->texts);
    free(c->lengths);
    free(c->out);
    free(c->rows);
}

/* A batch of more rows than are taken at once has the bits of each text alone, for any team and precision. */
static void test_blocks(void **state) {
    static const int sizes[] = {1, 2, 3};
    (void)state;
    for (int f = 0; f < FIXTURES; f++)
        for (cm_precision precision = CM_F32; precision <= CM_INT8; precision++) {
            trial t;
            cm_error error;
            open_trial(&t, fixtures[f], precision);
            const cm_engine *engine = t.m.family->engine;
            int layers = engine->layers(t.m.state);
            crowd c = make_crowd(&t, 1100);
            for (int i = 0; i < t.n_inputs; i++)
                check(engine->run_ids(t.m.state, NULL, layers, t.inputs[i].ids, t.inputs[i].n,
                                      t.inputs[i].out, &error),
                      &error);
            for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
                cm_team *team = cm_team_create(sizes[s]);
                check(engine->run(t.m.state, team, layers, c.n, c.texts, c.lengths, c.out, &error), &error);
                for (int64_t j = 0; j < c.n; j++) {
                    const input *in = t.inputs;
                    while (in->text != c.texts[j]) in++;
                    assert_memory_equal(c.out[j], in->out,
                                        (size_t)(in->n * engine->width(t.m.state)) * sizeof(float));
                }
                cm_team_destroy(team);
            }
            free_crowd(&c);
            close_trial(&t);
        }
}

/* The largest difference of the rows of the last layer over all inputs. spared: that many rows of each input,
 * those that differ most, do not count. */
static double rounded_difference(trial *t, int spared) {
    const cm_engine *engine = t->m.family->engine;
    int layers = engine->layers(t->m.state);
    double most = 0;
    cm_error error;
    for (int i = 0; i < t->n_inputs; i++) {
        const input *in = &t->inputs[i];
        double rows[MAX_TOKENS] = {0};
        assert_in_range(in->n, 0, MAX_TOKENS);
        check(engine->run_ids(t->m.state, NULL, layers, in->ids, in->n, in->out, &error), &error);
        difference(t, i, layers, rows);
        for (int s = 0; s < spared; s++) {
            int64_t top = 0;
            for (int64_t r = 0; r < in->n; r++) top = rows[r] > rows[top] ? r : top;
            rows[top] = 0;
        }
        for (int64_t r = 0; r < in->n; r++) most = rows[r] <= most ? most : rows[r];
    }
    return most;
}

static bool linear_attention(const trial *t) {
    const cm_transformer_rules *rules = t->m.family->rules;
    return rules->linear_attention;
}

/* Rounded weights stay near the reference and are used at all. The bound is a rounding (2^-9 of a value in
 * bf16, 1/254 of a row's largest in int8) for both factors of four products in each of three layers, the most
 * that the checkpoints have. Linear attention jumps where a token loses its last positive feature: without
 * one its output is 0, with one, however small, a mean of values. With four or five features some token of a
 * text is that near: the formulas of make_encoders.py in float64, with the weights and inputs of the products
 * rounded to bf16, move the same tokens as far (molformer-hub 0.337, molformer-original 0.113 and 0.166) and
 * no other beyond 0.02. One token of a text is therefore spared there. */
static void test_precisions(void **state) {
    (void)state;
    static const cm_precision precisions[] = {CM_BF16, CM_INT8};
    static const double unit[] = {0x1p-9, 1.0 / 254};
    for (int f = 0; f < FIXTURES; f++)
        for (int p = 0; p < 2; p++) {
            trial t;
            open_trial(&t, fixtures[f], precisions[p]);
            double most = rounded_difference(&t, linear_attention(&t));
            if (!(most > 1e-5 && most < 24 * unit[p])) fail_msg("%s, precision %d: %.3g", t.name, p, most);
            close_trial(&t);
        }
}

static void test_limits(void **state) {
    (void)state;
    trial t;
    cm_error error;
    open_trial(&t, "rnafm-original", CM_F32);
    const cm_engine *engine = t.m.family->engine;
    int32_t ids[64] = {0};
    float *out = malloc(64 * 15 * sizeof *out);
    assert_int_equal(engine->longest(t.m.state), 30);
    assert_int_equal(engine->run_ids(t.m.state, NULL, 2, ids, 31, out, &error), CM_DATA);
    assert_string_equal(error.expected, "at most 30 tokens");
    ids[3] = 25;
    assert_int_equal(engine->run_ids(t.m.state, NULL, 2, ids, 5, out, &error), CM_DATA);
    assert_string_equal(error.place, "token 4");
    ids[3] = -1;
    assert_int_equal(engine->run_ids(t.m.state, NULL, 2, ids, 5, out, &error), CM_DATA);
    assert_true(engine->row_bytes(t.m.state) > 15 * 4 * sizeof(float));
    free(out);
    close_trial(&t);
    open_trial(&t, "esm2-layers", CM_F32);
    assert_int_equal(t.m.family->engine->longest(t.m.state), 0);
    close_trial(&t);
}

/* ---- damaged checkpoints ---- */

enum { MAX_TENSORS = 128 };

typedef struct damage {
    const char *family, *fixture;
    const char *config;        /* NULL: none */
    const char *drop, *retype; /* tensor name; NULL: none */
    const char *flat;          /* this tensor becomes 1-dimensional */
    const char *place, *found; /* of the error; found is a part of it */
} damage;

static const damage damages[] = {
    {"esm2", "esm2-layers", "{}", "esm.encoder.layer.1.attention.output.dense.bias", NULL, NULL, "1 problem",
     "encoder.layer.1.attention.output.dense.bias is missing"},
    {"esm2", "esm2-layers", "{}", "esm.embeddings.word_embeddings.weight", NULL,
     "esm.encoder.layer.0.output.dense.weight", "2 problems",
     "embeddings.word_embeddings.weight is missing; encoder.layer.0.output.dense.weight is [576] instead of "
     "[12, 48]"},
    {"esm2", "esm2-original", NULL, "encoder.sentence_encoder.layers.0.fc1.weight",
     "encoder.sentence_encoder.layers.0.fc2.bias", NULL, "2 problems",
     "layers.0.fc1.weight is missing; layers.0.fc2.bias holds I32 instead of floats"},
    {"esm2", "esm2-layers", "{\"hidden_size\": 13, \"num_hidden_layers\": 3}", NULL, NULL, NULL, "2 problems",
     "config num_hidden_layers 3, the tensors have 2; config hidden_size 13, the tensors have 12"},
    {"esm2", "esm2-layers", "{\"num_attention_heads\": 3}", NULL, NULL, NULL, "2 problems",
     "encoder.layer.0.attention.self.rotary_embeddings.inv_freq is [3] instead of [2]"},
    {"esm2", "esm2-layers", "{\"num_attention_heads\": 4}", NULL, NULL, NULL, NULL,
     "4 heads do not divide width 12 into even parts"},
    {"esm2", "esm2-layers", "{\"num_attention_heads\": 99999999999}", NULL, NULL, NULL, NULL,
     "heads do not divide"},
    {"esm2", "esm2-layers", "{\"hidden_act\": \"relu\", \"position_embedding_type\": \"absolute\"}", NULL,
     NULL, NULL, "2 problems",
     "config hidden_act relu instead of gelu; config position_embedding_type absolute instead of rotary"},
    {"esm2", "esm2-layers", "{\"layer_norm_eps\": -1, \"vocab_size\": \"x\"}", NULL, NULL, NULL, "2 problems",
     "config vocab_size is no whole number; config layer_norm_eps is no number between 0 and 1"},
    {"rinalmo", "rinalmo-model", "{\"num_attention_heads\": 2}", "model.encoder.layer.0.intermediate.bias",
     NULL, NULL, "1 problem", "intermediate.bias is missing"},
    {"rinalmo", "rinalmo-original-fused", NULL, "transformer.blocks.1.mh_attn.Wqkv.weight", NULL, NULL,
     "3 problems", "transformer.blocks.1.mh_attn.mh_attn.to_q.weight is missing"},
    {"molformer", "molformer-hub", "{\"num_attention_heads\": 2}",
     "molformer.encoder.layer.0.attention.self.feature_map.weight", NULL, NULL, "1 problem",
     "feature_map.weight is missing"},
    {"chemberta", "chemberta-prefix", "{\"num_attention_heads\": 3, \"max_position_embeddings\": 515}", NULL,
     NULL, NULL, "1 problem", "config max_position_embeddings 515, the tensors have 42"},
    {"rnabert", "esm2-layers", NULL, NULL, NULL, NULL, NULL, "is missing"},
};

/* The fixture's tensors with the damage into folder/model.safetensors. */
static void write_damaged(const damage *d, const char *folder) {
    char path[4096];
    cm_error error;
    cm_safetensors *file;
    cm_tensor tensors[MAX_TENSORS];
    size_t count = 0;
    check(
        cm_safetensors_open(&file, fixture_path(path, sizeof path, d->fixture, "/model.safetensors"), &error),
        &error);
    assert_true(cm_safetensors_count(file) < MAX_TENSORS);
    for (size_t i = 0; i < cm_safetensors_count(file); i++) {
        cm_tensor t = *cm_safetensors_get(file, i);
        if (d->drop && strcmp(t.name, d->drop) == 0) continue;
        if (d->retype && strcmp(t.name, d->retype) == 0) t.dtype = CM_DTYPE_I32;
        if (d->flat && strcmp(t.name, d->flat) == 0) t.n_dims = 1, t.dims[0] *= t.dims[1];
        tensors[count++] = t;
    }
    assert_int_equal(cm_safetensors_count(file) - count, d->drop ? 1 : 0);
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    check(cm_safetensors_write(path, tensors, count, NULL, 0, &error), &error);
    cm_safetensors_close(file);
    snprintf(path, sizeof path, "%s/config.json", folder);
    unlink(path);
    if (!d->config) return;
    FILE *config = fopen(path, "w");
    assert_non_null(config);
    fputs(d->config, config);
    fclose(config);
}

static void test_damage(void **state) {
    (void)state;
    char folder[] = "/tmp/cm_families_XXXXXX", path[4096];
    assert_non_null(mkdtemp(folder));
    for (size_t i = 0; i < sizeof damages / sizeof *damages; i++) {
        const damage *d = &damages[i];
        cm_error error = {0};
        model m;
        write_damaged(d, folder);
        assert_int_equal(open_folder(&m, d->family, folder, CM_F32, &error), CM_MODEL);
        if ((d->place && strcmp(error.place, d->place) != 0) || !strstr(error.found, d->found))
            fail_msg("damage %zu: %s: %s", i, error.place, error.found);
        assert_null(m.state);
        close_model(&m);
    }
    snprintf(path, sizeof path, "%s/config.json", folder);
    unlink(path);
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    unlink(path);
    rmdir(folder);
}

/* ---- the table ---- */

static void test_extra(void **state) {
    (void)state;
    trial t;
    open_trial(&t, "esm2-layers", CM_F32);
    char all[1024] = "";
    for (size_t i = 0; cm_family_extra(t.m.family, t.m.weights, i); i++) {
        size_t used = strlen(all);
        snprintf(all + used, sizeof all - used, "%s ", cm_family_extra(t.m.family, t.m.weights, i)->name);
    }
    assert_non_null(strstr(all, "esm.pooler.dense.weight "));
    assert_non_null(strstr(all, "esm.embeddings.position_ids "));
    assert_non_null(strstr(all, "lm_head.bias "));
    assert_null(strstr(all, "esm.encoder"));
    close_trial(&t);
}

static void test_rows(void **state) {
    (void)state;
    const cm_family *family;
    int n = 0;
    for (; (family = cm_family_row(n)); n++) {
        assert_ptr_equal(cm_family_find(family->name), family);
        assert_true(strlen(family->title) > 0 && strlen(family->licence) > 0 && strlen(family->pooling) > 0);
        assert_non_null(family->engine->open);
        for (int i = 0; i < n; i++) assert_string_not_equal(cm_family_row(i)->name, family->name);
    }
    assert_true(n >= 7);
    assert_null(cm_family_row(-1));
    assert_null(cm_family_find("esm"));
}

/* ---- memory ---- */

/* Every allocation of opening and running fails once. */
static void test_memory(void **state) {
    (void)state;
    char path[4096];
    fixture_path(path, sizeof path, "rinalmo-original-fused", "");
    for (long n = 0;; n++) {
        model m;
        cm_error error;
        float out[5 * 20];
        const int32_t ids[] = {0, 5, 6, 4, 2};
        fail_alloc_from(n);
        cm_status status = open_folder(&m, "rinalmo", path, CM_F32, &error);
        if (status == CM_OK) status = m.family->engine->run_ids(m.state, NULL, 2, ids, 5, out, &error);
        bool failed = fail_alloc_stop();
        assert_int_equal(status, failed ? CM_MEMORY : CM_OK);
        close_model(&m);
        if (!failed) break;
    }
}

/* ---- published weights ---- */

static void test_rnabert(void **state) {
    (void)state;
    const char *data = getenv("CROSSMAMBA_DATA");
    if (!data || !*data) skip();
    char folder[] = "/tmp/cm_rnabert_XXXXXX", path[4096];
    cm_error error;
    assert_non_null(mkdtemp(folder));
    cm_weights_imported done;
    char target[4096];
    snprintf(path, sizeof path, "%s/weights/rnabert_RNABERT.pth", data);
    snprintf(target, sizeof target, "%s/rnabert", folder);
    check(cm_weights_import(path, target, false, &done, &error), &error);
    model m;
    check(open_folder(&m, "rnabert", target, CM_F32, &error), &error);
    float out[3 * 120];
    const char *text = "AAA";
    check(m.family->engine->run(m.state, NULL, 6, 1, &text, &(int64_t){3}, &(float *){out}, &error), &error);
    snprintf(path, sizeof path, "%s/weights/rnabert_golden/test.txt", data);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    double most = 0;
    for (int i = 0; i < 360; i++) {
        double value;
        if (fscanf(file, "%*[[, \n]%lf%*[]]", &value) < 1) fail_msg("%s: value %d", path, i);
        most = fmax(most, fabs(value - (double)out[i]));
    }
    fclose(file);
    print_message("RNABERT: largest difference from the published output %.3g\n", most);
    assert_true(most <= 1e-6);
    close_model(&m);
    static const char *const files[] = {"rnabert/model.safetensors", "rnabert/import.json", "rnabert", ""};
    for (int i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        remove(path);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),    cmocka_unit_test(test_ids),        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_blocks),  cmocka_unit_test(test_precisions), cmocka_unit_test(test_limits),
        cmocka_unit_test(test_extra),   cmocka_unit_test(test_damage),     cmocka_unit_test(test_memory),
        cmocka_unit_test(test_rnabert),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
