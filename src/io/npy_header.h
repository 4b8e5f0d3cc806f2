/* The header of .npy (numpy.lib.format, versions 1 to 3), read and written. Private to src/io. */
#ifndef CM_IO_NPY_HEADER_H
#define CM_IO_NPY_HEADER_H

#include "io/safetensors.h"
#include <stdbool.h>

/* Room for the header of any cm_tensor. */
enum { CM_NPY_HEADER_MAX = 512 };

/* Reads the image of a .npy file. Fills dtype, dims, data and bytes of *tensor; data points into image.
 * member names the member of a .npz in messages, NULL in a .npy. Rules in npy.h. */
cm_status cm_npy_header_read(const unsigned char *image, size_t size, const char *path, const char *member,
                             cm_tensor *tensor, cm_error *error);

/* Writes a version 1 header and *length, a multiple of 64. CM_USAGE for a dtype that cm_npy_write does not
 * write and for a shape that does not give the bytes. path for messages only. */
cm_status cm_npy_header_write(const cm_tensor *tensor, const char *path, char header[CM_NPY_HEADER_MAX],
                              size_t *length, cm_error *error);

#endif
