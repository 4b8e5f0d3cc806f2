/* Streaming molecules out of FASTA files and tables. */
#include "model/molecule_stream.h"
#include "base/alloc.h"
#include "base/log.h"
#include "base/sha256.h"
#include "data/molecules.h"
#include "io/fasta.h"
#include "io/table.h"
#include <stdlib.h>
#include <string.h>

struct cm_molecule_stream {
    cm_molecule_type type;
    const char *path;
    bool raw;
    cm_bad_records bad_records;
    cm_fasta *fasta;
    cm_table *table;
    int id_column, smiles_column;
    cm_map *seen; /* id -> digest of the text as written */
    int64_t repeated, bad;
    char first_bad[600];
};

/* A record as the file has it; valid until the next one. */
typedef struct raw_record {
    const char *id, *text;
    size_t id_length, length;
    long number;
} raw_record;

static cm_status open_source(cm_molecule_stream *s, cm_error *error) {
    if (s->type != CM_MOLECULE) return cm_fasta_open(&s->fasta, s->path, error);
    CM_TRY(cm_table_open(&s->table, s->path, error));
    CM_TRY(cm_table_require(s->table, "id", &s->id_column, error));
    return cm_table_require(s->table, "smiles", &s->smiles_column, error);
}

cm_status cm_molecule_stream_open(cm_molecule_stream **stream, cm_molecule_type type, const char *path,
                                  bool raw, cm_bad_records bad_records, cm_error *error) {
    cm_molecule_stream *s = cm_new(1, sizeof *s);
    if (!s) return cm_fail_memory(error, sizeof *s);
    *s = (cm_molecule_stream){.type = type, .path = path, .raw = raw, .bad_records = bad_records};
    s->seen = cm_map_create();
    cm_status status = s->seen ? open_source(s, error) : cm_fail_memory(error, 0);
    if (status != CM_OK) {
        cm_molecule_stream_close(s);
        return status;
    }
    *stream = s;
    return CM_OK;
}

void cm_molecule_stream_close(cm_molecule_stream *stream) {
    if (!stream) return;
    cm_fasta_close(stream->fasta);
    cm_table_close(stream->table);
    cm_map_destroy(stream->seen);
    cm_free(stream);
}

static cm_status next_raw(cm_molecule_stream *s, raw_record *record, bool *more, cm_error *error) {
    if (s->fasta) {
        cm_fasta_record fasta;
        CM_TRY(cm_fasta_next(s->fasta, &fasta, more, error));
        if (*more)
            *record =
                (raw_record){fasta.name, fasta.sequence, strlen(fasta.name), fasta.length, fasta.number};
        return CM_OK;
    }
    CM_TRY(cm_table_next(s->table, more, error));
    if (!*more) return CM_OK;
    record->number = cm_table_line(s->table);
    record->id = cm_trim(cm_table_cell(s->table, s->id_column), &record->id_length);
    record->text = cm_trim(cm_table_cell(s->table, s->smiles_column), &record->length);
    return CM_OK;
}

/* *repeat: the same id and text were there before. */
static cm_status check_id(cm_molecule_stream *s, const raw_record *record, bool *repeat, cm_error *error) {
    char hex[65];
    cm_text place = cm_format("%s %ld", s->fasta ? "record" : "line", record->number);
    CM_TRY(cm_molecule_check_id(record->id, record->id_length, s->path, place.text, error));
    if (!cm_sha256_of(record->text, record->length, hex)) return cm_fail_memory(error, 0);
    hex[15] = '\0';
    int64_t digest = strtoll(hex, NULL, 16), earlier;
    *repeat = cm_map_get(s->seen, record->id, record->id_length, &earlier);
    if (!*repeat)
        return cm_map_put(s->seen, record->id, record->id_length, digest) ? CM_OK : cm_fail_memory(error, 0);
    if (earlier == digest) return CM_OK;
    return cm_fail(error, CM_DATA, s->path,
                   cm_format("%s %ld (id %.*s)", s->fasta ? "record" : "line", record->number,
                             (int)(record->id_length < 60 ? record->id_length : 60), record->id)
                       .text,
                   "one molecule for each id", "another text under the id of an earlier one");
}

/* The text as it is used; the table's cell ends with a NUL behind its blanks, a sequence with its own. */
static cm_status make_text(const cm_molecule_stream *s, const raw_record *record, cm_molecule_text *molecule,
                           cm_error *error) {
    char *written = cm_copy_text(record->text, record->length);
    if (!written) return cm_fail_memory(error, record->length);
    if (s->raw) {
        molecule->text = written;
        molecule->length = (int64_t)record->length;
        return CM_OK;
    }
    int64_t unknown;
    cm_status status = cm_molecule_normalise(s->type, written, record->length, s->path, molecule->id,
                                             &molecule->text, &molecule->length, &unknown, error);
    cm_free(written);
    return status;
}

static cm_status take(cm_molecule_stream *s, const raw_record *record, cm_molecule_text *molecule, bool *used,
                      cm_error *error) {
    bool repeat = false;
    *used = false;
    CM_TRY(check_id(s, record, &repeat, error));
    if (repeat) {
        s->repeated++;
        return CM_OK;
    }
    molecule->id = cm_copy_text(record->id, record->id_length);
    if (!molecule->id) return cm_fail_memory(error, record->id_length);
    cm_status status = make_text(s, record, molecule, error);
    if (status != CM_OK) cm_free(molecule->id);
    *used = status == CM_OK;
    return status;
}

cm_status cm_molecule_stream_next(cm_molecule_stream *s, cm_molecule_text *molecule, bool *more,
                                  cm_error *error) {
    for (;;) {
        raw_record record;
        bool used;
        cm_error reason = {0};
        CM_TRY(next_raw(s, &record, more, error));
        if (!*more) return CM_OK;
        cm_status status = take(s, &record, molecule, &used, &reason);
        if (used) return CM_OK;
        if (status == CM_DATA && s->bad_records == CM_BAD_SKIP) {
            if (s->bad++ == 0) cm_error_line(&reason, s->first_bad, sizeof s->first_bad);
        } else if (status != CM_OK) {
            if (error) *error = reason;
            return status;
        }
    }
}

void cm_molecule_stream_warn(const cm_molecule_stream *s, const cm_runtime *runtime) {
    if (s->repeated > 0)
        cm_log(runtime, CM_LOG_WARNING, "%s: %lld records left out: same id and text as an earlier one",
               s->path, (long long)s->repeated);
    if (s->bad > 0)
        cm_log(runtime, CM_LOG_WARNING, "%lld records skipped; the first: %s", (long long)s->bad,
               s->first_bad);
}
