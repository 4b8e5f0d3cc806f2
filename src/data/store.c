/* Keeps the distinct texts and rows of a data set and turns them into its pairs. */
#include "data/store.h"
#include "base/alloc.h"
#include "base/sha256.h"
#include <math.h>
#include <string.h>

/* Room for one more than count elements of size bytes in *items. */
static cm_status grow(void **items, int64_t count, int64_t *capacity, size_t size, cm_error *error) {
    if (count < *capacity) return CM_OK;
    int64_t more = *capacity ? *capacity * 2 : 16;
    void *larger = cm_resize(*items, (size_t)more, size);
    if (!larger) return cm_fail_memory(error, (size_t)more * size);
    *items = larger;
    *capacity = more;
    return CM_OK;
}

/* grow() for a typed array. */
#define GROW(array, count, capacity, error)                                    \
    do {                                                                       \
        void *grown_ = (array);                                                \
        CM_TRY(grow(&grown_, (count), &(capacity), sizeof *(array), (error))); \
        (array) = grown_;                                                      \
    } while (0)

cm_status cm_store_text(cm_dataset *dataset, int side, const char *text, int64_t length, int64_t unknown,
                        int32_t *slot, cm_error *error) {
    cm_dataset_private *store = dataset->private_;
    cm_slot fresh = {.length = length, .unknown = unknown, .entity = -1};
    if (!cm_sha256_of(text, (size_t)length, fresh.digest)) return cm_fail_memory(error, 0);
    int64_t found;
    if (cm_map_get(store->slot_of[side], fresh.digest, 64, &found)) {
        *slot = (int32_t)found;
        return CM_OK;
    }
    int64_t n = store->n_slots[side];
    if (n == INT32_MAX)
        return cm_fail(error, CM_DATA, NULL, NULL, "fewer than 2^31 distinct molecules", "more");
    GROW(store->slots[side], n, store->cap_slots[side], error);
    fresh.text = cm_copy_text(text, (size_t)length);
    if (!fresh.text || !cm_map_put(store->slot_of[side], fresh.digest, 64, n)) {
        cm_free(fresh.text);
        return cm_fail_memory(error, (size_t)length);
    }
    store->slots[side][n] = fresh;
    store->n_slots[side] = n + 1;
    *slot = (int32_t)n;
    return CM_OK;
}

cm_status cm_store_id(cm_dataset *dataset, const char *id, const char **kept, cm_error *error) {
    size_t size = strlen(id) + 1;
    char *copy = cm_arena_take(dataset->private_->ids, size);
    if (!copy) return cm_fail_memory(error, size);
    memcpy(copy, id, size);
    *kept = copy;
    return CM_OK;
}

/* The number of name in the list *names, where it is added when it is new. */
static cm_status store_name(char ***names, int64_t *count, int64_t *capacity, cm_map *number_of,
                            const char *name, size_t length, int32_t *number, cm_error *error) {
    int64_t found;
    if (cm_map_get(number_of, name, length, &found)) {
        *number = (int32_t)found;
        return CM_OK;
    }
    GROW(*names, *count, *capacity, error);
    char *copy = cm_copy_text(name, length);
    if (!copy || !cm_map_put(number_of, name, length, *count)) {
        cm_free(copy);
        return cm_fail_memory(error, length);
    }
    *number = (int32_t)*count;
    (*names)[(*count)++] = copy;
    return CM_OK;
}

cm_status cm_store_fold(cm_dataset *dataset, const char *name, size_t length, int32_t *fold,
                        cm_error *error) {
    cm_dataset_private *store = dataset->private_;
    return store_name(&dataset->folds, &dataset->n_folds, &store->cap_folds, store->fold_of, name, length,
                      fold, error);
}

cm_status cm_store_group(cm_dataset *dataset, const char *name, size_t length, int32_t *group,
                         cm_error *error) {
    cm_dataset_private *store = dataset->private_;
    return store_name(&dataset->groups, &dataset->n_groups, &store->cap_groups, store->group_of, name, length,
                      group, error);
}

static cm_status index_rows(cm_dataset_private *store, cm_error *error) {
    for (; store->n_indexed < store->n_rows; store->n_indexed++) {
        const cm_row *row = &store->rows[store->n_indexed];
        if (!cm_map_put(store->row_of, row->slot, sizeof row->slot, store->n_indexed))
            return cm_fail_memory(error, 0);
    }
    return CM_OK;
}

cm_status cm_store_new_row(cm_dataset *dataset, cm_row row, cm_error *error) {
    cm_dataset_private *store = dataset->private_;
    GROW(store->rows, store->n_rows, store->cap_rows, error);
    row.count = 1;
    store->rows[store->n_rows++] = row;
    return CM_OK;
}

/* A later row of the same two texts. Equal labels: the first stays. Binary: contradicting labels drop all
 * rows. Affinity: the label becomes the mean. */
