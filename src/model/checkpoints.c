/* Checkpoints by themselves: what one is, whether it is whole, importing. */
#include "model/checkpoints.h"
#include "base/alloc.h"
#include "base/log.h"
#include "encoders/encoder.h"
#include "io/json.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

struct cm_checkpoint {
    cm_weights *weights;
    char *name;
    const cm_family *family; /* NULL: none that this build knows */
    json_t *config;          /* NULL: none */
    long layers, width;
};

int cm_family_describe(int i, cm_family_line *line) {
    const cm_encoder_part *part;
    for (int row = 0; (part = cm_encoder_part_at(row)) != NULL; row++) {
        if (!part->family || i-- > 0) continue;
        *line =
            (cm_family_line){part->name, part->family->title, part->family->licence, part->family->pooling};
        return 1;
    }
    return 0;
}

static bool listed(const char *const *names, const char *name) {
    for (; names && *names; names++)
        if (strcmp(*names, name) == 0) return true;
    return false;
}

/* The family that a config.json belongs to. */
static const cm_family *family_of(const json_t *config) {
    const char *type = json_string_value(json_object_get(config, "model_type"));
    const cm_encoder_part *part;
    for (int i = 0; type && (part = cm_encoder_part_at(i)) != NULL; i++)
        if (part->family && listed(part->family->model_types, type)) return part->family;
    return NULL;
}

/* The first of several names under which configurations keep a size; 0 when there is none. */
static long size_of(const json_t *config, const char *const *names) {
    for (; *names; names++) {
        const json_t *value = json_object_get(config, *names);
        if (json_is_integer(value) && json_integer_value(value) > 0) return (long)json_integer_value(value);
    }
    return 0;
}

static cm_status read_config(cm_checkpoint *c, cm_error *error) {
    static const char *const layers[] = {"num_hidden_layers", "num_layers", "num_layer", NULL};
    static const char *const widths[] = {"hidden_size", "emb_dim", NULL};
    char *text = NULL;
    size_t length = 0;
    CM_TRY(cm_weights_text(c->weights, "config.json", &text, &length, error));
    if (!text) return CM_OK;
    cm_status status =
        cm_json_parse(&c->config, text, length, cm_weights_folder(c->weights), "config.json", error);
    cm_free(text);
    if (status != CM_OK) return status;
    c->family = family_of(c->config);
    c->layers = size_of(c->config, layers);
    c->width = size_of(c->config, widths);
    return CM_OK;
}

/* reference may be FAMILY:REFERENCE for checkpoints whose config.json names no family. */
cm_status cm_checkpoint_open(cm_checkpoint **checkpoint, const char *reference, cm_error *error) {
    size_t length = strcspn(reference, ":");
    const cm_encoder_part *part = cm_encoder_part_find(reference, length);
    bool named = part && part->family && reference[length] == ':';
    if (named) reference += length + 1;
    cm_checkpoint *c = cm_new(1, sizeof *c);
    if (!c) return cm_fail_memory(error, sizeof *c);
    c->name = cm_copy_text(reference, strlen(reference));
    cm_status status = c->name ? cm_weights_open(&c->weights, reference, error) : cm_fail_memory(error, 0);
    if (status == CM_OK) status = read_config(c, error);
    if (status != CM_OK) {
        cm_checkpoint_close(c);
        return status;
    }
    if (named) c->family = part->family;
    *checkpoint = c;
    return CM_OK;
}

void cm_checkpoint_close(cm_checkpoint *checkpoint) {
    if (!checkpoint) return;
    cm_weights_close(checkpoint->weights);
    json_decref(checkpoint->config);
    cm_free(checkpoint->name);
    cm_free(checkpoint);
}

void cm_checkpoint_summary(const cm_checkpoint *checkpoint, cm_checkpoint_line *line) {
    *line = (cm_checkpoint_line){.name = checkpoint->name,
                                 .family = checkpoint->family ? checkpoint->family->name : "",
                                 .path = cm_weights_folder(checkpoint->weights),
                                 .layers = checkpoint->layers,
                                 .width = checkpoint->width,
                                 .bytes = cm_weights_bytes(checkpoint->weights),
                                 .problem = ""};
}

/* A checkpoint whose config.json names no model is that of the one family that its tensors satisfy; where
 * none or several do (files of fair-esm look alike) the family stays unknown. */
