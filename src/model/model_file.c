/* The model file: finding, reading with every tensor checked, writing. */
#include "base/alloc.h"
#include "base/buf.h"
#include "io/json.h"
#include "io/safetensors.h"
#include "model/card.h"
#include "model/model_kind.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char card_key[] = "crossmamba";

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

/* ---- the list of tensors ---- */

void cm_tensor_list_clear(cm_tensor_list *list) {
    cm_free(list->tensors);
    cm_free(list->names);
    *list = (cm_tensor_list){0};
}

static cm_status list_grow(cm_tensor_list *list, cm_error *error) {
    size_t room = list->room * 2 + 64;
    cm_tensor *tensors = cm_resize(list->tensors, room, sizeof *tensors);
    if (tensors) list->tensors = tensors;
    void *names = tensors ? cm_resize(list->names, room, sizeof *list->names) : NULL;
    if (names) list->names = names;
    if (!names) return cm_fail_memory(error, room * sizeof *tensors);
    list->room = room;
    for (size_t i = 0; i < list->count; i++) list->tensors[i].name = list->names[i];
    return CM_OK;
}

cm_status cm_tensor_list_add(cm_tensor_list *list, const char *prefix, const char *name, cm_tensor tensor,
                             cm_error *error) {
    if (list->count == list->room) CM_TRY(list_grow(list, error));
    char *own = list->names[list->count];
    snprintf(own, sizeof *list->names, "%s%s", prefix, name);
    tensor.name = own;
    list->tensors[list->count++] = tensor;
    return CM_OK;
}

cm_tensor cm_tensor_of(cm_dtype dtype, const void *data, int64_t count) {
    return (cm_tensor){.dtype = dtype,
                       .n_dims = 1,
                       .dims = {count},
                       .data = data,
                       .bytes = (size_t)count * cm_dtype_bytes(dtype)};
}

/* Sketches of the training molecules, as bytes, the lowest of a word first. */
static cm_tensor domain_as_tensor(const cm_domain *domain) {
    return (cm_tensor){.dtype = CM_DTYPE_U8,
                       .n_dims = 2,
                       .dims = {domain->n, CM_DOMAIN_WORDS * 8},
                       .data = domain->bits,
                       .bytes = (size_t)domain->n * CM_DOMAIN_WORDS * 8};
}

cm_status cm_model_list(const cm_model *model, const char *prefix, cm_tensor_list *list, cm_error *error) {
    CM_TRY(model->kind->list(model, prefix, list, error));
    for (size_t i = 0; i < N_EXTRAS; i++)
        if (model->standard[extras[i].side].width > 0)
            CM_TRY(cm_tensor_list_add(list, prefix, extras[i].name,
                                      cm_tensor_of(CM_DTYPE_F32, extra_data(model, &extras[i]),
                                                   model->standard[extras[i].side].width),
                                      error));
    for (int side = 0; side < 2; side++)
        if (model->domain[side].n > 0)
            CM_TRY(cm_tensor_list_add(list, prefix, side == 0 ? "domain.a" : "domain.b",
                                      domain_as_tensor(&model->domain[side]), error));
    return CM_OK;
}

/* ---- writing ---- */

static void name_predictor(cm_model *model) {
    const char *plain = model->kind == &cm_kind_network ? model->options.fusion : model->kind->name;
    int used = snprintf(model->predictor, sizeof model->predictor, "%.64s", plain);
    for (int p = 0; p < model->n_parts; p++)
        used += snprintf(model->predictor + used, sizeof model->predictor - (size_t)used, "%c%s",
                         p ? '/' : ':', model->part_name[p]);
}

const char *cm_model_predictor(const cm_model *model) {
    return model->predictor;
}

