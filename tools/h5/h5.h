/* Embeddings in HDF5 as bio_embeddings and UniProt lay them out: a dataset per sequence in the root group,
 * [residues, width] or [width], its id in the attribute original_id. */
#ifndef CM_TOOLS_H5_H
#define CM_TOOLS_H5_H

#include "io/safetensors.h"
#include <hdf5.h>
#include <stdbool.h>

/* Writes every tensor of a safetensors file (F32 or F16; 1 or 2 dimensions; one width) as a dataset. The
 * dataset's name is the id, with '/' as %2F and '%' as %25, and '.' as %2E when the id begins with it,
 * because '/' separates groups in HDF5 and "." is the group itself; original_id is the id as it is. half:
 * 16-bit floats. */
cm_status cm_h5_write(const char *path, const cm_safetensors *file, const char *name, bool half,
                      cm_error *error);

typedef struct cm_h5_list {
    cm_tensor *tensors; /* F32 */
    char **ids;         /* the names of the tensors; owned, as are the data */
    size_t count, room;
} cm_h5_list;

/* Reads such a file, in the order of the datasets' names. The id is original_id where there is one, else the
 * name. CM_DATA for links that are not hard, groups, other types than 16- and 32-bit floats, storage outside
 * of the file, virtual datasets, filters other than deflate and shuffle, chunks over 8 MiB, numbers that take
 * more than four times the file's size and 16 MB, and for ids that are empty, no UTF-8 or there twice. Clear
 * list whatever the result. */
cm_status cm_h5_read(cm_h5_list *list, const char *path, cm_error *error);
void cm_h5_list_clear(cm_h5_list *list);

/* Runs work in a process of its own, with limits by the size of the HDF5 file that it reads: 64 MB and five
 * times the size of memory, 3 s and one for each 10 MB of processor time. CM_DATA when a signal ends it,
 * else its status and error. */
typedef cm_status (*cm_h5_work)(void *context, cm_error *error);
cm_status cm_h5_apart(cm_h5_work work, void *context, const char *path, size_t size, cm_error *error);

#endif
