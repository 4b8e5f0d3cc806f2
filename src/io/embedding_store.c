/* The embedding store's tables:
 *   meta      "format" -> u32 version; "next" -> u32 number of the next encoder, so that none is used twice
 *   encoders  id -> row_head, then the description
 *   records   sha256(id, 0 byte, text), 32 bytes -> record_head, then f32 [rows, width]
 * A record is whole when its encoder's number is known, its size follows from rows and width and its checksum
 * holds. Removing an encoder first removes its row, in a transaction of its own: from then on its records are
 * nobody's, whatever happens before the last of them is gone. */
#include "io/embedding_store.h"

#include "base/alloc.h"
#include "base/sha256.h"
#include "io/store_env.h"
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <xxhash.h>

enum { MAX_ID = 511, KEY_BYTES = 32 };
static const size_t max_value = UINT32_MAX; /* LMDB's */
static const char next_key[] = "next";

struct cm_embeddings {
    cm_store_env *env;
};

typedef struct row_head {
    uint32_t number, reserved;
    int64_t width;
} row_head;

typedef struct record_head {
    uint32_t number, reserved;
    int64_t rows;
    uint64_t checksum; /* of key, number, rows and floats */
} record_head;

static MDB_val value_of(const void *data, size_t size) {
    return (MDB_val){size, (void *)(uintptr_t)data};
}

/* ---- opening ---- */

cm_status cm_embeddings_open_sized(cm_embeddings **store, const char *folder, bool create, size_t first_map,
                                   cm_error *error) {
    cm_embeddings *opened = cm_new(1, sizeof *opened);
    if (!opened) return cm_fail_memory(error, sizeof *opened);
    cm_status status = cm_store_env_open(&opened->env, folder, create, first_map, error);
    if (status != CM_OK) {
        cm_free(opened);
        return status;
    }
    *store = opened;
    return CM_OK;
}

cm_status cm_embeddings_open(cm_embeddings **store, const char *folder, bool create, cm_error *error) {
    return cm_embeddings_open_sized(store, folder, create, (size_t)1 << 30, error);
}

void cm_embeddings_close(cm_embeddings *store) {
    if (!store) return;
    cm_store_env_close(store->env);
    cm_free(store);
}

/* ---- encoders ---- */

/* 0, MDB_NOTFOUND or another code. description gets the bytes behind the head, valid in the transaction. */
static int find_encoder(const cm_store_txn *txn, const char *id, row_head *row, MDB_val *description) {
    MDB_val key = value_of(id, strlen(id)), value;
    int code = mdb_get(txn->txn, txn->encoders, &key, &value);
    if (code) return code;
    if (value.mv_size < sizeof *row) return MDB_CORRUPTED;
    memcpy(row, value.mv_data, sizeof *row);
    if (description)
        *description = value_of((char *)value.mv_data + sizeof *row, value.mv_size - sizeof *row);
    return 0;
}

/* As find_encoder, and CM_STORE_REFUSED when the width is another. */
static int find_with_width(cm_store_txn *txn, const char *id, int64_t width, row_head *row,
                           MDB_val *description) {
    int code = find_encoder(txn, id, row, description);
    if (code || row->width == width) return code;
    txn->status = cm_fail(txn->error, CM_DATA, txn->folder, cm_format("encoder %s", id).text,
                          cm_format("width %" PRId64, row->width).text, "width %" PRId64, width);
    return CM_STORE_REFUSED;
}

static int put_encoder(const cm_store_txn *txn, const char *id, const row_head *row,
                       const char *description) {
    size_t length = strlen(description);
    MDB_val key = value_of(id, strlen(id)), value = {sizeof *row + length, NULL};
    int code = mdb_put(txn->txn, txn->encoders, &key, &value, MDB_RESERVE);
    if (code) return code;
    memcpy(value.mv_data, row, sizeof *row);
    memcpy((char *)value.mv_data + sizeof *row, description, length);
    return 0;
}

/* A new row with the next number. */
static int add_encoder(cm_store_txn *txn, const char *id, int64_t width, const char *description,
                       row_head *row) {
    uint32_t number = 1, after;
    MDB_val key = value_of(next_key, sizeof next_key - 1), value;
    int code = mdb_get(txn->txn, txn->meta, &key, &value);
    if (code == 0 && value.mv_size != sizeof number) return MDB_CORRUPTED;
    if (code == 0) memcpy(&number, value.mv_data, sizeof number);
    if (code && code != MDB_NOTFOUND) return code;
    after = number + 1;
    value = value_of(&after, sizeof after);
    code = mdb_put(txn->txn, txn->meta, &key, &value, 0);
    *row = (row_head){.number = number, .width = width};
    return code ? code : put_encoder(txn, id, row, description);
}

