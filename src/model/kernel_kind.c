/* The kind "kernel": a kernel model (kernel/kernel_model.h). The file keeps the texts of its training
 * molecules, not their feature vectors, which are many times larger and come out of the texts with the same
 * bits:
 *
 *   kernel.a.text [letters] U8   kernel.a.end [m] I64   kernel.a.mean.NAME [m] F64, one for each table kernel
 * in use (the mean kernel of a training molecule to all); the same for b; kernel.a.place,
 * kernel.b.place [pairs] I32; kernel.weight [pairs] F64
 *
 * With such a file its training molecules are given away; the card says so. */
#include "base/alloc.h"
#include "data/molecules.h"
#include "io/json.h"
#include "model/kernel_inputs.h"
#include "model/model_kind.h"
#include <math.h>
#include <string.h>

static const char *const side_name[2] = {"a", "b"};

static void clear(cm_model *model) {
    cm_kernel_model_destroy(model->kernel);
    for (int side = 0; side < 2; side++) {
        cm_free(model->support[side].text);
        cm_free(model->support[side].end);
    }
}

static int64_t size(const cm_model *model) {
    return model->kernel->n_train;
}

/* ---- the card ---- */

static json_t *side_json(const cm_model *model, int side) {
    const cm_kernel_shape *shape = &model->kernel->shape[side];
    const cm_kernel_features *f = model->kernel->side[side].features;
    json_t *names = json_array();
    for (int k = 0; names && k < f->n_kernels; k++)
        if (cm_kernel_in_mix(f->kernel[k], shape->mix))
            json_array_append_new(names, json_string(f->kernel[k]->name));
    return json_pack("{s:I, s:s, s:o, s:f, s:f}", "molecules", (json_int_t)f->n, "mix",
                     cm_kernel_mix_name(shape->mix), "kernels", names, "gamma", shape->gamma, "constant",
                     shape->constant);
}

static cm_status describe(const cm_model *model, json_t *card, cm_error *error) {
    const cm_kernel_model *k = model->kernel;
    json_t *about = json_pack("{s:f, s:f, s:I, s:o, s:o, s:s}", "ridge", k->ridge, "offset", k->offset,
                              "pairs", (json_int_t)k->n_train, "a", side_json(model, 0), "b",
                              side_json(model, 1), "training_molecules", "are in this file as text");
    return json_object_set_new(card, "kernel", about) == 0 ? CM_OK : cm_fail_memory(error, 0);
}

static cm_status finite_member(const json_t *object, const char *key, double least, double *number,
                               const char *path, cm_error *error) {
    json_t *value;
    CM_TRY(cm_json_member(object, key, JSON_REAL, &value, path, error));
    *number = json_number_value(value);
    if (isfinite(*number) && *number >= least) return CM_OK;
    return cm_fail(error, CM_DATA, path, cm_format("card, key %s of kernel", key).text,
                   "a finite number, 0 or more", "%g", *number);
}

/* Whether the list names the table kernels of the mix in order: a file of another version of the table is no
 * use. */
static bool same_kernels(const json_t *names, const cm_kernel_features *features, cm_kernel_mix mix) {
    size_t at = 0;
    for (int k = 0; k < features->n_kernels; k++) {
        if (!cm_kernel_in_mix(features->kernel[k], mix)) continue;
        const char *name = json_string_value(json_array_get(names, at++));
        if (!name || strcmp(name, features->kernel[k]->name) != 0) return false;
    }
    return at == json_array_size(names);
}

static cm_status read_shape(const json_t *about, int side, cm_kernel_shape *shape, const char *path,
                            cm_error *error) {
    json_t *object, *mix;
    CM_TRY(cm_json_member(about, side_name[side], JSON_OBJECT, &object, path, error));
    CM_TRY(finite_member(object, "gamma", 0, &shape->gamma, path, error));
    CM_TRY(finite_member(object, "constant", 0, &shape->constant, path, error));
    CM_TRY(cm_json_member(object, "mix", JSON_STRING, &mix, path, error));
    for (shape->mix = CM_MIX_ALL; shape->mix < CM_MIXES; shape->mix++)
        if (strcmp(json_string_value(mix), cm_kernel_mix_name(shape->mix)) == 0) return CM_OK;
    return cm_fail(error, CM_DATA, path, "card, key mix of kernel", "all, coarse or fine", "%s",
                   json_string_value(mix));
}

