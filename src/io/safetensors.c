/* safetensors, read and written. The rules of upstream's validation (github.com/huggingface/safetensors,
 * safetensors/src/tensor.rs), made definite where it leaves a choice:
 * - tensors ordered by (begin, end) must cover the bytes exactly; an empty tensor begins and ends where a
 *   neighbour ends, and any number of empty tensors may share an offset;
 * - the product of a shape must fit even when a later dimension is 0;
 * - unknown fields of an entry are ignored, as upstream does; unknown and sub-byte dtypes are refused;
 * - the header is read member by member, and its tensors must not take more memory than the file is long and
 *   48 MB: half a million tensors of a byte each are refused, half a million embeddings are not. */
#include "io/safetensors.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/map.h"
#include "io/json.h"
#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const size_t max_header = 100000000;
static const char metadata_key[] = "__metadata__";

struct cm_safetensors {
    cm_file_map map; /* empty when the bytes are the caller's */
    cm_tensor *tensors;
    size_t count;
    cm_map *names;    /* name -> number; owns the names */
    json_t *metadata; /* object of strings, or NULL */
};

static const struct {
    const char *name;
    size_t bytes;
} dtypes[] = {
#define X(name, bytes) [CM_DTYPE_##name] = {#name, bytes},
    CM_DTYPE_LIST(X)
#undef X
};
enum { N_DTYPES = sizeof dtypes / sizeof dtypes[0] };

const char *cm_dtype_name(cm_dtype dtype) {
    return dtypes[dtype].name;
}

size_t cm_dtype_bytes(cm_dtype dtype) {
    return dtypes[dtype].bytes;
}

/* The span of a tensor with this shape and dtype; false when it does not fit into size_t. Dimensions >= 0. */
static bool shape_bytes(const cm_tensor *tensor, size_t *bytes) {
    size_t product = 1;
    for (int i = 0; i < tensor->n_dims; i++) {
        if (!cm_size_mul(product, (size_t)tensor->dims[i], &product)) return false;
    }
    return cm_size_mul(product, cm_dtype_bytes(tensor->dtype), bytes);
}

/* ---- reading ---- */

/* The state of one read. While tensors come in, data is set for empty ones, too: it says where they begin. */
typedef struct st_reader {
    cm_safetensors *file;
    const char *path;
    const unsigned char *bytes; /* the tensors' bytes */
    size_t n_bytes;
    size_t room; /* of file->tensors */
    cm_error *error;
} st_reader;

/* What a tensor takes in file->tensors and file->names, growth included. */
enum { TENSOR_COST = 256 };
static const size_t free_cost = 48000000;

static cm_status bad_tensor(const st_reader *reader, const char *name, const char *expected,
                            const char *found) {
    return cm_fail(reader->error, CM_DATA, reader->path, cm_format("tensor %s", name).text, expected, "%s",
                   found);
}

static cm_status read_dtype(const st_reader *reader, const json_t *object, cm_tensor *tensor) {
    const char *text = json_string_value(json_object_get(object, "dtype"));
    if (!text) return bad_tensor(reader, tensor->name, "a dtype", "none");
    for (int i = 0; i < N_DTYPES; i++) {
        if (strcmp(text, dtypes[i].name) == 0) {
            tensor->dtype = (cm_dtype)i;
            return CM_OK;
        }
    }
#define X(name, bytes) " " #name
    return bad_tensor(reader, tensor->name, "one of" CM_DTYPE_LIST(X), cm_format("dtype %s", text).text);
#undef X
}

static cm_status read_shape(const st_reader *reader, const json_t *object, cm_tensor *tensor) {
    const json_t *shape = json_object_get(object, "shape");
    if (!json_is_array(shape)) return bad_tensor(reader, tensor->name, "a shape", "none");
    size_t n_dims = json_array_size(shape);
    if (n_dims > CM_TENSOR_MAX_DIMS) {
        return bad_tensor(reader, tensor->name, cm_format("at most %d dimensions", CM_TENSOR_MAX_DIMS).text,
                          cm_format("%zu", n_dims).text);
    }
    tensor->n_dims = (int)n_dims;
    for (size_t i = 0; i < n_dims; i++) {
        const json_t *dim = json_array_get(shape, i);
        if (!json_is_integer(dim) || json_integer_value(dim) < 0) {
            return bad_tensor(reader, tensor->name, "whole numbers that are not negative",
                              cm_format("dimension %zu of the shape", i).text);
        }
        tensor->dims[i] = json_integer_value(dim);
    }
    return CM_OK;
}