static cm_status check_encoder(const cm_embeddings *store, const char *id, int64_t width, cm_error *error) {
    size_t length = strlen(id);
    const char *folder = cm_store_env_folder(store->env);
    if (length == 0 || length > MAX_ID)
        return cm_fail(error, CM_USAGE, folder, NULL, cm_format("1 to %d bytes", MAX_ID).text,
                       "an encoder id of %zu bytes", length);
    if (width < 1)
        return cm_fail(error, CM_USAGE, folder, cm_format("encoder %s", id).text, "a positive width",
                       "width %" PRId64, width);
    return CM_OK;
}

typedef struct encoder_job {
    const char *id, *description;
    int64_t width; /* width_work: of the store, 0 for none */
    bool known;
} encoder_job;

static int ask_work(cm_store_txn *txn, void *context) {
    encoder_job *job = context;
    row_head row;
    MDB_val description;
    int code = find_with_width(txn, job->id, job->width, &row, &description);
    job->known = code == 0 && (description.mv_size > 0 || !job->description[0]);
    return code == MDB_NOTFOUND ? 0 : code;
}

static int register_work(cm_store_txn *txn, void *context) {
    encoder_job *job = context;
    row_head row;
    MDB_val description;
    int code = find_with_width(txn, job->id, job->width, &row, &description);
    if (code == MDB_NOTFOUND) return add_encoder(txn, job->id, job->width, job->description, &row);
    if (code || description.mv_size > 0) return code;
    return put_encoder(txn, job->id, &row, job->description);
}

/* Asks first: a write would wait for other processes and for the disk. */
cm_status cm_embeddings_encoder(cm_embeddings *store, const char *id, int64_t width, const char *description,
                                cm_error *error) {
    CM_TRY(check_encoder(store, id, width, error));
    encoder_job job = {.id = id, .description = description, .width = width};
    CM_TRY(cm_store_env_read(store->env, ask_work, &job, error));
    return job.known ? CM_OK : cm_store_env_write(store->env, register_work, &job, error);
}

static int width_work(cm_store_txn *txn, void *context) {
    encoder_job *job = context;
    row_head row = {0};
    int code = find_encoder(txn, job->id, &row, NULL);
    job->width = code == 0 ? row.width : 0;
    return code == MDB_NOTFOUND ? 0 : code;
}

cm_status cm_embeddings_width(cm_embeddings *store, const char *id, int64_t *width, cm_error *error) {
    CM_TRY(check_encoder(store, id, 1, error));
    encoder_job job = {.id = id};
    CM_TRY(cm_store_env_read(store->env, width_work, &job, error));
    *width = job.width;
    return CM_OK;
}

/* ---- records ---- */

static bool make_key(const char *id, const char *text, int64_t length, unsigned char key[KEY_BYTES]) {
    char hex[65];
    cm_sha256 *hash = cm_sha256_create();
    if (!hash) return false;
    cm_sha256_add(hash, id, strlen(id) + 1);
    cm_sha256_add(hash, text, (size_t)length);
    cm_sha256_finish(hash, hex);
    for (int i = 0; i < KEY_BYTES; i++) {
        int high = (unsigned char)hex[2 * i], low = (unsigned char)hex[2 * i + 1];
        key[i] = (unsigned char)((high <= '9' ? high - '0' : high - 'a' + 10) << 4 |
                                 (low <= '9' ? low - '0' : low - 'a' + 10));
    }
    return true;
}

/* False when a record [rows, width] is negative or larger than a value can be. */
static bool value_bytes(int64_t rows, int64_t width, size_t *bytes) {
    size_t floats;
    return rows >= 0 && cm_size_mul((size_t)rows, (size_t)width, &floats) &&
           cm_size_mul(floats, sizeof(float), &floats) && cm_size_add(floats, sizeof(record_head), bytes) &&
           *bytes <= max_value;
}

static uint64_t checksum_of(const unsigned char key[KEY_BYTES], const record_head *head, const void *floats,
                            size_t bytes) {
    unsigned char first[KEY_BYTES + 12];
    memcpy(first, key, KEY_BYTES);
    memcpy(first + KEY_BYTES, &head->number, 4);
    memcpy(first + KEY_BYTES + 4, &head->rows, 8);
    return XXH64(floats, bytes, XXH64(first, sizeof first, 0));
}

