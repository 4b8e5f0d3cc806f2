/* The model file: one safetensors file with weights, configuration, standardisation, calibration and
 * model card. */
#ifndef CROSSMAMBA_MODEL_H
#define CROSSMAMBA_MODEL_H

#include <crossmamba/error.h>
#include <crossmamba/export.h>
#include <crossmamba/options.h>
#include <crossmamba/tables.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct cm_model cm_model;

/* path is a file, or the name of a shipped model ("rna-protein"), looked for as NAME.safetensors in
 * $CROSSMAMBA_MODELS, ./models and the installed data folder. Every tensor is checked. CM_MODEL when it
 * is not there or cannot be used, CM_DATA when the file is damaged. */
CM_API cm_status cm_model_open(cm_model **model, const char *path, cm_error *error);
CM_API void cm_model_close(cm_model *model);

CM_API const cm_task *cm_model_task(const cm_model *model);
CM_API const cm_options *cm_model_options(const cm_model *model);

/* The card as JSON text (object: format, task, options, parameters, data, metrics, calibration, licence,
 * notes). Valid until close. */
CM_API const char *cm_model_card(const cm_model *model);

#ifdef __cplusplus
}
#endif
#endif
