/* Writing .npz: a zip of stored members (PKWARE's APPNOTE 6.3). libzip writes nothing before it closes a
 * file, so that it would hold every member in memory; a zip without compression is three kinds of headers.
 * Zip64 fields stand where a number needs them. Times are fixed, so the same content gives the same bytes. */
#include "io/npy.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/map.h"
#include "io/npy_header.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

struct cm_npz_writer {
    char *path;
    cm_file_new target;
    FILE *file;     /* target's */
    uint64_t at;    /* bytes written */
    uint64_t count; /* members */
    cm_map *names;
    cm_buf directory; /* the central directory so far */
    cm_status status; /* of the first failure */
    cm_error error;
};

static const uint64_t limit16 = 0xffff, limit32 = 0xffffffff;

/* A header is built from fields of 2, 4 and 8 bytes, little-endian. */
static void field(cm_buf *buf, int bytes, uint64_t value) {
    unsigned char text[8];
    for (int i = 0; i < bytes; i++) text[i] = (unsigned char)(value >> 8 * i);
    cm_buf_append(buf, text, (size_t)bytes);
}

typedef struct zip_member {
    const char *name; /* without .npy */
    uint32_t crc;
    uint64_t size, offset;
} zip_member;

/* What local and central header share, from "version needed" to the length of the extra field. */
static void common_fields(cm_buf *buf, const zip_member *member, bool zip64, size_t extra) {
    enum { UTF8_NAMES = 0x800, FIRST_OF_1980 = 0x21 };
    uint64_t size = member->size < limit32 ? member->size : limit32;
    field(buf, 2, zip64 ? 45 : 20);
    field(buf, 2, UTF8_NAMES);
    field(buf, 2, 0); /* stored */
    field(buf, 2, 0);
    field(buf, 2, FIRST_OF_1980);
    field(buf, 4, member->crc);
    field(buf, 4, size);
    field(buf, 4, size);
    field(buf, 2, strlen(member->name) + 4);
    field(buf, 2, extra);
}

static void name_field(cm_buf *buf, const zip_member *member) {
    cm_buf_text(buf, member->name);
    cm_buf_text(buf, ".npy");
}

static void local_header(cm_buf *buf, const zip_member *member) {
    bool zip64 = member->size >= limit32;
    field(buf, 4, 0x04034b50);
    common_fields(buf, member, zip64, zip64 ? 20 : 0);
    name_field(buf, member);
    if (!zip64) return;
    field(buf, 2, 1);
    field(buf, 2, 16);
    field(buf, 8, member->size);
    field(buf, 8, member->size);
}

static void central_header(cm_buf *buf, const zip_member *member) {
    bool large = member->size >= limit32, far = member->offset >= limit32;
    size_t extra = (large ? 16U : 0U) + (far ? 8U : 0U);
    field(buf, 4, 0x02014b50);
    field(buf, 2, 45);
    common_fields(buf, member, large || far, extra ? extra + 4 : 0);
    field(buf, 2, 0); /* comment */
    field(buf, 2, 0); /* disk */
    field(buf, 2, 0); /* internal attributes */
    field(buf, 4, 0); /* external attributes */
    field(buf, 4, far ? limit32 : member->offset);
    name_field(buf, member);
    if (!extra) return;
    field(buf, 2, 1);
    field(buf, 2, extra);
    if (large) field(buf, 8, member->size);
    if (large) field(buf, 8, member->size);
    if (far) field(buf, 8, member->offset);
}

/* The ends of the file, behind a central directory of size bytes at offset. */
static void end_records(cm_buf *buf, uint64_t count, uint64_t size, uint64_t offset) {
    bool zip64 = count >= limit16 || size >= limit32 || offset >= limit32;
    if (zip64) {
        field(buf, 4, 0x06064b50);
        field(buf, 8, 44);
        field(buf, 2, 45);
        field(buf, 2, 45);
        field(buf, 4, 0);
        field(buf, 4, 0);
        field(buf, 8, count);
        field(buf, 8, count);
        field(buf, 8, size);
        field(buf, 8, offset);
        field(buf, 4, 0x07064b50);
        field(buf, 4, 0);
        field(buf, 8, offset + size);
        field(buf, 4, 1);
    }
    field(buf, 4, 0x06054b50);
    field(buf, 2, 0);
    field(buf, 2, 0);
    for (int i = 0; i < 2; i++) field(buf, 2, count < limit16 ? count : limit16);
    field(buf, 4, size < limit32 ? size : limit32);
    field(buf, 4, offset < limit32 ? offset : limit32);
    field(buf, 2, 0);
}

/* ---- the file ---- */

