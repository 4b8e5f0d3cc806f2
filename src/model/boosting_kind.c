/* The kind "boosting": boosted trees (trees/boosting.h) on columns of both molecules and of the pair
 * (model/molecule_table.h). Its tensors:
 *
 *   boosting.start [rounds + 1] I64, boosting.column, .left [nodes] I32, .cut F32, .value F64: the trees
 *   boosting.a.taken.NAME I32: features of table kernel NAME that are columns (kernels that are not taken
 *     whole)
 *   boosting.a.landmark.start [landmarks + 1] I64, .column I32, .count F32: the landmarks' counts
 *
 * and those of side b. Trees on lengths or composition alone have no landmarks and no features. Counts of
 * short words and of surroundings of atoms tell much about a landmark, a training molecule; the card says so.
 */
#include "base/alloc.h"
#include "io/json.h"
#include "model/boosted.h"
#include "model/model_kind.h"
#include <math.h>
#include <string.h>

static const char *const side_name[2] = {"a", "b"};
static const char *const set_name[CM_COLUMN_SETS] = {"length", "composition", "all"};

static void clear(cm_model *model) {
    if (!model->boosted) return;
    cm_column_plan_clear(&model->boosted->plan);
    cm_boosting_destroy(model->boosted->trees);
    cm_free(model->boosted);
}

static int64_t node_count(const cm_model *model) {
    return model->boosted->trees->nodes;
}

/* ---- the card ---- */

static json_t *side_json(const cm_model *model, int side) {
    const cm_column_side *own = &model->boosted->plan.side[side];
    json_t *names = json_array();
    for (int k = 0; names && k < own->n_kernels; k++)
        json_array_append_new(names, json_string(own->kernel[k]->name));
    return json_pack("{s:i, s:o}", "landmarks", own->n_landmarks, "kernels", names);
}

static cm_status describe(const cm_model *model, json_t *card, cm_error *error) {
    const cm_boosted *own = model->boosted;
    json_t *about = json_pack("{s:i, s:s, s:f, s:o, s:o, s:s}", "rounds", own->trees->rounds, "columns",
                              set_name[own->set], "base", own->trees->base, "a", side_json(model, 0), "b",
                              side_json(model, 1), "landmarks",
                              "training molecules that can be told from their counts in this file");
    return json_object_set_new(card, "boosting", about) == 0 ? CM_OK : cm_fail_memory(error, 0);
}

static cm_status read_set(const json_t *about, cm_column_set *set, const char *path, cm_error *error) {
    json_t *name;
    CM_TRY(cm_json_member(about, "columns", JSON_STRING, &name, path, error));
    for (int s = 0; s < CM_COLUMN_SETS; s++)
        if (strcmp(json_string_value(name), set_name[s]) == 0) {
            *set = (cm_column_set)s;
            return CM_OK;
        }
    return cm_fail(error, CM_DATA, path, "card, key columns of boosting", "length, composition or all", "%s",
                   json_string_value(name));
}

static cm_status read_base(const json_t *about, double *base, const char *path, cm_error *error) {
    json_t *value;
    CM_TRY(cm_json_member(about, "base", JSON_REAL, &value, path, error));
    *base = json_number_value(value);
    if (isfinite(*base)) return CM_OK;
    return cm_fail(error, CM_DATA, path, "card, key base of boosting", "a finite number", "%g", *base);
}

/* Whether the file was made with the table kernels of this program: they say which column is which. */
static cm_status check_kernels(const json_t *about, int side, const cm_column_side *own, const char *path,
                               cm_error *error) {
    const json_t *names = json_object_get(json_object_get(about, side_name[side]), "kernels");
    bool same = json_array_size(names) == (size_t)own->n_kernels;
    for (int k = 0; same && k < own->n_kernels; k++) {
        const char *name = json_string_value(json_array_get(names, (size_t)k));
        same = name && strcmp(name, own->kernel[k]->name) == 0;
    }
    return same ? CM_OK
                : cm_fail(error, CM_MODEL, path, "card, key kernels of boosting",
                          "the molecule kernels of this program", "others: the file is from another version");
}

/* ---- making room ---- */

static cm_status make_side(cm_model *model, int side, const cm_model_source *from, cm_error *error) {
    cm_column_side *to = &model->boosted->plan.side[side];
    const char *name = side_name[side];
    int64_t starts = 1, entries = 0, taken[CM_KERNELS_MAX] = {0};
    if (model->boosted->set == CM_COLUMNS_ALL) {
        CM_TRY(cm_model_tensor_length(from, cm_format("boosting.%s.landmark.start", name).text, 1,
                                      CM_LANDMARKS + 1, &starts, error));
        CM_TRY(cm_model_tensor_length(from, cm_format("boosting.%s.landmark.count", name).text, 0, INT32_MAX,
                                      &entries, error));
        for (int k = 0; k < to->n_kernels; k++)
            if (cm_column_common(&model->boosted->plan, to->kernel[k]))
                CM_TRY(cm_model_tensor_length(
                    from, cm_format("boosting.%s.taken.%s", name, to->kernel[k]->name).text, 0,
                    to->kernel[k]->width, &taken[k], error));
    }
    return cm_column_side_room(to, (int)starts - 1, entries, taken, error);
}

