/* Molecules of one file, one after the other: FASTA for RNA and protein, a table with columns id and smiles
 * for small molecules. */
#ifndef CM_MODEL_MOLECULE_STREAM_H
#define CM_MODEL_MOLECULE_STREAM_H

#include "base/fail.h"
#include "base/map.h"
#include <crossmamba/dataset.h>
#include <stdint.h>

typedef struct cm_molecule_stream cm_molecule_stream;

/* raw: texts as written (without line ends); else as cm_molecule_normalise gives them. path "-": standard
 * input. */
cm_status cm_molecule_stream_open(cm_molecule_stream **stream, cm_molecule_type type, const char *path,
                                  bool raw, cm_bad_records bad_records, cm_error *error);
void cm_molecule_stream_close(cm_molecule_stream *stream);

typedef struct cm_molecule_text {
    char *id, *text; /* the caller's, to be freed with cm_free */
    int64_t length;
} cm_molecule_text;

/* The next molecule that is to be used: *more false at the end. A record with the id and text of an earlier
 * one is passed over. A text that its type does not allow and another text under an earlier id are CM_DATA,
 * or passed over with CM_BAD_SKIP. */
cm_status cm_molecule_stream_next(cm_molecule_stream *stream, cm_molecule_text *molecule, bool *more,
                                  cm_error *error);

/* One warning for each kind of record that was passed over. */
void cm_molecule_stream_warn(const cm_molecule_stream *stream, const cm_runtime *runtime);

#endif