static cm_status open_file(cm_npz_writer *writer, cm_error *error) {
    CM_TRY(cm_file_new_open(&writer->target, writer->path, error));
    writer->file = fdopen(writer->target.fd, "wb");
    if (!writer->file) return cm_file_new_close(&writer->target, cm_fail_memory(error, 0), error);
    writer->target.fd = -1;
    return CM_OK;
}

static void destroy(cm_npz_writer *writer) {
    cm_buf_clear(&writer->directory);
    if (writer->names) cm_map_destroy(writer->names);
    cm_free(writer->path);
    cm_free(writer);
}

cm_status cm_npz_create(cm_npz_writer **writer, const char *path, cm_error *error) {
    cm_npz_writer *created = cm_new(1, sizeof *created);
    if (!created) return cm_fail_memory(error, sizeof *created);
    created->path = cm_copy_text(path, strlen(path));
    created->names = cm_map_create();
    cm_status status = created->path && created->names ? open_file(created, error) : cm_fail_memory(error, 0);
    if (status != CM_OK) {
        destroy(created);
        return status;
    }
    *writer = created;
    return CM_OK;
}

static cm_status write_bytes(cm_npz_writer *writer, const void *bytes, size_t size, cm_error *error) {
    if (size > 0 && fwrite(bytes, 1, size, writer->file) != size)
        return cm_fail_errno(error, writer->path, "cannot write", errno);
    writer->at += size;
    return CM_OK;
}

static uint32_t checksum(uint32_t crc, const void *data, size_t size) {
    return (uint32_t)crc32_z(crc, data, size);
}

static cm_status write_member(cm_npz_writer *writer, const cm_tensor *tensor, cm_error *error) {
    char header[CM_NPY_HEADER_MAX];
    size_t length = 0;
    CM_TRY(cm_npy_header_write(tensor, writer->path, header, &length, error));
    zip_member member = {.name = tensor->name, .size = length + tensor->bytes, .offset = writer->at};
    member.crc = checksum(checksum(0, header, length), tensor->data ? tensor->data : header, tensor->bytes);
    cm_buf local = CM_BUF_EMPTY;
    local_header(&local, &member);
    central_header(&writer->directory, &member);
    cm_status status = CM_OK;
    if (local.failed || writer->directory.failed) status = cm_fail_memory(error, 0);
    if (status == CM_OK) status = write_bytes(writer, local.data, local.len, error);
    if (status == CM_OK) status = write_bytes(writer, header, length, error);
    if (status == CM_OK) status = write_bytes(writer, tensor->data, tensor->bytes, error);
    cm_buf_clear(&local);
    writer->count++;
    return status;
}

/* A name that fits the 16 bits of its length and was not there before. */
static cm_status check_name(cm_npz_writer *writer, const cm_tensor *tensor, cm_error *error) {
    size_t length = strlen(tensor->name);
    if (length == 0 || length > 60000)
        return cm_fail(error, CM_USAGE, writer->path, NULL, "names of 1 to 60000 bytes", "%zu bytes", length);
    if (cm_map_get(writer->names, tensor->name, length, NULL))
        return cm_fail(error, CM_DATA, writer->path, cm_format("member %s", tensor->name).text,
                       "each name once", "the name twice");
    return cm_map_put(writer->names, tensor->name, length, 0) ? CM_OK : cm_fail_memory(error, length);
}

cm_status cm_npz_add(cm_npz_writer *writer, const cm_tensor *tensor, cm_error *error) {
    cm_status status = check_name(writer, tensor, &writer->error);
    if (status == CM_OK) status = write_member(writer, tensor, &writer->error);
    if (status == CM_OK) return CM_OK;
    if (writer->status == CM_OK) writer->status = status;
    if (error) *error = writer->error;
    return status;
}

static cm_status write_end(cm_npz_writer *writer, cm_error *error) {
    cm_buf ends = CM_BUF_EMPTY;
    end_records(&ends, writer->count, writer->directory.len, writer->at);
    cm_status status = ends.failed ? cm_fail_memory(error, 0) : CM_OK;
    if (status == CM_OK) status = write_bytes(writer, writer->directory.data, writer->directory.len, error);
    if (status == CM_OK) status = write_bytes(writer, ends.data, ends.len, error);
    cm_buf_clear(&ends);
    return status;
}

cm_status cm_npz_close(cm_npz_writer *writer, cm_status status, cm_error *error) {
    if (!writer) return status;
    if (status == CM_OK && writer->status != CM_OK) {
        status = writer->status;
        if (error) *error = writer->error;
    } else if (status == CM_OK) {
        status = write_end(writer, error);
    }
    if (fclose(writer->file) != 0 && status == CM_OK)
        status = cm_fail_errno(error, writer->path, "cannot write", errno);
    status = cm_file_new_close(&writer->target, status, error);
    destroy(writer);
    return status;
}
