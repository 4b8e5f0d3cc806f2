/* safetensors -> HDF5. */
#include "base/alloc.h"
#include "base/buf.h"
#include "base/file.h"
#include "h5.h"
#include <string.h>

/* HDF5 1.10 has no predefined half. Closed by the caller. */
static hid_t make_half(void) {
    hid_t type = H5Tcopy(H5T_IEEE_F32LE);
    if (type < 0) return type;
    if (H5Tset_fields(type, 15, 10, 5, 0, 10) < 0 || H5Tset_size(type, 2) < 0 || H5Tset_ebias(type, 15) < 0) {
        H5Tclose(type);
        return -1;
    }
    return type;
}

static cm_text place_of(const cm_tensor *tensor) {
    return cm_format("tensor %s", tensor->name);
}

/* One width, kinds of numbers and shapes that the layout has. */
static cm_status check_tensor(const cm_tensor *tensor, const char *name, int64_t *width, cm_error *error) {
    cm_text place = place_of(tensor);
    if (tensor->dtype != CM_DTYPE_F32 && tensor->dtype != CM_DTYPE_F16)
        return cm_fail(error, CM_DATA, name, place.text, "F32 or F16", "%s", cm_dtype_name(tensor->dtype));
    if (tensor->n_dims != 1 && tensor->n_dims != 2)
        return cm_fail(error, CM_DATA, name, place.text, "[rows, width] or [width]", "%d dimensions",
                       tensor->n_dims);
    int64_t found = tensor->dims[tensor->n_dims - 1];
    if (found < 1 || tensor->bytes == 0)
        return cm_fail(error, CM_DATA, name, place.text, "at least one number", "none");
    if (*width == 0) *width = found;
    if (found != *width)
        return cm_fail(error, CM_DATA, name, place.text,
                       cm_format("%lld as in the tensors before", (long long)*width).text, "width %lld",
                       (long long)found);
    if (tensor->name[0] == '\0')
        return cm_fail(error, CM_DATA, name, NULL, "an id", "a tensor with an empty name");
    return CM_OK;
}

static void escape(cm_buf *out, const char *id) {
    for (const char *c = id; *c; c++) {
        if (*c == '/' || *c == '%' || (*c == '.' && c == id))
            cm_buf_printf(out, "%%%02X", (unsigned)*c);
        else
            cm_buf_append(out, c, 1);
    }
}

/* As h5py writes a str. */
static bool put_id(hid_t dataset, const char *id) {
    hid_t type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR), attribute = -1;
    bool good = type >= 0 && space >= 0 && H5Tset_size(type, H5T_VARIABLE) >= 0 &&
                H5Tset_cset(type, H5T_CSET_UTF8) >= 0;
    if (good) attribute = H5Acreate2(dataset, "original_id", type, space, H5P_DEFAULT, H5P_DEFAULT);
    good = attribute >= 0 && H5Awrite(attribute, type, &id) >= 0;
    if (attribute >= 0) H5Aclose(attribute);
    if (space >= 0) H5Sclose(space);
    if (type >= 0) H5Tclose(type);
    return good;
}

/* The same content gives the same bytes: no times. */
static hid_t create_dataset(hid_t file, const char *name, hid_t type, const cm_tensor *tensor) {
    hsize_t dims[2] = {(hsize_t)tensor->dims[0], tensor->n_dims == 2 ? (hsize_t)tensor->dims[1] : 0};
    hid_t space = H5Screate_simple(tensor->n_dims, dims, NULL), dataset = -1;
    hid_t links = H5Pcreate(H5P_LINK_CREATE), how = H5Pcreate(H5P_DATASET_CREATE);
    if (space >= 0 && links >= 0 && how >= 0 && H5Pset_char_encoding(links, H5T_CSET_UTF8) >= 0 &&
        H5Pset_obj_track_times(how, false) >= 0)
        dataset = H5Dcreate2(file, name, type, space, links, how, H5P_DEFAULT);
    if (how >= 0) H5Pclose(how);
    if (links >= 0) H5Pclose(links);
    if (space >= 0) H5Sclose(space);
    return dataset;
}

typedef struct h5_types {
    hid_t file, half, stored;
} h5_types;

static cm_status write_tensor(const h5_types *types, const cm_tensor *tensor, const char *path,
                              cm_error *error) {
    cm_buf name = CM_BUF_EMPTY;
    escape(&name, tensor->name);
    void *data = cm_new_aligned(tensor->bytes, 1); /* HDF5 wants aligned numbers */
    if (name.failed || !data) {
        cm_buf_clear(&name);
        cm_free(data);
        return cm_fail_memory(error, tensor->bytes);
    }
    memcpy(data, tensor->data, tensor->bytes);
    hid_t memory = tensor->dtype == CM_DTYPE_F16 ? types->half : H5T_IEEE_F32LE;
    hid_t dataset = create_dataset(types->file, name.data, types->stored, tensor);
    bool good = dataset >= 0 && H5Dwrite(dataset, memory, H5S_ALL, H5S_ALL, H5P_DEFAULT, data) >= 0 &&
                put_id(dataset, tensor->name);
    if (dataset >= 0) good &= H5Dclose(dataset) >= 0;
    cm_buf_clear(&name);
    cm_free(data);
    if (good) return CM_OK;
    return cm_fail(error, CM_IO, path, place_of(tensor).text, NULL, "HDF5 cannot write it");
}

static cm_status write_all(const char *path, const cm_safetensors *file, const char *final, bool half,
                           cm_error *error) {
    h5_types types = {.file = H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), .half = make_half()};
    types.stored = half ? types.half : H5T_IEEE_F32LE;
    cm_status status = CM_OK;
    if (types.file < 0 || types.half < 0)
        status = cm_fail(error, CM_IO, final, NULL, NULL, "HDF5 cannot create it");
    for (size_t i = 0; i < cm_safetensors_count(file) && status == CM_OK; i++)
        status = write_tensor(&types, cm_safetensors_get(file, i), final, error);
    if (types.half >= 0) H5Tclose(types.half);
    if (types.file >= 0 && H5Fclose(types.file) < 0 && status == CM_OK)
        status = cm_fail(error, CM_IO, final, NULL, NULL, "HDF5 cannot write it");
    return status;
}

cm_status cm_h5_write(const char *path, const cm_safetensors *file, const char *name, bool half,
                      cm_error *error) {
    int64_t width = 0;
    for (size_t i = 0; i < cm_safetensors_count(file); i++)
        CM_TRY(check_tensor(cm_safetensors_get(file, i), name, &width, error));
    cm_file_new target;
    cm_buf temporary = CM_BUF_EMPTY;
    CM_TRY(cm_file_new_open(&target, path, error));
    cm_buf_append(&temporary, path, (size_t)(target.base - path));
    cm_status status = cm_buf_text(&temporary, target.name)
                           ? write_all(temporary.data, file, path, half, error)
                           : cm_fail_memory(error, 0);
    cm_buf_clear(&temporary);
    return cm_file_new_close(&target, status, error);
}
