/* The model file: finding, reading with every tensor checked, writing. */
#include "base/alloc.h"
#include "base/buf.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "model/card.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char card_key[] = "crossmamba";
static const size_t small_network = (size_t)16 << 20; /* bytes */

/* Beside the parameters, the file holds these tensors: [width] each. */
typedef struct extra_tensor {
    const char *name;
    int side;
    bool scale;
} extra_tensor;
static const extra_tensor extras[] = {
    {"standard.a.mean", 0, false},
    {"standard.a.scale", 0, true},
    {"standard.b.mean", 1, false},
    {"standard.b.scale", 1, true},
    {"standard.pair.mean", CM_SIDE_PAIR, false}, /* these two only with a pair channel */
    {"standard.pair.scale", CM_SIDE_PAIR, true},
};
enum { N_EXTRAS = sizeof extras / sizeof *extras };

static float *extra_data(const cm_model *model, const extra_tensor *extra) {
    const cm_standard *s = &model->standard[extra->side];
    return extra->scale ? s->scale : s->mean;
}

static cm_tensor extra_as_tensor(const cm_model *model, const extra_tensor *extra) {
    int64_t width = model->standard[extra->side].width;
    return (cm_tensor){.name = extra->name,
                       .dtype = CM_DTYPE_F32,
                       .n_dims = 1,
                       .dims = {width},
                       .data = extra_data(model, extra),
                       .bytes = (size_t)width * sizeof(float)};
}

static cm_tensor param_as_tensor(const cm_params *params, int i, const char *name) {
    const cm_param *p = cm_params_get(params, i);
    cm_tensor tensor = {.name = name,
                        .dtype = CM_DTYPE_F32,
                        .n_dims = p->n_dims,
                        .data = cm_params_value(params, i).data,
                        .bytes = (size_t)p->count * sizeof(float)};
    memcpy(tensor.dims, p->dims, (size_t)p->n_dims * sizeof *p->dims);
    return tensor;
}

/* Sketches of the training molecules, as bytes, the lowest of a word first. */
static cm_tensor domain_as_tensor(const cm_model *model, int side) {
    const cm_domain *domain = &model->domain[side];
    return (cm_tensor){.name = side == 0 ? "domain.a" : "domain.b",
                       .dtype = CM_DTYPE_U8,
                       .n_dims = 2,
                       .dims = {domain->n, CM_DOMAIN_WORDS * 8},
                       .data = domain->bits,
                       .bytes = (size_t)domain->n * CM_DOMAIN_WORDS * 8};
}

enum { MEMBER_NAME = 128 };

/* All tensors of a model file, in a block to be freed with cm_free; the names of the further members of an
 * ensemble lie behind them in the block. */
static cm_tensor *model_tensors(const cm_model *model, size_t *count) {
    size_t n = (size_t)cm_params_count(model->net->params), members = (size_t)model->n_members;
    size_t most = n * (members + 1) + N_EXTRAS + 2, at = 0;
    cm_tensor *tensors = cm_new(1, most * sizeof *tensors + members * n * MEMBER_NAME);
    if (!tensors) return NULL;
    char *name = (char *)(tensors + most);
    for (size_t i = 0; i < n; i++)
        tensors[at++] =
            param_as_tensor(model->net->params, (int)i, cm_params_get(model->net->params, (int)i)->name);
    for (size_t k = 0; k < members; k++)
        for (size_t i = 0; i < n; i++, name += MEMBER_NAME) {
            snprintf(name, MEMBER_NAME, "member.%zu.%s", k + 2,
                     cm_params_get(model->net->params, (int)i)->name);
            tensors[at++] = param_as_tensor(model->members[k]->params, (int)i, name);
        }
    for (size_t i = 0; i < N_EXTRAS; i++)
        if (model->standard[extras[i].side].width > 0) tensors[at++] = extra_as_tensor(model, &extras[i]);
    for (int side = 0; side < 2; side++)
        if (model->domain[side].n > 0) tensors[at++] = domain_as_tensor(model, side);
    *count = at;
    return tensors;
}

static cm_status refresh_card(cm_model *model, cm_error *error) {
    json_t *card = cm_card_make(model);
    char *json = card ? cm_json_text(card) : NULL, *text = card ? cm_card_text(card) : NULL;
    json_decref(card);
    if (!json || !text) {
        cm_free(json);
        cm_free(text);
        return cm_fail_memory(error, 0);
    }
    cm_free(model->card);
    cm_free(model->card_text);
    model->card = json;
    model->card_text = text;
    return CM_OK;
}

const char *cm_model_card(const cm_model *model) {
    return model->card;
}

const char *cm_model_card_text(const cm_model *model) {
    return model->card_text;
}

cm_status cm_model_save(cm_model *model, const char *path, cm_error *error) {
    CM_TRY(refresh_card(model, error));
    size_t count;
    cm_tensor *tensors = model_tensors(model, &count);
    if (!tensors) return cm_fail_memory(error, 0);
    cm_metadata_entry metadata[] = {{card_key, model->card}, {"format", "pt"}};
    cm_status status = cm_safetensors_write(path, tensors, count, metadata, 2, error);
    cm_free(tensors);
    return status;
}

/* ---- reading ---- */

static bool same_shape(const cm_tensor *want, const cm_tensor *have) {
    return have->dtype == want->dtype && have->n_dims == want->n_dims &&
           memcmp(have->dims, want->dims, (size_t)want->n_dims * sizeof *want->dims) == 0;
}

static void describe(cm_buf *text, const cm_tensor *tensor) {
    cm_buf_printf(text, "%s [", cm_dtype_name(tensor->dtype));
    for (int i = 0; i < tensor->n_dims; i++)
        cm_buf_printf(text, "%s%lld", i > 0 ? ", " : "", (long long)tensor->dims[i]);
    cm_buf_text(text, "]");
}

