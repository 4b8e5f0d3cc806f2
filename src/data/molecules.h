/* The molecules of one file, found by identifier. A private part of data/dataset.c. */
#ifndef CM_DATA_MOLECULES_H
#define CM_DATA_MOLECULES_H

#include "base/fail.h"
#include "base/map.h"
#include "data/dataset.h"
#include <stdbool.h>
#include <stdint.h>

/* A record keeps its text as written until it is needed for the first time. */
typedef enum cm_record_state { CM_RECORD_RAW, CM_RECORD_READY, CM_RECORD_BAD } cm_record_state;

typedef struct cm_record {
    char *id, *text; /* READY: the normalised sequence or the canonical SMILES */
    int64_t length, unknown;
    long number; /* record number (FASTA) or line (table) */
    cm_record_state state;
    int32_t slot[2];     /* number of the text in the store of the data set by side, -1: not there yet */
    char *fault;         /* BAD: what is wrong, printable; else NULL */
    bool noted[2];       /* BAD: counted as a fault of that side */
    const char *kept_id; /* the copy that outlives the file, NULL: none yet */
} cm_record;

typedef struct cm_molecules {
    cm_molecule_type type;
    cm_bad_records bad_records;
    const char *path; /* the caller's */
    cm_record *records;
    int64_t count, capacity;
    cm_map *by_id;
    int64_t repeated;  /* records left out: same id and text as an earlier one */
    int64_t conflicts; /* records skipped: same id as an earlier one, another text */
    int64_t bad;       /* records that were needed and could not be normalised */
    int64_t bad_pairs; /* pairs skipped because of them, counted by the caller */
    int64_t vague;     /* records that were needed and have unknown residues */
    char first_repeated[96], first_conflict[96], first_vague[96], first_bad[600];
} cm_molecules;

/* Reads all records of path: FASTA for RNA and protein, a table with columns id and smiles for small
 * molecules. Two records of one id and the same molecule are one; of one id and another molecule: CM_DATA, or
 * with CM_BAD_SKIP the later one is left out. Clear also after a failure. */
cm_status cm_molecules_read(cm_molecules *molecules, cm_molecule_type type, cm_bad_records bad_records,
                            const char *path, cm_error *error);
void cm_molecules_clear(cm_molecules *molecules);

/* The record of id, NULL when there is none. */
cm_record *cm_molecules_find(const cm_molecules *molecules, const char *id);
/* An id that differs from id in the case of letters only, or NULL. */
const char *cm_molecules_similar(const cm_molecules *molecules, const char *id);

/* Normalises the text of a record. A text that its type does not allow is CM_DATA, or with CM_BAD_SKIP leaves
 * the record in state CM_RECORD_BAD. */
cm_status cm_molecules_prepare(cm_molecules *molecules, cm_record *record, cm_error *error);

/* Counts a record in state CM_RECORD_BAD among the faults of its side, once. */
void cm_molecules_note_fault(const cm_molecules *molecules, cm_record *record, int side, cm_faults *faults);

/* One warning for each kind of peculiarity met. */
void cm_molecules_warn(const cm_molecules *molecules, const cm_runtime *runtime);

/* The one spelling of text[length] (a NUL after it): allocated *out of *out_length characters and its unknown
 * residues. */
cm_status cm_molecule_normalise(cm_molecule_type type, const char *text, size_t length, const char *file,
                                const char *name, char **out, int64_t *out_length, int64_t *unknown,
                                cm_error *error);

/* CM_DATA for an id that is empty or holds a control byte: a table of output could not keep it in its cell.
 */
cm_status cm_molecule_check_id(const char *id, size_t length, const char *file, const char *place,
                               cm_error *error);

/* text without blanks at both ends; *length its length. */
const char *cm_trim(const char *text, size_t *length);

#endif