static void join(const cm_dataset *dataset, cm_row *earlier, const cm_row *row, bool is_old,
                 cm_store_report *report) {
    bool labelled = dataset->options.labels;
    if (earlier->count == 0) {
        report->contradictions++;
    } else if (labelled && !dataset->task->affinity && earlier->sum != row->sum * earlier->count) {
        report->contradictions += earlier->count + 1;
        earlier->count = 0;
        report->changed |= is_old;
    } else {
        report->repeats++;
        earlier->count++;
        earlier->sum += row->sum;
        report->moved += earlier->fold != row->fold;
        report->changed |= is_old && labelled && dataset->task->affinity;
    }
}

cm_status cm_store_row(cm_dataset *dataset, cm_row row, cm_store_report *report, cm_error *error) {
    cm_dataset_private *store = dataset->private_;
    int64_t at;
    if (!dataset->options.keep_duplicates) {
        CM_TRY(index_rows(store, error));
        if (cm_map_get(store->row_of, row.slot, sizeof row.slot, &at)) {
            join(dataset, &store->rows[at], &row, at < report->first_row, report);
            return CM_OK;
        }
    }
    return cm_store_new_row(dataset, row, error);
}

static cm_status publish_entity(cm_dataset *dataset, int side, int32_t number, int32_t *entity,
                                cm_error *error) {
    cm_dataset_private *store = dataset->private_;
    cm_slot *slot = &store->slots[side][number];
    if (slot->entity < 0) {
        int64_t n = dataset->n_entities[side];
        GROW(dataset->entities[side], n, store->cap_entities[side], error);
        dataset->entities[side][n] = (cm_entity){
            .text = slot->text,
            .length = slot->length,
            .unknown = (double)slot->unknown / (double)slot->length,
        };
        slot->entity = (int32_t)n;
        dataset->n_entities[side] = n + 1;
    }
    *entity = slot->entity;
    return CM_OK;
}

/* The hash is a chain: sha256 over the hash of the pairs before, the sha256 of both texts, the label as
 * little-endian float32 and the name of the fold, so that adding a pair costs the same at any size. */
static cm_status extend_hash(cm_dataset *dataset, const cm_row *row, float label, cm_error *error) {
    const cm_dataset_private *store = dataset->private_;
    uint32_t bits;
    memcpy(&bits, &label, sizeof bits);
    unsigned char bytes[4];
    for (int i = 0; i < 4; i++) bytes[i] = (unsigned char)(bits >> (8 * i));
    cm_sha256 *hash = cm_sha256_create();
    if (!hash) return cm_fail_memory(error, 0);
    cm_sha256_add(hash, dataset->hash, 64);
    for (int side = 0; side < 2; side++) cm_sha256_add(hash, store->slots[side][row->slot[side]].digest, 64);
    cm_sha256_add(hash, bytes, sizeof bytes);
    if (row->fold >= 0) cm_sha256_add(hash, dataset->folds[row->fold], strlen(dataset->folds[row->fold]));
    cm_sha256_finish(hash, dataset->hash);
    return CM_OK;
}

static cm_status publish_row(cm_dataset *dataset, const cm_row *row, cm_error *error) {
    cm_dataset_private *store = dataset->private_;
    GROW(dataset->pairs, dataset->n_pairs, store->cap_pairs, error);
    cm_pair pair = {.fold = row->fold, .group = row->group, .id = {row->id[0], row->id[1]}};
    pair.label = dataset->options.labels ? (float)(row->sum / row->count) : NAN;
    for (int side = 0; side < 2; side++)
        CM_TRY(publish_entity(dataset, side, row->slot[side], &pair.entity[side], error));
    CM_TRY(extend_hash(dataset, row, pair.label, error));
    dataset->pairs[dataset->n_pairs++] = pair;
    return CM_OK;
}

static cm_status forget_pairs(cm_dataset *dataset, cm_error *error) {
    cm_dataset_private *store = dataset->private_;
    dataset->n_pairs = 0;
    for (int side = 0; side < 2; side++) {
        dataset->n_entities[side] = 0;
        for (int64_t i = 0; i < store->n_slots[side]; i++) store->slots[side][i].entity = -1;
    }
    return cm_sha256_of("", 0, dataset->hash) ? CM_OK : cm_fail_memory(error, 0);
}

cm_status cm_store_publish(cm_dataset *dataset, const cm_store_report *report, cm_error *error) {
    const cm_dataset_private *store = dataset->private_;
    int64_t from = report->first_row;
    if (report->changed || from == 0) {
        CM_TRY(forget_pairs(dataset, error));
        from = 0;
    }
    for (int64_t i = from; i < store->n_rows; i++)
        if (store->rows[i].count > 0) CM_TRY(publish_row(dataset, &store->rows[i], error));
    return CM_OK;
}