static cm_status guess_family(cm_checkpoint *c, cm_error *error) {
    const cm_encoder_part *part;
    const cm_family *found = NULL;
    int n = 0;
    if (c->family || json_object_get(c->config, "model_type")) return CM_OK;
    for (int i = 0; (part = cm_encoder_part_at(i)) != NULL; i++) {
        void *state = NULL;
        if (!part->family) continue;
        cm_status status =
            part->family->engine->open(&state, part->family, c->weights, c->config, CM_F32, NULL);
        if (status == CM_MEMORY) return cm_fail_memory(error, 0);
        if (status != CM_OK) continue;
        part->family->engine->close(state);
        found = part->family;
        n++;
    }
    if (n == 1) c->family = found;
    return CM_OK;
}

/* Opens the checkpoint as its family does, and takes the sizes from its tensors. */
static cm_status open_engine(cm_checkpoint *c, void **state, cm_error *error) {
    const cm_engine *engine = c->family->engine;
    CM_TRY(engine->open(state, c->family, c->weights, c->config, CM_F32, error));
    c->layers = engine->layers(*state);
    c->width = (long)engine->width(*state);
    return CM_OK;
}

/* What config.json does not say. A checkpoint that its family cannot open is described without it. */
static cm_status find_sizes(cm_checkpoint *c, cm_error *error) {
    void *state = NULL;
    CM_TRY(guess_family(c, error));
    if (!c->family || (c->layers > 0 && c->width > 0)) return CM_OK;
    cm_status status = open_engine(c, &state, NULL);
    if (status == CM_OK) c->family->engine->close(state);
    return status == CM_MEMORY ? cm_fail_memory(error, 0) : CM_OK;
}

cm_status cm_checkpoint_describe(cm_checkpoint *checkpoint, cm_checkpoint_info *info, cm_error *error) {
    CM_TRY(find_sizes(checkpoint, error));
    const cm_family *family = checkpoint->family;
    *info = (cm_checkpoint_info){.title = family ? family->title : "",
                                 .licence = family ? family->licence : "unknown",
                                 .pooling = family ? family->pooling : "",
                                 .tensors = cm_weights_count(checkpoint->weights)};
    cm_checkpoint_summary(checkpoint, &info->line);
    return cm_weights_sha256(checkpoint->weights, &info->sha256, error);
}

/* ---- verifying ---- */

static bool is_real(const cm_tensor *tensor) {
    return tensor->dtype == CM_DTYPE_F32 || tensor->dtype == CM_DTYPE_F16 || tensor->dtype == CM_DTYPE_BF16 ||
           tensor->dtype == CM_DTYPE_F64;
}

/* Reads every value of a tensor, some rows at a time; those that are not finite are refused there. */
static cm_status check_tensor(const cm_weights *weights, const cm_tensor *tensor, size_t *values,
                              cm_error *error) {
    if (!is_real(tensor) || tensor->bytes == 0) return CM_OK;
    size_t count = tensor->bytes / cm_dtype_bytes(tensor->dtype);
    int64_t rows = tensor->n_dims > 0 ? tensor->dims[0] : 1, columns = (int64_t)count / rows;
    int64_t step = columns < 1 << 20 ? (1 << 20) / columns : 1;
    float *block = cm_new((size_t)(step < rows ? step : rows) * (size_t)columns, sizeof *block);
    if (!block) return cm_fail_memory(error, (size_t)(step * columns) * sizeof *block);
    cm_status status = CM_OK;
    for (int64_t first = 0; first < rows && status == CM_OK; first += step)
        status =
            cm_weights_f32(weights, tensor, first, rows - first < step ? rows - first : step, block, error);
    cm_free(block);
    *values += count;
    return status;
}

/* Whether the checkpoint is the published one: by its weights, or where their hash is not known by its name,
 * which ends the reference or stands in the folder's path. */
static bool is_published(const cm_checkpoint *c, const cm_golden *golden) {
    const char *hex = NULL;
    if (golden->sha256)
        return cm_weights_sha256(c->weights, &hex, NULL) == CM_OK && strcmp(hex, golden->sha256) == 0;
    const char *slash = strrchr(golden->checkpoint, '/');
    const char *name = slash ? slash + 1 : golden->checkpoint;
    return strstr(cm_weights_folder(c->weights), name) != NULL || strstr(c->name, name) != NULL;
}

