/* The two containers of torch.save around the pickle, the search for the state dict, and its tensors as
 * contiguous memory. In the zip format storages are read into memory, one entry each; in the legacy format
 * they are used where they are mapped. What is held is counted against the size of the file: a file cannot
 * ask for much more memory than it has bytes, whatever its views repeat. */
#include "io/torch_file.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/file.h"
#include "io/json.h"
#include "io/unpickle.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zip.h>
#include <zlib.h>

static const size_t slack = (size_t)12 << 20; /* beside the 48 MB of the pickle machine */
static const size_t most_repeats = 4;         /* tensors together against the file: tied weights are common */
static const size_t max_names = (size_t)4 << 20;
enum { MAX_DEPTH = 16, MAX_NAME = 512, MAX_VISITS = 1 << 20 };

struct cm_torch_file {
    cm_file_map map; /* legacy format */
    cm_map *names;   /* name -> number of the unpickler's tensor; owns the names */
    cm_tensor *tensors;
    void **blocks; /* memory that tensors point into */
    size_t count, n_blocks, skipped;
};

/* The state of one read. */
typedef struct tf_reader {
    cm_torch_file *file;
    const char *path;
    size_t size; /* of the file */
    zip_t *zip;  /* NULL: legacy */
    char *top;   /* folder of the archive, with its '/' */
    unsigned char *pickle;
    unpickler machine;
    size_t held; /* bytes of storages and copies */
    size_t visits, name_bytes;
    cm_error *error;
} tf_reader;

/* A tensor to be made from its storage. */
typedef struct tf_job {
    uint32_t tensor; /* of the file */
    uint32_t storage;
    size_t storage_bytes;
    bool copy; /* not contiguous */
    bool kept; /* some tensor of the storage is contiguous, so that the storage stays */
} tf_job;

static cm_status bad_place(const tf_reader *reader, const char *place, const char *expected,
                           const char *found) {
    return cm_fail(reader->error, CM_DATA, reader->path, place, expected, "%s", found);
}

/* Counts bytes of memory before they are asked for. */
static cm_status hold(tf_reader *reader, size_t bytes, const char *place) {
    size_t room = reader->size + slack;
    if (bytes > room || reader->held > room - bytes) {
        return bad_place(reader, place, "tensors of about the size of the file",
                         cm_format("%zu bytes more than it has", bytes).text);
    }
    reader->held += bytes;
    return CM_OK;
}

static size_t storage_bytes(const pickle_storage *storage) {
    size_t bytes;
    return cm_size_mul(storage->numel, cm_dtype_bytes(storage->dtype), &bytes) ? bytes : SIZE_MAX;
}

static pickle_storage *storage_at(const tf_reader *reader, size_t i) {
    return (pickle_storage *)reader->machine.storages.data + i;
}

static const pickle_tensor *view_at(const tf_reader *reader, size_t i) {
    return (const pickle_tensor *)reader->machine.tensors.data + i;
}

/* ---- zip ---- */

/* The bytes of an entry that is stored as it is. CRC 0 is what torch.save writes when told to leave it out.
 */
static cm_status read_stored(const tf_reader *reader, zip_uint64_t i, const zip_stat_t *info,
                             unsigned char *bytes) {
    zip_file_t *entry = zip_fopen_index(reader->zip, i, ZIP_FL_COMPRESSED);
    size_t done = 0;
    while (entry && done < info->size) {
        zip_int64_t n = zip_fread(entry, bytes + done, info->size - done);
        if (n <= 0) break;
        done += (size_t)n;
    }
    if (entry) zip_fclose(entry);
    if (done < info->size)
        return bad_place(reader, info->name, "a complete entry", "one that cannot be read");
    if (info->crc == 0) return CM_OK;
    if (crc32_z(0, bytes, done) == info->crc) return CM_OK;
    return bad_place(reader, info->name, "the checksum of the archive", "other bytes");
}

