/* Pairs of molecules read from files. */
#ifndef CROSSMAMBA_DATASET_H
#define CROSSMAMBA_DATASET_H

#include <crossmamba/error.h>
#include <crossmamba/export.h>
#include <crossmamba/runtime.h>
#include <crossmamba/tables.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct cm_dataset cm_dataset;

/* What to do with a sequence that its molecule type does not allow (an amino-acid letter in an RNA, a
 * SMILES that cannot be read) and with what depends on it. */
typedef enum cm_bad_records { CM_BAD_REFUSE, CM_BAD_SKIP } cm_bad_records;

/* Zero-initialise, then set what is needed. */
typedef struct cm_dataset_options {
    const cm_task *task;
    cm_bad_records bad_records;
    int labels;                /* 1: the pair tables must have labels; 0: labels are ignored */
    int keep_duplicates;       /* 0: of pairs with the same two molecules only the first stays, with its fold;
                                  pairs whose labels contradict are all dropped (binary), the affinity becomes
                                  the mean of all; 1: keep every row */
    const char *fold_column;   /* name of a column with given folds, or NULL */
    const char *group_column;  /* name of a column whose values an evaluation tells apart (a subtype, a
                                  source);  no model sees it; or NULL */
    const char *subset_column; /* with subset_value: read only the rows with that value, or NULL */
    const char *subset_value;
} cm_dataset_options;

/* An empty data set to add files to. */
CM_API cm_status cm_dataset_create(cm_dataset **dataset, const cm_dataset_options *options, cm_error *error);
CM_API void cm_dataset_destroy(cm_dataset *dataset);

/* Adds the pairs of one table. a_path and b_path hold the molecules: FASTA (gzip or bgzf allowed) for RNA
 * and protein, a table with columns id and smiles for small molecules; b_path may equal a_path. pairs_path
 * is a table with columns id_a, id_b and, when labels are asked for, label (binary: 0 or 1); NULL: all
 * against all. Identifiers are looked up within these files only, and never reach a model. Warnings
 * (duplicates, unknown letters, skipped records) go to runtime's log, one line a kind. A failure leaves the
 * data set as it was, but after CM_MEMORY it can only be destroyed. */
CM_API cm_status cm_dataset_add_files(cm_dataset *dataset, const char *a_path, const char *b_path,
                                      const char *pairs_path, const cm_runtime *runtime, cm_error *error);

/* Adds one pair given as text (two sequences, or a sequence and a SMILES). */
CM_API cm_status cm_dataset_add_pair(cm_dataset *dataset, const char *a_id, const char *a_text,
                                     const char *b_id, const char *b_text, cm_error *error);

/* Pairs, and distinct molecules of side 0 (A) or 1 (B). */
CM_API long cm_dataset_pairs(const cm_dataset *dataset);
CM_API long cm_dataset_molecules(const cm_dataset *dataset, int side);

#ifdef __cplusplus
}
#endif
#endif
