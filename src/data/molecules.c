/* Reads the molecules of one file and brings them to one spelling when they are needed. */
#include "data/molecules.h"
#include "base/alloc.h"
#include "base/log.h"
#include "bio/chem.h"
#include "bio/sequence.h"
#include "io/fasta.h"
#include "io/table.h"
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Room for a canonical SMILES: those of 5,000 characters may grow by brackets. */
enum { CANONICAL_ROOM = 32768 };

const char *cm_trim(const char *text, size_t *length) {
    static const char blanks[] = " \t\r\n\v\f";
    text += strspn(text, blanks);
    size_t n = strlen(text);
    while (n > 0 && strchr(blanks, text[n - 1])) n--;
    *length = n;
    return text;
}

static cm_status normalise_sequence(cm_molecule_type type, const char *text, size_t length, const char *file,
                                    const char *name, char *out, size_t *out_length, int64_t *unknown,
                                    cm_error *error) {
    cm_sequence_report report = {0};
    CM_TRY(cm_sequence_normalise(type, text, length, out, out_length, &report, file, name, error));
    *unknown = report.unknown;
    return CM_OK;
}

cm_status cm_molecule_normalise(cm_molecule_type type, const char *text, size_t length, const char *file,
                                const char *name, char **out, int64_t *out_length, int64_t *unknown,
                                cm_error *error) {
    size_t room;
    if (!cm_size_add(length, 1, &room)) return cm_fail_memory(error, length);
    if (type == CM_MOLECULE) room = CANONICAL_ROOM;
    char *buffer = cm_new(room, 1);
    if (!buffer) return cm_fail_memory(error, room);
    size_t got = 0;
    *unknown = 0;
    cm_status status = type == CM_MOLECULE
                           ? cm_chem_canonical(text, buffer, room, file, name, error)
                           : normalise_sequence(type, text, length, file, name, buffer, &got, unknown, error);
    if (status != CM_OK) {
        cm_free(buffer);
        return status;
    }
    if (type == CM_MOLECULE) got = strlen(buffer);
    char *fitted = cm_resize(buffer, got + 1, 1);
    *out = fitted ? fitted : buffer;
    *out_length = (int64_t)got;
    return CM_OK;
}

cm_record *cm_molecules_find(const cm_molecules *molecules, const char *id) {
    int64_t at;
    if (!cm_map_get(molecules->by_id, id, strlen(id), &at)) return NULL;
    return &molecules->records[at];
}

const char *cm_molecules_similar(const cm_molecules *molecules, const char *id) {
    for (int64_t i = 0; i < molecules->count; i++)
        if (strcasecmp(molecules->records[i].id, id) == 0) return molecules->records[i].id;
    return NULL;
}

static cm_text place_of(const cm_molecules *molecules, long number, const char *id) {
    return cm_format("%s %ld (id %s)", molecules->type == CM_MOLECULE ? "line" : "record", number, id);
}

/* Keeps the first place of a kind for a warning, in printable characters. */
static void remember(char first[96], const char *place) {
    cm_error printable = {0};
    cm_fail(&printable, CM_DATA, NULL, place, NULL, "%s", "");
    snprintf(first, 96, "%s", printable.place);
}

cm_status cm_molecules_prepare(cm_molecules *molecules, cm_record *record, cm_error *error) {
    if (record->state != CM_RECORD_RAW) return CM_OK;
    char *text = NULL;
    int64_t length = 0, unknown = 0;
    cm_error reason = {0};
    cm_text name = cm_format("%s", record->id);
    cm_status status = cm_molecule_normalise(molecules->type, record->text, (size_t)record->length,
                                             molecules->path, name.text, &text, &length, &unknown, &reason);
    if (status == CM_DATA && molecules->bad_records == CM_BAD_SKIP) {
        if (molecules->bad++ == 0) cm_error_line(&reason, molecules->first_bad, sizeof molecules->first_bad);
        record->state = CM_RECORD_BAD;
        record->fault = cm_copy_text(reason.found, strlen(reason.found));
        return record->fault ? CM_OK : cm_fail_memory(error, sizeof reason.found);
    }
    if (status != CM_OK) {
        if (error) *error = reason;
        return status;
    }
    cm_free(record->text);
    record->text = text;
    record->length = length;
    record->unknown = unknown;
    record->state = CM_RECORD_READY;
    if (unknown > 0 && molecules->vague++ == 0) remember(molecules->first_vague, name.text);
    return CM_OK;
}

