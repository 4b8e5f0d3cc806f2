/* HDF5 -> tensors. Everything that reaches outside of the file or runs code of a plugin is refused before any
 * data are read; what is left is the HDF5 library's own parser, hence "for trusted files". */
#include "base/alloc.h"
#include "base/file.h"
#include "base/map.h"
#include "h5.h"
#include "io/json.h"
#include <string.h>

typedef struct h5_reader {
    cm_h5_list *list;
    const char *path;
    int64_t width;      /* of the first dataset; 0 before */
    cm_map *ids;        /* those read */
    size_t room, limit; /* bytes that the numbers may still take, and in all */
    cm_status status;
    cm_error *error;
} h5_reader;

static cm_status bad(const h5_reader *reader, const char *name, const char *expected, const char *found) {
    return cm_fail(reader->error, CM_DATA, reader->path, cm_format("dataset %s", name).text, expected, "%s",
                   found);
}

/* ---- what a dataset may be ---- */

static cm_status check_filters(const h5_reader *reader, const char *name, hid_t how) {
    int count = H5Pget_nfilters(how);
    for (int i = 0; i < count; i++) {
        unsigned flags, config;
        size_t n_values = 0;
        char text[48] = "";
        H5Z_filter_t filter =
            H5Pget_filter2(how, (unsigned)i, &flags, &n_values, NULL, sizeof text, text, &config);
        if (filter != H5Z_FILTER_DEFLATE && filter != H5Z_FILTER_SHUFFLE)
            return bad(reader, name, "no filters but deflate and shuffle",
                       cm_format("filter %d (%s)", (int)filter, text).text);
    }
    return count < 0 ? bad(reader, name, "readable filters", "others") : CM_OK;
}

/* A chunk is unpacked as a whole. */
static cm_status check_chunk(const h5_reader *reader, const char *name, hid_t how, size_t element) {
    hsize_t dims[2] = {0};
    size_t bytes = element, limit = (size_t)8 << 20;
    int n_dims = H5Pget_chunk(how, 2, dims);
    if (n_dims < 1 || n_dims > 2) return bad(reader, name, "chunks of 1 or 2 dimensions", "others");
    for (int i = 0; i < n_dims; i++) {
        if (!cm_size_mul(bytes, (size_t)dims[i], &bytes) || bytes > limit)
            return bad(reader, name, "chunks of at most 8 MiB", "larger ones");
    }
    return CM_OK;
}

static cm_status check_storage(const h5_reader *reader, const char *name, hid_t how, size_t element) {
    H5D_layout_t layout = H5Pget_layout(how);
    if (layout != H5D_CONTIGUOUS && layout != H5D_CHUNKED && layout != H5D_COMPACT)
        return bad(reader, name, "data in this file", "a virtual dataset");
    if (H5Pget_external_count(how) != 0) return bad(reader, name, "data in this file", "external storage");
    if (layout == H5D_CHUNKED) CM_TRY(check_chunk(reader, name, how, element));
    return check_filters(reader, name, how);
}

/* The numbers of a dataset against what is left for those of the file. */
static cm_status take_room(h5_reader *reader, const char *name, size_t bytes) {
    if (bytes > reader->room)
        return bad(reader, name,
                   cm_format("%zu bytes of numbers in all, by the size of the file", reader->limit).text,
                   "more");
    reader->room -= bytes;
    return CM_OK;
}

/* dims, and bytes as 32-bit floats. */
static cm_status check_shape(h5_reader *reader, const char *name, hid_t dataset, cm_tensor *tensor) {
    hsize_t dims[2] = {0};
    hid_t space = H5Dget_space(dataset);
    int n_dims = space < 0 ? -1 : H5Sget_simple_extent_ndims(space);
    if (n_dims == 1 || n_dims == 2) H5Sget_simple_extent_dims(space, dims, NULL);
    if (space >= 0) H5Sclose(space);
    if (n_dims != 1 && n_dims != 2)
        return bad(reader, name, "[residues, width] or [width]", cm_format("%d dimensions", n_dims).text);
    size_t numbers = 1;
    bool fits = true;
    for (int i = 0; i < n_dims; i++) {
        tensor->dims[i] = (int64_t)dims[i];
        fits = fits && tensor->dims[i] >= 0 && cm_size_mul(numbers, (size_t)dims[i], &numbers);
    }
    tensor->n_dims = n_dims;
    if (!fits || !cm_size_mul(numbers, sizeof(float), &tensor->bytes))
        return bad(reader, name, "a shape that fits", "an overflow");
    if (numbers == 0) return bad(reader, name, "at least one number", "none");
    if (H5Dget_storage_size(dataset) == 0)
        return bad(reader, name, cm_format("data for %zu numbers", numbers).text, "none");
    CM_TRY(take_room(reader, name, tensor->bytes));
    int64_t width = tensor->dims[n_dims - 1];
    if (reader->width == 0) reader->width = width;
    if (width != reader->width)
        return bad(reader, name, cm_format("%lld as in the datasets before", (long long)reader->width).text,
                   cm_format("width %lld", (long long)width).text);
    return CM_OK;
}