static bool all_finite(const float *values, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (!isfinite(values[i])) return false;
    return true;
}

/* Copies the file's tensor into the model's memory; problems are appended to text. */
static int load_tensor(const cm_safetensors *file, const cm_tensor *want, cm_buf *text) {
    const cm_tensor *have = cm_safetensors_find(file, want->name);
    if (have && same_shape(want, have)) {
        float *to = (float *)(uintptr_t)want->data;
        if (have->bytes) memcpy(to, have->data, have->bytes);
        if (want->dtype == CM_DTYPE_U8 || all_finite(to, have->bytes / sizeof *to)) return 0;
        cm_buf_printf(text, "%s holds a value that is not finite; ", want->name);
        return 1;
    }
    cm_buf_printf(text, have ? "%s is " : "%s is missing; ", want->name);
    if (have) {
        describe(text, have);
        cm_buf_text(text, ", not ");
        describe(text, want);
        cm_buf_text(text, "; ");
    }
    return 1;
}

static cm_status load_tensors(const cm_safetensors *file, const cm_model *model, const char *path,
                              cm_error *error) {
    size_t count;
    cm_tensor *tensors = model_tensors(model, &count);
    if (!tensors) return cm_fail_memory(error, 0);
    cm_buf text = CM_BUF_EMPTY;
    int problems = 0;
    for (size_t i = 0; i < count; i++) problems += load_tensor(file, &tensors[i], &text);
    cm_free(tensors);
    if (problems == 0 && cm_safetensors_count(file) != count) {
        problems = 1;
        cm_buf_printf(&text, "%zu tensors instead of %zu", cm_safetensors_count(file), count);
    }
    cm_status status = CM_OK;
    if (problems > 0)
        status =
            cm_fail(error, CM_MODEL, path, cm_format("%d of %zu tensors", problems, count).text,
                    "the tensors of the card's network", "%s", text.failed ? "too many problems" : text.data);
    cm_buf_clear(&text);
    return status;
}

/* A card can name a network of any size: before memory is taken for it, the file must have tensors of about
 * that size. What is missing of a small one is better told tensor by tensor. */
static cm_status check_size(const cm_safetensors *file, const cm_card_shape *shape, const char *path,
                            cm_error *error) {
    int64_t values = 0;
    size_t wanted = 0, bytes = 0;
    CM_TRY(cm_net_count(&shape->options, shape->width, &values, error));
    for (int side = 0; side < CM_SIDES; side++) wanted += 2 * (size_t)shape->width[side];
    bool fits = cm_size_mul((size_t)values, (size_t)shape->options.ensemble, &bytes) &&
                cm_size_add(wanted, bytes, &wanted) && cm_size_mul(wanted, sizeof(float), &wanted);
    bytes = 0;
    for (size_t i = 0; i < cm_safetensors_count(file); i++) bytes += cm_safetensors_get(file, i)->bytes;
    if (fits && wanted <= bytes + small_network) return CM_OK;
    return cm_fail(error, CM_MODEL, path, "card",
                   fits ? cm_format("tensors of %zu bytes", wanted).text : "a network that fits into memory",
                   "tensors of %zu bytes", bytes);
}

static cm_status read_model(cm_model **model, const cm_safetensors *file, const char *path, cm_error *error) {
    const char *text = cm_safetensors_metadata(file, card_key);
    if (!text)
        return cm_fail(error, CM_MODEL, path, "metadata", "a model written by crossmamba train",
                       "a safetensors file without a crossmamba card");
    json_t *card = NULL;
    CM_TRY(cm_json_parse(&card, text, strlen(text), path, "card", error));
    cm_card_shape shape;
    cm_model *m = NULL;
    cm_status status = cm_card_shape_read(card, &shape, path, error);
    if (status == CM_OK) status = check_size(file, &shape, path, error);
    if (status == CM_OK) status = cm_model_create(&m, shape.task, &shape.options, shape.width, error);
    if (status == CM_OK) status = cm_model_make_members(m, true, error);
    if (status == CM_OK) status = cm_card_apply(card, m, path, error);
    if (status == CM_OK) status = load_tensors(file, m, path, error);
    if (status == CM_OK) status = refresh_card(m, error);
    json_decref(card);
    if (status == CM_OK)
        *model = m;
    else
        cm_model_close(m);
    return status;
}

/* A path as it is; a bare name also as NAME.safetensors in the model folders. */
static cm_status find_file(const char *name, cm_buf *path, cm_error *error) {
    if (!cm_buf_text(path, name)) return cm_fail_memory(error, strlen(name));
    if (access(name, F_OK) == 0 || strchr(name, '/')) return CM_OK;
    const char *folders[] = {getenv("CROSSMAMBA_MODELS"), "models", CM_MODEL_FOLDER};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        if (!folders[i]) continue;
        path->len = 0;
        if (!cm_buf_printf(path, "%s/%s.safetensors", folders[i], name)) return cm_fail_memory(error, 0);
        if (access(path->data, F_OK) == 0) return CM_OK;
    }
    return cm_fail(error, CM_MODEL, name, NULL,
                   "a model file, or the name of a model in $CROSSMAMBA_MODELS, "
                   "./models or " CM_MODEL_FOLDER,
                   "no such file");
}

cm_status cm_model_open(cm_model **model, const char *path, cm_error *error) {
    cm_buf found = CM_BUF_EMPTY;
    cm_safetensors *file = NULL;
    cm_status status = find_file(path, &found, error);
    if (status == CM_OK) status = cm_safetensors_open(&file, found.data, error);
    if (status == CM_OK) status = read_model(model, file, found.data, error);
    cm_safetensors_close(file);
    cm_buf_clear(&found);
    return status;
}