/* ---- making room ---- */

/* The length of a tensor of the file; what it must be is checked when it is read. */
static cm_status length_of(const cm_model_source *from, const char *name, int64_t *length, cm_error *error) {
    cm_text full = cm_format("%s%s", from->prefix, name);
    const cm_tensor *tensor = cm_safetensors_find(from->file, full.text);
    if (!tensor) return cm_fail(error, CM_MODEL, from->path, "tensors", full.text, "no such tensor");
    *length = tensor->n_dims == 1 ? tensor->dims[0] : 0;
    if (*length > 0 && *length <= INT32_MAX) return CM_OK;
    return cm_fail(error, CM_MODEL, from->path, full.text, "one dimension of 1 to 2147483647",
                   "%d dimensions, %lld", tensor->n_dims, (long long)*length);
}

static cm_status make_side(cm_model *model, int side, const cm_model_source *from, cm_error *error) {
    cm_kernel_side *to = &model->kernel->side[side];
    cm_support *support = &model->support[side];
    CM_TRY(length_of(from, cm_format("kernel.%s.text", side_name[side]).text, &support->letters, error));
    CM_TRY(length_of(from, cm_format("kernel.%s.end", side_name[side]).text, &support->n, error));
    support->text = cm_new((size_t)support->letters, 1);
    support->end = cm_new((size_t)support->n, sizeof *support->end);
    if (!support->text || !support->end) return cm_fail_memory(error, (size_t)support->letters);
    /* an empty list of features until the texts are there: it knows the table kernels of the type */
    CM_TRY(cm_kernel_features_create(&to->features, side ? model->task->b : model->task->a, 0, NULL, NULL, 0,
                                     error));
    for (int k = 0; k < to->features->n_kernels; k++) {
        if (!cm_kernel_in_mix(to->features->kernel[k], model->kernel->shape[side].mix)) continue;
        to->row_mean[k] = cm_new((size_t)support->n, sizeof *to->row_mean[k]);
        if (!to->row_mean[k]) return cm_fail_memory(error, (size_t)support->n * sizeof(double));
    }
    return CM_OK;
}

static cm_status build(cm_model *model, const cm_model_source *from, cm_error *error) {
    json_t *about;
    CM_TRY(cm_json_member(from->card, "kernel", JSON_OBJECT, &about, from->path, error));
    cm_kernel_model *k = model->kernel = cm_new(1, sizeof *k);
    if (!k) return cm_fail_memory(error, sizeof *k);
    k->affinity = model->task->affinity;
    CM_TRY(finite_member(about, "ridge", 0, &k->ridge, from->path, error));
    CM_TRY(finite_member(about, "offset", -1e300, &k->offset, from->path, error));
    CM_TRY(length_of(from, "kernel.weight", &k->n_train, error));
    k->weight = cm_new((size_t)k->n_train, sizeof *k->weight);
    if (!k->weight) return cm_fail_memory(error, (size_t)k->n_train * sizeof *k->weight);
    for (int side = 0; side < 2; side++) {
        k->place[side] = cm_new((size_t)k->n_train, sizeof(int32_t));
        if (!k->place[side]) return cm_fail_memory(error, (size_t)k->n_train * sizeof(int32_t));
        CM_TRY(read_shape(about, side, &k->shape[side], from->path, error));
        CM_TRY(make_side(model, side, from, error));
        if (!same_kernels(json_object_get(json_object_get(about, side_name[side]), "kernels"),
                          k->side[side].features, k->shape[side].mix))
            return cm_fail(error, CM_MODEL, from->path, "card, key kernels of kernel",
                           "the molecule kernels of this program",
                           "others: the file is from another version");
    }
    return CM_OK;
}