/* Whether value is a whole record of an encoder with this width. */
static bool is_whole(const unsigned char key[KEY_BYTES], const MDB_val *value, int64_t width,
                     record_head *head) {
    size_t bytes;
    if (value->mv_size < sizeof *head) return false;
    memcpy(head, value->mv_data, sizeof *head);
    if (!value_bytes(head->rows, width, &bytes) || bytes != value->mv_size) return false;
    return head->checksum ==
           checksum_of(key, head, (char *)value->mv_data + sizeof *head, bytes - sizeof *head);
}

typedef struct get_job {
    const char *id;
    unsigned char key[KEY_BYTES];
    int64_t width, learnt, rows;
    float *out;
} get_job;

static int get_work(cm_store_txn *txn, void *context) {
    get_job *job = context;
    row_head row;
    record_head head;
    job->rows = -1;
    int code = find_with_width(txn, job->id, job->width, &row, NULL);
    if (code) return code == MDB_NOTFOUND ? 0 : code;
    MDB_val key = value_of(job->key, KEY_BYTES), value;
    code = mdb_get(txn->txn, txn->records, &key, &value);
    if (code) return code == MDB_NOTFOUND ? 0 : code;
    if (!is_whole(job->key, &value, job->width, &head) || head.number != row.number) return 0;
    job->rows = head.rows;
    if (!job->out) return 0;
    if (head.rows != job->learnt) {
        txn->status =
            cm_fail(txn->error, CM_DATA, txn->folder, cm_format("encoder %s", job->id).text,
                    cm_format("%" PRId64, job->learnt).text, "a record of %" PRId64 " rows", head.rows);
        return CM_STORE_REFUSED;
    }
    memcpy(job->out, (char *)value.mv_data + sizeof head, value.mv_size - sizeof head);
    return 0;
}

cm_status cm_embeddings_get(cm_embeddings *store, const char *id, const char *text, int64_t length,
                            int64_t width, int64_t *rows, float *out, cm_error *error) {
    CM_TRY(check_encoder(store, id, width, error));
    get_job job = {.id = id, .width = width, .learnt = out ? *rows : 0, .out = out};
    if (!make_key(id, text, length, job.key)) return cm_fail_memory(error, 0);
    CM_TRY(cm_store_env_read(store->env, get_work, &job, error));
    *rows = job.rows;
    return CM_OK;
}

typedef struct put_job {
    const char *id;
    int64_t width, n;
    const cm_embeddings_record *records;
} put_job;

/* Writes one record unless a whole one is there. */
static int put_record(cm_store_txn *txn, const put_job *job, uint32_t number,
                      const cm_embeddings_record *record) {
    unsigned char name[KEY_BYTES];
    size_t bytes = 0;
    if (!make_key(job->id, record->text, record->length, name)) return ENOMEM;
    value_bytes(record->rows, job->width, &bytes); /* fits: put has checked */
    MDB_val key = value_of(name, KEY_BYTES), value = {bytes, NULL};
    int code = mdb_put(txn->txn, txn->records, &key, &value, MDB_NOOVERWRITE | MDB_RESERVE);
    record_head head = {0};
    if (code == MDB_KEYEXIST) {
        if (is_whole(name, &value, job->width, &head) && head.number == number) return 0;
        value = (MDB_val){bytes, NULL};
        code = mdb_put(txn->txn, txn->records, &key, &value, MDB_RESERVE);
    }
    if (code) return code;
    size_t floats = bytes - sizeof head;
    head = (record_head){.number = number, .rows = record->rows};
    head.checksum = checksum_of(name, &head, record->data, floats);
    memcpy(value.mv_data, &head, sizeof head);
    if (floats > 0) memcpy((char *)value.mv_data + sizeof head, record->data, floats);
    return 0;
}

static int put_work(cm_store_txn *txn, void *context) {
    const put_job *job = context;
    row_head row;
    int code = find_with_width(txn, job->id, job->width, &row, NULL);
    if (code == MDB_NOTFOUND) code = add_encoder(txn, job->id, job->width, "", &row);
    for (int64_t i = 0; i < job->n && code == 0; i++)
        code = put_record(txn, job, row.number, &job->records[i]);
    return code;
}

cm_status cm_embeddings_put(cm_embeddings *store, const char *id, int64_t width,
                            const cm_embeddings_record *records, int64_t n, cm_error *error) {
    CM_TRY(check_encoder(store, id, width, error));
    for (int64_t i = 0; i < n; i++) {
        size_t bytes;
        if (!value_bytes(records[i].rows, width, &bytes))
            return cm_fail(error, CM_USAGE, cm_store_env_folder(store->env), cm_format("encoder %s", id).text,
                           "records of less than 4 GiB", "%" PRId64 " rows of width %" PRId64,
                           records[i].rows, width);
    }
    put_job job = {.id = id, .width = width, .n = n, .records = records};
    return n > 0 ? cm_store_env_write(store->env, put_work, &job, error) : CM_OK;
}

