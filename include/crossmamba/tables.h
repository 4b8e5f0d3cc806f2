/* What this build knows: tasks, encoders, fusion networks, predictors. The tables are constant. */
#ifndef CROSSMAMBA_TABLES_H
#define CROSSMAMBA_TABLES_H

#include <crossmamba/error.h>
#include <crossmamba/export.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum cm_molecule_type { CM_RNA, CM_PROTEIN, CM_MOLECULE } cm_molecule_type;

/* "RNA", "protein", "small molecule" */
CM_API const char *cm_molecule_type_name(cm_molecule_type type);

typedef struct cm_task {
    const char *name; /* "rna-protein" */
    cm_molecule_type a, b;
    int affinity;                      /* 1: regression of an affinity; 0: binary interaction */
    const char *unit;                  /* "pKd"; "probability" for binary tasks */
    const char *encoder_a, *encoder_b; /* defaults */
    const char *predictor;             /* what crossmamba train fits unless it is told otherwise */
    const char *help;
} cm_task;

/* NULL when there is no such task. */
CM_API const cm_task *cm_task_find(const char *name);
CM_API const cm_task *cm_task_rows(int *count);

typedef struct cm_table_row {
    const char *name, *help;
} cm_table_row;
/* Row i of the table of encoders, fusion networks, learners, predictors or kinds of splits; 0 when i is past
 * the end. Learners are what a model file can hold (cm_train): every fusion network, the kernel model and
 * boosted trees.
 * Predictors are what an evaluation compares: the learners and the baselines. */
CM_API int cm_encoder_row(int i, cm_table_row *row);
CM_API int cm_fusion_row(int i, cm_table_row *row);
/* The same for encoders of pairs. */
CM_API int cm_pair_encoder_row(int i, cm_table_row *row);
CM_API int cm_learner_row(int i, cm_table_row *row);
CM_API int cm_predictor_row(int i, cm_table_row *row);
CM_API int cm_split_row(int i, cm_table_row *row);

/* Arithmetic of a pretrained encoder. CM_AUTO: the fastest on this machine whose cosine similarity to f32
 * stays at or above 0.9999 in every token of a built-in probe set. */
typedef enum cm_precision { CM_F32, CM_BF16, CM_INT8, CM_AUTO } cm_precision;
/* "f32", "bf16", "int8", "auto" */
CM_API const char *cm_precision_name(cm_precision precision);
CM_API cm_status cm_precision_parse(cm_precision *precision, const char *name, cm_error *error);

#ifdef __cplusplus
}
#endif
#endif
