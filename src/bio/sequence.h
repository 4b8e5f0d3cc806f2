/* Sequences of RNA and protein in the one spelling that encoders see. */
#ifndef CM_BIO_SEQUENCE_H
#define CM_BIO_SEQUENCE_H

#include "base/fail.h"
#include <crossmamba/tables.h>
#include <stdbool.h>
#include <stdint.h>

/* The residues of CM_RNA ("ACGU") or CM_PROTEIN (the 20 amino acids in alphabetical order), the digits of
 * k-mer codes and columns of one-hot vectors; "" of others. */
const char *cm_residues(cm_molecule_type type);

/* What normalising met. */
typedef struct cm_sequence_report {
    long unknown; /* residues that carry no identity: IUPAC ambiguity codes, X, '-', '.', '_' */
    long chains;  /* parts separated by '|', at least 1 */
    long lower_case, thymine, stops;
} cm_sequence_report;

/* Normalises text[length] of type CM_RNA or CM_PROTEIN into out (room for length + 1 bytes), NUL at the end.
 * Upper case; RNA: T becomes U, IUPAC ambiguity codes R Y S W K M B D H V N, X and I (inosine) become N;
 * protein: the 20 letters stay, U (selenocysteine) and O become C and K, B Z J X become X, '*' at the end is
 * dropped, elsewhere X. '-', '.' and '_' become N or X; '|' separates chains and stays. Anything else is
 * CM_DATA with the letter and its position; so are an empty sequence or chain and a sequence of more than
 * 50,000,000 residues. name names the record in messages, file the file. */
cm_status cm_sequence_normalise(cm_molecule_type type, const char *text, size_t length, char *out,
                                size_t *out_length, cm_sequence_report *report, const char *file,
                                const char *name, cm_error *error);

/* Adds how often each letter A..Z that the alphabet of type (CM_RNA, CM_PROTEIN) has no meaning for stands in
 * text[length], in either case, to count[26]; the number of other such characters to *others. */
void cm_sequence_faults(cm_molecule_type type, const char *text, size_t length, int64_t count[26],
                        int64_t *others);
/* Whether a letter (upper case) stands for amino acids alone, in no alphabet of nucleotides. */
bool cm_is_amino_letter(char letter);

#endif