/* An entry's description, once its size is what it takes in the file. */
static cm_status stat_entry(const tf_reader *reader, zip_uint64_t i, zip_stat_t *info) {
    const zip_uint64_t wanted = ZIP_STAT_NAME | ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD |
                                ZIP_STAT_CRC | ZIP_STAT_ENCRYPTION_METHOD;
    if (zip_stat_index(reader->zip, i, 0, info) != 0 || (info->valid & wanted) != wanted) {
        return bad_place(reader, "archive", "entries with a description", "one without");
    }
    if (info->comp_method != ZIP_CM_STORE || info->encryption_method != ZIP_EM_NONE) {
        return bad_place(reader, info->name, "an entry that is stored", "a compressed or encrypted one");
    }
    if (info->size != info->comp_size || info->size > reader->size) {
        return bad_place(reader, info->name, "a size inside the file",
                         cm_format("%" PRIu64 " bytes", (uint64_t)info->size).text);
    }
    return CM_OK;
}

/* Number of the entry top/name, -1 when there is none. */
static cm_status find_entry(const tf_reader *reader, const char *name, zip_int64_t *number) {
    cm_buf full = CM_BUF_EMPTY;
    cm_buf_text(&full, reader->top);
    if (!cm_buf_text(&full, name)) {
        cm_buf_clear(&full);
        return cm_fail_memory(reader->error, 0);
    }
    *number = zip_name_locate(reader->zip, full.data, 0);
    cm_buf_clear(&full);
    return CM_OK;
}

/* Reads a whole entry into new memory. */
static cm_status read_entry(tf_reader *reader, zip_uint64_t i, unsigned char **bytes, size_t *size) {
    zip_stat_t info;
    CM_TRY(stat_entry(reader, i, &info));
    CM_TRY(hold(reader, info.size, info.name));
    unsigned char *memory = cm_resize(NULL, info.size ? info.size : 1, 1);
    if (!memory) return cm_fail_memory(reader->error, info.size);
    cm_status status = read_stored(reader, i, &info, memory);
    if (status != CM_OK) {
        cm_free(memory);
        return status;
    }
    *bytes = memory;
    *size = info.size;
    return CM_OK;
}

static cm_status open_zip(tf_reader *reader) {
    int code = 0;
    reader->zip = zip_open(reader->path, ZIP_RDONLY | ZIP_CHECKCONS, &code);
    if (reader->zip) return CM_OK;
    if (code == ZIP_ER_MEMORY) return cm_fail_memory(reader->error, 0);
    zip_error_t text;
    zip_error_init_with_code(&text, code);
    cm_status status = bad_place(reader, NULL, "a complete zip archive", zip_error_strerror(&text));
    zip_error_fini(&text);
    return status;
}

/* The entry FOLDER/data.pkl, of which there must be one. */
static cm_status find_pickle(tf_reader *reader, zip_uint64_t *pickle) {
    static const char file[] = "data.pkl";
    zip_int64_t n = zip_get_num_entries(reader->zip, 0);
    for (zip_int64_t i = 0; i < n; i++) {
        const char *name = zip_get_name(reader->zip, (zip_uint64_t)i, ZIP_FL_ENC_RAW);
        const char *slash = name ? strchr(name, '/') : NULL;
        if (!slash || strcmp(slash + 1, file) != 0) continue;
        if (reader->top) return bad_place(reader, name, "one data.pkl", "a second one");
        reader->top = cm_copy_text(name, (size_t)(slash + 1 - name));
        if (!reader->top) return cm_fail_memory(reader->error, 0);
        *pickle = (zip_uint64_t)i;
    }
    if (reader->top) return CM_OK;
    return bad_place(reader, "archive", "a PyTorch checkpoint with data.pkl", "a zip archive without");
}