static cm_status run_golden(const cm_engine *engine, void *state, const cm_golden *golden, cm_team *team,
                            double *worst, cm_error *error) {
    int64_t width = engine->width(state), length = golden->text ? (int64_t)strlen(golden->text) : 0;
    int64_t rows = golden->text ? engine->tokens(state, golden->text, length, NULL) : golden->n_ids;
    if (rows < golden->rows || width < golden->cols || (!golden->text && !engine->run_ids))
        return cm_fail(error, CM_MODEL, NULL, golden->checkpoint,
                       cm_format("an output of at least [%d, %d]", golden->rows, golden->cols).text,
                       "[%lld, %lld]", (long long)rows, (long long)width);
    float *out = cm_new((size_t)(rows * width), sizeof *out);
    if (!out) return cm_fail_memory(error, (size_t)(rows * width) * sizeof *out);
    int layer = engine->layers(state);
    cm_status status = golden->text
                           ? engine->run(state, team, layer, 1, &golden->text, &length, &out, error)
                           : engine->run_ids(state, team, layer, golden->ids, golden->n_ids, out, error);
    for (int r = 0; r < golden->rows && status == CM_OK; r++)
        for (int c = 0; c < golden->cols; c++) {
            double difference =
                fabs((double)out[r * width + c] - (double)golden->values[r * golden->cols + c]);
            if (!(difference <= *worst)) *worst = difference;
        }
    cm_free(out);
    return status;
}

static cm_status check_golden(const cm_checkpoint *c, void *state, cm_team *team,
                              cm_checkpoint_report *report, cm_error *error) {
    for (const cm_golden *golden = c->family->golden; golden && golden->checkpoint; golden++) {
        if (!is_published(c, golden)) continue;
        double worst = 0;
        CM_TRY(run_golden(c->family->engine, state, golden, team, &worst, error));
        report->golden++;
        if (!(worst <= report->golden_error)) report->golden_error = worst;
        report->golden_bound = golden->tolerance;
        if (!(worst <= golden->tolerance))
            return cm_fail(error, CM_NUMERIC, c->name, "published output",
                           cm_format("within %g", golden->tolerance).text, "a difference of %g", worst);
    }
    return CM_OK;
}

static cm_status check_family(cm_checkpoint *c, cm_checkpoint_report *report, const cm_runtime *runtime,
                              cm_error *error) {
    CM_TRY(guess_family(c, error));
    if (!c->family)
        return cm_fail(error, CM_MODEL, c->name, "config.json",
                       "a family of crossmamba models list (or give FAMILY:REFERENCE)",
                       "none that this build knows");
    cm_team *team = cm_team_create(runtime && runtime->threads > 1 ? runtime->threads : 1);
    if (!team) return cm_fail_memory(error, 0);
    void *state = NULL;
    cm_status status = open_engine(c, &state, error);
    if (status == CM_OK) {
        status = check_golden(c, state, team, report, error);
        c->family->engine->close(state);
    }
    cm_team_destroy(team);
    return status;
}

cm_status cm_checkpoint_verify(cm_checkpoint *checkpoint, cm_checkpoint_report *report,
                               const cm_runtime *runtime, cm_error *error) {
    *report = (cm_checkpoint_report){0};
    size_t count = cm_weights_count(checkpoint->weights);
    for (size_t i = 0; i < count; i++) {
        CM_TRY(check_tensor(checkpoint->weights, cm_weights_get(checkpoint->weights, i), &report->values,
                            error));
        report->tensors++;
        cm_report(runtime, "verify", (double)(i + 1), (double)count, "tensors", "");
        if (cm_stopped(runtime))
            return cm_fail(error, CM_INTERRUPTED, NULL, NULL, NULL, "stopped while verifying");
    }
    return check_family(checkpoint, report, runtime, error);
}

cm_status cm_checkpoint_import(const char *path, const char *name, int force, char *folder,
                               size_t folder_size, cm_error *error) {
    char target[4096], home[4000];
    if (name) {
        CM_TRY(cm_weights_home(home, sizeof home, error));
        if (snprintf(target, sizeof target, "%s/%s", home, name) >= (int)sizeof target)
            return cm_fail(error, CM_USAGE, NULL, "name", "a shorter name", "a path too long");
    }
    cm_weights_imported *done = cm_new(1, sizeof *done);
    if (!done) return cm_fail_memory(error, sizeof *done);
    cm_status status = cm_weights_import(path, name ? target : NULL, force != 0, done, error);
    if (status == CM_OK) snprintf(folder, folder_size, "%s", done->folder);
    cm_free(done);
    return status;
}
