/* Data sets: pairs of molecules read from files or given as text. */
#include "data/dataset.h"
#include "base/alloc.h"
#include "base/log.h"
#include "base/sha256.h"
#include "data/molecules.h"
#include "data/pair_table.h"
#include "data/store.h"
#include <assert.h>
#include <math.h>
#include <string.h>

/* Most pairs of an all-against-all request. */
static const int64_t MOST_PAIRS = 50000000;

cm_status cm_dataset_create(cm_dataset **dataset, const cm_dataset_options *options, cm_error *error) {
    *dataset = NULL;
    if (!options->task) return cm_fail(error, CM_USAGE, NULL, NULL, "a task", "none");
    if (!options->subset_column != !options->subset_value)
        return cm_fail(error, CM_USAGE, NULL, NULL, "a subset column and the value wanted", "one of them");
    cm_dataset *made = cm_new(1, sizeof *made);
    cm_dataset_private *store = cm_new(1, sizeof *store);
    if (!made || !store) {
        cm_free(made);
        cm_free(store);
        return cm_fail_memory(error, sizeof *made);
    }
    made->task = options->task;
    made->options = *options;
    made->private_ = store;
    store->slot_of[0] = cm_map_create();
    store->slot_of[1] = cm_map_create();
    store->row_of = cm_map_create();
    store->fold_of = cm_map_create();
    store->group_of = cm_map_create();
    store->ids = cm_arena_create();
    if (!store->slot_of[0] || !store->slot_of[1] || !store->row_of || !store->fold_of || !store->group_of ||
        !store->ids || !cm_sha256_of("", 0, made->hash)) {
        cm_dataset_destroy(made);
        return cm_fail_memory(error, 0);
    }
    *dataset = made;
    return CM_OK;
}

void cm_dataset_destroy(cm_dataset *dataset) {
    if (!dataset) return;
    cm_dataset_private *store = dataset->private_;
    for (int side = 0; side < 2; side++) {
        for (int64_t i = 0; i < store->n_slots[side]; i++) cm_free(store->slots[side][i].text);
        cm_free(store->slots[side]);
        cm_map_destroy(store->slot_of[side]);
        cm_free(dataset->entities[side]);
    }
    for (int64_t i = 0; i < dataset->n_folds; i++) cm_free(dataset->folds[i]);
    for (int64_t i = 0; i < dataset->n_groups; i++) cm_free(dataset->groups[i]);
    cm_free(dataset->folds);
    cm_free(dataset->groups);
    cm_free(dataset->pairs);
    cm_free(store->rows);
    cm_map_destroy(store->row_of);
    cm_map_destroy(store->fold_of);
    cm_map_destroy(store->group_of);
    cm_arena_destroy(store->ids);
    cm_free(store);
    cm_free(dataset);
}

long cm_dataset_pairs(const cm_dataset *dataset) {
    return (long)dataset->n_pairs;
}

long cm_dataset_molecules(const cm_dataset *dataset, int side) {
    assert(side == 0 || side == 1);
    return (long)dataset->n_entities[side];
}

/* The text and the id of a record in the store; the id once for both sides and all rows. */
static cm_status keep_record(cm_dataset *dataset, int side, cm_record *record, const char **id,
                             cm_error *error) {
    if (record->slot[side] < 0)
        CM_TRY(cm_store_text(dataset, side, record->text, record->length, record->unknown,
                             &record->slot[side], error));
    if (!record->kept_id) CM_TRY(cm_store_id(dataset, record->id, &record->kept_id, error));
    *id = record->kept_id;
    return CM_OK;
}

static cm_status keep_pair(cm_dataset *dataset, cm_record *const record[2], cm_row *row, cm_error *error) {
    for (int side = 0; side < 2; side++) {
        CM_TRY(keep_record(dataset, side, record[side], &row->id[side], error));
        row->slot[side] = record[side]->slot[side];
    }
    return CM_OK;
}

static cm_status add_listed(cm_dataset *dataset, const char *path, cm_pair_table *table,
                            cm_molecules *const molecules[2], const cm_runtime *runtime,
                            cm_store_report *report, cm_error *error) {
    CM_TRY(cm_pair_table_read(table, path, &dataset->options, molecules, runtime, error));
    for (int64_t i = 0; i < table->count; i++) {
        const cm_staged *staged = &table->rows[i];
        cm_row row = {.sum = staged->label, .fold = -1, .group = -1};
        CM_TRY(keep_pair(dataset, staged->record, &row, error));
        if (staged->fold >= 0) {
            size_t length;
            const char *name = cm_map_key(table->folds, (size_t)staged->fold, &length, NULL);
            CM_TRY(cm_store_fold(dataset, name, length, &row.fold, error));
        }
        if (staged->group >= 0) {
            size_t length;
            const char *name = cm_map_key(table->groups, (size_t)staged->group, &length, NULL);
            CM_TRY(cm_store_group(dataset, name, length, &row.group, error));
        }
        CM_TRY(cm_store_row(dataset, row, report, error));
    }
    return CM_OK;
}