/* ---- tensors ---- */

static cm_status list_side(const cm_model *model, int side, const char *prefix, cm_tensor_list *list,
                           cm_error *error) {
    const cm_support *support = &model->support[side];
    const cm_kernel_side *own = &model->kernel->side[side];
    const char *name = side_name[side];
    CM_TRY(cm_tensor_list_add(list, prefix, cm_format("kernel.%s.text", name).text,
                              cm_tensor_of(CM_DTYPE_U8, support->text, support->letters), error));
    CM_TRY(cm_tensor_list_add(list, prefix, cm_format("kernel.%s.end", name).text,
                              cm_tensor_of(CM_DTYPE_I64, support->end, support->n), error));
    for (int k = 0; k < own->features->n_kernels; k++)
        if (cm_kernel_in_mix(own->features->kernel[k], model->kernel->shape[side].mix))
            CM_TRY(cm_tensor_list_add(
                list, prefix, cm_format("kernel.%s.mean.%s", name, own->features->kernel[k]->name).text,
                cm_tensor_of(CM_DTYPE_F64, own->row_mean[k], support->n), error));
    return cm_tensor_list_add(list, prefix, cm_format("kernel.%s.place", name).text,
                              cm_tensor_of(CM_DTYPE_I32, model->kernel->place[side], model->kernel->n_train),
                              error);
}

static cm_status list(const cm_model *model, const char *prefix, cm_tensor_list *tensors, cm_error *error) {
    for (int side = 0; side < 2; side++) CM_TRY(list_side(model, side, prefix, tensors, error));
    return cm_tensor_list_add(tensors, prefix, "kernel.weight",
                              cm_tensor_of(CM_DTYPE_F64, model->kernel->weight, model->kernel->n_train),
                              error);
}

/* ---- after reading ---- */

/* A sequence of the file is taken only in the one spelling that its type has. What a SMILES must keep is
 * checked where its fingerprints are made; canonical ones differ between versions of the chemistry, so any
 * that can be read is good. */
static cm_status check_text(cm_molecule_type type, const char *text, int64_t length, int64_t i,
                            const char *path, cm_error *error) {
    char *same = NULL;
    int64_t got, unknown;
    cm_text place = cm_format("training molecule %lld", (long long)i + 1);
    if (strlen(text) != (size_t)length)
        return cm_fail(error, CM_DATA, path, place.text, "a sequence or SMILES", "a NUL byte in it");
    if (type == CM_MOLECULE) return CM_OK;
    CM_TRY(cm_molecule_normalise(type, text, (size_t)length, path, place.text, &same, &got, &unknown, error));
    bool equal = strcmp(same, text) == 0;
    cm_free(same);
    return equal ? CM_OK
                 : cm_fail(error, CM_DATA, path, place.text, "a normalised sequence", "another spelling");
}

/* Texts [n] with a NUL after each, in one block freed with cm_free. */
static cm_status cut_texts(const cm_support *support, const char *path, const char ***texts, int64_t *length,
                           cm_error *error) {
    size_t n = (size_t)support->n;
    int64_t at = 0;
    const char **list = cm_new(1, n * sizeof *list + n + (size_t)support->letters);
    if (!list) return cm_fail_memory(error, n * sizeof *list + (size_t)support->letters);
    char *to = (char *)(list + n);
    *texts = list;
    for (size_t i = 0; i < n; i++) {
        length[i] = support->end[i] - at;
        if (support->end[i] <= at || support->end[i] > support->letters)
            return cm_fail(error, CM_DATA, path, cm_format("end of training molecule %zu", i + 1).text,
                           cm_format("%lld to %lld", (long long)at + 1, (long long)support->letters).text,
                           "%lld", (long long)support->end[i]);
        memcpy(to, support->text + at, (size_t)length[i]);
        list[i] = to;
        to += length[i] + 1;
        at = support->end[i];
    }
    return at == support->letters ? CM_OK
                                  : cm_fail(error, CM_DATA, path, "training molecules",
                                            "all letters in a molecule", "letters behind");
}