static cm_status check_byteorder(tf_reader *reader) {
    zip_int64_t i = -1;
    CM_TRY(find_entry(reader, "byteorder", &i));
    if (i < 0) return CM_OK; /* before 2.0, always little */
    unsigned char *order = NULL;
    size_t size = 0;
    CM_TRY(read_entry(reader, (zip_uint64_t)i, &order, &size));
    bool little = size == 6 && memcmp(order, "little", 6) == 0;
    cm_free(order);
    return little ? CM_OK : bad_place(reader, "byteorder", "little", "another byte order");
}

static cm_status read_zip(tf_reader *reader, uint32_t *top) {
    zip_uint64_t pickle = 0;
    size_t size = 0;
    CM_TRY(open_zip(reader));
    CM_TRY(find_pickle(reader, &pickle));
    CM_TRY(check_byteorder(reader));
    CM_TRY(read_entry(reader, pickle, &reader->pickle, &size));
    if (!unpickler_init(&reader->machine, reader->path, "data.pkl", reader->error)) {
        return cm_fail_memory(reader->error, 0);
    }
    return unpickler_run(&reader->machine, reader->pickle, size, 0, top);
}

/* The bytes of a storage from its entry. */
static cm_status load_storage(tf_reader *reader, size_t number, unsigned char **bytes) {
    size_t size = 0, wanted = storage_bytes(storage_at(reader, number));
    cm_text name = cm_format("data/%s", cm_map_key(reader->machine.keys, number, NULL, NULL));
    zip_int64_t i = -1;
    CM_TRY(find_entry(reader, name.text, &i));
    if (i < 0) return bad_place(reader, name.text, "the entry of a storage", "none");
    zip_stat_t info;
    CM_TRY(stat_entry(reader, (zip_uint64_t)i, &info));
    if (info.size != wanted) {
        return bad_place(reader, name.text, cm_format("%zu bytes by data.pkl", wanted).text,
                         cm_format("%" PRIu64, (uint64_t)info.size).text);
    }
    return read_entry(reader, (zip_uint64_t)i, bytes, &size);
}

/* ---- legacy ---- */

/* The first pickle: a number that marks the format. */
static bool is_magic(const pickle_value *value) {
    static const unsigned char magic[] = {0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19};
    return value->kind == PICKLE_LONG && value->count == sizeof magic &&
           memcmp(value->text, magic, sizeof magic) == 0;
}

/* The next pickle of the file. */
static cm_status next_pickle(tf_reader *reader, uint32_t *top) {
    unpickler *machine = &reader->machine;
    return unpickler_run(machine, reader->file->map.data, reader->size, machine->at, top);
}

static cm_status read_preamble(tf_reader *reader) {
    unpickler *machine = &reader->machine;
    uint32_t top = 0;
    CM_TRY(next_pickle(reader, &top));
    if (!is_magic(unpickler_value(machine, top))) {
        return bad_place(reader, "byte 0", "the number that begins a PyTorch checkpoint", "another pickle");
    }
    CM_TRY(next_pickle(reader, &top));
    const pickle_value *version = unpickler_value(machine, top);
    if (version->kind != PICKLE_INT || version->number != 1001) {
        return unpickler_fail(machine, "version 1001 of the legacy format", "another one");
    }
    CM_TRY(next_pickle(reader, &top));
    if (unpickler_value(machine, top)->kind != PICKLE_DICT) {
        return unpickler_fail(machine, "a dict about the system", "another object");
    }
    const pickle_value *little = unpickler_value(machine, unpickler_member(machine, top, "little_endian"));
    if (little->kind == PICKLE_BOOL && little->number == 1) return CM_OK;
    return unpickler_fail(machine, "little_endian true", "another byte order");
}

