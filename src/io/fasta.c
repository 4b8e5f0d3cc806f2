/* Reading FASTA record by record. */
#include "io/fasta.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "io/stream.h"
#include <string.h>

static const size_t name_limit = 4096;
static const size_t residue_limit = 50000000;

struct cm_fasta {
    cm_stream *stream;
    const char *block; /* what is left of the stream's current block */
    size_t block_left;
    long record; /* number of the current one, from 1 */
    long line;   /* of the next byte, from 1 */
    bool after_return, at_line_start;
    cm_buf name, sequence;
};

static cm_status fail_at(const cm_fasta *fasta, const char *expected, const char *found, cm_error *error) {
    cm_text place = fasta->record > 0 ? cm_format("record %ld, line %ld", fasta->record, fasta->line)
                                      : cm_format("line %ld", fasta->line);
    return cm_fail(error, CM_DATA, cm_stream_path(fasta->stream), place.text, expected, "%s", found);
}

static bool is_blank(char byte) {
    return byte == ' ' || byte == '\t' || byte == '\v' || byte == '\f';
}

/* Makes block_left > 0 unless the input has ended. */
static cm_status fill(cm_fasta *fasta, cm_error *error) {
    return fasta->block_left > 0 ? CM_OK
                                 : cm_stream_next(fasta->stream, &fasta->block, &fasta->block_left, error);
}

/* Moves over the block's first byte, keeping the line number: LF, CR LF and CR each end one line. */
static void step(cm_fasta *fasta) {
    char byte = *fasta->block++;
    fasta->block_left--;
    bool feed = byte == '\n', ends = feed || byte == '\r';
    if (ends && !(feed && fasta->after_return)) fasta->line++;
    fasta->after_return = byte == '\r';
    fasta->at_line_start = ends;
}

/* Moves behind the first '>'; only blank lines may come before it. */
static cm_status find_first(cm_fasta *fasta, cm_error *error) {
    for (;;) {
        CM_TRY(fill(fasta, error));
        if (fasta->block_left == 0) return fail_at(fasta, "a FASTA record ('>name')", "no record", error);
        char byte = *fasta->block;
        if (byte == '>' && fasta->at_line_start) break;
        if (byte == '@') return fail_at(fasta, "FASTA, records that begin with '>'", "FASTQ ('@')", error);
        if (byte == '\0') return fail_at(fasta, "text", "a NUL byte (a binary file, or UTF-16)", error);
        if (!is_blank(byte) && byte != '\n' && byte != '\r')
            return fail_at(fasta, "'>' at the start of a line before anything else",
                           "text before the first record", error);
        step(fasta);
    }
    step(fasta);
    return CM_OK;
}

cm_status cm_fasta_open(cm_fasta **fasta, const char *path, cm_error *error) {
    *fasta = NULL;
    cm_fasta *opened = cm_new(1, sizeof *opened);
    if (opened == NULL) return cm_fail_memory(error, sizeof *opened);
    opened->line = 1;
    opened->at_line_start = true;
    opened->name.ceiling = name_limit;
    opened->sequence.ceiling = residue_limit;
    cm_status status = cm_stream_open(&opened->stream, path, error);
    if (status == CM_OK) status = find_first(opened, error);
    if (status != CM_OK) {
        cm_fasta_close(opened);
        return status;
    }
    *fasta = opened;
    return CM_OK;
}

void cm_fasta_close(cm_fasta *fasta) {
    if (fasta == NULL) return;
    cm_stream_close(fasta->stream);
    cm_buf_clear(&fasta->name);
    cm_buf_clear(&fasta->sequence);
    cm_free(fasta);
}

/* The rest of the '>' line: blanks, the name, and a description that is skipped. */
static cm_status read_name(cm_fasta *fasta, cm_error *error) {
    enum { BEFORE, NAME, BEHIND } part = BEFORE;
    fasta->name.len = 0;
    for (;;) {
        CM_TRY(fill(fasta, error));
        char byte = fasta->block_left > 0 ? *fasta->block : '\n';
        if (byte == '\n' || byte == '\r') break;
        if (byte == '\0') return fail_at(fasta, "text", "a NUL byte", error);
        if (part == NAME && is_blank(byte)) part = BEHIND;
        if (part == BEFORE && !is_blank(byte)) part = NAME;
        if (part == NAME && fasta->name.len == name_limit)
            return fail_at(fasta, "a name of at most 4096 bytes", "a longer name", error);
        if (part == NAME && !cm_buf_append(&fasta->name, &byte, 1)) return cm_fail_memory(error, name_limit);
        step(fasta);
    }
    if (fasta->name.len == 0) return fail_at(fasta, "a name behind '>'", "nothing", error);
    if (fasta->block_left > 0) step(fasta);
    return CM_OK;
}

/* Bytes at the block's begin that belong to the sequence as they are. */
static size_t plain_run(const cm_fasta *fasta) {
    size_t n = 0;
    for (; n < fasta->block_left; n++) {
        unsigned char byte = (unsigned char)fasta->block[n];
        if (byte <= ' ') break;
        if (byte >= '0' && byte <= '9') break;
        if (n == 0 && byte == '>' && fasta->at_line_start) break;
    }
    return n;
}

static cm_status add_run(cm_fasta *fasta, size_t length, cm_error *error) {
    if (length > residue_limit - fasta->sequence.len)
        return fail_at(fasta, "at most 50000000 residues", "a longer sequence", error);
    if (!cm_buf_append(&fasta->sequence, fasta->block, length)) return cm_fail_memory(error, length);
    fasta->block += length;
    fasta->block_left -= length;
    fasta->after_return = fasta->at_line_start = false;
    return CM_OK;
}

/* Up to the next '>' at the start of a line, which is left in the block. Other control characters stay in
 * the sequence, where its alphabet refuses them. */
static cm_status read_sequence(cm_fasta *fasta, cm_error *error) {
    fasta->sequence.len = 0;
    if (!cm_buf_append(&fasta->sequence, "", 0)) return cm_fail_memory(error, 1);
    for (;;) {
        CM_TRY(fill(fasta, error));
        if (fasta->block_left == 0) return CM_OK;
        char byte = *fasta->block;
        if (byte == '>' && fasta->at_line_start) return CM_OK;
        bool dropped = byte == '\n' || byte == '\r' || is_blank(byte) || (byte >= '0' && byte <= '9');
        size_t run = dropped ? 0 : plain_run(fasta);
        if (byte == '\0') return fail_at(fasta, "text", "a NUL byte", error);
        if (dropped)
            step(fasta);
        else
            CM_TRY(add_run(fasta, run > 0 ? run : 1, error));
    }
}

cm_status cm_fasta_next(cm_fasta *fasta, cm_fasta_record *record, bool *more, cm_error *error) {
    *more = false;
    CM_TRY(fill(fasta, error));
    if (fasta->block_left == 0 && fasta->record > 0) return CM_OK;
    if (fasta->record > 0) step(fasta); /* the '>' where the last sequence ended */
    fasta->record++;
    CM_TRY(read_name(fasta, error));
    CM_TRY(read_sequence(fasta, error));
    *record = (cm_fasta_record){.name = fasta->name.data,
                                .sequence = fasta->sequence.data,
                                .length = fasta->sequence.len,
                                .number = fasta->record};
    *more = true;
    return CM_OK;
}
