/* FASTA through htslib: plain, gzip or bgzf. FASTQ, data before the first '>', NUL bytes, truncated gzip and
 * files without a record are refused; so are a record without a name, with a name over 4,096 bytes or over
 * 50,000,000 residues. LF, CR LF and CR end lines. Sequences come as written, without line ends, blanks and
 * digits. */
#ifndef CM_IO_FASTA_H
#define CM_IO_FASTA_H

#include "base/fail.h"
#include <stdbool.h>

typedef struct cm_fasta cm_fasta;

cm_status cm_fasta_open(cm_fasta **fasta, const char *path, cm_error *error); /* "-": standard input */
void cm_fasta_close(cm_fasta *fasta);

/* The next record: *more false at the end. name is the first word after '>'. Valid until the next call. An
 * empty sequence is delivered with length 0. */
typedef struct cm_fasta_record {
    const char *name, *sequence;
    size_t length;
    long number; /* from 1 */
} cm_fasta_record;
cm_status cm_fasta_next(cm_fasta *fasta, cm_fasta_record *record, bool *more, cm_error *error);

#endif
