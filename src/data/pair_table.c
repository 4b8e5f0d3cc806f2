/* Reads a table of pairs: finds the records of its ids, checks labels and folds. */
#include "data/pair_table.h"
#include "base/alloc.h"
#include "base/log.h"
#include "io/table.h"
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct columns {
    int id[2], label, fold, group, subset; /* -1: not wanted */
} columns;

/* One reading of a file: what is constant over its rows. */
typedef struct reading {
    cm_pair_table *out;
    cm_table *table;
    const cm_dataset_options *options;
    cm_molecules *const *molecules;
    columns columns;
} reading;

static cm_status find_columns(reading *r, cm_error *error) {
    const cm_dataset_options *options = r->options;
    r->columns = (columns){.id = {-1, -1}, .label = -1, .fold = -1, .group = -1, .subset = -1};
    CM_TRY(cm_table_require(r->table, "id_a", &r->columns.id[0], error));
    CM_TRY(cm_table_require(r->table, "id_b", &r->columns.id[1], error));
    if (options->labels) CM_TRY(cm_table_require(r->table, "label", &r->columns.label, error));
    if (options->fold_column)
        CM_TRY(cm_table_require(r->table, options->fold_column, &r->columns.fold, error));
    if (options->group_column)
        CM_TRY(cm_table_require(r->table, options->group_column, &r->columns.group, error));
    if (options->subset_column)
        CM_TRY(cm_table_require(r->table, options->subset_column, &r->columns.subset, error));
    return CM_OK;
}

static cm_text line_of(const reading *r) {
    return cm_format("line %ld", cm_table_line(r->table));
}

/* The message for an id without a record, with the likeliest reason. */
static cm_status unknown_id(const reading *r, int side, const char *id, cm_error *error) {
    static const char *const columns_of[2] = {"id_a", "id_b"};
    const cm_molecules *here = r->molecules[side], *there = r->molecules[1 - side];
    cm_text expected = cm_format("an id of %s in column %s", here->path, columns_of[side]);
    const char *similar = cm_molecules_similar(here, id);
    if (similar)
        return cm_fail(error, CM_DATA, cm_table_path(r->table), line_of(r).text, expected.text,
                       "id %.60s: no record with this id in %s (it has %.60s)", id, here->path, similar);
    if (here != there && cm_molecules_find(there, id))
        return cm_fail(error, CM_DATA, cm_table_path(r->table), line_of(r).text, expected.text,
                       "id %.60s: no record with this id in %s (%s has one: are id_a and id_b swapped?)", id,
                       here->path, there->path);
    return cm_fail(error, CM_DATA, cm_table_path(r->table), line_of(r).text, expected.text,
                   "id %.60s: no record with this id in %s", id, here->path);
}

/* *record is NULL when the row is to be skipped. */
static cm_status find_record(reading *r, int side, cm_record **record, cm_error *error) {
    size_t length;
    const char *cell = cm_trim(cm_table_cell(r->table, r->columns.id[side]), &length);
    char *id = cm_copy_text(cell, length);
    if (!id) return cm_fail_memory(error, length);
    *record = cm_molecules_find(r->molecules[side], id);
    cm_status status = CM_OK;
    if (!*record && r->options->bad_records == CM_BAD_SKIP) {
        cm_error reason = {0};
        /* only the first is looked into: the search for a similar id goes over all records */
        if (r->out->unknown_ids++ == 0) {
            unknown_id(r, side, id, &reason);
            cm_error_line(&reason, r->out->first_unknown, sizeof r->out->first_unknown);
        }
    } else if (!*record) {
        status = unknown_id(r, side, id, error);
    }
    cm_free(id);
    return status;
}

static cm_status read_label(reading *r, double *label, cm_error *error) {
    if (r->columns.label < 0) {
        *label = NAN;
        return CM_OK;
    }
    if (r->options->task->affinity) {
        CM_TRY(cm_table_number(r->table, r->columns.label, label, error));
        if (fabs(*label) > FLT_MAX)
            return cm_fail(error, CM_DATA, cm_table_path(r->table), line_of(r).text,
                           "a label that fits a 32-bit float", "%g", *label);
        return CM_OK;
    }
    size_t length;
    const char *cell = cm_trim(cm_table_cell(r->table, r->columns.label), &length);
    bool plain = length == 1 || (length == 3 && memcmp(cell + 1, ".0", 2) == 0);
    if (!plain || (cell[0] != '0' && cell[0] != '1'))
        return cm_fail(error, CM_DATA, cm_table_path(r->table), line_of(r).text, "label 0 or 1",
                       "label \"%.*s\"", (int)(length < 60 ? length : 60), cell);
    *label = cell[0] - '0';
    return CM_OK;
}

