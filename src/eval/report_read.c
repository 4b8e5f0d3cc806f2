/* Reading what a report is made of. */
#include "base/file.h"
#include "eval/record.h"
#include "eval/report_parts.h"
#include "io/json.h"
#include "metrics/metrics.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

const char *cm_report_text(const json_t *object, const char *key) {
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static double number_of(const json_t *value) {
    return json_is_number(value) ? json_number_value(value) : NAN;
}

double cm_report_number(const json_t *object, const char *key) {
    return number_of(json_object_get(object, key));
}

double cm_report_element(const json_t *array, size_t i) {
    return number_of(json_array_get(array, i));
}

void cm_report_name(char name[96], const char *path) {
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path;
    size_t length = strlen(base);
    if (length > 5 && strcmp(base + length - 5, ".json") == 0) length -= 5;
    snprintf(name, 96, "%.*s", length < 95 ? (int)length : 95, base);
}

cm_status cm_report_read_json(json_t **json, const char *path, cm_error *error) {
    cm_file_map map;
    CM_TRY(cm_file_map_open(&map, path, error));
    cm_status status =
        cm_json_parse(json, map.data ? (const char *)map.data : "", map.size, path, NULL, error);
    cm_file_map_close(&map);
    if (status == CM_OK && !json_is_object(*json)) {
        json_decref(*json);
        *json = NULL;
        status = cm_fail(error, CM_DATA, path, NULL, "a JSON object", "something else");
    }
    return status;
}

/* ---- records ---- */

typedef struct member {
    const char *key;
    json_type type;
} member;

static cm_status check_members(const json_t *object, const member *members, const char *path,
                               cm_error *error) {
    json_t *value;
    for (; members->key; members++)
        CM_TRY(cm_json_member(object, members->key, members->type, &value, path, error));
    return CM_OK;
}

static cm_status check_names(const json_t *array, const char *key, const char *path, cm_error *error) {
    for (size_t i = 0; i < json_array_size(array); i++)
        if (!json_is_string(json_array_get(array, i)))
            return cm_fail(error, CM_DATA, path, cm_format("key %s", key).text, "a list of names",
                           "something else");
    return CM_OK;
}

static cm_status check_results(const json_t *results, const char *path, cm_error *error) {
    static const member members[] = {{"model", JSON_STRING},   {"track", JSON_STRING}, {"fold", JSON_STRING},
                                     {"metrics", JSON_OBJECT}, {"pairs", JSON_REAL},   {0}};
    if (json_array_size(results) == 0)
        return cm_fail(error, CM_DATA, path, "key results", "at least one result", "none");
    for (size_t i = 0; i < json_array_size(results); i++)
        CM_TRY(check_members(json_array_get(results, i), members, path, error));
    return CM_OK;
}

static cm_status check_record(const json_t *json, const char *path, cm_error *error) {
    static const member members[] = {{"task", JSON_STRING},
                                     {"unit", JSON_STRING},
                                     {"affinity", JSON_TRUE},
                                     {"data", JSON_OBJECT},
                                     {"split", JSON_OBJECT},
                                     {"options", JSON_OBJECT},
                                     {"models", JSON_ARRAY},
                                     {"baselines", JSON_ARRAY},
                                     {"results", JSON_ARRAY},
                                     {"reference", JSON_STRING},
                                     {0}};
    if (strcmp(cm_report_text(json, "format"), "crossmamba evaluation") != 0)
        return cm_fail(error, CM_DATA, path, "key format", "a record of crossmamba eval --record", "none");
    double version = cm_report_number(json, "format_version");
    if (!(fabs(version - CM_RECORD_VERSION) < 0.5))
        return cm_fail(error, CM_DATA, path, "key format_version", cm_format("%d", CM_RECORD_VERSION).text,
                       "%g", version);
    CM_TRY(check_members(json, members, path, error));
    CM_TRY(check_names(json_object_get(json, "models"), "models", path, error));
    CM_TRY(check_names(json_object_get(json, "baselines"), "baselines", path, error));
    return check_results(json_object_get(json, "results"), path, error);
}

static void list_views(cm_report_record *r) {
    for (size_t i = 0; i < json_array_size(r->results) && r->n_views < CM_REPORT_VIEWS; i++) {
        const json_t *result = json_array_get(r->results, i);
        cm_report_view view = {cm_report_text(result, "track"), cm_report_text(result, "fold")};
        bool known = false;
        for (int v = 0; v < r->n_views; v++)
            known |= strcmp(r->views[v].track, view.track) == 0 && strcmp(r->views[v].fold, view.fold) == 0;
        if (!known) r->views[r->n_views++] = view;
    }
}

/* The reference, unless it is a baseline and there is a model. */
static void choose_headline(cm_report_record *r) {
    r->headline = cm_report_text(r->json, "reference");
    if (!cm_report_is_baseline(r, r->headline)) return;
    for (size_t i = 0; i < json_array_size(r->models); i++) {
        const char *model = cm_report_model(r, i);
        if (cm_report_is_baseline(r, model)) continue;
        r->headline = model;
        return;
    }
}

cm_status cm_report_read_record(cm_report_record *r, const char *path, cm_error *error) {
    *r = (cm_report_record){.path = path};
    cm_report_name(r->name, path);
    CM_TRY(cm_report_read_json(&r->json, path, error));
    CM_TRY(check_record(r->json, path, error));
    r->affinity = json_is_true(json_object_get(r->json, "affinity"));
    r->metric = cm_metrics_name(r->affinity, cm_metrics_main(r->affinity));
    r->unit = cm_report_text(r->json, "unit");
    r->results = json_object_get(r->json, "results");
    r->models = json_object_get(r->json, "models");
    r->baselines = json_object_get(r->json, "baselines");
    choose_headline(r);
    list_views(r);
    return CM_OK;
}

const char *cm_report_model(const cm_report_record *r, size_t i) {
    return json_string_value(json_array_get(r->models, i));
}

const json_t *cm_report_result(const cm_report_record *r, const char *model, const cm_report_view *view) {
    for (size_t i = 0; model && i < json_array_size(r->results); i++) {
        const json_t *result = json_array_get(r->results, i);
        if (strcmp(cm_report_text(result, "model"), model) == 0 &&
            strcmp(cm_report_text(result, "track"), view->track) == 0 &&
            strcmp(cm_report_text(result, "fold"), view->fold) == 0)
            return result;
    }
    return NULL;
}

double cm_report_metric(const json_t *result, const char *metric, const char *key) {
    return cm_report_number(json_object_get(json_object_get(result, "metrics"), metric), key);
}

bool cm_report_is_paper(const cm_report_view *view) {
    return strncmp(view->track, "paper", 5) == 0;
}

bool cm_report_is_baseline(const cm_report_record *r, const char *model) {
    for (size_t i = 0; i < json_array_size(r->baselines); i++)
        if (strcmp(json_string_value(json_array_get(r->baselines, i)), model) == 0) return true;
    return false;
}

const char *cm_report_best_baseline(const cm_report_record *r, const cm_report_view *view) {
    const char *best = NULL;
    double most = -INFINITY;
    for (size_t i = 0; i < json_array_size(r->baselines); i++) {
        const char *model = json_string_value(json_array_get(r->baselines, i));
        double value = cm_report_metric(cm_report_result(r, model, view), r->metric, "pooled");
        if (!(value > most)) continue;
        most = value;
        best = model;
    }
    return best;
}

int cm_report_style(const cm_report_record *r, const char *model) {
    for (size_t i = 0; i < json_array_size(r->models); i++)
        if (strcmp(cm_report_model(r, i), model) == 0) return (int)i;
    return 0;
}

/* The difference that the record has of model from reference. */
static bool recorded(const cm_report_record *r, const cm_report_view *view, const char *model,
                     const char *reference, cm_report_difference *difference) {
    const json_t *metrics = json_object_get(cm_report_result(r, model, view), "metrics");
    const json_t *found = json_object_get(json_object_get(metrics, r->metric), "difference");
    if (!found || strcmp(cm_report_text(found, "reference"), reference) != 0) return false;
    *difference = (cm_report_difference){cm_report_number(found, "value"), cm_report_number(found, "low95"),
                                         cm_report_number(found, "high95")};
    return true;
}

cm_report_difference cm_report_compare(const cm_report_record *r, const cm_report_view *view,
                                       const char *first, const char *second) {
    cm_report_difference d;
    if (recorded(r, view, first, second, &d)) return d;
    if (recorded(r, view, second, first, &d)) return (cm_report_difference){-d.value, -d.high, -d.low};
    double one = cm_report_metric(cm_report_result(r, first, view), r->metric, "pooled");
    double two = cm_report_metric(cm_report_result(r, second, view), r->metric, "pooled");
    return (cm_report_difference){one - two, NAN, NAN};
}

/* ---- audits ---- */

cm_status cm_report_check_audit(const json_t *audit, const char *path, cm_error *error) {
    static const member members[] = {{"task", JSON_STRING},
                                     {"affinity", JSON_TRUE},
                                     {"rows", JSON_REAL},
                                     {"pairs", JSON_REAL},
                                     {"side_a", JSON_OBJECT},
                                     {"side_b", JSON_OBJECT},
                                     {"predictability", JSON_OBJECT},
                                     {0}};
    return check_members(audit, members, path, error);
}
