/* Audit: what a data set itself gives away before any model is trained. Molecules are told apart by
 * normalised sequence or canonical SMILES, never by identifier. */
#ifndef CROSSMAMBA_AUDIT_H
#define CROSSMAMBA_AUDIT_H

#include <crossmamba/dataset.h>
#include <crossmamba/error.h>
#include <crossmamba/export.h>
#include <crossmamba/options.h>
#include <crossmamba/runtime.h>
#include <crossmamba/tables.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a score or an overlap looks at. */
enum { CM_AUDIT_A, CM_AUDIT_B, CM_AUDIT_BOTH, CM_AUDIT_VIEWS };

/* Pooled over the test parts of random folds: MCC at probability 0.5 and AUROC, or Pearson and NaN. NaN when
 * there are too few pairs, or fewer than two of a class. */
typedef struct cm_audit_score {
    double main, auroc;
} cm_audit_score;

/* Records that rows name and that cannot be read: letters that the type does not allow, a SMILES that is
 * none. */
enum { CM_AUDIT_EXAMPLES = 5 };
typedef struct cm_audit_faults {
    long records, rows;                      /* rows left out because of them */
    long amino;                              /* RNA: records with letters that stand for amino acids alone */
    long letters[26];                        /* sequences: how often which letter A..Z that is not allowed */
    const char *examples[CM_AUDIT_EXAMPLES]; /* "record 3 (id x): 'L' at position 7"; NULL behind the last */
} cm_audit_faults;

/* Similarity to the most similar molecule of the training part, over the rows of a fold: quantiles 5, 25, 50,
 * 75, 95 %, and how many rows lie in [0, 0.1), ..., [0.9, 1]. */
enum { CM_AUDIT_QUANTILES = 5, CM_AUDIT_BINS = 10 };
typedef struct cm_audit_nearest {
    double quantiles[CM_AUDIT_QUANTILES];
    long bins[CM_AUDIT_BINS];
} cm_audit_nearest;

typedef struct cm_audit_side {
    cm_audit_faults faults;
    long molecules;          /* distinct */
    long unknown;            /* of these with unknown residues */
    long repeated;           /* in two or more pairs */
    long one_label;          /* binary: of the repeated ones, those whose pairs all have one label */
    double one_label_chance; /* how many these would be if labels did not depend on the molecule */
    double threshold;        /* similarity from which two molecules are near duplicates (bio/sketches.h) */
    long near;               /* molecules that have a near duplicate on this side */
    long largest_group;      /* molecules of the largest connected group of near duplicates */
    long shared;             /* in rows of two or more given folds */
} cm_audit_side;

/* Rows of one given fold, or of all, each tested with the other folds as training part. */
typedef struct cm_audit_fold {
    const char *name; /* of the data set; "all" */
    long rows;
    long same[CM_AUDIT_VIEWS];    /* rows whose A, B, both of them are in the training part */
    long similar[CM_AUDIT_VIEWS]; /* the same for molecules that are equal or near duplicates */
    cm_audit_nearest nearest[2];  /* of the rows' A, B; 1: the same molecule is there */
} cm_audit_fold;

typedef struct cm_audit {
    const cm_task *task;
    long rows, pairs; /* rows as given; distinct pairs without contradictory ones */
    long positives;   /* binary: rows with label 1 */
    long unknown_ids; /* rows left out because an identifier has no record */
    long repeats;     /* rows whose two molecules are those of an earlier row */
    long
        contradictions; /* distinct pairs with label 0 and label 1; affinity: with labels more than 1 apart */
    double spread;      /* affinity: largest difference between labels of one pair */
    cm_audit_side side[2];
    int random_folds; /* behind the scores, of the pairs (affinity: means of equal pairs) */
    cm_audit_score identity[CM_AUDIT_VIEWS];    /* labels of the same molecules in other pairs, no sequence */
    cm_audit_score composition[CM_AUDIT_VIEWS]; /* length and shares of the letters */
    cm_audit_score length[CM_AUDIT_VIEWS];      /* length alone */
    long n_folds;                               /* given folds; 0: no fold column */
    cm_audit_fold *folds;                       /* [n_folds], or NULL */
    cm_audit_fold all;                          /* their sum */
} cm_audit;

/* Audits a data set that was read with labels and keep_duplicates; faults are known when it was also read
 * with CM_BAD_SKIP. options: rna_similarity, protein_similarity, molecule_similarity and seed are used. The
 * texts in audit are the data set's. On failure audit is empty. */
CM_API cm_status cm_audit_make(cm_audit *audit, const cm_dataset *dataset, const cm_options *options,
                               const cm_runtime *runtime, cm_error *error);
CM_API void cm_audit_clear(cm_audit *audit);

/* Writes everything as JSON; a figure that does not exist is null. command may be NULL. */
CM_API cm_status cm_audit_write(const cm_audit *audit, const char *path, const char *command,
                                cm_error *error);

/* A figure and the limit that it must not exceed. */
typedef struct cm_audit_gate {
    const char *name;
    double limit;
} cm_audit_gate;

/* Row i of the table of gates; 0 when i is past the end. */
CM_API int cm_audit_gate_row(int i, cm_table_row *row);
/* Reads NAME or NAME:LIMIT. CM_USAGE for an unknown name or a limit that is no number. */
CM_API cm_status cm_audit_gate_parse(cm_audit_gate *gate, const char *text, cm_error *error);
/* The figure of a gate; NaN when the audit has none (overlap without a fold column). */
CM_API double cm_audit_gate_value(const cm_audit *audit, const cm_audit_gate *gate);

#ifdef __cplusplus
}
#endif
#endif