static cm_status check_dataset(h5_reader *reader, const char *name, hid_t dataset, cm_tensor *tensor) {
    hid_t type = H5Dget_type(dataset), how = H5Dget_create_plist(dataset);
    size_t element = type < 0 ? 0 : H5Tget_size(type);
    cm_status status = CM_OK;
    if (type < 0 || how < 0)
        status = bad(reader, name, "a readable dataset", "a damaged one");
    else if (H5Tget_class(type) != H5T_FLOAT || (element != 2 && element != 4))
        status = bad(reader, name, "32- or 16-bit floats", "another type");
    if (status == CM_OK) status = check_storage(reader, name, how, element);
    if (status == CM_OK) status = check_shape(reader, name, dataset, tensor);
    if (type >= 0) H5Tclose(type);
    if (how >= 0) H5Pclose(how);
    return status;
}

/* ---- ids ---- */

/* A string of one element, of fixed or of variable length; NULL when it is something else. */
static char *read_text(hid_t attribute, hid_t type, hid_t space) {
    enum { LIMIT = 1 << 16 };
    if (H5Tget_class(type) != H5T_STRING || H5Sget_simple_extent_npoints(space) != 1) return NULL;
    char *text = NULL;
    if (H5Tis_variable_str(type) > 0) {
        char *read = NULL;
        if (H5Aread(attribute, type, &read) >= 0 && read) text = cm_copy_text(read, strlen(read));
        H5free_memory(read);
        return text;
    }
    size_t size = H5Tget_size(type);
    if (size == 0 || size > LIMIT) return NULL;
    text = cm_new(size + 1, 1);
    if (text && H5Aread(attribute, type, text) >= 0) return text;
    cm_free(text);
    return NULL;
}

/* The text of original_id; NULL when it is something else. */
static char *read_original_id(hid_t dataset) {
    char *id = NULL;
    hid_t attribute = H5Aopen(dataset, "original_id", H5P_DEFAULT);
    hid_t type = attribute < 0 ? -1 : H5Aget_type(attribute),
          space = attribute < 0 ? -1 : H5Aget_space(attribute);
    if (type >= 0 && space >= 0) id = read_text(attribute, type, space);
    if (space >= 0) H5Sclose(space);
    if (type >= 0) H5Tclose(type);
    if (attribute >= 0) H5Aclose(attribute);
    return id;
}

/* An id is a text that no dataset before has. */
static cm_status check_id(const h5_reader *reader, const char *name, const char *id) {
    if (id[0] == '\0') return bad(reader, name, "an id", "an empty original_id");
    if (!cm_is_utf8(id)) return bad(reader, name, "an id in UTF-8", "other bytes");
    if (cm_map_get(reader->ids, id, strlen(id), NULL))
        return bad(reader, name, "an id of its own", cm_format("%s, which one before has", id).text);
    return cm_map_put(reader->ids, id, strlen(id), 0) ? CM_OK : cm_fail_memory(reader->error, 0);
}

/* To be freed by the caller. */
static cm_status read_id(const h5_reader *reader, const char *name, hid_t dataset, char **id) {
    if (H5Aexists(dataset, "original_id") > 0) {
        *id = read_original_id(dataset);
        if (!*id) return bad(reader, name, "a text in original_id", "something else");
    } else {
        *id = cm_copy_text(name, strlen(name));
        if (!*id) return cm_fail_memory(reader->error, 0);
    }
    cm_status status = check_id(reader, name, *id);
    if (status != CM_OK) cm_free(*id);
    return status;
}

