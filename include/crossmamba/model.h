/* The model file: one safetensors file with weights, configuration, standardisation, calibration and
 * model card. It holds a network (or an ensemble), a kernel model, boosted trees, or a
 * stack or mean of them. */
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
/* What is inside: the name of its fusion network, "kernel", "boosting", "stack:NAME/NAME" or
 * "mean:NAME/NAME". Valid until close. */
CM_API const char *cm_model_predictor(const cm_model *model);

/* The card as JSON text (object: format, task, predictor with an object of its name but for networks,
 * options, parameters, data, metrics, calibration, licence, notes). Valid until close. */
CM_API const char *cm_model_card(const cm_model *model);
/* The same as indented lines for people. */
CM_API const char *cm_model_card_text(const cm_model *model);

/* Tells where the checkpoint of a side's pretrained encoder (0 A, 1 B) lies on this machine: its reference
 * ("/data/esm2_t6_8M_UR50D"), or the whole encoder name when it has several. That it is the same checkpoint
 * is checked by cm_predict. CM_USAGE when the side's encoder has none. */
CM_API cm_status cm_model_locate_encoder(cm_model *model, int side, const char *reference, cm_error *error);

#ifdef __cplusplus
}
#endif
#endif
