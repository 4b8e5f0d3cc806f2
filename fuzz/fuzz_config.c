/* io/json, and config.json of a checkpoint as the pretrained families read it: with the tensors of one of the
 * tiny checkpoints of the tests, chosen by the size of the input. */
#include "input.h"

#include "base/alloc.h"
#include "encoders/family.h"
#include "io/json.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Every kind of norm, position and attention. */
static const struct {
    const char *family, *folder;
} checkpoints[] = {
    {"esm2", "esm2-formula"},    {"rinalmo", "rinalmo-model"},   {"rnafm", "rnafm-model"},
    {"rnabert", "rnabert-bert"}, {"molformer", "molformer-hub"}, {"chemberta", "chemberta-prefix"},
};
enum { N_CHECKPOINTS = sizeof checkpoints / sizeof *checkpoints };

static const cm_weights *weights_of(size_t i) {
    static cm_weights *weights[N_CHECKPOINTS];
    char path[4096];
    cm_error error = {0};
    snprintf(path, sizeof path, "%s/tests/fixtures/encoders/%s", FUZZ_SOURCE, checkpoints[i].folder);
    if (!weights[i] && cm_weights_open(&weights[i], path, &error) != CM_OK) abort();
    return weights[i];
}

static void open_family(const json_t *config, size_t i) {
    const cm_family *family = cm_family_find(checkpoints[i].family);
    cm_error error = {0};
    void *state = NULL;
    if (!family) abort();
    if (family->engine->open(&state, family, weights_of(i), config, CM_F32, &error) != CM_OK) return;
    if (family->engine->width(state) < 1 || family->engine->layers(state) < 1) abort();
    family->engine->close(state);
}

/* What is written reads back as the same text. */
static void write_and_read(const json_t *value) {
    cm_error error = {0};
    json_t *again = NULL;
    char *text = cm_json_text(value);
    if (!text || !cm_is_utf8(text)) abort();
    if (cm_json_parse(&again, text, strlen(text), "output", NULL, &error) != CM_OK) abort();
    char *second = cm_json_text(again);
    if (!second || strcmp(text, second) != 0) abort();
    json_decref(again);
    cm_free(text);
    cm_free(second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const json_type types[] = {JSON_OBJECT,  JSON_ARRAY, JSON_STRING,
                                      JSON_INTEGER, JSON_REAL,  JSON_TRUE};
    cm_error error = {0};
    json_t *value = NULL, *member = NULL;
    for (size_t i = 0; i < N_CHECKPOINTS; i++) weights_of(i);
    fuzz_limit_memory(size);
    if (cm_json_parse(&value, (const char *)data, size, "input", NULL, &error) != CM_OK) return 0;
    write_and_read(value);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        cm_json_member(value, "hidden_size", types[i], &member, "input", &error);
    if (json_is_object(value)) open_family(value, size % N_CHECKPOINTS);
    json_decref(value);
    return 0;
}
