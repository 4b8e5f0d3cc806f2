/* What trees know of every pair of a data set: columns that describe each of its molecules by itself, and
 * perhaps the pair. No label is among them. */
#ifndef CM_MODEL_MOLECULE_TABLE_H
#define CM_MODEL_MOLECULE_TABLE_H

#include "model/column_plan.h"
#include "model/features.h"
#include "trees/table.h"

/* Nested sets of a table's columns; those of pairs belong to all of them. */
typedef enum cm_column_set {
    CM_COLUMNS_LENGTH,
    CM_COLUMNS_COMPOSITION,
    CM_COLUMNS_ALL,
    CM_COLUMN_SETS
} cm_column_set;

/* Block 0 and 1: molecules of side A and B; their columns are length and composition (model/composition.h),
 * the spectra of short words (kernels of kernel/kernels.def that are at most 400 wide), and how alike they
 * are to 48 training molecules drawn at random (landmarks; bio/profile.h). The table of an extended plan has
 * before them the number of chains and ln(1 + length of the longest) of sequences, which belong to the set of
 * the length; among the spectra those atom surroundings and 2-mers of SMILES that three or more training
 * molecules have; and, where the task has a pair encoder, block 2: what it says of the whole pair. */
typedef struct cm_molecule_table {
    cm_forest_table forest;                        /* rows are pairs of the data set */
    int64_t end[CM_COLUMN_SETS][CM_FOREST_BLOCKS]; /* a set is the first columns of every block */
    float *value[CM_FOREST_BLOCKS];
    int32_t *item[CM_FOREST_BLOCKS];
} cm_molecule_table;

/* The molecules and pairs of dataset, with its features, under a plan. Clear also after a failure. */
cm_status cm_molecule_table_make(cm_molecule_table *table, const cm_column_plan *plan,
                                 const cm_dataset *dataset, const cm_features *features, cm_error *error);
void cm_molecule_table_clear(cm_molecule_table *table);

/* table->forest with the columns of a set alone. */
cm_forest_table cm_molecule_table_columns(const cm_molecule_table *table, cm_column_set set);

/* How many columns a set has, of all blocks together. */
int64_t cm_molecule_table_width(const cm_column_plan *plan, cm_column_set set);

#endif
