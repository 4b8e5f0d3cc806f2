/* Running one unit of an evaluation. */
#include "eval/unit.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "base/sha256.h"
#include "eval/predictor.h"
#include "io/sealed.h"
#include "nn/option_text.h"
#include <math.h>
#include <string.h>
#include <unistd.h>

/* ---- finished units on disk ---- */

/* Where a unit's file lies; key names everything its result depends on. Two evaluations at once may write the
 * same unit: both write the same bytes. */
static cm_status unit_path(const cm_eval_plan *plan, const cm_eval_unit *unit, cm_buf *path, char key[65],
                           cm_error *error) {
    cm_buf text = CM_BUF_EMPTY;
    cm_buf_printf(&text, "%s %s %s %d\n", CM_LIBRARY_VERSION, plan->dataset->hash, unit->model, unit->repeat);
    cm_options_append(&plan->request->options, &text);
    if (plan->request->track == CM_TRACK_PAPER) cm_buf_text(&text, "paper track\n");
    cm_buf_append(&text, unit->train, (size_t)plan->dataset->n_pairs * sizeof *unit->train);
    cm_buf_append(&text, plan->label, (size_t)plan->dataset->n_pairs * sizeof *plan->label);
    bool done = !text.failed && cm_sha256_of(text.data, text.len, key) &&
                cm_buf_printf(path, "%s/%s-%d-%d-%.16s.safetensors", plan->request->checkpoint_folder,
                              unit->model, unit->repeat + 1, unit->fold + 1, key);
    cm_buf_clear(&text);
    return done ? CM_OK : cm_fail_memory(error, 0);
}

static cm_tensor numbers(const char *name, double *data, int64_t n) {
    return (cm_tensor){.name = name,
                       .dtype = CM_DTYPE_F64,
                       .n_dims = 1,
                       .dims = {n},
                       .data = data,
                       .bytes = (size_t)n * sizeof *data};
}

void cm_eval_add_trouble(cm_fit_trouble *sum, const cm_fit_trouble *more) {
    sum->skipped += more->skipped;
    sum->roll_backs += more->roll_backs;
}

static cm_seal seal_of(const char *key) {
    return (cm_seal){"crossmamba unit", 2, key, "a unit of this evaluation", "a unit of another evaluation"};
}

static cm_status write_unit(const char *path, const char *key, cm_eval_unit *unit, cm_error *error) {
    const cm_seal seal = seal_of(key);
    double bounds[3] = {unit->conformal.half_width, unit->conformal.bound[0], unit->conformal.bound[1]};
    double trouble[2] = {(double)unit->trouble.skipped, (double)unit->trouble.roll_backs};
    const cm_tensor tensors[] = {
        numbers("conformal", bounds, 3),
        numbers("curve", (double *)unit->curve.epochs, unit->curve.n * CM_EPOCH_NUMBERS),
        numbers("score", unit->score, unit->n_test),
        numbers("threshold", &unit->threshold, 1),
        numbers("trouble", trouble, 2),
        numbers("value", unit->value, unit->n_test)};
    return cm_sealed_write(path, &seal, tensors, sizeof tensors / sizeof *tensors, error);
}

static bool copy_tensor(const cm_safetensors *file, const char *name, double *to, int64_t n) {
    const cm_tensor *tensor = cm_safetensors_find(file, name);
    if (!tensor || tensor->dtype != CM_DTYPE_F64 || tensor->bytes != (size_t)n * sizeof *to) return false;
    if (n > 0) memcpy(to, tensor->data, tensor->bytes);
    return true;
}

static bool copy_curve(const cm_safetensors *file, cm_fit_curve *curve) {
    const cm_tensor *tensor = cm_safetensors_find(file, "curve");
    if (!tensor || tensor->bytes % sizeof(cm_epoch) != 0) return false;
    curve->n = (int64_t)(tensor->bytes / sizeof(cm_epoch));
    curve->epochs = cm_new((size_t)curve->n, sizeof *curve->epochs);
    return curve->epochs && copy_tensor(file, "curve", (double *)curve->epochs, curve->n * CM_EPOCH_NUMBERS);
}