/* The two offsets, in order and inside the bytes. */
static cm_status read_span(const st_reader *reader, const json_t *object, cm_tensor *tensor) {
    const json_t *span = json_object_get(object, "data_offsets");
    const json_t *begin = json_array_get(span, 0), *end = json_array_get(span, 1);
    if (json_array_size(span) != 2 || !json_is_integer(begin) || !json_is_integer(end)) {
        return bad_tensor(reader, tensor->name, "data_offsets of two whole numbers", "others, or none");
    }
    long long from = json_integer_value(begin), to = json_integer_value(end);
    if (from < 0 || to < from || (unsigned long long)to > reader->n_bytes) {
        return bad_tensor(reader, tensor->name, cm_format("0 <= begin <= end <= %zu", reader->n_bytes).text,
                          cm_format("data_offsets %lld, %lld", from, to).text);
    }
    tensor->data = reader->bytes + from;
    tensor->bytes = (size_t)(to - from);
    return CM_OK;
}

static cm_status read_entry(const st_reader *reader, const json_t *object, cm_tensor *tensor) {
    const char *name = tensor->name;
    if (!json_is_object(object)) return bad_tensor(reader, name, "an object", "something else");
    CM_TRY(read_dtype(reader, object, tensor));
    CM_TRY(read_shape(reader, object, tensor));
    CM_TRY(read_span(reader, object, tensor));
    size_t wanted;
    if (!shape_bytes(tensor, &wanted)) return bad_tensor(reader, name, "a shape that fits", "an overflow");
    if (tensor->bytes != wanted) {
        return bad_tensor(reader, name, cm_format("%zu bytes by shape and dtype", wanted).text,
                          cm_format("data_offsets over %zu bytes", tensor->bytes).text);
    }
    return CM_OK;
}

static cm_status read_metadata(const st_reader *reader, json_t *object) {
    const char *key;
    json_t *value;
    if (!json_is_object(object)) {
        return cm_fail(reader->error, CM_DATA, reader->path, metadata_key, "an object", "something else");
    }
    json_object_foreach(object, key, value) {
        if (!json_is_string(value)) {
            return cm_fail(reader->error, CM_DATA, reader->path, metadata_key, "a string",
                           "another value for key %s", key);
        }
    }
    return CM_OK;
}

static cm_status twice(const st_reader *reader, const char *name) {
    return cm_fail(reader->error, CM_DATA, reader->path, "header", "each name once", "%s twice", name);
}

/* One member of the header. */
static cm_status read_member(void *context, const char *key, json_t *value, cm_error *error) {
    st_reader *reader = context;
    cm_safetensors *file = reader->file;
    if (strcmp(key, metadata_key) == 0) {
        if (file->metadata) return twice(reader, key);
        file->metadata = json_incref(value);
        return read_metadata(reader, value);
    }
    size_t length = strlen(key);
    if (cm_map_get(file->names, key, length, NULL)) return twice(reader, key);
    assert(file->count < reader->room);
    if (!cm_map_put(file->names, key, length, 0)) return cm_fail_memory(error, length);
    cm_tensor *tensor = &file->tensors[file->count];
    tensor->name = cm_map_key(file->names, file->count++, NULL, NULL);
    return read_entry(reader, value, tensor);
}

