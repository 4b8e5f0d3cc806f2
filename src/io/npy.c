/* .npy mapped; .npz unpacked into memory through libzip, which reads it from the map of the file. */
#include "io/npy.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/map.h"
#include "io/npy_header.h"
#include <inttypes.h>
#include <string.h>
#include <zip.h>

/* No deflate stream grows more than this (zlib's technical notes); a few bytes for its end. */
enum { MAX_RATIO = 1032, MAX_EXTRA = 1032 };

struct cm_npy {
    cm_file_map map;
    cm_tensor *tensors;
    size_t count;
    cm_map *names;    /* of a .npz: name -> number; owns the names */
    void **images;    /* of a .npz: a member's unpacked bytes, count of them */
    const char *path; /* during open */
    cm_error *error;  /* during open */
};

/* ---- .npz ---- */

static cm_status fail_zip(const cm_npy *file, const char *place, const char *found) {
    return cm_fail(file->error, CM_DATA, file->path, place, "a .npz file", "%s", found);
}

static cm_status bad_member(const cm_npy *file, const char *name, const char *expected, const char *found) {
    return cm_fail(file->error, CM_DATA, file->path, cm_format("member %s", name).text, expected, "%s",
                   found);
}

/* What can be known of a member before it is unpacked. */
static cm_status check_member(const cm_npy *file, const zip_stat_t *info) {
    const zip_uint64_t needed = ZIP_STAT_NAME | ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD |
                                ZIP_STAT_ENCRYPTION_METHOD;
    if ((info->valid & needed) != needed) return fail_zip(file, NULL, "a member without name or size");
    if (info->encryption_method != ZIP_EM_NONE)
        return bad_member(file, info->name, "plain data", "encryption");
    if (info->comp_method != ZIP_CM_STORE && info->comp_method != ZIP_CM_DEFLATE)
        return bad_member(file, info->name, "stored or deflated data",
                          cm_format("compression method %u", (unsigned)info->comp_method).text);
    zip_uint64_t most = info->comp_size;
    if (most > file->map.size) return bad_member(file, info->name, "less than the file", "more packed bytes");
    if (info->comp_method == ZIP_CM_DEFLATE) most = most * MAX_RATIO + MAX_EXTRA;
    if (info->size > most)
        return bad_member(file, info->name, cm_format("at most %" PRIu64, (uint64_t)most).text,
                          cm_format("%" PRIu64 " unpacked bytes from %" PRIu64, (uint64_t)info->size,
                                    (uint64_t)info->comp_size)
                              .text);
    return CM_OK;
}

/* The name without its end into names; each once. */
static cm_status keep_name(const cm_npy *file, const char *name) {
    static const char ending[] = ".npy";
    size_t length = strlen(name), end = sizeof ending - 1;
    if (length < end || strcmp(name + length - end, ending) != 0)
        return bad_member(file, name, "members whose names end in .npy", "another name");
    if (cm_map_get(file->names, name, length - end, NULL))
        return bad_member(file, name, "each name once", "the name twice");
    if (!cm_map_put(file->names, name, length - end, (int64_t)cm_map_count(file->names)))
        return cm_fail_memory(file->error, length);
    return CM_OK;
}

/* All members, and the sum of their sizes, before any is unpacked. */
static cm_status check_members(const cm_npy *file, zip_t *zip, zip_uint64_t count, size_t max_bytes) {
    size_t total = 0;
    for (zip_uint64_t i = 0; i < count; i++) {
        zip_stat_t info;
        if (zip_stat_index(zip, i, ZIP_FL_ENC_RAW, &info) != 0)
            return fail_zip(file, NULL, zip_strerror(zip));
        CM_TRY(check_member(file, &info));
        if (!cm_size_add(total, info.size, &total) || total > max_bytes)
            return cm_fail(file->error, CM_DATA, file->path, cm_format("member %s", info.name).text,
                           cm_format("at most %zu unpacked bytes", max_bytes).text, "more");
        CM_TRY(keep_name(file, info.name));
    }
    return CM_OK;
}

/* Exactly size bytes; libzip compares the checksum when it meets the end. */
static cm_status unpack(const cm_npy *file, zip_t *zip, zip_uint64_t i, const char *name,
                        unsigned char *image, size_t size) {
    zip_file_t *member = zip_fopen_index(zip, i, 0);
    if (!member) return bad_member(file, name, "a member that can be read", zip_strerror(zip));
    size_t at = 0;
    zip_int64_t n = 1;
    while (at < size && (n = zip_fread(member, image + at, size - at)) > 0) at += (size_t)n;
    char more;
    if (n > 0) n = zip_fread(member, &more, 1);
    cm_status status = CM_OK;
    if (n < 0)
        status = bad_member(file, name, "whole data", zip_file_strerror(member));
    else if (at < size || n > 0)
        status = bad_member(file, name, cm_format("%zu bytes", size).text, at < size ? "fewer" : "more");
    zip_fclose(member);
    return status;
}

