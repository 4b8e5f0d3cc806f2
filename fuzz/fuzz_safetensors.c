/* io/safetensors: every tensor that a read file names can be read and found again. */
#include "input.h"

#include "io/safetensors.h"
#include <stdlib.h>

#ifdef FUZZ_LIBFUZZER
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned int seed) {
    return fuzz_mutate_header(data, size, max_size, seed);
}
#endif

enum { MAPPED = 4 }; /* a file costs more than the reading: only inputs whose size is a multiple */

/* The same bytes through a mapped file, whose pages are given back. */
static void read_mapped(const uint8_t *data, size_t size) {
    cm_safetensors *file = NULL;
    if (cm_safetensors_open(&file, fuzz_file(0, data, size), NULL) != CM_OK) abort();
    for (size_t i = 0; i < cm_safetensors_count(file); i++) {
        const cm_tensor *tensor = cm_safetensors_get(file, i);
        fuzz_touch(tensor->data, tensor->bytes);
        cm_safetensors_drop(file, tensor->data, tensor->bytes);
    }
    cm_safetensors_close(file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    cm_safetensors *file = NULL;
    cm_error error = {0};
    fuzz_limit_memory(size);
    if (cm_safetensors_read(&file, data, size, "input", &error) != CM_OK) return 0;
    size_t bytes = 0;
    for (size_t i = 0; i < cm_safetensors_count(file); i++) {
        const cm_tensor *tensor = cm_safetensors_get(file, i);
        if (cm_safetensors_find(file, tensor->name) != tensor) abort();
        fuzz_touch(tensor->data, tensor->bytes);
        bytes += tensor->bytes;
    }
    if (bytes > size) abort(); /* tensors never share bytes */
    cm_safetensors_metadata(file, "format");
    cm_safetensors_close(file);
    if (size % MAPPED == 0) read_mapped(data, size);
    return 0;
}