/* Element count and bytes of the storage with this key. */
static cm_status read_storage(tf_reader *reader, const pickle_value *key, size_t *at) {
    const unsigned char *data = reader->file->map.data;
    cm_text place = cm_format("byte %zu", *at);
    int64_t number = 0;
    if (key->kind != PICKLE_TEXT || !cm_map_get(reader->machine.keys, key->text, key->count, &number) ||
        storage_at(reader, (size_t)number)->data) {
        return bad_place(reader, place.text, "each storage of the pickle once", "another key");
    }
    pickle_storage *storage = storage_at(reader, (size_t)number);
    size_t bytes = storage_bytes(storage), left = reader->size - *at;
    uint64_t count = 0;
    if (left < 8) return bad_place(reader, place.text, "the size of a storage", "the end of the file");
    for (int i = 7; i >= 0; i--) count = count << 8 | data[*at + (size_t)i];
    if (count != storage->numel) {
        return bad_place(reader, place.text,
                         cm_format("%" PRIu64 " elements by the pickle", storage->numel).text,
                         cm_format("%" PRIu64, count).text);
    }
    if (bytes > left - 8) {
        return bad_place(reader, place.text, cm_format("%zu bytes of a storage", bytes).text,
                         cm_format("%zu before the end of the file", left - 8).text);
    }
    storage->data = data + *at + 8;
    *at += 8 + bytes;
    return CM_OK;
}

static cm_status read_legacy(tf_reader *reader, uint32_t *top) {
    unpickler *machine = &reader->machine;
    if (!unpickler_init(machine, reader->path, NULL, reader->error)) return cm_fail_memory(reader->error, 0);
    CM_TRY(read_preamble(reader));
    CM_TRY(next_pickle(reader, top));
    uint32_t keys = 0;
    CM_TRY(next_pickle(reader, &keys));
    if (unpickler_value(machine, keys)->kind != PICKLE_LIST) {
        return unpickler_fail(machine, "the list of storages", "another object");
    }
    size_t at = machine->at;
    for (uint32_t c = unpickler_first(machine, keys); c; c = unpickler_cell(machine, c).next) {
        CM_TRY(read_storage(reader, unpickler_value(machine, unpickler_cell(machine, c).value), &at));
    }
    if (at == reader->size) return CM_OK;
    return bad_place(reader, cm_format("byte %zu", at).text, "the end of the file", "more bytes");
}

/* ---- the state dict ---- */

static cm_status append_key(tf_reader *reader, cm_buf *name, const pickle_value *key) {
    if (key->kind == PICKLE_INT) {
        cm_buf_printf(name, "%" PRId64, key->number);
    } else if (key->kind == PICKLE_TEXT && key->count <= MAX_NAME && !memchr(key->text, 0, key->count)) {
        cm_buf_append(name, key->text, key->count);
    } else {
        return bad_place(reader, "state dict",
                         cm_format("keys that are texts of at most %d bytes", MAX_NAME).text, "another key");
    }
    if (name->failed) return cm_fail_memory(reader->error, 0);
    if (name->len > MAX_NAME || (name->len > 0 && !cm_is_utf8(name->data))) {
        return bad_place(reader, "state dict", cm_format("names in UTF-8 of at most %d bytes", MAX_NAME).text,
                         "another name");
    }
    return CM_OK;
}

static cm_status keep_tensor(tf_reader *reader, const cm_buf *name, int64_t tensor) {
    cm_map *names = reader->file->names;
    const char *text = name->data ? name->data : "";
    reader->name_bytes += name->len;
    if (reader->name_bytes > max_names || cm_map_count(names) >= PICKLE_MAX_TENSORS) {
        return bad_place(reader, "state dict", cm_format("at most %d tensors", PICKLE_MAX_TENSORS).text,
                         "more");
    }
    if (cm_map_get(names, text, name->len, NULL)) {
        return bad_place(reader, cm_format("tensor %s", text).text, "distinct names", "the name twice");
    }
    return cm_map_put(names, text, name->len, tensor) ? CM_OK : cm_fail_memory(reader->error, 0);
}