/* The number of a cell's name among names; -1 without the column. what: for the message. */
static cm_status read_name(reading *r, int column, cm_map *names, const char *column_name, const char *what,
                           int64_t *number, cm_error *error) {
    *number = -1;
    if (column < 0) return CM_OK;
    size_t length;
    const char *cell = cm_trim(cm_table_cell(r->table, column), &length);
    if (length == 0)
        return cm_fail(error, CM_DATA, cm_table_path(r->table), line_of(r).text, what,
                       "an empty cell in column %s", column_name);
    if (column == r->columns.fold && length == 1 && *cell == '-') return CM_OK; /* only trains */
    if (cm_map_get(names, cell, length, number)) return CM_OK;
    *number = (int64_t)cm_map_count(names);
    return cm_map_put(names, cell, length, *number) ? CM_OK : cm_fail_memory(error, length);
}

static cm_status stage(cm_pair_table *out, const cm_staged *row, cm_error *error) {
    if (out->count == out->capacity) {
        int64_t capacity = out->capacity ? out->capacity * 2 : 256;
        cm_staged *rows = cm_resize(out->rows, (size_t)capacity, sizeof *rows);
        if (!rows) return cm_fail_memory(error, (size_t)capacity * sizeof *rows);
        out->rows = rows;
        out->capacity = capacity;
    }
    out->rows[out->count++] = *row;
    return CM_OK;
}

static bool in_subset(const reading *r) {
    if (r->columns.subset < 0) return true;
    size_t length;
    const char *cell = cm_trim(cm_table_cell(r->table, r->columns.subset), &length);
    return strlen(r->options->subset_value) == length && memcmp(cell, r->options->subset_value, length) == 0;
}

static cm_status read_row(reading *r, cm_error *error) {
    cm_staged row;
    CM_TRY(find_record(r, 0, &row.record[0], error));
    if (row.record[0]) CM_TRY(find_record(r, 1, &row.record[1], error));
    CM_TRY(read_label(r, &row.label, error));
    CM_TRY(read_name(r, r->columns.fold, r->out->folds, r->options->fold_column, "the name of a fold, or -",
                     &row.fold, error));
    CM_TRY(read_name(r, r->columns.group, r->out->groups, r->options->group_column, "the name of a group",
                     &row.group, error));
    if (!row.record[0] || !row.record[1]) return CM_OK;
    for (int side = 0; side < 2; side++) {
        CM_TRY(cm_molecules_prepare(r->molecules[side], row.record[side], error));
        if (row.record[side]->state == CM_RECORD_BAD) {
            r->molecules[side]->bad_pairs++;
            cm_molecules_note_fault(r->molecules[side], row.record[side], side, &r->out->faults[side]);
            return CM_OK;
        }
    }
    return stage(r->out, &row, error);
}

static cm_status read_rows(reading *r, const cm_runtime *runtime, cm_error *error) {
    int64_t seen = 0, wanted = 0;
    for (bool more;; seen++) {
        CM_TRY(cm_table_next(r->table, &more, error));
        if (!more) break;
        if (seen % 1024 == 0 && cm_stopped(runtime))
            return cm_fail(error, CM_INTERRUPTED, cm_table_path(r->table), NULL, NULL, "stopped on request");
        if (!in_subset(r)) continue;
        wanted++;
        CM_TRY(read_row(r, error));
    }
    const char *path = cm_table_path(r->table);
    if (seen == 0) return cm_fail(error, CM_DATA, path, NULL, "at least one pair", "only a header");
    if (wanted == 0)
        return cm_fail(error, CM_DATA, path, cm_format("column %s", r->options->subset_column).text,
                       cm_format("rows with the value %s", r->options->subset_value).text, "none");
    if (r->out->count == 0) {
        const char *why = r->out->unknown_ids             ? r->out->first_unknown
                          : r->molecules[0]->first_bad[0] ? r->molecules[0]->first_bad
                                                          : r->molecules[1]->first_bad;
        return cm_fail(error, CM_DATA, path, NULL, "at least one usable pair",
                       "%lld pairs, all skipped (first: %s)", (long long)wanted, why);
    }
    return CM_OK;
}

cm_status cm_pair_table_read(cm_pair_table *table, const char *path, const cm_dataset_options *options,
                             cm_molecules *const molecules[2], const cm_runtime *runtime, cm_error *error) {
    *table = (cm_pair_table){.folds = cm_map_create(), .groups = cm_map_create()};
    if (!table->folds || !table->groups) return cm_fail_memory(error, 0);
    reading r = {.out = table, .options = options, .molecules = molecules};
    CM_TRY(cm_table_open(&r.table, path, error));
    cm_status status = find_columns(&r, error);
    if (status == CM_OK) status = read_rows(&r, runtime, error);
    cm_table_close(r.table);
    return status;
}

void cm_pair_table_clear(cm_pair_table *table) {
    cm_free(table->rows);
    cm_map_destroy(table->folds);
    cm_map_destroy(table->groups);
    *table = (cm_pair_table){0};
}
