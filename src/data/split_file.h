/* splits.json: the trainings of all repeats by pair number, for one data set.
 *
 * {"format": "crossmamba splits 1", "data": SHA256 of the data set, "pairs": N, "kind": "cold-a",
 *  "repeats": [[{"test": [0, 7], "unused": [3]}, ...], ...]}
 *
 * Pairs are numbered from 0 in the order of the data set (repeated pairs are joined first); what is neither
 * tested nor unused trains. */
#ifndef CM_DATA_SPLIT_FILE_H
#define CM_DATA_SPLIT_FILE_H

#include "data/split_kind.h"

typedef struct cm_splits {
    const cm_split_kind *kind;
    cm_split *repeat; /* [n_repeats] */
    int n_repeats;
} cm_splits;

void cm_splits_clear(cm_splits *splits);

/* Atomically. */
cm_status cm_splits_write(const char *path, const cm_splits *splits, const cm_dataset *dataset,
                          cm_error *error);

/* CM_DATA with file and place when the text is no JSON of that form, belongs to other data, has a pair number
 * out of range or twice in a unit, tests a pair in two units of a repeat, or a unit that tests or trains
 * nothing. splits is then empty. */
cm_status cm_splits_read(cm_splits *splits, const char *path, const cm_dataset *dataset, cm_error *error);

#endif