/* The tensors of a dict and of the dicts in it, under name. */
static cm_status collect(tf_reader *reader, uint32_t dict, int depth, cm_buf *name) {
    const unpickler *machine = &reader->machine;
    size_t prefix = name->len;
    if (depth > MAX_DEPTH) {
        return bad_place(reader, "state dict", cm_format("at most %d dicts in each other", MAX_DEPTH).text,
                         "more");
    }
    for (uint32_t c = unpickler_first(machine, dict); c;) {
        pickle_cell key = unpickler_cell(machine, c), item = unpickler_cell(machine, key.next);
        const pickle_value *value = unpickler_value(machine, item.value);
        bool tensor = value->kind == PICKLE_TENSOR, nested = value->kind == PICKLE_DICT;
        if (++reader->visits > MAX_VISITS)
            return bad_place(reader, "state dict", "fewer entries", "too many");
        if (tensor || nested) CM_TRY(append_key(reader, name, unpickler_value(machine, key.value)));
        if (tensor) CM_TRY(keep_tensor(reader, name, value->number));
        if (nested && !cm_buf_text(name, ".")) return cm_fail_memory(reader->error, 0);
        if (nested) CM_TRY(collect(reader, item.value, depth + 1, name));
        if (!tensor && !nested) reader->file->skipped++;
        name->len = prefix;
        if (name->data) name->data[prefix] = '\0';
        c = item.next;
    }
    return CM_OK;
}

/* The names of the tensors of one dict. */
static cm_status collect_from(tf_reader *reader, uint32_t dict) {
    cm_torch_file *file = reader->file;
    cm_buf name = CM_BUF_EMPTY;
    cm_map_destroy(file->names);
    file->names = cm_map_create();
    if (!file->names) return cm_fail_memory(reader->error, 0);
    file->skipped = reader->visits = reader->name_bytes = 0;
    cm_status status = collect(reader, dict, 0, &name);
    cm_buf_clear(&name);
    return status;
}

static cm_status find_state_dict(tf_reader *reader, uint32_t top) {
    static const char *const members[] = {"model", "state_dict", "model_state_dict", "module"};
    const unpickler *machine = &reader->machine;
    if (unpickler_value(machine, top)->kind != PICKLE_DICT) {
        return bad_place(reader, NULL, "a dict of tensors", "another object");
    }
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        uint32_t member = unpickler_member(machine, top, members[i]);
        if (unpickler_value(machine, member)->kind != PICKLE_DICT) continue;
        CM_TRY(collect_from(reader, member));
        if (cm_map_count(reader->file->names) > 0) return CM_OK;
    }
    CM_TRY(collect_from(reader, top));
    if (cm_map_count(reader->file->names) > 0) return CM_OK;
    return bad_place(reader, NULL, "a dict of tensors", "no tensor");
}

/* ---- the tensors ---- */

static bool is_contiguous(const pickle_tensor *view) {
    int64_t stride = 1;
    for (int i = view->n_dims - 1; i >= 0; i--) {
        if (view->dims[i] != 1 && view->strides[i] != stride) return false;
        stride *= view->dims[i];
    }
    return true;
}

/* The elements of a view in row-major order. */
static void gather(const pickle_tensor *view, const unsigned char *storage, size_t element,
                   unsigned char *out) {
    int64_t index[CM_TENSOR_MAX_DIMS] = {0};
    for (int64_t done = 0; done < view->numel; done++) {
        int64_t at = view->offset;
        for (int i = 0; i < view->n_dims; i++) at += index[i] * view->strides[i];
        memcpy(out + (size_t)done * element, storage + (size_t)at * element, element);
        for (int i = view->n_dims - 1; i >= 0 && ++index[i] == view->dims[i]; i--) index[i] = 0;
    }
}

