/* PyTorch checkpoints (torch.save): the zip format (1.6 and later) and the legacy pickle stream. The pickle
 * is run by an interpreter of its own that knows only the opcodes and globals of plain checkpoints (tensors,
 * storages, containers, numbers, texts, argparse.Namespace) and refuses everything else by name, so no code
 * of the file is ever run. Used by the import of checkpoints alone; everything else reads safetensors. */
#ifndef CM_IO_TORCH_FILE_H
#define CM_IO_TORCH_FILE_H

#include "io/safetensors.h"

typedef struct cm_torch_file cm_torch_file;

/* Finds the state dict: the member "model", "state_dict", "model_state_dict" or "module" of the top object,
 * the first of these that holds tensors, else the top object itself; nested dicts of tensors join with '.'.
 * Entries that are no tensors are counted, not kept. Tensors are contiguous, row-major, little-endian;
 * tensors that share a storage may share their memory. CM_DATA with the byte or entry for everything else,
 * also for tensors that together are more than 4 times the file (tied weights count each time). Memory at
 * most the file's size
 * + 64 MB. */
cm_status cm_torch_file_open(cm_torch_file **file, const char *path, cm_error *error);
void cm_torch_file_close(cm_torch_file *file);

size_t cm_torch_file_count(const cm_torch_file *file);
const cm_tensor *cm_torch_file_get(const cm_torch_file *file, size_t i); /* in the order of the dict */
/* Entries of the state dict that are no tensors. */
size_t cm_torch_file_skipped(const cm_torch_file *file);

#endif
