/* Writing and reading the model card. */
#include "model/card.h"
#include "base/alloc.h"
#include "bio/chem.h"
#include "io/json.h"
#include "model/model_kind.h"
#include <math.h>
#include <string.h>

/* Parts of model->facts that go into the card as they are. */
static const char *const fact_keys[] = {"data", "training", "metrics", "evaluation", "licence", "notes"};

static json_t *options_json(const cm_options *options) {
    json_t *object = json_object();
    int count;
    const cm_option_row *rows = cm_option_rows(&count);
    char text[256];
    for (int i = 0; object && i < count; i++) {
        const char *value = cm_options_get(options, rows[i].name, text, sizeof text);
        if (json_object_set_new(object, rows[i].name, json_string(value)) != 0) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

static json_t *input_json(const cm_model *model, int side) {
    cm_molecule_type type = side == 0 ? model->task->a : model->task->b;
    json_t *input =
        json_pack("{s:s, s:s, s:I, s:I}", "molecule", cm_molecule_type_name(type), "encoder",
                  side == 0 ? model->options.encoder_a : model->options.encoder_b, "width",
                  (json_int_t)model->standard[side].width, "longest", (json_int_t)model->longest[side]);
    /* Built-in encoders have no weights: their identity is their name and the library's version. */
    if (input && type == CM_MOLECULE)
        json_object_set_new(input, "chemistry", json_sprintf("RDKit %s", cm_chem_version()));
    if (input && model->identity[side] && *model->identity[side]) {
        json_object_set_new(input, "identity", json_string(model->identity[side]));
        json_object_set_new(input, "precision", json_string(cm_precision_name(model->precision[side])));
    }
    if (input && model->domain[side].n > 0)
        json_object_set_new(input, "domain",
                            json_pack("{s:I, s:f}", "molecules", (json_int_t)model->domain[side].n,
                                      "threshold", model->domain[side].threshold));
    return input;
}

/* slope, offset, spread, method; isotonic: knots, [[score, probability], ...]. */
static json_t *calibration_json(const cm_calibration *c) {
    json_t *object = json_pack("{s:f, s:f, s:f, s:s}", "slope", c->slope, "offset", c->offset, "spread",
                               c->spread, "method", cm_calibration_name(c->method));
    json_t *knots = c->knots > 0 ? json_array() : NULL;
    for (int k = 0; knots && k < c->knots; k++)
        json_array_append_new(knots, json_pack("[f, f]", c->at[k], c->to[k]));
    if (knots) json_object_set_new(object, "knots", knots);
    return object;
}

/* What there is of the 90 % bounds; JSON has no NaN. */
static json_t *conformal_json(const cm_conformal *c) {
    json_t *object = json_pack("{s:f}", "coverage", 1 - CM_CONFORMAL_MISS);
    if (!isnan(c->half_width)) json_object_set_new(object, "half_width", json_real(c->half_width));
    if (!isnan(c->bound[0])) json_object_set_new(object, "bound_negative", json_real(c->bound[0]));
    if (!isnan(c->bound[1])) json_object_set_new(object, "bound_positive", json_real(c->bound[1]));
    return object;
}

static json_t *pair_json(const cm_model *model) {
    return json_pack("{s:s, s:I}", "encoder", model->options.pair_encoder, "width",
                     (json_int_t)model->standard[CM_SIDE_PAIR].width);
}

/* A network's card does not name its kind, as before there were others. */
static bool describe_kind(const cm_model *model, json_t *card) {
    if (model->kind == &cm_kind_network) return true;
    return json_object_set_new(card, "predictor", json_string(model->kind->name)) == 0 &&
           model->kind->describe(model, card, NULL) == CM_OK;
}

json_t *cm_card_part(const cm_model *model) {
    int64_t parameters = model->kind->size(model);
    json_t *card = json_pack(
        "{s:s, s:i, s:s, s:s, s:s, s:I, s:o, s:{s:o, s:o}, s:{s:f, s:f, s:f, s:f}, s:o, s:o, s:f}", "format",
        "crossmamba model", "format_version", CM_MODEL_FORMAT, "library_version", CM_LIBRARY_VERSION, "task",
        model->task->name, "unit", model->task->unit, "parameters", (json_int_t)parameters, "options",
        options_json(&model->options), "inputs", "a", input_json(model, 0), "b", input_json(model, 1),
        "label", "mean", model->label_mean, "sd", model->label_sd, "least", model->label_least, "most",
        model->label_most, "calibration", calibration_json(&model->calibration), "conformal",
        conformal_json(&model->conformal), "threshold", model->threshold);
    if (card && model->standard[CM_SIDE_PAIR].width > 0)
        json_object_set_new(json_object_get(card, "inputs"), "pair", pair_json(model));
    if (card && !describe_kind(model, card)) {
        json_decref(card);
        return NULL;
    }
    for (size_t i = 0; card && i < sizeof fact_keys / sizeof *fact_keys; i++) {
        json_t *fact = json_object_get(model->facts, fact_keys[i]);
        if (fact && json_object_set(card, fact_keys[i], fact) != 0) {
            json_decref(card);
            return NULL;
        }
    }
    return card;
}

json_t *cm_card_make(const cm_model *model) {
    cm_json_watch();
    json_t *card = cm_card_part(model);
    if (!cm_json_failed()) return card;
    json_decref(card);
    return NULL;
}

static cm_status text_member(const json_t *object, const char *key, const char **text, const char *file,
                             cm_error *error) {
    json_t *value;
    CM_TRY(cm_json_member(object, key, JSON_STRING, &value, file, error));
    *text = json_string_value(value);
    return CM_OK;
}

static cm_status real_member(const json_t *object, const char *key, double *number, const char *file,
                             cm_error *error) {
    const json_t *value = json_object_get(object, key);
    if (!json_is_number(value) || !isfinite(json_number_value(value)))
        return cm_fail(error, CM_DATA, file, cm_format("card, key %s", key).text, "a finite number",
                       value ? "something else" : "nothing");
    *number = json_number_value(value);
    return CM_OK;
}

static cm_status whole_member(const json_t *object, const char *key, int64_t least, int64_t most,
                              int64_t *number, const char *file, cm_error *error) {
    json_t *value;
    CM_TRY(cm_json_member(object, key, JSON_INTEGER, &value, file, error));
    if (json_integer_value(value) < least || json_integer_value(value) > most)
        return cm_fail(error, CM_DATA, file, cm_format("card, key %s", key).text,
                       cm_format("%lld to %lld", (long long)least, (long long)most).text, "%lld",
                       (long long)json_integer_value(value));
    *number = json_integer_value(value);
    return CM_OK;
}

static cm_status read_options(const json_t *card, cm_options *options, const char *file, cm_error *error) {
    json_t *object, *value;
    const char *key;
    CM_TRY(cm_json_member(card, "options", JSON_OBJECT, &object, file, error));
    cm_options_default(options);
    /* a file from before there were pair encoders does not name one */
    memcpy(options->pair_encoder, "none", sizeof "none");
    json_object_foreach(object, key, value) {
        cm_error inner = {.expected = "a value as text"};
        if (!json_is_string(value) || cm_options_set(options, key, json_string_value(value), &inner) != CM_OK)
            return cm_fail(error, CM_DATA, file, cm_format("card, option %s", key).text, inner.expected, "%s",
                           json_is_string(value) ? json_string_value(value) : "a value that is no text");
    }
    return CM_OK;
}

static cm_status read_input(const json_t *card, int side, int64_t *width, int64_t *longest, const char *file,
                            cm_error *error) {
    json_t *inputs, *input;
    CM_TRY(cm_json_member(card, "inputs", JSON_OBJECT, &inputs, file, error));
    CM_TRY(cm_json_member(inputs, side == 0 ? "a" : "b", JSON_OBJECT, &input, file, error));
    CM_TRY(whole_member(input, "width", 1, 1 << 24, width, file, error));
    return whole_member(input, "longest", 0, INT64_MAX, longest, file, error);
}

/* Columns of the pair channel; 0 when the card has none. */
static cm_status read_pair(const json_t *card, int64_t *width, const char *file, cm_error *error) {
    const json_t *pair = json_object_get(json_object_get(card, "inputs"), "pair");
    *width = 0;
    return pair ? whole_member(pair, "width", 1, 1 << 24, width, file, error) : CM_OK;
}

/* Identity and precision of a side's checkpoints; built-in encoders have none. */
static cm_status read_identity(const json_t *card, cm_model *model, int side, const char *file,
                               cm_error *error) {
    const json_t *inputs = json_object_get(card, "inputs");
    const json_t *input = json_object_get(inputs, side == 0 ? "a" : "b");
    const char *identity = json_string_value(json_object_get(input, "identity"));
    const char *precision = json_string_value(json_object_get(input, "precision"));
    cm_free(model->identity[side]);
    model->identity[side] = cm_copy_text(identity ? identity : "", identity ? strlen(identity) : 0);
    if (!model->identity[side]) return cm_fail_memory(error, 0);
    if (!identity) return CM_OK;
    if (!precision || cm_precision_parse(&model->precision[side], precision, NULL) != CM_OK)
        return cm_fail(error, CM_DATA, file, "card, key precision of an input", "f32, bf16 or int8", "%s",
                       precision ? precision : "nothing");
    return CM_OK;
}

/* Room for the sketches of the training molecules; files from before them have none. */
static cm_status read_domain(const json_t *card, cm_model *model, int side, const char *file,
                             cm_error *error) {
    const json_t *inputs = json_object_get(card, "inputs");
    const json_t *domain = json_object_get(json_object_get(inputs, side == 0 ? "a" : "b"), "domain");
    int64_t n;
    if (!domain) return CM_OK;
    CM_TRY(whole_member(domain, "molecules", 1, CM_DOMAIN_MOST, &n, file, error));
    CM_TRY(cm_domain_create(&model->domain[side], n, error));
    return real_member(domain, "threshold", &model->domain[side].threshold, file, error);
}

static cm_status read_kind(const json_t *card, const cm_model_kind **kind, const char *file,
                           cm_error *error) {
    const char *name = cm_kind_network.name;
    if (json_object_get(card, "predictor")) CM_TRY(text_member(card, "predictor", &name, file, error));
    *kind = cm_model_kind_find(name);
    return *kind ? CM_OK
                 : cm_fail(error, CM_MODEL, file, "card, key predictor", "a known kind of model", "%s", name);
}

cm_status cm_card_shape_read(const json_t *card, cm_card_shape *shape, const char *file, cm_error *error) {
    const char *text;
    int64_t version, longest;
    CM_TRY(text_member(card, "format", &text, file, error));
    if (strcmp(text, "crossmamba model") != 0)
        return cm_fail(error, CM_MODEL, file, "card, key format", "crossmamba model", "%s", text);
    CM_TRY(whole_member(card, "format_version", 0, INT32_MAX, &version, file, error));
    if (version != CM_MODEL_FORMAT)
        return cm_fail(error, CM_MODEL, file, "card, key format_version",
                       cm_format("version %d (a newer file needs a newer program)", CM_MODEL_FORMAT).text,
                       "version %lld", (long long)version);
    CM_TRY(read_kind(card, &shape->kind, file, error));
    CM_TRY(text_member(card, "task", &text, file, error));
    shape->task = cm_task_find(text);
    if (!shape->task) return cm_fail(error, CM_MODEL, file, "card, key task", "a known task", "%s", text);
    CM_TRY(read_options(card, &shape->options, file, error));
    for (int side = 0; side < 2; side++)
        CM_TRY(read_input(card, side, &shape->width[side], &longest, file, error));
    return read_pair(card, &shape->width[CM_SIDE_PAIR], file, error);
}

/* Method and knots; a file from before they were written has neither. */
static cm_status read_knots(const json_t *object, cm_calibration *c, const char *file, cm_error *error) {
    const char *method = json_string_value(json_object_get(object, "method"));
    const json_t *knots = json_object_get(object, "knots"), *knot;
    size_t k, count = json_array_size(knots);
    if (method && cm_calibration_parse(&c->method, method, NULL) != CM_OK)
        return cm_fail(error, CM_DATA, file, "card, key method of calibration", "a known method", "%s",
                       method);
    if (count > CM_CALIBRATION_KNOTS)
        return cm_fail(error, CM_DATA, file, "card, key knots of calibration",
                       cm_format("at most %d", CM_CALIBRATION_KNOTS).text, "%zu", count);
    json_array_foreach(knots, k, knot) {
        c->at[k] = json_number_value(json_array_get(knot, 0));
        c->to[k] = json_number_value(json_array_get(knot, 1));
        bool rising = k == 0 || (c->at[k] > c->at[k - 1] && c->to[k] >= c->to[k - 1]);
        if (json_array_size(knot) != 2 || !rising || !(c->to[k] >= 0 && c->to[k] <= 1))
            return cm_fail(error, CM_DATA, file, "card, key knots of calibration",
                           "pairs of ascending scores and probabilities", "something else in knot %zu",
                           k + 1);
    }
    c->knots = (int)count;
    return CM_OK;
}

static double real_or_nan(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

cm_status cm_card_apply(const json_t *card, cm_model *model, const char *file, cm_error *error) {
    json_t *label, *calibration;
    int64_t width;
    CM_TRY(cm_json_member(card, "label", JSON_OBJECT, &label, file, error));
    CM_TRY(real_member(label, "mean", &model->label_mean, file, error));
    CM_TRY(real_member(label, "sd", &model->label_sd, file, error));
    CM_TRY(real_member(label, "least", &model->label_least, file, error));
    CM_TRY(real_member(label, "most", &model->label_most, file, error));
    CM_TRY(cm_json_member(card, "calibration", JSON_OBJECT, &calibration, file, error));
    CM_TRY(real_member(calibration, "slope", &model->calibration.slope, file, error));
    CM_TRY(real_member(calibration, "offset", &model->calibration.offset, file, error));
    CM_TRY(real_member(calibration, "spread", &model->calibration.spread, file, error));
    CM_TRY(read_knots(calibration, &model->calibration, file, error));
    const json_t *conformal = json_object_get(card, "conformal");
    model->conformal =
        (cm_conformal){real_or_nan(conformal, "half_width"),
                       {real_or_nan(conformal, "bound_negative"), real_or_nan(conformal, "bound_positive")}};
    CM_TRY(real_member(card, "threshold", &model->threshold, file, error));
    for (int side = 0; side < 2; side++) {
        CM_TRY(read_input(card, side, &width, &model->longest[side], file, error));
        CM_TRY(read_identity(card, model, side, file, error));
        CM_TRY(read_domain(card, model, side, file, error));
    }
    for (size_t i = 0; i < sizeof fact_keys / sizeof *fact_keys; i++) {
        json_t *fact = json_object_get(card, fact_keys[i]);
        if (fact && json_object_set(model->facts, fact_keys[i], fact) != 0) return cm_fail_memory(error, 0);
    }
    return CM_OK;
}