static cm_status read_member(cm_npy *file, zip_t *zip, size_t i) {
    zip_stat_t info;
    if (zip_stat_index(zip, i, ZIP_FL_ENC_RAW, &info) != 0) return fail_zip(file, NULL, zip_strerror(zip));
    size_t size = (size_t)info.size;
    const char *name = cm_map_key(file->names, i, NULL, NULL);
    file->images[i] = cm_new_aligned(size, 1);
    if (!file->images[i]) return cm_fail_memory(file->error, size);
    CM_TRY(unpack(file, zip, i, name, file->images[i], size));
    CM_TRY(cm_npy_header_read(file->images[i], size, file->path, name, &file->tensors[i], file->error));
    file->tensors[i].name = name;
    return CM_OK;
}

static cm_status read_members(cm_npy *file, zip_t *zip, size_t max_bytes) {
    zip_int64_t count = zip_get_num_entries(zip, 0);
    if (count < 0) return fail_zip(file, NULL, "no members");
    file->names = cm_map_create();
    file->tensors = cm_new((size_t)count, sizeof *file->tensors);
    file->images = cm_new((size_t)count, sizeof *file->images);
    if (!file->names || !file->tensors || !file->images) return cm_fail_memory(file->error, 0);
    file->count = (size_t)count;
    CM_TRY(check_members(file, zip, (zip_uint64_t)count, max_bytes));
    for (size_t i = 0; i < file->count; i++) CM_TRY(read_member(file, zip, i));
    return CM_OK;
}

static cm_status open_npz(cm_npy *file, size_t max_bytes) {
    zip_error_t reason;
    zip_error_init(&reason);
    zip_source_t *source = zip_source_buffer_create(file->map.data, file->map.size, 0, &reason);
    zip_t *zip = source ? zip_open_from_source(source, ZIP_RDONLY | ZIP_CHECKCONS, &reason) : NULL;
    cm_status status;
    if (zip)
        status = read_members(file, zip, max_bytes);
    else if (zip_error_code_zip(&reason) == ZIP_ER_MEMORY)
        status = cm_fail_memory(file->error, 0);
    else
        status = fail_zip(file, NULL, zip_error_strerror(&reason));
    if (zip)
        zip_discard(zip);
    else if (source)
        zip_source_free(source);
    zip_error_fini(&reason);
    return status;
}

/* ---- both ---- */

static cm_status open_npy(cm_npy *file) {
    file->tensors = cm_new(1, sizeof *file->tensors);
    if (!file->tensors) return cm_fail_memory(file->error, sizeof *file->tensors);
    file->count = 1;
    file->tensors[0].name = "";
    return cm_npy_header_read(file->map.data, file->map.size, file->path, NULL, &file->tensors[0],
                              file->error);
}

static cm_status read_file(cm_npy *file, size_t max_bytes) {
    CM_TRY(cm_file_map_open(&file->map, file->path, file->error));
    bool is_zip = file->map.size >= 4 &&
                  (memcmp(file->map.data, "PK\3\4", 4) == 0 || memcmp(file->map.data, "PK\5\6", 4) == 0);
    return is_zip ? open_npz(file, max_bytes) : open_npy(file);
}

cm_status cm_npy_open(cm_npy **file, const char *path, size_t max_bytes, cm_error *error) {
    cm_npy *opened = cm_new(1, sizeof *opened);
    if (!opened) return cm_fail_memory(error, sizeof *opened);
    opened->path = path;
    opened->error = error;
    cm_status status = read_file(opened, max_bytes);
    opened->path = NULL;
    opened->error = NULL;
    if (status != CM_OK) {
        cm_npy_close(opened);
        return status;
    }
    *file = opened;
    return CM_OK;
}

void cm_npy_close(cm_npy *file) {
    if (!file) return;
    for (size_t i = 0; file->images && i < file->count; i++) cm_free(file->images[i]);
    cm_free(file->images);
    cm_free(file->tensors);
    if (file->names) cm_map_destroy(file->names);
    cm_file_map_close(&file->map);
    cm_free(file);
}

size_t cm_npy_count(const cm_npy *file) {
    return file->count;
}

const cm_tensor *cm_npy_get(const cm_npy *file, size_t i) {
    return &file->tensors[i];
}

cm_status cm_npy_write(const char *path, const cm_tensor *tensor, cm_error *error) {
    char header[CM_NPY_HEADER_MAX];
    size_t length = 0;
    CM_TRY(cm_npy_header_write(tensor, path, header, &length, error));
    const cm_file_part parts[] = {{header, length}, {tensor->data, tensor->bytes}};
    return cm_file_replace(path, parts, tensor->bytes > 0 ? 2 : 1, error);
}