/* A unit file that is not whole is computed again. */
static void read_unit(const char *path, const char *key, cm_eval_unit *unit) {
    const cm_seal seal = seal_of(key);
    bool foreign;
    cm_safetensors *file = NULL;
    double bounds[3] = {NAN, NAN, NAN}, trouble[2] = {0};
    if (cm_sealed_open(&file, path, &seal, &foreign, NULL) != CM_OK) return;
    unit->done = copy_tensor(file, "score", unit->score, unit->n_test) &&
                 copy_tensor(file, "value", unit->value, unit->n_test) &&
                 copy_tensor(file, "threshold", &unit->threshold, 1) &&
                 copy_tensor(file, "conformal", bounds, 3) && copy_tensor(file, "trouble", trouble, 2) &&
                 copy_curve(file, &unit->curve);
    unit->conformal = (cm_conformal){bounds[0], {bounds[1], bounds[2]}};
    unit->trouble = (cm_fit_trouble){(int64_t)trouble[0], (int64_t)trouble[1]};
    if (!unit->done) {
        cm_free(unit->curve.epochs);
        unit->curve = (cm_fit_curve){0};
    }
    cm_safetensors_close(file);
}

/* ---- running ---- */

static cm_status run_predictor(const cm_eval_plan *plan, cm_eval_unit *unit, const cm_predictor *predictor,
                               const struct cm_stage_input *stage, const cm_runtime *runtime,
                               cm_error *error) {
    cm_options options = plan->request->options;
    options.seed += unit->repeat;
    cm_runtime quiet = {.stop = runtime ? runtime->stop : NULL, .context = runtime ? runtime->context : NULL};
    int64_t *train = cm_new((size_t)plan->dataset->n_pairs, sizeof *train), n = 0;
    if (!train) return cm_fail_memory(error, (size_t)plan->dataset->n_pairs * sizeof *train);
    for (int64_t i = 0; i < plan->dataset->n_pairs; i++)
        if (unit->train[i]) train[n++] = i;
    cm_predictor_call call = {.name = unit->model,
                              .dataset = plan->dataset,
                              .features = plan->features,
                              .similarity = plan->similarity,
                              .stage = stage,
                              .options = &options,
                              .label = plan->label,
                              .train = train,
                              .test = unit->test,
                              .n_train = n,
                              .n_test = unit->n_test,
                              .track = plan->request->track,
                              .runtime = &quiet,
                              .score = unit->score,
                              .value = unit->value,
                              .threshold = &unit->threshold,
                              .conformal = &unit->conformal,
                              .curve = &unit->curve,
                              .trouble = &unit->trouble};
    cm_status status = predictor->run(&call, error);
    if (plan->request->track == CM_TRACK_PAPER) unit->threshold = 0.5;
    cm_free(train);
    return status;
}

cm_status cm_eval_unit_run(const cm_eval_plan *plan, cm_eval_unit *unit, const struct cm_stage_input *stage,
                           const cm_runtime *runtime, cm_error *error) {
    cm_buf path = CM_BUF_EMPTY;
    char key[65];
    const cm_predictor *predictor;
    cm_status status = cm_predictor_find(&predictor, unit->model, error);
    if (status != CM_OK) return status;
    bool keep = plan->request->checkpoint_folder && predictor->kept;
    if (keep) {
        status = unit_path(plan, unit, &path, key, error);
        if (status == CM_OK && access(path.data, F_OK) == 0) read_unit(path.data, key, unit);
    }
    if (status == CM_OK && !unit->done) {
        status = run_predictor(plan, unit, predictor, stage, runtime, error);
        if (status == CM_OK && keep) status = write_unit(path.data, key, unit, error);
        unit->done = status == CM_OK;
    }
    cm_buf_clear(&path);
    return status;
}