/* ---- all encoders ---- */

typedef struct encoder_row {
    char *id, *description; /* id owns both */
    uint32_t number;
    int64_t width, records, rows, bytes, damaged;
} encoder_row;

/* The encoders in the order of their ids, and last a row of number 0 for the records of none. */
typedef struct encoder_table {
    encoder_row *rows;
    size_t count;
} encoder_table;

static void clear_table(encoder_table *table) {
    for (size_t i = 0; i < table->count; i++) cm_free(table->rows[i].id);
    cm_free(table->rows);
    *table = (encoder_table){0};
}

/* The two texts, one after the other, each with a NUL. */
static bool copy_row(encoder_row *row, const MDB_val *id, const MDB_val *value, const row_head *head) {
    size_t length = value->mv_size - sizeof *head;
    *row = (encoder_row){.number = head->number, .width = head->width};
    row->id = cm_new(id->mv_size + 1 + length + 1, 1);
    if (!row->id) return false;
    row->description = row->id + id->mv_size + 1;
    memcpy(row->id, id->mv_data, id->mv_size);
    memcpy(row->description, (char *)value->mv_data + sizeof *head, length);
    return true;
}

static int load_rows(const cm_store_txn *txn, MDB_cursor *cursor, encoder_table *table) {
    MDB_stat info;
    MDB_val id, value;
    row_head head;
    int code = mdb_stat(txn->txn, txn->encoders, &info);
    if (code) return code;
    table->rows = cm_new(info.ms_entries + 1, sizeof *table->rows);
    if (!table->rows) return ENOMEM;
    while (table->count < info.ms_entries && (code = mdb_cursor_get(cursor, &id, &value, MDB_NEXT)) == 0) {
        if (value.mv_size < sizeof head) return MDB_CORRUPTED;
        memcpy(&head, value.mv_data, sizeof head);
        if (head.width < 1) return MDB_CORRUPTED;
        if (!copy_row(&table->rows[table->count], &id, &value, &head)) return ENOMEM;
        table->count++;
    }
    if (code && code != MDB_NOTFOUND) return code;
    static const row_head none = {.width = 1};
    MDB_val no_id = value_of("", 0), no_value = {sizeof none, (void *)(uintptr_t)&none};
    return copy_row(&table->rows[table->count++], &no_id, &no_value, &none) ? 0 : ENOMEM;
}

/* Replaces what table holds. */
static int load_table(const cm_store_txn *txn, encoder_table *table) {
    MDB_cursor *cursor;
    clear_table(table);
    int code = mdb_cursor_open(txn->txn, txn->encoders, &cursor);
    if (code) return code;
    code = load_rows(txn, cursor, table);
    mdb_cursor_close(cursor);
    return code;
}

/* The row that a record belongs to by its number. *whole: the record is good. */
static encoder_row *judge(const encoder_table *table, const MDB_val *key, const MDB_val *value,
                          record_head *head, bool *whole) {
    encoder_row *nobody = &table->rows[table->count - 1], *row = nobody;
    *whole = false;
    if (key->mv_size != KEY_BYTES || value->mv_size < sizeof *head) return nobody;
    memcpy(head, value->mv_data, sizeof *head);
    for (size_t i = 0; i + 1 < table->count && row == nobody; i++) {
        if (table->rows[i].number == head->number) row = &table->rows[i];
    }
    *whole = row != nobody && is_whole(key->mv_data, value, row->width, head);
    return row;
}