static cm_status read_texts(cm_model *model, int side, const char *path, const char ***texts, int64_t *length,
                            cm_error *error) {
    cm_molecule_type type = side ? model->task->b : model->task->a;
    cm_kernel_side *to = &model->kernel->side[side];
    CM_TRY(cut_texts(&model->support[side], path, texts, length, error));
    for (int64_t i = 0; i < model->support[side].n; i++)
        CM_TRY(check_text(type, (*texts)[i], length[i], i, path, error));
    cm_kernel_features *features = NULL;
    cm_error inner = {0};
    cm_status status = cm_kernel_features_create(&features, type, 1u << model->kernel->shape[side].mix,
                                                 *texts, length, model->support[side].n, &inner);
    if (status != CM_OK)
        return cm_fail(error, status, path, cm_format("training molecules, side %s", side_name[side]).text,
                       inner.expected, "%s", inner.found);
    cm_kernel_features_destroy(to->features);
    to->features = features;
    return CM_OK;
}

static cm_status finish_side(cm_model *model, int side, const char *path, cm_error *error) {
    const cm_kernel_model *k = model->kernel;
    int64_t n = model->support[side].n;
    for (int64_t i = 0; i < k->n_train; i++)
        if (k->place[side][i] < 0 || k->place[side][i] >= n)
            return cm_fail(error, CM_DATA, path, cm_format("training pair %lld", (long long)i + 1).text,
                           cm_format("a molecule from 0 to %lld", (long long)n - 1).text, "%d",
                           k->place[side][i]);
    const char **texts = NULL;
    int64_t *length = cm_new((size_t)n, sizeof *length);
    cm_status status = length ? read_texts(model, side, path, &texts, length, error)
                              : cm_fail_memory(error, (size_t)n * sizeof *length);
    cm_free(texts);
    cm_free(length);
    if (status == CM_OK) cm_kernel_side_restore(&model->kernel->side[side], k->shape[side].mix);
    return status;
}

static cm_status finish(cm_model *model, const cm_model_source *from, cm_error *error) {
    for (int side = 0; side < 2; side++) CM_TRY(finish_side(model, side, from->path, error));
    return CM_OK;
}

/* ---- scores ---- */

static cm_status open_scorer(cm_scorer *scorer, cm_error *error) {
    const cm_kernel_features *features[2];
    cm_kernel_scorer *own = NULL;
    CM_TRY(cm_kernel_inputs_get(scorer->features->kernels, scorer->dataset, features, error));
    CM_TRY(cm_kernel_scorer_create(&own, scorer->model->kernel, features, scorer->team, error));
    scorer->state = own;
    return CM_OK;
}

static cm_status score(cm_scorer *scorer, const int64_t *index, int64_t n, double *out, double *spread,
                       cm_error *error) {
    int32_t *number = cm_new(2 * (size_t)n, sizeof *number);
    if (!number) return cm_fail_memory(error, 2 * (size_t)n * sizeof *number);
    for (int64_t i = 0; i < n; i++)
        for (int side = 0; side < 2; side++)
            number[side * n + i] = scorer->dataset->pairs[index[i]].entity[side];
    cm_pair_list pairs = {number, number + n, n};
    cm_status status = cm_kernel_scorer_run(scorer->state, &pairs, out, error);
    cm_free(number);
    for (int64_t i = 0; i < n && spread; i++) spread[i] = NAN;
    return status;
}

static void close_scorer(cm_scorer *scorer) {
    cm_kernel_scorer_destroy(scorer->state);
}

const cm_model_kind cm_kind_kernel = {
    .name = "kernel",
    .help = "kernel ridge regression; the file keeps the training molecules",
    .size = size,
    .describe = describe,
    .build = build,
    .list = list,
    .finish = finish,
    .clear = clear,
    .open = open_scorer,
    .score = score,
    .close = close_scorer,
};
