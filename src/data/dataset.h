/* The inside of a data set (the public face is crossmamba/dataset.h). */
#ifndef CM_DATA_DATASET_H
#define CM_DATA_DATASET_H

#include "base/fail.h"
#include <crossmamba/dataset.h>
#include <stdint.h>

/* A distinct molecule of one side, by normalised text. */
typedef struct cm_entity {
    char *text; /* normalised sequence or canonical SMILES */
    int64_t length;
    double unknown; /* share of unknown residues */
} cm_entity;

typedef struct cm_pair {
    int32_t entity[2]; /* into cm_dataset.entities[side] */
    int32_t fold;      /* into cm_dataset.folds, -1: no fold column, or "-" there */
    int32_t group;     /* into cm_dataset.groups, -1: no group column */
    float label;       /* NaN in a data set without labels */
    const char *id[2]; /* as in the files, for output only */
} cm_pair;

/* Records that rows name and that cannot be read, of one side; they and their rows are left out. */
enum { CM_FAULT_EXAMPLES = 5, CM_FAULT_TEXT = 200 };
typedef struct cm_faults {
    int64_t records, rows;
    int64_t amino;       /* RNA: records with letters of amino acids alone */
    int64_t letters[26]; /* of sequences: how often which letter that the type does not allow */
    int n_examples;
    char examples[CM_FAULT_EXAMPLES][CM_FAULT_TEXT]; /* the first: "record x: 'L' at position 3", printable */
} cm_faults;

struct cm_dataset {
    const cm_task *task;
    cm_dataset_options options;
    cm_entity *entities[2];
    int64_t n_entities[2];
    cm_pair *pairs;
    int64_t n_pairs;
    char **folds; /* distinct values of the fold column, in order of appearance */
    int64_t n_folds;
    char **groups; /* distinct values of the group column, in order of appearance */
    int64_t n_groups;
    cm_faults faults[2];
    int64_t unknown_ids; /* rows left out because an id has no record */
    char hash[65];       /* chained sha256 over the texts, labels and folds of all pairs in order */
    struct cm_dataset_private *private_; /* lookup tables and id memory of data/dataset.c */
};

#endif