static int list_work(cm_store_txn *txn, void *context) {
    encoder_table *table = context;
    MDB_cursor *cursor;
    MDB_val key, value;
    record_head head;
    bool whole;
    int code = load_table(txn, table);
    if (code == 0) code = mdb_cursor_open(txn->txn, txn->records, &cursor);
    if (code) return code;
    while ((code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        encoder_row *row = judge(table, &key, &value, &head, &whole);
        row->damaged += !whole;
        if (!whole) continue;
        row->records++;
        row->rows += head.rows;
        row->bytes += (int64_t)(value.mv_size - sizeof head);
    }
    mdb_cursor_close(cursor);
    return code == MDB_NOTFOUND ? 0 : code;
}

cm_status cm_embeddings_list(cm_embeddings *store, cm_embeddings_info_sink sink, void *context,
                             cm_error *error) {
    encoder_table table = {0};
    cm_status status = cm_store_env_read(store->env, list_work, &table, error);
    for (size_t i = 0; i < table.count && status == CM_OK; i++) {
        const encoder_row *row = &table.rows[i];
        if (row->number == 0 && row->damaged == 0) continue;
        cm_embeddings_info info = {.id = row->id,
                                   .description = row->description,
                                   .width = row->number ? row->width : 0,
                                   .records = row->records,
                                   .rows = row->rows,
                                   .bytes = row->bytes,
                                   .damaged = row->damaged};
        if (sink(context, &info) != 0) break;
    }
    clear_table(&table);
    return status;
}

/* ---- removing ---- */

/* One transaction's share, small so that other writers get their turn and LMDB's list of dirty pages stays
 * short. */
static const size_t share_bytes = (size_t)64 << 20;
enum { SHARE_REMOVED = 512 };

typedef struct gc_job {
    const char *id;
    uint32_t number; /* of the encoder whose records go; 0: damaged records only */
    encoder_table table;
    unsigned char from[KEY_BYTES], next[KEY_BYTES]; /* where the share begins and the next one will */
    bool begun;      /* the first share begins at the first record, whose key may be of a wrong size */
    int64_t removed; /* of this share */
    bool done;
} gc_job;

static int remove_encoder_work(cm_store_txn *txn, void *context) {
    gc_job *job = context;
    row_head row = {0};
    int code = find_encoder(txn, job->id, &row, NULL);
    if (code == MDB_NOTFOUND) {
        txn->status = cm_fail(txn->error, CM_USAGE, txn->folder, NULL, "an encoder of the store",
                              "encoder %s", job->id);
        return CM_STORE_REFUSED;
    }
    if (code) return code;
    job->number = row.number;
    MDB_val key = value_of(job->id, strlen(job->id));
    return mdb_del(txn->txn, txn->encoders, &key, NULL);
}

static bool must_go(const gc_job *job, const MDB_val *key, const MDB_val *value) {
    record_head head;
    bool whole;
    if (job->number == 0) {
        judge(&job->table, key, value, &head, &whole);
        return !whole;
    }
    if (value->mv_size < sizeof head) return false;
    memcpy(&head, value->mv_data, sizeof head);
    return head.number == job->number;
}

static int remove_share(gc_job *job, MDB_cursor *cursor) {
    MDB_val key = value_of(job->from, KEY_BYTES), value;
    size_t seen = 0;
    int code = mdb_cursor_get(cursor, &key, &value, job->begun ? MDB_SET_RANGE : MDB_FIRST);
    while (code == 0) {
        if (key.mv_size == KEY_BYTES) memcpy(job->next, key.mv_data, KEY_BYTES);
        if (seen > share_bytes || job->removed >= SHARE_REMOVED) return 0;
        seen += job->number ? sizeof(record_head) : value.mv_size;
        if (must_go(job, &key, &value)) {
            code = mdb_cursor_del(cursor, 0);
            if (code) return code;
            job->removed++;
        }
        code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    job->done = code == MDB_NOTFOUND;
    return job->done ? 0 : code;
}

static int share_work(cm_store_txn *txn, void *context) {
    gc_job *job = context;
    MDB_cursor *cursor;
    job->removed = 0;
    job->done = false;
    int code = job->number ? 0 : load_table(txn, &job->table);
    if (code == 0) code = mdb_cursor_open(txn->txn, txn->records, &cursor);
    if (code) return code;
    code = remove_share(job, cursor);
    mdb_cursor_close(cursor);
    return code;
}

static cm_status remove_records(cm_embeddings *store, const char *id, int64_t *removed, cm_error *error) {
    gc_job job = {.id = id};
    cm_status status = CM_OK;
    if (id) status = cm_store_env_write(store->env, remove_encoder_work, &job, error);
    while (status == CM_OK && !job.done) {
        status = cm_store_env_write(store->env, share_work, &job, error);
        if (status == CM_OK) *removed += job.removed;
        memcpy(job.from, job.next, KEY_BYTES);
        job.begun = true;
    }
    clear_table(&job.table);
    return status;
}

cm_status cm_embeddings_gc(cm_embeddings *store, const char *id, bool compact, int64_t *removed,
                           cm_error *error) {
    int64_t count = 0;
    cm_status status = id ? check_encoder(store, id, 1, error) : CM_OK;
    if (status == CM_OK) status = remove_records(store, id, &count, error);
    if (status == CM_OK && compact) status = cm_store_env_compact(store->env, error);
    if (removed) *removed = count;
    return status;
}