/* ---- reading ---- */

static bool make_room(cm_h5_list *list) {
    if (list->count < list->room) return true;
    size_t room = list->room ? list->room * 2 : 64;
    cm_tensor *tensors = cm_resize(list->tensors, room, sizeof *tensors);
    if (!tensors) return false;
    list->tensors = tensors;
    char **ids = cm_resize(list->ids, room, sizeof *ids);
    if (!ids) return false;
    list->ids = ids;
    list->room = room;
    return true;
}

static cm_status read_dataset(h5_reader *reader, const char *name, hid_t dataset) {
    cm_tensor tensor = {.dtype = CM_DTYPE_F32};
    char *id = NULL;
    CM_TRY(check_dataset(reader, name, dataset, &tensor));
    if (!make_room(reader->list)) return cm_fail_memory(reader->error, 0);
    CM_TRY(read_id(reader, name, dataset, &id));
    void *data = cm_new_aligned(tensor.bytes, 1);
    tensor.data = data;
    tensor.name = id;
    reader->list->tensors[reader->list->count] = tensor;
    reader->list->ids[reader->list->count++] = id;
    if (!data) return cm_fail_memory(reader->error, tensor.bytes);
    if (H5Dread(dataset, H5T_IEEE_F32LE, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) < 0)
        return bad(reader, name, "whole data", "damaged ones");
    return CM_OK;
}

static cm_status read_link(h5_reader *reader, hid_t root, const char *name, H5L_type_t type) {
    if (type != H5L_TYPE_HARD)
        return bad(reader, name, "a dataset of this file",
                   type == H5L_TYPE_SOFT ? "a soft link" : "an external link");
    hid_t object = H5Oopen(root, name, H5P_DEFAULT);
    if (object < 0) return bad(reader, name, "a dataset", "something that cannot be opened");
    cm_status status = H5Iget_type(object) == H5I_DATASET
                           ? read_dataset(reader, name, object)
                           : bad(reader, name, "a dataset", "a group or a type");
    H5Oclose(object);
    return status;
}

static herr_t visit(hid_t root, const char *name, const H5L_info_t *info, void *context) {
    h5_reader *reader = context;
    reader->status = read_link(reader, root, name, info->type);
    return reader->status == CM_OK ? 0 : 1;
}

/* Plugins are shared libraries that a file can ask for by number. */
static cm_status read_file(h5_reader *reader) {
    if (H5PLset_loading_state(0) < 0 || H5Fis_hdf5(reader->path) <= 0)
        return cm_fail(reader->error, CM_DATA, reader->path, NULL, "an HDF5 file", "another one");
    hid_t file = H5Fopen(reader->path, H5F_ACC_RDONLY, H5P_DEFAULT);
    herr_t result = file < 0 ? -1 : H5Literate(file, H5_INDEX_NAME, H5_ITER_INC, NULL, visit, reader);
    if (file >= 0) H5Fclose(file);
    if (result < 0 && reader->status == CM_OK)
        return cm_fail(reader->error, CM_DATA, reader->path, NULL, "an HDF5 file", "a damaged one");
    return reader->status;
}

cm_status cm_h5_read(cm_h5_list *list, const char *path, cm_error *error) {
    h5_reader reader = {.list = list, .path = path, .status = CM_OK, .error = error};
    size_t size = 0;
    *list = (cm_h5_list){0};
    CM_TRY(cm_file_size(path, &size, error));
    if (!cm_size_mul(size, 4, &reader.limit) || !cm_size_add(reader.limit, 16000000, &reader.limit))
        reader.limit = SIZE_MAX;
    reader.room = reader.limit;
    reader.ids = cm_map_create();
    if (!reader.ids) return cm_fail_memory(error, 0);
    cm_status status = read_file(&reader);
    cm_map_destroy(reader.ids);
    return status;
}

void cm_h5_list_clear(cm_h5_list *list) {
    for (size_t i = 0; i < list->count; i++) {
        cm_free(list->ids[i]);
        cm_free((void *)(uintptr_t)list->tensors[i].data);
    }
    cm_free(list->ids);
    cm_free(list->tensors);
    *list = (cm_h5_list){0};
}