static int by_offset(const void *a, const void *b) {
    const cm_tensor *x = a, *y = b;
    const unsigned char *from = x->data, *other = y->data;
    if (from != other) return from < other ? -1 : 1;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* No hole, no overlap, nothing before the first or after the last. */
static cm_status check_cover(const st_reader *reader) {
    size_t at = 0;
    for (size_t i = 0; i < reader->file->count; i++) {
        const cm_tensor *tensor = &reader->file->tensors[i];
        size_t begin = (size_t)((const unsigned char *)tensor->data - reader->bytes);
        if (begin != at) {
            return bad_tensor(
                reader, tensor->name, cm_format("begin at %zu, where the bytes before end", at).text,
                cm_format("%s: begin at %zu", begin < at ? "an overlap" : "a hole", begin).text);
        }
        at += tensor->bytes;
    }
    if (at != reader->n_bytes) {
        return cm_fail(reader->error, CM_DATA, reader->path, NULL, cm_format("%zu", at).text,
                       "%zu bytes after the header", reader->n_bytes);
    }
    return CM_OK;
}

/* Puts the tensors into the order of their bytes. */
static cm_status settle(const st_reader *reader) {
    cm_safetensors *file = reader->file;
    if (file->count > 0) qsort(file->tensors, file->count, sizeof *file->tensors, by_offset);
    CM_TRY(check_cover(reader));
    for (size_t i = 0; i < file->count; i++) {
        cm_tensor *tensor = &file->tensors[i];
        if (tensor->bytes == 0) tensor->data = NULL;
        if (!cm_map_put(file->names, tensor->name, strlen(tensor->name), (int64_t)i))
            return cm_fail_memory(reader->error, 0);
    }
    return CM_OK;
}

/* The length of the header, inside the file. */
static cm_status read_length(const unsigned char *data, size_t size, const char *path, size_t *length,
                             cm_error *error) {
    if (size < 8) return cm_fail(error, CM_DATA, path, NULL, "a safetensors file", "%zu bytes", size);
    uint64_t n = 0;
    for (int i = 7; i >= 0; i--) n = n << 8 | data[i];
    size_t room = size - 8;
    if (n > max_header) {
        return cm_fail(error, CM_DATA, path, "byte 0", cm_format("at most %zu", max_header).text,
                       "header length %" PRIu64, n);
    }
    if (n > room) {
        return cm_fail(error, CM_DATA, path, "byte 0",
                       cm_format("at most the %zu bytes that follow", room).text, "header length %" PRIu64,
                       n);
    }
    if (n == 0 || data[8] != '{') {
        return cm_fail(error, CM_DATA, path, "byte 8", "a header that begins with {", "%s",
                       n == 0 ? "an empty header" : "another byte");
    }
    *length = (size_t)n;
    return CM_OK;
}

/* Room for the members of the header. */
static cm_status make_room(st_reader *reader, const char *header, size_t length) {
    size_t most = (length + reader->n_bytes + free_cost) / TENSOR_COST;
    reader->room = cm_json_count_members(header, length);
    if (reader->room > most) {
        return cm_fail(reader->error, CM_DATA, reader->path, "header",
                       cm_format("at most %zu in a file of this size", most).text, "%zu tensors",
                       reader->room);
    }
    reader->file->names = cm_map_create();
    reader->file->tensors = cm_new(reader->room, sizeof *reader->file->tensors);
    if (!reader->file->names || !reader->file->tensors) return cm_fail_memory(reader->error, 0);
    return CM_OK;
}

static cm_status read_all(cm_safetensors *file, const unsigned char *data, size_t size, const char *path,
                          cm_error *error) {
    size_t length = 0;
    CM_TRY(read_length(data, size, path, &length, error));
    const char *header = (const char *)data + 8;
    st_reader reader = {
        .file = file, .path = path, .bytes = data + 8 + length, .n_bytes = size - 8 - length, .error = error};
    CM_TRY(make_room(&reader, header, length));
    CM_TRY(cm_json_each_member(header, length, path, "header", read_member, &reader, error));
    return settle(&reader);
}

cm_status cm_safetensors_read(cm_safetensors **file, const void *data, size_t size, const char *name,
                              cm_error *error) {
    cm_safetensors *opened = cm_new(1, sizeof *opened);
    if (!opened) return cm_fail_memory(error, sizeof *opened);
    cm_status status = read_all(opened, data, size, name, error);
    if (status != CM_OK) {
        cm_safetensors_close(opened);
        return status;
    }
    *file = opened;
    return CM_OK;
}

cm_status cm_safetensors_open(cm_safetensors **file, const char *path, cm_error *error) {
    cm_file_map map = {0};
    CM_TRY(cm_file_map_open(&map, path, error));
    cm_safetensors *opened = NULL;
    cm_status status = cm_safetensors_read(&opened, map.data, map.size, path, error);
    if (status != CM_OK) {
        cm_file_map_close(&map);
        return status;
    }
    opened->map = map;
    *file = opened;
    return CM_OK;
}

void cm_safetensors_close(cm_safetensors *file) {
    if (!file) return;
    json_decref(file->metadata);
    cm_map_destroy(file->names);
    cm_free(file->tensors);
    cm_file_map_close(&file->map);
    cm_free(file);
}

size_t cm_safetensors_count(const cm_safetensors *file) {
    return file->count;
}

const cm_tensor *cm_safetensors_get(const cm_safetensors *file, size_t i) {
    return &file->tensors[i];
}

const cm_tensor *cm_safetensors_find(const cm_safetensors *file, const char *name) {
    int64_t i;
    return cm_map_get(file->names, name, strlen(name), &i) ? &file->tensors[i] : NULL;
}

const char *cm_safetensors_metadata(const cm_safetensors *file, const char *key) {
    return json_string_value(json_object_get(file->metadata, key));
}

void cm_safetensors_drop(const cm_safetensors *file, const void *data, size_t bytes) {
    if (file->map.data) cm_file_map_drop(&file->map, data, bytes);
}

/* ---- writing ---- */

static void append_string(cm_buf *buf, const char *text) {
    cm_buf_text(buf, "\"");
    for (const char *c = text; *c;) {
        const char *plain = c;
        while ((unsigned char)*c >= 0x20 && *c != '"' && *c != '\\') c++;
        cm_buf_append(buf, plain, (size_t)(c - plain));
        if (!*c) break;
        cm_buf_printf(buf, *c == '"' || *c == '\\' ? "\\%c" : "\\u%04x", *c);
        c++;
    }
    cm_buf_text(buf, "\"");
}

static void append_entry(cm_buf *buf, const cm_tensor *tensor, size_t begin) {
    append_string(buf, tensor->name);
    cm_buf_printf(buf, ":{\"dtype\":\"%s\",\"shape\":[", cm_dtype_name(tensor->dtype));
    for (int i = 0; i < tensor->n_dims; i++) {
        cm_buf_printf(buf, "%s%" PRId64, i > 0 ? "," : "", tensor->dims[i]);
    }
    cm_buf_printf(buf, "],\"data_offsets\":[%zu,%zu]}", begin, begin + tensor->bytes);
}

/* What is to be written: pointers into the caller's arrays, sorted. */
typedef struct st_writer {
    const char *path;
    const cm_tensor **tensors;
    size_t count;
    const cm_metadata_entry **metadata;
    size_t n_metadata;
    cm_error *error;
} st_writer;

static int by_dtype_and_name(const void *a, const void *b) {
    const cm_tensor *x = *(const cm_tensor *const *)a, *y = *(const cm_tensor *const *)b;
    if (x->dtype != y->dtype) return x->dtype > y->dtype ? -1 : 1;
    return strcmp(x->name, y->name);
}

static int by_key(const void *a, const void *b) {
    const cm_metadata_entry *x = *(const cm_metadata_entry *const *)a;
    const cm_metadata_entry *y = *(const cm_metadata_entry *const *)b;
    return strcmp(x->key, y->key);
}

static cm_status check_tensor(const st_writer *writer, const cm_tensor *tensor) {
    cm_text place = cm_format("tensor %s", tensor->name);
    if (!cm_is_utf8(tensor->name) || strcmp(tensor->name, metadata_key) == 0) {
        return cm_fail(writer->error, CM_USAGE, writer->path, place.text, "a name in UTF-8, not reserved",
                       "another name");
    }
    if (tensor->n_dims < 0 || tensor->n_dims > CM_TENSOR_MAX_DIMS || (int)tensor->dtype < 0 ||
        (int)tensor->dtype >= N_DTYPES) {
        return cm_fail(writer->error, CM_USAGE, writer->path, place.text,
                       cm_format("at most %d dimensions, a known dtype", CM_TENSOR_MAX_DIMS).text,
                       "%d dimensions, dtype %d", tensor->n_dims, (int)tensor->dtype);
    }
    bool negative = false;
    for (int i = 0; i < tensor->n_dims; i++) negative |= tensor->dims[i] < 0;
    size_t wanted = 0;
    if (negative || !shape_bytes(tensor, &wanted) || wanted != tensor->bytes) {
        return cm_fail(writer->error, CM_USAGE, writer->path, place.text, "a shape that gives the bytes",
                       "%zu bytes", tensor->bytes);
    }
    return CM_OK;
}

/* Equal names may differ in dtype, so that sorting does not bring them together. */
static cm_status check_names(const st_writer *writer, cm_map *seen) {
    for (size_t i = 0; i < writer->count; i++) {
        const char *name = writer->tensors[i]->name;
        if (cm_map_get(seen, name, strlen(name), NULL)) {
            return cm_fail(writer->error, CM_USAGE, writer->path, cm_format("tensor %s", name).text,
                           "distinct names", "the name twice");
        }
        if (!cm_map_put(seen, name, strlen(name), 0)) return cm_fail_memory(writer->error, 0);
    }
    return CM_OK;
}

static cm_status check_metadata(const st_writer *writer) {
    for (size_t i = 0; i < writer->n_metadata; i++) {
        const cm_metadata_entry *entry = writer->metadata[i];
        bool twice = i > 0 && strcmp(entry->key, writer->metadata[i - 1]->key) == 0;
        if (twice || !cm_is_utf8(entry->key) || !cm_is_utf8(entry->value)) {
            return cm_fail(writer->error, CM_USAGE, writer->path, cm_format("metadata %s", entry->key).text,
                           "distinct keys and values in UTF-8", twice ? "the key twice" : "other bytes");
        }
    }
    return CM_OK;
}

static cm_status check_content(const st_writer *writer) {
    for (size_t i = 0; i < writer->count; i++) CM_TRY(check_tensor(writer, writer->tensors[i]));
    CM_TRY(check_metadata(writer));
    cm_map *seen = cm_map_create();
    if (!seen) return cm_fail_memory(writer->error, 0);
    cm_status status = check_names(writer, seen);
    cm_map_destroy(seen);
    return status;
}

/* The length of the header and the header, which is padded so that the data begin at a multiple of 8. */
static cm_status build_header(const st_writer *writer, cm_buf *buf) {
    static const char padding[] = "       ";
    size_t begin = 0;
    cm_buf_append(buf, "\0\0\0\0\0\0\0\0{", 9);
    if (writer->n_metadata > 0) cm_buf_printf(buf, "\"%s\":{", metadata_key);
    for (size_t i = 0; i < writer->n_metadata; i++) {
        if (i > 0) cm_buf_text(buf, ",");
        append_string(buf, writer->metadata[i]->key);
        cm_buf_text(buf, ":");
        append_string(buf, writer->metadata[i]->value);
    }
    if (writer->n_metadata > 0) cm_buf_text(buf, writer->count > 0 ? "}," : "}");
    for (size_t i = 0; i < writer->count; i++) {
        const cm_tensor *tensor = writer->tensors[i];
        if (tensor->bytes > INT64_MAX - begin) {
            return cm_fail(writer->error, CM_USAGE, writer->path, NULL, NULL, "too many bytes");
        }
        if (i > 0) cm_buf_text(buf, ",");
        append_entry(buf, tensor, begin);
        begin += tensor->bytes;
    }
    cm_buf_text(buf, "}");
    cm_buf_append(buf, padding, (8 - buf->len % 8) % 8);
    if (buf->failed) return cm_fail_memory(writer->error, buf->len);
    if (buf->len - 8 > max_header) {
        return cm_fail(writer->error, CM_USAGE, writer->path, NULL, cm_format("at most %zu", max_header).text,
                       "a header of %zu bytes", buf->len - 8);
    }
    uint64_t length = buf->len - 8;
    for (int i = 0; i < 8; i++) buf->data[i] = (char)(unsigned char)(length >> 8 * i);
    return CM_OK;
}

static cm_status write_file(const st_writer *writer, const cm_buf *header) {
    cm_file_part *parts = cm_new(writer->count + 1, sizeof *parts);
    if (!parts) return cm_fail_memory(writer->error, 0);
    parts[0] = (cm_file_part){.data = header->data, .size = header->len};
    for (size_t i = 0; i < writer->count; i++) {
        parts[i + 1] = (cm_file_part){.data = writer->tensors[i]->data, .size = writer->tensors[i]->bytes};
    }
    cm_status status = cm_file_replace(writer->path, parts, writer->count + 1, writer->error);
    cm_free(parts);
    return status;
}

static cm_status write_sorted(st_writer *writer) {
    if (writer->count > 0) qsort(writer->tensors, writer->count, sizeof *writer->tensors, by_dtype_and_name);
    if (writer->n_metadata > 0) qsort(writer->metadata, writer->n_metadata, sizeof *writer->metadata, by_key);
    CM_TRY(check_content(writer));
    cm_buf header = CM_BUF_EMPTY;
    cm_status status = build_header(writer, &header);
    if (status == CM_OK) status = write_file(writer, &header);
    cm_buf_clear(&header);
    return status;
}

cm_status cm_safetensors_write(const char *path, const cm_tensor *tensors, size_t count,
                               const cm_metadata_entry *metadata, size_t n_metadata, cm_error *error) {
    st_writer writer = {.path = path, .count = count, .n_metadata = n_metadata, .error = error};
    cm_status status = CM_OK;
    writer.tensors = cm_new(count, sizeof *writer.tensors);
    writer.metadata = cm_new(n_metadata, sizeof *writer.metadata);
    if (!writer.tensors || !writer.metadata) status = cm_fail_memory(error, 0);
    if (status == CM_OK) {
        for (size_t i = 0; i < count; i++) writer.tensors[i] = &tensors[i];
        for (size_t i = 0; i < n_metadata; i++) writer.metadata[i] = &metadata[i];
        status = write_sorted(&writer);
    }
    cm_free(writer.metadata);
    cm_free(writer.tensors);
    return status;
}