static cm_status build(cm_model *model, const cm_model_source *from, cm_error *error) {
    json_t *about;
    int64_t starts, nodes;
    double base;
    CM_TRY(cm_json_member(from->card, "boosting", JSON_OBJECT, &about, from->path, error));
    cm_boosted *own = model->boosted = cm_new(1, sizeof *own);
    if (!own) return cm_fail_memory(error, sizeof *own);
    cm_column_plan_begin(&own->plan, model->task, model->standard[CM_SIDE_PAIR].width, true);
    CM_TRY(read_set(about, &own->set, from->path, error));
    CM_TRY(read_base(about, &base, from->path, error));
    for (int side = 0; side < 2; side++) {
        CM_TRY(check_kernels(about, side, &own->plan.side[side], from->path, error));
        CM_TRY(make_side(model, side, from, error));
    }
    CM_TRY(cm_model_tensor_length(from, "boosting.start", 2, INT32_MAX, &starts, error));
    CM_TRY(cm_model_tensor_length(from, "boosting.column", 0, INT32_MAX, &nodes, error));
    CM_TRY(cm_boosting_room(&own->trees, cm_molecule_table_width(&own->plan, own->set), (int)starts - 1,
                            nodes, error));
    own->trees->base = base;
    return CM_OK;
}

/* ---- tensors ---- */

typedef struct named_tensor {
    const char *name;
    cm_tensor tensor;
} named_tensor;

static cm_status add_all(cm_tensor_list *list, const char *prefix, const char *before,
                         const named_tensor *tensors, size_t n, cm_error *error) {
    for (size_t i = 0; i < n; i++)
        CM_TRY(cm_tensor_list_add(list, prefix, cm_format("%s%s", before, tensors[i].name).text,
                                  tensors[i].tensor, error));
    return CM_OK;
}

static cm_status list_side(const cm_model *model, int side, const char *prefix, cm_tensor_list *list,
                           cm_error *error) {
    const cm_column_plan *plan = &model->boosted->plan;
    const cm_column_side *own = &plan->side[side];
    const named_tensor landmarks[] = {{"start", cm_tensor_of(CM_DTYPE_I64, own->start, own->n_landmarks + 1)},
                                      {"column", cm_tensor_of(CM_DTYPE_I32, own->column, own->entries)},
                                      {"count", cm_tensor_of(CM_DTYPE_F32, own->count, own->entries)}};
    CM_TRY(add_all(list, prefix, cm_format("boosting.%s.landmark.", side_name[side]).text, landmarks,
                   sizeof landmarks / sizeof *landmarks, error));
    for (int k = 0; k < own->n_kernels; k++)
        if (cm_column_common(plan, own->kernel[k]))
            CM_TRY(cm_tensor_list_add(
                list, prefix, cm_format("boosting.%s.taken.%s", side_name[side], own->kernel[k]->name).text,
                cm_tensor_of(CM_DTYPE_I32, own->taken[k], own->n_taken[k]), error));
    return CM_OK;
}

static cm_status list(const cm_model *model, const char *prefix, cm_tensor_list *tensors, cm_error *error) {
    const cm_boosting *t = model->boosted->trees;
    const named_tensor trees[] = {{"start", cm_tensor_of(CM_DTYPE_I64, t->start, t->rounds + 1)},
                                  {"column", cm_tensor_of(CM_DTYPE_I32, t->column, t->nodes)},
                                  {"left", cm_tensor_of(CM_DTYPE_I32, t->left, t->nodes)},
                                  {"cut", cm_tensor_of(CM_DTYPE_F32, t->cut, t->nodes)},
                                  {"value", cm_tensor_of(CM_DTYPE_F64, t->value, t->nodes)}};
    CM_TRY(add_all(tensors, prefix, "boosting.", trees, sizeof trees / sizeof *trees, error));
    for (int side = 0; side < 2 && model->boosted->set == CM_COLUMNS_ALL; side++)
        CM_TRY(list_side(model, side, prefix, tensors, error));
    return CM_OK;
}

static cm_status finish(cm_model *model, const cm_model_source *from, cm_error *error) {
    cm_error inner = {0};
    cm_boosted *own = model->boosted;
    for (int side = 0; side < 2; side++) {
        cm_status status = cm_column_side_link(&own->plan.side[side], &inner);
        if (status != CM_OK)
            return cm_fail(error, status, from->path,
                           cm_format("side %s, %s", side_name[side], inner.place).text, inner.expected, "%s",
                           inner.found);
    }
    cm_status status = cm_boosting_check(own->trees, &inner);
    return status == CM_OK
               ? CM_OK
               : cm_fail(error, status, from->path, inner.place, inner.expected, "%s", inner.found);
}

/* ---- scores ---- */

static cm_status open_scorer(cm_scorer *scorer, cm_error *error) {
    cm_molecule_table *table = scorer->state = cm_new(1, sizeof *table);
    if (!table) return cm_fail_memory(error, sizeof *table);
    return cm_molecule_table_make(table, &scorer->model->boosted->plan, scorer->dataset, scorer->features,
                                  error);
}

static cm_status score(cm_scorer *scorer, const int64_t *index, int64_t n, double *out, double *spread,
                       cm_error *error) {
    (void)error;
    const cm_boosted *own = scorer->model->boosted;
    cm_forest_table table = cm_molecule_table_columns(scorer->state, own->set);
    cm_boosting_scores(own->trees, &table, index, n, &own->trees->rounds, 1, out, scorer->team);
    for (int64_t i = 0; i < n && spread; i++) spread[i] = NAN;
    return CM_OK;
}

static void close_scorer(cm_scorer *scorer) {
    if (scorer->state) cm_molecule_table_clear(scorer->state);
    cm_free(scorer->state);
}

const cm_model_kind cm_kind_boosting = {
    .name = "boosting",
    .help = "gradient-boosted trees; the file keeps counts of some training molecules",
    .size = node_count,
    .describe = describe,
    .build = build,
    .list = list,
    .finish = finish,
    .clear = clear,
    .open = open_scorer,
    .score = score,
    .close = close_scorer,
};