void cm_molecules_note_fault(const cm_molecules *molecules, cm_record *record, int side, cm_faults *faults) {
    faults->rows++;
    if (record->noted[side]) return;
    record->noted[side] = true;
    faults->records++;
    if (faults->n_examples < CM_FAULT_EXAMPLES) {
        cm_error printable;
        cm_fail(&printable, CM_DATA, NULL, place_of(molecules, record->number, record->id).text, NULL, "%s",
                "");
        snprintf(faults->examples[faults->n_examples++], CM_FAULT_TEXT, "%s: %.100s", printable.place,
                 record->fault);
    }
    if (molecules->type == CM_MOLECULE) return;
    int64_t letters[26] = {0}, others = 0;
    bool amino = false;
    cm_sequence_faults(molecules->type, record->text, (size_t)record->length, letters, &others);
    for (int i = 0; i < 26; i++) {
        faults->letters[i] += letters[i];
        amino |= letters[i] > 0 && cm_is_amino_letter((char)('A' + i));
    }
    faults->amino += molecules->type == CM_RNA && amino;
}

/* Whether text is the same molecule as the record's, which is still as written. */
static cm_status same_molecule(const cm_molecules *molecules, const cm_record *record, const char *text,
                               size_t length, bool *same, cm_error *error) {
    *same = (size_t)record->length == length && memcmp(record->text, text, length) == 0;
    if (*same) return CM_OK;
    char *one = NULL, *two = NULL;
    int64_t one_length = 0, two_length = 0, unknown;
    cm_status status = cm_molecule_normalise(molecules->type, record->text, (size_t)record->length,
                                             molecules->path, record->id, &one, &one_length, &unknown, error);
    if (status == CM_OK)
        status = cm_molecule_normalise(molecules->type, text, length, molecules->path, record->id, &two,
                                       &two_length, &unknown, error);
    if (status == CM_OK) *same = one_length == two_length && memcmp(one, two, (size_t)one_length) == 0;
    cm_free(one);
    cm_free(two);
    return status == CM_DATA ? CM_OK : status;
}

static cm_status repeated_id(cm_molecules *molecules, const cm_record *earlier, const char *text,
                             size_t length, long number, cm_error *error) {
    bool same;
    CM_TRY(same_molecule(molecules, earlier, text, length, &same, error));
    cm_text place = place_of(molecules, number, earlier->id);
    if (same) {
        if (molecules->repeated++ == 0) remember(molecules->first_repeated, place.text);
        return CM_OK;
    }
    if (molecules->bad_records != CM_BAD_SKIP)
        return cm_fail(error, CM_DATA, molecules->path, place.text, "one molecule for each id",
                       "another %s than %s %ld of the same id", cm_molecule_type_name(molecules->type),
                       molecules->type == CM_MOLECULE ? "line" : "record", earlier->number);
    if (molecules->conflicts++ == 0) remember(molecules->first_conflict, place.text);
    return CM_OK;
}

static cm_status append(cm_molecules *molecules, const char *id, size_t id_length, const char *text,
                        size_t length, long number, cm_error *error) {
    if (molecules->count == molecules->capacity) {
        int64_t capacity = molecules->capacity ? molecules->capacity * 2 : 64;
        cm_record *records = cm_resize(molecules->records, (size_t)capacity, sizeof *records);
        if (!records) return cm_fail_memory(error, (size_t)capacity * sizeof *records);
        molecules->records = records;
        molecules->capacity = capacity;
    }
    cm_record *record = &molecules->records[molecules->count];
    *record =
        (cm_record){.number = number, .length = (int64_t)length, .state = CM_RECORD_RAW, .slot = {-1, -1}};
    record->id = cm_copy_text(id, id_length);
    record->text = cm_copy_text(text, length);
    if (!record->id || !record->text || !cm_map_put(molecules->by_id, id, id_length, molecules->count)) {
        cm_free(record->id);
        cm_free(record->text);
        return cm_fail_memory(error, length);
    }
    molecules->count++;
    return CM_OK;
}

cm_status cm_molecule_check_id(const char *id, size_t length, const char *file, const char *place,
                               cm_error *error) {
    if (length == 0) return cm_fail(error, CM_DATA, file, place, "an id", "none");
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)id[i] < ' ' || id[i] == 0x7f)
            return cm_fail(error, CM_DATA, file, place,
                           "an id without tabs, line ends and other control bytes",
                           "a control byte at position %zu", i + 1);
    return CM_OK;
}