/* Names, shapes and sizes. */
static cm_status describe_tensors(tf_reader *reader) {
    cm_torch_file *file = reader->file;
    size_t total = 0, most = 0;
    if (!cm_size_mul(reader->size, most_repeats, &most) || !cm_size_add(most, slack, &most)) most = SIZE_MAX;
    file->tensors = cm_new(cm_map_count(file->names), sizeof *file->tensors);
    file->blocks = cm_new(2 * cm_map_count(file->names), sizeof *file->blocks);
    if (!file->tensors || !file->blocks) return cm_fail_memory(reader->error, 0);
    for (; file->count < cm_map_count(file->names); file->count++) {
        cm_tensor *tensor = &file->tensors[file->count];
        int64_t number = 0;
        tensor->name = cm_map_key(file->names, file->count, NULL, &number);
        const pickle_tensor *view = view_at(reader, (size_t)number);
        tensor->dtype = storage_at(reader, view->storage)->dtype;
        tensor->n_dims = view->n_dims;
        memcpy(tensor->dims, view->dims, sizeof tensor->dims);
        if (!cm_size_mul((size_t)view->numel, cm_dtype_bytes(tensor->dtype), &tensor->bytes) ||
            !cm_size_add(total, tensor->bytes, &total) || total > most) {
            return bad_place(reader, cm_format("tensor %s", tensor->name).text,
                             cm_format("at most %zu times the size of the file", most_repeats).text,
                             "views that repeat their storages more often");
        }
    }
    return CM_OK;
}

/* Storages that only copies are made of come first, the largest of them before the others, because they are
 * given back. */
static int by_storage(const void *a, const void *b) {
    const tf_job *x = a, *y = b;
    if (x->kept != y->kept) return x->kept ? 1 : -1;
    if (x->storage_bytes != y->storage_bytes) return x->storage_bytes > y->storage_bytes ? -1 : 1;
    if (x->storage != y->storage) return x->storage < y->storage ? -1 : 1;
    return (x->tensor > y->tensor) - (x->tensor < y->tensor);
}

/* One job for each tensor that is not empty, in the order of work. */
static size_t plan_jobs(const tf_reader *reader, tf_job *jobs, bool *kept) {
    const cm_torch_file *file = reader->file;
    size_t n = 0;
    for (size_t i = 0; i < file->count; i++) {
        int64_t number = 0;
        cm_map_key(file->names, i, NULL, &number);
        const pickle_tensor *view = view_at(reader, (size_t)number);
        if (view->numel == 0) continue;
        bool copy = !is_contiguous(view);
        if (!copy) kept[view->storage] = true;
        jobs[n++] = (tf_job){.tensor = (uint32_t)i,
                             .storage = view->storage,
                             .storage_bytes = storage_bytes(storage_at(reader, view->storage)),
                             .copy = copy};
    }
    for (size_t i = 0; i < n; i++) jobs[i].kept = kept[jobs[i].storage];
    if (n > 0) qsort(jobs, n, sizeof *jobs, by_storage);
    return n;
}

/* A tensor from its storage. */
static cm_status make_tensor(tf_reader *reader, const tf_job *job, const unsigned char *storage) {
    cm_torch_file *file = reader->file;
    cm_tensor *tensor = &file->tensors[job->tensor];
    size_t element = cm_dtype_bytes(tensor->dtype);
    int64_t number = 0;
    cm_map_key(file->names, job->tensor, NULL, &number);
    const pickle_tensor *view = view_at(reader, (size_t)number);
    if (!job->copy) {
        tensor->data = storage + (size_t)view->offset * element;
        return CM_OK;
    }
    CM_TRY(hold(reader, tensor->bytes, cm_format("tensor %s", tensor->name).text));
    unsigned char *copy = cm_resize(NULL, tensor->bytes, 1);
    if (!copy) return cm_fail_memory(reader->error, tensor->bytes);
    file->blocks[file->n_blocks++] = copy;
    gather(view, storage, element, copy);
    tensor->data = copy;
    return CM_OK;
}