/* Prepares all records and lists those that can be used: *list [*count], to be freed. Without keep_duplicates
 * only the first record of a text is listed and the others are counted in *repeats. */
static cm_status list_records(cm_dataset *dataset, int side, cm_molecules *molecules, cm_record ***list,
                              int64_t *count, int64_t *repeats, cm_error *error) {
    bool *listed = NULL;
    *list = cm_new((size_t)molecules->count, sizeof **list);
    size_t room = (size_t)(dataset->private_->n_slots[side] + molecules->count);
    listed = cm_new(room, sizeof *listed);
    cm_status status = *list && listed ? CM_OK : cm_fail_memory(error, room);
    *count = *repeats = 0;
    for (int64_t i = 0; i < molecules->count && status == CM_OK; i++) {
        cm_record *record = &molecules->records[i];
        const char *id;
        status = cm_molecules_prepare(molecules, record, error);
        if (status != CM_OK || record->state == CM_RECORD_BAD) continue;
        status = keep_record(dataset, side, record, &id, error);
        if (status != CM_OK) continue;
        bool repeat = listed[record->slot[side]] && !dataset->options.keep_duplicates;
        listed[record->slot[side]] = true;
        if (repeat)
            ++*repeats;
        else
            (*list)[(*count)++] = record;
    }
    cm_free(listed);
    if (status == CM_OK && *count == 0)
        status = cm_fail(error, CM_DATA, molecules->path, NULL, "at least one usable record",
                         "all skipped (first: %s)", molecules->first_bad);
    return status;
}

static cm_status add_product(cm_dataset *dataset, cm_record **const list[2], const int64_t count[2],
                             cm_store_report *report, cm_error *error) {
    bool fresh = dataset->private_->n_rows == 0;
    for (int64_t a = 0; a < count[0]; a++)
        for (int64_t b = 0; b < count[1]; b++) {
            cm_row row = {.sum = NAN, .fold = -1, .group = -1};
            CM_TRY(keep_pair(dataset, (cm_record *[2]){list[0][a], list[1][b]}, &row, error));
            if (fresh)
                CM_TRY(cm_store_new_row(dataset, row, error));
            else
                CM_TRY(cm_store_row(dataset, row, report, error));
        }
    return CM_OK;
}

static cm_status add_all(cm_dataset *dataset, cm_molecules *const molecules[2], cm_store_report *report,
                         cm_error *error) {
    const int64_t n_a = molecules[0]->count, n_b = molecules[1]->count;
    if (n_a > MOST_PAIRS / n_b)
        return cm_fail(error, CM_DATA, molecules[0]->path, NULL,
                       cm_format("at most %lld pairs, or a table of pairs", (long long)MOST_PAIRS).text,
                       "all against all of %lld and %lld molecules", (long long)n_a, (long long)n_b);
    cm_record **list[2] = {NULL, NULL};
    int64_t count[2] = {0, 0}, repeats[2] = {0, 0};
    cm_status status = CM_OK;
    for (int side = 0; side < 2 && status == CM_OK; side++)
        status =
            list_records(dataset, side, molecules[side], &list[side], &count[side], &repeats[side], error);
    if (status == CM_OK) status = add_product(dataset, list, count, report, error);
    int64_t all = (count[0] + repeats[0]) * (count[1] + repeats[1]);
    report->repeats += all - count[0] * count[1];
    cm_free(list[0]);
    cm_free(list[1]);
    return status;
}

static void add_faults(cm_dataset *dataset, const cm_pair_table *table) {
    dataset->unknown_ids += table->unknown_ids;
    for (int side = 0; side < 2; side++) {
        cm_faults *sum = &dataset->faults[side];
        const cm_faults *part = &table->faults[side];
        sum->records += part->records;
        sum->rows += part->rows;
        sum->amino += part->amino;
        for (int i = 0; i < 26; i++) sum->letters[i] += part->letters[i];
        for (int i = 0; i < part->n_examples && sum->n_examples < CM_FAULT_EXAMPLES; i++)
            memcpy(sum->examples[sum->n_examples++], part->examples[i], CM_FAULT_TEXT);
    }
}

static void warn(const cm_dataset *dataset, const char *path, const cm_pair_table *table,
                 cm_molecules *const molecules[2], const cm_store_report *report, const cm_runtime *runtime) {
    cm_molecules_warn(molecules[0], runtime);
    if (molecules[1] != molecules[0]) cm_molecules_warn(molecules[1], runtime);
    if (table->unknown_ids)
        cm_log(runtime, CM_LOG_WARNING, "%s: skipped %lld pairs with an unknown id (first: %s)", path,
               (long long)table->unknown_ids, table->first_unknown);
    if (report->repeats)
        cm_log(runtime, CM_LOG_WARNING, "%s: %lld pairs have the same two molecules as an earlier one; %s",
               path, (long long)report->repeats,
               dataset->options.labels && dataset->task->affinity ? "one stays, with the mean of their labels"
                                                                  : "the first stays");
    if (report->moved)
        cm_log(runtime, CM_LOG_WARNING,
               "%s: %lld of these have another fold; they go to the fold of the first", path,
               (long long)report->moved);
    if (report->contradictions)
        cm_log(runtime, CM_LOG_WARNING,
               "%s: dropped %lld pairs whose two molecules are given with label 0 and with label 1", path,
               (long long)report->contradictions);
}