static cm_status add_record(cm_molecules *molecules, const char *name, const char *text, size_t length,
                            long number, cm_error *error) {
    size_t id_length;
    const char *id = cm_trim(name, &id_length);
    cm_text place = cm_format("%s %ld", molecules->type == CM_MOLECULE ? "line" : "record", number);
    CM_TRY(cm_molecule_check_id(id, id_length, molecules->path, place.text, error));
    int64_t earlier;
    if (cm_map_get(molecules->by_id, id, id_length, &earlier))
        return repeated_id(molecules, &molecules->records[earlier], text, length, number, error);
    return append(molecules, id, id_length, text, length, number, error);
}

static cm_status read_fasta(cm_molecules *molecules, cm_error *error) {
    cm_fasta *fasta;
    CM_TRY(cm_fasta_open(&fasta, molecules->path, error));
    cm_fasta_record record;
    bool more;
    cm_status status;
    while ((status = cm_fasta_next(fasta, &record, &more, error)) == CM_OK && more) {
        status = add_record(molecules, record.name, record.sequence, record.length, record.number, error);
        if (status != CM_OK) break;
    }
    cm_fasta_close(fasta);
    return status;
}

static cm_status read_rows(cm_molecules *molecules, cm_table *table, cm_error *error) {
    int id, smiles;
    CM_TRY(cm_table_require(table, "id", &id, error));
    CM_TRY(cm_table_require(table, "smiles", &smiles, error));
    bool more;
    for (;;) {
        CM_TRY(cm_table_next(table, &more, error));
        if (!more) break;
        size_t length;
        const char *cell = cm_trim(cm_table_cell(table, smiles), &length);
        char *text = cm_copy_text(cell, length);
        if (!text) return cm_fail_memory(error, length);
        cm_status status =
            add_record(molecules, cm_table_cell(table, id), text, length, cm_table_line(table), error);
        cm_free(text);
        CM_TRY(status);
    }
    if (molecules->count == 0)
        return cm_fail(error, CM_DATA, molecules->path, NULL, "at least one molecule", "only a header");
    return CM_OK;
}

static cm_status read_table(cm_molecules *molecules, cm_error *error) {
    cm_table *table;
    CM_TRY(cm_table_open(&table, molecules->path, error));
    cm_status status = read_rows(molecules, table, error);
    cm_table_close(table);
    return status;
}

cm_status cm_molecules_read(cm_molecules *molecules, cm_molecule_type type, cm_bad_records bad_records,
                            const char *path, cm_error *error) {
    *molecules = (cm_molecules){.type = type, .bad_records = bad_records, .path = path};
    molecules->by_id = cm_map_create();
    if (!molecules->by_id) return cm_fail_memory(error, 0);
    return type == CM_MOLECULE ? read_table(molecules, error) : read_fasta(molecules, error);
}

void cm_molecules_clear(cm_molecules *molecules) {
    for (int64_t i = 0; i < molecules->count; i++) {
        cm_free(molecules->records[i].id);
        cm_free(molecules->records[i].text);
        cm_free(molecules->records[i].fault);
    }
    cm_free(molecules->records);
    cm_map_destroy(molecules->by_id);
    *molecules = (cm_molecules){0};
}

void cm_molecules_warn(const cm_molecules *molecules, const cm_runtime *runtime) {
    const cm_molecules *m = molecules;
    if (m->repeated)
        cm_log(runtime, CM_LOG_WARNING,
               "%s: %lld records repeat the id and the %s of an earlier one (first: %s)", m->path,
               (long long)m->repeated, cm_molecule_type_name(m->type), m->first_repeated);
    if (m->conflicts)
        cm_log(runtime, CM_LOG_WARNING,
               "%s: skipped %lld records that give another %s to the id of an earlier one (first: %s)",
               m->path, (long long)m->conflicts, cm_molecule_type_name(m->type), m->first_conflict);
    if (m->bad)
        cm_log(runtime, CM_LOG_WARNING, "%s: skipped %lld bad records and %lld pairs with them (first: %s)",
               m->path, (long long)m->bad, (long long)m->bad_pairs, m->first_bad);
    if (m->vague)
        cm_log(runtime, CM_LOG_WARNING, "%s: %lld of the sequences used have unknown residues (first: %s)",
               m->path, (long long)m->vague, m->first_vague);
}