/* The tensors jobs[n], all of one storage. */
static cm_status make_from_storage(tf_reader *reader, const tf_job *jobs, size_t n) {
    cm_torch_file *file = reader->file;
    const unsigned char *bytes = storage_at(reader, jobs[0].storage)->data;
    unsigned char *loaded = NULL;
    cm_status status = CM_OK;
    if (reader->zip) {
        CM_TRY(load_storage(reader, jobs[0].storage, &loaded));
        bytes = loaded;
    } else {
        if (!bytes) return bad_place(reader, NULL, "all storages of the pickle", "one without its bytes");
        CM_TRY(hold(reader, jobs[0].storage_bytes, NULL));
    }
    for (size_t i = 0; i < n && status == CM_OK; i++) status = make_tensor(reader, &jobs[i], bytes);
    if (jobs[0].kept) {
        if (loaded) file->blocks[file->n_blocks++] = loaded;
        return status;
    }
    reader->held -= jobs[0].storage_bytes;
    if (!reader->zip) cm_file_map_drop(&file->map, bytes, jobs[0].storage_bytes);
    cm_free(loaded);
    return status;
}

static cm_status make_tensors(tf_reader *reader) {
    CM_TRY(describe_tensors(reader));
    tf_job *jobs = cm_new(reader->file->count, sizeof *jobs);
    bool *kept = cm_new(reader->machine.storages.count, sizeof *kept);
    cm_status status = jobs && kept ? CM_OK : cm_fail_memory(reader->error, 0);
    size_t n = status == CM_OK ? plan_jobs(reader, jobs, kept) : 0, end;
    for (size_t i = 0; i < n && status == CM_OK; i = end) {
        for (end = i + 1; end < n && jobs[end].storage == jobs[i].storage;) end++;
        status = make_from_storage(reader, &jobs[i], end - i);
    }
    cm_free(kept);
    cm_free(jobs);
    return status;
}

/* ---- the file ---- */

static cm_status read_file(tf_reader *reader) {
    cm_file_map *map = &reader->file->map;
    uint32_t top = 0;
    CM_TRY(cm_file_map_open(map, reader->path, reader->error));
    reader->size = map->size;
    if (map->size >= 4 && memcmp(map->data, "PK\3\4", 4) == 0) {
        cm_file_map_close(map);
        CM_TRY(read_zip(reader, &top));
    } else if (map->size >= 2 && map->data[0] == 0x80) {
        CM_TRY(read_legacy(reader, &top));
    } else {
        return bad_place(reader, NULL, "a PyTorch checkpoint",
                         map->size == 0 ? "an empty file" : "neither a zip archive nor a pickle");
    }
    CM_TRY(find_state_dict(reader, top));
    return make_tensors(reader);
}

cm_status cm_torch_file_open(cm_torch_file **file, const char *path, cm_error *error) {
    cm_torch_file *opened = cm_new(1, sizeof *opened);
    if (!opened) return cm_fail_memory(error, sizeof *opened);
    tf_reader reader = {.file = opened, .path = path, .error = error};
    cm_status status = read_file(&reader);
    unpickler_clear(&reader.machine);
    cm_free(reader.pickle);
    cm_free(reader.top);
    if (reader.zip) zip_discard(reader.zip);
    if (status != CM_OK) {
        cm_torch_file_close(opened);
        return status;
    }
    *file = opened;
    return CM_OK;
}

void cm_torch_file_close(cm_torch_file *file) {
    if (!file) return;
    for (size_t i = 0; i < file->n_blocks; i++) cm_free(file->blocks[i]);
    cm_free(file->blocks);
    cm_free(file->tensors);
    cm_map_destroy(file->names);
    cm_file_map_close(&file->map);
    cm_free(file);
}

size_t cm_torch_file_count(const cm_torch_file *file) {
    return file->count;
}

const cm_tensor *cm_torch_file_get(const cm_torch_file *file, size_t i) {
    return &file->tensors[i];
}

size_t cm_torch_file_skipped(const cm_torch_file *file) {
    return file->skipped;
}
