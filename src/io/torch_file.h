/* PyTorch checkpoints (torch.save): the zip format (1.6 and later) and the legacy pickle stream. The pickle
 * is run by an interpreter of its own that knows only the opcodes and globals of plain checkpoints (tensors,
 * storages, containers, numbers, texts, argparse.Namespace) and refuses everything else by name, so no code
 * of the file is ever run. Used by the import of checkpoints alone; everything else reads safetensors. */
#ifndef CM_IO_TORCH_FILE_H
#define CM_IO_TORCH_FILE_H

#include "io/safetensors.h"

typedef struct cm_torch_file cm_torch_file;

/* Finds the state dict: the top object itself, or its member "model", "state_dict", "model_state_dict" or
 * "module" when that holds tensors; nested dicts of tensors join with '.'. Entries that are no tensors are
 * counted, not kept. Tensors become contiguous, row-major, little-endian; shared storages are copied. CM_DATA
 * with the byte or entry for everything else. Memory at most the file's size + 64 MB. */
cm_status cm_torch_file_open(cm_torch_file **file, const char *path, cm_error *error);
void cm_torch_file_close(cm_torch_file *file);

size_t cm_torch_file_count(const cm_torch_file *file);
const cm_tensor *cm_torch_file_get(const cm_torch_file *file, size_t i); /* in the order of the dict */
/* Entries of the state dict that are no tensors. */
size_t cm_torch_file_skipped(const cm_torch_file *file);

#endif
