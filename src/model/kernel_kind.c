/* The kind "kernel": a kernel model (kernel/kernel_model.h). Its tensors, for each side (a here) and each
 * table kernel NAME in use, m being the side's training molecules:
 *
 *   kernel.a.code.NAME U8: their sparse counts, where one molecule's end and the next one's begin in
 *   kernel.a.start.NAME [m + 1] I64 (kernel/count_code.h)
 *   kernel.a.mean.NAME [m] F64: the mean kernel of each to all
 *   kernel.a.place [pairs] I32: the molecules of the training pairs
 *   kernel.weight [pairs] F64
 *
 * Counts of short words and of surroundings of atoms tell much about a training molecule; the card says so.
 */
#include "base/alloc.h"
#include "io/json.h"
#include "model/kernel_inputs.h"
#include "model/model_kind.h"
#include <math.h>
#include <string.h>

static const char *const side_name[2] = {"a", "b"};

static void clear(cm_model *model) {
    cm_kernel_model_destroy(model->kernel);
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
    json_t *about =
        json_pack("{s:f, s:f, s:I, s:o, s:o, s:s}", "ridge", k->ridge, "offset", k->offset, "pairs",
                  (json_int_t)k->n_train, "a", side_json(model, 0), "b", side_json(model, 1),
                  "training_molecules", "can be told from their feature vectors in this file");
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

static cm_status make_side(cm_model *model, int side, const cm_model_source *from, cm_error *error) {
    cm_kernel_side *to = &model->kernel->side[side];
    cm_kernel_mix mix = model->kernel->shape[side].mix;
    cm_molecule_type type = side ? model->task->b : model->task->a;
    const char *name = side_name[side];
    int64_t bytes[CM_KERNELS_MAX] = {0}, starts = 1;
    const cm_molecule_kernel *kernels[CM_KERNELS_MAX];
    int n_kernels = cm_kernels_of(type, kernels);
    for (int k = 0; k < n_kernels; k++) {
        if (!cm_kernel_in_mix(kernels[k], mix)) continue;
        CM_TRY(cm_model_tensor_length(from, cm_format("kernel.%s.code.%s", name, kernels[k]->name).text, 0,
                                      INT32_MAX, &bytes[k], error));
        CM_TRY(cm_model_tensor_length(from, cm_format("kernel.%s.start.%s", name, kernels[k]->name).text, 2,
                                      INT32_MAX, &starts, error));
    }
    CM_TRY(cm_kernel_features_room(&to->features, type, mix, starts - 1, bytes, error));
    for (int k = 0; k < n_kernels; k++) {
        if (!cm_kernel_in_mix(kernels[k], mix)) continue;
        to->row_mean[k] = cm_new((size_t)(starts - 1), sizeof *to->row_mean[k]);
        if (!to->row_mean[k]) return cm_fail_memory(error, (size_t)starts * sizeof(double));
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
    CM_TRY(cm_model_tensor_length(from, "kernel.weight", 1, INT32_MAX, &k->n_train, error));
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
    const cm_kernel_side *own = &model->kernel->side[side];
    const cm_kernel_features *f = own->features;
    for (int k = 0; k < f->n_kernels; k++) {
        const cm_kernel_rows *rows = &f->rows[k];
        const struct {
            const char *name;
            cm_tensor tensor;
        } parts[] = {{"start", cm_tensor_of(CM_DTYPE_I64, rows->code_start, f->n + 1)},
                     {"code", cm_tensor_of(CM_DTYPE_U8, rows->code, rows->bytes)},
                     {"mean", cm_tensor_of(CM_DTYPE_F64, own->row_mean[k], f->n)}};
        if (!cm_kernel_in_mix(f->kernel[k], model->kernel->shape[side].mix)) continue;
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
            CM_TRY(cm_tensor_list_add(
                list, prefix,
                cm_format("kernel.%s.%s.%s", side_name[side], parts[i].name, f->kernel[k]->name).text,
                parts[i].tensor, error));
    }
    return cm_tensor_list_add(list, prefix, cm_format("kernel.%s.place", side_name[side]).text,
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

static cm_status finish_side(cm_model *model, int side, const char *path, cm_error *error) {
    const cm_kernel_model *k = model->kernel;
    cm_kernel_mix mix = k->shape[side].mix;
    int64_t n = k->side[side].features->n;
    for (int64_t i = 0; i < k->n_train; i++)
        if (k->place[side][i] < 0 || k->place[side][i] >= n)
            return cm_fail(error, CM_DATA, path, cm_format("training pair %lld", (long long)i + 1).text,
                           cm_format("a molecule from 0 to %lld", (long long)n - 1).text, "%d",
                           k->place[side][i]);
    cm_error inner = {0};
    cm_status status = cm_kernel_features_decode(k->side[side].features, mix, &inner);
    if (status != CM_OK)
        return cm_fail(error, status, path, cm_format("side %s, %s", side_name[side], inner.place).text,
                       inner.expected, "%s", inner.found);
    cm_kernel_side_restore(&model->kernel->side[side], mix);
    return CM_OK;
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
    cm_pair_list pairs = {.a = number, .b = number + n, .n = n};
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
    .help = "kernel ridge regression; the file keeps feature vectors of the training molecules",
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
