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
 * of the file, virtual datasets, filters other than deflate and shuffle, and data larger than the stored
 * bytes can be. Clear list whatever the result. */
cm_status cm_h5_read(cm_h5_list *list, const char *path, cm_error *error);
void cm_h5_list_clear(cm_h5_list *list);

#endif
