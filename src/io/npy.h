/* NumPy's .npy and .npz (numpy.lib.format, versions 1 to 3): plain little-endian arrays of booleans, integers
 * and floats. Object arrays, structured and text types, big-endian and Fortran order are refused by name.
 *
 * Where numpy is lenient this is not: the header has the keys descr, fortran_order and shape once each and is
 * at most 10,000 bytes long (numpy's max_header_size), a shape has at most 8 dimensions, and the data end
 * where the file ends. In a .npz every member ends in ".npy", each name stands once. All refusals are
 * CM_DATA. */
#ifndef CM_IO_NPY_H
#define CM_IO_NPY_H

#include "io/safetensors.h"

typedef struct cm_npy cm_npy;

/* A .npy file, mapped: one tensor whose name is "". A .npz file (by its first bytes): one tensor a member,
 * named without ".npy", stored or deflated, zip64 allowed, unpacked into memory; members whose unpacked sizes
 * add up to more than max_bytes, or to more than deflate can make of the packed ones, are refused before
 * anything is unpacked. */
cm_status cm_npy_open(cm_npy **file, const char *path, size_t max_bytes, cm_error *error);
void cm_npy_close(cm_npy *file);
size_t cm_npy_count(const cm_npy *file);
const cm_tensor *cm_npy_get(const cm_npy *file, size_t i); /* in file order; data may be unaligned */

/* Writes tensor (F32, F16, F64, I32 or I64) as .npy version 1, atomically (cm_file_replace). */
cm_status cm_npy_write(const char *path, const cm_tensor *tensor, cm_error *error);

/* A .npz that is written member by member (stored, not compressed; zip64), to a temporary file beside path
 * that takes its name at close. */
typedef struct cm_npz_writer cm_npz_writer;
cm_status cm_npz_create(cm_npz_writer **writer, const char *path, cm_error *error);
/* Copies the data out before it returns. CM_DATA when the name was written before. After a failure close
 * gives that failure too. */
cm_status cm_npz_add(cm_npz_writer *writer, const cm_tensor *tensor, cm_error *error);
/* Completes the file when status is CM_OK, else removes what was written; returns status or the failure.
 * writer may be NULL. */
cm_status cm_npz_close(cm_npz_writer *writer, cm_status status, cm_error *error);

#endif