static cm_status check_paths(const cm_dataset *dataset, const char *a_path, const char *b_path,
                             const char *pairs_path, bool shared, cm_error *error) {
    if (!a_path || !b_path) return cm_fail(error, CM_USAGE, NULL, NULL, "files of both molecules", "one");
    int inputs = (strcmp(a_path, "-") == 0) + (!shared && strcmp(b_path, "-") == 0) +
                 (pairs_path && strcmp(pairs_path, "-") == 0);
    if (inputs > 1) return cm_fail(error, CM_USAGE, "-", NULL, "one file from standard input", "%d", inputs);
    if (!pairs_path &&
        (dataset->options.labels || dataset->options.fold_column || dataset->options.group_column))
        return cm_fail(error, CM_USAGE, NULL, NULL, "a table of pairs, which has labels and folds", "none");
    return CM_OK;
}

/* A failure for lack of memory may come when a part of the rows is in the store; after it the data set can
 * only be destroyed. Every other failure leaves the data set as it was. */
cm_status cm_dataset_add_files(cm_dataset *dataset, const char *a_path, const char *b_path,
                               const char *pairs_path, const cm_runtime *runtime, cm_error *error) {
    const cm_task *task = dataset->task;
    const cm_bad_records bad = dataset->options.bad_records;
    bool shared = task->a == task->b && a_path && b_path && strcmp(a_path, b_path) == 0;
    CM_TRY(check_paths(dataset, a_path, b_path, pairs_path, shared, error));
    cm_molecules files[2] = {0};
    cm_molecules *const molecules[2] = {&files[0], shared ? &files[0] : &files[1]};
    cm_pair_table table = {0};
    cm_store_report report = {.first_row = dataset->private_->n_rows};
    cm_status status = cm_molecules_read(&files[0], task->a, bad, a_path, error);
    if (status == CM_OK && !shared) status = cm_molecules_read(&files[1], task->b, bad, b_path, error);
    if (status == CM_OK)
        status = pairs_path ? add_listed(dataset, pairs_path, &table, molecules, runtime, &report, error)
                            : add_all(dataset, molecules, &report, error);
    if (status == CM_OK) status = cm_store_publish(dataset, &report, error);
    if (status == CM_OK) add_faults(dataset, &table);
    if (status == CM_OK)
        warn(dataset, pairs_path ? pairs_path : "all against all", &table, molecules, &report, runtime);
    cm_pair_table_clear(&table);
    cm_molecules_clear(&files[0]);
    cm_molecules_clear(&files[1]);
    return status;
}

static cm_status keep_text(cm_dataset *dataset, int side, const char *id, const char *text, int32_t *slot,
                           cm_error *error) {
    cm_molecule_type type = side == 0 ? dataset->task->a : dataset->task->b;
    size_t length;
    const char *start = cm_trim(text, &length);
    char *trimmed = cm_copy_text(start, length), *normal = NULL;
    if (!trimmed) return cm_fail_memory(error, length);
    int64_t normal_length, unknown;
    cm_status status =
        cm_molecule_normalise(type, trimmed, length, "", id, &normal, &normal_length, &unknown, error);
    cm_free(trimmed);
    if (status == CM_OK) status = cm_store_text(dataset, side, normal, normal_length, unknown, slot, error);
    cm_free(normal);
    return status;
}

cm_status cm_dataset_add_pair(cm_dataset *dataset, const char *a_id, const char *a_text, const char *b_id,
                              const char *b_text, cm_error *error) {
    if (dataset->options.labels)
        return cm_fail(error, CM_USAGE, NULL, NULL, "a table of pairs with labels", "a pair without a label");
    if (!a_id || !b_id || !a_text || !b_text)
        return cm_fail(error, CM_USAGE, NULL, NULL, "ids and texts of two molecules", "one is missing");
    cm_store_report report = {.first_row = dataset->private_->n_rows};
    cm_row row = {.sum = NAN, .fold = -1, .group = -1};
    CM_TRY(keep_text(dataset, 0, a_id, a_text, &row.slot[0], error));
    CM_TRY(keep_text(dataset, 1, b_id, b_text, &row.slot[1], error));
    CM_TRY(cm_store_id(dataset, a_id, &row.id[0], error));
    CM_TRY(cm_store_id(dataset, b_id, &row.id[1], error));
    CM_TRY(cm_store_row(dataset, row, &report, error));
    return cm_store_publish(dataset, &report, error);
}
