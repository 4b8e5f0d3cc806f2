/* io/fasta with io/stream (plain, gzip, bgzf), and bio/sequence on every record. */
#include "input.h"

#include "base/alloc.h"
#include "bio/sequence.h"
#include "io/fasta.h"
#include <stdlib.h>
#include <string.h>

static void normalise(const cm_fasta_record *record, cm_molecule_type type) {
    cm_error error = {0};
    cm_sequence_report report = {0};
    size_t length = 0;
    char *out = malloc(record->length + 1);
    if (!out) abort();
    cm_status status = cm_sequence_normalise(type, record->sequence, record->length, out, &length, &report,
                                             "input", record->name, &error);
    if (status == CM_OK && (length > record->length || strlen(out) != length)) abort();
    int64_t count[26] = {0}, others = 0, faults = 0;
    cm_sequence_faults(type, record->sequence, record->length, count, &others);
    for (int i = 0; i < 26; i++) faults += count[i];
    if (status == CM_OK && faults + others > 0) abort();
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    cm_fasta *fasta = NULL;
    cm_error error = {0};
    cm_fasta_record record;
    bool more = true;
    fuzz_limit_memory(size);
    if (cm_fasta_open(&fasta, fuzz_file(0, data, size), &error) != CM_OK) return 0;
    while (cm_fasta_next(fasta, &record, &more, &error) == CM_OK && more) {
        if (strlen(record.name) == 0 || strlen(record.sequence) != record.length) abort();
        normalise(&record, CM_RNA);
        normalise(&record, CM_PROTEIN);
    }
    cm_fasta_close(fasta);
    return 0;
}