static cm_status refresh_card(cm_model *model, cm_error *error) {
    name_predictor(model);
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
    cm_tensor_list list = {0};
    CM_TRY(refresh_card(model, error));
    cm_status status = cm_model_list(model, "", &list, error);
    cm_metadata_entry metadata[] = {{card_key, model->card}, {"format", "pt"}};
    if (status == CM_OK) status = cm_safetensors_write(path, list.tensors, list.count, metadata, 2, error);
    cm_tensor_list_clear(&list);
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

/* Whole numbers always are. */
static bool all_finite(cm_dtype dtype, const void *values, size_t bytes) {
    const float *single = values;
    const double *real = values;
    for (size_t i = 0; dtype == CM_DTYPE_F32 && i < bytes / sizeof *single; i++)
        if (!isfinite(single[i])) return false;
    for (size_t i = 0; dtype == CM_DTYPE_F64 && i < bytes / sizeof *real; i++)
        if (!isfinite(real[i])) return false;
    return true;
}

/* Copies the file's tensor into the model's memory; problems are appended to text. */
static int load_tensor(const cm_safetensors *file, const cm_tensor *want, cm_buf *text) {
    const cm_tensor *have = cm_safetensors_find(file, want->name);
    if (have && same_shape(want, have)) {
        void *to = (void *)(uintptr_t)want->data;
        if (have->bytes) memcpy(to, have->data, have->bytes);
        if (all_finite(want->dtype, to, have->bytes)) return 0;
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

static cm_status load_list(const cm_safetensors *file, const cm_tensor_list *list, const char *path,
                           cm_error *error) {
    cm_buf text = CM_BUF_EMPTY;
    int problems = 0;
    for (size_t i = 0; i < list->count; i++) problems += load_tensor(file, &list->tensors[i], &text);
    if (problems == 0 && cm_safetensors_count(file) != list->count) {
        problems = 1;
        cm_buf_printf(&text, "%zu tensors instead of %zu", cm_safetensors_count(file), list->count);
    }
    cm_status status = CM_OK;
    if (problems > 0)
        status =
            cm_fail(error, CM_MODEL, path, cm_format("%d of %zu tensors", problems, list->count).text,
                    "the tensors of the card's model", "%s", text.failed ? "too many problems" : text.data);
    cm_buf_clear(&text);
    return status;
}

static cm_status load_tensors(const cm_safetensors *file, const cm_model *model, const char *path,
                              cm_error *error) {
    cm_tensor_list list = {0};
    cm_status status = cm_model_list(model, "", &list, error);
    if (status == CM_OK) status = load_list(file, &list, path, error);
    cm_tensor_list_clear(&list);
    return status;
}

cm_status cm_model_check_size(const cm_model_source *from, size_t values, cm_error *error) {
    static const size_t small = (size_t)16 << 20;
    size_t wanted = 0, bytes = 0;
    bool fits = cm_size_mul(values, sizeof(float), &wanted);
    for (size_t i = 0; i < cm_safetensors_count(from->file); i++)
        bytes += cm_safetensors_get(from->file, i)->bytes;
    if (fits && wanted <= bytes + small) return CM_OK;
    return cm_fail(error, CM_MODEL, from->path, "card",
                   fits ? cm_format("tensors of %zu bytes", wanted).text : "a model that fits into memory",
                   "tensors of %zu bytes", bytes);
}

cm_status cm_model_tensor_length(const cm_model_source *from, const char *name, int64_t least, int64_t most,
                                 int64_t *length, cm_error *error) {
    cm_text full = cm_format("%s%s", from->prefix, name);
    const cm_tensor *tensor = cm_safetensors_find(from->file, full.text);
    if (!tensor) return cm_fail(error, CM_MODEL, from->path, "tensors", full.text, "no such tensor");
    *length = tensor->n_dims == 1 ? tensor->dims[0] : -1;
    if (*length >= least && *length <= most) return CM_OK;
    return cm_fail(error, CM_MODEL, from->path, full.text,
                   cm_format("one dimension of %lld to %lld", (long long)least, (long long)most).text,
                   "%d dimensions, %lld", tensor->n_dims, (long long)*length);
}

/* An option's value that a command would have refused is here a fault of the file. */
static cm_status build_kind(cm_model *m, const cm_model_source *from, cm_error *error) {
    cm_error reason = {0};
    cm_status status = m->kind->build(m, from, &reason);
    if (status == CM_USAGE)
        return cm_fail(error, CM_MODEL, from->path, cm_format("card, option %s", reason.place).text,
                       reason.expected, "%s", reason.found);
    if (status != CM_OK && error) *error = reason;
    return status;
}

cm_status cm_model_build(cm_model **model, const cm_model_source *from, cm_error *error) {
    cm_card_shape shape;
    cm_model *m = NULL;
    cm_status status = cm_card_shape_read(from->card, &shape, from->path, error);
    size_t columns = 0;
    for (int side = 0; side < CM_SIDES && status == CM_OK; side++) columns += (size_t)shape.width[side];
    if (status == CM_OK) status = cm_model_check_size(from, 2 * columns, error);
    if (status == CM_OK)
        status = cm_model_create(&m, shape.kind, shape.task, &shape.options, shape.width, error);
    if (status == CM_OK) status = build_kind(m, from, error);
    if (status == CM_OK) status = cm_card_apply(from->card, m, from->path, error);
    if (status == CM_OK)
        *model = m;
    else
        cm_model_close(m);
    return status;
}

cm_status cm_model_finish(cm_model *model, const cm_model_source *from, cm_error *error) {
    return model->kind->finish ? model->kind->finish(model, from, error) : CM_OK;
}

static cm_status read_model(cm_model **model, const cm_safetensors *file, const char *path, cm_error *error) {
    const char *text = cm_safetensors_metadata(file, card_key);
    if (!text)
        return cm_fail(error, CM_MODEL, path, "metadata", "a model written by crossmamba train",
                       "a safetensors file without a crossmamba card");
    json_t *card = NULL;
    CM_TRY(cm_json_parse(&card, text, strlen(text), path, "card", error));
    const cm_model_source from = {card, file, "", path};
    cm_model *m = NULL;
    cm_status status = cm_model_build(&m, &from, error);
    if (status == CM_OK) status = load_tensors(file, m, path, error);
    if (status == CM_OK) status = cm_model_finish(m, &from, error);
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
