/* Rows that grow into the pairs of a data set: distinct texts, rows, repeats and contradictions. A private
 * part of data/dataset.c. */
#ifndef CM_DATA_STORE_H
#define CM_DATA_STORE_H

#include "base/arena.h"
#include "base/map.h"
#include "data/dataset.h"

/* A distinct text of one side, in use or not. */
typedef struct cm_slot {
    char *text;
    int64_t length, unknown;
    char digest[65];
    int32_t entity; /* number among the entities, -1: in no pair */
} cm_slot;

/* Rows of the files with the same two texts (with keep_duplicates: one row). */
typedef struct cm_row {
    int32_t slot[2];
    int32_t fold, group;
    int32_t count; /* rows behind it, 0: dropped, their labels contradict */
    double sum;    /* of their labels, NaN without labels */
    const char *id[2];
} cm_row;

typedef struct cm_dataset_private {
    cm_slot *slots[2];
    int64_t n_slots[2], cap_slots[2];
    cm_map *slot_of[2]; /* digest -> slot */
    cm_row *rows;
    int64_t n_rows, cap_rows;
    cm_map *row_of;    /* slot[2] -> row, for the first n_indexed rows */
    int64_t n_indexed; /* the index is made when it is first needed */
    cm_map *fold_of, *group_of;
    cm_arena *ids;
    int64_t cap_entities[2], cap_pairs, cap_folds, cap_groups;
} cm_dataset_private;

/* What the rows of one call met. */
typedef struct cm_store_report {
    int64_t repeats;        /* rows that joined an earlier one */
    int64_t moved;          /* of these: rows of another fold than the earlier one's */
    int64_t contradictions; /* rows dropped since both labels were given */
    int64_t first_row;      /* rows before the call */
    bool changed;           /* an earlier row has got another label or was dropped */
} cm_store_report;

/* The slot of text on side; the text is copied. */
cm_status cm_store_text(cm_dataset *dataset, int side, const char *text, int64_t length, int64_t unknown,
                        int32_t *slot, cm_error *error);
cm_status cm_store_id(cm_dataset *dataset, const char *id, const char **kept, cm_error *error);
cm_status cm_store_fold(cm_dataset *dataset, const char *name, size_t length, int32_t *fold, cm_error *error);
cm_status cm_store_group(cm_dataset *dataset, const char *name, size_t length, int32_t *group,
                         cm_error *error);

/* Adds a row with count 1. Without keep_duplicates a row with the texts of an earlier one joins it. */
cm_status cm_store_row(cm_dataset *dataset, cm_row row, cm_store_report *report, cm_error *error);
/* As above for a row that is known to be no repeat. */
cm_status cm_store_new_row(cm_dataset *dataset, cm_row row, cm_error *error);

/* Brings pairs, entities and the hash up to date with the rows. */
cm_status cm_store_publish(cm_dataset *dataset, const cm_store_report *report, cm_error *error);

#endif
