/* Reading a table of pairs. A private part of data/dataset.c. */
#ifndef CM_DATA_PAIR_TABLE_H
#define CM_DATA_PAIR_TABLE_H

#include "data/molecules.h"

/* A row whose records are found and ready. */
typedef struct cm_staged {
    cm_record *record[2];
    double label;  /* NaN without labels */
    int64_t fold;  /* into cm_pair_table.folds, -1: no fold column */
    int64_t group; /* into cm_pair_table.groups, -1: no group column */
} cm_staged;

typedef struct cm_pair_table {
    cm_staged *rows;
    int64_t count, capacity;
    cm_map *folds;  /* fold names in order of appearance */
    cm_map *groups; /* the same of the group column */
    cm_faults faults[2];
    int64_t unknown_ids; /* rows skipped because an id has no record */
    char first_unknown[600];
} cm_pair_table;

/* Reads the rows of path that options ask for. molecules: of side 0 and 1 (maybe the same). Nothing but the
 * state of records changes outside table. Clear also after a failure. */
cm_status cm_pair_table_read(cm_pair_table *table, const char *path, const cm_dataset_options *options,
                             cm_molecules *const molecules[2], const cm_runtime *runtime, cm_error *error);
void cm_pair_table_clear(cm_pair_table *table);

#endif
